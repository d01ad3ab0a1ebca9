//! Log files: found by globs, followed through rotation, each read once for all who want it.
//!
//! What cannot be kept, because the kernel does not have it any more: lines that copytruncate
//! removes between its copy and its truncation; lines of a file that is truncated and rewritten
//! before it was read (unless there is a copy beside it, which is then read first); and lines
//! that are written late to a rotated file just before stockade itself is restarted.
//!
//! A file that is truncated and at once filled with text whose first [`FINGERPRINT_LEN_MAX`]
//! bytes are the same as before cannot be told from one that grew.
//!
//! [`FINGERPRINT_LEN_MAX`]: crate::FINGERPRINT_LEN_MAX

mod discover;
mod globs;
mod open;
mod rotated;
mod seen;
mod tail;
mod track;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use stockade_core::{Chunk, FileCheckpoint};

use self::discover::Dir;
pub use self::globs::{any_file, is_matched};

use self::globs::Glob;
use self::seen::Seen;
use self::tail::FileKey;
use self::track::Track;
use self::watch::{Watcher, Wd};
use crate::clock;
use crate::lines::LINE_LEN_MAX;
use crate::notice::Notice;
use crate::wake::{WakePipe, Waker, readable};

/// Bytes read from one file at once. Large enough that the calls cost nothing beside the work on
/// the lines, small enough to stay in the processor's cache.
const CHUNK_LEN: usize = 256 * 1024;

/// Chunks passed on by one [`Files::poll`], so that it returns to a caller who has to stop or to
/// reload while there are gigabytes to read.
const CHUNKS_PER_POLL_MAX: usize = 16;

type TrackId = u64;

/// Files to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// Path with `*`, `?` and `[...]` in any component; relative ones count from the working
    /// directory. `*` matches no `/` and no leading dot; `**` means no more than `*`.
    pub glob: String,
    /// Where a file is begun that exists already and was never seen before. A file that appears
    /// later is always read from its head. Where several specs match a file, `Head` wins.
    pub start: Start,
}

/// Where the reading of a file begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the beginning.
    #[default]
    Head,
    /// At the end: only lines written from now on.
    Tail,
}

/// How changes are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogBackend {
    /// By inotify or kqueue, and by looking from time to time where that does not work.
    #[default]
    Auto,
    /// By looking from time to time only.
    Polling,
}

/// Limits and times of [`Files`].
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// How changes are noticed.
    pub backend: LogBackend,
    /// Longer lines are skipped and reported, in bytes without the newline; at most 16 MiB.
    pub line_len_max: usize,
    /// How often files are looked at where changes are not reported. A second is what people are
    /// used to from fail2ban, and a thousand `stat` calls take a few milliseconds.
    pub poll_interval: Duration,
    /// How often everything is looked at although changes are reported: renamed parents of
    /// directories and the like are not.
    pub scan_interval: Duration,
    /// A replaced file is finished when it has not grown for this time. Longer than a rotation
    /// program needs from the renaming to telling the writer.
    pub drain_quiet: Duration,
    /// A replaced file that keeps growing holds up its successor no longer than this.
    pub drain_max: Duration,
    /// How long a replaced file is listened to for late lines, since the last one.
    pub linger: Duration,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            backend: LogBackend::Auto,
            line_len_max: LINE_LEN_MAX,
            poll_interval: Duration::from_secs(1),
            scan_interval: Duration::from_secs(10),
            drain_quiet: Duration::from_secs(1),
            drain_max: Duration::from_secs(10),
            linger: Duration::from_secs(60),
        }
    }
}

/// A limit on lines that would need more memory than this for one line is a mistake.
const LINE_LEN_MAX_MAX: usize = 16 * 1024 * 1024;

/// Why files cannot be followed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A glob is malformed.
    #[error("cannot understand the glob '{glob}'")]
    Glob {
        /// The glob as configured.
        glob: String,
        /// Where and why.
        #[source]
        source: glob::PatternError,
    },
    /// No pipe for the waker.
    #[error("cannot make a pipe to be woken by")]
    Pipe(#[source] io::Error),
}

