//! Carries out what the decider decides: the imperative shell around the pure core.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use stockade_core::{
    Ban, Checkpoint, Decider, Effect, Event, IgnoreSet, JailName, SourceName, Timestamp,
    UnbanReason,
};

use super::actions::Actions;
use super::durable::{Durable, Saved};
use super::enforcer::{Enforcer, Order, Report};
use crate::{clock, log};

/// The daemon's state between two events.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) decider: Decider,
    durable: Durable,
    pub(super) enforcer: Enforcer,
    pub(super) actions: Actions,
    /// Changes that the firewall has been given and has not answered for, by the order's number.
    awaited: BTreeMap<u64, Turn>,
    orders: u64,
    turn: Turn,
    /// Newest checkpoint of each source of each reading group, stored or not.
    progress: BTreeMap<SourceName, Checkpoint>,
    /// What the firewall could not be made to take yet; announced when it has.
    unenforced: Vec<Turn>,
    firewall_failure: Option<String>,
    /// Somebody who is banned is still being logged.
    suspicious: bool,
}

/// What one turn of the loop has decided.
#[derive(Debug, Default)]
struct Turn {
    /// New bans with the lines that led to them.
    bans: Vec<(Ban, Vec<Vec<u8>>)>,
    restored: Vec<Ban>,
    prolonged: Vec<Ban>,
    unbans: Vec<(Ban, UnbanReason)>,
}

impl Turn {
    fn is_empty(&self) -> bool {
        self.bans.is_empty()
            && self.restored.is_empty()
            && self.prolonged.is_empty()
            && self.unbans.is_empty()
    }

    fn enforced(&self) -> Vec<Ban> {
        let new = self.bans.iter().map(|(ban, _)| ban);
        new.chain(&self.restored)
            .chain(&self.prolonged)
            .cloned()
            .collect()
    }
}

impl Engine {
    pub(super) fn new(
        decider: Decider,
        durable: Durable,
        enforcer: Enforcer,
        actions: Actions,
    ) -> Self {
        Self {
            decider,
            durable,
            enforcer,
            actions,
            awaited: BTreeMap::new(),
            orders: 0,
            turn: Turn::default(),
            progress: BTreeMap::new(),
            unenforced: Vec::new(),
            firewall_failure: None,
            suspicious: false,
        }
    }

    /// Lets the decider handle an event, and takes up what follows.
    pub(super) fn handle(&mut self, event: Event, now: Timestamp) {
        let effects = self.decider.handle(event, now);
        self.take_up(effects, now);
    }

    /// Takes up effects; they are carried out by [`Engine::finish_turn`].
    pub(super) fn take_up(&mut self, effects: Vec<Effect>, now: Timestamp) {
        for effect in effects {
            self.take_up_one(effect, now);
        }
    }

    fn take_up_one(&mut self, effect: Effect, now: Timestamp) {
        match effect {
            Effect::Ban { ban, matches } => {
                self.durable.unsaved.ban(&ban);
                self.turn.bans.push((ban, matches));
            }
            Effect::Restore(ban) => {
                self.durable.unsaved.ban(&ban);
                self.turn.restored.push(ban);
            }
            Effect::Prolong { ban } => {
                self.durable.unsaved.ban(&ban);
                self.turn.prolonged.push(ban);
            }
            Effect::Unban { ban, reason } => {
                self.durable.unsaved.unban(&ban, reason, now);
                self.turn.unbans.push((ban, reason));
            }
            Effect::StillSeen { .. } => self.suspicious = true,
            told => log::effect(&told),
        }
    }

    /// Takes in who is ignored now because of names and files.
    pub(super) fn changing_ignores(&mut self, jail: &JailName, ignores: IgnoreSet, now: Timestamp) {
        let effects = self.decider.set_changing_ignores(jail, ignores, now);
        self.take_up(effects, now);
    }

    /// Remembers how far a source has been judged.
    pub(super) fn judged(&mut self, source: SourceName, checkpoint: Checkpoint) {
        if checkpoint != Checkpoint::None {
            self.progress.insert(source.clone(), checkpoint.clone());
            self.durable.unsaved.checkpoint(source, checkpoint);
        }
    }

    /// Newest checkpoints, for readers that start anew.
    pub(super) fn progress(&self) -> &BTreeMap<SourceName, Checkpoint> {
        &self.progress
    }

    /// Where an earlier run had come to.
    pub(super) fn resume(&mut self, checkpoints: Vec<(SourceName, Checkpoint)>) {
        self.progress.extend(checkpoints);
    }

    /// Addresses of this host have changed.
    pub(super) fn own_addresses(&mut self, addrs: &[IpAddr], now: Timestamp) {
        let effects = self.decider.set_own_addresses(addrs, now);
        self.take_up(effects, now);
    }

