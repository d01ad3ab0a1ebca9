//! Where the rest of a file is that was rotated away while nobody looked.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use stockade_core::FileCheckpoint;

use super::tail::{FileKey, open_file};
use crate::fingerprint::continues;

/// Endings of names of compressed files.
const COMPRESSED: [&str; 7] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".lzma", ".Z"];

/// Is the file compressed, by its name?
pub(super) fn is_compressed(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    COMPRESSED
        .iter()
        .any(|ending| name.ends_with(ending.as_bytes()))
}

/// The files that come between a checkpoint and the file that is at its path now.
#[derive(Debug, Default)]
pub(super) struct Predecessors {
    /// The file of the checkpoint under its new name.
    pub(super) rest: Option<(PathBuf, File)>,
    /// Files that were rotated later than it and never seen, oldest first.
    pub(super) unseen: Vec<(PathBuf, File)>,
    /// There are compressed files of this log.
    pub(super) compressed: bool,
}

/// Age of a rotated file by its name: how rotation programs name files, `a.log.1` and
/// `a.log-20261123`. A greater age is an older file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Number(u64),
    Date(std::cmp::Reverse<Vec<u8>>),
}

impl Age {
    /// Age of the file called `name`, a rotated one of the log called `base`.
    fn of(name: &OsStr, base: &OsStr) -> Option<Self> {
        let suffix = name.as_bytes().strip_prefix(base.as_bytes())?;
        let (separator, digits) = suffix.split_first()?;
        if digits.is_empty() || !matches!(separator, b'.' | b'-' | b'_') {
            return None;
        }
        let number = digits.iter().all(u8::is_ascii_digit);
        if *separator == b'.' && number && digits.len() < 6 {
            let text = std::str::from_utf8(digits).ok()?;
            return text.parse().ok().map(Self::Number);
        }
        let date = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.' | b':' | b'T');
        let is_date = digits.iter().all(date) && digits.first().is_some_and(u8::is_ascii_digit);
        is_date.then(|| Self::Date(std::cmp::Reverse(digits.to_vec())))
    }

    fn is_newer_than(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self < other
    }
}

/// Times that a directory is read again because names were moved while it was read.
const LISTINGS_MAX: usize = 8;

/// Looks for the file of `checkpoint`, which is not (or not at this length) at its path, and for
/// those that were rotated after it and before the file `until`, which is being read already.
///
/// It is the same inode under any name in the same directory, or a copy under a name that begins
/// with the log's (copytruncate): at least as long and with the same fingerprint.
pub(super) fn find(checkpoint: &FileCheckpoint, until: FileKey) -> io::Result<Predecessors> {
    // A symbolic link stands still; what it leads to is what is rotated.
    let path = &checkpoint.path;
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let (Some(dir), Some(base)) = (target.parent(), target.file_name()) else {
        return Ok(Predecessors::default());
    };
    let mut listing = list(dir)?;
    for _ in 1..LISTINGS_MAX {
        let found = find_in(&listing, base, checkpoint, until);
        let again = list(dir)?;
        if again == listing {
            return Ok(found);
        }
        listing = again;
    }
    Ok(find_in(&listing, base, checkpoint, until))
}

/// A name in a directory, and the inode it leads to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    path: PathBuf,
    inode: u64,
}

impl Entry {
    fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

/// The files in `dir`, sorted.
fn list(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            entries.push(Entry {
                path: entry.path(),
                inode: entry.ino(),
            });
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

fn find_in(
    listing: &[Entry],
    base: &OsStr,
    checkpoint: &FileCheckpoint,
    until: FileKey,
) -> Predecessors {
    let mut found = Predecessors::default();
    let mut related = Vec::new();
    for entry in listing.iter().filter(|entry| entry.name() != base) {
        let is_related = entry.name().as_bytes().starts_with(base.as_bytes());
        if is_related && is_compressed(&entry.path) {
            found.compressed = true;
            continue;
        }
        if is_related {
            related.push(entry);
        }
        if entry.inode == checkpoint.inode && found.rest.is_none() {
            found.rest = open_rest(entry, checkpoint, true);
        }
    }
    // Newest first, so that the newest of several copies is taken.
    related.sort_by_key(|entry| Age::of(entry.name(), base));
    if found.rest.is_none() {
        found.rest = related
            .iter()
            .find_map(|entry| open_rest(entry, checkpoint, false));
    }
    let rest_name = found.rest.as_ref().and_then(|(path, _)| path.file_name());
    if let Some(rest_age) = rest_name.and_then(|name| Age::of(name, base)) {
        let newer = |entry: &&&Entry| {
            Age::of(entry.name(), base).is_some_and(|age| age.is_newer_than(&rest_age))
        };
        found.unseen = related
            .iter()
            .rev()
            .filter(newer)
            .take_while(|entry| entry.inode != until.inode)
            .filter_map(|entry| open_regular(entry))
            .collect();
    }
    found
}

fn open_regular(entry: &Entry) -> Option<(PathBuf, File)> {
    let file = open_file(&entry.path).ok()?;
    let meta = file.metadata().ok()?;
    (meta.is_file() && meta.ino() == entry.inode).then(|| (entry.path.clone(), file))
}

fn open_rest(
    entry: &Entry,
    checkpoint: &FileCheckpoint,
    same_inode: bool,
) -> Option<(PathBuf, File)> {
    // An empty fingerprint fits every file: then only the inode tells.
    if checkpoint.fingerprint.len == 0 && !same_inode {
        return None;
    }
    let (path, file) = open_regular(entry)?;
    let is_same = FileKey::of(&file.metadata().ok()?) == FileKey::of_checkpoint(checkpoint);
    if same_inode && !is_same {
        return None;
    }
    continues(&file, checkpoint).ok()?.then_some((path, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(name: &str) -> Option<Age> {
        Age::of(OsStr::new(name), OsStr::new("a.log"))
    }

    #[test]
    fn a_lower_number_and_a_later_date_are_newer() {
        assert!(
            age("a.log.1")
                .unwrap()
                .is_newer_than(&age("a.log.10").unwrap())
        );
        let later = age("a.log-20261123").unwrap();
        assert!(later.is_newer_than(&age("a.log-20261122").unwrap()));
        assert!(!later.is_newer_than(&age("a.log.1").unwrap()));
    }

    #[test]
    fn names_that_are_not_of_a_rotation_have_no_age() {
        for name in [
            "a.log",
            "a.log.bak",
            "a.log-old",
            "a.log.",
            "b.log.1",
            "a.log2",
        ] {
            assert_eq!(age(name), None, "{name}");
        }
    }

    #[test]
    fn compressed_files_are_known_by_their_ending() {
        assert!(is_compressed(Path::new("/var/log/auth.log.2.gz")));
        assert!(!is_compressed(Path::new("/var/log/auth.log.2")));
    }
}
