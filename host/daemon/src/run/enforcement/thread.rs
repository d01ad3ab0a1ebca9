//! The thread that owns one backend: it holds what is wanted and makes the kernel agree.
//!
//! Orders and reports are plain messages that could cross a process border, so that the part that
//! holds CAP_NET_ADMIN can become a process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use stockade_core::{IpNet, JailName, Timestamp};
use stockade_firewall::{
    Backend, Change, Firewall, FirewallError, Health, JailRules, Refusal, Wanted, difference,
    test_packet,
};
use tokio::sync::mpsc::UnboundedSender;

use super::queue::{Key, Order, Queue, Target, Wishes};
use super::{BackendId, Examination, Inspection, Report, What};
use crate::clock;
use crate::run::watchers;

/// The kernel is compared with what is wanted at least this often, because not every backend tells
/// when somebody else changes it.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);
/// How soon it is tried again after it failed; twice as long after each failure, up to
/// [`RECONCILE_EVERY`].
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Changes that are handed over at once. Between two such pieces new changes have their turn, so that
/// a new ban does not wait for a hundred thousand old ones.
const PIECE: usize = 8192;

/// One backend with the state of its thread.
pub(super) struct Thread {
    id: BackendId,
    backend: Backend,
    /// `None` until it could be opened, and after it could not be spoken to.
    firewall: Option<Box<dyn Firewall>>,
    queue: Arc<Queue>,
    reports: UnboundedSender<Report>,
    wanted: BTreeMap<Key, Option<Timestamp>>,
    rules: Vec<JailRules>,
    /// Jails whose bans end the connections that there are.
    ending: BTreeSet<JailName>,
    watch: Option<JoinHandle<()>>,
    /// What the log was told of the rules.
    noted: BTreeSet<String>,
    /// What is wanted is known.
    begun: bool,
    failing: bool,
    retry_after: Duration,
}

impl Thread {
    pub(super) fn new(
        id: BackendId,
        backend: Backend,
        firewall: Option<Box<dyn Firewall>>,
        queue: Arc<Queue>,
        reports: UnboundedSender<Report>,
    ) -> Self {
        Self {
            id,
            backend,
            firewall,
            queue,
            reports,
            wanted: BTreeMap::new(),
            rules: Vec::new(),
            ending: BTreeSet::new(),
            watch: None,
            noted: BTreeSet::new(),
            begun: false,
            failing: false,
            retry_after: RETRY_AFTER,
        }
    }

