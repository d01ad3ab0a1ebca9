//! Text from outside, made safe to show.

use std::fmt;

/// Bytes as text on one line: control characters, what is not UTF-8, and what could turn a terminal's
/// or a reader's line around (U+2028, U+2029, U+202A to U+202E, U+2066 to U+2069) are escaped.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            for c in part.valid().chars() {
                if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in part.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_is_escaped() {
        let shown = |bytes: &[u8]| Escaped(bytes).to_string();
        assert_eq!(shown(b"a\n[sshd] Ban 1.2.3.4"), "a\\n[sshd] Ban 1.2.3.4");
        assert_eq!(shown(b"\x1b[2J\0"), "\\u{1b}[2J\\u{0}");
        assert_eq!(shown(b"caf\xc3\xa9 \xff"), "caf\u{e9} \\xff");
        assert_eq!(shown("\u{202e}abc".as_bytes()), "\\u{202e}abc");
    }
}
