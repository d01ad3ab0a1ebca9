//! The systemd journal, by way of `journalctl --follow`.
//!
//! The cursor of the last entry is the checkpoint. journalctl is started *at* it, not after it:
//! if its first entry is another one, the journal no longer has ours (it was vacuumed), and that
//! entry is the oldest one left; no entry is passed over then.

mod child;
mod entry;
mod export;

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use stockade_core::{Checkpoint, Chunk, LineTimes, SourceName, Timestamp};

pub use self::child::journal_available;

use self::child::Journalctl;
use self::entry::{Line, add_line};
use self::export::{Entry, Parser};
use crate::clock;
use crate::lines::{LINE_LEN_MAX, Skipped};
use crate::notice::Notice;
use crate::stdin::is_transient;
use crate::wake::{WakePipe, Waker, readable};

/// Bytes read at once: what a pipe holds (pipe(7)).
const READ_LEN: usize = 64 * 1024;

/// Reads of one [`Journal::poll`], so that it returns to a caller who has to stop.
const READS_PER_POLL_MAX: usize = 16;

/// Which entries of which journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalSpec {
    /// Alternatives, each a list of `FIELD=value` that must all be true (`journalmatch`). None
    /// at all means every entry. Only fields with a leading underscore are out of reach of
    /// whoever writes a message (systemd.journal-fields(7)).
    pub matches: Vec<Vec<String>>,
    /// Where there is no cursor to go on from: the first entry's time. None means all there are.
    pub since: Option<Timestamp>,
    /// More arguments for journalctl, such as `--directory=…` or `--namespace=…`.
    pub extra_args: Vec<String>,
}

/// How journalctl is run.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// The program.
    pub program: PathBuf,
    /// Longer lines are skipped and reported, in bytes without the newline.
    pub line_len_max: usize,
    /// When journalctl has ended, it is started again after this time, doubled with each failure
    /// up to `retry_max`; an entry makes it this again.
    pub retry_min: Duration,
    /// See `retry_min`.
    pub retry_max: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            program: "journalctl".into(),
            line_len_max: LINE_LEN_MAX,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
        }
    }
}

/// Follows a journal.
#[derive(Debug)]
pub struct Journal {
    spec: JournalSpec,
    options: JournalOptions,
    source: SourceName,
    wake: WakePipe,
    cursor: Option<String>,
    child: Option<Journalctl>,
    parser: Parser,
    /// The first entry after a start shows whether the journal knows our cursor.
    check_cursor: bool,
    /// stderr has ended, though the program has not.
    deaf: bool,
    start_at: Option<Instant>,
    retry_in: Duration,
    buf: Vec<u8>,
}

impl Journal {
    /// Follows what `spec` says, after the entry with the cursor `resume`. journalctl is started
    /// by [`Journal::poll`].
    ///
    /// # Errors
    /// No descriptors are left for the waker.
    pub fn new(
        spec: JournalSpec,
        resume: Option<String>,
        options: JournalOptions,
    ) -> io::Result<Self> {
        let alternatives: Vec<String> = spec.matches.iter().map(|all| all.join(" ")).collect();
        Ok(Self {
            source: SourceName::new(&format!("journal:{}", alternatives.join(" + "))),
            wake: WakePipe::new()?,
            cursor: resume,
            child: None,
            parser: Parser::new(options.line_len_max),
            check_cursor: false,
            deaf: false,
            start_at: None,
            retry_in: options.retry_min,
            buf: vec![0; READ_LEN],
            spec,
            options,
        })
    }

