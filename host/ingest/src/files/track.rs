//! One path, and the files that have been behind it: the current one, and older ones that are
//! still being drained.
//!
//! The files are read one after the other, oldest first, so that one checkpoint says where the
//! path stands. A file that has been replaced is finished when its writer has closed it, or when
//! it has been quiet for a while; only then its successor is begun. It is listened to for some
//! time longer, because a program may write to the old file until somebody tells it to reopen:
//! such late lines are passed on with the checkpoint of the successor. They are the only lines
//! that a restart of stockade in just that time would lose.
//!
//! A last line without newline in a replaced file is passed on as a line when the writer is known
//! to be gone: it has closed the file, or stayed silent for the whole time.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stockade_core::{Checkpoint, Chunk, FileCheckpoint, LineTimes, SourceName};

use super::tail::{FileKey, Phase, Read, Tail};
use super::{FileOptions, Sink};
use crate::lines::Skipped;
use crate::notice::Notice;

/// Old files of one path that are listened to for late lines. More only pile up where a log is
/// rotated every few seconds, and then the oldest is given up.
const LINGERING_MAX: usize = 4;

/// A file that was renamed away, without a new one at its path, is closed after this time without
/// a new line: until then the program may well go on writing to it. (One that was deleted is
/// closed after `FileOptions::linger`, so that its space is freed.)
const ABANDONED: Duration = Duration::from_hours(1);

/// What is known of a path and its files.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) path: PathBuf,
    source: SourceName,
    /// Which specs the path matches; sorted.
    pub(super) specs: Vec<usize>,
    /// Oldest first; lingering ones come before all others.
    pub(super) tails: VecDeque<Tail>,
    /// The path leads nowhere.
    pub(super) missing: bool,
    /// The last complaint about the path, so that it is made once.
    pub(super) complaint: Option<String>,
    /// In the queue of tracks to be read.
    pub(super) queued: bool,
    /// Was found once before, and not opened because its name is that of a rotated file.
    pub(super) held: bool,
    /// The place where the path stands was not reached by reading: it has to be passed on before
    /// the first line is.
    pub(super) announce: bool,
    /// Where the file stood that was truncated last.
    pub(super) before: Option<FileCheckpoint>,
    /// When the file was modified, at the last look: seconds and nanoseconds.
    pub(super) modified: Option<(i64, i64)>,
}

/// What reading a track gave.
#[derive(Debug, Default)]
pub(super) struct Pumped {
    /// There may be more at once.
    pub(super) more: bool,
    /// The current file was rewritten; this is where it stood.
    pub(super) rewritten: Option<FileCheckpoint>,
    /// Files that are closed now.
    pub(super) closed: Vec<Tail>,
}

impl Track {
    pub(super) fn new(path: PathBuf, specs: Vec<usize>) -> Self {
        let source = SourceName::new(&path.to_string_lossy());
        Self {
            path,
            source,
            specs,
            tails: VecDeque::new(),
            missing: false,
            complaint: None,
            queued: false,
            held: false,
            announce: false,
            before: None,
            modified: None,
        }
    }

    /// The file the path leads to, or led to last.
    pub(super) fn newest(&self) -> Option<&Tail> {
        self.tails.back()
    }

    /// Index of the file that is being read; those before it linger.
    fn active_index(&self) -> Option<usize> {
        self.tails
            .iter()
            .position(|tail| tail.phase == Phase::Whole)
    }

    /// Where the path stands.
    pub(super) fn checkpoint(&self) -> Option<FileCheckpoint> {
        let active = self.active_index().and_then(|at| self.tails.get(at));
        active
            .or_else(|| self.tails.back())
            .map(|tail| tail.checkpoint(&self.path))
    }

    /// Several files are behind the path, or the path leads nowhere: time will change something.
    pub(super) fn is_settling(&self) -> bool {
        self.tails.len() > 1 || (self.missing && !self.tails.is_empty())
    }

