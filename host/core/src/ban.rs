//! Bans and counted attempts, as they are decided, stored and enforced.

#[cfg(doc)]
use crate::BanTimeIncrement;
use crate::{BanTime, FailureId, JailName, Timestamp};

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
    /// The how-manieth ban of this id in this jail it is, from 1; with
    /// [`BanTimeIncrement::overalljails`] one more than the numbers of its last bans in all jails
    /// together.
    pub bancount: u32,
}

/// What is remembered of the bans that an id has had in a jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierBans {
    /// The jail.
    pub jail: JailName,
    /// Who was banned.
    pub id: FailureId,
    /// [`Ban::bancount`] of the last one.
    pub bancount: u32,
    /// When the last one began.
    pub at: Timestamp,
    /// [`Ban::relevant_until`] of the last one.
    pub relevant_until: Timestamp,
}

impl From<Ban> for EarlierBans {
    fn from(last: Ban) -> Self {
        Self {
            bancount: last.bancount,
            at: last.at,
            relevant_until: last.relevant_until(),
            jail: last.jail,
            id: last.id,
        }
    }
}

/// A ban says something about its id for this many times its length, from its beginning: who was
/// quiet for twice as long as they had to be begins anew. fail2ban's number.
const RELEVANT_LENGTHS: u32 = 3;

impl Ban {
    /// Whether the ban has run out at `now`.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// How long it lasts, from its beginning to its end.
    #[must_use]
    pub fn length(&self) -> BanTime {
        match self.until {
            Some(until) => BanTime::For(until.saturating_since(self.at)),
            None => BanTime::Forever,
        }
    }

    /// Until when the ban says something about its id: three times its length after its beginning,
    /// and [`Timestamp::MAX`] for one that never ends.
    #[must_use]
    pub fn relevant_until(&self) -> Timestamp {
        match self.length() {
            BanTime::For(length) => self
                .at
                .saturating_add(length.saturating_mul(RELEVANT_LENGTHS)),
            BanTime::Forever => Timestamp::MAX,
        }
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
    /// It is of a network wider than what may be banned now.
    TooWide,
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
