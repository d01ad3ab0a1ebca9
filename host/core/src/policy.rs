//! What a jail is told to do.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use crate::{BanTime, IgnoreSet, JailName};

/// The rules by which one jail decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailPolicy {
    /// Its name, unique among the jails.
    pub name: JailName,
    /// How many failures within `findtime` make a ban.
    pub maxretry: NonZeroU32,
    /// How far back failures count.
    pub findtime: Duration,
    /// How long a ban lasts.
    pub bantime: BanTimePolicy,
    /// IPv6 addresses are counted and banned by the network of this prefix length, 1 to 128,
    /// because one attacker usually owns a whole /64 (RFC 6177 2). Any other number counts single
    /// addresses.
    pub ipv6_prefix: u8,
    /// How many of the last matched lines of an id are kept for its ban; zero for none.
    pub maxmatches: u32,
    /// Who is never banned (`ignoreip`, without the names).
    pub ignore: IgnoreSet,
    /// Whether this host's own addresses are never banned.
    pub ignoreself: bool,
}

/// How the length of a ban follows from earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanTimePolicy {
    /// All bans last equally long.
    Fixed(BanTime),
}

impl BanTimePolicy {
    /// Shortest ban: firewalls count in seconds, and to nftables a timeout of zero is for ever.
    pub const SHORTEST: Duration = Duration::from_secs(1);

    /// How long the `bancount`-th ban of an id lasts, at least [`BanTimePolicy::SHORTEST`]; the
    /// first is 1.
    #[must_use]
    pub fn length(&self, _bancount: u32) -> BanTime {
        let Self::Fixed(bantime) = self;
        match bantime {
            BanTime::For(length) => BanTime::For((*length).max(Self::SHORTEST)),
            BanTime::Forever => BanTime::Forever,
        }
    }
}

impl From<BanTime> for BanTimePolicy {
    fn from(bantime: BanTime) -> Self {
        Self::Fixed(bantime)
    }
}

/// Broadest network that is taken from a log line: a line is an attacker's text, and a filter that
/// lets it name `0.0.0.0/0` must not lock out everybody. /16 and /32 are the largest blocks that one
/// owner usually holds. Operators may ban broader ones.
const LOGGED_PREFIX_MIN_V4: u8 = 16;
const LOGGED_PREFIX_MIN_V6: u8 = 32;

/// Whether a network that a log names is broader than one owner's.
pub(crate) fn is_too_broad(net: &IpNet) -> bool {
    let min = match net {
        IpNet::V4(_) => LOGGED_PREFIX_MIN_V4,
        IpNet::V6(_) => LOGGED_PREFIX_MIN_V6,
    };
    net.prefix_len() < min
}
