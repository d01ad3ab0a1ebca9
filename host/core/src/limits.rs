//! How much of what attackers can grow is kept, and what happens at each limit.

/// Limits of one jail, and one of all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ids whose failures are counted at the same time.
    ///
    /// At the limit the id with the fewest attempts is forgotten, and among those the one whose
    /// last attempt is oldest: a flood of new addresses pushes out itself, not an id that is close
    /// to `maxretry`. Counted as [`crate::JailStatus::forgotten`].
    pub tracked_ids_max: usize,
    /// Bans that are in force at the same time.
    ///
    /// At the limit the ban that ends soonest is lifted ([`crate::UnbanReason::Displaced`]). A ban
    /// that never ends is not lifted for another: where all are such, the new one is refused
    /// ([`crate::Effect::TableFull`]).
    pub bans_max: usize,
    /// Ids whose number of earlier bans is remembered in each jail.
    ///
    /// At the limit the one that would be forgotten first begins again from zero, which is mostly
    /// one with a short ban: a flood of new addresses does not push out who was banned for long.
    pub prior_bans_max: usize,
    /// Bytes of matched lines kept for the ids that are counted.
    ///
    /// At the limit further lines are not kept, which costs a notification its quotes and changes
    /// no decision. Counted as [`crate::JailStatus::matches_dropped`].
    pub matches_bytes_max: usize,
    /// Bans of all jails that wait for confirmation ([`crate::Safeguards::bans_per_minute`]).
    ///
    /// At the limit further ones are not kept, and whoever goes on failing is held again when there is
    /// room. Counted as [`crate::HeldStatus::dropped`].
    pub held_max: usize,
}

impl Limits {
    /// About 13 MB in each jail under the worst attack; a /16 of IPv4 fits.
    pub const TRACKED_IDS_MAX: usize = 65_536;
    /// About 65 MB in each jail, and more than twice what reports of large botnets count.
    pub const BANS_MAX: usize = 262_144;
    /// As many as can be banned at once.
    pub const PRIOR_BANS_MAX: usize = Self::BANS_MAX;
    /// Room for 128 bytes a line and one line for each tracked id.
    pub const MATCHES_BYTES_MAX: usize = 8 * 1024 * 1024;
    /// About 10 MB: an hour of the default rate, and more than anybody looks through.
    pub const HELD_MAX: usize = 65_536;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tracked_ids_max: Self::TRACKED_IDS_MAX,
            bans_max: Self::BANS_MAX,
            prior_bans_max: Self::PRIOR_BANS_MAX,
            matches_bytes_max: Self::MATCHES_BYTES_MAX,
            held_max: Self::HELD_MAX,
        }
    }
}

/// Longest part of a matched line that is kept; syslog lines are shorter (RFC 3164 4.1: 1024).
pub(crate) const MATCH_LINE_BYTES_MAX: usize = 1024;
