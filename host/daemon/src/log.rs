//! stockade's own log: one line an event, in the layout that readers of fail2ban's log know.
//!
//! `Found`, `Ban`, `Unban` and `Restore Ban` are an interface: other programs, and jails that watch
//! this very log, parse these lines. They are written here and nowhere else.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use stockade_core::{
    Ban, BanTime, Effect, FailureId, IpNet, JailName, TimeWords, Timestamp, UnbanReason,
};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use stockade_core::Escaped;

/// Target of events that are shown as `NOTICE`, which tracing does not have as a level.
const NOTICE: &str = "stockade.actions";
/// Target of the events about found failures.
const FILTER: &str = "stockade.filter";

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogTarget {
    /// Standard error.
    Stderr,
    /// The journal, by its native protocol.
    Journal,
    /// A file, opened for appending.
    File(PathBuf),
}

/// Reopens the log file after it was rotated; does nothing for other targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogHandle(Option<LogFile>);

impl LogHandle {
    /// Opens the file by its path again.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), LogFile::reopen)
    }
}

/// Begins to log. Called once, before any thread is started.
pub(crate) fn start(target: &LogTarget, level: Level) -> io::Result<LogHandle> {
    let filter = tracing_subscriber::filter::LevelFilter::from_level(level);
    let registry = tracing_subscriber::registry().with(filter);
    let (result, handle) = match target {
        LogTarget::Stderr => (
            install(registry.with(lines(io::stderr))),
            LogHandle::default(),
        ),
        LogTarget::File(path) => {
            let file = LogFile::open(path)?;
            let handle = LogHandle(Some(file.clone()));
            (install(registry.with(lines(file))), handle)
        }
        LogTarget::Journal => (start_journal(registry)?, LogHandle::default()),
    };
    result.map_err(io::Error::other)?;
    Ok(handle)
}

type Installed = Result<(), tracing::subscriber::SetGlobalDefaultError>;

fn install(subscriber: impl Subscriber + Send + Sync) -> Installed {
    tracing::subscriber::set_global_default(subscriber)
}

fn lines<S, W>(writer: W) -> impl tracing_subscriber::Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    tracing_subscriber::fmt::layer()
        .event_format(LineFormat)
        .with_writer(writer)
}

#[cfg(target_os = "linux")]
fn start_journal<S>(registry: S) -> io::Result<Installed>
where
    S: Subscriber + Send + Sync + for<'a> LookupSpan<'a>,
{
    Ok(install(registry.with(tracing_journald::layer()?)))
}

#[cfg(not(target_os = "linux"))]
fn start_journal<S>(_registry: S) -> io::Result<Installed> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no journal",
    ))
}

/// Says that a ban is in force and stored.
pub(crate) fn banned(ban: &Ban) {
    tracing::info!(target: NOTICE, "[{}] Ban {}", ban.jail, Shown(&ban.id));
}

/// Says, after [`banned`], that a ban lasts otherwise than a first one, as fail2ban does.
pub(crate) fn increased(ban: &Ban) {
    let (jail, id, count) = (&ban.jail, Shown(&ban.id), ban.bancount);
    match (ban.length(), ban.until) {
        (BanTime::For(length), Some(until)) => {
            let (length, until) = (TimeWords(length), Local(until));
            tracing::info!(target: NOTICE, "[{jail}] Increase Ban {id} ({count} # {length} -> {until})");
        }
        _ => {
            tracing::info!(target: NOTICE, "[{jail}] Increase Ban {id} ({count} # permanent -> infinite)");
        }
    }
}

/// Says that a ban of an earlier run is in force again.
pub(crate) fn restored(ban: &Ban) {
    tracing::info!(target: NOTICE, "[{}] Restore Ban {}", ban.jail, Shown(&ban.id));
}

/// Says that a ban has ended.
pub(crate) fn unbanned(ban: &Ban, reason: UnbanReason) {
    tracing::info!(target: NOTICE, "[{}] Unban {}", ban.jail, Shown(&ban.id));
    tracing::debug!(target: NOTICE, "[{}] {} was unbanned: {reason:?}", ban.jail, Shown(&ban.id));
    if reason == UnbanReason::TooWide {
        tracing::warn!(target: NOTICE, "[{}] {} is wider than what may be banned (widest_ipv4 and widest_ipv6 under [firewall])", ban.jail, Shown(&ban.id));
    }
}

