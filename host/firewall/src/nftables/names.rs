//! How our objects are called in the kernel.
//!
//! nft's grammar wants names that begin with a letter and are no keyword, so that a listing can be
//! read back; jails are called `3proxy` and `drop`. Hence the fixed beginnings.

use std::fmt;
use std::net::IpAddr;

use stockade_core::{IpNet, JailName};

/// Our table, of family `inet`.
pub(crate) const TABLE: &str = "stockade";
/// The chain that answers instead of dropping.
pub(super) const CHAIN_REJECT: &str = "reject-banned";
const CHAIN_JAIL: &str = "jail-";
const SET_V4: &str = "ban4-";
const SET_V6: &str = "ban6-";

/// Name of the chain that holds the rules of `jail`.
pub(super) fn jail_chain(jail: &JailName) -> String {
    format!("{CHAIN_JAIL}{jail}")
}

/// Address family of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// Length of an address in bits.
    pub(super) const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// Length of an address in bytes.
    pub(super) const fn bytes(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

/// One of our sets: the banned prefixes of one length of one jail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetId {
    pub(super) jail: JailName,
    pub(super) family: Family,
    /// Prefix length in bits.
    pub(super) len: u8,
}

impl SetId {
    /// The set of `jail` that single addresses of `family` go into.
    pub(super) fn single(jail: &JailName, family: Family) -> Self {
        Self {
            jail: jail.clone(),
            family,
            len: family.bits(),
        }
    }

    /// The set of `jail` that `net` goes into.
    pub(super) fn of(jail: &JailName, net: IpNet) -> Self {
        Self {
            jail: jail.clone(),
            family: match net {
                IpNet::V4(_) => Family::V4,
                IpNet::V6(_) => Family::V6,
            },
            len: net.prefix_len(),
        }
    }

    /// Reads a set's name back; `None` for sets that are not ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (family, rest) = match name.strip_prefix(SET_V4) {
            Some(rest) => (Family::V4, rest),
            None => (Family::V6, name.strip_prefix(SET_V6)?),
        };
        let (len, jail) = rest.split_once('-')?;
        let set = Self {
            jail: JailName::try_new(jail).ok()?,
            family,
            len: len.parse().ok()?,
        };
        // One name a set: no "+32", no "032".
        (set.len <= family.bits() && set.to_string() == name).then_some(set)
    }

    /// The network of this set that the key `octets` stands for.
    pub(super) fn net(&self, octets: &[u8]) -> Option<IpNet> {
        let addr = match self.family {
            Family::V4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
            Family::V6 => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        };
        IpNet::new(addr, self.len).ok()
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::V4 => SET_V4,
            Family::V6 => SET_V6,
        };
        write!(f, "{family}{}-{}", self.len, self.jail)
    }
}

/// The network part of `net`'s address, in network byte order.
pub(super) fn key(net: IpNet) -> Vec<u8> {
    match net {
        IpNet::V4(net) => net.network().octets().to_vec(),
        IpNet::V6(net) => net.network().octets().to_vec(),
    }
}

/// The netmask of `net`'s family for prefixes of `len` bits.
pub(super) fn mask(family: Family, len: u8) -> Vec<u8> {
    (0..family.bits())
        .step_by(8)
        .map(|bit| {
            let ones = len.saturating_sub(bit).min(8);
            u8::MAX.checked_shl(u32::from(8 - ones)).unwrap_or(0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sets_read_back_whatever_the_jail_is_called() {
        for (jail, net, name) in [
            ("sshd", "192.0.2.1/32", "ban4-32-sshd"),
            ("64-sshd", "2001:db8::1/128", "ban6-128-64-sshd"),
            ("3proxy", "2001:db8::/64", "ban6-64-3proxy"),
            ("ban4-32-x", "192.0.2.0/24", "ban4-24-ban4-32-x"),
        ] {
            let set = SetId::of(&JailName::try_new(jail).unwrap(), net.parse().unwrap());
            assert_eq!(set.to_string(), name);
            assert_eq!(SetId::parse(name), Some(set));
        }
    }

    #[test]
    fn sets_that_are_not_ours_are_not_taken_for_ours() {
        for name in [
            "blocklist",
            "ban4-sshd",
            "ban4-33-sshd",
            "ban6-129-sshd",
            "ban4-032-sshd",
            "ban4-+32-sshd",
            "ban4-32-",
            "ban4-32-a b",
        ] {
            assert_eq!(SetId::parse(name), None, "{name}");
        }
    }

    #[test]
    fn masks_have_as_many_ones_as_the_prefix_is_long() {
        assert_eq!(mask(Family::V4, 32), [255; 4]);
        assert_eq!(mask(Family::V4, 20), [255, 255, 240, 0]);
        assert_eq!(mask(Family::V4, 0), [0; 4]);
        let mask = mask(Family::V6, 65);
        assert_eq!(mask.len(), 16);
        assert_eq!(mask.iter().map(|byte| byte.count_ones()).sum::<u32>(), 65);
    }
}
