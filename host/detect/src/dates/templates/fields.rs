//! From the fields that a date pattern read to a point in time, by fail2ban's rules for what is
//! missing.

use std::time::Duration;

use jiff::Span;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use stockade_core::Timestamp;

use super::tokens::{DAYS, MONTHS};
use super::zones;

/// How far a date without a year may lie ahead before it is last year's.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// There was no year 0, and Python has none.
const YEAR_MIN: i16 = 1;

/// The fields of a date; `None` for what the line does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    hour: i8,
    minute: i8,
    second: i8,
    /// Hour of a half day, and which half.
    half_day: Option<i8>,
    afternoon: bool,
    day_of_year: Option<i16>,
    /// From Monday.
    weekday: Option<i8>,
    week: Option<i8>,
    week_begins_on_monday: bool,
    /// Minutes east of UTC.
    offset: Option<i32>,
}

impl Fields {
    /// Takes what the group `name` read; `None` where that can be no date.
    pub(super) fn take(&mut self, name: &str, text: &str) -> Option<()> {
        let number = || text.trim().parse::<i16>().ok();
        let small = || text.trim().parse::<i8>().ok();
        match name {
            "Y" => self.year = Some(number()?),
            "y" => self.year = Some(number()? + 2000),
            "m" => self.month = Some(small()?),
            "b" | "B" => self.month = Some(place(&MONTHS, text)? + 1),
            "d" => self.day = Some(small()?),
            "H" => self.hour = small()?,
            "I" => self.half_day = Some(small()?),
            "p" => self.afternoon = text.eq_ignore_ascii_case("pm"),
            "M" => self.minute = small()?,
            "S" => self.second = small()?,
            "j" => self.day_of_year = Some(number()?),
            "a" | "A" => self.weekday = Some(place(&DAYS, text)?),
            // Sunday is 0 there.
            "w" => self.weekday = Some((small()? + 6) % 7),
            "U" | "W" => {
                self.week = Some(small()?);
                self.week_begins_on_monday = name == "W";
            }
            "z" | "Z" => self.offset = Some(zones::minutes_east(text)?),
            _ => {}
        }
        Some(())
    }

    /// The point in time, or `None` where there is no such date. What has no zone is of `zone`.
    pub(super) fn at(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let now = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
        let today = zone.to_datetime(now);
        let year = self.year.unwrap_or(today.year());
        if year < YEAR_MIN {
            return None;
        }
        let (mut year, mut month, mut day) = (year, self.month, self.day);
        if (month.is_none() || day.is_none())
            && let Some(date) = self.counted(year)?
        {
            (year, month, day) = (date.year(), Some(date.month()), Some(date.day()));
        }
        let only_time = month.is_none() && day.is_none();
        if only_time {
            (month, day) = (Some(today.month()), Some(today.day()));
        }
        let (month, day) = (month?, day?);
        let date = DateTime::new(year, month, day, self.hour()?, self.minute, self.second, 0);
        let mut date = self.in_utc(date.ok()?)?;
        // fail2ban compares what is in UTC with what is local as if both were the same.
        if only_time && date > today {
            date = date.checked_sub(Span::new().days(1)).ok()?;
        }
        if self.year.is_none() && date > today.checked_add(AHEAD_MAX).ok()? {
            let before = Date::new(year - 1, month, day).ok()?;
            date = DateTime::from_parts(before, date.time());
        }
        let at = match self.offset {
            Some(_) => Offset::UTC.to_timestamp(date).ok()?,
            None => zone.to_ambiguous_timestamp(date).compatible().ok()?,
        };
        Some(Timestamp::from_micros(at.as_microsecond()))
    }

    fn in_utc(&self, date: DateTime) -> Option<DateTime> {
        match self.offset {
            None => Some(date),
            Some(minutes) => date
                .checked_sub(Span::new().minutes(i64::from(minutes)))
                .ok(),
        }
    }

    fn hour(&self) -> Option<i8> {
        Some(match self.half_day {
            None => self.hour,
            Some(12) if !self.afternoon => 0,
            Some(hour) if !self.afternoon || hour == 12 => hour,
            Some(hour) => hour.checked_add(12)?,
        })
    }

    /// The date that a day of the year, or a week and a day of it, names. The outer `None` is for
    /// one that is none.
    fn counted(&self, year: i16) -> Option<Option<Date>> {
        let first = Date::new(year, 1, 1).ok()?;
        let days = match (self.day_of_year, self.week, self.weekday) {
            (Some(day), ..) => i64::from(day) - 1,
            (None, Some(week), Some(weekday)) => self.days_into(first, week, weekday),
            _ => return Some(None),
        };
        first.checked_add(Span::new().days(days)).ok().map(Some)
    }

