//! What a jail is told to do.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

#[cfg(doc)]
use crate::Ban;
use crate::{BanTime, BanTimeIncrement, FailureId, IgnoreSet, JailName};

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
    /// How long the earlier bans of an id count after they say nothing any more
    /// ([`Ban::relevant_until`]); `db_purge_age` of the configuration. Of several jails the longest
    /// time holds for all.
    pub remember: Duration,
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

/// How long bans last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanTimePolicy {
    /// How long a first ban lasts, and every one where nothing grows.
    pub bantime: BanTime,
    /// How further bans of an id grow (`bantime.increment`), if they do. Its failures count more
    /// then, too.
    pub increment: Option<BanTimeIncrement>,
}

impl BanTimePolicy {
    /// Shortest ban: firewalls count in seconds, and to nftables a timeout of zero is for ever.
    pub const SHORTEST: Duration = Duration::from_secs(1);

    /// Longest ban that ends: a century. What grows further stays there; firewalls can hold little
    /// more, and "for ever" is written otherwise.
    pub const LONGEST: Duration = Duration::from_secs(100 * 52 * 7 * 24 * 60 * 60);

    /// How long a ban lasts that follows `count` earlier ones of its id, at least
    /// [`BanTimePolicy::SHORTEST`]. `random` is a number from 0 up to, but not including, 1.
    #[must_use]
    pub fn length(&self, count: u32, random: impl FnOnce() -> f64) -> BanTime {
        let length = match &self.increment {
            Some(increment) => increment.length(self.bantime, count, random),
            None => self.bantime,
        };
        match length {
            BanTime::For(length) => BanTime::For(length.max(Self::SHORTEST)),
            BanTime::Forever => BanTime::Forever,
        }
    }

    /// Whether the bans of all jails count.
    pub(crate) fn counts_all_jails(&self) -> bool {
        self.increment
            .as_ref()
            .is_some_and(|increment| increment.overalljails)
    }
}

impl From<BanTime> for BanTimePolicy {
    fn from(bantime: BanTime) -> Self {
        Self {
            bantime,
            increment: None,
        }
    }
}

/// Broadest network that is taken from a log line: a line is an attacker's text, and a filter that
/// lets it name `0.0.0.0/0` must not lock out everybody. /16 and /32 are the largest blocks that one
/// owner usually holds. Operators may ban broader ones where [`crate::Safeguards::widest`] lets them.
const LOGGED_PREFIX_MIN_V4: u8 = 16;
const LOGGED_PREFIX_MIN_V6: u8 = 32;

/// Whether a network that a log names is broader than one owner's.
pub(crate) fn is_too_broad(id: &FailureId) -> bool {
    let FailureId::Subnet(net) = id else {
        return false;
    };
    let min = match net {
        IpNet::V4(_) => LOGGED_PREFIX_MIN_V4,
        IpNet::V6(_) => LOGGED_PREFIX_MIN_V6,
    };
    net.prefix_len() < min
}
