//! Where this crate reads clocks; everything else gets the time from here.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stockade_core::Timestamp;

/// The clocks that plugins and their quarantine see. Tests pass one that they move themselves.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day.
    fn wall(&self) -> Timestamp;
    /// Time since an arbitrary point, the same for all calls; never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic zero is now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock that is passed to all others"
    )]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        now().duration_since(self.origin)
    }
}

/// The machine's monotonic clock, for the time limits of a running call; no test moves these.
#[expect(
    clippy::disallowed_methods,
    reason = "the limit of a running call needs the real clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// CPU time that the calling thread has used so far (`CLOCK_THREAD_CPUTIME_ID`, clock_gettime(2)).
///
/// Time in which the thread waits, be it for a server or for its turn on a busy machine, is not in it,
/// so a filter is not killed because something else was running.
pub(crate) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(secs, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_grows_with_work() {
        let before = thread_cpu();
        let mut sum = 0_u64;
        while thread_cpu() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(thread_cpu() > before);
    }
}
