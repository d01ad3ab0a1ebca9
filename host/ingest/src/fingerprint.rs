//! Recognising a file by what it begins with.
//!
//! The hash is the first 64 bits of SHA-256, big-endian. Log text is hostile: with a weaker hash
//! somebody who can write the first lines of a new log could make it look like the old one, and
//! its lines would be taken for read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};
use stockade_core::{FileCheckpoint, Fingerprint};

/// At most so many bytes at the beginning of a file make its fingerprint, and never more than
/// have been read as lines. Some ten lines with their dates: no two logs begin alike, and a
/// thousand watched files cost a MiB to remember.
pub const FINGERPRINT_LEN_MAX: usize = 1024;

/// Fingerprint of `head`, the first bytes of a file.
pub(crate) fn fingerprint(head: &[u8]) -> Fingerprint {
    let head = head.get(..FINGERPRINT_LEN_MAX).unwrap_or(head);
    let Ok(len) = u32::try_from(head.len()) else {
        return Fingerprint::default();
    };
    if len == 0 {
        return Fingerprint::default();
    }
    let digest = Sha256::digest(head);
    let mut first = [0_u8; 8];
    for (to, from) in first.iter_mut().zip(digest) {
        *to = from;
    }
    Fingerprint {
        len,
        hash: u64::from_be_bytes(first),
    }
}

/// The first `len` bytes of `file`, or fewer where it is shorter.
pub(crate) fn read_head(file: &File, len: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; len.min(FINGERPRINT_LEN_MAX)];
    let mut filled = 0;
    while let Some(free) = head.get_mut(filled..).filter(|free| !free.is_empty()) {
        match file.read_at(free, filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// Does `file` begin as the file of `checkpoint` did, and is it at least as long as was read?
///
/// A checkpoint at the beginning says nothing about the file and fits every one.
pub(crate) fn continues(file: &File, checkpoint: &FileCheckpoint) -> io::Result<bool> {
    if file.metadata()?.len() < checkpoint.position {
        return Ok(false);
    }
    let len = usize::try_from(checkpoint.fingerprint.len).unwrap_or(usize::MAX);
    Ok(fingerprint(&read_head(file, len)?) == checkpoint.fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_head_has_the_default_fingerprint() {
        assert_eq!(fingerprint(b""), Fingerprint::default());
    }

    #[test]
    fn the_hash_is_the_beginning_of_sha_256() {
        // FIPS 180-2, appendix B.1: ba7816bf 8f01cfea ...
        let expected = Fingerprint {
            len: 3,
            hash: 0xba78_16bf_8f01_cfea,
        };
        assert_eq!(fingerprint(b"abc"), expected);
    }

    #[test]
    fn bytes_past_the_limit_do_not_change_it() {
        let long = vec![b'x'; FINGERPRINT_LEN_MAX + 1];
        assert_eq!(
            fingerprint(&long),
            fingerprint(&long[..FINGERPRINT_LEN_MAX])
        );
    }
}
