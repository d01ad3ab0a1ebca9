//! What a client can ask.

use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stockade_core::JailName;

/// A request. A field that is not known is refused: an `unban` whose `jail` is misspelt must not lift
/// bans in every jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ControlRequest {
    /// Is the daemon there?
    Ping {},
    /// Which stockade is it?
    Version {},
    /// How is everything?
    Status {
        /// Only this jail.
        #[serde(default, with = "optional_jail")]
        jail: Option<JailName>,
    },
    /// Who is banned?
    Banned {
        /// Only in this jail.
        #[serde(default, with = "optional_jail")]
        jail: Option<JailName>,
    },
    /// What are the rules of a jail?
    Rules {
        /// The jail.
        #[serde(with = "jail")]
        jail: JailName,
    },
    /// Change rules of a jail until the configuration is read again.
    Tune(TuneRequest),
    /// Count a failure that no log tells of.
    Attempt {
        /// The jail that counts it.
        #[serde(with = "jail")]
        jail: JailName,
        /// An address or network.
        id: String,
        /// Text that explains it, each line as one failure; none counts as one.
        #[serde(default)]
        lines: Vec<String>,
    },
    /// Ban these now, for the jail's bantime.
    Ban {
        /// The jail that bans.
        #[serde(with = "jail")]
        jail: JailName,
        /// Addresses and networks. Each has a result of its own, so one that is neither does not
        /// spoil the others.
        ids: Vec<String>,
    },
    /// Lift bans.
    Unban(UnbanRequest),
    /// Make the bans that are held because there were too many within a minute.
    Confirm {
        /// Forget them instead, and the failures that led to them.
        #[serde(default)]
        discard: bool,
    },
    /// Read the configuration again and apply what changed. A jail with an error keeps its settings.
    Reload {
        /// Change nothing where there is any error.
        #[serde(default)]
        strict: bool,
    },
    /// Do bans hold on this host?
    Doctor {},
    /// End the daemon.
    Stop {
        /// Also take all bans out of the firewall. Otherwise they stay until their time is over.
        #[serde(default)]
        flush: bool,
    },
}

impl ControlRequest {
    /// The words of `command`, in the order of the variants.
    pub const COMMANDS: [&str; 13] = [
        "ping", "version", "status", "banned", "rules", "tune", "attempt", "ban", "unban",
        "confirm", "reload", "doctor", "stop",
    ];
}

/// What to change of a jail's rules; what is not named stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneRequest {
    /// The jail.
    #[serde(with = "jail")]
    pub jail: JailName,
    /// How long a ban lasts: a time as in the configuration, -1 for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bantime: Option<String>,
    /// How long a failure counts: a time as in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findtime: Option<String>,
    /// How many failures lead to a ban.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxretry: Option<NonZeroU32>,
    /// How many matched lines are kept to explain a ban.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxmatches: Option<u32>,
    /// Whether the addresses of this host are never banned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignoreself: Option<bool>,
    /// Entries to add to `ignoreip`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Entries to take out of `ignoreip`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unignore: Vec<String>,
}

impl TuneRequest {
    /// Changes nothing yet.
    #[must_use]
    pub fn new(jail: JailName) -> Self {
        Self {
            jail,
            bantime: None,
            findtime: None,
            maxretry: None,
            maxmatches: None,
            ignoreself: None,
            ignore: Vec::new(),
            unignore: Vec::new(),
        }
    }
}

/// Whose bans to lift, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UnbanWire", into = "UnbanWire")]
pub struct UnbanRequest {
    /// Only in this jail; `None` for all.
    pub jail: Option<JailName>,
    /// Whose.
    pub whom: UnbanWhom,
    /// Also lift bans of wider networks that hold one of the ids.
    pub wider: bool,
}

impl UnbanRequest {
    /// Lifts the bans of exactly these.
    #[must_use]
    pub fn new(jail: Option<JailName>, whom: UnbanWhom) -> Self {
        Self {
            jail,
            whom,
            wider: false,
        }
    }
}

/// Whose bans to lift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnbanWhom {
    /// These addresses and networks: `"ids": [...]`.
    Ids(Vec<String>),
    /// Everybody's: `"all": true`.
    All,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnbanWire {
    #[serde(default, with = "optional_jail")]
    jail: Option<JailName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ids: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "is_false")]
    all: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    wider: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

impl TryFrom<UnbanWire> for UnbanRequest {
    type Error = &'static str;

    fn try_from(wire: UnbanWire) -> Result<Self, Self::Error> {
        let whom = match (wire.ids, wire.all) {
            (Some(ids), false) => UnbanWhom::Ids(ids),
            (None, true) => UnbanWhom::All,
            (Some(_), true) => return Err("'unban' takes either 'ids' or 'all', not both"),
            (None, false) => return Err("'unban' needs 'ids' or 'all'"),
        };
        Ok(Self {
            jail: wire.jail,
            whom,
            wider: wire.wider,
        })
    }
}

impl From<UnbanRequest> for UnbanWire {
    fn from(request: UnbanRequest) -> Self {
        let (ids, all) = match request.whom {
            UnbanWhom::Ids(ids) => (Some(ids), false),
            UnbanWhom::All => (None, true),
        };
        Self {
            jail: request.jail,
            ids,
            all,
            wider: request.wider,
        }
    }
}

mod jail {
    use super::{Deserialize, Deserializer, JailName, Serializer};

    pub(super) fn serialize<S: Serializer>(name: &JailName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<JailName, D::Error> {
        let text = String::deserialize(from)?;
        JailName::try_new(&text).map_err(serde::de::Error::custom)
    }
}

mod optional_jail {
    use super::{Deserialize, Deserializer, JailName, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        name: &Option<JailName>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        name.as_ref().map(JailName::as_str).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<JailName>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| JailName::try_new(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}
