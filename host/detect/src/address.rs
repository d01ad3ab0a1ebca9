//! Reading the address that stands at a place of a line, without a regex.
//!
//! This is the same language as the patterns in [`crate::tags`], read greedily. Where the greedy
//! reading is not certainly the one that the regex would take, it says so and the regex decides.

use std::net::{IpAddr, Ipv4Addr};

use stockade_core::parse_addr;

use crate::tags::Family;

/// An address tag matched by hand at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The tag cannot match here.
    None,
    /// If the tag matches here at all, it matches this.
    Address {
        addr: IpAddr,
        /// Where the address ends; a closing bracket may follow.
        end: usize,
    },
    /// Only the regex can tell.
    Unsure,
}

/// Could an address tag begin with this byte?
pub(crate) const fn may_begin(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'[')
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Reads the tag at `at`, its opening bracket included.
pub(crate) fn read(line: &[u8], at: usize, family: Family) -> Token {
    let start = at + usize::from(line.get(at) == Some(&b'['));
    if start > 0 && line.get(start - 1).is_some_and(|&b| is_word(b)) {
        return Token::None;
    }
    let rest = line.get(start..).unwrap_or_default();
    if family != Family::V6
        && let Some((addr, len)) = dotted(rest)
    {
        let zone = family == Family::Any && rest.get(len) == Some(&b'%');
        return match addr {
            Some(addr) if !zone => Token::Address {
                addr: IpAddr::V4(addr),
                end: start + len,
            },
            _ => Token::Unsure,
        };
    }
    if family == Family::V4 {
        return Token::None;
    }
    colons(rest, start)
}

/// `d{1,3}(.d{1,3}){3}` that no word follows: the address, if the numbers are in range, and length.
fn dotted(text: &[u8]) -> Option<(Option<Ipv4Addr>, usize)> {
    let mut octets = [0_u8; 4];
    let mut valid = true;
    let mut at = 0;
    for (i, octet) in octets.iter_mut().enumerate() {
        if i > 0 {
            if text.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let first = at;
        let mut value = 0_u16;
        while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit())
            && at - first < 3
        {
            value = value * 10 + u16::from(digit - b'0');
            at += 1;
        }
        let len = at - first;
        if len == 0 {
            return None;
        }
        // Leading zeros are octal to some readers and decimal to others, so nobody may be banned.
        valid &= !(len > 1 && text.get(first) == Some(&b'0'));
        match u8::try_from(value) {
            Ok(value) => *octet = value,
            Err(_) => valid = false,
        }
    }
    if text.get(at).is_some_and(|&b| is_word(b)) {
        return None;
    }
    Some((valid.then(|| Ipv4Addr::from(octets)), at))
}

/// `(h{0,4}:){2,8}(dotted|h{1,4})?` that no word follows.
fn colons(text: &[u8], start: usize) -> Token {
    let mut at = 0;
    let mut groups = 0;
    let mut hex = 0;
    while groups < 8 {
        hex = hex_run(text, at);
        if hex > 4 || text.get(at + hex) != Some(&b':') {
            break;
        }
        at += hex + 1;
        groups += 1;
        hex = 0;
    }
    if groups < 2 {
        return Token::None;
    }
    if groups == 8 {
        hex = hex_run(text, at);
    }
    let rest = text.get(at..).unwrap_or_default();
    let end = match dotted(rest) {
        Some((_, len)) => at + len,
        None if (1..=4).contains(&hex) => at + hex,
        None if hex == 0 => at,
        None => return Token::Unsure,
    };
    match text.get(end) {
        // A zone, or a word that is glued to it: fewer groups could still match.
        Some(&b) if is_word(b) || b == b'%' => return Token::Unsure,
        _ => {}
    }
    match text.get(..end).map(parse_addr) {
        Some(Ok(addr)) => Token::Address {
            addr,
            end: start + end,
        },
        _ => Token::Unsure,
    }
}

