//! The rules of our chains, as iptables-restore(8) reads them. Pure.

use std::collections::BTreeSet;

use super::names::{Family, SetId};
use crate::rules::{
    BlockType, Hook, JailRules, PortRange, Ports, Protocol, TARPIT_PACKETS_PER_MINUTE,
};

/// What one `multiport` takes; a range counts twice (`XT_MULTI_PORTS`).
const MULTIPORT_MAX: usize = 15;

/// What may come through a tarpit at once: the packets that open a connection.
const TARPIT_BURST: u32 = 5;

/// The rules that belong into our chain for `hook`, each without `-A CHAIN`.
pub(super) fn rules(family: Family, hook: Hook, jails: &[JailRules]) -> Vec<String> {
    let hooked = jails.iter().filter(|jail| jail.hooks.contains(&hook));
    hooked
        .flat_map(|jail| of_jail(family, hook, jail))
        .collect()
}

/// The hooks that any jail has.
pub(super) fn hooks(jails: &[JailRules]) -> BTreeSet<Hook> {
    jails.iter().flat_map(|jail| jail.hooks.clone()).collect()
}

/// What is done otherwise than the rules say.
pub(super) fn notes(jails: &[JailRules]) -> Vec<String> {
    let silent = jails
        .iter()
        .filter(|jail| jail.block == BlockType::Reject && jail.hooks.contains(&Hook::Prerouting));
    silent
        .map(|jail| {
            format!(
                "jail '{}': iptables cannot reject in prerouting; packets are dropped there",
                jail.jail
            )
        })
        .collect()
}

fn of_jail(family: Family, hook: Hook, jail: &JailRules) -> Vec<String> {
    let set = SetId {
        jail: jail.jail.clone(),
        family,
    };
    let mut rules = Vec::new();
    for (protocol, ports) in matches(jail) {
        let mut words = Vec::new();
        if let Some(protocol) = protocol {
            words.push(format!("-p {protocol}"));
        }
        words.extend(ports.map(|ports| format!("-m multiport --dports {ports}")));
        words.push(format!("-m set --match-set {set} src"));
        let is_answered = jail.block == BlockType::Reject && hook != Hook::Prerouting;
        if is_answered && protocol.is_none() {
            // A reset answers TCP only, so everything takes two rules.
            let reset = answer(family, Some(Protocol::Tcp));
            rules.push(format!("-p tcp {} {reset}", words.join(" ")));
        }
        words.push(if is_answered {
            answer(family, protocol)
        } else if jail.block == BlockType::Tarpit {
            format!(
                "-m hashlimit --hashlimit-above {TARPIT_PACKETS_PER_MINUTE}/min \
                 --hashlimit-burst {TARPIT_BURST} --hashlimit-name {set} -j DROP"
            )
        } else {
            "-j DROP".to_owned()
        });
        rules.push(words.join(" "));
    }
    rules
}

/// What the jail is about: protocols and ports, either of them for all.
fn matches(jail: &JailRules) -> Vec<(Option<Protocol>, Option<String>)> {
    let named: BTreeSet<Protocol> = match (&jail.ports, jail.protocols.as_slice()) {
        (Ports::All, []) => return vec![(None, None)],
        (Ports::List(_), []) => Protocol::ALL.into(),
        (_, some) => some.iter().copied().collect(),
    };
    let ports: Vec<Option<String>> = match &jail.ports {
        Ports::All => vec![None],
        Ports::List(ranges) => multiports(ranges).into_iter().map(Some).collect(),
    };
    let of_protocol = |protocol| {
        ports
            .iter()
            .map(move |ports| (Some(protocol), ports.clone()))
    };
    named.into_iter().flat_map(of_protocol).collect()
}

