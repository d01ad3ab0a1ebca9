//! Which addresses a plugin may reach: those of the public internet. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who may be at an address.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anybody on the internet.
    Public,
    /// This machine or its neighbours; only for origins that are marked `private`.
    Private,
    /// Not one host; for nobody.
    Never,
}

/// Who may be at `addr`, by IANA's special-purpose address registries (RFC 6890).
pub(crate) fn reach(addr: IpAddr) -> Reach {
    match addr {
        IpAddr::V4(addr) => reach_v4(addr),
        IpAddr::V6(addr) => match embedded_v4(addr) {
            Some(inner) => reach_v4(inner),
            None => reach_v6(addr),
        },
    }
}

fn reach_v4(addr: Ipv4Addr) -> Reach {
    let [a, b, c, _] = addr.octets();
    let never = a == 0 || addr.is_multicast() || addr.is_broadcast();
    let private = addr.is_loopback()
        || addr.is_private()
        || addr.is_link_local()
        || addr.is_documentation()
        || (a == 100 && (64..128).contains(&b)) // 100.64.0.0/10, RFC 6598: carriers' NAT
        || (a == 192 && b == 0 && c == 0) // 192.0.0.0/24, RFC 6890: protocol assignments
        || (a == 192 && b == 88 && c == 99) // 192.88.99.0/24, RFC 7526: 6to4 relays
        || (a == 198 && (b == 18 || b == 19)) // 198.18.0.0/15, RFC 2544: benchmarks
        || a >= 240; // 240.0.0.0/4, RFC 1112: reserved
    if never {
        Reach::Never
    } else if private {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(addr: Ipv6Addr) -> Reach {
    let [a, b, ..] = addr.segments();
    if addr.is_unspecified() || addr.is_multicast() {
        return Reach::Never;
    }
    // Global unicast is 2000::/3 (RFC 4291 2.4); the rest is loopback, unique local (fc00::/7),
    // link-local (fe80::/10), site-local (fec0::/10), the discard prefix, or unassigned.
    let unicast = a & 0xe000 == 0x2000;
    let special = match a {
        // 2001::/23, RFC 2928: protocol assignments, Teredo; 2001:db8::/32, RFC 3849: documentation
        0x2001 => b < 0x0200 || b == 0x0db8,
        // 3fff::/20, RFC 9637: documentation
        0x3fff => b < 0x1000,
        _ => false,
    };
    if unicast && !special {
        Reach::Public
    } else {
        Reach::Private
    }
}

/// The IPv4 address that packets to `addr` end at: mapped and compatible addresses (RFC 4291
/// 2.5.5), translated ones (64:ff9b::/96 of RFC 6052) and 6to4 (2002::/16 of RFC 3056).
fn embedded_v4(addr: Ipv6Addr) -> Option<Ipv4Addr> {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = addr.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (s0, s1, s2, s3, s4, s5) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(s6, s7)),
        // `::` and `::1` are addresses of their own.
        (0, 0, 0, 0, 0, 0) if s6 != 0 || s7 > 1 => Some(join(s6, s7)),
        (0x2002, high, low, ..) => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Reach, addrs: &[&str]) {
        for addr in addrs {
            assert_eq!(reach(addr.parse().unwrap()), expected, "{addr}");
        }
    }

    #[test]
    fn hosts_on_the_internet_are_public() {
        check(
            Reach::Public,
            &[
                "1.1.1.1",
                "100.63.0.1",
                "100.128.0.1",
                "172.32.0.1",
                "2606:4700::1",
                "64:ff9b::1.1.1.1",
            ],
        );
    }

    #[test]
    fn this_machine_and_its_neighbours_are_private_in_every_disguise() {
        check(
            Reach::Private,
            &[
                "127.0.0.1",
                "127.255.0.9",
                "10.1.2.3",
                "172.16.0.1",
                "192.168.1.1",
                "169.254.169.254",
                "100.64.0.1",
                "192.0.2.1",
                "198.18.0.1",
                "203.0.113.9",
                "240.0.0.1",
                "192.0.0.1",
                "::1",
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "::127.0.0.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b:1::1",
                "2002:7f00:1::",
                "fc00::1",
                "fd12::1",
                "fe80::1",
                "fec0::1",
                "2001:db8::1",
                "2001::1",
                "3fff::1",
                "100::1",
                "4000::1",
            ],
        );
    }

    #[test]
    fn what_is_no_single_host_is_never_reached() {
        check(
            Reach::Never,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "224.0.0.1",
                "255.255.255.255",
                "::",
                "ff02::1",
                "::ffff:0.0.0.0",
            ],
        );
    }
}
