//! What every backend promises, and the values that go in and come out.

use std::fmt;
use std::time::Duration;

use stockade_core::{IpNet, JailName};

use crate::{FirewallError, Watch};

/// Longest timeout that is handed to the kernel: 100 years.
///
/// nf_tables refuses more than `u64::MAX` nanoseconds (584 years), and a ban of a century is a ban
/// for ever. Longer timeouts are shortened to this.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Shortest timeout that is handed to the kernel.
///
/// The kernel counts in ticks of up to 10 ms, and a timeout that rounds to no tick would mean
/// "never"; a ban that is about to end lasts this second instead.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Shortest IPv4 prefix that can be banned: nobody holds more than a /8 (IANA's own unit), so a
/// wider one is a slip that locks out the world, the operator first.
pub const PREFIX_LEN_MIN_V4: u8 = 8;

/// Shortest IPv6 prefix that can be banned: IANA gives registries /12 at most.
pub const PREFIX_LEN_MIN_V6: u8 = 12;

/// A way to make the kernel drop what comes from banned addresses.
///
/// All calls block, but only for as long as the kernel works. All are idempotent.
pub trait Firewall: fmt::Debug + Send {
    /// Name of the backend, as written in configuration and shown to the user.
    fn name(&self) -> &'static str;

    /// Makes the rules be exactly these, in one transaction.
    ///
    /// Bans that an earlier run left for these jails stay, with their timeouts. Rules and bans of
    /// jails that are not listed go away. There is no moment without enforcement.
    ///
    /// # Errors
    /// Where the rules make no sense, or the kernel refuses; then nothing has changed.
    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError>;

    /// Bans and unbans.
    ///
    /// Banning what is banned gives it the new timeout; unbanning what is not banned is no error.
    /// Of several changes for one jail and network the last counts. One call is one transaction as
    /// far as the kernel takes so much at once, else a few, each of them whole.
    ///
    /// # Errors
    /// A network that is too wide ([`check_net`]) or a jail that is not configured: all other
    /// changes are applied nevertheless. [`FirewallError::Gone`] where somebody deleted our rules:
    /// [`Firewall::configure`] and reconcile. Else what the kernel refused.
    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError>;

    /// What is banned at this moment, of all jails, asked from the kernel.
    ///
    /// # Errors
    /// Where the kernel cannot be asked. Missing rules are no error: nothing is banned then.
    fn list(&mut self) -> Result<Vec<Element>, FirewallError>;

    /// Asks the kernel whether everything that [`Firewall::configure`] made is still there.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    fn probe(&mut self) -> Result<Health, FirewallError>;

    /// Removes all that this backend made, bans included, and nothing else.
    ///
    /// # Errors
    /// Where the kernel refuses. That there is nothing to remove is no error.
    fn teardown(&mut self) -> Result<(), FirewallError>;

    /// Something to wait on for changes by others, or `None` where nobody else can interfere.
    ///
    /// # Errors
    /// Where the kernel does not let us listen.
    fn watch(&self) -> Result<Option<Watch>, FirewallError>;
}

/// Which backend to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// The best one this machine has.
    #[default]
    Auto,
    /// nftables by netlink.
    Nftables,
    /// None: record what would be done (`--dry-run`).
    None,
}

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
}

impl BlockType {
    /// Name as in configuration and in nft.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

/// One thing to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Block this network for this jail.
    Ban {
        /// The jail whose rules block it.
        jail: JailName,
        /// Whom to block.
        net: IpNet,
        /// After which time the kernel lets it go by itself, within [`TIMEOUT_MIN`] and
        /// [`TIMEOUT_MAX`]; `None` for never.
        timeout: Option<Duration>,
    },
    /// Block it no more.
    Unban {
        /// The jail whose rules block it.
        jail: JailName,
        /// Whom to let go.
        net: IpNet,
    },
}

impl Change {
    /// The jail this is about.
    #[must_use]
    pub fn jail(&self) -> &JailName {
        match self {
            Self::Ban { jail, .. } | Self::Unban { jail, .. } => jail,
        }
    }

    /// The network this is about.
    #[must_use]
    pub fn net(&self) -> IpNet {
        match self {
            Self::Ban { net, .. } | Self::Unban { net, .. } => *net,
        }
    }
}

/// One network that the kernel blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The jail whose rules block it.
    pub jail: JailName,
    /// Who is blocked; host bits are clear.
    pub net: IpNet,
    /// Time until the kernel lets it go, or `None` for never.
    pub expires: Option<Duration>,
}

/// Whether the rules are in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Health {
    /// Everything is there and as it should be.
    InPlace,
    /// Something is missing or altered: bans may not be enforced.
    Missing {
        /// What, each in words for the log; never empty.
        what: Vec<String>,
    },
}

/// Checks that `net` is narrow enough to be banned.
///
/// # Errors
/// [`FirewallError::TooWide`] for less than [`PREFIX_LEN_MIN_V4`] or [`PREFIX_LEN_MIN_V6`] bits.
pub fn check_net(net: IpNet) -> Result<(), FirewallError> {
    let min = match net {
        IpNet::V4(_) => PREFIX_LEN_MIN_V4,
        IpNet::V6(_) => PREFIX_LEN_MIN_V6,
    };
    if net.prefix_len() < min {
        return Err(FirewallError::TooWide { net, min });
    }
    Ok(())
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
        }
    }

    #[test]
    fn a_ban_of_the_whole_internet_is_refused() {
        for net in ["0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/7", "::/0", "2000::/3"] {
            let error = check_net(net.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains(net), "{error}");
        }
        for net in ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128"] {
            check_net(net.parse().unwrap()).unwrap();
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