    /// The name its chunks carry: `journal:` and the matches.
    #[must_use]
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// Makes `poll` return at once, from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.wake.waker()
    }

    /// Waits at most `timeout` for new entries, and passes them on as lines
    /// `host identifier[pid]: message`, with their times and the cursor of the last one.
    ///
    /// A chunk may be empty: then only the cursor has moved, past entries that were left out.
    /// Returns early when something happened or the waker was used; call it again.
    pub fn poll(&mut self, timeout: Duration, sink: &mut dyn FnMut(Chunk)) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut timeout = timeout;
        for _ in 0..READS_PER_POLL_MAX {
            if self.child.is_none() && !self.start(&mut timeout, &mut notices) {
                if self.wait_idle(timeout) {
                    continue;
                }
                break;
            }
            match self.wait(timeout) {
                Ready::Read => self.read(&mut notices, sink),
                Ready::Listen => self.deaf = !self.child.as_mut().is_some_and(Journalctl::listen),
                Ready::Nothing => break,
            }
            timeout = Duration::ZERO;
        }
        notices
    }

    /// Starts journalctl if it is time to.
    fn start(&mut self, timeout: &mut Duration, notices: &mut Vec<Notice>) -> bool {
        let now = clock::now();
        if let Some(at) = self.start_at
            && now < at
        {
            *timeout = (*timeout).min(at - now);
            return false;
        }
        match Journalctl::start(&self.options.program, &self.args()) {
            Ok(child) => {
                self.child = Some(child);
                self.parser = Parser::new(self.options.line_len_max);
                self.check_cursor = self.cursor.is_some();
                self.deaf = false;
                true
            }
            Err(error) => {
                self.retry(format!("cannot start journalctl: {error}"), notices);
                *timeout = Duration::ZERO;
                false
            }
        }
    }

    fn args(&self) -> Vec<String> {
        let fixed = [
            "--follow",
            "--no-tail",
            "--output=export",
            "--no-pager",
            "--quiet",
        ];
        let mut args: Vec<String> = fixed.map(String::from).to_vec();
        if let Some(cursor) = &self.cursor {
            args.push(format!("--cursor={cursor}"));
        } else if let Some(since) = self.spec.since {
            args.push(format!("--since=@{}", since.as_secs()));
        }
        args.extend_from_slice(&self.spec.extra_args);
        args.push("--".into());
        for (at, all) in self.spec.matches.iter().enumerate() {
            if at > 0 {
                args.push("+".into());
            }
            args.extend_from_slice(all);
        }
        args
    }

    /// Waits without a journalctl. True if it is time to start it.
    fn wait_idle(&mut self, timeout: Duration) -> bool {
        let woken = readable([self.wake.as_fd()], timeout);
        if matches!(woken, Ok([true])) {
            self.wake.clear();
            return false;
        }
        timeout > Duration::ZERO && self.start_at.is_none_or(|at| clock::now() >= at)
    }

    fn wait(&mut self, timeout: Duration) -> Ready {
        let Some(child) = &self.child else {
            return Ready::Nothing;
        };
        let stdout = child.stdout_fd();
        // A descriptor at its end is readable for ever; the other one stands in for it.
        let stderr = if self.deaf { stdout } else { child.stderr_fd() };
        match readable([self.wake.as_fd(), stdout, stderr], timeout) {
            Ok([true, ..]) => {
                self.wake.clear();
                Ready::Nothing
            }
            Ok([_, true, _]) => Ready::Read,
            Ok([_, _, true]) => Ready::Listen,
            _ => Ready::Nothing,
        }
    }

    fn read(&mut self, notices: &mut Vec<Notice>, sink: &mut dyn FnMut(Chunk)) {
        let Some(child) = &mut self.child else {
            return;
        };
        match child.read(&mut self.buf) {
            Ok(n) if n > 0 => self.take(n, notices, sink),
            Err(error) if is_transient(&error) => {}
            _ => self.ended(notices),
        }
    }

    /// Takes the first `n` bytes of the buffer.
    fn take(&mut self, n: usize, notices: &mut Vec<Notice>, sink: &mut dyn FnMut(Chunk)) {
        let mut entries = Vec::new();
        let got = self.buf.get(..n).unwrap_or_default();
        self.parser.push(got, &mut |entry| entries.push(entry));
        if entries.is_empty() {
            return;
        }
        self.retry_in = self.options.retry_min;
        let mut batch = Batch::default();
        let line_len_max = self.options.line_len_max;
        for entry in &entries {
            let is_known = self.is_known(entry, notices);
            if !is_known {
                batch.add(entry, line_len_max);
            }
            if let Ok(cursor) = std::str::from_utf8(&entry.cursor)
                && !cursor.is_empty()
            {
                batch.moved |= !is_known;
                self.cursor = Some(cursor.to_owned());
            }
        }
        batch.report(&self.source, notices);
        if let Some(cursor) = self.cursor.clone().filter(|_| batch.moved) {
            sink(Chunk {
                source: self.source.clone(),
                text: batch.text.into(),
                times: LineTimes::Given(batch.times),
                checkpoint: Checkpoint::Journal { cursor },
            });
        }
    }

    /// Is it the entry that we had last? Only the first one after a start can be.
    fn is_known(&mut self, entry: &Entry, notices: &mut Vec<Notice>) -> bool {
        if !std::mem::take(&mut self.check_cursor) {
            return false;
        }
        let is_known = self
            .cursor
            .as_ref()
            .is_some_and(|cursor| cursor.as_bytes() == entry.cursor);
        if !is_known {
            notices.push(Notice::CursorUnknown {
                source: self.source.clone(),
            });
        }
        is_known
    }

    fn ended(&mut self, notices: &mut Vec<Notice>) {
        let Some(child) = self.child.take() else {
            return;
        };
        let (reason, said) = child.end();
        // "Failed to seek to cursor": it would fail the same way for ever.
        let refused = memchr::memmem::find(&said, b"cursor").is_some();
        if refused && self.check_cursor && self.cursor.take().is_some() {
            notices.push(Notice::CursorUnknown {
                source: self.source.clone(),
            });
        }
        self.retry(reason, notices);
    }

    fn retry(&mut self, reason: String, notices: &mut Vec<Notice>) {
        notices.push(Notice::JournalEnded {
            source: self.source.clone(),
            reason,
            retry_in: self.retry_in,
        });
        self.start_at = Some(clock::now() + self.retry_in);
        self.retry_in = self.retry_in.saturating_mul(2).min(self.options.retry_max);
    }
}

/// What can be done now.
enum Ready {
    Read,
    Listen,
    Nothing,
}

/// Lines of the entries that came at once.
#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    times: Vec<Timestamp>,
    skipped: Skipped,
    bad: u64,
    /// There is a cursor after entries that are new.
    moved: bool,
}

impl Batch {
    fn add(&mut self, entry: &Entry, line_len_max: usize) {
        match add_line(entry, &mut self.text, line_len_max) {
            Line::Added(at) => self.times.push(at),
            Line::Overlong(bytes) => self.skipped.join(Skipped { lines: 1, bytes }),
            Line::Bad => self.bad += 1,
        }
    }

    fn report(&self, source: &SourceName, notices: &mut Vec<Notice>) {
        if self.skipped.lines > 0 {
            notices.push(Notice::OverlongLines {
                source: source.clone(),
                lines: self.skipped.lines,
                bytes: self.skipped.bytes,
            });
        }
        if self.bad > 0 {
            notices.push(Notice::BadEntries {
                source: source.clone(),
                entries: self.bad,
            });
        }
    }
}
