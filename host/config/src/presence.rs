//! What a host has: whether a jail with `enabled = "auto"` is wanted on it.

use std::fmt::Debug;

use crate::settings::{JailSettings, LogBackend};

/// Looks for what jails read from. The caller knows the disk; this crate asks, once for each jail
/// with `enabled = "auto"`, whenever a configuration is loaded.
pub trait Presence: Debug + Send + Sync {
    /// Whether any file matches this glob of a `logpath`.
    fn file(&self, glob: &str) -> bool;

    /// Whether a systemd unit of this name, such as `nginx.service`, is installed, running or not.
    fn unit(&self, name: &str) -> bool;
}

/// The fields of a journal entry that name the unit which wrote it (systemd.journal-fields(7)).
/// Whoever writes a message cannot choose them.
const UNIT_FIELD: &str = "_SYSTEMD_UNIT=";

/// What a jail could be found by: the files and the units that it reads.
pub(crate) struct Traces<'a> {
    globs: Vec<&'a str>,
    units: Vec<&'a str>,
}

impl<'a> Traces<'a> {
    pub(crate) fn of(jail: &'a JailSettings) -> Self {
        let backend = jail.rules.backend;
        let files = matches!(backend, LogBackend::Auto | LogBackend::File);
        let journal = matches!(backend, LogBackend::Auto | LogBackend::Journal);
        let globs = jail.logpath.iter().filter(|_| files);
        let matches = jail.journalmatch.iter().filter(|_| journal).flatten();
        let mut units: Vec<_> = matches
            .filter_map(|condition| condition.strip_prefix(UNIT_FIELD))
            .collect();
        units.sort_unstable();
        units.dedup();
        Self {
            globs: globs.map(|path| path.value.as_str()).collect(),
            units,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.globs.is_empty() && self.units.is_empty()
    }

    pub(crate) fn found(&self, host: &dyn Presence) -> bool {
        self.globs.iter().any(|glob| host.file(glob))
            || self.units.iter().any(|unit| host.unit(unit))
    }

    /// What was looked for, for people.
    pub(crate) fn nothing_found(&self) -> String {
        let mut parts = Vec::new();
        if !self.globs.is_empty() {
            parts.push(format!("no file {}", self.globs.join(", ")));
        }
        if !self.units.is_empty() {
            parts.push(format!("no unit {}", self.units.join(", ")));
        }
        parts.join(" and ")
    }
}

#[cfg(test)]
mod tests;