/// Where chunks and notices go.
struct Sink<'a> {
    chunk: &'a mut dyn FnMut(&[usize], Chunk),
    notices: &'a mut Vec<Notice>,
}

/// All files that are followed.
#[derive(Debug)]
pub struct Files {
    specs: Vec<FileSpec>,
    globs: Vec<Glob>,
    options: FileOptions,
    wake: WakePipe,
    watcher: Option<Watcher>,
    dirs: BTreeMap<PathBuf, Dir>,
    dirs_by_wd: HashMap<Wd, Vec<PathBuf>>,
    files_by_wd: HashMap<Wd, TrackId>,
    tracks: BTreeMap<TrackId, Track>,
    by_path: HashMap<PathBuf, TrackId>,
    /// Which track has a file open: no file is open twice.
    by_key: HashMap<FileKey, TrackId>,
    next_id: TrackId,
    /// To be read, in turn.
    ready: VecDeque<TrackId>,
    /// With several files, of which the older ones will be let go.
    settling: BTreeSet<TrackId>,
    /// Looked at every `poll_interval`, because nobody reports their changes.
    looked_at: BTreeSet<TrackId>,
    /// A directory is not watched, so everything is looked at every `poll_interval`.
    unwatched_dirs: bool,
    seen: Seen,
    /// The files that are found now were there before us.
    initial: bool,
    scan_due: Instant,
    look_due: Instant,
    buf: Vec<u8>,
    notices: Vec<Notice>,
}

impl Files {
    /// Begins to follow all files that match `specs`, from where `resume` says that they were
    /// left. Nothing is read before [`Files::poll`].
    ///
    /// # Errors
    /// A malformed glob, or no descriptors left. Files and directories that cannot be read are
    /// no error; they are reported by `poll` and tried again.
    pub fn open(
        specs: Vec<FileSpec>,
        resume: Vec<FileCheckpoint>,
        options: FileOptions,
    ) -> Result<Self, OpenError> {
        let globs = specs
            .iter()
            .map(|spec| {
                Glob::new(&spec.glob).map_err(|source| OpenError::Glob {
                    glob: spec.glob.clone(),
                    source,
                })
            })
            .collect::<Result<_, _>>()?;
        let now = clock::now();
        let line_len_max = options.line_len_max.min(LINE_LEN_MAX_MAX);
        let mut files = Self {
            specs,
            globs,
            wake: WakePipe::new().map_err(OpenError::Pipe)?,
            watcher: None,
            dirs: BTreeMap::new(),
            dirs_by_wd: HashMap::new(),
            files_by_wd: HashMap::new(),
            tracks: BTreeMap::new(),
            by_path: HashMap::new(),
            by_key: HashMap::new(),
            next_id: 0,
            ready: VecDeque::new(),
            settling: BTreeSet::new(),
            looked_at: BTreeSet::new(),
            unwatched_dirs: false,
            seen: Seen::new(resume),
            initial: true,
            scan_due: now + options.scan_interval,
            look_due: now + options.poll_interval,
            buf: vec![0; CHUNK_LEN.max(line_len_max + 1)],
            notices: Vec::new(),
            options: FileOptions {
                line_len_max,
                ..options
            },
        };
        files.start_watcher();
        files.scan(now);
        files.initial = false;
        files.report_globs_without_files();
        Ok(files)
    }

    /// Waits at most `timeout` for new lines, and passes them on.
    ///
    /// `sink` gets chunks with the indexes of the specs that want them, ascending. A chunk may be
    /// empty: then only the checkpoint has moved, because a file has a new name, was begun at its
    /// tail, or an over-long line was skipped. It is to be stored like any other, in order.
    ///
    /// Returns early when something happened or the waker was used; call it again. What happened
    /// besides is returned.
    pub fn poll(
        &mut self,
        timeout: Duration,
        sink: &mut dyn FnMut(&[usize], Chunk),
    ) -> Vec<Notice> {
        self.wait(timeout);
        let now = clock::now();
        self.take_changes(now);
        self.run_timers(now);
        self.pump(now, sink);
        std::mem::take(&mut self.notices)
    }

