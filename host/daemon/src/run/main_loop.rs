//! The main loop: everything that can happen comes here, one after another.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stockade_core::{Checkpoint, Failures, JailName, PluginName, SourceName, Timestamp};
use stockade_firewall::Choice;
use stockade_plugins::{Clock, PluginHost, Role, StatusHandle};
use stockade_store::StateLock;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::Event;
use super::enforcement::Report;
use super::engine::Engine;
use super::ignored::{ChangingIgnores, IgnoreWatcher, KnownNames};
use super::plugins::SharedKv;
use super::protection::{Protection, listed};
use super::reading::{self, Reader, Resume, Unclear};
use super::socket::Asked;
use super::sources::Sources;
use crate::clock;
use crate::log::LogHandle;
use crate::setup::{ConfigFrom, Setup};

/// Events that are handled in one turn: their bans share one transaction and one order to the firewall,
/// and what was decided first does not wait for more than this.
const EVENTS_PER_TURN: usize = 64;
/// Checkpoints and attempts without a ban are written this long after the first; until then a crash
/// makes the lines be read and counted again, from the state before them.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// The loop looks up at least this often, so that a clock that was set is noticed.
const LOOK_UP: Duration = Duration::from_secs(30);
/// A client that does not take the answer to its `stop` does not keep the daemon.
const LAST_REPLY_MAX: Duration = Duration::from_secs(5);
/// How often what is over is deleted from the store.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

/// What stays the same as long as the daemon runs.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) config: ConfigFrom,
    pub(super) dry_run: bool,
    /// A configuration with any error is refused.
    pub(super) strict: bool,
    pub(super) state_dir: PathBuf,
    /// What `firewall = "auto"` means on this host, where a jail wanted it.
    pub(super) auto: Option<Choice>,
    pub(super) log: LogHandle,
    pub(super) _lock: Option<StateLock>,
    pub(super) host: Option<PluginHost>,
    pub(super) kv: Option<SharedKv>,
    /// The clock of the plugins' quarantine.
    pub(super) clock: Arc<dyn Clock>,
    pub(super) started_at: Timestamp,
}

/// The daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) parts: Parts,
    pub(super) setup: Setup,
    pub(super) engine: Engine,
    pub(super) protection: Protection,
    pub(super) sources: Sources,
    /// What was unclear to each jail since the start.
    pub(super) unclear: BTreeMap<JailName, Unclear>,
    pub(super) readers: Vec<Reader>,
    /// Plugins that do not run, and why not.
    pub(super) failed_plugins: Vec<(PluginName, Role, String)>,
    /// Jails that do not run, and why not.
    pub(super) failed: BTreeMap<JailName, String>,
    /// Whether this host has a journal, as far as jails choose by it.
    pub(super) has_journal: bool,
    /// How the filter plugin of each jail is.
    pub(super) filters: BTreeMap<JailName, StatusHandle>,
    ignore_watcher: Option<IgnoreWatcher>,
    known_names: KnownNames,
    pub(super) events: mpsc::Sender<Event>,
    queues: Queues,
    save_at: Option<Instant>,
    purge_at: Instant,
    stopping: bool,
    /// The client that asked to stop still waits for the answer.
    pub(super) last_reply: Option<oneshot::Receiver<()>>,
}

/// What the main loop listens to, besides signals.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
}

/// What ended a wait.
enum Woken {
    Event(Event),
    Asked(Asked),
    Report(Report),
    Reload,
    Reopen,
    Stop,
    Timer,
}

struct Signals {
    hangup: Signal,
    user1: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

impl Daemon {
    pub(super) fn new(
        parts: Parts,
        setup: Setup,
        engine: Engine,
        protection: Protection,
        events: mpsc::Sender<Event>,
        queues: Queues,
    ) -> io::Result<Self> {
        Ok(Self {
            parts,
            setup,
            engine,
            protection,
            sources: Sources::default(),
            unclear: BTreeMap::new(),
            readers: Vec::new(),
            failed_plugins: Vec::new(),
            failed: BTreeMap::new(),
            has_journal: false,
            filters: BTreeMap::new(),
            ignore_watcher: None,
            known_names: KnownNames::default(),
            events,
            queues,
            save_at: None,
            purge_at: clock::instant(),
            stopping: false,
            last_reply: None,
        })
    }

    /// Whether nothing protects anything.
    pub(super) fn has_no_jail(&self) -> bool {
        !self.failed.is_empty() && self.readers.is_empty()
    }

