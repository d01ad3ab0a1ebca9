//! Addresses: their text in a log line, and their form at the border.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bindings::host::stockade::types::types as wit;

/// Reads an IPv4 or IPv6 address in text form; an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) is the
/// IPv4 address. Neither a name nor a port, a zone or brackets are taken.
#[must_use]
pub fn parse_addr(text: &[u8]) -> Option<IpAddr> {
    let addr: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(addr.to_canonical())
}

pub(crate) fn to_wit(addr: IpAddr) -> wit::IpAddress {
    match addr.to_canonical() {
        IpAddr::V4(addr) => wit::IpAddress::Ipv4(addr.to_bits()),
        IpAddr::V6(addr) => {
            let [a, b, c, d, e, f, g, h, rest @ ..] = addr.octets();
            let upper = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            wit::IpAddress::Ipv6((upper, u64::from_be_bytes(rest)))
        }
    }
}

pub(crate) fn from_wit(addr: wit::IpAddress) -> IpAddr {
    match addr {
        wit::IpAddress::Ipv4(bits) => Ipv4Addr::from_bits(bits).into(),
        wit::IpAddress::Ipv6((upper, lower)) => {
            let bits = u128::from(upper) << 64 | u128::from(lower);
            IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_survives_the_border(bits: u128, short: u32, v6: bool) {
            let addr: IpAddr = if v6 {
                Ipv6Addr::from_bits(bits).into()
            } else {
                Ipv4Addr::from_bits(short).into()
            };
            prop_assert_eq!(from_wit(to_wit(addr)), addr.to_canonical());
        }

        #[test]
        fn an_address_is_read_as_it_is_shown(bits: u128) {
            let addr = IpAddr::from(Ipv6Addr::from_bits(bits));
            prop_assert_eq!(
                parse_addr(addr.to_string().as_bytes()),
                Some(addr.to_canonical())
            );
        }
    }

    #[test]
    fn a_mapped_address_crosses_as_ipv4() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(to_wit(mapped), wit::IpAddress::Ipv4(0xc000_0201));
    }

    #[test]
    fn only_an_address_is_an_address() {
        assert_eq!(
            parse_addr(b"::ffff:192.0.2.1"),
            Some("192.0.2.1".parse().unwrap())
        );
        for text in [
            "",
            "192.0.2.1 ",
            "192.0.2.256",
            "[::1]",
            "fe80::1%eth0",
            "host",
        ] {
            assert_eq!(parse_addr(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_addr(b"\xff\xfe"), None);
    }
}
