//! From a checked configuration to a daemon that runs. The order matters: first what must be ours
//! alone, then what is remembered, then the firewall, and reading last.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockade_control::ExitCode;
use stockade_core::{Ban, BanTime, Decider, FailureId, JailName, Limits, PluginName, Timestamp};
use stockade_firewall::{
    Choice, DefaultGateways, Element, Firewall, FirewallError, OwnAddresses, Timeouts,
};
use stockade_store::{PluginKv, StateLock, StateLockError, StoreError, Stored};
use tokio::sync::mpsc;

use super::actions::Actions;
use super::durable::{Durable, is_disk_full, tell_corrupt};
use super::enforcement::{Enforcement, Plan, Planned, Report};
use super::engine::Engine;
use super::ignored::{ChangingIgnores, KnownNames};
use super::main_loop::{Daemon, Parts, Queues};
use super::plugins::SharedKv;
use super::protection::Protection;
use super::socket::{ControlSocket, SocketError};
use super::{EVENTS_MAX, Event, watchers};
use crate::cli::{Failure, GlobalArgs, RunArgs};
use crate::clock;
use crate::log::LogHandle;
use crate::setup::Setup;

/// Requests that may wait for the main loop; clients wait beyond that.
const ASKED_MAX: usize = 16;

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootError {
    #[error(transparent)]
    Lock(#[from] StateLockError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    #[error("no jail can run, see above")]
    NoJail,
    #[error("cannot start")]
    Io(#[from] io::Error),
}

impl BootError {
    /// The error as the command line tells it.
    pub(super) fn into_failure(self) -> Failure {
        let code = match &self {
            Self::Firewall(FirewallError::NotPermitted { .. }) => ExitCode::NotPermitted,
            Self::NoJail => ExitCode::Config,
            error if is_not_permitted(error) => ExitCode::NotPermitted,
            _ => ExitCode::Refused,
        };
        let failure = Failure::new(code, &self);
        match self {
            Self::Firewall(FirewallError::NotPermitted { .. }) => {
                failure.hint("run it as root or with CAP_NET_ADMIN, or try 'stockade run --dry-run'")
            }
            _ if code == ExitCode::NotPermitted => {
                failure.hint("run it as root, or use --state-dir and --socket with places that you may write to")
            }
            Self::Socket(SocketError::InUse { .. }) | Self::Lock(StateLockError::InUse { .. }) => {
                failure.hint("'stockade stop' stops the one that runs; --state-dir and --socket start another")
            }
            _ => failure,
        }
    }
}

/// Whether the system's "permission denied" is at the bottom of it.
fn is_not_permitted(error: &BootError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Starts everything.
pub(super) async fn boot(
    global: &GlobalArgs,
    args: &RunArgs,
    setup: Setup,
    log: LogHandle,
) -> Result<Daemon, BootError> {
    let now = clock::now();
    raise_file_limit();
    let configured = &setup.settings.daemon;
    let state_dir = args.state_dir.as_ref().unwrap_or(&configured.state_dir);
    let state_dir = state_dir.clone();
    let lock = if args.dry_run {
        None
    } else {
        lock(&state_dir)?
    };
    let group = configured.socket_group.as_ref();
    let group = group.map(|group| group.value.as_str());
    let socket = ControlSocket::open(&socket_path(global, args, &setup), group)?;
    let (durable, stored) = open_store(&state_dir, args.dry_run, now)?;

    let (reports, report_queue) = mpsc::unbounded_channel();
    let Enforced {
        enforcement,
        auto,
        adopted,
    } = enforce(args.dry_run, &setup, &stored, reports, now)?;
    let (events, event_queue) = mpsc::channel(EVENTS_MAX);
    let mut engine = Engine::new(
        Decider::new(Limits::default()).seeded(clock::chance()),
        durable,
        enforcement,
        Actions::default(),
    );
    engine.bound(setup.settings.firewall.safeguards, now);
    let effects = engine.decider.reload(policies(&setup), now);
    engine.take_up(effects, now);
    let mut own = OwnAddresses::open()?;
    engine.own_addresses(&own.current()?, now);
    watchers::watch_own_addresses(own, events.clone())?;
    let protection = protect(&setup, &mut engine, events.clone(), now)?;
    // Before the bans of an earlier run come back, so that none of somebody who is ignored now does.
    for (jail, set) in ChangingIgnores::of(&setup.jails, KnownNames::default()).sets() {
        engine.changing_ignores(&jail, set, now);
    }
    restore(&mut engine, stored, adopted, now);
    engine.finish_turn();
    engine.enforcement.reconcile();

    let parts = Parts {
        kv: open_kv(&setup, &state_dir, args.dry_run, now),
        config: global.configuration(),
        dry_run: args.dry_run,
        strict: args.strict,
        state_dir,
        auto,
        log,
        _lock: lock,
        host: None,
        clock: Arc::new(stockade_plugins::SystemClock::new()),
        started_at: now,
    };
    let (asked, asked_queue) = mpsc::channel(ASKED_MAX);
    let queues = Queues {
        events: event_queue,
        asked: asked_queue,
        reports: report_queue,
    };
    let mut daemon = Daemon::new(parts, setup, engine, protection, events, queues)?;
    daemon.watch_ignores(now);
    daemon.start_jails(now);
    if daemon.has_no_jail() {
        return Err(BootError::NoJail);
    }
    tokio::spawn(socket.serve(asked));
    Ok(daemon)
}

/// Finds out whom this host and its administrators need, and follows it.
fn protect(
    setup: &Setup,
    engine: &mut Engine,
    events: mpsc::Sender<Event>,
    now: Timestamp,
) -> io::Result<Protection> {
    let mut gateways = DefaultGateways::open()?;
    let mut protection = Protection::new(&setup.settings.firewall);
    protection.set_gateways(gateways.current()?);
    protection.look();
    engine.protect(protection.protected(), now);
    watchers::watch_gateways(gateways, events)?;
    Ok(protection)
}

/// Every log file that is followed is held open, so as many as the system lets us.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    ) {
        tracing::debug!("cannot raise the limit of open files: {error}");
    }
}

/// The firewall with its rules in place, and the threads that own it.
struct Enforced {
    enforcement: Enforcement,
    /// What `auto` means on this host, where a jail wants it.
    auto: Option<Choice>,
    /// Bans that it had and the store had not.
    adopted: Vec<Ban>,
}

/// Opens every backend that the jails want. One that fails is tried again by its thread, as long as
/// another works.
fn enforce(
    dry_run: bool,
    setup: &Setup,
    stored: &Stored,
    reports: mpsc::UnboundedSender<Report>,
    now: Timestamp,
) -> Result<Enforced, BootError> {
    let mut auto = None;
    let plan = Plan::new(setup, dry_run, &mut auto)?;
    let mut enforcement = Enforcement::new(reports);
    let mut found = Vec::new();
    let mut failed = None;
    let mut works = plan.backends.is_empty();
    for planned in &plan.backends {
        let name = planned.backend.name();
        let opened = match open(planned) {
            Ok((firewall, held)) => {
                let version = env!("CARGO_PKG_VERSION");
                match &planned.because {
                    Some(why) => tracing::info!("stockade {version} enforces with {name}: {why}"),
                    None => tracing::info!("stockade {version} enforces with {name}"),
                }
                works = true;
                found.extend(held);
                Some(firewall)
            }
            Err(error) => {
                failed.get_or_insert(error);
                None
            }
        };
        enforcement.start(planned, opened)?;
        enforcement.configure(planned, None);
    }
    if let Some(error) = failed.filter(|_| !works) {
        return Err(error.into());
    }
    Ok(Enforced {
        enforcement,
        auto,
        adopted: adopted(found, setup, &stored.bans, now),
    })
}

/// What a backend holds when it is opened, with who ends it.
type Held = Vec<(Element, Timeouts)>;

/// A backend with its rules in place, and what it holds.
fn open(planned: &Planned) -> Result<(Box<dyn Firewall>, Held), FirewallError> {
    let mut firewall = planned.backend.open()?;
    firewall.configure(&planned.rules)?;
    let timeouts = firewall.timeouts();
    let elements = firewall.list()?.into_iter();
    let held = elements.map(|element| (element, timeouts)).collect();
    Ok((firewall, held))
}

/// A dry run must not be in the way of a real one, so it has a socket of its own.
fn socket_path(global: &GlobalArgs, args: &RunArgs, setup: &Setup) -> PathBuf {
    let configured = &setup.settings.daemon.socket;
    match &global.socket {
        Some(path) => path.clone(),
        None if args.dry_run => configured.with_file_name("dry-run.sock"),
        None => configured.clone(),
    }
}

fn open_store(dir: &Path, dry_run: bool, now: Timestamp) -> Result<(Durable, Stored), BootError> {
    if dry_run {
        return Ok((Durable::nothing(), Stored::default()));
    }
    Ok(Durable::open(dir.join("stockade.sqlite3"), now)?)
}

/// The right to use the state directory, which a full disk may not let us note down.
fn lock(dir: &Path) -> Result<Option<StateLock>, StateLockError> {
    match StateLock::acquire(dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if is_disk_full(&error) => {
            tracing::error!("going on without a lock: {}", crate::cli::chain(&error));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn open_kv(setup: &Setup, dir: &Path, dry_run: bool, now: Timestamp) -> Option<SharedKv> {
    let is_granted = |name: &PluginName| {
        setup
            .settings
            .plugins
            .get(name)
            .is_some_and(|plugin| plugin.grant.kv)
    };
    if dry_run || !setup.components.keys().any(is_granted) {
        return None;
    }
    match PluginKv::open(&dir.join("plugins.sqlite3"), now) {
        Ok((kv, opened)) => {
            tell_corrupt(&opened);
            Some(Arc::new(Mutex::new(kv)))
        }
        Err(error) => {
            tracing::error!("plugins have no key-values: {}", crate::cli::chain(&error));
            None
        }
    }
}

/// What decides in the jails.
pub(super) fn policies(setup: &Setup) -> Vec<stockade_core::JailPolicy> {
    setup
        .jails
        .iter()
        .map(|jail| super::rules::policy(&jail.settings, setup.settings.daemon.db_purge_age))
        .collect()
}

/// Bans that the kernel has and the store does not: those of a database that was lost, or of a daemon
/// that was killed between the two. They are kept; where the backend knows no end, for as long as a ban
/// that begins now.
fn adopted(found: Held, setup: &Setup, stored: &[Ban], now: Timestamp) -> Vec<Ban> {
    let known: BTreeSet<(&JailName, &FailureId)> =
        stored.iter().map(|ban| (&ban.jail, &ban.id)).collect();
    let mut adopted = BTreeMap::new();
    for (element, timeouts) in found {
        let id = FailureId::from_net(element.net);
        if known.contains(&(&element.jail, &id)) {
            continue;
        }
        let left = match timeouts {
            Timeouts::Kept { .. } => element.expires,
            Timeouts::Ours => bantime(setup, &element.jail),
        };
        let ban = Ban {
            jail: element.jail,
            id,
            at: now,
            until: left.map(|left| now.saturating_add(left)),
            failures: 0,
            bancount: 1,
        };
        adopted.insert((ban.jail.clone(), ban.id.clone()), ban);
    }
    if !adopted.is_empty() {
        tracing::warn!(
            "the firewall has {} bans that are not stored; they are taken over",
            adopted.len()
        );
    }
    adopted.into_values().collect()
}

/// How long a first ban of a jail lasts; `None` for ever.
fn bantime(setup: &Setup, name: &JailName) -> Option<Duration> {
    let mut jails = setup.jails.iter();
    let jail = jails.find(|jail| jail.settings.name == *name)?;
    match jail.settings.rules.bantime {
        BanTime::For(time) => Some(time),
        BanTime::Forever => None,
    }
}

fn restore(engine: &mut Engine, stored: Stored, adopted: Vec<Ban>, now: Timestamp) {
    engine.resume(stored.checkpoints);
    let bans = stored.bans.into_iter().chain(adopted).collect();
    let effects = engine
        .decider
        .restore(bans, stored.attempts, stored.earlier, now);
    engine.take_up(effects, now);
}

/// Which jail tells which actions.
pub(super) fn actions_of_jails(setup: &Setup) -> BTreeMap<JailName, Vec<PluginName>> {
    let of = |jail: &crate::setup::ReadyJail| {
        (
            jail.settings.name.clone(),
            jail.settings.rules.actions.clone(),
        )
    };
    setup.jails.iter().map(of).collect()
}
