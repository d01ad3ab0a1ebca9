//! Bans and counted attempts, as they are decided, stored and enforced.

use crate::{FailureId, JailName, Timestamp};

/// A ban: this id may not reach what this jail protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The jail that decided it.
    pub jail: JailName,
    /// Who is banned.
    pub id: FailureId,
    /// When it began.
    pub at: Timestamp,
    /// When it ends by itself; `None` for never.
    pub until: Option<Timestamp>,
    /// How many failures led to it; zero for a ban by an operator.
    pub failures: u32,
    /// The how-manieth ban of this id in this jail it is, from 1.
    pub bancount: u32,
}

impl Ban {
    /// Whether the ban has run out at `now`.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Why a ban ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnbanReason {
    /// Its time ran out.
    Expired,
    /// An operator lifted it.
    Manual,
    /// Its jail was removed or disabled.
    JailStopped,
    /// The id is now one that is never banned.
    Ignored,
    /// The jail was full, and this ban was the one to end soonest.
    Displaced,
}

/// The attempts of one id in one jail that still count, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// The jail that counts them.
    pub jail: JailName,
    /// Whose they are.
    pub id: FailureId,
    /// When each happened; empty where nothing is left to remember.
    pub times: Vec<Timestamp>,
}
