//! fail2ban's words for lengths of time: `600`, `10m`, `1d12h`, `1h 30`, `2 weeks`.
//!
//! Reads the words and nothing else: every term is a number with an optional unit, and the terms are
//! added. fail2ban's own configuration may also hold arithmetic, `1year-6mo` or `24*60`, which
//! [`crate::parse_time_arithmetic`] reads.

use std::fmt;
use std::time::Duration;

use crate::BanTime;

const MICROS_PER_SEC: u64 = 1_000_000;
const SECS_PER_MINUTE: u64 = 60;
const SECS_PER_HOUR: u64 = 60 * SECS_PER_MINUTE;
const SECS_PER_DAY: u64 = 24 * SECS_PER_HOUR;
const SECS_PER_WEEK: u64 = 7 * SECS_PER_DAY;
/// 365.25 days, as in fail2ban.
const SECS_PER_YEAR: u64 = 31_557_600;
/// A twelfth of a year (30.4375 days), as in fail2ban.
const SECS_PER_MONTH: u64 = SECS_PER_YEAR / 12;

/// Longest time that is read: what a [`crate::Timestamp`] can hold, about 292,000 years.
const MICROS_MAX: u64 = i64::MAX.unsigned_abs();

/// Digits behind the decimal point that count; the others are smaller than a microsecond.
const FRACTION_DIGITS: u32 = 6;

/// The units in lower case, with every abbreviation that fail2ban takes, and their seconds.
const UNITS: [(&[&str], u64); 7] = [
    (&["s", "ss", "se", "sec", "second", "seconds"], 1),
    (
        &["m", "mm", "mi", "min", "minute", "minutes"],
        SECS_PER_MINUTE,
    ),
    (&["h", "hh", "ho", "hou", "hour", "hours"], SECS_PER_HOUR),
    (&["d", "dd", "da", "day", "days"], SECS_PER_DAY),
    (&["w", "ww", "we", "wee", "week", "weeks"], SECS_PER_WEEK),
    (&["mo", "mon", "month", "months"], SECS_PER_MONTH),
    (&["y", "yy", "ye", "yea", "year", "years"], SECS_PER_YEAR),
];

/// Reads a length of time; a number without a unit is seconds, and terms add up.
///
/// # Errors
/// Where the text is empty or something in it is neither a number nor a unit behind a number, or
/// where the sum is longer than about 292,000 years.
pub fn parse_duration(text: &str) -> Result<Duration, TimeWordError> {
    let mut rest = Rest { text, offset: 0 };
    let mut total: u64 = 0;
    let mut terms = 0;
    loop {
        rest.skip_spaces();
        if rest.is_empty() {
            break;
        }
        let begin = rest.offset;
        let term = rest.term()?;
        total = total
            .checked_add(term)
            .filter(|total| *total <= MICROS_MAX)
            .ok_or(TimeWordError {
                offset: begin,
                kind: TimeWordErrorKind::TooLong,
            })?;
        terms += 1;
    }
    if terms == 0 {
        return Err(TimeWordError {
            offset: 0,
            kind: TimeWordErrorKind::Empty,
        });
    }
    Ok(Duration::from_micros(total))
}

/// Reads a length of time as [`parse_duration`] does, or `-1` for [`BanTime::Forever`].
///
/// # Errors
/// As [`parse_duration`].
pub fn parse_bantime(text: &str) -> Result<BanTime, TimeWordError> {
    if text.trim() == "-1" {
        return Ok(BanTime::Forever);
    }
    parse_duration(text).map(BanTime::For)
}

/// Why a text is no length of time, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct TimeWordError {
    /// Byte offset in the text of what cannot be read.
    pub offset: usize,
    /// What is wrong there.
    pub kind: TimeWordErrorKind,
}

/// What is wrong with a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeWordErrorKind {
    /// There is nothing to read.
    #[error("a time is missing; write for example '10m' or '1d 12h'")]
    Empty,
    /// There should be a number.
    #[error("{found:?} is no number; write for example '10m' or '1d 12h'")]
    NoNumber {
        /// The character found instead.
        found: char,
    },
    /// A minus: nothing is shorter than nothing, and terms are not subtracted.
    #[error("a time cannot be negative (a bantime may be '-1', for ever)")]
    Negative,
    /// Letters behind a number that are no unit.
    #[error("{found:?} is no unit of time; units are s, m, h, d, w, mo and y")]
    UnknownUnit {
        /// The letters.
        found: String,
    },
    /// More than a point in time can hold.
    #[error("the time is longer than 292,000 years")]
    TooLong,
}