    /// Works until it is told to end.
    pub(super) fn serve(mut self) {
        loop {
            let wait = if self.failing {
                self.retry_after
            } else {
                RECONCILE_EVERY
            };
            match self.queue.take(wait) {
                Some(Order::End) => return,
                Some(order) => self.carry_out(order),
                None if self.begun => self.reconcile(),
                None => {}
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Configure {
                rules,
                ending,
                bans,
            } => {
                self.ending = ending;
                self.configure(rules, bans);
            }
            Order::Apply(wishes) => {
                self.begin();
                self.apply(wishes);
            }
            Order::Reconcile => {
                self.begin();
                self.reconcile();
            }
            Order::Inspect(reply) => drop(reply.send(self.inspect())),
            Order::Examine(reply) => drop(reply.send(self.examine())),
            Order::Teardown(reply) => {
                self.wanted.clear();
                self.rules.clear();
                let result = self.opened().and_then(|firewall| firewall.teardown());
                drop(reply.send(result));
            }
            Order::End => {}
        }
    }

    fn configure(&mut self, rules: Vec<JailRules>, bans: Option<BTreeMap<Key, Option<Timestamp>>>) {
        self.rules.clone_from(&rules);
        let result = self
            .opened()
            .and_then(|firewall| firewall.configure(&rules));
        self.tell_notes();
        match bans {
            Some(bans) => {
                self.wanted = bans;
                self.begin();
                let healed = match result {
                    Ok(()) => self.heal(),
                    Err(error) => Err(error),
                };
                self.settle_after(healed);
            }
            None => self.settle(result),
        }
    }

    /// Tells the log what of the rules the backend does otherwise than they say; once for each.
    fn tell_notes(&mut self) {
        let notes = self.firewall.as_ref().map(|firewall| firewall.notes());
        for note in notes.unwrap_or_default() {
            if self.noted.insert(note.clone()) {
                tracing::warn!("{}: {note}", self.backend.name());
            }
        }
    }

    /// From now on the kernel is held to what is wanted. Before, that is not known: bans of an earlier
    /// run would be taken for somebody else's.
    fn begin(&mut self) {
        self.begun = true;
        self.start_watch();
    }

    /// The backend, opened anew where it was not.
    fn opened(&mut self) -> Result<&mut Box<dyn Firewall>, FirewallError> {
        if self.firewall.is_none() {
            let mut firewall = self.backend.open()?;
            firewall.configure(&self.rules)?;
            self.firewall = Some(firewall);
            if self.begun {
                self.start_watch();
            }
        }
        self.firewall.as_mut().ok_or(FirewallError::NoBackend {
            missing: Vec::new(),
        })
    }

    fn start_watch(&mut self) {
        let running = self
            .watch
            .as_ref()
            .is_some_and(|watch| !watch.is_finished());
        let Some(firewall) = self.firewall.as_ref().filter(|_| !running) else {
            return;
        };
        let watched = firewall.watch().map_err(|error| crate::cli::chain(&error));
        let started = match watched {
            Ok(None) => return,
            Ok(Some(watch)) => watchers::watch_firewall(watch, Arc::downgrade(&self.queue))
                .map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        match started {
            Ok(thread) => self.watch = Some(thread),
            Err(why) => tracing::warn!(
                "cannot watch {}, it is only looked at every {} s: {why}",
                self.backend.name(),
                RECONCILE_EVERY.as_secs()
            ),
        }
    }

    /// Carries out changes piece by piece; those that come in meanwhile go first.
    fn apply(&mut self, mut wishes: Wishes) {
        while !wishes.is_empty() {
            let rest = match wishes.keys().nth(PIECE).cloned() {
                Some(key) => wishes.split_off(&key),
                None => Wishes::new(),
            };
            self.apply_piece(wishes);
            wishes = rest;
            if wishes.is_empty() {
                return;
            }
            if let Some(newer) = self.queue.take_changes() {
                for key in newer.keys() {
                    wishes.remove(key);
                }
                self.apply(newer);
            }
        }
    }

    fn apply_piece(&mut self, wishes: Wishes) {
        let now = clock::now();
        let mut changes = Vec::with_capacity(wishes.len());
        for ((jail, net), wish) in &wishes {
            let (jail, net) = (jail.clone(), *net);
            // What is wanted for a jail that is gone went with its rules.
            if !self.rules.iter().any(|rule| rule.jail == jail) {
                continue;
            }
            changes.push(match wish.target {
                Target::Banned(until) => {
                    self.wanted.insert((jail.clone(), net), until);
                    let timeout = until.map(|until| until.saturating_since(now));
                    Change::Ban { jail, net, timeout }
                }
                Target::Free => {
                    self.wanted.remove(&(jail.clone(), net));
                    Change::Unban { jail, net }
                }
            });
        }
        let result = self.enforce(&changes);
        let (failed, error) = match result {
            Ok(refused) => split(refused),
            Err(error) => (wishes.keys().cloned().collect(), Some(error)),
        };
        self.end_connections(&changes, &failed);
        let mut done = Vec::with_capacity(wishes.len());
        let mut refused = Vec::new();
        for (key, wish) in wishes {
            if failed.contains(&key) {
                refused.push((key, wish.version));
            } else {
                done.push((key, wish.version));
            }
        }
        self.failing |= error.is_some();
        self.report(What::Applied {
            done,
            refused,
            error,
        });
    }

    /// Hands changes over; where that fails altogether, the rules may have been flushed since, so they
    /// are mended once before giving up.
    fn enforce(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        match self.opened()?.apply(changes) {
            Ok(refused) => Ok(refused),
            Err(_) => self.heal().map(|healed| healed.refused),
        }
    }

    /// Ends what who was banned has open, where his jail is to.
    fn end_connections(&mut self, changes: &[Change], failed: &BTreeSet<Key>) {
        let nets: Vec<IpNet> = changes
            .iter()
            .filter(|change| matches!(change, Change::Ban { .. }))
            .filter(|change| self.ending.contains(change.jail()))
            .filter(|change| !failed.contains(&(change.jail().clone(), change.net())))
            .map(Change::net)
            .collect();
        let Some(firewall) = self.firewall.as_mut().filter(|_| !nets.is_empty()) else {
            return;
        };
        match firewall.end_connections(&nets) {
            Ok(0) => {}
            Ok(ended) => tracing::info!("ended {ended} connections of who was banned"),
            Err(error) => tracing::warn!(
                "connections of who was banned stay open: {}",
                crate::cli::chain(&error)
            ),
        }
    }

    fn inspect(&mut self) -> Result<Inspection, FirewallError> {
        let firewall = self.opened()?;
        Ok(Inspection {
            elements: firewall.list()?,
            counters: firewall.counters()?,
        })
    }

    fn examine(&mut self) -> Result<Examination, FirewallError> {
        let rules = self.rules.clone();
        let firewall = self.opened()?;
        let health = firewall.probe()?;
        // One jail stands for all: what stops its packets stops theirs.
        let tested = match rules.first() {
            Some(rule) => Some((rule.jail.clone(), test_packet(firewall.as_mut(), rule)?)),
            None => None,
        };
        Ok(Examination { health, tested })
    }

    fn reconcile(&mut self) {
        let now = clock::now();
        self.wanted
            .retain(|_, until| until.is_none_or(|until| until > now));
        let healed = self.heal();
        if let Ok(Healed { changes, refused }) = &healed
            && *changes > 0
            && refused.is_empty()
        {
            self.report(What::Healed { changes: *changes });
        }
        self.settle_after(healed);
    }

    fn settle_after(&mut self, healed: Result<Healed, FirewallError>) {
        if healed.is_err() {
            // What cannot be spoken to is opened anew the next time.
            self.firewall = None;
        }
        self.settle(healed.and_then(|healed| split(healed.refused).1.map_or(Ok(()), Err)));
    }

    /// Makes the kernel agree with what is wanted.
    fn heal(&mut self) -> Result<Healed, FirewallError> {
        let rules = self.rules.clone();
        let wanted: Vec<Wanted> = self
            .wanted
            .iter()
            .map(|((jail, net), until)| Wanted {
                jail: jail.clone(),
                net: *net,
                until: *until,
            })
            .collect();
        let firewall = self.opened()?;
        let mut mended = 0;
        if let Health::Missing { .. } = firewall.probe()? {
            firewall.configure(&rules)?;
            mended += 1;
        }
        let timeouts = firewall.timeouts();
        let changes = difference(&wanted, &firewall.list()?, timeouts, clock::now());
        let mut refused = Vec::new();
        for piece in changes.chunks(PIECE) {
            refused.extend(firewall.apply(piece)?);
        }
        Ok(Healed {
            changes: mended + changes.len(),
            refused,
        })
    }

    /// Tells when the firewall begins to fail and when it works again, not each time it does.
    fn settle(&mut self, result: Result<(), FirewallError>) {
        match (result, self.failing) {
            (Ok(()), true) => {
                self.failing = false;
                self.retry_after = RETRY_AFTER;
                self.report(What::Recovered);
            }
            (Err(error), failing) => {
                if failing {
                    self.retry_after = (self.retry_after * 2).min(RECONCILE_EVERY);
                }
                self.failing = true;
                self.report(What::Failed(error));
            }
            (Ok(()), false) => {}
        }
    }

    fn report(&self, what: What) {
        // The main loop has ended when nobody listens; then nobody is to be told.
        drop(self.reports.send(Report {
            backend: self.id,
            what,
        }));
    }
}

/// What a reconciliation did.
struct Healed {
    /// Differences that were found.
    changes: usize,
    refused: Vec<Refusal>,
}

/// What was refused, and why the first of it was. It stays wanted.
fn split(refused: Vec<Refusal>) -> (BTreeSet<Key>, Option<FirewallError>) {
    let mut keys = BTreeSet::new();
    let mut first = None;
    for refusal in refused {
        let changes = refusal.changes.into_iter();
        keys.extend(changes.map(|change| (change.jail().clone(), change.net())));
        first.get_or_insert(refusal.error);
    }
    (keys, first)
}
