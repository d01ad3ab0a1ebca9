//! Who is never banned: the networks, addresses and texts of `ignoreip`, and this host itself.
//!
//! Names are not resolved here: the shell hands their addresses in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::{FailureId, canonical};

/// A set of networks and texts. Looking up is a binary search, however many there are.
///
/// **Invariant:** the ranges are sorted, do not overlap and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    texts: Vec<Arc<str>>,
}

impl IgnoreSet {
    /// The set of `nets` and `texts`.
    ///
    /// Host bits of a network do not matter, and a network of IPv4-mapped IPv6 addresses is the
    /// IPv4 network.
    #[must_use]
    pub fn new(nets: Vec<IpNet>, mut texts: Vec<Arc<str>>) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for net in nets {
            match Range::of(net) {
                Range::V4(first, last) => v4.push((first, last)),
                Range::V6(first, last) => v6.push((first, last)),
            }
        }
        texts.sort_unstable();
        texts.dedup();
        Self {
            v4: merge(v4),
            v6: merge(v6),
            texts,
        }
    }

    /// The set of single addresses.
    #[must_use]
    pub fn from_addrs(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::new(addrs.into_iter().map(IpNet::from).collect(), Vec::new())
    }

    /// The set of `ids`, as an operator writes them in `ignoreip`.
    #[must_use]
    pub fn from_ids(ids: impl IntoIterator<Item = FailureId>) -> Self {
        let mut nets = Vec::new();
        let mut texts = Vec::new();
        for id in ids {
            match id {
                FailureId::Addr(addr) => nets.push(IpNet::from(addr)),
                FailureId::Subnet(net) => nets.push(net),
                FailureId::Text(text) => texts.push(text),
            }
        }
        Self::new(nets, texts)
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty() && self.texts.is_empty()
    }

    /// Whether banning `id` would hit a member: the address or text is one, or the network has at
    /// least one address in common with the set.
    #[must_use]
    pub fn touches(&self, id: &FailureId) -> bool {
        match id {
            FailureId::Addr(addr) => self.contains(*addr),
            FailureId::Subnet(net) => self.overlaps(*net),
            FailureId::Text(text) => self.texts.binary_search(text).is_ok(),
        }
    }

    /// Whether `addr` is in one of the networks.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        match canonical(addr) {
            IpAddr::V4(addr) => any_overlap(&self.v4, addr.to_bits(), addr.to_bits()),
            IpAddr::V6(addr) => any_overlap(&self.v6, addr.to_bits(), addr.to_bits()),
        }
    }

    /// Whether `net` has an address in common with one of the networks.
    #[must_use]
    pub fn overlaps(&self, net: IpNet) -> bool {
        match Range::of(net) {
            Range::V4(first, last) => any_overlap(&self.v4, first, last),
            Range::V6(first, last) => any_overlap(&self.v6, first, last),
        }
    }
}

/// Why an id is never banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IgnoreReason {
    /// It is in the jail's `ignoreip`.
    IgnoreIp,
    /// It is an address of this host (`ignoreself`).
    OwnAddress,
    /// A program of the operator's says so (`ignorecommand`).
    Command,
    /// It is the way of this host to other networks ([`crate::Protected::gateways`]).
    Gateway,
    /// It resolves names for this host ([`crate::Protected::resolvers`]).
    Resolver,
    /// An administrator works from there ([`crate::Protected::ssh_sessions`]).
    SshSession,
}

impl fmt::Display for IgnoreReason {
    /// The words that follow `Ignore ... by` in the log; the first three are fail2ban's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IgnoreIp => "ip",
            Self::OwnAddress => "ignoreself rule",
            Self::Command => "command",
            Self::Gateway => "gateway",
            Self::Resolver => "resolver",
            Self::SshSession => "ssh session",
        })
    }
}

/// The loopback networks (RFC 1122 3.2.1.3, RFC 4291 2.5.3): this host, on every host.
pub(crate) fn loopback() -> [IpNet; 2] {
    [
        IpNet::new_assert(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
        IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    ]
}

/// First and last address of a network.
enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

impl Range {
    fn of(net: IpNet) -> Self {
        let (first, last) = (net.network(), net.broadcast());
        match (canonical(first), canonical(last)) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Self::V4(first.to_bits(), last.to_bits()),
            // A network that holds mapped and other addresses alike stays as it is written.
            _ => Self::V6(ipv6_bits(first), ipv6_bits(last)),
        }
    }
}