/// Every address that the tag can match at `at`, each with where the tag ends, brackets and zone
/// included; for the few places where [`read`] is unsure.
pub(crate) fn all(line: &[u8], at: usize, family: Family) -> Vec<(IpAddr, usize)> {
    let mut found = Vec::new();
    let bracket = line.get(at) == Some(&b'[');
    let start = at + usize::from(bracket);
    if start > 0 && line.get(start - 1).is_some_and(|&b| is_word(b)) {
        return found;
    }
    for end in start + 1..=(start + TEXT_LEN_MAX).min(line.len()) {
        if line.get(end).is_some_and(|&b| is_word(b)) {
            continue;
        }
        let Some(Ok(addr)) = line.get(start..end).map(parse_addr) else {
            continue;
        };
        let dotted = !line.get(start..end).unwrap_or_default().contains(&b':');
        if (dotted && family == Family::V6) || (!dotted && family == Family::V4) {
            continue;
        }
        let zone = if family == Family::V4 {
            0
        } else {
            zone_len(line.get(end..).unwrap_or_default())
        };
        // A zone is taken whole, in part or not at all, as what follows the tag wants it.
        for end in (end..=end + zone).filter(|&to| to != end + 1 || zone == 0) {
            found.push((addr, end));
            if line.get(end) == Some(&b']') {
                found.push((addr, end + 1));
            }
        }
    }
    found
}

/// The length of the longest zone that `text` begins with, its `%` included; 0 without one.
fn zone_len(text: &[u8]) -> usize {
    if text.first() != Some(&b'%') {
        return 0;
    }
    let of_zone = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let rest = text.get(1..).unwrap_or_default();
    match rest.iter().take(16).take_while(of_zone).count() {
        0 => 0,
        len => 1 + len,
    }
}

/// Longest text of an address by itself: six groups and a dotted tail, or eight groups.
const TEXT_LEN_MAX: usize = 8 * 5 + 15;

fn hex_run(text: &[u8], at: usize) -> usize {
    text.get(at..)
        .unwrap_or_default()
        .iter()
        // One more than the tag allows is enough to know that it is too long.
        .take(5)
        .take_while(|b| b.is_ascii_hexdigit())
        .count()
}

/// The longest text an address tag can match: brackets, eight groups, dotted tail and zone.
pub(crate) const LEN_MAX: usize = 2 + 8 * 5 + 15 + 17;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Option<(String, usize)> {
        match read(text.as_bytes(), 0, Family::Any) {
            Token::Address { addr, end } => Some((addr.to_string(), end)),
            _ => None,
        }
    }

    #[test]
    fn addresses_are_read_with_and_without_brackets() {
        let some = |text: &str, end| Some((text.to_owned(), end));
        assert_eq!(addr("192.0.2.1 port"), some("192.0.2.1", 9));
        assert_eq!(addr("[192.0.2.1]:22"), some("192.0.2.1", 10));
        assert_eq!(addr("::ffff:192.0.2.1,"), some("192.0.2.1", 16));
        assert_eq!(addr("2001:db8::1 "), some("2001:db8::1", 11));
        assert_eq!(addr("[2001:db8::]:22"), some("2001:db8::", 11));
        assert_eq!(addr("::"), some("::", 2));
    }

    #[test]
    fn every_way_to_read_an_address_is_found() {
        let ends = |text: &str| -> Vec<(String, usize)> {
            let found = all(text.as_bytes(), 0, Family::Any).into_iter();
            found.map(|(addr, end)| (addr.to_string(), end)).collect()
        };
        let zoned = ends("fe80::1%e0 ");
        let expected = [7, 9, 10].map(|end| ("fe80::1".to_owned(), end));
        assert!(zoned.ends_with(&expected), "{zoned:?}");
        let bracketed = ends("[192.0.2.1]:22");
        assert_eq!(bracketed, [10, 11].map(|end| ("192.0.2.1".to_owned(), end)));
        assert_eq!(ends("10:20:30"), []);
        assert_eq!(ends("1.2.3.4x"), []);
    }

    #[test]
    fn what_only_looks_like_an_address_is_none() {
        for text in [
            "192.0.2.400",
            "192.0.2.1a",
            "192.0.02.1",
            "1.2.3",
            "abc",
            "12:34",
            "",
        ] {
            assert_eq!(addr(text), None, "{text}");
        }
        assert_eq!(read(b"x192.0.2.1", 1, Family::Any), Token::None);
        assert_eq!(read(b"192.0.2.1", 0, Family::V6), Token::None);
        assert_eq!(read(b"::1", 0, Family::V4), Token::None);
    }
}