    /// Makes `tail` the file behind the path.
    pub(super) fn push(&mut self, mut tail: Tail, now: Instant) {
        for older in &mut self.tails {
            older.replaced_at.get_or_insert(now);
        }
        tail.phase = Phase::Whole;
        tail.replaced_at = None;
        tail.add_specs(&self.specs);
        self.tails.push_back(tail);
        self.missing = false;
    }

    /// Goes on with the newest file at once, which was begun under another name: its place has to
    /// be stored before that name's is overwritten, so nothing else may stand for the path.
    pub(super) fn skip_to_newest(&mut self, now: Instant) {
        let older = self.tails.len().saturating_sub(1);
        for tail in self.tails.iter_mut().take(older) {
            tail.phase = Phase::Lingering;
            tail.active_at = now;
        }
    }

    /// Reads the file of `old` from its beginning, after the rest of a copy of what it was.
    pub(super) fn restart(&mut self, old: FileCheckpoint, copy: Option<Tail>, now: Instant) {
        let key = FileKey::of_checkpoint(&old);
        let at = self.tails.iter().position(|tail| tail.key == key);
        if let Some(tail) = at.and_then(|at| self.tails.get_mut(at)) {
            tail.restart();
        }
        if let (Some(mut copy), Some(at)) = (copy, at) {
            copy.copy = true;
            copy.replaced_at = Some(now);
            copy.add_specs(&self.specs);
            self.tails.insert(at, copy);
        }
        self.before = Some(old);
    }

