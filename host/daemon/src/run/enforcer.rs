//! The thread that owns the firewall: it holds what is wanted and makes the kernel agree.
//!
//! Orders and reports are plain messages that could cross a process border, so that the part that
//! holds CAP_NET_ADMIN can become a process of its own.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use stockade_core::{Ban, FailureId, IpNet, JailName, Timestamp};
use stockade_firewall::{
    Change, Element, Firewall, FirewallError, Health, JailRules, Refusal, Wanted, difference,
};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::clock;

/// Orders that may wait. When it is full the main loop waits: bans must not be dropped, and a firewall
/// that does not answer for so long is an outage that backs up into reading, where nothing is lost.
const ORDERS_MAX: usize = 256;
/// The kernel is compared with what is wanted at least this often, because not every backend tells
/// when somebody else changes it.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);
/// How soon it is tried again after it failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the main loop asks for.
#[derive(Debug)]
pub(super) enum Order {
    /// These jails with these rules, and no others.
    Configure(Vec<JailRules>),
    /// Bans and their ends. Answered with [`Report::Applied`] and the same number.
    Apply {
        number: u64,
        bans: Vec<Ban>,
        unbans: Vec<(JailName, FailureId)>,
    },
    /// Compare with the kernel now.
    Reconcile,
    /// What the kernel holds.
    List(oneshot::Sender<Result<Vec<Element>, FirewallError>>),
    /// Remove everything that is ours.
    Teardown(oneshot::Sender<Result<(), FirewallError>>),
    /// End, and leave everything as it is.
    End,
}

/// What the thread answers.
#[derive(Debug)]
pub(super) enum Report {
    /// The order with this number was carried out, or why not. What failed stays wanted and is tried
    /// again by every reconciliation.
    Applied {
        number: u64,
        result: Result<(), FirewallError>,
    },
    /// So many differences were found and mended.
    Healed { changes: usize },
    /// The kernel does not agree and could not be made to.
    Failed(FirewallError),
    /// It agrees again after a failure.
    Recovered,
}

/// The main loop's end of the thread.
#[derive(Debug)]
pub(super) struct Enforcer {
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Enforcer {
    /// Starts the thread.
    pub(super) fn spawn(
        firewall: Box<dyn Firewall>,
        reports: UnboundedSender<Report>,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = sync_channel(ORDERS_MAX);
        let mut thread = Thread {
            firewall,
            reports,
            wanted: BTreeMap::new(),
            rules: Vec::new(),
            failing: false,
        };
        let thread = std::thread::Builder::new()
            .name("enforcer".into())
            .spawn(move || thread.serve(&inbox))?;
        Ok(Self {
            orders,
            thread: Some(thread),
        })
    }

    /// Gives an order; waits while [`ORDERS_MAX`] others wait.
    pub(super) fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::error!("the enforcing thread has ended; nothing can be banned any more");
        }
    }

    /// A sender for others that only ask to reconcile.
    pub(super) fn sender(&self) -> SyncSender<Order> {
        self.orders.clone()
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        self.order(Order::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the enforcing thread had panicked");
        }
    }
}

struct Thread {
    firewall: Box<dyn Firewall>,
    reports: UnboundedSender<Report>,
    wanted: BTreeMap<(JailName, IpNet), Option<Timestamp>>,
    rules: Vec<JailRules>,
    failing: bool,
}

