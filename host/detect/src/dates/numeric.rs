//! Dates that begin with a number: ISO 8601 and RFC 3339 (`2026-11-23T05:54:13.123+01:00`), nginx's
//! `2026/11/23 05:54:13`, and Apache's `23/Nov/2026:05:54:13 +0000`.

use super::civil::Civil;
use super::{clock_time, digits, fraction, month, number, offset};

/// The date at the beginning of `text` and its length.
pub(super) fn read(text: &[u8]) -> Option<(Civil, usize)> {
    match digits(text, 0) {
        4 => year_first(text),
        len @ 1..=2 => day_first(text, len),
        _ => None,
    }
}

fn year_first(text: &[u8]) -> Option<(Civil, usize)> {
    let separator = *text.get(4)?;
    let same = text.get(7) == Some(&separator);
    let between = text.get(10)?;
    if !matches!(separator, b'-' | b'/' | b'.') || !same || !matches!(between, b'T' | b't' | b' ') {
        return None;
    }
    let year = i16::try_from(number(text, 0, 4)?).ok()?;
    let month = u8::try_from(number(text, 5, 2)?).ok()?;
    let day = u8::try_from(number(text, 8, 2)?).ok()?;
    with_time(text, 11, (year, month, day))
}

fn day_first(text: &[u8], len: usize) -> Option<(Civil, usize)> {
    let day = u8::try_from(number(text, 0, len)?).ok()?;
    let separator = *text.get(len)?;
    let month = month(text, len + 1)?;
    let at = len + 4;
    if !matches!(separator, b'/' | b'-' | b' ') || text.get(at) != Some(&separator) {
        return None;
    }
    if digits(text, at + 1) != 4 || !matches!(text.get(at + 5)?, b':' | b' ') {
        return None;
    }
    let year = i16::try_from(number(text, at + 1, 4)?).ok()?;
    with_time(text, at + 6, (year, month, day))
}

fn with_time(text: &[u8], at: usize, (year, month, day): (i16, u8, u8)) -> Option<(Civil, usize)> {
    let (hour, minute, second) = clock_time(text, at)?;
    let mut at = at + 8;
    let (micros, len) = fraction(text, at);
    at += len;
    let zone = offset(text, at);
    at += zone.map_or(0, |(_, len)| len);
    let civil = Civil {
        year: Some(year),
        month,
        day,
        hour,
        minute,
        second,
        micros,
        offset: zone.map(|(seconds, _)| seconds),
    };
    Some((civil, at))
}
