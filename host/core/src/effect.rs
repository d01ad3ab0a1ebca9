//! What goes into the decision machine and what comes out of it.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::{Ban, BanTime, FailureId, Failures, IgnoreReason, JailName, Timestamp, UnbanReason};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A jail's filter matched lines. Failures of a jail that is not known (any more) count nowhere.
    Failures(Failures),
    /// A jail's filter matched lines, and the operator's program said that these are not to be counted
    /// ([`crate::Decider::would_count`] says for which it is worth asking).
    Spared(Failures),
    /// An operator wants these banned now, for the jail's `bantime`.
    Ban {
        /// In which jail.
        jail: JailName,
        /// Exactly these; an IPv6 address is not widened to its network.
        ids: Vec<FailureId>,
    },
    /// An operator wants these reachable.
    Unban {
        /// In which jail; `None` for all.
        jail: Option<JailName>,
        /// An IPv6 address also means the network it was counted by, and a network also means
        /// everything inside it.
        ids: Vec<FailureId>,
        /// Whether wider networks that hold them are lifted too.
        wider: bool,
    },
    /// An operator wants every ban lifted.
    UnbanAll {
        /// In which jail; `None` for all.
        jail: Option<JailName>,
    },
    /// An operator has looked at the bans that are held ([`crate::Safeguards::bans_per_minute`]) and wants
    /// them made.
    Confirm,
    /// An operator wants the bans that are held forgotten, and the attempts that led to them.
    Discard,
    /// Time has passed: see [`crate::Decider::next_wakeup`].
    Timer,
}

/// Something for the shell to carry out, or to tell.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A failure was counted.
    Found {
        /// By which jail.
        jail: JailName,
        /// As it was logged: an IPv6 address, even where its network is counted.
        id: FailureId,
        /// When it happened, not later than now.
        at: Timestamp,
        /// Attempts within `findtime`, this one included.
        count: u32,
        /// As how many attempts this one counts: more than one for who was banned before, where
        /// bans grow.
        weight: u32,
        /// The number of the last ban of who is counted in this jail; 0 where none is known.
        bancount: u32,
    },
    /// Failures were not counted because they are older than `findtime`; at most once a batch.
    TooOld {
        /// Of which jail.
        jail: JailName,
        /// How many.
        count: u32,
    },
    /// A failure was not counted because its id is never banned; once for equal ones in a row.
    Ignored {
        /// By which jail.
        jail: JailName,
        /// Whose failure.
        id: FailureId,
        /// Why.
        reason: IgnoreReason,
    },
    /// A failure was not counted because the log named a network broader than one owner's.
    TooBroad {
        /// By which jail.
        jail: JailName,
        /// The network.
        id: FailureId,
    },
    /// Ban it: in the store, then in the firewall and the actions.
    Ban {
        /// What to ban.
        ban: Ban,
        /// The last matched lines that led to it, oldest first, without line ends: bytes that an
        /// attacker wrote. At most `maxmatches`, each cut at 1024 bytes; none that an earlier run
        /// of the daemon read.
        matches: Vec<Vec<u8>>,
    },
    /// A ban of an earlier run still lasts: enforce it.
    Restore(Ban),
    /// A ban has a new end: in the store, the firewall and the actions.
    Prolong {
        /// With its new end.
        ban: Ban,
    },
    /// Lift it everywhere.
    Unban {
        /// What to lift.
        ban: Ban,
        /// Why.
        reason: UnbanReason,
    },
    /// Something was to be counted or banned that is banned; for failures at most once a minute and
    /// ban.
    AlreadyBanned {
        /// In which jail.
        jail: JailName,
        /// The id of the ban, perhaps a network that holds what was seen.
        id: FailureId,
    },
    /// A banned id was logged again longer after its ban than lines take to arrive: check whether
    /// the firewall has it. At most once a minute and ban.
    StillSeen {
        /// In which jail.
        jail: JailName,
        /// The id of the ban.
        id: FailureId,
    },
    /// An operator's ban was refused.
    Refused {
        /// In which jail.
        jail: JailName,
        /// What was to be banned.
        id: FailureId,
        /// Whom it would have hit.
        reason: IgnoreReason,
    },
    /// A ban was refused because its network is too wide.
    TooWide {
        /// In which jail.
        jail: JailName,
        /// What was to be banned.
        id: FailureId,
        /// How many leading bits its addresses must share, at least.
        widest: u8,
    },
    /// A ban is not made until an operator confirms it, because too many were made within a minute. Told
    /// once as long as it waits.
    Held {
        /// In which jail.
        jail: JailName,
        /// Who stays unbanned.
        id: FailureId,
        /// Whether it waits; otherwise too many do.
        kept: bool,
        /// [`crate::Safeguards::bans_per_minute`], where this is the first of a burst.
        begins: Option<NonZeroU32>,
    },
    /// A ban was not made because the jail is full of bans that never end; for failures at most
    /// once a minute and jail.
    TableFull {
        /// The jail.
        jail: JailName,
        /// Who stays unbanned.
        id: FailureId,
    },
    /// An operator's unban found no ban, or the id stays banned with a network.
    NotBanned {
        /// Where it looked; `None` for all jails.
        jail: Option<JailName>,
        /// What it looked for.
        id: FailureId,
        /// A banned network that still holds it.
        covered_by: Option<FailureId>,
    },
    /// An operator named a jail that does not exist.
    UnknownJail {
        /// The name.
        jail: JailName,
    },
    /// The clock was set back. All times kept were moved with it, so that every ban ends after the
    /// time it had left; each ban is told by [`Effect::Prolong`] too.
    ClockSetBack {
        /// How far.
        by: Duration,
    },
}

/// A jail as it stands. All totals count since the start of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailStatus {
    /// Its name.
    pub name: JailName,
    /// Ids with at least one attempt within `findtime`.
    pub currently_failing: usize,
    /// Failures counted.
    pub total_failed: u64,
    /// Bans in force.
    pub currently_banned: usize,
    /// Bans in force that are not the first of their id.
    pub banned_again: usize,
    /// How long the longest ban in force lasts from its beginning to its end; `None` where there is
    /// none.
    pub longest_ban: Option<BanTime>,
    /// Ids whose earlier bans are remembered, those that are banned now included.
    pub remembered: usize,
    /// Bans made; restored ones are not made again.
    pub total_banned: u64,
    /// Failures not counted because their id is never banned.
    pub total_ignored: u64,
    /// Failures not counted because they were too old.
    pub total_too_old: u64,
    /// Failures of ids that were banned at that time.
    pub total_while_banned: u64,
    /// Ids forgotten because [`crate::Limits::tracked_ids_max`] was reached.
    pub forgotten: u64,
    /// Matched lines not kept because [`crate::Limits::matches_bytes_max`] was reached.
    pub matches_dropped: u64,
}

/// The bans that wait for confirmation, in all jails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldStatus {
    /// How many wait.
    pub waiting: usize,
    /// Since when the oldest of them waits.
    pub since: Option<Timestamp>,
    /// How many were held since the start of the daemon, those included that were dropped.
    pub total: u64,
    /// How many of them were not kept, because [`crate::Limits::held_max`] waited.
    pub dropped: u64,
}
