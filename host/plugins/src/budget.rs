//! The time that one call into a plugin may take.

use std::time::{Duration, Instant};

use crate::clock;

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimit {
    /// CPU time of the plugin's own code.
    pub cpu: Duration,
    /// Time from begin to end, waiting for others included.
    pub wall: Duration,
}

/// A call took longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Overrun {
    /// More CPU time than [`CallLimit::cpu`].
    #[error("used more than {} ms of CPU time", .0.as_millis())]
    Cpu(Duration),
    /// Longer than [`CallLimit::wall`].
    #[error("took longer than {} ms", .0.as_millis())]
    Wall(Duration),
}

/// What is left of the running call's time.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: CallLimit,
    began: Instant,
    cpu_at_begin: Duration,
    /// CPU time that host functions used on the plugin's thread, such as for TLS.
    cpu_of_host: Duration,
}

impl Budget {
    /// A call begins now, on this thread.
    pub(crate) fn begin(limit: CallLimit) -> Self {
        Self {
            limit,
            began: clock::now(),
            cpu_at_begin: clock::thread_cpu(),
            cpu_of_host: Duration::ZERO,
        }
    }

    /// Whether the call may go on; asked at every tick while the plugin's code runs.
    pub(crate) fn check(&self) -> Result<(), Overrun> {
        let cpu = clock::thread_cpu()
            .saturating_sub(self.cpu_at_begin)
            .saturating_sub(self.cpu_of_host);
        if cpu > self.limit.cpu {
            return Err(Overrun::Cpu(self.limit.cpu));
        }
        if self.wall_left().is_zero() {
            return Err(Overrun::Wall(self.limit.wall));
        }
        Ok(())
    }

    /// Wall time until the call is over.
    pub(crate) fn wall_left(&self) -> Duration {
        let elapsed = clock::now().duration_since(self.began);
        self.limit.wall.saturating_sub(elapsed)
    }

    /// Takes `cpu` off the plugin's account: the host used it.
    pub(crate) fn excuse(&mut self, cpu: Duration) {
        self.cpu_of_host = self.cpu_of_host.saturating_add(cpu);
    }
}
