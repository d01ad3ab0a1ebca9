//! Lines as text, for filters in fail2ban's dialect.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;

use crate::dates::DateFinder;
use crate::dating::{Dated, Dating};
use crate::fail2ban::{self, Judgement, Rules, State};
use crate::filter::Filter;

/// What a filter remembers of one source.
#[derive(Debug)]
pub(crate) struct SourceState {
    pub(crate) dating: Dating,
    rules: State,
}

impl SourceState {
    /// Of a source that nothing was read of.
    pub(crate) fn new(filter: &Filter, zone: &TimeZone) -> Self {
        Self {
            dating: filter.dates.dating(zone),
            rules: State::default(),
        }
    }
}

/// A line as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawLine<'a> {
    pub(crate) bytes: &'a [u8],
    /// Its time where the source tells it.
    pub(crate) given: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

/// Reads lines; has the space for it.
#[derive(Debug, Default)]
pub(crate) struct TextReader {
    scratch: fail2ban::Scratch,
    joined: String,
    /// What was found in the last line.
    pub(crate) judgement: Judgement,
}

/// What is known of the line that was judged last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) dated: Dated,
    /// The text is the bytes of the line, so that places in it are places in the line.
    same_bytes: bool,
}

impl TextReader {
    /// Judges a line by `rules`, which are those of `filter`; `candidates` and `every` are as in
    /// [`fail2ban::Line`].
    pub(crate) fn read(
        &mut self,
        (filter, rules): (&Filter, &Rules),
        state: &mut SourceState,
        line: RawLine<'_>,
        (candidates, every): (u64, bool),
        usual: &mut DateFinder,
    ) -> Heard {
        let text = filter.source().encoding.decode(without_end(line.bytes));
        let dated = state
            .dating
            .of(&filter.dates, &text, line.given, line.now, usual);
        let subject = without(&text, dated.cut, &mut self.joined);
        let line = fail2ban::Line {
            text: subject,
            now: line.now,
            candidates,
            every,
        };
        rules.judge(
            line,
            &mut state.rules,
            &mut self.scratch,
            &mut self.judgement,
        );
        Heard {
            dated,
            same_bytes: matches!(text, Cow::Borrowed(_)),
        }
    }
}

impl Heard {
    /// The same part in the bytes of the line; `None` if the date was cut out of the middle of it or
    /// other bytes were read.
    pub(crate) fn in_line(&self, (start, end): (usize, usize)) -> Option<(usize, usize)> {
        if !self.same_bytes {
            return None;
        }
        match self.dated.cut {
            Some((from, to)) if start >= from => Some((start + to - from, end + to - from)),
            Some((from, to)) if end > from && to > from => None,
            _ => Some((start, end)),
        }
    }
}

/// fail2ban takes away all carriage returns at the end.
fn without_end(line: &[u8]) -> &[u8] {
    let ends = line.iter().rev().take_while(|b| matches!(b, b'\r' | b'\n'));
    line.get(..line.len() - ends.count()).unwrap_or_default()
}

fn without<'a>(text: &'a str, cut: Option<(usize, usize)>, joined: &'a mut String) -> &'a str {
    match cut {
        None => text,
        Some((0, end)) => text.get(end..).unwrap_or_default(),
        Some((start, end)) => {
            joined.clear();
            joined.push_str(text.get(..start).unwrap_or_default());
            joined.push_str(text.get(end..).unwrap_or_default());
            joined
        }
    }
}

/// `line` as text of the same length, to look for dates in, which are ASCII.
pub(crate) fn masked(line: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let char = |&byte: &u8| {
                if byte.is_ascii() {
                    char::from(byte)
                } else {
                    '?'
                }
            };
            Cow::Owned(line.iter().map(char).collect())
        }
    }
}
