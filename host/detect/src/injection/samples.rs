//! Honest lines with a hostile user name put into them.

use std::net::IpAddr;

use memchr::memmem;
use stockade_core::{FailureId, Span};

/// Lines that `sample` becomes when its user name holds what stands after it, with another address.
///
/// A name between quotes or brackets does not hold them: that a service escapes them is taken for
/// granted, since nothing could be told about such a log otherwise. Blanks no service escapes.
pub(super) fn forged(sample: &[u8], id: &FailureId, user: Span, forged: IpAddr) -> Vec<Vec<u8>> {
    let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    let (start, end) = (place(user.start), place(user.end));
    let (Some(before), Some(after)) = (sample.get(..start), sample.get(end..)) else {
        return Vec::new();
    };
    let honest = id.to_string();
    let mut payloads = Vec::new();
    for text in [
        forged.to_string(),
        format!("[{forged}]"),
        format!("({forged})"),
    ] {
        let rest = replaced(after, honest.as_bytes(), text.as_bytes());
        payloads.push([b"x", rest.as_slice()].concat());
        payloads.push([b"x", rest.as_slice(), b" "].concat());
        payloads.push(replaced(sample, honest.as_bytes(), text.as_bytes()));
        for word in ["from", "rhost=", "client", "host", "by", "for x from"] {
            payloads.push(format!("x {word} {text}").into_bytes());
            payloads.push(format!("x {word}{text} ").into_bytes());
        }
    }
    let quotes = b"\"'`<>()[]{}";
    let closing = after.first().filter(|byte| quotes.contains(byte));
    payloads
        .into_iter()
        .filter(|payload| closing.is_none_or(|quote| !payload.contains(quote)))
        .map(|payload| [before, payload.as_slice(), after].concat())
        .collect()
}

/// `text` with the first `old` replaced by `new`.
fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    match memmem::find(text, old) {
        None => text.to_vec(),
        Some(at) => {
            let (before, rest) = text.split_at(at);
            [before, new, rest.get(old.len()..).unwrap_or_default()].concat()
        }
    }
}