impl Thread {
    fn serve(&mut self, inbox: &Receiver<Order>) {
        loop {
            let wait = if self.failing {
                RETRY_AFTER
            } else {
                RECONCILE_EVERY
            };
            match inbox.recv_timeout(wait) {
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(order) => self.carry_out(order),
                Err(RecvTimeoutError::Timeout) => self.reconcile(),
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Configure(rules) => {
                self.wanted
                    .retain(|(jail, _), _| rules.iter().any(|rule| rule.jail == *jail));
                self.rules = rules;
                let result = self.firewall.configure(&self.rules);
                self.settle(result);
            }
            Order::Apply {
                number,
                bans,
                unbans,
            } => {
                let result = self.apply(bans, unbans);
                self.failing |= result.is_err();
                self.report(Report::Applied { number, result });
            }
            Order::Reconcile => self.reconcile(),
            Order::List(reply) => drop(reply.send(self.firewall.list())),
            Order::Teardown(reply) => {
                self.wanted.clear();
                self.rules.clear();
                drop(reply.send(self.firewall.teardown()));
            }
            Order::End => {}
        }
    }

    fn apply(
        &mut self,
        bans: Vec<Ban>,
        unbans: Vec<(JailName, FailureId)>,
    ) -> Result<(), FirewallError> {
        let now = clock::now();
        let mut changes = Vec::with_capacity(bans.len() + unbans.len());
        let rules = &self.rules;
        // What is wanted for a jail that is gone went with its rules.
        let configured = |jail: &JailName| rules.iter().any(|rule| rule.jail == *jail);
        for (jail, id) in unbans {
            let Some(net) = id.network().filter(|_| configured(&jail)) else {
                continue;
            };
            self.wanted.remove(&(jail.clone(), net));
            changes.push(Change::Unban { jail, net });
        }
        for ban in bans {
            let Some(net) = ban.id.network().filter(|_| configured(&ban.jail)) else {
                continue;
            };
            self.wanted.insert((ban.jail.clone(), net), ban.until);
            let timeout = ban.until.map(|until| until.saturating_since(now));
            changes.push(Change::Ban {
                jail: ban.jail,
                net,
                timeout,
            });
        }
        if changes.is_empty() {
            return Ok(());
        }
        // The table may have been flushed since: mend it once before giving up.
        match self.firewall.apply(&changes) {
            Ok(refused) => first_error(refused),
            Err(_) => self.heal().map(drop),
        }
    }

    fn reconcile(&mut self) {
        let now = clock::now();
        self.wanted
            .retain(|_, until| until.is_none_or(|until| until > now));
        let healed = self.heal();
        if let Ok(changes @ 1..) = healed {
            self.report(Report::Healed { changes });
        }
        self.settle(healed.map(drop));
    }

    /// Makes the kernel agree with what is wanted; how many differences there were.
    fn heal(&mut self) -> Result<usize, FirewallError> {
        let mut differences = 0;
        if let Health::Missing { .. } = self.firewall.probe()? {
            self.firewall.configure(&self.rules)?;
            differences += 1;
        }
        let wanted: Vec<Wanted> = self
            .wanted
            .iter()
            .map(|((jail, net), until)| Wanted {
                jail: jail.clone(),
                net: *net,
                until: *until,
            })
            .collect();
        let timeouts = self.firewall.timeouts();
        let changes = difference(&wanted, &self.firewall.list()?, timeouts, clock::now());
        if !changes.is_empty() {
            first_error(self.firewall.apply(&changes)?)?;
        }
        Ok(differences + changes.len())
    }

    /// Tells when the firewall begins to fail and when it works again, not each time it does.
    fn settle(&mut self, result: Result<(), FirewallError>) {
        match (result, self.failing) {
            (Ok(()), true) => {
                self.failing = false;
                self.report(Report::Recovered);
            }
            (Err(error), false) => {
                self.failing = true;
                self.report(Report::Failed(error));
            }
            (Ok(()), false) | (Err(_), true) => {}
        }
    }

    fn report(&self, report: Report) {
        // The main loop has ended when nobody listens; then nobody is to be told.
        drop(self.reports.send(report));
    }
}

/// What was refused stays wanted; why, for whoever asked.
fn first_error(refused: Vec<Refusal>) -> Result<(), FirewallError> {
    match refused.into_iter().next() {
        None => Ok(()),
        Some(refusal) => Err(refusal.error),
    }
}
