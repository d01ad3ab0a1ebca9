//! Text from plugins and logs, made safe to show.

use stockade_core::Escaped;

/// At most the first `bytes_max` bytes of `text` on one line: control characters, what is not UTF-8,
/// and what could turn a reader's line around (U+2028 to U+202E, U+2066 to U+2069) are escaped.
/// What was cut off is marked by `…`.
pub(crate) fn escaped(text: &[u8], bytes_max: usize) -> String {
    let (kept, cut) = match text.split_at_checked(bytes_max) {
        Some((kept, rest)) if !rest.is_empty() => (kept, true),
        _ => (text, false),
    };
    let mut out = Escaped(kept).to_string();
    if cut {
        out.push('…');
    }
    out
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('?'));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_is_escaped_and_cut() {
        assert_eq!(escaped(b"a\n[sshd] Ban", 99), "a\\n[sshd] Ban");
        assert_eq!(escaped(b"\x1b[2J\0\xff", 99), "\\u{1b}[2J\\u{0}\\xff");
        assert_eq!(escaped("\u{202e}x".as_bytes(), 99), "\\u{202e}x");
        assert_eq!(escaped(b"abcdef", 3), "abc…");
        assert_eq!(escaped("aé".as_bytes(), 2), "a\\xc3…");
        assert_eq!(hex(&[0x0f, 0xa0]), "0fa0");
    }
}
