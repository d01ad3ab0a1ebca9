//! Systems whose way to report changes is not used: everything is looked at from time to time.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::{Change, Watched, Wd};

#[derive(Debug)]
pub(in super::super) struct Watcher;

impl Watcher {
    pub(in super::super) fn new() -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "stockade knows no way to be told of changes on this system",
        ))
    }

    pub(in super::super) fn watch_dir(&self, _path: &Path) -> Watched {
        Watched::No("stockade knows no way to be told of changes on this system".into())
    }

    pub(in super::super) fn watch_file(&self, _path: &Path, _fd: BorrowedFd<'_>) -> Watched {
        Watched::No("stockade knows no way to be told of changes on this system".into())
    }

    pub(in super::super) fn unwatch(&self, _wd: Wd) {}

    pub(in super::super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    pub(in super::super) fn changes(&self) -> Vec<Change> {
        Vec::new()
    }
}
