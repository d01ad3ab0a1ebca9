//! Readers: a thread each, from the lines of a source to failures on the way to the main loop.

mod asking;
mod host_names;
mod judge;
mod plan;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use stockade_core::{Checkpoint, Chunk, Failures, FileCheckpoint, JailName, SourceName};
use stockade_detect::ScanCounts;
use stockade_ingest::{
    FileOptions, FileSpec, Files, Journal, JournalOptions, JournalSpec, Lines, Notice, Waker,
};
use tokio::sync::mpsc::Sender;

use asking::Asker;
use host_names::HostNameResolvers;
pub(super) use judge::{Judge, JudgedJail};
pub(super) use plan::{Input, ReaderPlan, plan_readers, source_names};

use super::Event;

/// Readers look up from waiting at least this often; a waker ends a wait at once.
const WAIT: Duration = Duration::from_secs(60);

/// The verdict on a chunk.
#[derive(Debug)]
pub(super) struct Judged {
    /// The reader.
    pub(super) reader: String,
    /// The source.
    pub(super) source: SourceName,
    /// Where the source stands after the lines of this verdict.
    pub(super) checkpoint: Checkpoint,
    pub(super) failures: Vec<Failures>,
    /// Failures that are not to be counted, as the operator's program said.
    pub(super) spared: Vec<Failures>,
    pub(super) counts: ScanCounts,
    /// What it could not tell of lines, by jail; only where there is any.
    pub(super) unclear: Vec<(JailName, Unclear)>,
}

/// Lines that count for nobody, since it is not clear what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unclear {
    /// They can be read with different addresses.
    pub(super) ambiguous: u64,
    /// A pattern took too many steps.
    pub(super) gave_up: u64,
}

impl std::ops::AddAssign for Unclear {
    fn add_assign(&mut self, other: Self) {
        self.ambiguous += other.ambiguous;
        self.gave_up += other.gave_up;
    }
}

/// A reader that runs.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) name: String,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Asks the reader to end after the chunk it is at; [`Event::ReaderEnded`] says when it has.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Waits for the end of the thread, which must have been told by [`Event::ReaderEnded`].
    pub(super) fn join(mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("reader '{}' had panicked", self.name);
        }
    }
}

/// Whether this host has a journal with something in it.
pub(super) fn has_journal() -> bool {
    stockade_ingest::journal_available(&JournalOptions::default().program, &[])
}

