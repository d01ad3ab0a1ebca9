//! The answer to `status`.

use serde::{Deserialize, Serialize};
use stockade_core::BanTime;

use crate::{Increment, Time};

/// How everything is. With a jail in the request, `jails` has only that one, and `sources` and
/// `plugins` only what it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReply {
    /// Of stockade.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// When it began.
    pub started_at: Time,
    /// Seconds since then, not counting while the machine slept.
    pub uptime_s: u64,
    /// What makes attackers' packets disappear.
    pub firewall: FirewallStatus,
    /// Bans that wait for `confirm`.
    pub held: HeldStatus,
    /// Who is never banned by any jail.
    pub protected: ProtectedStatus,
    /// What survives a restart.
    pub store: StoreStatus,
    /// Where the daemon tells what it does.
    pub log: LogStatus,
    /// Where lines come from.
    pub sources: Vec<SourceStatus>,
    /// Who decides.
    pub jails: Vec<JailStatus>,
    /// Who would, but is off because the host has nothing for it, of the jails that the host's own
    /// files name; empty where the request names a jail.
    pub absent: Vec<AbsentJail>,
    /// Who helps.
    pub plugins: Vec<PluginStatus>,
}

/// A jail with `enabled = "auto"` of which the host has neither a log nor a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AbsentJail {
    /// Its name.
    pub name: String,
    /// What was looked for and is not there.
    pub message: String,
}

/// How a part of the daemon is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All is well.
    Ok,
    /// It waits for something outside, such as a log that does not exist yet.
    Waiting,
    /// It does its work in part, or tries again; `message` says what is wrong.
    Degraded,
    /// It does not do its work; `message` says why.
    Failed,
    /// It is configured wrongly and does not run; `message` says where.
    Broken,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirewallStatus {
    /// How it is as a whole: as the backend that is worst.
    pub state: State,
    /// What is wrong with it.
    pub message: Option<String>,
    /// Bans are decided and reported, but the firewall is not changed.
    pub dry_run: bool,
    /// What enforces bans; empty where no jail wants it.
    pub backends: Vec<BackendStatus>,
}

/// One of the things that enforce bans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendStatus {
    /// Such as `nftables`.
    pub name: String,
    /// Why it was chosen, where that was not the operator's choice.
    pub because: Option<String>,
    /// How it is.
    pub state: State,
    /// What is wrong with it.
    pub message: Option<String>,
    /// Bans that it has, as the kernel said when it was last asked.
    pub bans: Option<u64>,
}

/// Bans that are not made until an operator confirms them, because too many were made within a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldStatus {
    /// How many are made in a minute; `null` for any number.
    pub bans_per_minute: Option<u32>,
    /// How many wait.
    pub waiting: u64,
    /// Since when the oldest of them waits.
    pub since: Option<Time>,
    /// How many were held since the daemon began, those included that were dropped.
    pub total: u64,
    /// How many were not even kept, because too many waited.
    pub dropped: u64,
}

/// Addresses that no jail bans, as they were found at the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProtectedStatus {
    /// Of the default gateways.
    pub gateways: Vec<String>,
    /// Of the name servers.
    pub resolvers: Vec<String>,
    /// From which administrators work by ssh.
    pub ssh_sessions: Vec<String>,
    /// What cannot be found out.
    pub message: Option<String>,
}

/// What the rules of a jail have stopped since they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stopped {
    /// Packets.
    pub packets: u64,
    /// Bytes, with their IP headers.
    pub bytes: u64,
}

/// The database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreStatus {
    /// Its file.
    pub path: String,
    /// How it is.
    pub state: State,
    /// What is wrong with it.
    pub message: Option<String>,
    /// Seconds that a ban is remembered after it was over and twice its length has passed.
    pub purge_age_s: u64,
}

/// The daemon's own log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogStatus {
    /// `stderr`, `journal` or a path.
    pub target: String,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

/// A source of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceStatus {
    /// A path, `journal:<matches>` or `stdin`.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// How it is.
    pub state: State,
    /// What is wrong with it.
    pub message: Option<String>,
    /// Lines read since the daemon began.
    pub lines: u64,
    /// Lines skipped because they were too long.
    pub overlong: u64,
}

