//! One open file: reading its lines on from a position, and noticing that it was rewritten.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use stockade_core::{FileCheckpoint, Fingerprint};

use super::Start;
use super::watch::Wd;
use crate::fingerprint::{FINGERPRINT_LEN_MAX, fingerprint, read_head};
use crate::lines::{Skipped, cut};

/// Which file it is, whatever its name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileKey {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
        }
    }

    pub(super) fn of_checkpoint(checkpoint: &FileCheckpoint) -> Self {
        Self {
            device: checkpoint.device,
            inode: checkpoint.inode,
        }
    }
}

/// What a tail is to its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The path leads to it, or did last, or it is older and its turn has not come.
    Whole,
    /// A newer file is being read already; this one is only listened to for late lines.
    Lingering,
}

/// An open file and how far it has been read.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    pub(super) key: FileKey,
    /// Always the beginning of a line.
    position: u64,
    /// The first bytes before `position`, as they were when they were read.
    head: Vec<u8>,
    /// The fingerprint of `head`.
    mark: Fingerprint,
    /// The line at `position` is over-long and goes on at least to here.
    scanned: Option<u64>,
    pub(super) phase: Phase,
    pub(super) watch: Option<Wd>,
    /// When it last grew, or became what it is.
    pub(super) active_at: Instant,
    /// When a newer file took its path.
    pub(super) replaced_at: Option<Instant>,
    /// Somebody who wrote to it has closed it, and nobody has written since.
    pub(super) closed: bool,
    /// A copy of a truncated file: nobody writes to it.
    pub(super) copy: bool,
    /// Which specs want its lines; sorted.
    pub(super) specs: Vec<usize>,
}

/// What reading once gave.
#[derive(Debug)]
pub(super) enum Read {
    /// Whole lines (none where only the end of an over-long line was found), and whether there
    /// may be more at once.
    Lines {
        text: Arc<[u8]>,
        skipped: Skipped,
        more: bool,
    },
    /// Nothing new.
    Nothing,
    /// The file is shorter than before, or begins with something else.
    Rewritten,
}

/// Opens `path` for reading, without ever waiting for somebody (a named pipe) and without
/// becoming a controlling terminal's owner.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

