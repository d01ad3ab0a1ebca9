//! What sshd writes behind an address.

use stockade_sdk::filter::LogText;

/// What stands before ` [preauth]`, the mark of the process that serves who has not logged in.
pub(crate) fn before_preauth(text: &[u8]) -> Option<&[u8]> {
    text.before_suffix(" [preauth]")
}

/// What stands before ` ssh2` or ` ssh`, or all of `text`.
pub(crate) fn before_protocol(text: &[u8]) -> &[u8] {
    let version = text.last().filter(|byte| byte.is_ascii_digit());
    let rest = match (version, text.split_last()) {
        (Some(_), Some((_, rest))) => rest,
        _ => text,
    };
    rest.before_suffix(" ssh").unwrap_or(text)
}

/// What stands before `: TYPE FINGERPRINT`, or all of `text`.
///
/// Of a certificate more would follow, with an identity of the client's choice. That is not read.
pub(crate) fn before_key(text: &[u8]) -> &[u8] {
    try_before_key(text).unwrap_or(text)
}

fn try_before_key(text: &[u8]) -> Option<&[u8]> {
    let (rest, fingerprint) = text.rsplit_around(" ")?;
    let (rest, kind) = rest.rsplit_around(": ")?;
    let of_kind = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'-');
    let known = is_fingerprint(fingerprint) && !kind.is_empty() && kind.iter().all(of_kind);
    known.then_some(rest)
}

fn is_fingerprint(text: &[u8]) -> bool {
    let (digits, allowed): (&[u8], fn(&u8) -> bool) = match text.after_prefix("SHA256:") {
        Some(base64) => (base64, |byte| {
            byte.is_ascii_alphanumeric() || b"+/=".contains(byte)
        }),
        None => (
            text.after_prefix("MD5:").unwrap_or(text),
            |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b':'),
        ),
    };
    !digits.is_empty() && digits.iter().all(allowed)
}

/// Whether `text` is words of plain letters, as sshd's own reasons are.
pub(crate) fn is_words(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || *byte == b' ')
}

/// Whether `text` is a decimal number.
pub(crate) fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_type_and_a_fingerprint() {
        for key in [
            "RSA SHA256:ab+/9=",
            "ED25519 MD5:0f:11",
            "ECDSA-CERT 0f:11:22",
        ] {
            assert_eq!(before_key(format!("x: {key}").as_bytes()), b"x", "{key}");
        }
        for text in [
            "x: RSA SHA256:",
            "x: RSA SHA256:a b",
            "x: rsa SHA256:ab",
            "x: RSA-CERT SHA256:ab ID me (serial 0) CA RSA SHA256:cd",
            "x RSA SHA256:ab",
            "x",
        ] {
            assert_eq!(before_key(text.as_bytes()), text.as_bytes());
        }
    }

    #[test]
    fn a_protocol_may_have_its_version() {
        assert_eq!(before_protocol(b"x ssh2"), b"x");
        assert_eq!(before_protocol(b"x ssh"), b"x");
        assert_eq!(before_protocol(b"x port 22"), b"x port 22");
        assert_eq!(before_protocol(b"xssh2"), b"xssh2");
        assert_eq!(before_protocol(b""), b"");
    }
}
