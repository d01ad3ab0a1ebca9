//! What the daemon answers.
//!
//! Every field is always present, `null` where there is nothing. A client ignores fields that it does
//! not know, and reads a word that it does not know as `unknown`.

use serde::{Deserialize, Serialize};
use stockade_core::{Ban, BanTime, FailureId, IgnoreReason};

use crate::{DoctorReply, PROTOCOL, RulesReply, StatusReply, Time};

/// The answer to a request; `reply` says which, by the request's word or `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ControlReply {
    /// The daemon is there.
    Ping {},
    /// Which stockade it is.
    Version(VersionReply),
    /// How everything is.
    Status(Box<StatusReply>),
    /// Who is banned.
    Banned(BannedReply),
    /// The rules of a jail.
    Rules(Box<RulesReply>),
    /// The rules of a jail after the change.
    Tune(Box<RulesReply>),
    /// What became of a failure.
    Attempt(AttemptReply),
    /// What became of each id to ban.
    Ban(BanReply),
    /// What became of each id to unban.
    Unban(UnbanReply),
    /// What became of the bans that were held.
    Confirm(ConfirmReply),
    /// What a reload changed.
    Reload(ReloadReply),
    /// Whether bans hold on this host.
    Doctor(DoctorReply),
    /// The daemon ends now.
    Stop(StopReply),
    /// The request was not carried out.
    Error(ErrorReply),
}

impl ControlReply {
    /// An error without a hint.
    #[must_use]
    pub fn error(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Error(ErrorReply {
            kind,
            message: message.into(),
            ..ErrorReply::default()
        })
    }

    /// An error with what the reader can do about it.
    #[must_use]
    pub fn error_with_hint(
        kind: ErrorKind,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Error(ErrorReply {
            kind,
            message: message.into(),
            hint: Some(hint.into()),
            ..ErrorReply::default()
        })
    }

    /// No jail has this name. `name` is shown as it is: escape it if it is not a jail's name.
    #[must_use]
    pub fn unknown_jail(name: &str) -> Self {
        Self::error_with_hint(
            ErrorKind::UnknownJail,
            format!("there is no jail '{name}'"),
            "'stockade status' lists the jails",
        )
    }

    /// The daemon is ending and answers no more.
    #[must_use]
    pub fn stopping() -> Self {
        Self::error(ErrorKind::Stopping, "stockade is stopping")
    }
}

/// The answer to `version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionReply {
    /// Of stockade.
    pub version: String,
    /// Of this protocol: [`PROTOCOL`].
    pub protocol: u32,
}

impl VersionReply {
    /// For a stockade of this version.
    #[must_use]
    pub fn new(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            protocol: PROTOCOL,
        }
    }
}

/// The answer to `banned`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BannedReply {
    /// The bans in force.
    pub bans: Vec<BanEntry>,
}

/// A ban in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BanEntry {
    /// The jail that decided it.
    pub jail: String,
    /// Who is banned.
    pub id: String,
    /// What `id` is. A text can look like an address.
    pub kind: IdKind,
    /// When it began.
    pub at: Time,
    /// When it ends; `null` for never.
    pub until: Option<Time>,
    /// Seconds from its beginning to its end; `null` for ever.
    pub bantime_s: Option<u64>,
    /// Failures that led to it; 0 for a ban by an operator.
    pub failures: u32,
    /// The how-manieth ban of this id in this jail it is; with `overalljails` one more than the
    /// numbers of its last bans in all jails together.
    pub bancount: u32,
    /// Whether the firewall has it, as the kernel says; `null` where it was not asked, where it is
    /// nothing a firewall can ban, or where its jail has `blocktype = "none"`.
    pub in_firewall: Option<bool>,
}

impl From<&Ban> for BanEntry {
    fn from(ban: &Ban) -> Self {
        Self {
            jail: ban.jail.to_string(),
            id: ban.id.to_string(),
            kind: IdKind::from(&ban.id),
            at: ban.at.into(),
            until: ban.until.map(Time::from),
            bantime_s: match ban.length() {
                BanTime::For(time) => Some(time.as_secs()),
                BanTime::Forever => None,
            },
            failures: ban.failures,
            bancount: ban.bancount,
            in_firewall: None,
        }
    }
}

/// What an id is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdKind {
    /// One address.
    Address,
    /// A network.
    Network,
    /// Something else, which only an action can ban.
    Text,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

impl From<&FailureId> for IdKind {
    fn from(id: &FailureId) -> Self {
        match id {
            FailureId::Addr(_) => Self::Address,
            FailureId::Subnet(_) => Self::Network,
            FailureId::Text(_) => Self::Text,
        }
    }
}

/// The answer to `attempt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptReply {
    /// Failures of the id within findtime, these included; 0 where they were not counted.
    pub failures: u32,
    /// What became of them: `counted`, `banned`, or why not.
    pub result: ItemResult,
}

/// The answer to `ban`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BanReply {
    /// Bans made.
    pub banned: u64,
    /// One for each id, in their order.
    pub results: Vec<ItemResult>,
}