    /// Days from the first of January to the day of the week (Python's `_strptime`, `%U` and `%W`).
    fn days_into(&self, first: Date, week: i8, weekday: i8) -> i64 {
        let first = i64::from(first.weekday().to_monday_zero_offset());
        let (first, weekday) = if self.week_begins_on_monday {
            (first, i64::from(weekday))
        } else {
            ((first + 1) % 7, (i64::from(weekday) + 1) % 7)
        };
        let week_0_len = (7 - first) % 7;
        if week == 0 {
            weekday - first
        } else {
            week_0_len + 7 * (i64::from(week) - 1) + weekday
        }
    }
}

/// The place of a name, whole or short, in a list of names.
fn place(names: &[&str], text: &str) -> Option<i8> {
    let found = names.iter().position(|name| {
        name.eq_ignore_ascii_case(text)
            || name
                .get(..3)
                .is_some_and(|short| short.eq_ignore_ascii_case(text))
    });
    found.and_then(|place| i8::try_from(place).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(fields: &[(&str, &str)], zone: &str, now: i64) -> Option<i64> {
        let mut read = Fields::default();
        for (name, text) in fields {
            read.take(name, text)?;
        }
        let zone = TimeZone::get(zone).unwrap();
        read.at(&zone, Timestamp::from_secs(now))
            .map(Timestamp::as_secs)
    }

    /// 2005-08-14 10:00:00 UTC.
    const NOW: i64 = 1_124_013_600;

    #[test]
    fn what_is_missing_is_taken_from_now() {
        let time = [("H", "9"), ("M", "30"), ("S", "0")];
        assert_eq!(at(&time, "UTC", NOW), Some(NOW - 1800));
        let later = [("H", "11"), ("M", "0"), ("S", "0")];
        assert_eq!(at(&later, "UTC", NOW), Some(NOW + 3600 - 86400));
        let august = [
            ("b", "Aug"),
            ("d", "14"),
            ("H", "10"),
            ("M", "0"),
            ("S", "0"),
        ];
        assert_eq!(at(&august, "UTC", NOW), Some(NOW));
        let autumn = [
            ("b", "Oct"),
            ("d", "14"),
            ("H", "10"),
            ("M", "0"),
            ("S", "0"),
        ];
        assert_eq!(
            at(&autumn, "UTC", NOW),
            Some(NOW + 61 * 86400 - 365 * 86400)
        );
    }

    #[test]
    fn zones_shift_and_dates_that_are_none_are_refused() {
        let date = [
            ("Y", "2005"),
            ("m", "8"),
            ("d", "14"),
            ("H", "12"),
            ("z", "+0200"),
        ];
        assert_eq!(at(&date, "UTC", NOW), Some(NOW));
        assert_eq!(at(&date[..4], "Europe/Berlin", NOW), Some(NOW));
        assert_eq!(
            at(&[("Y", "2005"), ("m", "2"), ("d", "30")], "UTC", NOW),
            None
        );
        assert_eq!(at(&[("S", "60")], "UTC", NOW), None);
        assert_eq!(at(&[("Z", "ERROR")], "UTC", NOW), None);
    }

    #[test]
    fn weeks_and_days_of_the_year_are_dates() {
        let day = [("Y", "2005"), ("j", "226"), ("H", "10")];
        assert_eq!(at(&day, "UTC", NOW), Some(NOW));
        let week = [("Y", "2005"), ("W", "32"), ("a", "Sun"), ("H", "10")];
        assert_eq!(at(&week, "UTC", NOW), Some(NOW));
        let week = [("Y", "2005"), ("U", "33"), ("w", "0"), ("H", "10")];
        assert_eq!(at(&week, "UTC", NOW), Some(NOW));
    }

    #[test]
    fn half_days_are_read() {
        let noon = [
            ("I", "12"),
            ("p", "PM"),
            ("Y", "2005"),
            ("m", "8"),
            ("d", "14"),
        ];
        assert_eq!(at(&noon, "UTC", NOW), Some(NOW + 2 * 3600));
        let midnight = [
            ("I", "12"),
            ("p", "am"),
            ("Y", "2005"),
            ("m", "8"),
            ("d", "14"),
        ];
        assert_eq!(at(&midnight, "UTC", NOW), Some(NOW - 10 * 3600));
    }
}