fn ipv6_bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// Sorts ranges and joins those that overlap or follow each other without a gap.
fn merge<N: Copy + Ord + Step>(mut ranges: Vec<(N, N)>) -> Vec<(N, N)> {
    ranges.sort_unstable();
    let mut merged: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            // The end of the address space has no next address: everything later is inside it.
            Some((_, end)) if end.next().is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Whether one of the sorted `ranges` has a number in common with `first..=last`.
fn any_overlap<N: Copy + Ord>(ranges: &[(N, N)], first: N, last: N) -> bool {
    let after = ranges.partition_point(|(begin, _)| *begin <= last);
    after
        .checked_sub(1)
        .and_then(|index| ranges.get(index))
        .is_some_and(|(_, end)| *end >= first)
}

trait Step: Sized {
    fn next(self) -> Option<Self>;
}

impl Step for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Step for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(ids: &[&str]) -> IgnoreSet {
        IgnoreSet::from_ids(ids.iter().map(|id| FailureId::parse(id)))
    }

    #[track_caller]
    fn check(set: &IgnoreSet, id: &str, expected: bool) {
        assert_eq!(set.touches(&FailureId::parse(id)), expected, "{id}");
    }

    #[test]
    fn an_address_is_ignored_where_a_network_holds_it() {
        let set = set(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
        check(&set, "10.255.255.255", true);
        check(&set, "11.0.0.0", false);
        check(&set, "192.0.2.7", true);
        check(&set, "192.0.2.8", false);
        check(&set, "2001:db8:ffff::1", true);
        check(&set, "2001:db9::", false);
    }

    #[test]
    fn a_network_is_ignored_where_it_would_hit_one_ignored_address() {
        let set = set(&["192.0.2.7", "2001:db8::5"]);
        check(&set, "192.0.2.0/24", true);
        check(&set, "192.0.3.0/24", false);
        check(&set, "0.0.0.0/0", true);
        check(&set, "2001:db8::/64", true);
        check(&set, "2001:db8:0:1::/64", false);
    }

    #[test]
    fn host_bits_of_a_network_do_not_matter() {
        let written = IgnoreSet::new(vec!["10.1.2.3/8".parse().unwrap()], Vec::new());
        assert_eq!(written, set(&["10.0.0.0/8"]));
    }

    #[test]
    fn an_ipv4_mapped_network_is_the_ipv4_network() {
        let mapped = IgnoreSet::new(vec!["::ffff:192.0.2.0/120".parse().unwrap()], Vec::new());
        check(&mapped, "192.0.2.200", true);
        assert!(mapped.contains("::ffff:192.0.2.1".parse().unwrap()));
        check(&mapped, "192.0.3.1", false);
    }

    #[test]
    fn texts_are_compared_as_they_are() {
        let set = set(&["alice", "bob"]);
        check(&set, "bob", true);
        check(&set, "Bob", false);
        assert!(!set.is_empty());
        assert!(IgnoreSet::default().is_empty());
    }

    #[test]
    fn the_ends_of_the_address_space_are_addresses_too() {
        let set = set(&["255.255.255.255", "255.255.255.254/31", "0.0.0.0", "::/0"]);
        check(&set, "255.255.255.255", true);
        check(&set, "0.0.0.0", true);
        check(&set, "0.0.0.1", false);
        check(&set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true);
    }

    #[test]
    fn loopback_is_this_host() {
        let set = IgnoreSet::new(loopback().to_vec(), Vec::new());
        check(&set, "127.200.0.1", true);
        check(&set, "::1", true);
        check(&set, "::2", false);
    }

    /// Networks close together, so that they overlap, touch and enclose each other often.
    fn some_net() -> impl Strategy<Value = IpNet> {
        let v4 = (0_u32..512, 20_u8..=32).prop_map(|(low, len)| {
            IpNet::new_assert(IpAddr::V4(Ipv4Addr::from_bits(0xc000_0000 + low)), len)
        });
        let v6 = (0_u128..512, 116_u8..=128).prop_map(|(low, len)| {
            IpNet::new_assert(IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) + low)), len)
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn the_set_agrees_with_a_scan_of_its_networks(
            nets in prop::collection::vec(some_net(), 0..24),
            asked in prop::collection::vec(some_net(), 1..32),
        ) {
            let set = IgnoreSet::new(nets.clone(), Vec::new());
            for net in asked {
                let holds = nets.iter().any(|have| have.contains(&net.addr()));
                prop_assert_eq!(set.contains(net.addr()), holds);
                let meets = nets.iter().any(|have| have.contains(&net) || net.trunc().contains(&have.trunc()));
                prop_assert_eq!(set.overlaps(net), meets);
            }
        }
    }
}
