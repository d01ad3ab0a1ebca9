//! What the firewall has to know of the jails.

use std::collections::BTreeSet;
use std::fmt;

use stockade_core::JailName;

use crate::FirewallError;

/// What the firewall has to know of one jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailRules {
    /// The jail whose bans these rules enforce.
    pub jail: JailName,
    /// Destination ports that are closed to banned addresses.
    pub ports: Ports,
    /// Protocols that are closed to banned addresses. Empty means all: with [`Ports::All`] every
    /// packet, with a list of ports every protocol that has ports.
    pub protocols: Vec<Protocol>,
    /// What happens to packets of banned addresses.
    pub block: BlockType,
    /// Where on their way packets are stopped; never empty. A backend without such places, as `route` or
    /// `pf`, stops them wherever it can.
    pub hooks: BTreeSet<Hook>,
}

/// A place on a packet's way through this machine (`nft(8)`, "ADDRESS FAMILIES").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// What is addressed to this machine.
    Input,
    /// What this machine passes on, such as connections to containers. Ports are those behind the
    /// translation of addresses: the container's own.
    Forward,
    /// Whatever comes in, before addresses are translated: ports are those that the sender named.
    Prerouting,
}

impl Hook {
    /// Every hook, in the order in which a packet meets them.
    pub const ALL: [Self; 3] = [Self::Prerouting, Self::Forward, Self::Input];

    /// Name as in configuration and in nft.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Prerouting => "prerouting",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Destination ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every port, and for protocols without ports everything.
    All,
    /// These ports; must not be empty.
    List(Vec<PortRange>),
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port, not less than `first`.
    pub last: u16,
}

impl PortRange {
    /// This one port.
    #[must_use]
    pub const fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A transport protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// UDP-Lite (RFC 3828).
    UdpLite,
    /// DCCP (RFC 4340).
    Dccp,
    /// SCTP (RFC 9260).
    Sctp,
}

impl Protocol {
    /// Every protocol that has ports.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::UdpLite, Self::Dccp, Self::Sctp];

    /// Number in the IP header (IANA "Assigned Internet Protocol Numbers").
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Dccp => 33,
            Self::Sctp => 132,
            Self::UdpLite => 136,
        }
    }

    /// Name as in `/etc/protocols` and in nft.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::UdpLite => "udplite",
            Self::Dccp => "dccp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to packets of a banned address (`blocktype`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockType {
    /// They vanish; the sender waits for its own timeout.
    #[default]
    Drop,
    /// The sender is told: a reset for TCP, ICMP "port unreachable" for the rest.
    Reject,
    /// All banned addresses of the jail together get through with [`TARPIT_PACKETS_PER_MINUTE`]; the
    /// rest vanishes. Scanners wait and waste their time.
    Tarpit,
}

/// What a tarpit lets through: enough to keep connections alive that lead nowhere, too little to guess
/// passwords.
pub const TARPIT_PACKETS_PER_MINUTE: u32 = 10;

impl BlockType {
    /// Name as in configuration and in nft.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Tarpit => "tarpit",
        }
    }
}

/// Checks that rules make sense, before any backend acts on them.
pub(crate) fn check_rules(rules: &[JailRules]) -> Result<(), FirewallError> {
    for (index, rule) in rules.iter().enumerate() {
        let bad = |what: String| FirewallError::BadRules {
            jail: rule.jail.clone(),
            what,
        };
        if rules
            .iter()
            .take(index)
            .any(|other| other.jail == rule.jail)
        {
            return Err(bad("it is listed twice".to_owned()));
        }
        if rule.hooks.is_empty() {
            return Err(bad("it has no hook".to_owned()));
        }
        let Ports::List(ranges) = &rule.ports else {
            continue;
        };
        if ranges.is_empty() {
            return Err(bad("its list of ports is empty".to_owned()));
        }
        if let Some(range) = ranges.iter().find(|range| range.first > range.last) {
            return Err(bad(format!("port range {range} ends before it begins")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(jail: &str, ports: Ports) -> JailRules {
        JailRules {
            jail: JailName::try_new(jail).unwrap(),
            ports,
            protocols: vec![Protocol::Tcp],
            block: BlockType::Drop,
            hooks: BTreeSet::from([Hook::Input]),
        }
    }

    #[test]
    fn rules_that_make_no_sense_are_refused_with_the_jails_name() {
        let backwards = PortRange { first: 2, last: 1 };
        for (given, text) in [
            (
                vec![rules("a", Ports::List(vec![]))],
                "jail 'a': its list of ports is empty",
            ),
            (
                vec![rules("b", Ports::List(vec![backwards]))],
                "jail 'b': port range 2-1 ends before it begins",
            ),
            (
                vec![rules("c", Ports::All), rules("c", Ports::All)],
                "jail 'c': it is listed twice",
            ),
        ] {
            let error = check_rules(&given).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