    /// Runs until a signal or a client says stop.
    pub(super) async fn run(mut self) {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!("cannot receive signals: {error}");
                return;
            }
        };
        tracing::info!("protecting: {}", self.jail_names());
        while !self.stopping {
            let woken = self.wait(&mut signals).await;
            self.handle(woken).await;
            for _ in 1..EVENTS_PER_TURN {
                let Ok(event) = self.queues.events.try_recv() else {
                    break;
                };
                self.event(event);
            }
            // Looked at every turn: under a flood of lines the wait never times out.
            self.timer();
            self.finish_turn();
        }
        self.stop().await;
    }

    fn jail_names(&self) -> String {
        let names: Vec<&str> = self
            .setup
            .jails
            .iter()
            .map(|jail| jail.settings.name.as_str())
            .collect();
        if names.is_empty() {
            "nothing, no jail is enabled".to_owned()
        } else {
            names.join(", ")
        }
    }

    async fn wait(&mut self, signals: &mut Signals) -> Woken {
        let timeout = self.timeout();
        tokio::select! {
            biased;
            Some(report) = self.queues.reports.recv() => Woken::Report(report),
            Some(asked) = self.queues.asked.recv() => Woken::Asked(asked),
            Some(()) = signals.terminate.recv() => Woken::Stop,
            Some(()) = signals.interrupt.recv() => Woken::Stop,
            Some(()) = signals.hangup.recv() => Woken::Reload,
            Some(()) = signals.user1.recv() => Woken::Reopen,
            Some(event) = self.queues.events.recv() => Woken::Event(event),
            () = tokio::time::sleep(timeout) => Woken::Timer,
        }
    }

    fn timeout(&self) -> Duration {
        let now = clock::now();
        let decider = self
            .engine
            .decider
            .next_wakeup()
            .map_or(LOOK_UP, |at| clock::until(at, now));
        let save = self
            .save_at
            .map_or(LOOK_UP, |at| at.saturating_duration_since(clock::instant()));
        let look = self.protection.next_look();
        decider.min(save).min(look).min(LOOK_UP)
    }

    async fn handle(&mut self, woken: Woken) {
        match woken {
            Woken::Event(event) => self.event(event),
            Woken::Asked(asked) => self.answer(asked).await,
            Woken::Report(report) => self.engine.reported(report),
            Woken::Reload => self.reload_by_signal().await,
            Woken::Reopen => {
                if let Err(error) = self.parts.log.reopen() {
                    tracing::error!("cannot reopen the log file: {error}");
                }
            }
            Woken::Stop => self.stopping = true,
            Woken::Timer => self
                .engine
                .handle(stockade_core::Event::Timer, clock::now()),
        }
    }

    fn event(&mut self, event: Event) {
        let now = clock::now();
        match event {
            Event::Judged(judged) => {
                self.sources.count(&judged);
                for (jail, unclear) in judged.unclear {
                    *self.unclear.entry(jail).or_default() += unclear;
                }
                for failures in judged.failures {
                    self.failures(failures, now);
                }
                for failures in judged.spared {
                    self.engine
                        .handle(stockade_core::Event::Spared(failures), now);
                }
                // Each reader has its own checkpoint of a source.
                let source = SourceName::new(&format!("{}:{}", judged.reader, judged.source));
                self.engine.judged(source, judged.checkpoint);
            }
            Event::NamesResolved(failures) => self.failures(failures, now),
            Event::NamesSpared(failures) => self
                .engine
                .handle(stockade_core::Event::Spared(failures), now),
            Event::Noticed(reader, notice) => self.sources.notice(&reader, &notice),
            Event::ReaderEnded(name) => {
                if let Some(index) = self.readers.iter().position(|reader| reader.name == name) {
                    self.readers.swap_remove(index).join();
                }
            }
            Event::OwnAddresses(addrs) => self.engine.own_addresses(&addrs, now),
            Event::Gateways(addrs) => {
                tracing::info!("default gateways: {}", listed(&addrs));
                self.protection.set_gateways(addrs);
                self.engine.protect(self.protection.protected(), now);
            }
            // A reader that has gone asks no more.
            Event::WhoCounts(failures, reply) => {
                drop(reply.send(self.engine.decider.would_count(&failures, now)));
            }
            Event::Ignored(jail, ignores) => self.engine.changing_ignores(&jail, ignores, now),
        }
    }

    fn failures(&mut self, failures: Failures, now: Timestamp) {
        if self.engine.decider.may_ban(&failures) {
            self.look_before_ban(now);
        }
        self.engine
            .handle(stockade_core::Event::Failures(failures), now);
    }

    /// Looks who is protected now, unless that was done a moment ago.
    pub(super) fn look_before_ban(&mut self, now: Timestamp) {
        if self.protection.is_stale() {
            self.look(now);
        }
    }

    /// Looks who is protected now.
    pub(super) fn look(&mut self, now: Timestamp) {
        self.protection.look();
        self.engine.protect(self.protection.protected(), now);
    }

    fn timer(&mut self) {
        let now = clock::now();
        if self.protection.next_look().is_zero() {
            self.look(now);
        }
        if self
            .engine
            .decider
            .next_wakeup()
            .is_some_and(|at| at <= now)
        {
            self.engine.handle(stockade_core::Event::Timer, now);
        }
        if self.save_at.is_some_and(|at| at <= clock::instant()) {
            self.save_at = None;
            self.engine.save();
        }
        if self.purge_at <= clock::instant() {
            self.purge_at = clock::instant() + PURGE_EVERY;
            self.engine.purge(self.purge_age(), now);
        }
    }

    /// Watches the names and files in `ignoreip`. What is known of them holds at once.
    pub(super) fn watch_ignores(&mut self, now: Timestamp) {
        self.ignore_watcher = None;
        let ignores = ChangingIgnores::of(&self.setup.jails, Arc::clone(&self.known_names));
        for (jail, set) in ignores.sets() {
            self.engine.changing_ignores(&jail, set, now);
        }
        match ignores.watch(self.events.clone()) {
            Ok(watcher) => self.ignore_watcher = watcher,
            Err(error) => {
                tracing::error!("cannot watch the names and files in ignoreip: {error}");
            }
        }
    }

    /// How long what is over is kept: at least as long as failures count.
    fn purge_age(&self) -> Duration {
        let findtimes = self
            .setup
            .jails
            .iter()
            .map(|jail| jail.settings.rules.findtime);
        findtimes
            .max()
            .unwrap_or_default()
            .max(self.setup.settings.daemon.db_purge_age)
    }

    pub(super) fn finish_turn(&mut self) {
        self.engine.finish_turn();
        self.engine.make_up_actions();
        if self.save_at.is_none() && self.engine.is_unsaved() {
            self.save_at = Some(clock::instant() + SAVE_AFTER);
        }
    }

    /// Carries out what was decided, and waits until the firewall has answered.
    pub(super) async fn settle(&mut self) {
        self.finish_turn();
        while self.engine.awaits_firewall() {
            let Some(report) = self.queues.reports.recv().await else {
                return;
            };
            self.engine.reported(report);
        }
    }

    /// Says that the loop is to end after this turn.
    pub(super) fn begin_stop(&mut self) {
        self.stopping = true;
    }

    /// Stops all readers and takes in everything that they have read.
    pub(super) async fn drain_readers(&mut self) {
        for reader in &self.readers {
            reader.stop();
        }
        while !self.readers.is_empty() {
            let Some(event) = self.queues.events.recv().await else {
                return;
            };
            self.event(event);
            self.finish_turn();
        }
    }

    /// Starts a reader; where it cannot start, its jails fail and the others go on.
    pub(super) fn start_reader(&mut self, plan: reading::ReaderPlan) {
        let name = plan.name.clone();
        self.sources.expect(&name, &plan.input);
        let jails = plan.judge.jail_names();
        let resume = self.resume(&name, &plan.input);
        match reading::start(plan, resume, self.events.clone()) {
            Ok(reader) => self.readers.push(reader),
            Err(error) => {
                let chain = crate::cli::chain(&error);
                tracing::error!("reader '{name}' cannot start: {chain}");
                self.failed
                    .extend(jails.into_iter().map(|jail| (jail, chain.clone())));
            }
        }
    }

    /// Where the sources of this reader were left. What it has not read yet it takes over from others:
    /// its jails were read by one of them, and no line is to count twice.
    fn resume(&self, reader: &str, input: &reading::Input) -> Resume {
        let followed = self.engine.progress().iter().filter_map(|(source, left)| {
            let (name, source) = source.as_str().split_once(':')?;
            input.follows(source).then_some((name == reader, left))
        });
        let (own, others): (Vec<_>, Vec<_>) = followed.partition(|(is_own, _)| *is_own);
        let mut resume = Resume::default();
        for (is_own, left) in own.into_iter().chain(others) {
            match left {
                Checkpoint::File(file) => resume.add(file, is_own),
                Checkpoint::Journal { cursor } => {
                    resume.cursor.get_or_insert_with(|| cursor.clone());
                }
                Checkpoint::None => {}
            }
        }
        resume
    }

    /// Forgets where readers left what others read now: should they read it again, they take it over.
    pub(super) fn forget_taken_over(&mut self, inputs: &[(String, reading::Input)]) {
        let is_taken_over = |source: &SourceName| {
            let Some((reader, source)) = source.as_str().split_once(':') else {
                return false;
            };
            let mut followers = inputs.iter().filter(|(_, input)| input.follows(source));
            followers.clone().next().is_some() && followers.all(|(name, _)| name != reader)
        };
        let sources = self.engine.progress().keys();
        let taken_over: Vec<_> = sources
            .filter(|name| is_taken_over(name))
            .cloned()
            .collect();
        for source in taken_over {
            self.engine.forget(source);
        }
    }

    /// Ends everything in order. Bans stay in the kernel; they run out there by themselves.
    async fn stop(mut self) {
        tracing::info!("stopping");
        self.ignore_watcher = None;
        self.drain_readers().await;
        self.finish_turn();
        self.engine.save();
        while let Ok(report) = self.queues.reports.try_recv() {
            self.engine.reported(report);
        }
        // Wait until the backends have done all that was ordered, so that their results are told.
        drop(self.engine.enforcement.inspect().await);
        while let Ok(report) = self.queues.reports.try_recv() {
            self.engine.reported(report);
        }
        if let Some(written) = self.last_reply.take() {
            // Ends with an error when the client's task is done with it, which is what is waited for.
            drop(tokio::time::timeout(LAST_REPLY_MAX, written).await);
        }
        tracing::info!("stopped");
    }
}
