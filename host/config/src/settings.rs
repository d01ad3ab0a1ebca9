//! The checked settings: every value has its type, is in its range, and names only what exists.

mod firewall;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stockade_core::{BanTime, BanTimeIncrement, JailName, PluginName};

use crate::diagnostic::Diagnostic;
use crate::network::{HttpOrigin, IgnoreEntry, Ports, Protocol};
use crate::source::{Located, Origin};

pub use self::firewall::{
    Admin, BlockType, EXEC_FIREWALL_TAGS, Enforcement, ExecFirewall, FirewallBackend,
    FirewallSettings, Hook, NeverBan,
};

/// Everything that the daemon must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[daemon]`
    pub daemon: DaemonSettings,
    /// `[firewall]`
    pub firewall: FirewallSettings,
    /// `[plugins.NAME]`, used or not.
    pub plugins: BTreeMap<PluginName, PluginSettings>,
    /// `[exec.NAME]`, used or not. No name is one of `plugins` as well.
    pub exec: BTreeMap<PluginName, Located<ExecSettings>>,
    /// Every filter file that is right, used or not, by name.
    pub filters: BTreeMap<String, Arc<FilterSettings>>,
    /// `[defaults]`, completed: the rules of a jail that says nothing itself.
    pub defaults: JailRules,
    /// The jails that are enabled, by name. All that they refer to exists.
    pub jails: Vec<JailSettings>,
    /// The jails that cannot be used because of an error in them, or in what they refer to.
    pub broken: Vec<BrokenJail>,
    /// The jails that are not enabled.
    pub disabled: Vec<JailName>,
    /// The jails with `enabled = "auto"` that this host has no use for.
    pub absent: Vec<AbsentJail>,
}

/// A jail with `enabled = "auto"` of which this host has neither a log nor a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentJail {
    /// Its name.
    pub name: JailName,
    /// What was looked for and is not there: `no file /var/log/a.log and no unit a.service`.
    pub why: String,
    /// No file of the host's own says anything of it.
    pub built_in: bool,
}

/// A jail that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenJail {
    /// As it is written; it need not be a name that a jail may have.
    pub name: String,
    /// The first error that keeps it from being used.
    pub why: Diagnostic,
}

/// `[daemon]`: the process itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Where bans, checkpoints and compiled plugins are kept.
    pub state_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// The group that may use the socket beside root.
    pub socket_group: Option<Located<String>>,
    /// Where the daemon writes its own log.
    pub log_target: LogTarget,
    /// How much it writes there.
    pub log_level: LogLevel,
    /// How long a ban is remembered after it was over and twice its length has passed.
    pub db_purge_age: Duration,
    /// Where plugin files are found whose path is relative.
    pub plugin_dir: PathBuf,
}

/// Where the daemon writes its own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    Stderr,
    /// The systemd journal.
    Journal,
    /// A file, appended to.
    File(PathBuf),
}

impl fmt::Display for LogTarget {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("stderr"),
            Self::Journal => f.write_str("journal"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How much the daemon writes to its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What the operator must act on.
    Error,
    /// And what is odd, but lost nothing.
    Warn,
    /// And bans, unbans and failures found.
    Info,
    /// And what helps to find a mistake.
    Debug,
    /// And everything else.
    Trace,
}

impl LogLevel {
    /// As it is written in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `[plugins.NAME]`: a WebAssembly component and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    /// Its file, absolute.
    pub path: PathBuf,
    /// Where the path is written, or the plugin's name where it is not.
    pub origin: Origin,
    /// What it may do.
    pub grant: Grants,
    /// Texts that are handed to it as they are.
    pub settings: BTreeMap<String, String>,
    /// Its bounds.
    pub limits: PluginLimits,
}

/// `[plugins.NAME.grant]`: the host's abilities that a plugin may use. Nothing is granted by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// It may write to the daemon's log.
    pub log: bool,
    /// It may ask for the time.
    pub clock: bool,
    /// It may keep keys and values.
    pub kv: bool,
    /// The origins that it may send HTTP requests to.
    pub http: Vec<HttpGrant>,
}

/// One origin that a plugin may send HTTP requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    /// Scheme, host and port.
    pub origin: HttpOrigin,
    /// It may lie at an address of a private network or of this host.
    pub private: bool,
}

/// `[plugins.NAME.limits]`: bounds that differ from the plugin host's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginLimits {
    /// Linear memory, in bytes.
    pub memory: Option<u64>,
    /// CPU time of one call, waiting for others not counted.
    pub deadline: Option<Duration>,
}

