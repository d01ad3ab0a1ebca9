//! `[daemon]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostic::quoted;
use crate::reading::{self, Found, Keys, Reading};
use crate::reference::Section;
use crate::settings::{DaemonSettings, LogLevel, LogTarget};
use crate::tree::Table;

/// What fits into `sun_path` with its final NUL on every system (unix(4) of FreeBSD: 104 bytes,
/// unix(7) of Linux: 108).
const SOCKET_BYTES_MAX: usize = 103;

/// The longest path of Linux (limits.h, `PATH_MAX`) without its final NUL.
const PATH_BYTES_MAX: usize = 4095;

/// Longer than any law lets logs be kept; a larger number is a slip.
const PURGE_AGE_MAX: Duration = Duration::from_secs(10 * 52 * 7 * 24 * 60 * 60);

impl DaemonSettings {
    /// The settings of a daemon without configuration.
    #[must_use]
    pub fn builtin() -> Self {
        // hier(7) of FreeBSD and file-hierarchy(7) of Linux.
        let (state_dir, run_dir, plugin_dir) = if cfg!(target_os = "freebsd") {
            (
                "/var/db/stockade",
                "/var/run/stockade",
                "/usr/local/lib/stockade/plugins",
            )
        } else {
            (
                "/var/lib/stockade",
                "/run/stockade",
                "/usr/lib/stockade/plugins",
            )
        };
        Self {
            state_dir: PathBuf::from(state_dir),
            socket: Path::new(run_dir).join("stockade.sock"),
            socket_group: None,
            log_target: LogTarget::Stderr,
            log_level: LogLevel::Info,
            db_purge_age: Duration::from_secs(24 * 60 * 60),
            plugin_dir: PathBuf::from(plugin_dir),
        }
    }
}

pub(crate) fn daemon(table: Table, reading: &mut Reading) -> DaemonSettings {
    let default = DaemonSettings::builtin();
    let mut keys = Keys::new(Section::Daemon, table, reading);
    let settings = DaemonSettings {
        state_dir: keys
            .get("state_dir", absolute_path)
            .unwrap_or(default.state_dir),
        socket: keys.get("socket", socket).unwrap_or(default.socket),
        socket_group: keys.get("socket_group", reading::word),
        log_target: keys
            .get("log_target", log_target)
            .unwrap_or(default.log_target),
        log_level: keys
            .get("log_level", log_level)
            .unwrap_or(default.log_level),
        db_purge_age: keys
            .get("db_purge_age", |reading, found| {
                reading::duration(reading, found, Duration::ZERO..=PURGE_AGE_MAX)
            })
            .unwrap_or(default.db_purge_age),
        plugin_dir: keys
            .get("plugin_dir", absolute_path)
            .unwrap_or(default.plugin_dir),
    };
    keys.finish();
    settings
}

pub(crate) fn absolute_path(reading: &mut Reading, found: &Found) -> Option<PathBuf> {
    let path = reading::word(reading, found)?;
    let problem = if !path.value.starts_with('/') {
        "must be an absolute path"
    } else if path.value.len() > PATH_BYTES_MAX {
        "is too long for a path"
    } else {
        return Some(PathBuf::from(path.value));
    };
    let message = format!("'{}' {problem}, found {}", found.name, quoted(&path.value));
    reading.error(found.at(), message, None);
    None
}

fn socket(reading: &mut Reading, found: &Found) -> Option<PathBuf> {
    let path = absolute_path(reading, found)?;
    let len = path.as_os_str().len();
    if len > SOCKET_BYTES_MAX {
        let message = format!(
            "the path of a socket has at most {SOCKET_BYTES_MAX} bytes, this one has {len}"
        );
        reading.error(found.at(), message, None);
        return None;
    }
    Some(path)
}

fn log_target(reading: &mut Reading, found: &Found) -> Option<LogTarget> {
    let target = reading::word(reading, found)?.value;
    match target.as_str() {
        "stderr" => Some(LogTarget::Stderr),
        "journal" => Some(LogTarget::Journal),
        path if path.starts_with('/') => absolute_path(reading, found).map(LogTarget::File),
        other => {
            let message = format!(
                "'log_target' must be \"stderr\", \"journal\" or an absolute path, found {}",
                quoted(other)
            );
            let hint = crate::suggest::hint(other, ["stderr", "journal"]);
            reading.error(found.at(), message, hint);
            None
        }
    }
}

fn log_level(reading: &mut Reading, found: &Found) -> Option<LogLevel> {
    let words = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    reading::one_of(reading, found.name, &found.node, &words)
}
