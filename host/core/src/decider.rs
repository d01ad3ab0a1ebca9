//! The decision machine: events and the time go in, effects come out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::chance::Chance;
use crate::held::HeldBans;
use crate::ignore::loopback;
use crate::jail_state::{JailState, Turn};
use crate::prior::PriorBans;
use crate::protected::{NeverBanned, Protected};
use crate::{
    Attempts, Ban, EarlierBans, Effect, Event, Failure, FailureId, Failures, HeldStatus, IgnoreSet,
    JailName, JailPolicy, JailStatus, Limits, Safeguards, Timestamp, UnbanReason,
};

/// How far the clock may be set back without moving the times that are kept. Less than that makes a
/// ban longer by a minute at most, which is not worth telling the firewall about every ban.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(60);

/// Decides who is banned.
///
/// Every method that takes `now` first does what is due by then, so its effects may begin with bans
/// that ran out. Effects are to be carried out in their order.
#[derive(Debug)]
pub struct Decider {
    limits: Limits,
    jails: BTreeMap<JailName, JailState>,
    never: NeverBanned,
    safeguards: Safeguards,
    held: HeldBans,
    /// How often ids were banned.
    prior: PriorBans,
    chance: Chance,
    /// Attempts of jails that are gone, for the store to forget.
    leftover: Vec<Attempts>,
    /// The latest time seen since the clock was last set back.
    latest: Option<Timestamp>,
}

