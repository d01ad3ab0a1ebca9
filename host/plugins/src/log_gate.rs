//! How many log lines of a plugin are let through. Pure: time is passed in.

use std::time::Duration;

/// Lines a second; more is a plugin that logs each line it reads.
const LINES_PER_SECOND: u32 = 50;

/// Counts the lines of the running second.
#[derive(Debug, Default)]
pub(crate) struct LogGate {
    second: Duration,
    passed: u32,
    held_back: u64,
}

/// What to do with a line.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Write it, after saying that so many before it were held back.
    Write { held_back: u64 },
    /// Count it.
    HoldBack,
}

impl LogGate {
    /// A line comes at `now`.
    pub(crate) fn pass(&mut self, now: Duration) -> Passage {
        if now.saturating_sub(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.passed = 0;
        }
        if self.passed >= LINES_PER_SECOND {
            self.held_back = self.held_back.saturating_add(1);
            return Passage::HoldBack;
        }
        self.passed = self.passed.saturating_add(1);
        Passage::Write {
            held_back: std::mem::take(&mut self.held_back),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_fifty_lines_a_second_lines_are_counted_and_told_with_the_next() {
        let mut gate = LogGate::default();
        let at = Duration::from_secs(7);
        for _ in 0..50 {
            assert_eq!(gate.pass(at), Passage::Write { held_back: 0 });
        }
        assert_eq!(gate.pass(at), Passage::HoldBack);
        assert_eq!(
            gate.pass(at + Duration::from_millis(999)),
            Passage::HoldBack
        );
        let next = at + Duration::from_secs(1);
        assert_eq!(gate.pass(next), Passage::Write { held_back: 2 });
        assert_eq!(gate.pass(next), Passage::Write { held_back: 0 });
    }
}
