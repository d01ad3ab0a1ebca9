//! When a plugin that fails is left alone, and for how long. Pure: time is passed in, as the duration
//! since an arbitrary point.

use std::collections::VecDeque;
use std::time::Duration;

/// This many faults within [`FAULT_WINDOW`] are a quarantine.
const FAULTS_MAX: usize = 3;
/// How long a fault counts, and how long a plugin must be without one to be healthy again.
const FAULT_WINDOW: Duration = Duration::from_secs(60);
/// The first quarantine; each further one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// No quarantine is longer, so that a plugin whose cause went away is back soon.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Whether a call may be made.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go on.
    Run,
    /// Not before then.
    Refused { until: Duration },
}

/// What follows from a fault.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Make a new instance and go on.
    Restart,
    /// Leave it alone until then.
    Quarantine { until: Duration },
}

/// The record of one plugin's faults.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    recent: VecDeque<Duration>,
    until: Option<Duration>,
    /// Quarantines since the plugin was last healthy.
    times: u32,
    last_fault: Option<Duration>,
}

/// How a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is called.
    Healthy,
    /// It is called again after a quarantine; one fault leads back to it.
    Probation,
    /// It is not called before `until`, a reading of [`crate::Clock::monotonic`].
    Quarantined {
        /// When it is tried again.
        until: Duration,
    },
}

impl Quarantine {
    /// Whether a call may be made at `now`.
    pub(crate) fn admit(&mut self, now: Duration) -> Admission {
        self.forget(now);
        match self.until {
            Some(until) if now < until => Admission::Refused { until },
            _ => Admission::Run,
        }
    }

    /// A fault happened at `now`.
    pub(crate) fn fault(&mut self, now: Duration) -> Verdict {
        self.forget(now);
        self.last_fault = Some(now);
        self.recent.push_back(now);
        if self.until.is_none() && self.recent.len() < FAULTS_MAX {
            return Verdict::Restart;
        }
        let backoff = BACKOFF_FIRST
            .saturating_mul(1_u32.checked_shl(self.times).unwrap_or(u32::MAX))
            .min(BACKOFF_MAX);
        let until = now.saturating_add(backoff);
        self.times = self.times.saturating_add(1);
        self.recent.clear();
        self.until = Some(until);
        Verdict::Quarantine { until }
    }

    /// How the plugin is at `now`.
    pub(crate) fn state(&self, now: Duration) -> State {
        match self.until {
            Some(until) if now < until => State::Quarantined { until },
            Some(_) if !self.is_healed(now) => State::Probation,
            _ => State::Healthy,
        }
    }

    /// A minute after the quarantine without a fault.
    fn is_healed(&self, now: Duration) -> bool {
        let since = self.last_fault.max(self.until);
        since.is_none_or(|since| now >= since.saturating_add(FAULT_WINDOW))
    }

    fn forget(&mut self, now: Duration) {
        while self
            .recent
            .front()
            .is_some_and(|at| at.saturating_add(FAULT_WINDOW) <= now)
        {
            self.recent.pop_front();
        }
        if self.is_healed(now) {
            self.until = None;
            self.times = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Three faults at `at`; the end of the quarantine that follows.
    fn trip(quarantine: &mut Quarantine, at: Duration) -> Duration {
        assert_eq!(quarantine.fault(at), Verdict::Restart);
        assert_eq!(quarantine.fault(at), Verdict::Restart);
        match quarantine.fault(at) {
            Verdict::Quarantine { until } => until,
            Verdict::Restart => panic!("three faults at once are no quarantine"),
        }
    }

    #[test]
    fn three_faults_in_a_minute_are_a_quarantine() {
        let mut it = Quarantine::default();
        let until = trip(&mut it, secs(100));
        assert_eq!(until, secs(100) + BACKOFF_FIRST);
        assert_eq!(it.admit(secs(100)), Admission::Refused { until });
        assert_eq!(it.state(secs(100)), State::Quarantined { until });
        assert_eq!(it.admit(until), Admission::Run);
        assert_eq!(it.state(until), State::Probation);
    }

    #[test]
    fn faults_a_minute_apart_are_none() {
        let mut it = Quarantine::default();
        for at in [0, 31, 62, 93, 124] {
            assert_eq!(it.fault(secs(at)), Verdict::Restart, "at {at}");
        }
    }

    #[test]
    fn a_fault_on_probation_leads_back_and_for_twice_as_long_up_to_five_minutes() {
        let mut it = Quarantine::default();
        let mut until = trip(&mut it, secs(1));
        let mut lengths = Vec::new();
        for _ in 0..40 {
            assert_eq!(it.admit(until), Admission::Run);
            let Verdict::Quarantine { until: next } = it.fault(until) else {
                panic!("no quarantine on probation");
            };
            lengths.push(next - until);
            until = next;
        }
        assert_eq!(lengths[0], BACKOFF_FIRST * 2);
        assert_eq!(lengths[3], BACKOFF_FIRST * 16);
        assert_eq!(lengths[39], BACKOFF_MAX);
    }

    #[test]
    fn a_healthy_minute_resets_the_record() {
        let mut it = Quarantine::default();
        let until = trip(&mut it, secs(1));
        let healed = until + FAULT_WINDOW;
        assert_eq!(it.state(healed), State::Healthy);
        assert_eq!(it.admit(healed), Admission::Run);
        let again = trip(&mut it, healed);
        assert_eq!(again, healed + BACKOFF_FIRST);
    }
}