impl Decider {
    /// A machine without jails. Loopback addresses are this host's own from the beginning.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            jails: BTreeMap::new(),
            never: NeverBanned {
                own: IgnoreSet::new(loopback().to_vec(), Vec::new()),
                protected: Protected::default(),
            },
            safeguards: Safeguards::default(),
            held: HeldBans::default(),
            prior: PriorBans::default(),
            chance: Chance::new(0),
            leftover: Vec::new(),
            latest: None,
        }
    }

    /// The same machine with another beginning for what is left to chance
    /// ([`crate::BanTimeIncrement::rndtime`]). A daemon gives a number that nobody can guess;
    /// without one every run is the same.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            ..self
        }
    }

    /// Makes `jails` the jails that there are; of two with the same name the later counts.
    ///
    /// Kept jails keep their bans with the ends they have, and their attempts. Bans of a jail that
    /// is gone are lifted ([`UnbanReason::JailStopped`]), and those that hit an id which is now
    /// never banned ([`UnbanReason::Ignored`]).
    #[must_use]
    pub fn reload(&mut self, jails: Vec<JailPolicy>, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.advance(now);
        self.prior.configure(&jails);
        let mut before = std::mem::take(&mut self.jails);
        for policy in jails {
            let name = policy.name.clone();
            let known = before.remove(&name).or_else(|| self.jails.remove(&name));
            let state = match known {
                Some(state) => state.with_policy(policy),
                None => JailState::new(policy),
            };
            self.jails.insert(name, state);
        }
        for (name, mut gone) in before {
            gone.unban_all(
                UnbanReason::JailStopped,
                &mut self.turn(now, &mut effects).1,
            );
            gone.tracked.retain(|_, _| false);
            gone.tracked.take_changed(&name, &mut self.leftover);
        }
        let jails = &self.jails;
        self.held.retain_jails(|name| jails.contains_key(name));
        self.apply_ignores(now, &mut effects);
        effects
    }

    /// Replaces the addresses of this host, for jails with `ignoreself`.
    #[must_use]
    pub fn set_own_addresses(&mut self, addrs: &[IpAddr], now: Timestamp) -> Vec<Effect> {
        let mut effects = self.advance(now);
        let nets = addrs
            .iter()
            .map(|addr| IpNet::from(*addr))
            .chain(loopback())
            .collect();
        let own = IgnoreSet::new(nets, Vec::new());
        if own != self.never.own {
            self.never.own = own;
            self.apply_ignores(now, &mut effects);
        }
        effects
    }

    /// Replaces the addresses that no jail bans.
    #[must_use]
    pub fn set_protected(&mut self, protected: Protected, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.advance(now);
        if protected != self.never.protected {
            self.never.protected = protected;
            self.apply_ignores(now, &mut effects);
        }
        effects
    }

    /// Replaces the bounds on bans. Bans that are too wide now are lifted ([`UnbanReason::TooWide`]).
    #[must_use]
    pub fn set_safeguards(&mut self, safeguards: Safeguards, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.advance(now);
        if safeguards != self.safeguards {
            self.safeguards = safeguards;
            self.apply_ignores(now, &mut effects);
        }
        effects
    }

    /// Replaces what a jail ignores by entries of its `ignoreip` that change by themselves: addresses
    /// of names, and what stands in files.
    ///
    /// It stays over a reload until it is replaced.
    #[must_use]
    pub fn set_changing_ignores(
        &mut self,
        jail: &JailName,
        ignores: IgnoreSet,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = self.advance(now);
        let (jails, mut turn) = self.turn(now, &mut effects);
        match jails.get_mut(jail) {
            Some(state) => {
                state.set_changing(ignores, &mut turn);
            }
            None => effects.push(Effect::UnknownJail { jail: jail.clone() }),
        }
        effects
    }

    /// Takes over what an earlier run left in the store; after [`Decider::reload`] and, so that no
    /// ban comes back that must not, after the addresses that are never banned are known.
    ///
    /// `earlier` says how often ids were banned so far. Every ban comes out again: as
    /// [`Effect::Restore`], or as [`Effect::Unban`] because it ran out, its jail is gone, or it
    /// would now hit an id that is never banned.
    #[must_use]
    pub fn restore(
        &mut self,
        bans: Vec<Ban>,
        attempts: Vec<Attempts>,
        earlier: Vec<EarlierBans>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = self.advance(now);
        for earlier in earlier {
            self.prior.restore(&earlier, self.limits.prior_bans_max);
        }
        let (jails, mut turn) = self.turn(now, &mut effects);
        for ban in bans {
            match jails.get_mut(&ban.jail) {
                Some(state) => state.restore_ban(ban, &mut turn),
                None => turn.effects.push(Effect::Unban {
                    ban,
                    reason: UnbanReason::JailStopped,
                }),
            }
        }
        let mut unknown = Vec::new();
        for attempts in attempts {
            match jails.get_mut(&attempts.jail) {
                Some(state) => state.restore_attempts(attempts, &turn),
                None => unknown.push(Attempts {
                    times: Vec::new(),
                    ..attempts
                }),
            }
        }
        self.leftover.append(&mut unknown);
        self.prior.forget(now);
        effects
    }

    /// Handles one event at the time `now`.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.advance(now);
        match event {
            Event::Failures(failures) => {
                let (jails, mut turn) = self.turn(now, &mut effects);
                if let Some(state) = jails.get_mut(&failures.jail) {
                    state.failures(&failures, &mut turn);
                }
            }
            Event::Spared(failures) => {
                let (jails, mut turn) = self.turn(now, &mut effects);
                if let Some(state) = jails.get_mut(&failures.jail) {
                    state.spared(&failures, &mut turn);
                }
            }
            Event::Ban { jail, ids } => {
                let (jails, mut turn) = self.turn(now, &mut effects);
                match jails.get_mut(&jail) {
                    Some(state) => {
                        for id in ids {
                            state.ban_by_operator(id.canonical(), &mut turn);
                        }
                    }
                    None => effects.push(Effect::UnknownJail { jail }),
                }
            }
            Event::Unban { jail, ids, wider } => {
                if self.knows(jail.as_ref(), &mut effects) {
                    for id in ids {
                        self.unban(jail.as_ref(), id.canonical(), wider, now, &mut effects);
                    }
                }
            }
            Event::Confirm => self.settle_held(true, now, &mut effects),
            Event::Discard => self.settle_held(false, now, &mut effects),
            Event::UnbanAll { jail } => {
                if self.knows(jail.as_ref(), &mut effects) {
                    let (jails, mut turn) = self.turn(now, &mut effects);
                    for state in chosen(jails, jail.as_ref()) {
                        state.unban_all(UnbanReason::Manual, &mut turn);
                    }
                }
            }
            Event::Timer => {}
        }
        effects
    }

    /// For each of these failures whether it would be counted if it were handled now: not one that is
    /// too old, or whose id is banned or never banned.
    #[must_use]
    pub fn would_count(&self, failures: &Failures, now: Timestamp) -> Vec<bool> {
        let state = self.jails.get(&failures.jail);
        let would = |failure: &Failure| {
            state.is_some_and(|state| state.would_count(failure, &self.never, now))
        };
        failures.items.iter().map(would).collect()
    }

    /// Whether these failures may lead to a ban, for a shell that looks once more who is protected before
    /// one is made. Seldom true where they do not, never false where they do.
    #[must_use]
    pub fn may_ban(&self, failures: &Failures) -> bool {
        let state = self.jails.get(&failures.jail);
        let widest = self.safeguards.widest;
        state.is_some_and(|state| state.may_ban(failures, widest, &self.prior))
    }

    /// The bans that wait for confirmation.
    #[must_use]
    pub fn held(&self) -> HeldStatus {
        self.held.status()
    }

    /// When [`Event::Timer`] has something to do; earlier it does nothing.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.jails.values().filter_map(JailState::next_wakeup).min()
    }

    /// The attempts that changed since the last call, for the store: each replaces what the store
    /// has for its id, and empty times mean that there is nothing left. To be applied in order.
    #[must_use]
    pub fn take_changed_attempts(&mut self) -> Vec<Attempts> {
        let mut changes = std::mem::take(&mut self.leftover);
        for (name, state) in &mut self.jails {
            state.tracked.take_changed(name, &mut changes);
        }
        changes
    }

    /// How the jails stand, by name.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Vec<JailStatus> {
        let status = |state: &JailState| state.status(now, &self.prior);
        self.jails.values().map(status).collect()
    }

    /// The bans in force, jail by jail, in no particular order within one.
    pub fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.jails.values().flat_map(|state| state.bans.iter())
    }

    /// The rules of the jails, by name.
    pub fn policies(&self) -> impl Iterator<Item = &JailPolicy> {
        self.jails.values().map(JailState::policy)
    }

    /// The rules of one jail.
    #[must_use]
    pub fn policy(&self, jail: &JailName) -> Option<&JailPolicy> {
        self.jails.get(jail).map(JailState::policy)
    }

    /// Does what is due, and follows the clock where it was set back.
    fn advance(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        let latest = self.latest.unwrap_or(now);
        let back = latest.saturating_since(now);
        if back > CLOCK_STEP_MAX {
            effects.push(Effect::ClockSetBack { by: back });
            for state in self.jails.values_mut() {
                state.move_back(back, &mut self.prior, &self.limits, &mut effects);
            }
            self.held.move_back(back);
            self.latest = Some(now);
        } else {
            self.latest = Some(latest.max(now));
        }
        for state in self.jails.values_mut() {
            state.advance(now, &mut effects);
        }
        self.prior.forget(now);
        self.held.advance(now);
        effects
    }

    fn turn<'a>(
        &'a mut self,
        now: Timestamp,
        effects: &'a mut Vec<Effect>,
    ) -> (&'a mut BTreeMap<JailName, JailState>, Turn<'a>) {
        let turn = Turn {
            now,
            never: &self.never,
            limits: &self.limits,
            safeguards: self.safeguards,
            held: &mut self.held,
            prior: &mut self.prior,
            chance: &mut self.chance,
            effects,
        };
        (&mut self.jails, turn)
    }

    fn apply_ignores(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let (jails, mut turn) = self.turn(now, effects);
        for state in jails.values_mut() {
            state.apply_ignores(&mut turn);
        }
    }

    /// Makes the bans that are held, or forgets them and what led to them.
    fn settle_held(&mut self, confirmed: bool, now: Timestamp, effects: &mut Vec<Effect>) {
        let held = self.held.take();
        let (jails, mut turn) = self.turn(now, effects);
        for ((jail, id), waiting) in held {
            let Some(state) = jails.get_mut(&jail) else {
                continue;
            };
            if confirmed {
                state.ban_confirmed(&id, waiting.failures, &mut turn);
            } else {
                drop(state.tracked.remove(&id));
            }
        }
    }

    fn knows(&self, jail: Option<&JailName>, effects: &mut Vec<Effect>) -> bool {
        match jail {
            Some(jail) if !self.jails.contains_key(jail) => {
                effects.push(Effect::UnknownJail { jail: jail.clone() });
                false
            }
            _ => true,
        }
    }

    fn unban(
        &mut self,
        jail: Option<&JailName>,
        id: FailureId,
        wider: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let (jails, mut turn) = self.turn(now, effects);
        let mut found = false;
        let mut covered_by = None;
        for state in chosen(jails, jail) {
            found |= state.unban(&id, wider, &mut turn);
            let wider = state.bans.wider(&id).next().map(|ban| ban.id.clone());
            covered_by = covered_by.or(wider);
        }
        if !found || covered_by.is_some() {
            effects.push(Effect::NotBanned {
                jail: jail.cloned(),
                id,
                covered_by,
            });
        }
    }
}

/// The state of `jail`, or of all jails.
fn chosen<'a>(
    jails: &'a mut BTreeMap<JailName, JailState>,
    jail: Option<&'a JailName>,
) -> impl Iterator<Item = &'a mut JailState> {
    jails
        .iter_mut()
        .filter(move |(name, _)| jail.is_none_or(|jail| jail == *name))
        .map(|(_, state)| state)
}
