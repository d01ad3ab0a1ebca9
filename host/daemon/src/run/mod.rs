//! `stockade run`: starts everything, then one loop over one `enum Event`.

mod actions;
mod boot;
mod durable;
mod enforcement;
mod engine;
mod ignored;
mod main_loop;
mod plugins;
mod program;
mod protection;
mod reading;
mod reload;
mod reply;
mod rules;
mod socket;
mod sources;
mod start;
mod try_plugin;
mod unsaved;
mod watchers;

use std::net::IpAddr;

use stockade_config::Diagnostic;
use stockade_control::ExitCode;
use stockade_core::{Escaped, Failures, IgnoreSet, JailName};
use tokio::sync::oneshot;
use tracing::Level;

use crate::cli::{Failure, GlobalArgs, RunArgs};
use crate::log::{self, LogTarget};
use crate::setup::{self, Setup};
use boot::BootError;
pub(crate) use try_plugin::TriedPlugin;

/// Events on the way to the main loop. Readers wait when it is full, so that lines stay in their files
/// instead of in memory.
const EVENTS_MAX: usize = 64;

/// Everything that can happen to the daemon, but for control requests, signals and the backends'
/// reports, which have channels of their own.
#[derive(Debug)]
enum Event {
    /// A reader has judged a chunk.
    Judged(reading::Judged),
    /// The reader of this name has something to tell about a source.
    Noticed(String, stockade_ingest::Notice),
    /// The reader of this name has ended.
    ReaderEnded(String),
    /// This host has these addresses now.
    OwnAddresses(Vec<IpAddr>),
    /// These are the default gateways now.
    Gateways(Vec<IpAddr>),
    /// Host names in lines have addresses, for which these failures count.
    NamesResolved(Failures),
    /// The same, but the operator's program said that they are not to be counted.
    NamesSpared(Failures),
    /// Which of these failures would be counted now?
    WhoCounts(Failures, oneshot::Sender<Vec<bool>>),
    /// This is ignored now because of names and files in `ignoreip` of this jail.
    Ignored(JailName, IgnoreSet),
}

/// Runs until it is told to stop.
pub(crate) fn run(global: &GlobalArgs, args: &RunArgs) -> Result<ExitCode, Failure> {
    let setup = setup::read(&global.configuration()).map_err(|found| refused(&found))?;
    // Who runs nothing protects nobody: that is to be noticed.
    if setup.has_errors() && (args.strict || setup.jails.is_empty()) {
        return Err(refused(&setup.found));
    }
    let handle = start_log(&setup)?;
    tell(&setup);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Bug, &error))?;
    runtime.block_on(async {
        let daemon = boot::boot(global, args, setup, handle)
            .await
            .map_err(BootError::into_failure)?;
        daemon.run().await;
        Ok(ExitCode::Ok)
    })
}

fn refused(found: &[Diagnostic]) -> Failure {
    crate::cli::tell(found);
    Failure::text(ExitCode::Config, "the configuration has errors, see above")
        .hint("'stockade check' shows them again")
}

/// Tells the log what is wrong or odd, and whom it keeps from running.
fn tell(setup: &Setup) {
    for found in &setup.found {
        if found.is_error() {
            tracing::error!("{}", found.render());
        } else {
            tracing::warn!("{}", found.render());
        }
    }
    for jail in &setup.broken {
        let name = Escaped(jail.name.as_bytes());
        tracing::error!("[{name}] is broken and does not run: {}", jail.why);
    }
}

fn start_log(setup: &Setup) -> Result<log::LogHandle, Failure> {
    let daemon = &setup.settings.daemon;
    let target = match &daemon.log_target {
        stockade_config::LogTarget::Stderr => LogTarget::Stderr,
        stockade_config::LogTarget::Journal => LogTarget::Journal,
        stockade_config::LogTarget::File(path) => LogTarget::File(path.clone()),
    };
    log::start(&target, level(daemon.log_level)).map_err(|error| {
        let to = match &target {
            LogTarget::File(path) => format!("'{}'", path.display()),
            LogTarget::Journal => "the journal".to_owned(),
            LogTarget::Stderr => "standard error".to_owned(),
        };
        Failure::text(
            ExitCode::NotPermitted,
            format!("cannot write the log to {to}: {error}"),
        )
        .hint("set log_target under [daemon]")
    })
}

fn level(level: stockade_config::LogLevel) -> Level {
    match level {
        stockade_config::LogLevel::Error => Level::ERROR,
        stockade_config::LogLevel::Warn => Level::WARN,
        stockade_config::LogLevel::Info => Level::INFO,
        stockade_config::LogLevel::Debug => Level::DEBUG,
        stockade_config::LogLevel::Trace => Level::TRACE,
    }
}
