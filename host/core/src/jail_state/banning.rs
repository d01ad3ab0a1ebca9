//! How a jail bans and unbans.

use std::time::Duration;

use super::{JailState, Turn, ends_later, unban};
use crate::held::Hold;
use crate::{Ban, Effect, FailureId, Timestamp, UnbanReason};

/// A full jail is told this often.
const TELL_FULL_AGAIN: Duration = Duration::from_secs(60);

impl JailState {
    /// Bans `id`, which must not be one that is never banned, for `failures`.
    pub(super) fn ban(&mut self, id: &FailureId, failures: u32, turn: &mut Turn<'_>) {
        let jail = self.policy.name.clone();
        if !self.make_room(turn) {
            let told = self.told_full.filter(|_| failures > 0);
            if told.is_none_or(|told| turn.now >= told.saturating_add(TELL_FULL_AGAIN)) {
                self.told_full = Some(turn.now);
                turn.effects.push(Effect::TableFull {
                    jail,
                    id: id.clone(),
                });
            }
            return;
        }
        let matches = self.tracked.remove(id).unwrap_or_default().into_lines();
        turn.held.forget(&jail, id);
        self.totals.banned += 1;
        let earlier = self.earlier_bans(id, turn);
        let until = self.end_of_ban(earlier, turn);
        let ban = Ban {
            jail,
            id: id.clone(),
            at: turn.now,
            until,
            failures,
            bancount: earlier.saturating_add(1),
        };
        turn.prior.note(&ban, turn.limits.prior_bans_max);
        self.bans.insert(ban.clone());
        turn.effects.push(Effect::Ban { ban, matches });
    }

    /// Bans `id` for `failures`, or holds the ban where too many were made within the last minute.
    pub(super) fn ban_or_hold(&mut self, id: &FailureId, failures: u32, turn: &mut Turn<'_>) {
        let per_minute = turn.safeguards.bans_per_minute;
        if turn.held.admits(turn.now, per_minute) {
            return self.ban(id, failures, turn);
        }
        let earlier = self.earlier_bans(id, turn);
        let until = self.policy.bantime.length(earlier, || 0.0).end(turn.now);
        let jail = self.policy.name.clone();
        let key = (jail.clone(), id.clone());
        let max = turn.limits.held_max;
        if let Hold::New { kept, begins } = turn.held.hold(key, failures, until, turn.now, max) {
            turn.effects.push(Effect::Held {
                jail,
                id: id.clone(),
                kept,
                begins: per_minute.filter(|_| begins),
            });
        }
    }

    /// Makes a ban that was held, unless that is done or must not be any more.
    pub(crate) fn ban_confirmed(&mut self, id: &FailureId, failures: u32, turn: &mut Turn<'_>) {
        let jail = self.policy.name.clone();
        if let Some(reason) = self.ignore_reason(id, turn.never) {
            let id = id.clone();
            turn.effects.push(Effect::Refused { jail, id, reason });
        } else if let Some(widest) = turn.safeguards.widest.exceeded_by(id) {
            let id = id.clone();
            turn.effects.push(Effect::TooWide { jail, id, widest });
        } else if self.bans.get(id).is_none() && self.bans.wider(id).next().is_none() {
            self.ban(id, failures, turn);
        }
    }

    /// How many bans of `id` count for the length of the next.
    fn earlier_bans(&self, id: &FailureId, turn: &Turn<'_>) -> u32 {
        if self.policy.bantime.counts_all_jails() {
            turn.prior.count_in_all(id)
        } else {
            turn.prior.count(&self.policy.name, id)
        }
    }

    /// When a ban ends that begins now after `earlier` ones.
    fn end_of_ban(&self, earlier: u32, turn: &mut Turn<'_>) -> Option<Timestamp> {
        let length = self.policy.bantime.length(earlier, || turn.chance.next());
        length.end(turn.now)
    }

