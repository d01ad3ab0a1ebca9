//! One jail at work: what it counts, whom it bans, whom it must not ban.

mod banning;
mod counting;

use std::time::Duration;

use ipnet::IpNet;

use crate::ban_table::BanTable;
use crate::chance::Chance;
use crate::held::HeldBans;
use crate::prior::PriorBans;
use crate::protected::NeverBanned;
use crate::tracked::TrackedIds;
use crate::window::{Window, WindowRule};
use crate::{
    Attempts, Ban, EarlierBans, Effect, FailureId, IgnoreReason, IgnoreSet, JailPolicy, JailStatus,
    Limits, Safeguards, Timestamp, UnbanReason, Widest, canonical,
};

/// Ids whose attempts are all too old are looked for after `findtime`, but not more often than
/// this: looking costs a walk over all of them.
const SWEEP_EVERY_MIN: Duration = Duration::from_secs(60);

/// What holds for all jails while one event is handled, and where its effects go.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Timestamp,
    pub(crate) never: &'a NeverBanned,
    pub(crate) limits: &'a Limits,
    pub(crate) safeguards: Safeguards,
    pub(crate) held: &'a mut HeldBans,
    pub(crate) prior: &'a mut PriorBans,
    pub(crate) chance: &'a mut Chance,
    pub(crate) effects: &'a mut Vec<Effect>,
}

/// A jail with its state.
///
/// **Invariant:** no ban in `bans` touches an address or text that is never banned, or is of a network
/// that is too wide; an id that is banned is not tracked.
#[derive(Debug)]
pub(crate) struct JailState {
    policy: JailPolicy,
    /// Addresses of the names in `ignoreip` as they were last looked up, and what stands in its files.
    changing: IgnoreSet,
    pub(crate) tracked: TrackedIds,
    pub(crate) bans: BanTable,
    totals: Totals,
    sweep_at: Option<Timestamp>,
    told_full: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Totals {
    failed: u64,
    banned: u64,
    ignored: u64,
    too_old: u64,
    while_banned: u64,
}

impl JailState {
    pub(crate) fn new(policy: JailPolicy) -> Self {
        Self {
            policy,
            changing: IgnoreSet::default(),
            tracked: TrackedIds::new(),
            bans: BanTable::default(),
            totals: Totals::default(),
            sweep_at: None,
            told_full: None,
        }
    }

    /// The jail under new rules, which count from now on.
    pub(crate) fn with_policy(self, policy: JailPolicy) -> Self {
        let mut jail = Self { policy, ..self };
        jail.tracked.trim(jail.rule());
        jail
    }

    pub(crate) fn policy(&self) -> &JailPolicy {
        &self.policy
    }

    /// Why `id` is never banned here, if so.
    fn ignore_reason(&self, id: &FailureId, never: &NeverBanned) -> Option<IgnoreReason> {
        if self.policy.ignore.touches(id) || self.changing.touches(id) {
            Some(IgnoreReason::IgnoreIp)
        } else if self.policy.ignoreself && never.own.touches(id) {
            Some(IgnoreReason::OwnAddress)
        } else {
            never.protected.reason(id)
        }
    }

    /// Replaces what is ignored by names and files in `ignoreip`.
    pub(crate) fn set_changing(&mut self, changing: IgnoreSet, turn: &mut Turn<'_>) {
        if self.changing != changing {
            self.changing = changing;
            self.apply_ignores(turn);
        }
    }

    /// Lifts the bans and forgets the attempts of ids that are never banned (any more).
    pub(crate) fn apply_ignores(&mut self, turn: &mut Turn<'_>) {
        let bans = std::mem::take(&mut self.bans);
        let (bans, lifted) = bans.split(|id| self.never_bans(id, turn).is_some());
        self.bans = bans;
        for ban in lifted {
            let reason = self.never_bans(&ban.id, turn);
            let reason = reason.unwrap_or(UnbanReason::Ignored);
            turn.effects.push(unban(ban, reason));
        }
        let mut tracked = std::mem::replace(&mut self.tracked, TrackedIds::new());
        tracked.retain(|id, _| self.ignore_reason(id, turn.never).is_none());
        self.tracked = tracked;
    }

    /// Why a ban of `id` has to be lifted, if so.
    fn never_bans(&self, id: &FailureId, turn: &Turn<'_>) -> Option<UnbanReason> {
        if self.ignore_reason(id, turn.never).is_some() {
            Some(UnbanReason::Ignored)
        } else {
            let exceeded = turn.safeguards.widest.exceeded_by(id);
            exceeded.map(|_| UnbanReason::TooWide)
        }
    }

