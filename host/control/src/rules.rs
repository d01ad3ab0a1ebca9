//! The rules by which a jail decides, as they hold now.

use serde::{Deserialize, Serialize};

/// The answer to `rules` and `tune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesReply {
    /// The jail.
    pub jail: String,
    /// The filter, or the plugin that is its filter.
    pub filter: String,
    /// Globs of its log files.
    pub logpath: Vec<String>,
    /// Alternatives of conditions on journal entries.
    pub journalmatch: Vec<Vec<String>>,
    /// Failures that lead to a ban.
    pub maxretry: u32,
    /// Seconds within which they must happen.
    pub findtime_s: u64,
    /// Seconds a first ban lasts; `null` for ever.
    pub bantime_s: Option<u64>,
    /// Matched lines that are kept.
    pub maxmatches: u32,
    /// Who is never banned, as in the configuration.
    pub ignoreip: Vec<String>,
    /// Whether this host's own addresses are never banned.
    pub ignoreself: bool,
    /// What every line must match first; `null` for nothing.
    pub prefregex: Option<String>,
    /// What a failure looks like; empty where a plugin is the filter.
    pub failregex: Vec<String>,
    /// What is no failure nevertheless.
    pub ignoreregex: Vec<String>,
    /// Who is told of bans besides the firewall.
    pub actions: Vec<String>,
}
