//! Points in time, and how long a ban lasts.

use std::fmt;
use std::time::Duration;

/// A point in wall-clock time: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Log lines, bans and everything on disk carry this type. Timeouts of running operations use
/// `std::time::Instant`; the two are never mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// Later than every time that can occur.
    pub const MAX: Self = Self(i64::MAX);

    /// The point `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The point `secs` seconds after the epoch; saturates at the ends of the range.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This point plus `duration`; saturates at [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// This point minus `duration`; saturates at the earliest point.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// The time from `earlier` to this point, or zero where `earlier` is not earlier.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// How long a ban lasts (`bantime`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BanTime {
    /// Ends by itself after this time.
    For(Duration),
    /// Never ends by itself; written `-1` in configuration.
    Forever,
}

impl BanTime {
    /// When a ban that begins at `from` ends, or `None` where it never does.
    #[must_use]
    pub fn end(self, from: Timestamp) -> Option<Timestamp> {
        match self {
            Self::For(duration) => Some(from.saturating_add(duration)),
            Self::Forever => None,
        }
    }
}

impl fmt::Display for BanTime {
    /// Seconds, and `-1` for ever, as fail2ban prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(duration) => write!(f, "{}", duration.as_secs()),
            Self::Forever => f.write_str("-1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_a_later_point_is_zero() {
        let early = Timestamp::from_secs(10);
        let late = Timestamp::from_secs(70);
        assert_eq!(late.saturating_since(early), Duration::from_secs(60));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
    }

    #[test]
    fn seconds_round_down_before_the_epoch_too() {
        assert_eq!(Timestamp::from_micros(-1).as_secs(), -1);
        assert_eq!(Timestamp::from_micros(1_999_999).as_secs(), 1);
    }

    #[test]
    fn a_ban_for_ever_has_no_end() {
        assert_eq!(BanTime::Forever.end(Timestamp::EPOCH), None);
        let ten = BanTime::For(Duration::from_secs(10));
        assert_eq!(ten.end(Timestamp::EPOCH), Some(Timestamp::from_secs(10)));
        assert_eq!(
            BanTime::For(Duration::MAX).end(Timestamp::EPOCH),
            Some(Timestamp::MAX)
        );
    }
}
