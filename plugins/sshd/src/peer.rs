//! Reads the other side's address, as sshd writes it.

use std::net::IpAddr;

use stockade_sdk::filter::LogText;
use stockade_sdk::parse_addr;

use crate::tail::is_number;

/// Longest zone of a link-local address that is taken: `IFNAMSIZ` of Linux.
const ZONE_LEN_MAX: usize = 16;

/// Whether ` port N` follows the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    None,
    Optional,
    Given,
}

/// All of `text` as an address, with a zone (`%eth0`) that is not part of what is banned, or in
/// brackets.
pub(crate) fn addr(text: &[u8]) -> Option<IpAddr> {
    let text = text.after_prefix("[").unwrap_or(text);
    let text = text.before_suffix("]").unwrap_or(text);
    match text.split_around("%") {
        None => parse_addr(text),
        Some((text, zone)) => {
            let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
            let fits = (1..=ZONE_LEN_MAX).contains(&zone.len()) && zone.iter().all(allowed);
            if fits { parse_addr(text) } else { None }
        }
    }
}

/// All of `text` as `ADDR[ port N]`.
pub(crate) fn whole(text: &[u8], port: Port) -> Option<IpAddr> {
    addr(before_port(text, port)?)
}

/// `BEFORE ADDR[ port N]` at the end of `text`: what stands before the last address, and that. From
/// the end, because what stands before it is the attacker's. `BEFORE` may be empty.
pub(crate) fn at_end(text: &[u8], port: Port) -> Option<(&[u8], IpAddr)> {
    let (before, word) = before_port(text, port)?.rsplit_around(" ")?;
    Some((before, addr(word)?))
}

/// `USER from ADDR[ port N]` at the end of `text`. `USER` may be empty.
pub(crate) fn user_at_end(text: &[u8], port: Port) -> Option<(&[u8], IpAddr)> {
    let (before, addr) = at_end(text, port)?;
    Some((before.before_suffix(" from")?, addr))
}

/// `ADDR[ port N]: ` at the start of `text`, and what follows it.
pub(crate) fn before_colon(text: &[u8], port: Port) -> Option<(IpAddr, &[u8])> {
    let (peer, rest) = text.split_around(": ")?;
    Some((whole(peer, port)?, rest))
}

/// What stands before ` port N`.
fn before_port(text: &[u8], port: Port) -> Option<&[u8]> {
    let stripped = || {
        let (rest, digits) = text.rsplit_around(" port ")?;
        is_number(digits).then_some(rest)
    };
    match port {
        Port::None => Some(text),
        Port::Optional => Some(stripped().unwrap_or(text)),
        Port::Given => stripped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_peer_at_the_end_is_the_last_one() {
        let text = b"x 203.0.113.9 port 22 192.0.2.1 port 5";
        let expected = (&b"x 203.0.113.9 port 22"[..], ip("192.0.2.1"));
        assert_eq!(at_end(text, Port::Given), Some(expected));
        assert_eq!(at_end(text, Port::Optional), Some(expected));
        assert_eq!(at_end(text, Port::None), None);
        for text in [
            "x port 5",
            "x 192.0.2.1 port 5 ",
            "x 192.0.2.1 port",
            "x 192.0.2.1",
        ] {
            assert_eq!(at_end(text.as_bytes(), Port::Given), None, "{text:?}");
        }
    }

    #[test]
    fn the_peer_at_the_start_is_the_first_one() {
        let text = b"192.0.2.1 port 5: for 203.0.113.9 port 22: x";
        let expected = (ip("192.0.2.1"), &b"for 203.0.113.9 port 22: x"[..]);
        assert_eq!(before_colon(text, Port::Given), Some(expected));
        assert_eq!(
            before_colon(b"2001:db8::: x", Port::Optional),
            Some((ip("2001:db8::"), &b"x"[..]))
        );
        assert_eq!(before_colon(b"192.0.2.1: x", Port::Given), None);
        assert_eq!(before_colon(b"x 192.0.2.1 port 5: x", Port::Given), None);
    }

    #[test]
    fn a_zone_and_brackets_are_not_part_of_an_address() {
        assert_eq!(addr(b"fe80::1%eth0"), Some(ip("fe80::1")));
        assert_eq!(addr(b"[2001:db8::1]"), Some(ip("2001:db8::1")));
        assert_eq!(addr(b"::ffff:192.0.2.1"), Some(ip("192.0.2.1")));
        for text in ["fe80::1%", "fe80::1%a b", "host.example.com", ""] {
            assert_eq!(addr(text.as_bytes()), None, "{text:?}");
        }
    }
}
