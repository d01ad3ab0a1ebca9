//! Configuration: bytes -> checked settings.
//!
//! stockade's own files are TOML ([`load()`]); a fail2ban directory is read as it is ([`fail2ban`]).
//!
//! Every mistake in every file is found in one run and told with its place, so that a person can
//! mend all of them at once. Reading and checking are pure; only [`read_files`] and
//! [`fail2ban::Tree::read`] touch the disk.
//! Patterns are not compiled here and names not looked up: [`Located`] keeps where they were
//! written, so that who does it can report through [`Diagnostic::at`].

#![forbid(unsafe_code)]

mod diagnostic;
pub mod fail2ban;
mod files;
mod layers;
mod load;
mod network;
mod presence;
mod reading;
mod reference;
mod sections;
mod settings;
mod source;
mod stock;
mod suggest;
mod tree;
mod whole;
mod words;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Excerpt, Severity};
pub use files::{DEFAULT_MAIN, read_files, read_filter_file, read_services};
pub use load::{
    ConfigFile, ConfigFiles, Loaded, LoadedFilter, ReadProblem, ReadWhat, load, load_filter,
};
pub use network::{HttpOrigin, IgnoreEntry, PortRange, Ports, Protocol, Scheme};
pub use presence::Presence;
pub use reference::settings_reference;
pub use settings::{
    AbsentJail, Admin, BlockType, BrokenJail, DaemonSettings, DatePattern, Dialect,
    EXEC_FIREWALL_TAGS, EXEC_TAGS, Enforcement, ExecFirewall, ExecSettings, FieldCondition,
    FieldRule, FieldValue, FilterChoice, FilterSettings, FirewallBackend, FirewallSettings, Grants,
    Hook, HttpGrant, IGNORE_CACHE_TAGS, IGNORE_TAGS, IgnoreCache, JailRules, JailSettings,
    JsonSettings, LogBackend, LogLevel, LogTarget, LogZone, NeverBan, PluginLimits, PluginSettings,
    Settings, UseDns,
};
pub use source::{FileIndex, Located, Origin, Position, Sources};