/// The answer to `unban`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnbanReply {
    /// Bans lifted.
    pub unbanned: u64,
    /// One for each id and jail that had it banned, or for each id that none had. Empty for `all`.
    pub results: Vec<ItemResult>,
}

/// The answer to `confirm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfirmReply {
    /// Bans that waited.
    pub held: u64,
    /// Of these, the ones that are made now. The others are of addresses that are never banned or are
    /// banned already, or were discarded.
    pub banned: u64,
}

/// What became of one id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ItemResult {
    /// As it was asked; where an unban also lifts a network, that network.
    pub id: String,
    /// The jail in which it happened.
    pub jail: Option<String>,
    /// What happened.
    pub outcome: Outcome,
    /// More, for people: why it is ignored, or which network still holds it.
    pub reason: Option<String>,
}

impl ItemResult {
    /// The result of `id`, without a jail or a reason.
    #[must_use]
    pub fn new(id: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            id: id.into(),
            outcome,
            ..Self::default()
        }
    }

    /// The result of an id that is never banned.
    #[must_use]
    pub fn ignored(id: impl Into<String>, reason: IgnoreReason) -> Self {
        let reason = match reason {
            IgnoreReason::IgnoreIp => "it is in ignoreip",
            IgnoreReason::OwnAddress => "it is an address of this host",
            IgnoreReason::Command => "ignorecommand says so",
            IgnoreReason::Gateway => "it is the default gateway of this host",
            IgnoreReason::Resolver => "it is a name server of this host",
            IgnoreReason::SshSession => "an administrator works from it by ssh",
        };
        Self::new(id, Outcome::Ignored).because(reason)
    }

    /// The same, in this jail.
    #[must_use]
    pub fn in_jail(mut self, jail: impl Into<String>) -> Self {
        self.jail = Some(jail.into());
        self
    }

    /// The same, for this reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// What became of an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is banned now, in the firewall and in the store.
    Banned,
    /// It was banned before.
    AlreadyBanned,
    /// It is never banned.
    Ignored,
    /// The jail is full of bans that never end.
    TableFull,
    /// It is not banned any more.
    Unbanned,
    /// It was not banned.
    NotBanned,
    /// It is neither an address nor a network.
    NotAnAddress,
    /// Its failure is counted, and it is not banned for it.
    Counted,
    /// Its ban waits for `confirm`, because too many were made within a minute.
    Held,
    /// It was decided, but the firewall or the store refused; `reason` says which.
    Failed,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Outcome {
    /// Whether what was asked is so now.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Self::Banned | Self::AlreadyBanned | Self::Unbanned | Self::Counted
        )
    }
}

/// The answer to `reload`: what differs from before. Bans and attempts of jails that stay are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadReply {
    /// Jails that are new.
    pub added: Vec<String>,
    /// Jails that are gone; their bans were lifted.
    pub removed: Vec<String>,
    /// Jails with other settings; their bans stay.
    pub changed: Vec<String>,
    /// Jails whose new settings cannot be used.
    pub broken: Vec<BrokenJail>,
    /// Settings that changed and need a restart to take effect.
    pub restart_needed: Vec<String>,
    /// Everything that is wrong or odd.
    pub diagnostics: Vec<Diagnostic>,
}

/// A jail whose settings cannot be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokenJail {
    /// As it is written, escaped; it need not be a name that a jail may have.
    pub name: String,
    /// The first of its errors: `path:line:col: message`.
    pub message: String,
    /// Whether it runs with the settings that it had before.
    pub kept: bool,
}

/// The answer to `stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopReply {
    /// Whether the firewall was emptied.
    pub flushed: bool,
    /// Bans that stay in the firewall until their time is over.
    pub bans_left: u64,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorReply {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: lower case, no full stop. What came from outside is escaped.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
    /// Where the configuration is wrong; for `config` only.
    pub diagnostics: Vec<Diagnostic>,
}

/// Kinds of errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The line is not a request.
    BadRequest,
    /// The daemon knows no such command.
    UnknownCommand,
    /// The request is longer than [`crate::FRAME_LEN_MAX`].
    RequestTooLong,
    /// The reply would be longer than [`crate::REPLY_LEN_MAX`].
    ReplyTooLong,
    /// No jail has that name.
    UnknownJail,
    /// The new configuration has errors; the old one stays in force.
    Config,
    /// The firewall refused.
    Firewall,
    /// The state could not be stored.
    Store,
    /// The daemon may not do it, or the client may not ask.
    NotPermitted,
    /// The daemon is ending.
    Stopping,
    /// A fault of stockade.
    Internal,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A place in the configuration and what is wrong there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// Line, from 1; `null` where the file as a whole is meant.
    pub line: Option<u64>,
    /// Column in characters, from 1.
    pub column: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
    /// The line and what is meant in it.
    pub excerpt: Option<Excerpt>,
}

/// Whether a diagnostic keeps the configuration from being used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A line of the configuration, safe to print.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Excerpt {
    /// The line, or a part of it.
    pub text: String,
    /// Characters before the mark.
    pub mark_start: u64,
    /// Characters marked.
    pub mark_len: u64,
}