/// What is left to read.
struct Rest<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Rest<'a> {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.text.find(|c| !wanted(c)).unwrap_or(self.text.len());
        let (taken, left) = self.text.split_at_checked(end).unwrap_or((self.text, ""));
        self.text = left;
        self.offset += taken.len();
        taken
    }

    fn skip_spaces(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// One number with its unit, in microseconds.
    fn term(&mut self) -> Result<u64, TimeWordError> {
        let begin = self.offset;
        let whole = self.take_while(|c| c.is_ascii_digit());
        if whole.is_empty() {
            return Err(TimeWordError {
                offset: begin,
                kind: self.no_number(),
            });
        }
        let fraction = match self.text.strip_prefix('.') {
            Some(left) => {
                self.text = left;
                self.offset += 1;
                self.take_while(|c| c.is_ascii_digit())
            }
            None => "",
        };
        self.skip_spaces();
        let unit = self.unit()?;
        term_micros(whole, fraction, unit).ok_or(TimeWordError {
            offset: begin,
            kind: TimeWordErrorKind::TooLong,
        })
    }

    /// The seconds of the unit that comes next; one where a number, or nothing, does.
    fn unit(&mut self) -> Result<u64, TimeWordError> {
        let begin = self.offset;
        let word = self.take_while(char::is_alphabetic);
        if word.is_empty() {
            return Ok(1);
        }
        unit_secs(word).ok_or_else(|| TimeWordError {
            offset: begin,
            kind: TimeWordErrorKind::UnknownUnit {
                found: word.to_owned(),
            },
        })
    }

    fn no_number(&self) -> TimeWordErrorKind {
        match self.text.chars().next() {
            None => TimeWordErrorKind::Empty,
            Some('-') => TimeWordErrorKind::Negative,
            Some(found) => TimeWordErrorKind::NoNumber { found },
        }
    }
}

/// The seconds of a unit, in any case of letters.
pub(crate) fn unit_secs(word: &str) -> Option<u64> {
    let lower = word.to_ascii_lowercase();
    UNITS
        .iter()
        .find(|(words, _)| words.contains(&lower.as_str()))
        .map(|(_, secs)| *secs)
}

/// `whole.fraction` units of `secs` seconds in microseconds, or `None` where that is too long.
fn term_micros(whole: &str, fraction: &str, secs: u64) -> Option<u64> {
    let unit = secs.checked_mul(MICROS_PER_SEC)?;
    let whole: u64 = whole.parse().ok()?;
    let mut micros = whole.checked_mul(unit)?;
    let mut part = unit;
    for digit in fraction.chars().take(FRACTION_DIGITS as usize) {
        part /= 10;
        let digit = u64::from(digit.to_digit(10)?);
        micros = micros.checked_add(part.checked_mul(digit)?)?;
    }
    Some(micros)
}

/// Shows a length of time in the words that [`parse_duration`] reads: `10m`, `1d 12h`, `0s`.
///
/// Parts of a second are left out; months and years are not used, since they are not whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWords(pub Duration);

