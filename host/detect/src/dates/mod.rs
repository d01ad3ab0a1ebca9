//! The date of a line: where it stands and when that was.
//!
//! A date is looked for at the beginning of the line first, behind at most a syslog priority and one
//! opening bracket or quote. Only a line without one there is searched further on, because what
//! stands later may have been written by somebody who wants another date to be read. If several
//! dates stand there, the one nearest to now is taken: the true one of a line that was just written
//! is, and a forged one that is nearer changes nothing.
//!
//! The date's text is cut out of the line before patterns see it, as fail2ban does.

mod civil;
mod epoch;
mod numeric;
mod syslog;
pub(crate) mod templates;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;

use civil::{Civil, Clock};

/// A date in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) at: Timestamp,
    /// First byte of the date's text.
    pub(crate) start: usize,
    /// One past its last byte.
    pub(crate) end: usize,
}

/// What a template read at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Civil(Civil),
    /// Microseconds since the epoch.
    Micros(i64),
}

/// May a date be cut out between these neighbouring bytes of what remains? The literals of the
/// prefilter are broken there, since the line itself has the date between them.
pub(crate) fn may_be_cut_between(before: u8, after: u8) -> bool {
    opens(before) && !after.is_ascii_alphanumeric()
}

/// May a date that does not stand at the beginning follow this byte?
fn opens(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t' | b'[' | b'(' | b'<' | b'>' | b'{' | b'"' | b'\'' | b'=' | b'|' | b',' | b';'
    )
}

/// Finds dates and turns them into points in time; remembers the last one, as neighbouring lines
/// mostly have the same.
#[derive(Debug)]
pub(crate) struct DateFinder {
    clock: Clock,
    last: Option<Last>,
}

/// Longest text that is remembered; longer dates are read anew.
const LAST_LEN_MAX: usize = 40;

/// The last date at the beginning of a line.
#[derive(Debug)]
struct Last {
    /// What the line began with, the date, and the byte after it.
    text: [u8; LAST_LEN_MAX],
    len: usize,
    found: Found,
}

impl DateFinder {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self {
            clock: Clock::new(zone),
            last: None,
        }
    }

    /// Says what time it is: dates without a year are read relative to it.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        if self.clock.set_now(now) {
            self.last = None;
        }
    }

    /// The date of `line`.
    pub(crate) fn find(&mut self, line: &[u8]) -> Option<Found> {
        if let Some(last) = &self.last
            && last.text.get(..last.len) == line.get(..last.len)
        {
            return Some(last.found);
        }
        if let Some(found) = self.at_beginning(line) {
            self.remember(line, found);
            return Some(found);
        }
        self.further_on(line)
    }

    /// The date that `text` is, from its first byte to its last.
    pub(crate) fn whole(&mut self, text: &[u8]) -> Option<Timestamp> {
        let found = self.read(text, 0, true)?;
        (found.end == text.len()).then_some(found.at)
    }

    fn remember(&mut self, line: &[u8], found: Found) {
        let len = found.end + 1;
        let mut text = [0; LAST_LEN_MAX];
        self.last = match (text.get_mut(..len), line.get(..len)) {
            (Some(to), Some(from)) => {
                to.copy_from_slice(from);
                Some(Last { text, len, found })
            }
            _ => None,
        };
    }

    fn at_beginning(&mut self, line: &[u8]) -> Option<Found> {
        let mut at = priority(line);
        at += blanks(line, at);
        if let Some(found) = self.read(line, at, true) {
            return Some(found);
        }
        // RFC 5424 6.2.2: the version of the protocol stands before the date.
        if at > 0 && line.get(at..at + 2) == Some(b"1 ") {
            return self.read(line, at + 2, true);
        }
        let bracketed = line
            .get(at)
            .is_some_and(|b| matches!(b, b'[' | b'(' | b'<' | b'"' | b'\''));
        if bracketed {
            return self.read(line, at + 1, true);
        }
        None
    }

    fn further_on(&mut self, line: &[u8]) -> Option<Found> {
        let mut best: Option<Found> = None;
        let mut at = 1;
        while at < line.len() {
            let before = line.get(at - 1).copied().unwrap_or(0);
            let found = if opens(before) {
                self.read(line, at, matches!(before, b'[' | b'('))
            } else {
                None
            };
            let Some(found) = found else {
                at += 1;
                continue;
            };
            at = found.end;
            let nearer = best
                .is_none_or(|best| self.clock.distance(found.at) < self.clock.distance(best.at));
            if nearer {
                best = Some(found);
            }
        }
        best
    }

    /// Reads a date that begins at `at`; a bare number is a date only where `number` says so.
    fn read(&mut self, line: &[u8], at: usize, number: bool) -> Option<Found> {
        let rest = line.get(at..)?;
        let (reading, len) = match rest.first()? {
            b'0'..=b'9' => numeric::read(rest)
                .map(|(civil, len)| (Reading::Civil(civil), len))
                .or_else(|| number.then(|| epoch::read(rest)).flatten())?,
            b'A'..=b'Z' => {
                let (civil, len) = syslog::read(rest)?;
                (Reading::Civil(civil), len)
            }
            b'a' => {
                let (reading, skip, len) = epoch::read_audit(rest)?;
                let at_number = at + skip;
                return self.place(reading, at_number, at_number + len, line);
            }
            _ => return None,
        };
        self.place(reading, at, at + len, line)
    }

    fn place(&mut self, reading: Reading, start: usize, end: usize, line: &[u8]) -> Option<Found> {
        // `2026-11-23 05:54:1300` is no date, nor is the beginning of a longer number or name.
        if line.get(end).is_some_and(u8::is_ascii_alphanumeric) {
            return None;
        }
        let at = match reading {
            Reading::Civil(civil) => self.clock.resolve(&civil)?,
            Reading::Micros(micros) => Timestamp::from_micros(micros),
        };
        Some(Found { at, start, end })
    }
}

