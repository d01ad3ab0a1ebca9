//! Actions, which are plugins or programs: a thread each, with a queue and retries, so that a slow
//! endpoint delays nobody.

mod exec;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use stockade_config::ExecSettings;
use stockade_core::{Ban, Decider, JailName, PluginName};
use stockade_plugins::{
    ActionError, ActionPlugin, ActionQueue, Clock, Decision, Order, PluginStatus, StatusHandle,
    SystemClock,
};

use exec::{Exec, ExecStatus};

/// Messages on the way to an action's thread, which only takes them into its own queue. When it is full
/// (the plugin has been busy with one call for long), the message is dropped and all bans are told anew.
const MESSAGES_MAX: usize = 4_096;
/// Decisions in one call: enough for an endpoint that takes many at once, and short enough for the
/// time that a call has.
const DECISIONS_PER_CALL: usize = 64;
/// How long a thread with nothing to do waits before it looks again.
const IDLE: Duration = Duration::from_secs(60);

/// All actions, and which jails they serve.
#[derive(Debug, Default)]
pub(super) struct Actions {
    runners: BTreeMap<PluginName, Runner>,
    of_jail: BTreeMap<JailName, Vec<PluginName>>,
}

#[derive(Debug)]
struct Runner {
    messages: SyncSender<Message>,
    /// Something was dropped on the way or by the plugin's queue.
    lost: Arc<AtomicBool>,
    status: Status,
}

/// What carries out decisions.
#[derive(Debug)]
pub(super) enum Actor {
    Plugin(Box<ActionPlugin>),
    Program(Box<Exec>),
}

impl Actor {
    /// A program of the configuration.
    pub(super) fn program(name: PluginName, settings: ExecSettings) -> Self {
        Self::Program(Box::new(Exec::new(name, settings)))
    }

    fn name(&self) -> &PluginName {
        match self {
            Self::Plugin(plugin) => plugin.name(),
            Self::Program(exec) => exec.name(),
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Plugin(plugin) => Status::Plugin(plugin.status_handle()),
            Self::Program(exec) => Status::Program(exec.status()),
        }
    }

    fn act(&mut self, verb: Verb, decisions: &[Decision]) -> Vec<Result<(), ActionError>> {
        match (self, verb) {
            (Self::Plugin(plugin), Verb::Apply) => plugin.apply(decisions),
            (Self::Plugin(plugin), Verb::Revoke) => plugin.revoke(decisions),
            (Self::Plugin(plugin), Verb::Reconcile) => plugin.reconcile(decisions),
            (Self::Program(exec), Verb::Apply) => exec.apply(decisions),
            (Self::Program(exec), Verb::Revoke) => exec.revoke(decisions),
            (Self::Program(exec), Verb::Reconcile) => exec.reconcile(decisions),
        }
    }
}

/// What an action is asked to do with decisions.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Apply,
    Revoke,
    Reconcile,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Revoke => "revoke",
            Self::Reconcile => "reconcile",
        }
    }
}

/// Shows how an action is while its own thread uses it.
#[derive(Clone, Debug)]
enum Status {
    Plugin(StatusHandle),
    Program(ExecStatus),
}