impl fmt::Display for TimeWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut secs = self.0.as_secs();
        if secs == 0 {
            return f.write_str("0s");
        }
        let mut space = "";
        for (unit, name) in [
            (SECS_PER_WEEK, "w"),
            (SECS_PER_DAY, "d"),
            (SECS_PER_HOUR, "h"),
            (SECS_PER_MINUTE, "m"),
            (1, "s"),
        ] {
            let count = secs / unit;
            secs %= unit;
            if count > 0 {
                write!(f, "{space}{count}{name}")?;
                space = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, secs: f64) {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_secs_f64(secs)),
            "{text:?}"
        );
    }

    #[track_caller]
    fn check_error(text: &str, offset: usize, message: &str) {
        let error = parse_duration(text).unwrap_err();
        assert_eq!(
            (error.offset, error.to_string().as_str()),
            (offset, message),
            "{text:?}"
        );
    }

    /// Each expected value is what `fail2ban-client --str2sec` of fail2ban 1.0.2 answers.
    #[test]
    fn times_mean_what_they_mean_in_fail2ban() {
        check("600", 600.0);
        check("  5 ", 5.0);
        check("1d12h", 129_600.0);
        check("1h 30", 3630.0);
        check("1h30", 3630.0);
        check("30 1h", 3630.0);
        check("1d12", 86_412.0);
        check("1hours 2m", 3720.0);
        check("3ss2mm", 123.0);
        check("1year6mo", 47_336_400.0);
        check("1.5h", 5400.0);
        check("1.5", 1.5);
    }

    #[test]
    fn a_capital_m_is_minutes_as_a_small_one() {
        check("1M", 60.0);
        check("1MO", 2_629_800.0);
        check("2 Weeks", 1_209_600.0);
    }

    #[test]
    fn every_abbreviation_of_fail2ban_is_a_unit() {
        for (words, secs) in [
            ("s ss se sec second seconds", 1.0),
            ("m mm mi min minute minutes", 60.0),
            ("h hh ho hou hour hours", 3600.0),
            ("d dd da day days", 86_400.0),
            ("w ww we wee week weeks", 604_800.0),
            ("mo mon month months", 2_629_800.0),
            ("y yy ye yea year years", 31_557_600.0),
        ] {
            for word in words.split(' ') {
                check(&format!("1{word}"), secs);
            }
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_its_place() {
        let hint = "write for example '10m' or '1d 12h'";
        check_error("", 0, &format!("a time is missing; {hint}"));
        check_error("   ", 0, &format!("a time is missing; {hint}"));
        check_error("mo", 0, &format!("'m' is no number; {hint}"));
        check_error("1d , 2h", 3, &format!("',' is no number; {hint}"));
        check_error("24*60", 2, &format!("'*' is no number; {hint}"));
        check_error(
            "1h 10ms",
            5,
            "\"ms\" is no unit of time; units are s, m, h, d, w, mo and y",
        );
        check_error(
            "1secs",
            1,
            "\"secs\" is no unit of time; units are s, m, h, d, w, mo and y",
        );
        check_error(
            "10 µs",
            3,
            "\"µs\" is no unit of time; units are s, m, h, d, w, mo and y",
        );
    }

    #[test]
    fn a_negative_time_is_refused_and_a_bantime_of_minus_one_is_for_ever() {
        let negative = "a time cannot be negative (a bantime may be '-1', for ever)";
        check_error("-1", 0, negative);
        check_error("1year-6mo", 5, negative);
        assert_eq!(parse_bantime(" -1 "), Ok(BanTime::Forever));
        assert_eq!(
            parse_bantime("10m"),
            Ok(BanTime::For(Duration::from_secs(600)))
        );
        assert!(parse_bantime("-2").is_err());
    }

    #[test]
    fn a_time_that_no_clock_can_hold_is_refused() {
        check_error("292472y", 0, "the time is longer than 292,000 years");
        check_error(
            "292000y 292000y",
            8,
            "the time is longer than 292,000 years",
        );
        check_error(
            "99999999999999999999999",
            0,
            "the time is longer than 292,000 years",
        );
    }

    #[test]
    fn times_are_shown_in_words() {
        for (secs, words) in [
            (0, "0s"),
            (600, "10m"),
            (129_600, "1d 12h"),
            (604_800, "1w"),
            (3661, "1h 1m 1s"),
        ] {
            assert_eq!(TimeWords(Duration::from_secs(secs)).to_string(), words);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(secs in 0..=MICROS_MAX / MICROS_PER_SEC) {
            let time = Duration::from_secs(secs);
            prop_assert_eq!(parse_duration(&TimeWords(time).to_string()), Ok(time));
        }

        #[test]
        fn any_text_is_read_or_refused_at_a_place_inside_it(text in ".*") {
            if let Err(error) = parse_duration(&text) {
                prop_assert!(text.is_char_boundary(error.offset));
            }
        }
    }
}
