//! The attempts of one id that still count: a true sliding window.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::Timestamp;

/// What a jail counts: attempts within `findtime`, up to `maxretry`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowRule {
    pub(crate) findtime: Duration,
    pub(crate) maxretry: NonZeroU32,
}

impl WindowRule {
    /// The earliest attempt that can still count at `now`: a line that arrives late may be up to
    /// `findtime` old, and looks back `findtime` from there.
    pub(crate) fn horizon(self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.findtime)
            .saturating_sub(self.findtime)
    }

    fn keep(self) -> usize {
        usize::try_from(self.maxretry.get()).unwrap_or(usize::MAX)
    }
}

/// Times of attempts.
///
/// **Invariant:** sorted, at most `maxretry` of them, none more than `findtime` before the last. More than `maxretry` decide nothing that `maxretry` do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    times: Vec<Timestamp>,
}

impl Window {
    /// The times of an earlier run that count at `now`; those in the future are taken as `now`.
    pub(crate) fn restore(mut times: Vec<Timestamp>, rule: WindowRule, now: Timestamp) -> Self {
        let begin = rule.horizon(now);
        times.retain_mut(|at| {
            *at = (*at).min(now);
            *at >= begin
        });
        times.sort_unstable();
        let mut window = Self { times };
        window.trim(rule);
        window
    }

    /// Counts an attempt at `at` as `weight` of them, and says how many now lie within `findtime` before the newest.
    ///
    /// Log lines may come out of order. What lies in the future, because a log's clock is ahead or
    /// ours was set back, is taken as `now`: otherwise it would push out everything that is true.
    pub(crate) fn record(
        &mut self,
        at: Timestamp,
        weight: u32,
        now: Timestamp,
        rule: WindowRule,
    ) -> u32 {
        if self.newest() > Some(now) {
            for time in &mut self.times {
                *time = (*time).min(now);
            }
        }
        let at = at.min(now);
        // Nearly always the last place.
        let place = self
            .times
            .iter()
            .rposition(|time| *time <= at)
            .map_or(0, |before| before + 1);
        let copies = usize::try_from(weight)
            .unwrap_or(usize::MAX)
            .min(rule.keep());
        self.times
            .splice(place..place, std::iter::repeat_n(at, copies));
        self.trim(rule);
        self.count()
    }

    /// How many attempts are kept.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.times.last().copied()
    }

    pub(crate) fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// Moves all times back, after the clock was set back.
    pub(crate) fn move_back(&mut self, by: Duration) {
        for time in &mut self.times {
            *time = time.saturating_sub(by);
        }
    }

    /// Drops what does not count under `rule`.
    pub(crate) fn trim(&mut self, rule: WindowRule) {
        let Some(newest) = self.newest() else { return };
        let begin = newest.saturating_sub(rule.findtime);
        let old = self.times.partition_point(|time| *time < begin);
        let excess = self.times.len().saturating_sub(rule.keep());
        self.times.drain(..old.max(excess));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn rule(findtime: u64, maxretry: u32) -> WindowRule {
        WindowRule {
            findtime: Duration::from_secs(findtime),
            maxretry: NonZeroU32::new(maxretry).unwrap(),
        }
    }

    #[track_caller]
    fn check(times: &[i64], rule: WindowRule, expected: u32) {
        let now = at(times.iter().copied().max().unwrap());
        let mut window = Window::default();
        let last = times
            .iter()
            .map(|time| window.record(at(*time), 1, now, rule))
            .last();
        assert_eq!(last, Some(expected));
    }

    #[test]
    fn attempts_within_findtime_count() {
        check(&[100, 200, 300], rule(600, 5), 3);
    }

    #[test]
    fn an_attempt_exactly_findtime_ago_still_counts_and_an_older_one_does_not() {
        check(&[0, 600], rule(600, 5), 2);
        check(&[0, 601], rule(600, 5), 1);
    }

    #[test]
    fn slow_attempts_never_add_up() {
        // fail2ban scales old counts down instead of dropping them; here they slide out one by one.
        check(&[0, 300, 600, 900, 1200, 1500], rule(600, 5), 3);
    }

    #[test]
    fn an_attempt_that_arrives_late_counts_by_its_own_time() {
        check(&[1000, 700], rule(600, 5), 2);
        check(&[1000, 399], rule(600, 5), 1);
    }

    #[test]
    fn an_attempt_in_the_future_is_taken_as_now_and_pushes_nothing_out() {
        let mut window = Window::default();
        window.record(at(100), 1, at(100), rule(600, 5));
        assert_eq!(window.record(at(99_999), 1, at(200), rule(600, 5)), 2);
        assert_eq!(window.times(), [at(100), at(200)]);
    }

    #[test]
    fn attempts_before_the_clock_was_set_back_count_as_now() {
        let mut window = Window::default();
        window.record(at(1000), 1, at(1000), rule(30, 5));
        assert_eq!(window.record(at(950), 1, at(950), rule(30, 5)), 2);
        assert_eq!(window.times(), [at(950), at(950)]);
    }

    #[test]
    fn a_restored_window_counts_what_lies_in_the_future_as_now() {
        let times = [5000, 100, 350, 900].map(at).to_vec();
        let window = Window::restore(times, rule(600, 5), at(900));
        assert_eq!(window.times(), [350, 900, 900].map(at));
    }

    #[test]
    fn a_restored_window_serves_lines_that_arrive_late() {
        let mut window = Window::restore(vec![at(10)], rule(600, 5), at(1200));
        assert_eq!(window.record(at(605), 1, at(1200), rule(600, 5)), 2);
        assert_eq!(
            Window::restore(vec![at(9)], rule(600, 5), at(1210)).count(),
            0
        );
    }

    proptest! {
        #[test]
        fn the_count_is_that_of_a_naive_scan(
            attempts in prop::collection::vec((0_i64..200, 1_u32..5), 1..60),
            findtime in 0_u64..80,
            maxretry in 1_u32..12,
        ) {
            let rule = rule(findtime, maxretry);
            let mut window = Window::default();
            let mut all: Vec<i64> = Vec::new();
            for (time, weight) in attempts {
                all.extend((0..weight).map(|_| time));
                let newest = *all.iter().max().unwrap();
                let begin = newest - i64::try_from(findtime).unwrap();
                let naive = all.iter().filter(|at| **at >= begin).count();
                let expected = u32::try_from(naive).unwrap().min(maxretry);
                prop_assert_eq!(window.record(at(time), weight, at(200), rule), expected);
            }
        }
    }
}
