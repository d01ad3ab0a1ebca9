//! Honest lines with hostile text put into one of their fields.

use std::net::IpAddr;

use super::fields::Field;

/// An honest line without its date, and where the address is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'a> {
    pub(super) line: &'a [u8],
    pub(super) addr: (usize, usize),
}

/// The lines that the sample becomes when the field `own` holds what deceives a reader.
///
/// A field between quotes or brackets does not hold them: that a service escapes them is taken for
/// granted, since nothing could be told about such a log otherwise. Blanks no service escapes.
pub(super) fn forged(sample: Sample<'_>, own: &Field, forged: IpAddr) -> Vec<Vec<u8>> {
    let (line, field) = (sample.line, own.span);
    let part = |from: usize, to: usize| line.get(from..to).unwrap_or_default();
    let (before, after) = (part(0, field.0), part(field.1, line.len()));
    let mut payloads = Vec::new();
    for addr in forms(forged) {
        let whole = [
            part(0, sample.addr.0),
            &addr,
            part(sample.addr.1, line.len()),
        ];
        payloads.push(whole.concat());
        payloads.push([b"x ", whole.concat().as_slice(), b" "].concat());
        if sample.addr.0 >= field.1 {
            around(
                part(field.1, sample.addr.0),
                &addr,
                part(sample.addr.1, line.len()),
                &mut payloads,
            );
        } else if sample.addr.1 <= field.0 {
            around(
                part(0, sample.addr.0),
                &addr,
                part(sample.addr.1, field.0),
                &mut payloads,
            );
        }
        for word in ["from ", "rhost=", "client ", "host ", "by ", "for x from "] {
            payloads.push([b"x ", word.as_bytes(), &addr].concat());
            payloads.push([b"x ", word.as_bytes(), &addr, b" "].concat());
        }
    }
    payloads.sort_unstable();
    payloads.dedup();
    let unwanted = closing(before, after);
    payloads
        .into_iter()
        .filter(|payload| own.can_hold(payload))
        .filter(|payload| !payload.iter().any(|byte| unwanted.contains(byte)))
        .map(|payload| [before, payload.as_slice(), after].concat())
        .collect()
}

/// The ways in which an address stands in logs.
fn forms(addr: IpAddr) -> Vec<Vec<u8>> {
    let mut forms = vec![
        addr.to_string(),
        format!("[{addr}]"),
        format!("({addr})"),
        format!("{addr}:4711"),
        format!("[{addr}]:4711"),
    ];
    if let IpAddr::V4(addr) = addr {
        forms.push(format!("::ffff:{addr}"));
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// What stands before an address, all of it and from its last words on, with the address and less or
/// more of what stands behind it.
fn around(before: &[u8], addr: &[u8], after: &[u8], payloads: &mut Vec<Vec<u8>>) {
    let blanks = before.iter().enumerate().rev();
    let words = blanks.filter(|(_, byte)| matches!(byte, b' ' | b'=' | b',' | b':' | b';'));
    // The blank directly before the address tells nothing.
    let words = words.map(|(at, _)| at).filter(|at| at + 1 < before.len());
    let mut starts: Vec<usize> = words.take(3).collect();
    starts.push(0);
    let first = after.iter().position(|&byte| byte == b' ');
    let first = after
        .get(..first.map_or(0, |at| at + 1))
        .unwrap_or_default();
    for start in starts {
        let from = before.get(start..).unwrap_or_default();
        for tail in [b"".as_slice(), b" ", first, after] {
            payloads.push([b"x", from, addr, tail].concat());
        }
        payloads.push([b"x", from, addr, after, b" "].concat());
    }
}

/// The quote or bracket that ends the field between these texts, and the quote around it.
fn closing(before: &[u8], after: &[u8]) -> Vec<u8> {
    let ends = after.first().filter(|byte| b"\"'`<>()[]{}".contains(byte));
    let quoted = before.iter().filter(|&&byte| byte == b'"').count() % 2 == 1;
    ends.copied()
        .into_iter()
        .chain(quoted.then_some(b'"'))
        .collect()
}
