//! The role of a filter: recognises failures in log lines.

use std::fmt;
use std::net::IpAddr;

use crate::bindings::filter::exports::stockade::filter::filter as wit;
use crate::{Error, Settings, Timestamp, addr};

pub use crate::text::LogText;

/// At most so many failures are taken of one line.
pub const FINDINGS_PER_LINE_MAX: usize = 4;

/// At most so many bytes has a subject that is a text.
pub const SUBJECT_LEN_MAX: usize = 256;

/// A filter. Made by `configure`, then asked about lines for as long as it lives.
///
/// The host may replace it at any time, so its fields can hold only what makes it faster.
pub trait Filter: Sized + 'static {
    /// Reads the settings and says which lines the host may drop without asking. Pure: the same
    /// settings give the same plan.
    ///
    /// # Errors
    /// Any error stops the jails that use this filter from being started, with its message.
    fn configure(settings: &Settings) -> Result<(Self, Plan), Error>;

    /// Judges one line. A line for which nothing is added is no failure.
    fn judge(&mut self, line: Line<'_>, found: &mut Findings);

    /// Judges a batch: `judge` for each line, unless a filter knows better.
    fn judge_all(&mut self, lines: Lines<'_>, found: &mut Findings) {
        for line in lines {
            self.judge(line, found);
        }
    }
}

/// Which lines the host may drop without asking.
///
/// A line is handed over if it contains one of the literals (or there are none) and one of the
/// patterns matches it (or there are none). With neither every line is handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) literals: Vec<String>,
    pub(crate) patterns: Vec<String>,
}

impl Plan {
    /// A plan that drops nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text, compared byte by byte and case-sensitively; at most 256 of 1 to 256 bytes.
    /// What costs least by far.
    #[must_use]
    pub fn literal(mut self, text: impl Into<String>) -> Self {
        self.literals.push(text.into());
        self
    }

    /// Adds several texts.
    #[must_use]
    pub fn literals(mut self, texts: impl IntoIterator<Item: Into<String>>) -> Self {
        self.literals.extend(texts.into_iter().map(Into::into));
        self
    }

    /// Adds a regular expression in the syntax of the `regex` crate, on bytes, without Unicode
    /// classes; at most 256 of 4,096 bytes. `^` and `$` are the ends of the line without its date.
    #[must_use]
    pub fn pattern(mut self, regex: impl Into<String>) -> Self {
        self.patterns.push(regex.into());
        self
    }

    pub(crate) fn into_wit(self) -> wit::Plan {
        wit::Plan {
            literals: self.literals,
            patterns: self.patterns,
        }
    }
}

/// One line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line<'a> {
    /// The line without its date and without its end. Any bytes are possible: written by an attacker,
    /// not always UTF-8, NUL included. What takes it apart is in [`LogText`].
    pub text: &'a [u8],
    /// When it was written, as far as its date tells; else when it was read.
    pub time: Timestamp,
    /// Index of the first pattern of the plan that matches the line; 0 without patterns.
    pub pattern: usize,
    index: u32,
}

/// The lines of a batch, in order.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    batch: &'a wit::Batch,
    next: usize,
    start: usize,
}

impl<'a> Lines<'a> {
    /// Checks that the lists of `batch` fit together, so that nothing has to be checked line by line.
    pub(crate) fn of(batch: &'a wit::Batch) -> Result<Self, Error> {
        let len = batch.ends.len();
        let ordered = batch.ends.is_sorted()
            && batch
                .ends
                .last()
                .is_none_or(|end| index(*end) <= batch.text.len());
        if batch.times.len() != len || batch.patterns.len() != len || !ordered {
            return Err(Error::other("the lists of the batch do not fit together"));
        }
        Ok(Self {
            batch,
            next: 0,
            start: 0,
        })
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let end = index(*self.batch.ends.get(self.next)?);
        let line = Line {
            text: self.batch.text.get(self.start..end)?,
            time: Timestamp::from_micros(*self.batch.times.get(self.next)?),
            pattern: index(*self.batch.patterns.get(self.next)?),
            index: u32::try_from(self.next).ok()?,
        };
        self.start = end;
        self.next += 1;
        Some(line)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.ends.len().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Lines<'_> {}

/// Whom a failure is counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An address; the usual case.
    Address(IpAddr),
    /// Anything else, such as a user name; 1 to [`SUBJECT_LEN_MAX`] bytes. No firewall can ban it, an
    /// action can.
    Text(String),
}

impl From<IpAddr> for Subject {
    fn from(addr: IpAddr) -> Self {
        Self::Address(addr.to_canonical())
    }
}

impl From<String> for Subject {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Subject {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(addr) => addr.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The failures found in a batch so far.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<Finding>);

#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) line: u32,
    pub(crate) subject: Subject,
    /// Where the name begins and ends in its line.
    pub(crate) user: Option<(u32, u32)>,
}

impl Findings {
    /// Adds a failure of `line` that counts for `subject`, with the user name that was tried where
    /// the line has one.
    ///
    /// `user` has to be a part of `line.text`; what is not is left out. Of one line the first
    /// [`FINDINGS_PER_LINE_MAX`] failures are kept, and none whose subject is a text that is empty or
    /// longer than [`SUBJECT_LEN_MAX`]: cut short it could be somebody else's.
    pub fn add(&mut self, line: &Line<'_>, subject: impl Into<Subject>, user: Option<&[u8]>) {
        let subject = subject.into();
        if let Subject::Text(text) = &subject
            && !(1..=SUBJECT_LEN_MAX).contains(&text.len())
        {
            return;
        }
        let of_line = |finding: &&Finding| finding.line == line.index;
        if self.0.iter().rev().filter(of_line).count() >= FINDINGS_PER_LINE_MAX {
            return;
        }
        self.0.push(Finding {
            line: line.index,
            subject,
            user: user.and_then(|user| place_in(line.text, user)),
        });
    }

    /// The failures in the order of their lines, as the contract wants them.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.line);
        self.0
    }

    pub(crate) fn into_wit(self, batch: &wit::Batch) -> wit::Report {
        let start_of = |line: u32| match index(line).checked_sub(1) {
            Some(before) => batch.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let findings = self.into_sorted().into_iter().map(|finding| {
            let base = start_of(finding.line);
            wit::Finding {
                line: finding.line,
                subject: match finding.subject {
                    Subject::Address(addr) => wit::Subject::Address(addr::to_wit(addr)),
                    Subject::Text(text) => wit::Subject::Text(text),
                },
                user: finding.user.map(|(start, end)| wit::Span {
                    start: base.saturating_add(start),
                    end: base.saturating_add(end),
                }),
            }
        });
        wit::Report {
            findings: findings.collect(),
        }
    }
}

/// Where `part` lies in `line`, by address; nothing where it is no part of it.
fn place_in(line: &[u8], part: &[u8]) -> Option<(u32, u32)> {
    let start = part.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    if end > line.len() {
        return None;
    }
    Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?))
}

/// A `u32` of the border as an index.
fn index(value: u32) -> usize {
    // Nothing is lost: wasm32 and all hosts of native tests have 32 bits or more.
    value as usize
}

#[cfg(test)]
mod tests;
