//! inotify(7) of Linux.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::{Change, Watched, Wd};

/// File systems on which other machines or a process of a user write without the local
/// kernel noticing (linux/magic.h).
const REMOTE: [(u64, &str); 9] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x786f_4256, "vboxsf"),
];

/// Room for some hundred events at once; more are read with the next call.
const BUF_LEN: usize = 16 * 1024;

#[derive(Debug)]
pub(in super::super) struct Watcher(OwnedFd);

impl Watcher {
    pub(in super::super) fn new() -> io::Result<Self> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        Ok(Self(rustix::fs::inotify::init(flags)?))
    }

    /// Watches the entries of the directory `path`.
    pub(in super::super) fn watch_dir(&self, path: &Path) -> Watched {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        self.watch(path, path, flags)
    }

    /// Watches the file behind the open descriptor `fd`, whatever its name has become.
    pub(in super::super) fn watch_file(&self, path: &Path, fd: BorrowedFd<'_>) -> Watched {
        let flags = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE_SELF;
        let by_fd = format!("/proc/self/fd/{}", fd.as_raw_fd());
        match self.watch(path, Path::new(&by_fd), flags) {
            // Without /proc the name has to do; the safety poll covers the race.
            Watched::No(_) => self.watch(path, path, flags),
            watched => watched,
        }
    }

    fn watch(&self, path: &Path, target: &Path, flags: WatchFlags) -> Watched {
        if let Ok(fs) = rustix::fs::statfs(path) {
            // The type is a signed word on some architectures; the numbers are 32 bits.
            #[allow(
                clippy::cast_sign_loss,
                clippy::unnecessary_cast,
                reason = "only the low 32 bits carry the number; which lint fires depends on the target"
            )]
            let kind = fs.f_type as u64 & 0xffff_ffff;
            if let Some((_, name)) = REMOTE.iter().find(|(magic, _)| *magic == kind) {
                return Watched::No(format!("{name} does not report all changes"));
            }
        }
        match rustix::fs::inotify::add_watch(&self.0, target, flags) {
            Ok(wd) => Watched::Yes(wd),
            Err(Errno::NOSPC) => Watched::No(
                "the limit of watches is reached (sysctl fs.inotify.max_user_watches)".into(),
            ),
            Err(errno) => Watched::No(format!("cannot watch it: {}", io::Error::from(errno))),
        }
    }

    pub(in super::super) fn unwatch(&self, wd: Wd) {
        // It may be gone with its file already.
        let _gone = rustix::fs::inotify::remove_watch(&self.0, wd);
    }

    pub(in super::super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    /// The changes that are reported so far, at most one buffer full.
    pub(in super::super) fn changes(&self) -> Vec<Change> {
        let mut buf = [MaybeUninit::uninit(); BUF_LEN];
        let mut reader = Reader::new(&self.0, &mut buf);
        let mut changes: Vec<Change> = Vec::new();
        loop {
            // An error is EAGAIN; anything else is left to the safety poll.
            let Ok(event) = reader.next() else {
                return changes;
            };
            let flags = event.events();
            let own = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
            let named = event.file_name().is_some();
            changes.push(Change {
                wd: event.wd(),
                name: event
                    .file_name()
                    .map(|name| OsStr::from_bytes(name.to_bytes()).to_owned()),
                closed: flags.contains(ReadFlags::CLOSE_WRITE),
                modified: flags.contains(ReadFlags::MODIFY),
                itself: flags.intersects(own) || (!named && flags.contains(ReadFlags::ATTRIB)),
                unwatched: flags.contains(ReadFlags::IGNORED),
                overflow: flags.contains(ReadFlags::QUEUE_OVERFLOW),
            });
            if reader.is_buffer_empty() {
                return changes;
            }
        }
    }
}