    /// Makes `poll` return at once, from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.wake.waker()
    }

    /// Where every file stands that `poll` has passed on, and those of earlier runs that have
    /// not appeared yet: what a later [`Files::open`] needs to go on, after a reload say.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<FileCheckpoint> {
        let mut all: BTreeMap<_, _> = self
            .seen
            .unused()
            .map(|checkpoint| (checkpoint.path.clone(), checkpoint.clone()))
            .collect();
        for track in self.tracks.values() {
            if let Some(checkpoint) = track.checkpoint() {
                all.insert(track.path.clone(), checkpoint);
            }
        }
        all.into_values().collect()
    }

    fn wait(&mut self, timeout: Duration) {
        let timeout = if self.ready.is_empty() && self.notices.is_empty() {
            let now = clock::now();
            timeout.min(self.next_due().saturating_duration_since(now))
        } else {
            Duration::ZERO
        };
        let wake = self.wake.as_fd();
        let changes = self.watcher.as_ref().and_then(Watcher::fd);
        // Without a watcher its place is taken by the same descriptor once more.
        let waited = readable([wake, changes.unwrap_or(wake)], timeout);
        if matches!(waited, Ok([true, _])) {
            self.wake.clear();
        }
    }

    fn next_due(&self) -> Instant {
        let mut due = self.scan_due;
        if self.must_look() {
            due = due.min(self.look_due);
        }
        for id in &self.settling {
            let track = self.tracks.get(id);
            if let Some(deadline) = track.and_then(|track| track.deadline(&self.options)) {
                due = due.min(deadline);
            }
        }
        due
    }

    fn must_look(&self) -> bool {
        self.watcher.is_none() || self.unwatched_dirs || !self.looked_at.is_empty()
    }

    fn run_timers(&mut self, now: Instant) {
        let look = self.must_look() && now >= self.look_due;
        if now >= self.scan_due || (look && (self.watcher.is_none() || self.unwatched_dirs)) {
            self.scan(now);
        } else if look {
            for id in self.looked_at.clone() {
                self.check(id, now);
            }
        }
        if look {
            self.look_due = now + self.options.poll_interval;
        }
        for id in self.settling.clone() {
            let track = self.tracks.get(&id);
            let deadline = track.and_then(|track| track.deadline(&self.options));
            if deadline.is_some_and(|deadline| now >= deadline) {
                self.enqueue(id);
            }
        }
    }

    fn enqueue(&mut self, id: TrackId) {
        if let Some(track) = self.tracks.get_mut(&id)
            && !track.queued
            && !track.tails.is_empty()
        {
            track.queued = true;
            self.ready.push_back(id);
        }
    }

    fn enqueue_first(&mut self, id: TrackId) {
        self.ready.retain(|other| *other != id);
        self.ready.push_front(id);
        if let Some(track) = self.tracks.get_mut(&id) {
            track.queued = true;
        }
    }

    /// Reads what is ready, a buffer from each file in turn.
    fn pump(&mut self, now: Instant, chunk: &mut dyn FnMut(&[usize], Chunk)) {
        let mut buf = std::mem::take(&mut self.buf);
        for _ in 0..CHUNKS_PER_POLL_MAX.max(self.ready.len()) {
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            let Some(track) = self.tracks.get_mut(&id) else {
                continue;
            };
            track.queued = false;
            let mut sink = Sink {
                chunk,
                notices: &mut self.notices,
            };
            let pumped = track.pump(&mut buf, &self.options, now, &mut sink);
            for tail in pumped.closed {
                self.forget_tail(id, &tail);
            }
            if let Some(checkpoint) = pumped.rewritten {
                self.begin_anew(id, checkpoint, now);
            }
            if pumped.more {
                self.enqueue(id);
            }
            self.note_settling(id);
        }
        self.buf = buf;
    }
}
