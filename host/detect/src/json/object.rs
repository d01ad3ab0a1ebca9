//! Where the object stands in its line, and the date before it.

use std::borrow::Cow;

use memchr::memchr;

use crate::dates::{DateFinder, Found as Date};
use crate::native::{Prefix, Scratch};

/// An object in a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The date before it.
    pub(super) date: Option<Date>,
}

/// Finds the object; `dates` are asked where a date may stand before it.
///
/// It begins at the first brace and is the rest of the line, or the content that `prefix` says.
/// Without a `prefix` nothing may stand before it but what a system's logger writes, so that the
/// message of another program cannot hold an object that counts.
pub(super) fn find(
    line: &str,
    prefix: Option<&Prefix>,
    scratch: &mut Scratch,
    dates: Option<&mut DateFinder>,
) -> Option<Place> {
    let open = memchr(b'{', line.as_bytes())?;
    let before = line.get(..open)?.as_bytes();
    let date = dates.and_then(|dates| dates.find(before));
    let Some(prefix) = prefix else {
        let rest = without(before, date);
        return is_header(&rest).then_some(Place {
            start: open,
            end: line.len(),
            date,
        });
    };
    let subject = without(line.as_bytes(), date);
    let ((start, end), _) = prefix.content(&subject, scratch)?;
    let in_line = |at: usize| match date {
        Some(date) if at >= date.start => at + (date.end - date.start),
        _ => at,
    };
    (subject.get(start) == Some(&b'{')).then(|| Place {
        start: in_line(start),
        end: in_line(end),
        date,
    })
}

fn without(text: &[u8], date: Option<Date>) -> Cow<'_, [u8]> {
    let Some(Date { start, end, .. }) = date else {
        return Cow::Borrowed(text);
    };
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    Cow::Owned([part(0, start), part(end, text.len())].concat())
}

/// Most words that a logger puts before a message, the date aside: host, facility and program.
const HEADER_WORDS_MAX: usize = 3;

/// Is `text` nothing but blanks, or `host program[pid]: ` as syslog and the journal have it?
fn is_header(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let words = || text.split(|byte| byte.is_ascii_whitespace());
    let few = words().count() <= HEADER_WORDS_MAX;
    text.is_empty() || (few && text.ends_with(b":") && words().all(|word| !word.contains(&b'"')))
}
