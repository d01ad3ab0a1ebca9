//! Carries out what the decider decides: the imperative shell around the pure core.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use stockade_core::{
    Checkpoint, Decider, Effect, Event, FailureId, IgnoreSet, JailName, Protected, Safeguards,
    SourceName, Timestamp,
};
use stockade_firewall::FirewallError;

use super::actions::Actions;
use super::durable::{Durable, Saved};
use super::enforcement::{
    BackendId, Enforcement, News, Pending, Plan, Report, Target, What, Wish, Wishes,
};
use crate::{clock, log};

/// The daemon's state between two events.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) decider: Decider,
    durable: Durable,
    pub(super) enforcement: Enforcement,
    pub(super) actions: Actions,
    /// What backends were asked for and have not done yet; told when they have.
    pending: Pending,
    /// What this turn of the loop has decided.
    turn: Vec<News>,
    /// Newest checkpoint of each source of each reading group, stored or not.
    progress: BTreeMap<SourceName, Checkpoint>,
    /// Somebody who is banned is still being logged.
    suspicious: bool,
}

impl Engine {
    pub(super) fn new(
        decider: Decider,
        durable: Durable,
        enforcement: Enforcement,
        actions: Actions,
    ) -> Self {
        Self {
            decider,
            durable,
            enforcement,
            actions,
            pending: Pending::default(),
            turn: Vec::new(),
            progress: BTreeMap::new(),
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
                self.turn.push(News::Banned(ban, matches));
            }
            Effect::Restore(ban) => {
                self.durable.unsaved.ban(&ban);
                self.turn.push(News::Restored(ban));
            }
            Effect::Prolong { ban } => {
                self.durable.unsaved.ban(&ban);
                self.turn.push(News::Prolonged(ban));
            }
            Effect::Unban { ban, reason } => {
                self.durable.unsaved.unban(&ban, reason, now);
                self.turn.push(News::Unbanned(ban, reason));
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

    /// Forgets how far a source has been judged.
    pub(super) fn forget(&mut self, source: SourceName) {
        self.progress.remove(&source);
        self.durable.unsaved.checkpoint(source, Checkpoint::None);
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

    /// Goes over to other bounds on bans.
    pub(super) fn bound(&mut self, safeguards: Safeguards, now: Timestamp) {
        let effects = self.decider.set_safeguards(safeguards, now);
        self.take_up(effects, now);
    }

    /// Others are needed by this host or its administrators than before.
    pub(super) fn protect(&mut self, protected: Protected, now: Timestamp) {
        let effects = self.decider.set_protected(protected, now);
        self.take_up(effects, now);
    }

    /// Carries out what was taken up: first the firewall is told, then, while it works, the store
    /// writes. Both together make a ban announced, by [`Engine::reported`].
    pub(super) fn finish_turn(&mut self) {
        if std::mem::take(&mut self.suspicious) {
            self.enforcement.reconcile();
        }
        if self.turn.is_empty() {
            return;
        }
        let mut wishes = Wishes::new();
        let mut told = Vec::new();
        for news in std::mem::take(&mut self.turn) {
            let (jail, net) = (news.ban().jail.clone(), news.ban().id.network());
            let backends = self.enforcement.backends_of(&jail);
            let Some(net) = net.filter(|_| !backends.is_empty()) else {
                // No firewall can know of it.
                told.push(news);
                continue;
            };
            let target = match &news {
                News::Unbanned(..) => Target::Free,
                News::Banned(ban, _) | News::Restored(ban) | News::Prolonged(ban) => {
                    Target::Banned(ban.until)
                }
            };
            let key = (jail, net);
            let version = self.pending.expect(key.clone(), news, backends);
            wishes.insert(key, Wish { target, version });
        }
        self.enforcement.apply(wishes);
        self.save();
        self.announce(told);
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
        self.pending.is_asking()
    }

    /// Why what was decided for this id is not in force in the firewall, where it is not.
    pub(super) fn not_enforced(&self, jail: &JailName, id: &FailureId) -> Option<String> {
        let refused = self.pending.refused_by(jail, id);
        (!refused.is_empty()).then(|| self.enforcement.failure().unwrap_or_default())
    }

    /// Goes over to the backends and rules of another plan.
    pub(super) fn replan(&mut self, plan: &Plan) -> std::io::Result<()> {
        let gone = self.enforcement.replan(plan, &self.decider)?;
        for backend in gone {
            let news = self.pending.forget(backend);
            self.announce(news);
        }
        Ok(())
    }

    /// Takes a backend's word.
    pub(super) fn reported(&mut self, report: Report) {
        let backend = report.backend;
        match report.what {
            What::Applied {
                done,
                refused,
                error,
            } => {
                if let Some(error) = error {
                    self.firewall_failed(backend, &error);
                }
                self.pending.refused(backend, &refused);
                let news = self.pending.done(backend, &done);
                self.announce(news);
            }
            What::Healed { changes } => {
                tracing::warn!("somebody else changed the firewall: {changes} differences mended");
            }
            What::Failed(error) => self.firewall_failed(backend, &error),
            What::Recovered => {
                let name = self.enforcement.note(backend, None);
                tracing::info!("the firewall enforces what is wanted again ({name})");
                let news = self.pending.recovered(backend);
                self.announce(news);
            }
        }
    }

    fn firewall_failed(&mut self, backend: BackendId, error: &FirewallError) {
        let chain = crate::cli::chain(error);
        let before = self.enforcement.failure();
        let name = self.enforcement.note(backend, Some(chain.clone()));
        if before != self.enforcement.failure() {
            tracing::error!(
                "the firewall does not enforce what is wanted, trying again: {name}: {chain}"
            );
        }
    }

    /// Tells the log and the actions what is in force now.
    fn announce(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Restored(ban) => log::restored(&ban),
                News::Prolonged(ban) => self.actions.apply(&ban, &[]),
                News::Unbanned(ban, reason) => {
                    log::unbanned(&ban, reason);
                    self.actions.revoke(&ban);
                }
                News::Banned(ban, matches) => {
                    log::banned(&ban);
                    let policy = self.decider.policy(&ban.jail);
                    if policy.is_some_and(|jail| ban.length() != jail.bantime.length(0, || 0.0)) {
                        log::increased(&ban);
                    }
                    self.actions.apply(&ban, &matches);
                }
            }
        }
    }
}
