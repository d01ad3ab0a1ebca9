//! Reading the bytes of a log line.

use std::net::IpAddr;

use crate::parse_addr;

/// Ways to take a log line apart. None of them fails on bytes that are not UTF-8.
///
/// Where an attacker chooses a part of the line, read from the other side: what stands before a user
/// name and what stands after it is the program's, what stands in it may look like either.
pub trait LogText {
    /// What stands before and after the first `needle`.
    fn split_around(&self, needle: &str) -> Option<(&[u8], &[u8])>;

    /// What stands before and after the last `needle`.
    fn rsplit_around(&self, needle: &str) -> Option<(&[u8], &[u8])>;

    /// What stands after `prefix`, where the text begins with it.
    fn after_prefix(&self, prefix: &str) -> Option<&[u8]>;

    /// What stands before `suffix`, where the text ends with it.
    fn before_suffix(&self, suffix: &str) -> Option<&[u8]>;

    /// What stands after the first `needle`.
    fn after(&self, needle: &str) -> Option<&[u8]> {
        self.split_around(needle).map(|(_, rest)| rest)
    }

    /// The address that the whole text is, as of [`parse_addr`].
    fn addr(&self) -> Option<IpAddr>;
}

impl LogText for [u8] {
    fn split_around(&self, needle: &str) -> Option<(&[u8], &[u8])> {
        let needle = needle.as_bytes();
        let at = if needle.is_empty() {
            0
        } else {
            self.windows(needle.len()).position(|part| part == needle)?
        };
        Some((self.get(..at)?, self.get(at + needle.len()..)?))
    }

    fn rsplit_around(&self, needle: &str) -> Option<(&[u8], &[u8])> {
        let needle = needle.as_bytes();
        let at = if needle.is_empty() {
            self.len()
        } else {
            self.windows(needle.len())
                .rposition(|part| part == needle)?
        };
        Some((self.get(..at)?, self.get(at + needle.len()..)?))
    }

    fn after_prefix(&self, prefix: &str) -> Option<&[u8]> {
        self.strip_prefix(prefix.as_bytes())
    }

    fn before_suffix(&self, suffix: &str) -> Option<&[u8]> {
        self.strip_suffix(suffix.as_bytes())
    }

    fn addr(&self) -> Option<IpAddr> {
        parse_addr(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_at_the_first_or_the_last() {
        let text = b"a from b from c".as_slice();
        let (first, last) = (text.split_around(" from "), text.rsplit_around(" from "));
        assert_eq!(first, Some((&b"a"[..], &b"b from c"[..])));
        assert_eq!(last, Some((&b"a from b"[..], &b"c"[..])));
        assert_eq!(text.split_around(" to "), None);
        assert_eq!(b"x".rsplit_around("longer than the text"), None);
        assert_eq!(b"x".rsplit_around(""), Some((&b"x"[..], &b""[..])));
        assert_eq!(b"x".split_around(""), Some((&b""[..], &b"x"[..])));
    }
}