/// Why a reader cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot follow log files")]
    Files(#[from] stockade_ingest::OpenError),
    #[error("cannot follow the journal")]
    Journal(#[source] io::Error),
    #[error("cannot read standard input")]
    Stdin(#[source] io::Error),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Starts a reader where `resume` says that its sources were left.
pub(super) fn start(
    plan: ReaderPlan,
    resume: Resume,
    events: Sender<Event>,
) -> Result<Reader, StartError> {
    let ReaderPlan {
        name,
        input,
        judge,
        question,
    } = plan;
    let source = Source::open(input, resume)?;
    let stop = Arc::new(AtomicBool::new(false));
    let waker = source.waker();
    let asker = question.map(|question| Asker::new(question, events.clone(), Arc::clone(&stop)));
    let mut reading = Reading {
        name: name.clone(),
        source,
        judge,
        asker,
        events,
        stop: Arc::clone(&stop),
    };
    let thread = std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || reading.run())
        .map_err(StartError::Thread)?;
    Ok(Reader {
        name,
        stop,
        waker,
        thread: Some(thread),
    })
}

/// Where an earlier run, or the configuration before a reload, has left the sources of a reader.
#[derive(Debug, Default)]
pub(super) struct Resume {
    pub(super) files: Vec<FileCheckpoint>,
    /// How many of the files the reader has read itself.
    own: usize,
    pub(super) cursor: Option<String>,
}

impl Resume {
    /// Adds where a file was left. The reader's own places, which come first, stand; of two others in
    /// one file the one further on.
    pub(super) fn add(&mut self, left: &FileCheckpoint, is_own: bool) {
        let Some(known) = self.files.iter().position(|known| known.path == left.path) else {
            self.files.push(left.clone());
            if is_own {
                self.own += 1;
            }
            return;
        };
        let is_other = known >= self.own;
        if let Some(known) = self.files.get_mut(known).filter(|_| is_other)
            && (known.device, known.inode) == (left.device, left.inode)
            && known.position < left.position
        {
            *known = left.clone();
        }
    }
}

/// What is read.
#[derive(Debug)]
enum Source {
    Files(Box<Files>),
    Journal(Box<Journal>),
    Stdin(Box<Lines<std::fs::File>>),
}

impl Source {
    fn open(input: Input, resume: Resume) -> Result<Self, StartError> {
        Ok(match input {
            Input::Files(globs) => {
                let specs = globs.into_iter().map(|glob| FileSpec {
                    glob,
                    start: stockade_ingest::Start::Head,
                });
                Self::Files(Box::new(Files::open(
                    specs.collect(),
                    resume.files,
                    FileOptions::default(),
                )?))
            }
            Input::Journal { matches, since, .. } => {
                let spec = JournalSpec {
                    matches,
                    since: Some(since),
                    ..JournalSpec::default()
                };
                let journal = Journal::new(spec, resume.cursor, JournalOptions::default());
                Self::Journal(Box::new(journal.map_err(StartError::Journal)?))
            }
            Input::Stdin => {
                let stdin = io::stdin()
                    .as_fd()
                    .try_clone_to_owned()
                    .map_err(StartError::Stdin)?;
                let lines = Lines::new(
                    stdin.into(),
                    SourceName::new("stdin"),
                    stockade_ingest::LINE_LEN_MAX,
                );
                Self::Stdin(Box::new(lines.map_err(StartError::Stdin)?))
            }
        })
    }

    fn waker(&self) -> Waker {
        match self {
            Self::Files(files) => files.waker(),
            Self::Journal(journal) => journal.waker(),
            Self::Stdin(lines) => lines.waker(),
        }
    }

    /// Waits for lines; chunks come with the numbers of the globs that want them.
    fn poll(&mut self, sink: &mut dyn FnMut(&[usize], Chunk)) -> Vec<Notice> {
        match self {
            Self::Files(files) => files.poll(WAIT, sink),
            Self::Journal(journal) => journal.poll(WAIT, &mut |chunk| sink(&[0], chunk)),
            Self::Stdin(lines) => lines.poll(WAIT, &mut |chunk| sink(&[0], chunk)),
        }
    }
}

struct Reading {
    name: String,
    source: Source,
    judge: Judge,
    asker: Option<Asker>,
    events: Sender<Event>,
    stop: Arc<AtomicBool>,
}

impl Reading {
    fn run(&mut self) {
        let warn = self.judge.warn_of_names().clone();
        let (events, stop) = (self.events.clone(), Arc::clone(&self.stop));
        let question = self.asker.as_ref().map(Asker::question);
        let mut host_names = HostNameResolvers::new(warn, question, events, stop);
        // Once a chunk is given up, what follows it must not be taken for read.
        let mut given_up = false;
        while !self.stop.load(Ordering::Acquire) && !given_up {
            let Self {
                name,
                source,
                judge,
                asker,
                events,
                ..
            } = self;
            let notices = source.poll(&mut |wanted_by, chunk| {
                if given_up {
                    return;
                }
                let (mut judged, named) = judge.chunk(name, wanted_by, &chunk);
                if let Some(asker) = asker {
                    let again = chunk.checkpoint != Checkpoint::None;
                    let failures = std::mem::take(&mut judged.failures);
                    let Ok(sorted) = asker.sort(failures, again) else {
                        given_up = true;
                        return;
                    };
                    judged.failures = sorted.counted;
                    judged.spared = sorted.spared;
                }
                // The main loop is gone only when the process ends; then nothing is to be kept.
                drop(events.blocking_send(Event::Judged(judged)));
                named
                    .into_iter()
                    .for_each(|named| host_names.hand_over(named));
            });
            for notice in notices {
                tell(&notice);
                drop(
                    self.events
                        .blocking_send(Event::Noticed(self.name.clone(), notice)),
                );
            }
        }
        host_names.finish();
        drop(
            self.events
                .blocking_send(Event::ReaderEnded(self.name.clone())),
        );
    }
}

fn tell(notice: &Notice) {
    if notice.is_warning() {
        tracing::warn!("{notice}");
    } else {
        tracing::info!("{notice}");
    }
}
