//! What ingestion hands to detection, and where it stands in a source.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Timestamp;

/// Name of a log source, unique in the daemon: a path, `journal:<matches>` or `stdin`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// Takes `name` as it is.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Whole lines of one source, read at once.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Where the lines come from.
    pub source: SourceName,
    /// The lines, each ended by `\n`; not always UTF-8, NUL bytes possible. Shorter than 4 GiB, and
    /// empty where only the checkpoint has moved.
    pub text: Arc<[u8]>,
    /// Where each line's time is found.
    pub times: LineTimes,
    /// Where the source stands after these lines: reading on from here repeats none and skips none.
    pub checkpoint: Checkpoint,
}

/// Where the time of a line is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineTimes {
    /// In the line itself, as a date that detection reads.
    InText,
    /// Known from the source, one for each line of the chunk in order; the line carries no date.
    Given(Vec<Timestamp>),
}

/// How far a source has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// A log file.
    File(FileCheckpoint),
    /// A journal: the `__CURSOR` of the last entry (systemd.journal-fields(7)).
    Journal {
        /// Opaque text of journald.
        cursor: String,
    },
    /// The source cannot be read again (standard input).
    None,
}

/// How far a log file has been read, and how to recognise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCheckpoint {
    /// The path by which it was found.
    pub path: PathBuf,
    /// Device and inode, while the file lives.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// Bytes read, always at the beginning of a line.
    pub position: u64,
    /// What the file begins with, to tell a new file from the old one.
    pub fingerprint: Fingerprint,
}

/// The beginning of a file as a number: how many bytes were taken and their hash.
///
/// A file that grows keeps its fingerprint as long as these bytes stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// How many bytes at the beginning were hashed; zero for an empty file.
    pub len: u32,
    /// Hash of those bytes; the ingest crate says which.
    pub hash: u64,
}