/// What a source is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A log file.
    File,
    /// The journal of systemd.
    Journal,
    /// Standard input.
    Stdin,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A jail. What is counted, is counted since the daemon began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JailStatus {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What is wrong with it.
    pub message: Option<String>,
    /// The filter, or the plugin that is its filter.
    pub filter: String,
    /// Names of its sources.
    pub sources: Vec<String>,
    /// Names of its action plugins.
    pub actions: Vec<String>,
    /// Names of what enforces its bans.
    pub firewall: Vec<String>,
    /// What its bans have stopped; `null` where that is not counted.
    pub stopped: Option<Stopped>,
    /// Failures that lead to a ban.
    pub maxretry: u32,
    /// Seconds within which they must happen.
    pub findtime_s: u64,
    /// Seconds a first ban lasts; `null` for ever.
    pub bantime_s: Option<u64>,
    /// How further bans of an id grow; `null` where they do not.
    pub bantime_increment: Option<Increment>,
    /// Ids with at least one attempt within findtime.
    pub currently_failing: u64,
    /// Failures counted.
    pub total_failed: u64,
    /// Bans in force.
    pub currently_banned: u64,
    /// Of these, the ones that are not the first of their id.
    pub banned_again: u64,
    /// Seconds from the beginning to the end of the longest ban in force; 0 where there is none,
    /// `null` for ever.
    pub longest_ban_s: Option<u64>,
    /// Ids whose earlier bans are remembered, those that are banned now included.
    pub remembered: u64,
    /// Bans made; restored ones are not made again.
    pub total_banned: u64,
    /// Failures not counted because their id is never banned.
    pub total_ignored: u64,
    /// Failures not counted because they were too old.
    pub total_too_old: u64,
    /// Failures of ids that were banned at that time.
    pub total_while_banned: u64,
    /// Ids forgotten because too many failed at once.
    pub forgotten: u64,
    /// Lines not counted because a pattern can read them with different addresses.
    pub total_ambiguous: u64,
    /// How often a pattern took too many steps to tell whether it matches a line, which then counts for
    /// nobody.
    pub total_gave_up: u64,
}

impl From<&stockade_core::JailStatus> for JailStatus {
    /// The counts; the other fields are for the daemon to fill in.
    fn from(status: &stockade_core::JailStatus) -> Self {
        Self {
            name: status.name.to_string(),
            currently_failing: wide(status.currently_failing),
            total_failed: status.total_failed,
            currently_banned: wide(status.currently_banned),
            banned_again: wide(status.banned_again),
            longest_ban_s: match status.longest_ban {
                Some(BanTime::For(time)) => Some(time.as_secs()),
                Some(BanTime::Forever) => None,
                None => Some(0),
            },
            remembered: wide(status.remembered),
            total_banned: status.total_banned,
            total_ignored: status.total_ignored,
            total_too_old: status.total_too_old,
            total_while_banned: status.total_while_banned,
            forgotten: status.forgotten,
            ..Self::default()
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A plugin as one jail uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginStatus {
    /// Its name in the configuration.
    pub name: String,
    /// What it does.
    pub role: PluginRole,
    /// Jails that use it.
    pub jails: Vec<String>,
    /// How it is.
    pub state: PluginState,
    /// When its quarantine ends.
    pub quarantined_until: Option<Time>,
    /// Its last fault.
    pub message: Option<String>,
    /// Faults since the daemon began.
    pub faults: u64,
    /// Lines that it could not judge: poisonous ones, and all while it was quarantined.
    pub skipped_lines: u64,
    /// Batches or bans that wait for it.
    pub queue: u64,
}

/// What a plugin does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginRole {
    /// It finds failures.
    Filter,
    /// It is told of bans.
    Action,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How a plugin is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// It is called.
    Running,
    /// It failed too often and is not called until `quarantined_until`.
    Quarantined,
    /// It could not be loaded.
    Failed,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}