impl Status {
    fn snapshot(&self) -> PluginStatus {
        match self {
            Self::Plugin(handle) => handle.snapshot(),
            Self::Program(status) => status
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    fn set_queued(&self, queued: usize) {
        match self {
            Self::Plugin(handle) => handle.set_queued(queued),
            Self::Program(status) => {
                status.lock().unwrap_or_else(PoisonError::into_inner).queued = queued;
            }
        }
    }
}

#[derive(Debug)]
enum Message {
    One(Order, Decision),
    /// All bans that are in force.
    All(Vec<Decision>),
}

impl Actions {
    /// Starts a thread for `actor` under this name; a thread that had the name ends after what it is
    /// doing. It is told all bans by the next [`Actions::make_up`].
    pub(super) fn start(&mut self, name: PluginName, actor: Actor) -> std::io::Result<()> {
        let (messages, inbox) = sync_channel(MESSAGES_MAX);
        let lost = Arc::new(AtomicBool::new(true));
        let status = actor.status();
        let mut thread = Thread {
            actor,
            queue: ActionQueue::default(),
            lost: Arc::clone(&lost),
            status: status.clone(),
            clock: SystemClock::new(),
        };
        std::thread::Builder::new()
            .name(format!("action-{name}"))
            .spawn(move || thread.serve(&inbox))?;
        self.runners.insert(
            name,
            Runner {
                messages,
                lost,
                status,
            },
        );
        Ok(())
    }

    /// Ends the actions that are not among `kept`, and says which jail has which.
    pub(super) fn assign(&mut self, of_jail: BTreeMap<JailName, Vec<PluginName>>) {
        self.runners
            .retain(|name, _| of_jail.values().flatten().any(|used| used == name));
        self.of_jail = of_jail;
    }

    /// Whether an action of this name runs.
    pub(super) fn has(&self, name: &PluginName) -> bool {
        self.runners.contains_key(name)
    }

    /// Tells the jail's actions of a ban.
    pub(super) fn apply(&self, ban: &Ban, matches: &[Vec<u8>]) {
        self.tell(Order::Apply, ban, matches);
    }

    /// Tells the jail's actions that a ban has ended.
    pub(super) fn revoke(&self, ban: &Ban) {
        self.tell(Order::Revoke, ban, &[]);
    }

    fn tell(&self, order: Order, ban: &Ban, matches: &[Vec<u8>]) {
        for runner in self.runners_of(&ban.jail) {
            let decision = Decision::new(ban, matches.iter().map(Vec::as_slice));
            runner.send(Message::One(order, decision));
        }
    }

    fn runners_of(&self, jail: &JailName) -> impl Iterator<Item = &Runner> {
        let names = self
            .of_jail
            .get(jail)
            .map(Vec::as_slice)
            .unwrap_or_default();
        names.iter().filter_map(|name| self.runners.get(name))
    }

    /// Tells all bans to the actions that are new or have lost some.
    pub(super) fn make_up(&self, decider: &Decider) {
        for (name, runner) in &self.runners {
            if !runner.lost.swap(false, Ordering::AcqRel) {
                continue;
            }
            let serves = |jail: &JailName| {
                self.of_jail
                    .get(jail)
                    .is_some_and(|names| names.contains(name))
            };
            let active = decider.bans().filter(|ban| serves(&ban.jail));
            runner.send(Message::All(
                active.map(|ban| Decision::new(ban, [])).collect(),
            ));
        }
    }

    /// How each action is, and the jails it serves.
    pub(super) fn status(&self) -> impl Iterator<Item = (PluginStatus, Vec<String>)> {
        self.runners.iter().map(|(name, runner)| {
            let jails = self
                .of_jail
                .iter()
                .filter(|(_, names)| names.contains(name));
            (
                runner.status.snapshot(),
                jails.map(|(jail, _)| jail.to_string()).collect(),
            )
        })
    }
}

impl Runner {
    fn send(&self, message: Message) {
        match self.messages.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.store(true, Ordering::Release);
            }
        }
    }
}

struct Thread {
    actor: Actor,
    queue: ActionQueue,
    lost: Arc<AtomicBool>,
    status: Status,
    clock: SystemClock,
}

impl Thread {
    fn serve(&mut self, inbox: &Receiver<Message>) {
        loop {
            let now = self.clock.monotonic();
            let wait = self
                .queue
                .next_due()
                .map_or(IDLE, |due| due.saturating_sub(now));
            match inbox.recv_timeout(wait) {
                Ok(message) => self.take_in(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(message) = inbox.try_recv() {
                self.take_in(message);
            }
            self.work();
        }
    }

    fn take_in(&mut self, message: Message) {
        match message {
            Message::One(order, decision) => self.queue.push(order, decision),
            Message::All(active) => {
                let results = self.act(Verb::Reconcile, &active);
                self.queue
                    .reconciled(&active, &results, self.clock.monotonic());
            }
        }
    }

    /// Carries out what is due, one call; the rest after new messages were taken in.
    fn work(&mut self) {
        if let Some(work) = self.queue.take(self.clock.monotonic(), DECISIONS_PER_CALL) {
            let verb = match work.order {
                Order::Apply => Verb::Apply,
                Order::Revoke => Verb::Revoke,
            };
            let results = self.act(verb, &work.decisions);
            self.queue.settle(work, &results, self.clock.monotonic());
        }
        if self.queue.needs_reconcile() {
            self.lost.store(true, Ordering::Release);
        }
        self.status.set_queued(self.queue.len());
    }

    fn act(&mut self, verb: Verb, decisions: &[Decision]) -> Vec<Result<(), ActionError>> {
        let results = self.actor.act(verb, decisions);
        self.tell(verb.word(), decisions, &results);
        results
    }

    fn tell(&self, verb: &str, decisions: &[Decision], results: &[Result<(), ActionError>]) {
        for (decision, result) in decisions.iter().zip(results) {
            let Err(error) = result else { continue };
            let (name, key) = (
                self.actor.name(),
                stockade_core::Escaped(decision.key().as_bytes()),
            );
            if error.retry {
                tracing::warn!("action '{name}' could not {verb} {key}, trying again: {error}");
            } else {
                tracing::error!("action '{name}' could not {verb} {key}: {error}");
            }
        }
    }
}