/// What an argument of a program may hold between `<` and `>`: each is an address, a number, a word
/// or a jail's name, never text that a log line chose.
pub const EXEC_TAGS: [&str; 8] = [
    "ip", "family", "jail", "time", "bantime", "bancount", "failures", "restored",
];

/// The same for `ignorecommand`.
pub const IGNORE_TAGS: [&str; 4] = ["ip", "family", "jail", "time"];

/// What the key of `ignorecache` may hold. It is handed to nobody, so that text of a line may be in it:
/// the user name.
pub const IGNORE_CACHE_TAGS: [&str; 4] = ["ip", "family", "jail", "F-USER"];

/// How long answers of `ignorecommand` are remembered (`ignorecache`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreCache {
    /// What an answer holds for, with [`IGNORE_CACHE_TAGS`]: equal keys have the same answer.
    pub key: String,
    /// How many answers are remembered, at least one.
    pub max_count: u32,
    /// For how long.
    pub max_time: Duration,
}

/// `[exec.NAME]`: a program that is run for each ban, without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecSettings {
    /// The program, by absolute path, and its arguments with [`EXEC_TAGS`].
    pub ban: Vec<String>,
    /// The same for the end of a ban; `None` where nothing is to be done.
    pub unban: Option<Vec<String>>,
    /// After this time it is killed.
    pub timeout: Duration,
    /// Whether it is told again of bans that outlived a restart of the daemon.
    pub restored: bool,
}

/// `filters/NAME.toml`: patterns that recognise failures. They are not compiled here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterSettings {
    /// The name of the file, without `.toml`.
    pub name: String,
    /// What it recognises, for people.
    pub description: Option<String>,
    /// What every line must match first, with `<F-CONTENT>` around what the others look at.
    pub prefregex: Option<Located<String>>,
    /// Patterns of failures, at least one; none where `json` says what they are.
    pub failregex: Vec<Located<String>>,
    /// Patterns of lines that are no failures although a failregex matches.
    pub ignoreregex: Vec<Located<String>>,
    /// Where in the journal its lines are found; for jails that do not say it themselves.
    pub journalmatch: Vec<Vec<String>>,
    /// How the date of a line is found.
    pub datepattern: DatePattern,
    /// Who reads the patterns.
    pub dialect: Dialect,
    /// How many lines a pattern gets to see at once; more than one only in
    /// [`Dialect::Fail2ban`].
    pub maxlines: u32,
    /// `format = "json"`: what the fields of an entry mean.
    pub json: Option<JsonSettings>,
}

/// What the fields of a JSON object mean, by their paths, such as `request.remote_ip`. The paths and
/// patterns are not read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonSettings {
    /// The address: the first of these that is there.
    pub id: Vec<Located<String>>,
    /// The user.
    pub user: Option<Located<String>>,
    /// The time.
    pub time: Option<Located<String>>,
    /// What a failure is: one of these.
    pub failure: Vec<FieldRule>,
    /// What is none although it seems to be.
    pub ignore: Vec<FieldRule>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// Where it is written.
    pub origin: Origin,
    /// In the order of their fields' names.
    pub conditions: Vec<FieldCondition>,
}

impl fmt::Display for FieldRule {
    /// For people: `request.method = "POST", status = 401 or 403`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, condition) in self.conditions.iter().enumerate() {
            let before = if i == 0 { "" } else { ", " };
            write!(f, "{before}{} = ", condition.field.value)?;
            for (j, value) in condition.any.iter().enumerate() {
                let before = if j == 0 { "" } else { " or " };
                write!(f, "{before}{}", value.value)?;
            }
        }
        Ok(())
    }
}

/// What one field must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldCondition {
    /// The path of the field.
    pub field: Located<String>,
    /// One of these.
    pub any: Vec<Located<FieldValue>>,
}

/// What a field may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// This text.
    Text(String),
    /// This number.
    Number(i64),
    /// A number from the first to the second, both included: `"400..499"`, `"500.."`.
    Between(i64, i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A text that this pattern matches as a whole: it begins with `^`.
    Pattern(String),
}

impl fmt::Display for FieldValue {
    /// As it is written in a filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => number.fmt(f),
            Self::Between(i64::MIN, to) => write!(f, "\"..{to}\""),
            Self::Between(from, i64::MAX) => write!(f, "\"{from}..\""),
            Self::Between(from, to) => write!(f, "\"{from}..{to}\""),
            Self::Boolean(value) => value.fmt(f),
            Self::Pattern(text) => write!(f, "'{text}'"),
        }
    }
}

/// Who reads the patterns of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// stockade: in linear time, and a line that can be read in two ways is noticed.
    #[default]
    Native,
    /// fail2ban: as Python's `re` does, and lines are judged in fail2ban's way, sessions included.
    Fail2ban,
}