/// The ports, cut so that each part fits into one rule.
fn multiports(ranges: &[PortRange]) -> Vec<String> {
    let unique: BTreeSet<PortRange> = ranges.iter().copied().collect();
    let mut parts: Vec<(usize, String)> = Vec::new();
    for range in unique {
        let (weight, text) = if range.first == range.last {
            (1, range.first.to_string())
        } else {
            (2, format!("{}:{}", range.first, range.last))
        };
        match parts.last_mut() {
            Some((used, part)) if *used + weight <= MULTIPORT_MAX => {
                *used += weight;
                part.push(',');
                part.push_str(&text);
            }
            _ => parts.push((weight, text)),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

fn answer(family: Family, protocol: Option<Protocol>) -> String {
    let with = match (protocol, family) {
        (Some(Protocol::Tcp), _) => "tcp-reset",
        (_, Family::V4) => "icmp-port-unreachable",
        (_, Family::V6) => "icmp6-port-unreachable",
    };
    format!("-j REJECT --reject-with {with}")
}

#[cfg(test)]
mod tests {
    use stockade_core::JailName;

    use super::*;

    fn jail(ports: Ports, protocols: &[Protocol], block: BlockType, hook: Hook) -> JailRules {
        JailRules {
            jail: JailName::try_new("web").unwrap(),
            ports,
            protocols: protocols.to_vec(),
            block,
            hooks: BTreeSet::from([hook]),
        }
    }

    fn list(ranges: &[(u16, u16)]) -> Ports {
        let range = |&(first, last)| PortRange { first, last };
        Ports::List(ranges.iter().map(range).collect())
    }

    #[test]
    fn ports_and_protocols_become_rules() {
        let web = jail(
            list(&[(80, 80), (443, 443), (8000, 8010)]),
            &[Protocol::Tcp],
            BlockType::Drop,
            Hook::Input,
        );
        assert_eq!(
            rules(Family::V4, Hook::Input, std::slice::from_ref(&web)),
            [
                "-p tcp -m multiport --dports 80,443,8000:8010 -m set --match-set stk4-web src -j DROP"
            ]
        );
        assert!(rules(Family::V4, Hook::Forward, &[web]).is_empty());
        let every = jail(list(&[(53, 53)]), &[], BlockType::Drop, Hook::Input);
        assert_eq!(rules(Family::V6, Hook::Input, &[every]).len(), 5);
        let all = jail(Ports::All, &[], BlockType::Tarpit, Hook::Prerouting);
        assert_eq!(
            rules(Family::V6, Hook::Prerouting, &[all]),
            [
                "-m set --match-set stk6-web src -m hashlimit --hashlimit-above 10/min \
              --hashlimit-burst 5 --hashlimit-name stk6-web -j DROP"
            ]
        );
    }

    #[test]
    fn each_protocol_is_rejected_by_what_it_understands() {
        let all = jail(Ports::All, &[], BlockType::Reject, Hook::Input);
        assert_eq!(
            rules(Family::V6, Hook::Input, &[all]),
            [
                "-p tcp -m set --match-set stk6-web src -j REJECT --reject-with tcp-reset",
                "-m set --match-set stk6-web src -j REJECT --reject-with icmp6-port-unreachable",
            ]
        );
        let early = jail(
            Ports::All,
            &[Protocol::Udp],
            BlockType::Reject,
            Hook::Prerouting,
        );
        assert_eq!(notes(std::slice::from_ref(&early)).len(), 1);
        assert_eq!(
            rules(Family::V4, Hook::Prerouting, &[early]),
            ["-p udp -m set --match-set stk4-web src -j DROP"]
        );
    }

    #[test]
    fn more_ports_than_one_rule_takes_are_spread_over_several() {
        let many: Vec<_> = (1..=8).map(|n| (n * 10, n * 10 + 1)).collect();
        let Ports::List(ranges) = list(&many) else {
            panic!("a list")
        };
        let parts = multiports(&ranges);
        assert_eq!(
            parts,
            ["10:11,20:21,30:31,40:41,50:51,60:61,70:71", "80:81"]
        );
        let singles: Vec<_> = (1..=31).map(PortRange::single).collect();
        let counts: Vec<_> = multiports(&singles)
            .iter()
            .map(|part| part.split(',').count())
            .collect();
        assert_eq!(counts, [15, 15, 1]);
    }
}