/// Says what was decided where nothing has to be carried out.
pub(crate) fn effect(effect: &Effect) {
    match effect {
        Effect::Found {
            jail,
            id,
            at,
            weight,
            bancount,
            ..
        } => {
            tracing::info!(target: FILTER, "[{jail}] Found {} - {}", Shown(id), Local(*at));
            if *weight > 1 {
                tracing::info!(target: FILTER, "[{jail}] Found {}, bad - {}, {bancount} # -> {weight}", Shown(id), Local(*at));
            }
        }
        Effect::TooOld { jail, count } => {
            tracing::debug!(target: FILTER, "[{jail}] {count} failures are older than findtime");
        }
        Effect::Ignored { jail, id, reason } => {
            tracing::info!(target: FILTER, "[{jail}] Ignore {} by {reason}", Shown(id));
        }
        Effect::TooBroad { jail, id } => {
            tracing::warn!(target: FILTER, "[{jail}] the log names {}, broader than one owner's network: not counted", Shown(id));
        }
        Effect::AlreadyBanned { jail, id } => {
            tracing::info!(target: NOTICE, "[{jail}] {} already banned", Shown(id));
        }
        Effect::Refused { jail, id, reason } => {
            tracing::warn!(target: NOTICE, "[{jail}] {} is not banned: {reason}", Shown(id));
        }
        Effect::TooWide { jail, id, widest } => {
            let why = too_wide(id, *widest);
            tracing::warn!(target: NOTICE, "[{jail}] {} is not banned: {why}", Shown(id));
        }
        Effect::Held {
            jail,
            id,
            kept,
            begins,
        } => held(jail, id, *kept, *begins),
        Effect::TableFull { jail, id } => {
            tracing::error!(target: NOTICE, "[{jail}] {} is not banned: the jail is full of bans that never end", Shown(id));
        }
        Effect::ClockSetBack { by } => {
            tracing::warn!(
                "the clock was set back by {} s; bans end after the time they had left",
                by.as_secs()
            );
        }
        Effect::NotBanned { .. } | Effect::UnknownJail { .. } => {}
        Effect::Ban { .. }
        | Effect::Restore(_)
        | Effect::Prolong { .. }
        | Effect::Unban { .. }
        | Effect::StillSeen { .. } => {}
    }
}

/// Says that a ban is held; once loudly for many.
fn held(jail: &JailName, id: &FailureId, kept: bool, begins: Option<NonZeroU32>) {
    if let Some(max) = begins {
        tracing::error!(
            target: NOTICE,
            "more than {max} bans within a minute: further ones are held until 'stockade confirm' (bans_per_minute under [firewall])"
        );
    }
    let how = if kept {
        "held"
    } else {
        "dropped, as too many are held"
    };
    tracing::debug!(target: NOTICE, "[{jail}] the ban of {} is {how}", Shown(id));
}

/// Why a network is too wide to be banned, and which key says so.
pub(crate) fn too_wide(id: &FailureId, widest: u8) -> String {
    let is_ipv4 = matches!(id.network(), Some(IpNet::V4(_)));
    let key = if is_ipv4 {
        "widest_ipv4"
    } else {
        "widest_ipv6"
    };
    format!("it is wider than /{widest} ({key} under [firewall])")
}

/// An id as it is safe to log: a text id comes from an attacker.
struct Shown<'a>(&'a FailureId);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            FailureId::Text(text) => Escaped(text.as_bytes()).fmt(f),
            id => id.fmt(f),
        }
    }
}

/// A time as fail2ban shows it: local, to the second.
pub(crate) struct Local(pub(crate) Timestamp);

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0.as_micros()) {
            Ok(at) => write!(
                f,
                "{}",
                at.to_zoned(TimeZone::system())
                    .strftime("%Y-%m-%d %H:%M:%S")
            ),
            Err(_) => write!(f, "{}", self.0.as_secs()),
        }
    }
}

/// `2026-11-23 05:54:13,123 stockade.actions [812]: NOTICE  [sshd] Ban 192.0.2.1`
struct LineFormat;

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let target = event.metadata().target();
        let now = jiff::Zoned::now();
        let part = if target.starts_with("stockade.") {
            target
        } else {
            "stockade"
        };
        let level = if target == NOTICE && *event.metadata().level() == Level::INFO {
            "NOTICE"
        } else {
            event.metadata().level().as_str()
        };
        write!(
            writer,
            "{},{:03} {part} [{}]: {level:<7} ",
            now.strftime("%Y-%m-%d %H:%M:%S"),
            now.subsec_nanosecond() / 1_000_000,
            std::process::id(),
        )?;
        ctx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// A log file that several threads append to.
#[derive(Clone, Debug)]
struct LogFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = Arc::new(Mutex::new(open_for_appending(path)?));
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    fn reopen(&self) -> io::Result<()> {
        let file = open_for_appending(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

fn open_for_appending(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = LogLine;

    fn make_writer(&'a self) -> Self::Writer {
        LogLine(Arc::clone(&self.file))
    }
}

/// Writes one line with one call, so that lines of different threads do not mix.
struct LogLine(Arc<Mutex<File>>);

impl Write for LogLine {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
