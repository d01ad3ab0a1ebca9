//! How many bans a minute are made without confirmation, and those that wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::{FailureId, HeldStatus, JailName, Timestamp};

/// The minute of `bans_per_minute`.
const MINUTE: Duration = Duration::from_secs(60);

/// A burst is over when no ban was held for so long.
const BURST_ENDS_AFTER: Duration = Duration::from_secs(60);

/// Bans that wait are looked through for those that are over this often: it costs a walk over all.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The bans of the last minute, and those that are held.
#[derive(Debug, Default)]
pub(crate) struct HeldBans {
    /// When the last bans were made because of failures, at most `bans_per_minute` of them.
    recent: VecDeque<Timestamp>,
    waiting: BTreeMap<(JailName, FailureId), Waiting>,
    last_held: Option<Timestamp>,
    sweep_at: Option<Timestamp>,
    total: u64,
    dropped: u64,
}

/// A ban that waits for confirmation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// How many failures led to it.
    pub(crate) failures: u32,
    since: Timestamp,
    /// When it would end if it had been made; `None` for never.
    until: Option<Timestamp>,
}

/// What became of a ban that is not made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It waited already.
    Known,
    /// It waits now, or is dropped because too many do; `begins` where it is the first of a burst.
    New { kept: bool, begins: bool },
}

impl HeldBans {
    /// Whether a ban may be made now; then it counts.
    pub(crate) fn admits(&mut self, now: Timestamp, per_minute: Option<NonZeroU32>) -> bool {
        let Some(per_minute) = per_minute else {
            self.recent.clear();
            return true;
        };
        let begin = now.saturating_sub(MINUTE);
        while self.recent.front().is_some_and(|at| *at <= begin) {
            self.recent.pop_front();
        }
        let max = usize::try_from(per_minute.get()).unwrap_or(usize::MAX);
        if self.recent.len() >= max {
            return false;
        }
        self.recent.push_back(now);
        true
    }

    /// Holds a ban of `id` that would end at `until`; the newest are dropped where `max` wait.
    pub(crate) fn hold(
        &mut self,
        key: (JailName, FailureId),
        failures: u32,
        until: Option<Timestamp>,
        now: Timestamp,
        max: usize,
    ) -> Hold {
        let last = self.last_held.replace(now);
        let begins = last.is_none_or(|last| now >= last.saturating_add(BURST_ENDS_AFTER));
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.failures = waiting.failures.max(failures);
            return Hold::Known;
        }
        self.total += 1;
        let kept = self.waiting.len() < max;
        if kept {
            let waiting = Waiting {
                failures,
                since: now,
                until,
            };
            self.waiting.insert(key, waiting);
            self.sweep_at.get_or_insert(now.saturating_add(SWEEP_EVERY));
        } else {
            self.dropped += 1;
        }
        Hold::New { kept, begins }
    }

    /// Forgets a ban that waits: it is made, or not wanted.
    pub(crate) fn forget(&mut self, jail: &JailName, id: &FailureId) {
        if !self.waiting.is_empty() {
            self.waiting.remove(&(jail.clone(), id.clone()));
        }
    }

    /// Forgets what waits in jails that are gone.
    pub(crate) fn retain_jails(&mut self, is_there: impl Fn(&JailName) -> bool) {
        self.waiting.retain(|(jail, _), _| is_there(jail));
    }

    /// Takes out everything that waits, and begins the minute anew: who confirms has looked.
    pub(crate) fn take(&mut self) -> BTreeMap<(JailName, FailureId), Waiting> {
        self.recent.clear();
        self.last_held = None;
        self.sweep_at = None;
        std::mem::take(&mut self.waiting)
    }

    /// Forgets bans that would be over by now.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        if self.sweep_at.is_none_or(|at| now < at) {
            return;
        }
        let lasts = |until: Option<Timestamp>| until.is_none_or(|until| until > now);
        self.waiting.retain(|_, waiting| lasts(waiting.until));
        let again = now.saturating_add(SWEEP_EVERY);
        self.sweep_at = Some(again).filter(|_| !self.waiting.is_empty());
    }

    /// Moves all times back, after the clock was set back.
    pub(crate) fn move_back(&mut self, by: Duration) {
        let moved = |at: Timestamp| at.saturating_sub(by);
        for at in &mut self.recent {
            *at = moved(*at);
        }
        for waiting in self.waiting.values_mut() {
            waiting.since = moved(waiting.since);
            waiting.until = waiting.until.map(moved);
        }
        self.last_held = self.last_held.map(moved);
        self.sweep_at = self.sweep_at.map(moved);
    }

    pub(crate) fn status(&self) -> HeldStatus {
        HeldStatus {
            waiting: self.waiting.len(),
            since: self.waiting.values().map(|waiting| waiting.since).min(),
            total: self.total,
            dropped: self.dropped,
        }
    }
}
