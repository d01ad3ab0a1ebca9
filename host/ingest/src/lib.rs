//! Log files, the systemd journal and standard input as chunks of whole lines.
//!
//! Sources are pulled: each has a `poll(timeout, sink)` that waits, passes on what came, and
//! returns notices for the operator, and a [`Waker`] that ends the waiting. There are no threads
//! here; whoever owns a source gives it one. Every chunk carries the [`Checkpoint`] after its
//! lines: a source that is opened with it again goes on exactly there.
//!
//! Bytes stay bytes: lines may hold NUL and need not be UTF-8. A line that is longer than the
//! limit is skipped and reported, never cut; one that has not ended is held back.
//!
//! **Invariant:** no line is passed on twice, and none is left out without a [`Notice`], within
//! the limits that [`Files`] names.
//!
//! [`Checkpoint`]: stockade_core::Checkpoint

mod clock;
mod files;
mod fingerprint;
mod journal;
mod lines;
mod notice;
mod stdin;
mod wake;

pub use files::{FileOptions, FileSpec, Files, LogBackend, OpenError, Start, any_file, is_matched};
pub use fingerprint::FINGERPRINT_LEN_MAX;
pub use journal::{Journal, JournalOptions, JournalSpec, journal_available};
pub use lines::LINE_LEN_MAX;
pub use notice::{NotALog, Notice};
pub use stdin::Lines;
pub use wake::Waker;
