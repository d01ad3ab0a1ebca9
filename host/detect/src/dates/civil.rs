//! From the fields of a date to a point in time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use stockade_core::Timestamp;

/// The fields of a date as they stand in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: Option<i16>,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    pub(super) micros: u32,
    /// Seconds east of UTC; `None` is local time.
    pub(super) offset: Option<i32>,
}

/// How far a date without a year may lie in the future before it is one of the year before: clocks
/// differ, and zones are misconfigured. fail2ban's value.
const FUTURE_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// How many years back a date without a year is looked for: 29 February skips 2100, so eight.
const YEARS_BACK_MAX: i16 = 8;

/// The local zone and the time that dates without a year are relative to.
#[derive(Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    now: Timestamp,
    /// The last date that was worked out, without its fraction, and what it came to.
    last: Option<(Civil, Timestamp)>,
}

impl Clock {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            now: Timestamp::EPOCH,
            last: None,
        }
    }

    /// Sets the time; says whether what was worked out before must be forgotten.
    pub(super) fn set_now(&mut self, now: Timestamp) -> bool {
        let changed = self.now != now;
        if changed {
            self.now = now;
            self.last = None;
        }
        changed
    }

    /// Microseconds between now and `at`.
    pub(super) fn distance(&self, at: Timestamp) -> u64 {
        at.as_micros().abs_diff(self.now.as_micros())
    }

    /// The point in time, or `None` where there is no such date.
    pub(super) fn resolve(&mut self, civil: &Civil) -> Option<Timestamp> {
        let whole = Civil {
            micros: 0,
            ..*civil
        };
        let at = match self.last {
            Some((last, at)) if last == whole => at,
            _ => {
                let at = self.work_out(&whole)?;
                self.last = Some((whole, at));
                at
            }
        };
        Some(at.saturating_add(std::time::Duration::from_micros(u64::from(civil.micros))))
    }

    fn work_out(&self, civil: &Civil) -> Option<Timestamp> {
        if let Some(year) = civil.year {
            return self.in_year(civil, year);
        }
        let latest = self.now.saturating_add(FUTURE_MAX);
        // The newest year in which the date is not too far ahead: next year's in the last hours of
        // December, last year's in January, an earlier leap year's for 29 February.
        let next = self.local_year()?.checked_add(1)?;
        (0..=YEARS_BACK_MAX).find_map(|back| {
            let at = self.in_year(civil, next - back)?;
            (at <= latest).then_some(at)
        })
    }

    fn local_year(&self) -> Option<i16> {
        let now = jiff::Timestamp::from_microsecond(self.now.as_micros()).ok()?;
        Some(self.zone.to_datetime(now).year())
    }

    fn in_year(&self, civil: &Civil, year: i16) -> Option<Timestamp> {
        let field = |value: u8| i8::try_from(value).ok();
        let date = DateTime::new(
            year,
            field(civil.month)?,
            field(civil.day)?,
            field(civil.hour)?,
            field(civil.minute)?,
            field(civil.second)?,
            0,
        )
        .ok()?;
        let at = match civil.offset {
            Some(seconds) => {
                let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
                offset.to_timestamp(date).ok()?
            }
            // A time that a change of clocks skips or repeats: the reading that RFC 5545 3.3.5 wants.
            None => self.zone.to_ambiguous_timestamp(date).compatible().ok()?,
        };
        Some(Timestamp::from_micros(at.as_microsecond()))
    }
}
