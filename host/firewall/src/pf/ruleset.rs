//! The rules of our anchor, as text of pf.conf(5).

use crate::pf::names;
use crate::rules::{JailRules, PortRange, Ports, Protocol};

/// What one rule of a jail matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    protocol: Option<Protocol>,
    port: Option<PortRange>,
}

/// The whole ruleset: a table for each jail, and its rules.
///
/// Loading it is one transaction. A table that is there already keeps its addresses, because its definition
/// here names none; `persist` keeps it also where no rule refers to it.
///
/// Every rule is written out and has a label. pf's optimizer leaves rules with labels as and where they are.
pub(super) fn text(rules: &[JailRules]) -> String {
    let tables = rules
        .iter()
        .map(|jail| format!("table <{}> persist\n", names::table(&jail.jail)));
    let lines = rules.iter().flat_map(|jail| {
        matches(jail)
            .into_iter()
            .map(move |found| line(jail, found))
    });
    tables.chain(lines).collect()
}

fn line(jail: &JailRules, found: Match) -> String {
    let mut rule = format!("block {} in quick", names::action(jail.block));
    if let Some(protocol) = found.protocol {
        rule.push_str(" proto ");
        rule.push_str(&names::protocol_word(protocol));
    }
    rule.push_str(" from <");
    rule.push_str(&names::table(&jail.jail));
    rule.push_str("> to any");
    if let Some(range) = found.port {
        rule.push_str(" port ");
        rule.push_str(&names::ports(range));
    }
    rule.push_str(" label \"");
    rule.push_str(&label(jail, found));
    rule.push_str("\"\n");
    rule
}

/// The labels of the rules that [`text`] makes, in their order.
pub(super) fn labels(rules: &[JailRules]) -> Vec<String> {
    let of_jail = |jail| {
        matches(jail)
            .into_iter()
            .map(move |found| label(jail, found))
    };
    rules.iter().flat_map(of_jail).collect()
}

fn label(jail: &JailRules, found: Match) -> String {
    names::label(&jail.jail, jail.block, found.protocol, found.port)
}

/// What the rules of a jail match, one each.
fn matches(jail: &JailRules) -> Vec<Match> {
    match &jail.ports {
        Ports::All if jail.protocols.is_empty() => vec![Match {
            protocol: None,
            port: None,
        }],
        Ports::All => {
            let whole = |protocol: &Protocol| Match {
                protocol: Some(*protocol),
                port: None,
            };
            jail.protocols.iter().map(whole).collect()
        }
        Ports::List(ranges) => {
            let given: &[Protocol] = if jail.protocols.is_empty() {
                &Protocol::ALL
            } else {
                &jail.protocols
            };
            given
                .iter()
                .flat_map(|protocol| of_protocol(*protocol, ranges))
                .collect()
        }
    }
}

/// pf knows ports of TCP and UDP (pf.conf(5), "port"). Other protocols are closed altogether: they are
/// closed to banned addresses only, and a port too many is better than a ban that does not hold.
fn of_protocol(protocol: Protocol, ranges: &[PortRange]) -> Vec<Match> {
    if !matches!(protocol, Protocol::Tcp | Protocol::Udp) {
        return vec![Match {
            protocol: Some(protocol),
            port: None,
        }];
    }
    let of_range = |range: &PortRange| Match {
        protocol: Some(protocol),
        port: Some(*range),
    };
    ranges.iter().map(of_range).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stockade_core::JailName;

    use super::*;
    use crate::rules::{BlockType, Hook};

    fn jail(name: &str, ports: Ports, protocols: &[Protocol], block: BlockType) -> JailRules {
        JailRules {
            jail: JailName::try_new(name).unwrap(),
            ports,
            protocols: protocols.to_vec(),
            block,
            hooks: BTreeSet::from([Hook::Input]),
        }
    }

    fn list(ranges: &[(u16, u16)]) -> Ports {
        let range = |&(first, last): &(u16, u16)| PortRange { first, last };
        Ports::List(ranges.iter().map(range).collect())
    }

    #[test]
    fn rules_are_those_of_pf_conf_5() {
        let tcp = [Protocol::Tcp];
        let rules = [
            jail(
                "sshd",
                list(&[(22, 22), (2222, 2230)]),
                &tcp,
                BlockType::Drop,
            ),
            jail("404", Ports::All, &[], BlockType::Reject),
            jail(
                "dns",
                list(&[(53, 53)]),
                &[Protocol::Udp, Protocol::Sctp],
                BlockType::Tarpit,
            ),
            jail("web", Ports::All, &tcp, BlockType::Drop),
        ];
        assert_eq!(
            text(&rules),
            "\
table <ban-sshd> persist
table <ban-404> persist
table <ban-dns> persist
table <ban-web> persist
block drop in quick proto tcp from <ban-sshd> to any port 22 label \"sshd:drop:tcp:22\"
block drop in quick proto tcp from <ban-sshd> to any port 2222:2230 label \"sshd:drop:tcp:2222:2230\"
block return in quick from <ban-404> to any label \"404:return\"
block drop in quick proto udp from <ban-dns> to any port 53 label \"dns:drop:udp:53\"
block drop in quick proto 132 from <ban-dns> to any label \"dns:drop:132\"
block drop in quick proto tcp from <ban-web> to any label \"web:drop:tcp\"
"
        );
        let labels = labels(&rules);
        assert_eq!(labels.len(), 6);
        for label in labels {
            assert_eq!(
                text(&rules)
                    .matches(&format!("label \"{label}\"\n"))
                    .count(),
                1
            );
        }
    }

    #[test]
    fn without_a_protocol_every_one_that_has_ports_is_closed() {
        let rules = [jail("sshd", list(&[(22, 22)]), &[], BlockType::Drop)];
        assert_eq!(
            labels(&rules),
            [
                "sshd:drop:tcp:22",
                "sshd:drop:udp:22",
                "sshd:drop:136",
                "sshd:drop:33",
                "sshd:drop:132"
            ]
        );
    }

    #[test]
    fn no_jails_are_no_rules() {
        assert_eq!(text(&[]), "");
        assert_eq!(labels(&[]), [""; 0]);
    }
}
