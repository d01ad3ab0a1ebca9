//! Everything that enforces bans: one thread for each backend, and which jails it serves.

mod pending;
mod plan;
mod queue;
mod thread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use stockade_core::{Ban, Decider, JailName, Timestamp};
use stockade_firewall::{
    Backend, Counter, Element, Firewall, FirewallError, Health, JailRules, Tested,
};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

pub(super) use self::pending::{News, Pending};
pub(super) use self::plan::{Plan, Planned};
pub(super) use self::queue::{Key, Order, Queue, Target, Wish, Wishes};
use self::thread::Thread;

/// A backend as long as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BackendId(u32);

/// What a backend's thread tells.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) backend: BackendId,
    pub(super) what: What,
}

/// What there is to tell.
#[derive(Debug)]
pub(super) enum What {
    /// These wishes were carried out, and those were not, the first of them for this reason. They stay
    /// wanted and are tried again by every reconciliation.
    Applied {
        done: Vec<(Key, u64)>,
        refused: Vec<(Key, u64)>,
        error: Option<FirewallError>,
    },
    /// So many differences were found and mended.
    Healed { changes: usize },
    /// The kernel does not agree and could not be made to.
    Failed(FirewallError),
    /// It agrees again after a failure.
    Recovered,
}

/// What the kernel holds of one backend.
#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) elements: Vec<Element>,
    pub(super) counters: Vec<Counter>,
}

/// Whether the bans of one backend hold.
#[derive(Debug)]
pub(super) struct Examination {
    pub(super) health: Health,
    /// What became of a connection from somebody who was banned in this jail for a moment.
    pub(super) tested: Option<(JailName, Tested)>,
}

/// All backends in use.
#[derive(Debug)]
pub(super) struct Enforcement {
    running: BTreeMap<BackendId, Running>,
    /// Which backends enforce the bans of a jail.
    routes: BTreeMap<JailName, Vec<BackendId>>,
    reports: UnboundedSender<Report>,
    begun: u32,
}

/// One backend in use.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) backend: Backend,
    /// Why it was chosen, where it was by itself.
    pub(super) because: Option<String>,
    /// What is wrong with it, if anything is.
    pub(super) failure: Option<String>,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Tells its thread to end, and waits until it has.
    fn end(&mut self) {
        self.queue.push(Order::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of {} had panicked", self.backend.name());
        }
    }
}

impl Enforcement {
    pub(super) fn new(reports: UnboundedSender<Report>) -> Self {
        Self {
            running: BTreeMap::new(),
            routes: BTreeMap::new(),
            reports,
            begun: 0,
        }
    }

    /// Starts the thread of a backend; one that is not open yet is opened there.
    pub(super) fn start(
        &mut self,
        planned: &Planned,
        opened: Option<Box<dyn Firewall>>,
    ) -> std::io::Result<()> {
        self.begun += 1;
        let id = BackendId(self.begun);
        let queue = Arc::new(Queue::default());
        let thread = Thread::new(
            id,
            planned.backend.clone(),
            opened,
            Arc::clone(&queue),
            self.reports.clone(),
        );
        let thread = std::thread::Builder::new()
            .name("enforcer".into())
            .spawn(move || thread.serve())?;
        self.running.insert(
            id,
            Running {
                backend: planned.backend.clone(),
                because: planned.because.clone(),
                failure: None,
                queue,
                thread: Some(thread),
            },
        );
        self.route(id, &planned.rules);
        Ok(())
    }

    fn route(&mut self, id: BackendId, rules: &[JailRules]) {
        for rule in rules {
            let route = self.routes.entry(rule.jail.clone()).or_default();
            if !route.contains(&id) {
                route.push(id);
            }
        }
    }

    /// Goes over to another plan: backends that are new are opened by their threads, those that are not
    /// used any more leave nothing behind. The decider's bans are all that are in force.
    ///
    /// Answers with the backends that are gone.
    pub(super) fn replan(
        &mut self,
        plan: &Plan,
        decider: &Decider,
    ) -> std::io::Result<Vec<BackendId>> {
        self.routes.clear();
        let mut unused: Vec<BackendId> = self.running.keys().copied().collect();
        for planned in &plan.backends {
            let mut running = self.running.iter_mut();
            let found = running.find(|(_, running)| running.backend == planned.backend);
            if let Some((id, running)) = found {
                running.because.clone_from(&planned.because);
                let id = *id;
                unused.retain(|unused| *unused != id);
                self.route(id, &planned.rules);
            } else {
                self.start(planned, None)?;
            }
            let bans = wanted(&planned.rules, decider.bans());
            self.configure(planned, Some(bans));
        }
        for id in &unused {
            if let Some(mut running) = self.running.remove(id) {
                let (reply, _) = oneshot::channel();
                running.queue.push(Order::Teardown(reply));
                running.end();
            }
        }
        Ok(unused)
    }