    /// Reads at most one buffer from each file whose turn it is.
    pub(super) fn pump(
        &mut self,
        buf: &mut [u8],
        options: &FileOptions,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Pumped {
        let mut pumped = Pumped::default();
        if std::mem::take(&mut self.announce)
            && let Some(checkpoint) = self.checkpoint()
        {
            (sink.chunk)(&self.specs, self.chunk(Arc::default(), checkpoint));
        }
        let active = self.active_index();
        let reading = active.map_or(self.tails.len(), |at| at + 1);
        for at in 0..reading {
            let Some(tail) = self.tails.get_mut(at) else {
                break;
            };
            match tail.read(buf, options.line_len_max) {
                Ok(Read::Nothing) => {}
                Ok(Read::Lines {
                    text,
                    skipped,
                    more,
                }) => {
                    tail.active_at = now;
                    pumped.more |= more;
                    self.emit(at, text, skipped, sink);
                }
                Ok(Read::Rewritten) => {
                    // Of a file that lingers, only late lines were of interest.
                    if tail.phase == Phase::Whole && !tail.copy {
                        pumped.rewritten = Some(tail.checkpoint(&self.path));
                    } else {
                        pumped.closed.extend(self.tails.remove(at));
                    }
                    pumped.more = true;
                    return pumped;
                }
                Err(error) => self.complain(error, sink),
            }
        }
        if !pumped.more {
            self.settle(options, now, sink, &mut pumped);
        }
        pumped
    }

    /// Reports that the path cannot be read, once for each different reason.
    pub(super) fn complain(&mut self, error: io::Error, sink: &mut Sink<'_>) {
        let text = error.to_string();
        if self.complaint.as_ref() != Some(&text) {
            self.complaint = Some(text);
            sink.notices.push(Notice::Unreadable {
                path: self.path.clone(),
                source: error,
            });
        }
    }

    /// Passes on lines of the file number `at`, after its position has been moved behind them.
    fn emit(&self, at: usize, text: Arc<[u8]>, skipped: Skipped, sink: &mut Sink<'_>) {
        if skipped.lines > 0 {
            sink.notices.push(Notice::OverlongLines {
                source: self.source.clone(),
                lines: skipped.lines,
                bytes: skipped.bytes,
            });
        }
        let (Some(tail), Some(checkpoint)) = (self.tails.get(at), self.checkpoint()) else {
            return;
        };
        if !text.is_empty() || skipped.lines > 0 {
            (sink.chunk)(&tail.specs, self.chunk(text, checkpoint));
        }
    }

    fn chunk(&self, text: Arc<[u8]>, checkpoint: FileCheckpoint) -> Chunk {
        Chunk {
            source: self.source.clone(),
            text,
            times: LineTimes::InText,
            checkpoint: Checkpoint::File(checkpoint),
        }
    }

    /// Everything there is has been read: lets finished files go, and begins the next.
    fn settle(
        &mut self,
        options: &FileOptions,
        now: Instant,
        sink: &mut Sink<'_>,
        pumped: &mut Pumped,
    ) {
        if let Some(at) = self.active_index()
            && at + 1 < self.tails.len()
            && let Some(tail) = self.tails.get(at)
            && drained(tail, options, now)
        {
            let (closed, copy) = (tail.closed, tail.copy);
            if closed {
                self.emit_rest(at, options, sink);
            }
            if copy {
                pumped.closed.extend(self.tails.remove(at));
            } else if let Some(tail) = self.tails.get_mut(at) {
                tail.phase = Phase::Lingering;
                tail.active_at = now;
            }
            pumped.more = true;
        }
        self.close_silent(options, now, sink, pumped);
    }

    /// Closes lingering files that have been silent, and the current one if it is gone.
    fn close_silent(
        &mut self,
        options: &FileOptions,
        now: Instant,
        sink: &mut Sink<'_>,
        pumped: &mut Pumped,
    ) {
        let mut at = 0;
        while let Some(tail) = self.tails.get(at) {
            let lingering = self.active_index().unwrap_or(self.tails.len());
            let silent = now.saturating_duration_since(tail.active_at);
            let over = match tail.phase {
                Phase::Lingering => silent >= options.linger || lingering > LINGERING_MAX,
                Phase::Whole if self.missing && self.tails.len() == 1 => {
                    silent >= ABANDONED || (silent >= options.linger && tail.is_unlinked())
                }
                Phase::Whole => false,
            };
            if over {
                self.emit_rest(at, options, sink);
                pumped.closed.extend(self.tails.remove(at));
            } else {
                at += 1;
            }
        }
    }

    /// Passes on the last line of a file that is final, which has no newline.
    fn emit_rest(&mut self, at: usize, options: &FileOptions, sink: &mut Sink<'_>) {
        let Some(tail) = self.tails.get_mut(at) else {
            return;
        };
        match tail.take_rest(options.line_len_max) {
            Ok((text, skipped)) => self.emit(at, text.into(), skipped, sink),
            Err(error) => self.complain(error, sink),
        }
    }

    /// When [`Track::pump`] should be called although nothing was reported. (A path that leads
    /// nowhere is looked after by the regular scan.)
    pub(super) fn deadline(&self, options: &FileOptions) -> Option<Instant> {
        let active = self.active_index().unwrap_or(self.tails.len());
        let deadline = |(at, tail): (usize, &Tail)| match (tail.phase, tail.replaced_at) {
            (Phase::Lingering, _) => Some(tail.active_at + options.linger),
            (Phase::Whole, Some(replaced_at)) if at == active => {
                let quiet = replaced_at.max(tail.active_at) + options.drain_quiet;
                Some(quiet.min(replaced_at + options.drain_max))
            }
            (Phase::Whole, _) => None,
        };
        self.tails.iter().enumerate().filter_map(deadline).min()
    }
}

/// Is nothing more to be expected of a file that was replaced and read to its end?
fn drained(tail: &Tail, options: &FileOptions, now: Instant) -> bool {
    if tail.closed || tail.copy {
        return true;
    }
    let Some(replaced_at) = tail.replaced_at else {
        return false;
    };
    let quiet_since = replaced_at.max(tail.active_at);
    now.saturating_duration_since(quiet_since) >= options.drain_quiet
        || now.saturating_duration_since(replaced_at) >= options.drain_max
}
