//! Seconds since 1970: `1795413253`, `1795413253.123`, milliseconds with 13 digits, and the audit
//! log's `audit(1795413253.123:4711)`.

use super::{Reading, digits, fraction, number};

/// A number of 10 or 13 digits at the beginning of `text`; other lengths are other things. Ten
/// digits are the years 2001 to 2286.
pub(super) fn read(text: &[u8]) -> Option<(Reading, usize)> {
    let len = digits(text, 0);
    if !matches!(len, 10 | 13) || text.first() == Some(&b'0') {
        return None;
    }
    // Nine digits always fit into u32.
    let high = i64::from(number(text, 0, 9)?);
    let low = i64::from(number(text, 9, len - 9)?);
    if len == 13 {
        let millis = high * 10_000 + low;
        return Some((Reading::Micros(millis * 1000), len));
    }
    let (micros, more) = fraction(text, len);
    let seconds = high * 10 + low;
    Some((
        Reading::Micros(seconds * 1_000_000 + i64::from(micros)),
        len + more,
    ))
}

/// `audit(` with a number: the reading, where the number begins and how long it is. What follows it
/// is left in the line.
pub(super) fn read_audit(text: &[u8]) -> Option<(Reading, usize, usize)> {
    const START: &[u8] = b"audit(";
    let rest = text.strip_prefix(START)?;
    let (reading, len) = read(rest)?;
    Some((reading, START.len(), len))
}