    /// Gives a backend its rules, and with `bans` all that it is to hold.
    pub(super) fn configure(
        &self,
        planned: &Planned,
        bans: Option<BTreeMap<Key, Option<Timestamp>>>,
    ) {
        let mut running = self.running.values();
        if let Some(running) = running.find(|running| running.backend == planned.backend) {
            running.queue.push(Order::Configure {
                rules: planned.rules.clone(),
                ending: planned.ending.clone(),
                bans,
            });
        }
    }

    /// The backends that enforce the bans of a jail.
    pub(super) fn backends_of(&self, jail: &JailName) -> &[BackendId] {
        self.routes.get(jail).map_or(&[], Vec::as_slice)
    }

    /// Tells the backends of each jail; does not wait for them.
    pub(super) fn apply(&self, wishes: Wishes) {
        let mut parts: BTreeMap<BackendId, Wishes> = BTreeMap::new();
        for (key, wish) in wishes {
            for id in self.backends_of(&key.0) {
                let part = parts.entry(*id).or_default();
                part.insert(key.clone(), wish);
            }
        }
        for (id, part) in parts {
            if let Some(running) = self.running.get(&id) {
                running.queue.push(Order::Apply(part));
            }
        }
    }

    /// Has all backends compare with the kernel now.
    pub(super) fn reconcile(&self) {
        for running in self.running.values() {
            running.queue.push(Order::Reconcile);
        }
    }

    /// What the kernel holds, of each backend. Answered after all that was ordered before.
    pub(super) async fn inspect(&self) -> Vec<(BackendId, Result<Inspection, FirewallError>)> {
        self.ask(Order::Inspect).await
    }

    /// Whether the bans of each backend hold; one after another, as each bans the same address for a moment.
    pub(super) async fn examine(&self) -> Vec<(BackendId, Result<Examination, FirewallError>)> {
        let mut found = Vec::new();
        for (id, running) in &self.running {
            let (reply, answer) = oneshot::channel();
            running.queue.push(Order::Examine(reply));
            if let Ok(examination) = answer.await {
                found.push((*id, examination));
            }
        }
        found
    }

    /// Removes all that is ours from the kernel.
    pub(super) async fn teardown(&self) -> Result<(), FirewallError> {
        let mut answers = self.ask(Order::Teardown).await.into_iter();
        answers.try_for_each(|(_, answer)| answer)
    }

    /// Asks all backends at once, and waits for their answers.
    async fn ask<T>(&self, order: impl Fn(oneshot::Sender<T>) -> Order) -> Vec<(BackendId, T)> {
        let mut asked = Vec::new();
        for (id, running) in &self.running {
            let (reply, answer) = oneshot::channel();
            running.queue.push(order(reply));
            asked.push((*id, answer));
        }
        let mut answers = Vec::new();
        for (id, answer) in asked {
            if let Ok(answer) = answer.await {
                answers.push((id, answer));
            }
        }
        answers
    }

    /// Notes what is wrong with a backend; its name.
    pub(super) fn note(&mut self, id: BackendId, failure: Option<String>) -> String {
        match self.running.get_mut(&id) {
            Some(running) => {
                running.failure = failure;
                running.backend.name().to_owned()
            }
            None => String::new(),
        }
    }

    /// All backends in use.
    pub(super) fn running(&self) -> impl Iterator<Item = (BackendId, &Running)> {
        self.running.iter().map(|(id, running)| (*id, running))
    }

    /// What is wrong with the firewall, if anything is, by the backends' names where there are several.
    pub(super) fn failure(&self) -> Option<String> {
        let several = self.running.len() > 1;
        let failures: Vec<String> = self
            .running
            .values()
            .filter_map(|running| {
                let failure = running.failure.as_ref()?;
                Some(if several {
                    format!("{}: {failure}", running.backend.name())
                } else {
                    failure.clone()
                })
            })
            .collect();
        (!failures.is_empty()).then(|| failures.join("; "))
    }
}

impl Drop for Enforcement {
    fn drop(&mut self) {
        for running in self.running.values_mut() {
            running.end();
        }
    }
}

/// The bans that a backend with these rules is to hold.
fn wanted<'a>(
    rules: &[JailRules],
    bans: impl Iterator<Item = &'a Ban>,
) -> BTreeMap<Key, Option<Timestamp>> {
    bans.filter(|ban| rules.iter().any(|rule| rule.jail == ban.jail))
        .filter_map(|ban| Some(((ban.jail.clone(), ban.id.network()?), ban.until)))
        .collect()
}