/// Length of a syslog priority `<0>` to `<191>` (RFC 5424 6.2.1) at the beginning.
fn priority(line: &[u8]) -> usize {
    if line.first() != Some(&b'<') {
        return 0;
    }
    let digits = digits(line, 1);
    if (1..=3).contains(&digits) && line.get(1 + digits) == Some(&b'>') {
        digits + 2
    } else {
        0
    }
}

fn blanks(line: &[u8], at: usize) -> usize {
    let rest = line.get(at..).unwrap_or_default();
    rest.iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count()
}

/// How many digits stand at `at`.
fn digits(line: &[u8], at: usize) -> usize {
    let rest = line.get(at..).unwrap_or_default();
    rest.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// The number that the `len` digits at `at` make.
fn number(line: &[u8], at: usize, len: usize) -> Option<u32> {
    let text = line.get(at..at.checked_add(len)?)?;
    let mut value = 0_u32;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?;
    }
    Some(value)
}

/// `HH:MM:SS` at `at`.
fn clock_time(line: &[u8], at: usize) -> Option<(u8, u8, u8)> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = line.get(at..at + 8)? else {
        return None;
    };
    let two = |a: u8, b: u8| {
        (a.is_ascii_digit() && b.is_ascii_digit()).then(|| (a - b'0') * 10 + (b - b'0'))
    };
    // MariaDB pads the hour with a blank.
    let h1 = if h1 == b' ' { b'0' } else { h1 };
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    // 60 is a leap second; it is read as the second before it.
    (hour < 24 && minute < 60 && second <= 60).then(|| (hour, minute, second.min(59)))
}

/// `.123456` or `,123` at `at`: microseconds and length, which is 0 where there is no fraction.
fn fraction(line: &[u8], at: usize) -> (u32, usize) {
    if !matches!(line.get(at), Some(b'.' | b',')) {
        return (0, 0);
    }
    let len = digits(line, at + 1);
    if !(1..=9).contains(&len) {
        return (0, 0);
    }
    let mut micros = 0;
    for i in 0..6 {
        let digit = match line.get(at + 1 + i) {
            Some(byte) if i < len => u32::from(byte - b'0'),
            _ => 0,
        };
        micros = micros * 10 + digit;
    }
    (micros, len + 1)
}

/// The number of the month whose English abbreviation stands at `at`.
fn month(line: &[u8], at: usize) -> Option<u8> {
    Some(match line.get(at..at + 3)? {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

/// A zone at `at`: `Z`, `UTC`, `GMT`, `+hh:mm` or `+hhmm`, behind at most one blank. Seconds east
/// of UTC and length.
fn offset(line: &[u8], at: usize) -> Option<(i32, usize)> {
    let skip = usize::from(line.get(at) == Some(&b' '));
    let at = at + skip;
    let rest = line.get(at..)?;
    for name in [&b"UTC"[..], b"GMT"] {
        if rest.starts_with(name) && !rest.get(3).is_some_and(u8::is_ascii_alphanumeric) {
            return Some((0, skip + 3));
        }
    }
    let sign = match rest.first()? {
        b'Z' | b'z' if skip == 0 => return Some((0, 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let colon = usize::from(rest.get(3) == Some(&b':'));
    let hours = number(rest, 1, 2)?;
    let minutes = number(rest, 3 + colon, 2)?;
    let len = 5 + colon;
    if hours > 23 || minutes > 59 || rest.get(len).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some((sign * seconds, skip + len))
}

#[cfg(test)]
mod tests;