    /// Carries out what was taken up: first the firewall is told, then, while it works, the store
    /// writes. Both together make a ban announced, by [`Engine::reported`].
    pub(super) fn finish_turn(&mut self) {
        if std::mem::take(&mut self.suspicious) {
            self.enforcer.order(Order::Reconcile);
        }
        if self.turn.is_empty() {
            return;
        }
        let turn = std::mem::take(&mut self.turn);
        self.orders += 1;
        let unbans = turn
            .unbans
            .iter()
            .map(|(ban, _)| (ban.jail.clone(), ban.id.clone()))
            .collect();
        self.enforcer.order(Order::Apply {
            number: self.orders,
            bans: turn.enforced(),
            unbans,
        });
        self.awaited.insert(self.orders, turn);
        self.save();
    }

    /// Writes everything that has changed in one transaction. What cannot be written stays and is
    /// tried again by the next call.
    pub(super) fn save(&mut self) {
        let now = clock::now();
        let saved = self.durable.save(self.decider.take_changed_attempts(), now);
        self.saved(saved, now);
    }

    fn saved(&mut self, saved: Saved, now: Timestamp) {
        match saved {
            Saved::Done => {}
            Saved::Opened(stored) => {
                // What happened since is newer than what the file remembers.
                let effects = self
                    .decider
                    .restore(stored.bans, Vec::new(), stored.earlier, now);
                self.take_up(effects, now);
                self.write_all();
            }
            Saved::BegunAnew => self.write_all(),
        }
    }

    fn write_all(&mut self) {
        self.durable
            .write_all(self.decider.bans(), self.progress.iter());
    }

    /// Whether [`Engine::save`] has something to do.
    pub(super) fn is_unsaved(&self) -> bool {
        self.durable.is_pending()
    }

    /// Whether the store cannot be written to at the moment.
    pub(super) fn store_failing(&self) -> bool {
        self.durable.is_failing()
    }

    /// Deletes from the store what has been over for `age`.
    pub(super) fn purge(&mut self, age: Duration, now: Timestamp) {
        let saved = self.durable.purge(age, now);
        self.saved(saved, now);
    }

    /// Tells all bans to actions that are new or have missed some.
    pub(super) fn make_up_actions(&mut self) {
        self.actions.make_up(&self.decider);
    }

    /// The file of the store, if there is one.
    pub(super) fn store_path(&self) -> Option<&Path> {
        self.durable.file()
    }

    /// Whether the firewall has not answered for something that it was given.
    pub(super) fn awaits_firewall(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// What is wrong with the firewall, if anything is.
    pub(super) fn firewall_failure(&self) -> Option<&str> {
        self.firewall_failure.as_deref()
    }

    /// Takes the enforcer's word.
    pub(super) fn reported(&mut self, report: Report) {
        match report {
            Report::Applied { number, result } => self.applied(number, result),
            Report::Healed { changes } => {
                tracing::warn!("somebody else changed the firewall: {changes} differences mended");
            }
            Report::Failed(error) => self.firewall_failed(&error),
            Report::Recovered => {
                tracing::info!("the firewall enforces what is wanted again");
                self.firewall_failure = None;
                for turn in std::mem::take(&mut self.unenforced) {
                    self.announce(turn);
                }
            }
        }
    }

    fn firewall_failed(&mut self, error: &stockade_firewall::FirewallError) {
        let chain = crate::cli::chain(error);
        tracing::error!("the firewall does not enforce what is wanted, trying again: {chain}");
        self.firewall_failure = Some(chain);
    }

    fn applied(&mut self, number: u64, result: Result<(), stockade_firewall::FirewallError>) {
        let Some(turn) = self.awaited.remove(&number) else {
            return;
        };
        match result {
            Ok(()) => self.announce(turn),
            Err(error) => {
                self.firewall_failed(&error);
                self.unenforced.push(turn);
            }
        }
    }

    /// Tells the log and the actions what is in force now.
    fn announce(&mut self, turn: Turn) {
        for ban in &turn.restored {
            log::restored(ban);
        }
        for (ban, _) in &turn.bans {
            log::banned(ban);
            let policy = self.decider.policy(&ban.jail);
            if policy.is_some_and(|jail| ban.length() != jail.bantime.length(0, || 0.0)) {
                log::increased(ban);
            }
        }
        for (ban, reason) in &turn.unbans {
            log::unbanned(ban, *reason);
            self.actions.revoke(ban);
        }
        for (ban, matches) in turn.bans {
            self.actions.apply(&ban, &matches);
        }
        for ban in &turn.prolonged {
            self.actions.apply(ban, &[]);
        }
    }
}
