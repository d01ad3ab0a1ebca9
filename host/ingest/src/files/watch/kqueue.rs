//! kqueue(2) of FreeBSD, with the filter `EVFILT_VNODE`.
//!
//! It watches open descriptors, not names, and says of a directory that something in it changed but
//! not what: the directories are looked through then.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::libc::timespec;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Change, Watched, Wd};

/// `NOTE_CLOSE_WRITE` (sys/event.h): a descriptor that could write to the file was closed. nix does not
/// name it.
const CLOSE_WRITE: FilterFlag = FilterFlag::from_bits_retain(0x0200);

/// Text was added or removed.
const MODIFIED: FilterFlag = FilterFlag::NOTE_WRITE.union(FilterFlag::NOTE_EXTEND);

/// The watched thing was moved, deleted or unmounted, or its attributes changed. Truncation is one of
/// the attributes.
const ITSELF: FilterFlag = FilterFlag::NOTE_ATTRIB
    .union(FilterFlag::NOTE_DELETE)
    .union(FilterFlag::NOTE_RENAME)
    .union(FilterFlag::NOTE_REVOKE);

/// File systems on which other machines or a process of a user write without the local kernel noticing,
/// by the names of statfs(2).
const REMOTE: [&str; 4] = ["nfs", "smbfs", "fusefs", "p9fs"];

/// Events taken by one call; more are taken with the next.
const EVENTS_PER_CALL: usize = 64;

/// How often events are taken before what they say is looked at, so that a flood of them cannot keep us.
const CALLS_MAX: usize = 16;

/// At once: what is there is taken, nothing is waited for.
const NOW: timespec = timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// What tells an inode from all others: its device and its number.
type Inode = (u64, u64);

/// A descriptor of ours, kept open because closing it ends its watch.
#[derive(Debug)]
struct Held {
    /// Only to be kept.
    _fd: OwnedFd,
    /// Set for a directory, which is watched once however often that is asked for.
    dir: Option<Inode>,
}

#[derive(Debug)]
pub(in super::super) struct Watcher {
    queue: Kqueue,
    held: RefCell<BTreeMap<Wd, Held>>,
    /// Counted up and never used again, unlike numbers of descriptors: an event that was taken before its
    /// watch ended is not taken for one of another file.
    last: Cell<Wd>,
}

impl Watcher {
    pub(in super::super) fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Kqueue::new()?,
            held: RefCell::default(),
            last: Cell::new(0),
        })
    }

    /// Watches the entries of the directory `path`.
    pub(in super::super) fn watch_dir(&self, path: &Path) -> Watched {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = rustix::fs::open(path, flags, Mode::empty())
            .and_then(|fd| rustix::fs::fstat(&fd).map(|stat| (fd, stat)));
        let (fd, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => return refused(errno.into()),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return refused(Errno::NOTDIR.into());
        }
        let inode = (stat.st_dev, stat.st_ino);
        let held = self.held.borrow();
        if let Some((wd, _)) = held.iter().find(|(_, held)| held.dir == Some(inode)) {
            return Watched::Yes(*wd);
        }
        drop(held);
        self.watch(fd, FilterFlag::NOTE_WRITE | ITSELF, Some(inode))
    }

    /// Watches the file behind the open descriptor `fd`, whatever its name has become.
    pub(in super::super) fn watch_file(&self, _path: &Path, fd: BorrowedFd<'_>) -> Watched {
        // One of our own, so that the watch ends when we say so and not when the reader closes the file.
        match fd.try_clone_to_owned() {
            Ok(fd) => self.watch(fd, MODIFIED | CLOSE_WRITE | ITSELF, None),
            Err(error) => refused(error),
        }
    }

    fn watch(&self, fd: OwnedFd, what: FilterFlag, dir: Option<Inode>) -> Watched {
        if let Some(kind) = remote(fd.as_fd()) {
            return Watched::No(format!("{kind} does not report all changes"));
        }
        let Ok(ident) = usize::try_from(fd.as_raw_fd()) else {
            return refused(Errno::BADF.into());
        };
        let wd = self.last.get().wrapping_add(1);
        let flags = EvFlags::EV_ADD | EvFlags::EV_CLEAR;
        // Lossless: both are signed, and a pointer has at least 32 bits.
        let udata = isize::try_from(wd).unwrap_or_default();
        let event = KEvent::new(ident, EventFilter::EVFILT_VNODE, flags, what, 0, udata);
        match self.queue.kevent(&[event], &mut [], Some(NOW)) {
            Ok(_) => {
                self.last.set(wd);
                self.held.borrow_mut().insert(wd, Held { _fd: fd, dir });
                Watched::Yes(wd)
            }
            Err(errno) => refused(errno.into()),
        }
    }

    pub(in super::super) fn unwatch(&self, wd: Wd) {
        self.held.borrow_mut().remove(&wd);
    }

    pub(in super::super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.queue.as_fd())
    }

    /// The changes that are reported so far, at most [`EVENTS_PER_CALL`] times [`CALLS_MAX`].
    pub(in super::super) fn changes(&self) -> Vec<Change> {
        let blank = KEvent::new(
            0,
            EventFilter::EVFILT_VNODE,
            EvFlags::empty(),
            FilterFlag::empty(),
            0,
            0,
        );
        let mut events = [blank; EVENTS_PER_CALL];
        let mut changes = Vec::new();
        for _ in 0..CALLS_MAX {
            // An error is left to the safety poll.
            let count = self.queue.kevent(&[], &mut events, Some(NOW)).unwrap_or(0);
            changes.extend(
                events
                    .iter()
                    .take(count)
                    .filter_map(|event| self.change(event)),
            );
            if count < EVENTS_PER_CALL {
                break;
            }
        }
        changes
    }

    /// What an event says; `None` where its watch has ended.
    fn change(&self, event: &KEvent) -> Option<Change> {
        let wd = Wd::try_from(event.udata()).ok()?;
        let held = self.held.borrow();
        let is_dir = held.get(&wd)?.dir.is_some();
        let what = event.fflags();
        Some(Change {
            wd,
            name: None,
            closed: what.contains(CLOSE_WRITE),
            modified: what.intersects(MODIFIED),
            // Whatever happens to a directory, it has to be looked through.
            itself: is_dir || what.intersects(ITSELF),
            // The descriptor holds the watch, also of a file without a name: its writer may go on.
            unwatched: false,
            overflow: false,
        })
    }
}

fn refused(error: io::Error) -> Watched {
    Watched::No(format!("cannot watch it: {error}"))
}

/// The name of the file system of `fd`, where it does not report all changes.
fn remote(fd: BorrowedFd<'_>) -> Option<&'static str> {
    let fs = rustix::fs::fstatfs(fd).ok()?;
    // Signed or not depends on the processor.
    let name: Vec<u8> = fs
        .f_fstypename
        .iter()
        .map(|byte| byte.to_ne_bytes()[0])
        .collect();
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_str().ok()?;
    REMOTE.into_iter().find(|remote| *remote == name)
}
