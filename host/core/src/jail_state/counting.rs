//! What a failure means to a jail: whether it counts, for whom, and whether it makes a ban.

use super::{JailState, Turn};
use crate::ban_table::Sighting;
use crate::policy::is_too_broad;
use crate::prior::{Prior, PriorBans};
use crate::protected::NeverBanned;
use crate::tracked::{Attempt, Counting};
use crate::{
    BanTimeIncrement, Effect, Failure, FailureId, Failures, IgnoreReason, Timestamp, Widest,
};

/// What one batch tells only once.
#[derive(Debug, Default)]
struct Batch<'a> {
    too_old: u32,
    ignored: Option<&'a FailureId>,
}

impl JailState {
    /// Counts the failures of one batch.
    pub(crate) fn failures(&mut self, failures: &Failures, turn: &mut Turn<'_>) {
        let mut batch = Batch::default();
        for failure in failures.items.iter() {
            self.failure(failure, failure.line.of(&failures.text), &mut batch, turn);
        }
        if batch.too_old > 0 {
            self.totals.too_old += u64::from(batch.too_old);
            let jail = self.policy.name.clone();
            turn.effects.push(Effect::TooOld {
                jail,
                count: batch.too_old,
            });
        }
    }

    fn failure<'a>(
        &mut self,
        failure: &'a Failure,
        line: &[u8],
        batch: &mut Batch<'a>,
        turn: &mut Turn<'_>,
    ) {
        let at = failure.at.min(turn.now);
        if at < turn.now.saturating_sub(self.policy.findtime) {
            batch.too_old = batch.too_old.saturating_add(1);
            return;
        }
        // Asked before `ignore_reason` because it is the usual answer in an attack; a banned id
        // never touches an ignored one.
        if let Some(sighting) = self.bans.sight(&failure.id, at, turn.now) {
            self.sighted(sighting, turn);
            return;
        }
        if let Some(reason) = self.ignore_reason(&failure.id, turn.never) {
            self.ignored(&failure.id, reason, batch, turn);
            return;
        }
        if is_too_broad(&failure.id) || turn.safeguards.widest.exceeded_by(&failure.id).is_some() {
            let (jail, id) = (self.policy.name.clone(), failure.id.clone());
            turn.effects.push(Effect::TooBroad { jail, id });
            return;
        }
        self.count(failure, at, line, turn);
    }

    fn ignored<'a>(
        &mut self,
        id: &'a FailureId,
        reason: IgnoreReason,
        batch: &mut Batch<'a>,
        turn: &mut Turn<'_>,
    ) {
        self.totals.ignored += 1;
        if batch.ignored.replace(id) != Some(id) {
            let (jail, id) = (self.policy.name.clone(), id.clone());
            turn.effects.push(Effect::Ignored { jail, id, reason });
        }
    }

    /// Takes in failures that the operator's program said are not to be counted.
    pub(crate) fn spared(&mut self, failures: &Failures, turn: &mut Turn<'_>) {
        let mut batch = Batch::default();
        for failure in failures.items.iter() {
            self.ignored(&failure.id, IgnoreReason::Command, &mut batch, turn);
        }
    }

    /// Whether [`JailState::failures`] would count this one.
    pub(crate) fn would_count(
        &self,
        failure: &Failure,
        never: &NeverBanned,
        now: Timestamp,
    ) -> bool {
        let at = failure.at.min(now);
        let is_banned = || {
            let wider = self.bans.wider(&failure.id).next();
            self.bans.get(&failure.id).is_some() || wider.is_some()
        };
        at >= now.saturating_sub(self.policy.findtime)
            && self.ignore_reason(&failure.id, never).is_none()
            && !is_too_broad(&failure.id)
            && !is_banned()
    }

    /// Whether [`JailState::failures`] may ban because of these; it does not if this is false.
    pub(crate) fn may_ban(&self, failures: &Failures, widest: Widest, prior: &PriorBans) -> bool {
        // As if all of them were of each id: exact for single ones, and enough for many.
        let batch = u32::try_from(failures.items.len()).unwrap_or(u32::MAX);
        let maxretry = self.policy.maxretry.get();
        let reaches = |id: &FailureId| {
            let bad = prior.get(&self.policy.name, id);
            let weight = bad.map_or(1, |bad| BanTimeIncrement::weight(bad.bancount, maxretry));
            let more = batch.saturating_mul(weight);
            self.tracked.count(id).saturating_add(more) >= maxretry
        };
        let mut unbanned = failures
            .items
            .iter()
            .filter(|failure| self.bans.get(&failure.id).is_none());
        unbanned.any(|failure| {
            // An address next to one that is never banned is counted by itself.
            let net = self.network_of(&failure.id, widest);
            reaches(&failure.id) || net.is_some_and(|net| reaches(&net))
        })
    }

    fn count(&mut self, failure: &Failure, at: Timestamp, line: &[u8], turn: &mut Turn<'_>) {
        let widened = self.widened(&failure.id, turn);
        let id = widened.as_ref().unwrap_or(&failure.id);
        let how = Counting {
            rule: self.rule(),
            maxmatches: self.policy.maxmatches,
            limits: turn.limits,
            now: turn.now,
        };
        let bad = turn.prior.get(&self.policy.name, id);
        let weight = self.weight(bad, at);
        let attempt = Attempt {
            id,
            at,
            weight,
            line,
        };
        let count = self.tracked.record(&attempt, &how);
        if self.sweep_at.is_none() {
            self.sweep_at = Some(turn.now.saturating_add(self.sweep_every()));
        }
        self.totals.failed += 1;
        let jail = self.policy.name.clone();
        turn.effects.push(Effect::Found {
            jail,
            id: failure.id.clone(),
            at,
            count,
            weight,
            bancount: bad.map_or(0, |prior| prior.bancount),
        });
        if count >= self.policy.maxretry.get() {
            self.ban_or_hold(id, count, turn);
        }
    }

    /// As how many attempts a failure counts. One from before the last ban was on its way when that
    /// was made, and counts like any other.
    fn weight(&self, bad: Option<Prior>, at: Timestamp) -> u32 {
        match bad {
            Some(prior) if self.policy.bantime.increment.is_some() && at > prior.at => {
                BanTimeIncrement::weight(prior.bancount, self.policy.maxretry.get())
            }
            _ => 1,
        }
    }

    /// The network that an IPv6 address is counted by; `None` where the id is counted as it is.
    ///
    /// A network that holds an address which is never banned is not used: then the addresses in it
    /// are counted one by one.
    fn widened(&self, id: &FailureId, turn: &Turn<'_>) -> Option<FailureId> {
        self.network_of(id, turn.safeguards.widest)
            .filter(|net| self.ignore_reason(net, turn.never).is_none())
    }

    /// Tells of a failure whose id is banned.
    fn sighted(&mut self, sighting: Sighting, turn: &mut Turn<'_>) {
        self.totals.while_banned += 1;
        let jail = || self.policy.name.clone();
        turn.effects.extend(match sighting {
            Sighting::Known => None,
            Sighting::Banned(id) => Some(Effect::AlreadyBanned { jail: jail(), id }),
            Sighting::StillSeen(id) => Some(Effect::StillSeen { jail: jail(), id }),
        });
    }
}