impl Tail {
    /// Reads `file` on from `position`, which is the beginning of a line.
    pub(super) fn new(file: File, position: u64, now: Instant) -> io::Result<Self> {
        let key = FileKey::of(&file.metadata()?);
        let head_len = usize::try_from(position).unwrap_or(usize::MAX);
        let head = read_head(&file, head_len)?;
        // Truncated since somebody looked: there is nothing of what was read before.
        let is_shorter = head.len() < head_len.min(FINGERPRINT_LEN_MAX);
        let (position, head) = if is_shorter {
            (0, Vec::new())
        } else {
            (position, head)
        };
        Ok(Self {
            key,
            position,
            mark: fingerprint(&head),
            head,
            file,
            scanned: None,
            phase: Phase::Whole,
            watch: None,
            active_at: now,
            replaced_at: None,
            closed: false,
            copy: false,
            specs: Vec::new(),
        })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn checkpoint(&self, path: &Path) -> FileCheckpoint {
        FileCheckpoint {
            path: path.to_owned(),
            device: self.key.device,
            inode: self.key.inode,
            position: self.position,
            fingerprint: self.mark,
        }
    }

    /// The file has no name any more.
    pub(super) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    /// Reads at most one buffer of new lines. `buf` is longer than `line_len_max`.
    pub(super) fn read(&mut self, buf: &mut [u8], line_len_max: usize) -> io::Result<Read> {
        let from = self.scanned.unwrap_or(self.position);
        let n = loop {
            match self.file.read_at(buf, from) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        // Looking at the beginning after reading makes sure that what was read belongs to it.
        if read_head(&self.file, self.head.len())? != self.head {
            return Ok(Read::Rewritten);
        }
        if n == 0 {
            let shorter = self.file.metadata()?.len() < from;
            return Ok(if shorter {
                Read::Rewritten
            } else {
                Read::Nothing
            });
        }
        let more = n == buf.len();
        let got = buf.get(..n).unwrap_or_default();
        if from == 0 && is_hole(got) {
            self.pass_hole(buf)?;
            return Ok(Read::Lines {
                text: Arc::default(),
                skipped: Skipped::default(),
                more: true,
            });
        }
        if self.scanned.is_some() {
            return Ok(self.skip(got, from, more));
        }
        let cut = cut(got, line_len_max);
        self.remember(got.get(..cut.consumed).unwrap_or_default());
        self.position += cut.consumed as u64;
        if cut.overlong {
            self.scanned = Some(from + n as u64);
        } else if cut.consumed == 0 {
            return Ok(Read::Nothing);
        }
        Ok(Read::Lines {
            text: cut.shared(got),
            skipped: cut.skipped,
            more,
        })
    }

    /// Looks for the end of the over-long line in `got`, which was read at `from`.
    fn skip(&mut self, got: &[u8], from: u64, more: bool) -> Read {
        let mut skipped = Skipped::default();
        if let Some(newline) = memchr::memchr(b'\n', got) {
            let end = from + newline as u64;
            skipped.lines = 1;
            skipped.bytes = end - self.position;
            self.position = end + 1;
            self.scanned = None;
            self.complete_head();
        } else {
            self.scanned = Some(from + got.len() as u64);
        }
        Read::Lines {
            text: Arc::default(),
            skipped,
            more: more || self.scanned.is_none(),
        }
    }

    /// Adds what was just read at `position` to the head, if that is not complete.
    fn remember(&mut self, read: &[u8]) {
        let missing = FINGERPRINT_LEN_MAX.saturating_sub(self.head.len());
        let new = read.get(..missing).unwrap_or(read);
        // Before the position reaches the limit, the head is everything that was read.
        if !new.is_empty() && self.head.len() as u64 == self.position {
            self.head.extend_from_slice(new);
            self.mark = fingerprint(&self.head);
        }
    }

    /// The same after bytes were passed over that are not at hand any more.
    fn complete_head(&mut self) {
        if self.head.len() < FINGERPRINT_LEN_MAX {
            let len = usize::try_from(self.position).unwrap_or(usize::MAX);
            if let Ok(head) = read_head(&self.file, len) {
                self.mark = fingerprint(&head);
                self.head = head;
            }
        }
    }

    /// Reads the file from its beginning from now on.
    pub(super) fn restart(&mut self) {
        self.position = 0;
        self.scanned = None;
        self.head.clear();
        self.mark = Fingerprint::default();
    }

    /// Passes over a hole at the beginning of the file.
    ///
    /// A program that writes on at its old offset into a file that was truncated leaves a hole
    /// that reads as NUL bytes. It is no line, and the first line after it is one.
    fn pass_hole(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let mut hole = 0_u64;
        loop {
            let n = self.file.read_at(buf, hole)?;
            let got = buf.get(..n).unwrap_or_default();
            let nuls = got.iter().position(|&b| b != 0);
            hole += nuls.unwrap_or(n) as u64;
            if nuls.is_some() || n == 0 {
                break;
            }
        }
        self.position = hole;
        self.complete_head();
        Ok(())
    }

    /// The line at the end that has no newline, once the file is final; with a newline added.
    pub(super) fn take_rest(&mut self, line_len_max: usize) -> io::Result<(Vec<u8>, Skipped)> {
        let mut skipped = Skipped::default();
        let len = self.file.metadata()?.len();
        let rest_len = len.saturating_sub(self.position);
        if rest_len > line_len_max as u64 {
            skipped.lines = 1;
            skipped.bytes = rest_len;
            self.position = len;
            return Ok((Vec::new(), skipped));
        }
        let mut rest = vec![0; usize::try_from(rest_len).unwrap_or(0)];
        let n = self.file.read_at(&mut rest, self.position)?;
        rest.truncate(n);
        self.remember(&rest);
        self.position += n as u64;
        if !rest.is_empty() {
            rest.push(b'\n');
        }
        Ok((rest, skipped))
    }

    /// Merges `specs` into those that want the lines.
    pub(super) fn add_specs(&mut self, specs: &[usize]) {
        for spec in specs {
            if let Err(at) = self.specs.binary_search(spec) {
                self.specs.insert(at, *spec);
            }
        }
    }
}

/// So many NUL bytes at the beginning of a file are a hole. Fewer may be somebody's line.
const HOLE_LEN_MIN: usize = 512;

fn is_hole(beginning: &[u8]) -> bool {
    beginning
        .get(..HOLE_LEN_MIN)
        .is_some_and(|bytes| bytes.iter().all(|&b| b == 0))
}

/// Where the reading of a file begins that was never seen before.
pub(super) fn first_position(file: &File, start: Start, line_len_max: usize) -> io::Result<u64> {
    match start {
        Start::Head => Ok(0),
        Start::Tail => last_line_start(file, line_len_max),
    }
}

/// The position after the last newline, so that a line being written is read as a whole. Looks
/// back no further than a line may be long; a longer line is skipped as over-long from there.
fn last_line_start(file: &File, line_len_max: usize) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let from = len.saturating_sub(line_len_max as u64 + 1);
    let mut end = vec![0; usize::try_from(len - from).unwrap_or(0)];
    let n = file.read_at(&mut end, from)?;
    let newline = memchr::memrchr(b'\n', end.get(..n).unwrap_or_default());
    Ok(newline.map_or(from, |at| from + at as u64 + 1))
}