/// How the date of a line is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DatePattern {
    /// By trying the formats that stockade knows.
    #[default]
    Default,
    /// Not at all: lines carry no date, and the time of reading counts.
    None,
    /// As one of these says, in fail2ban's language; `{DEFAULT}` is fail2ban's own list. Only in
    /// [`Dialect::Fail2ban`].
    Patterns(Vec<Located<String>>),
}

/// `[jails.NAME]`: a service that is protected, with its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailSettings {
    /// Its name.
    pub name: JailName,
    /// Where it is defined.
    pub origin: Origin,
    /// What recognises failures.
    pub filter: FilterChoice,
    /// Files, with `*`, `?` and `[…]`; absolute.
    pub logpath: Vec<Located<String>>,
    /// Alternatives, of each of which all `FIELD=value` must hold; the filter's where the jail
    /// has none.
    pub journalmatch: Vec<Vec<String>>,
    /// The ports that are closed to who is banned.
    pub port: Ports,
    /// The protocols that are closed to who is banned; empty means all. TCP where the jail names
    /// ports but no protocol, all where it names neither.
    pub protocol: Vec<Protocol>,
    /// What may differ from jail to jail but is mostly set for all.
    pub rules: JailRules,
}

/// What recognises the failures of a jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterChoice {
    /// Patterns.
    Plain(Arc<FilterSettings>),
    /// A plugin, which is one of [`Settings::plugins`].
    Plugin(PluginName),
}

/// What `[defaults]` sets for all jails and each jail may set for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailRules {
    /// How many failures within `findtime` lead to a ban.
    pub maxretry: NonZeroU32,
    /// How long a failure counts.
    pub findtime: Duration,
    /// How long a first ban lasts.
    pub bantime: BanTime,
    /// How further bans of an id grow; `None` where they last as long as the first.
    pub bantime_increment: Option<BanTimeIncrement>,
    /// How many matched lines are kept to explain a ban.
    pub maxmatches: u32,
    /// Who is never banned.
    pub ignoreip: Vec<IgnoreEntry>,
    /// Whether the addresses of this host are never banned.
    pub ignoreself: bool,
    /// A program, by absolute path, and its arguments with [`IGNORE_TAGS`], that says whose failures are
    /// not counted: it ends with 0 for those, else with 1. Empty where there is none.
    pub ignorecommand: Vec<String>,
    /// How long its answers are remembered; `None` where they are not.
    pub ignorecache: Option<IgnoreCache>,
    /// IPv6 addresses that share this many leading bits are counted and banned together.
    pub ipv6_prefix: u8,
    /// Whether host names in log lines are looked up.
    pub usedns: UseDns,
    /// How the bytes of a line become text for filters in fail2ban's dialect; not looked up yet.
    /// `None` is UTF-8.
    pub logencoding: Option<Located<String>>,
    /// The zone of dates that name none.
    pub logtimezone: LogZone,
    /// Where lines are read from.
    pub backend: LogBackend,
    /// How bans are enforced.
    pub enforcement: Enforcement,
    /// Who is told of bans; all are in [`Settings::plugins`] or [`Settings::exec`].
    pub actions: Vec<PluginName>,
}

/// Whether host names in log lines are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseDns {
    /// Never: who owns a name decides where it leads, and could have others banned.
    No,
    /// Always, and their addresses count.
    Yes,
    /// The same, and each name that counted is logged.
    Warn,
    /// Never, and the name itself counts, as a text.
    Raw,
}

impl UseDns {
    /// As it is written in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Warn => "warn",
            Self::Raw => "raw",
        }
    }
}

/// The zone of dates in a log that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogZone {
    /// The zone of this host.
    Local,
    /// Universal time.
    Utc,
    /// A fixed offset, in seconds east of Greenwich.
    Offset(i32),
    /// A name of the zone database, such as `Europe/Berlin`; not looked up yet.
    Named(Located<String>),
}

impl fmt::Display for LogZone {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Utc => f.write_str("UTC"),
            Self::Offset(seconds) => {
                let sign = if *seconds < 0 { '-' } else { '+' };
                let minutes = seconds.unsigned_abs() / 60;
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            Self::Named(name) => f.write_str(&name.value),
        }
    }
}

/// Where a jail's lines are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogBackend {
    /// The journal where the jail has a `journalmatch` and this host has a journal, else the
    /// files of `logpath`.
    Auto,
    /// The files of `logpath`.
    File,
    /// The systemd journal, with `journalmatch`.
    Journal,
    /// Standard input.
    Stdin,
}
