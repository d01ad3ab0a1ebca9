//! Waiting for descriptors, and being woken from another thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;

/// Makes a waiting `poll` of the source it belongs to return at once.
///
/// Cheap to clone and safe to use from any thread, also after the source is gone.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the current `poll`, or the next one if none is running.
    pub fn wake(&self) {
        // A full pipe has a wake-up in it already, and without a reader there is nobody to wake.
        let _full_or_gone = rustix::io::write(&self.0, &[1]);
    }
}

/// The reading end of a [`Waker`].
#[derive(Debug)]
pub(crate) struct WakePipe {
    read: OwnedFd,
    waker: Waker,
}

impl WakePipe {
    /// A pipe, not an eventfd: the same code serves every Unix.
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let waker = Waker(Arc::new(write));
        Ok(Self { read, waker })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Forgets all wake-ups so far.
    pub(crate) fn clear(&self) {
        let mut buf = [0_u8; 64];
        while matches!(rustix::io::read(&self.read, &mut buf), Ok(n) if n > 0) {}
    }
}

impl AsFd for WakePipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// Waits until one of `fds` can be read (or has ended), at most `timeout`; says which.
///
/// A signal ends the wait early with none: the caller comes back anyway.
pub(crate) fn readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Duration,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    // A timeout too long for the kernel is as good as none.
    let timeout = Timespec::try_from(timeout).ok();
    match rustix::event::poll(&mut polled, timeout.as_ref()) {
        Ok(_) => Ok(polled.map(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok([false; N]),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_wait_is_not_lost() {
        let pipe = WakePipe::new().unwrap();
        let waker = pipe.waker();
        for _ in 0..100_000 {
            waker.wake();
        }
        let woken = readable([pipe.as_fd()], Duration::MAX).unwrap();
        assert_eq!(woken, [true]);
        pipe.clear();
        assert_eq!(readable([pipe.as_fd()], Duration::ZERO).unwrap(), [false]);
    }

    #[test]
    fn waking_a_source_that_is_gone_does_nothing() {
        let pipe = WakePipe::new().unwrap();
        let waker = pipe.waker();
        drop(pipe);
        waker.wake();
    }
}