    /// The network that `id` is counted by, not wider than what may be banned.
    fn network_of(&self, id: &FailureId, widest: Widest) -> Option<FailureId> {
        let FailureId::Addr(addr) = id else {
            return None;
        };
        let addr = canonical(*addr);
        if addr.is_ipv4() || self.policy.ipv6_prefix == 0 {
            return None;
        }
        IpNet::new(addr, self.policy.ipv6_prefix.max(widest.ipv6))
            .ok()
            .map(FailureId::from_net)
    }

    /// Takes over a ban of an earlier run.
    pub(crate) fn restore_ban(&mut self, ban: Ban, turn: &mut Turn<'_>) {
        let ban = Ban {
            id: ban.id.canonical(),
            ..ban
        };
        let earlier = EarlierBans::from(ban.clone());
        turn.prior.restore(&earlier, turn.limits.prior_bans_max);
        if ban.is_over(turn.now) {
            turn.effects.push(unban(ban, UnbanReason::Expired));
        } else if let Some(reason) = self.never_bans(&ban.id, turn) {
            turn.effects.push(unban(ban, reason));
        } else if self
            .bans
            .get(&ban.id)
            .is_some_and(|have| !ends_later(ban.until, have.until))
        {
            // Given twice: the one that lasts longer is in force already.
        } else if self.make_room(turn) {
            self.tracked.remove(&ban.id);
            self.bans.insert(ban.clone());
            turn.effects.push(Effect::Restore(ban));
        } else {
            turn.effects.push(unban(ban, UnbanReason::Displaced));
        }
    }

    /// Takes over attempts of an earlier run.
    pub(crate) fn restore_attempts(&mut self, attempts: Attempts, turn: &Turn<'_>) {
        let Attempts { id, times, .. } = attempts;
        let kept = id.clone().canonical();
        if kept != id
            || self.bans.get(&id).is_some()
            || self.ignore_reason(&id, turn.never).is_some()
        {
            self.tracked.note_gone(id);
            return;
        }
        let window = Window::restore(times.clone(), self.rule(), turn.now);
        self.tracked
            .restore(id, window, &times, turn.limits.tracked_ids_max);
        if self.sweep_at.is_none() {
            self.sweep_at = Some(turn.now.saturating_add(self.sweep_every()));
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn advance(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(ban) = self.bans.pop_over(now) {
            effects.push(unban(ban, UnbanReason::Expired));
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            let begin = self.rule().horizon(now);
            self.tracked
                .retain(|_, window| window.newest() >= Some(begin));
            let again = now.saturating_add(self.sweep_every());
            self.sweep_at = Some(again).filter(|_| self.tracked.len() > 0);
        }
    }

    /// When [`JailState::advance`] has something to do.
    pub(crate) fn next_wakeup(&self) -> Option<Timestamp> {
        self.bans.next_end().into_iter().chain(self.sweep_at).min()
    }

    /// Moves all times back, after the clock was set back.
    pub(crate) fn move_back(
        &mut self,
        by: Duration,
        prior: &mut PriorBans,
        limits: &Limits,
        effects: &mut Vec<Effect>,
    ) {
        self.tracked.move_back(by);
        self.bans.move_back(by, |ban| {
            prior.note(ban, limits.prior_bans_max);
            effects.push(Effect::Prolong { ban: ban.clone() });
        });
        self.sweep_at = self.sweep_at.map(|at| at.saturating_sub(by));
        self.told_full = None;
    }

    pub(crate) fn status(&self, now: Timestamp, prior: &PriorBans) -> JailStatus {
        let begin = now.saturating_sub(self.policy.findtime);
        let longest = self.bans.iter().map(Ban::length).max();
        JailStatus {
            name: self.policy.name.clone(),
            currently_failing: self.tracked.failing_since(begin),
            total_failed: self.totals.failed,
            currently_banned: self.bans.len(),
            banned_again: self.bans.iter().filter(|ban| ban.bancount > 1).count(),
            longest_ban: longest,
            remembered: prior.len(&self.policy.name),
            total_banned: self.totals.banned,
            total_ignored: self.totals.ignored,
            total_too_old: self.totals.too_old,
            total_while_banned: self.totals.while_banned,
            forgotten: self.tracked.forgotten,
            matches_dropped: self.tracked.matches_dropped,
        }
    }

    fn rule(&self) -> WindowRule {
        WindowRule {
            findtime: self.policy.findtime,
            maxretry: self.policy.maxretry,
        }
    }

    fn sweep_every(&self) -> Duration {
        self.policy.findtime.max(SWEEP_EVERY_MIN)
    }
}

fn unban(ban: Ban, reason: UnbanReason) -> Effect {
    Effect::Unban { ban, reason }
}

/// Whether the end `one` comes after the end `other`; `None` is never.
fn ends_later(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    match (one, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one > other,
    }
}
