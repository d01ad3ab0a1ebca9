//! How our sets and chains are called.
//!
//! ipset takes names of up to 31 bytes (`IPSET_MAXNAMELEN`), iptables chains of up to 28
//! (`XT_EXTENSION_MAXNAMELEN`); [`JailName::LEN_MAX`] leaves room for a beginning of five.

use std::fmt;

use stockade_core::{IpNet, JailName};

use crate::rules::Hook;

/// What the names of our chains begin with; everything that begins so is taken for ours.
const CHAIN: &str = "stockade-";
const SET_V4: &str = "stk4-";
const SET_V6: &str = "stk6-";

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// As ipset says it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "inet",
            Self::V6 => "inet6",
        }
    }

    /// What its programs and its tables are called after.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }
}

/// One of our sets: the banned networks of one family of one jail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetId {
    pub(super) jail: JailName,
    pub(super) family: Family,
}

impl SetId {
    /// Both sets of a jail.
    pub(super) fn of_jail(jail: &JailName) -> [Self; 2] {
        Family::ALL.map(|family| Self {
            jail: jail.clone(),
            family,
        })
    }

    /// The set of `jail` that `net` goes into.
    pub(super) fn of(jail: &JailName, net: IpNet) -> Self {
        Self {
            jail: jail.clone(),
            family: match net {
                IpNet::V4(_) => Family::V4,
                IpNet::V6(_) => Family::V6,
            },
        }
    }

    /// Reads a set's name back; `None` for sets that are not ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (family, jail) = match name.strip_prefix(SET_V4) {
            Some(jail) => (Family::V4, jail),
            None => (Family::V6, name.strip_prefix(SET_V6)?),
        };
        Some(Self {
            jail: JailName::try_new(jail).ok()?,
            family,
        })
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::V4 => SET_V4,
            Family::V6 => SET_V6,
        };
        write!(f, "{family}{}", self.jail)
    }
}

/// The table that has the chain of this hook.
pub(super) const fn table(hook: Hook) -> &'static str {
    match hook {
        Hook::Input | Hook::Forward => "filter",
        // Before connection tracking and the translation of addresses.
        Hook::Prerouting => "raw",
    }
}

/// Our chain for this hook.
pub(super) fn chain(hook: Hook) -> String {
    format!("{CHAIN}{hook}")
}

/// Whether a chain is one of ours, of this version or of another.
pub(super) fn is_our_chain(name: &str) -> bool {
    name.starts_with(CHAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_fit_and_read_back() {
        let longest = "j".repeat(JailName::LEN_MAX);
        for jail in ["sshd", "stk6-sshd", "3proxy", &longest] {
            for set in SetId::of_jail(&JailName::try_new(jail).unwrap()) {
                let name = set.to_string();
                assert!(name.len() <= 31, "{name}");
                assert_eq!(SetId::parse(&name), Some(set));
            }
        }
        for hook in [Hook::Input, Hook::Forward, Hook::Prerouting] {
            assert!(chain(hook).len() <= 28);
            assert!(is_our_chain(&chain(hook)));
        }
    }

    #[test]
    fn what_is_not_ours_is_not_taken_for_ours() {
        for name in ["blocklist", "stk4-", "stk5-sshd", "stk4-a b", "f2b-sshd"] {
            assert_eq!(SetId::parse(name), None, "{name}");
        }
        assert!(!is_our_chain("INPUT"));
    }
}
