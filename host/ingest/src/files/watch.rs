//! Being told by the kernel about changed files: inotify(7) on Linux, kqueue(2) on FreeBSD.
//!
//! Elsewhere, and wherever these cannot help, everything is looked at from time to time.

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(target_os = "freebsd")]
mod kqueue;
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
mod nothing;

use std::ffi::OsString;

#[cfg(target_os = "linux")]
pub(super) use inotify::Watcher;
#[cfg(target_os = "freebsd")]
pub(super) use kqueue::Watcher;
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub(super) use nothing::Watcher;

/// A watch descriptor: the number of a watched inode.
pub(super) type Wd = i32;

/// What the kernel reports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) wd: Wd,
    /// The entry of a directory that changed; none where the watched thing itself did, or where the
    /// system does not say which.
    pub(super) name: Option<OsString>,
    /// Somebody who could write to the file has closed it.
    pub(super) closed: bool,
    /// Text was added or removed.
    pub(super) modified: bool,
    /// The watched thing was moved, deleted or unmounted, or its attributes changed.
    pub(super) itself: bool,
    /// The kernel has forgotten the watch.
    pub(super) unwatched: bool,
    /// Changes were dropped.
    pub(super) overflow: bool,
}

/// Whether the kernel will report changes.
#[derive(Debug)]
pub(super) enum Watched {
    Yes(Wd),
    /// Why not, for the operator.
    No(String),
}
