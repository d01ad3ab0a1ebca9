//! The answer to `doctor`.

use serde::{Deserialize, Serialize};

/// What was looked at, and how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DoctorReply {
    /// One after another; never empty.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// How it is.
    pub finding: Finding,
    /// What was found, in plain words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// As it should be.
    Good,
    /// Bans do not hold, or not for all.
    Bad,
    /// It cannot be told, or a word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Check {
    /// Something that is as it should be.
    #[must_use]
    pub fn good(message: impl Into<String>) -> Self {
        Self::new(Finding::Good, message, None)
    }

    /// Something for which bans do not hold, and what to do.
    #[must_use]
    pub fn bad(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::new(Finding::Bad, message, hint)
    }

    /// Something that cannot be told.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Finding::Unknown, message, None)
    }

    fn new(finding: Finding, message: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            finding,
            message: message.into(),
            hint,
        }
    }
}
