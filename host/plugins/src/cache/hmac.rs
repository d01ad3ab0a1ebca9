//! HMAC-SHA-256 (RFC 2104).

use sha2::{Digest as _, Sha256};

/// Bytes of a code and of our keys.
pub(super) const CODE_BYTES: usize = 32;
/// The block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// The code of the concatenation of `parts` under `key`.
pub(super) fn code(key: &[u8; CODE_BYTES], parts: &[&[u8]]) -> [u8; CODE_BYTES] {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK_BYTES];
        for (to, from) in block.iter_mut().zip(key) {
            *to ^= from;
        }
        block
    };
    let mut inner = Sha256::new();
    inner.update(pad(0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new();
    outer.update(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Whether two codes are equal, in a time that does not tell where they differ.
#[must_use]
pub(super) fn is_equal(a: &[u8; CODE_BYTES], b: &[u8]) -> bool {
    let differing = a
        .iter()
        .zip(b)
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    std::hint::black_box(differing) == 0 && b.len() == CODE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escape::hex;

    #[test]
    fn agrees_with_rfc_4231() {
        // Test case 1; a key is padded with zeros to a block, so 20 bytes fit our 32.
        let mut key = [0; CODE_BYTES];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex(&code(&key, &[b"Hi ", b"There"])), expected);
    }

    #[test]
    fn only_equal_codes_are_equal() {
        let one = code(&[1; 32], &[b"x"]);
        assert!(is_equal(&one, &one));
        assert!(!is_equal(&one, &code(&[2; 32], &[b"x"])));
        assert!(!is_equal(&one, &[]));
    }
}
