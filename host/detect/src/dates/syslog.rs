//! Dates that begin with a name: syslog's `Nov 23 05:54:13`, with fraction and year where there are,
//! and asctime's `Mon Nov 23 05:54:13.123456 2026`.

use super::civil::Civil;
use super::{clock_time, digits, fraction, month, number};

/// The date at the beginning of `text` and its length.
pub(super) fn read(text: &[u8]) -> Option<(Civil, usize)> {
    let mut at = weekday(text);
    let month = month(text, at)?;
    at += 3;
    let blanks = text.get(at..)?.iter().take_while(|&&b| b == b' ').count();
    if !(1..=2).contains(&blanks) {
        return None;
    }
    at += blanks;
    let len = digits(text, at);
    if !(1..=2).contains(&len) {
        return None;
    }
    let day = u8::try_from(number(text, at, len)?).ok()?;
    at += len;
    if text.get(at) != Some(&b' ') {
        return None;
    }
    at += 1;
    // Cisco writes the year before the time.
    let mut year = year_at(text, at);
    if year.is_some() && text.get(at + 4) == Some(&b' ') {
        at += 5;
    } else {
        year = None;
    }
    let (hour, minute, second) = clock_time(text, at)?;
    at += 8;
    let (micros, len) = fraction(text, at);
    at += len;
    if year.is_none() && text.get(at) == Some(&b' ') {
        year = year_at(text, at + 1);
        if year.is_some() {
            at += 5;
        }
    }
    let civil = Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
        micros,
        offset: None,
    };
    Some((civil, at))
}

/// Length of `Mon ` or `Mon, ` at the beginning.
fn weekday(text: &[u8]) -> usize {
    let known = matches!(
        text.get(..3),
        Some(b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun")
    );
    match text.get(3..5) {
        Some([b' ', _]) if known => 4,
        Some(b", ") if known => 5,
        _ => 0,
    }
}

/// A year from 1970 to 2199 that stands alone: a host may be called `2026`, but hardly.
fn year_at(text: &[u8], at: usize) -> Option<i16> {
    if digits(text, at) != 4 {
        return None;
    }
    let alone = !text
        .get(at + 4)
        .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':'));
    let year = i16::try_from(number(text, at, 4)?).ok()?;
    (alone && (1970..2200).contains(&year)).then_some(year)
}