    /// Lifts the ban that ends soonest if there are as many as there may be. False where none ends.
    pub(super) fn make_room(&mut self, turn: &mut Turn<'_>) -> bool {
        while self.bans.len() >= turn.limits.bans_max.max(1) {
            let Some(ban) = self.bans.pop_soonest() else {
                return false;
            };
            turn.effects.push(unban(ban, UnbanReason::Displaced));
        }
        true
    }

    /// Bans `id` because an operator wants it, or moves the end of its ban further off.
    pub(crate) fn ban_by_operator(&mut self, id: FailureId, turn: &mut Turn<'_>) {
        let jail = self.policy.name.clone();
        if let Some(reason) = self.ignore_reason(&id, turn.never) {
            turn.effects.push(Effect::Refused { jail, id, reason });
            return;
        }
        if let Some(widest) = turn.safeguards.widest.exceeded_by(&id) {
            turn.effects.push(Effect::TooWide { jail, id, widest });
            return;
        }
        // A ban that lasts longer stays the same ban.
        let earlier = match self.bans.get(&id) {
            Some(ban) => ban.bancount.saturating_sub(1),
            None => self.earlier_bans(&id, turn),
        };
        let until = self.end_of_ban(earlier, turn);
        let mut covering = self.bans.get(&id).into_iter().chain(self.bans.wider(&id));
        if let Some(ban) = covering.find(|ban| !ends_later(until, ban.until)) {
            turn.effects.push(Effect::AlreadyBanned {
                jail,
                id: ban.id.clone(),
            });
            return;
        }
        drop(covering);
        match self.bans.get(&id) {
            Some(ban) => {
                let ban = Ban {
                    until,
                    ..ban.clone()
                };
                turn.prior.note(&ban, turn.limits.prior_bans_max);
                self.bans.insert(ban.clone());
                turn.effects.push(Effect::Prolong { ban });
            }
            None => self.ban(&id, 0, turn),
        }
    }

    /// Lifts the ban of `id`, of the network it was counted by, and of everything inside it, and
    /// forgets the earlier bans of whom it lifts; with `wider` also that of every network that holds it.
    /// A ban that is held is forgotten. False where there was none.
    pub(crate) fn unban(&mut self, id: &FailureId, wider: bool, turn: &mut Turn<'_>) -> bool {
        let mut lifted: Vec<Ban> = match id {
            FailureId::Subnet(net) => {
                let inside = |id: &FailureId| id.network().is_some_and(|have| net.contains(&have));
                self.bans.take_if(inside)
            }
            FailureId::Addr(_) | FailureId::Text(_) => self.bans.remove(id).into_iter().collect(),
        };
        turn.held.forget(&self.policy.name, id);
        if let Some(net) = self.network_of(id, turn.safeguards.widest) {
            turn.held.forget(&self.policy.name, &net);
            lifted.extend(self.bans.remove(&net));
        }
        if wider {
            let holding: Vec<FailureId> = self.bans.wider(id).map(|ban| ban.id.clone()).collect();
            lifted.extend(holding.iter().filter_map(|net| self.bans.remove(net)));
        }
        let found = !lifted.is_empty();
        pardon(&lifted, turn);
        turn.effects.extend(
            lifted
                .into_iter()
                .map(|ban| unban(ban, UnbanReason::Manual)),
        );
        found
    }

    /// Lifts every ban.
    pub(crate) fn unban_all(&mut self, reason: UnbanReason, turn: &mut Turn<'_>) {
        let lifted = self.bans.take_if(|_| true);
        if reason == UnbanReason::Manual {
            pardon(&lifted, turn);
        }
        turn.effects
            .extend(lifted.into_iter().map(|ban| unban(ban, reason)));
    }
}

/// Who is unbanned by an operator was banned by mistake, or has promised to behave: the next ban is a
/// first one again. So it is with fail2ban.
fn pardon(lifted: &[Ban], turn: &mut Turn<'_>) {
    for ban in lifted {
        turn.prior.pardon(&ban.jail, &ban.id);
    }
}
