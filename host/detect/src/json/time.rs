//! When an entry was written, by the field that says so.

use stockade_core::Timestamp;

use super::value::Value;
use crate::dates::DateFinder;

/// The point in time: a number since 1970, or a date in one of the usual formats that is the whole
/// text.
pub(super) fn read(value: Value<'_>, dates: &mut DateFinder) -> Option<Timestamp> {
    let text = value.text()?;
    since_epoch(&text).or_else(|| dates.whole(&text))
}

/// Where the numbers of milliseconds, microseconds and nanoseconds begin: the seconds are those of
/// the year 5138 there, and the next unit is still in 1973.
const MILLIS: u128 = 100_000_000_000;
const MICROS: u128 = MILLIS * 1_000;
const NANOS: u128 = MICROS * 1_000;
/// Digits of a fraction that can matter; a `float64` of seconds has seven.
const FRACTION_DIGITS: usize = 9;
const FRACTION_UNIT: u128 = 1_000_000_000;

/// `1795413253`, `1795413253.1234567`, or with an exponent; the size of the number tells its unit.
fn since_epoch(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.bytes().all(numeric) {
        return None;
    }
    if text.contains(['e', 'E']) {
        let number: f64 = text.parse().ok()?;
        // Written out it is a number as above; beyond the range it is no time.
        return (number < 1e19).then(|| since_epoch(format!("{number:.9}").as_bytes()))?;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u128 = whole.parse::<u64>().ok()?.into();
    let fraction: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(FRACTION_DIGITS)
        .collect();
    let value = whole * FRACTION_UNIT + fraction.parse::<u128>().ok()?;
    let micros = match whole {
        0..MILLIS => value * 1_000_000,
        MILLIS..MICROS => value * 1_000,
        MICROS..NANOS => value,
        _ => value / 1_000,
    } / FRACTION_UNIT;
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, micros: Option<i64>) {
        let found = since_epoch(text.as_bytes());
        assert_eq!(found.map(|at| at.as_micros()), micros, "{text}");
    }

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        check("1795413253", Some(1_795_413_253_000_000));
        check("1795413253.1234567", Some(1_795_413_253_123_456));
        check("1795413253123", Some(1_795_413_253_123_000));
        check("1795413253123.5", Some(1_795_413_253_123_500));
        check("1795413253123456", Some(1_795_413_253_123_456));
        check("1795413253123456789", Some(1_795_413_253_123_456));
        check("1.795413253e9", Some(1_795_413_253_000_000));
        check("0", Some(0));
    }

    #[test]
    fn what_is_no_number_of_seconds_is_no_time() {
        for text in [
            "",
            "-5",
            "1.2.3",
            "1-2",
            "1e400",
            "1e",
            "12a",
            "99999999999999999999",
        ] {
            check(text, None);
        }
    }
}
