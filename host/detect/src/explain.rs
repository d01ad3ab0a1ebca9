//! One line, judged by one filter, with reasons; what `stockade regex` shows.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use stockade_core::{FailureId, Span, Timestamp};

use crate::dates::DateFinder;
use crate::filter::{Filter, Scratch, Verdict};
use crate::lines::{self, LINE_LEN_MAX};
use crate::source::DatePattern;
use crate::subject::Subject;

/// What a filter makes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The date and where it stands in the line; `None` where the line has none.
    pub time: Option<(Timestamp, Span)>,
    /// The verdict.
    pub outcome: Outcome,
}

/// The verdict on a line. Indexes begin at 0, spans are places in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// A failure.
    Matched {
        /// Which failregex.
        pattern: usize,
        /// Whom it is counted for.
        id: FailureId,
        /// The user name, where the pattern has one.
        user: Option<Span>,
    },
    /// A failregex matched and an ignoreregex too.
    Ignored {
        /// Which ignoreregex.
        pattern: usize,
    },
    /// A failregex matched in ways that name different addresses, so it counts for none of them.
    Ambiguous {
        /// Which failregex.
        pattern: usize,
        /// See [`crate::AmbiguousLine::readings`].
        readings: Vec<IpAddr>,
    },
    /// No failure.
    Missed,
    /// Longer than [`LINE_LEN_MAX`], and so not looked at.
    Overlong,
}

impl Filter {
    /// Judges `line`, which has no line end, as a detector would at `now`; times without a zone are
    /// of `zone`.
    #[must_use]
    pub fn explain(&self, line: &[u8], now: Timestamp, zone: &TimeZone) -> Explanation {
        if line.len() > LINE_LEN_MAX {
            return Explanation {
                time: None,
                outcome: Outcome::Overlong,
            };
        }
        let date = match self.source().datepattern {
            DatePattern::None => None,
            DatePattern::Default | DatePattern::Templates(_) => {
                let mut finder = DateFinder::new(zone.clone());
                finder.set_now(now);
                finder.find(line)
            }
        };
        let mut joined = Vec::new();
        let whole = lines::around(line, 0, 0);
        let subject = Subject::without(line, whole, date, &mut joined);
        let outcome = match self.judge(subject.bytes, u64::MAX, &mut Scratch::default()) {
            Verdict::Missed => Outcome::Missed,
            Verdict::Ignored { pattern } => Outcome::Ignored { pattern },
            Verdict::Ambiguous { pattern, readings } => Outcome::Ambiguous { pattern, readings },
            Verdict::Matched { pattern, id, user } => Outcome::Matched {
                pattern,
                id,
                user: user.and_then(|user| subject.in_chunk(user)),
            },
        };
        Explanation {
            time: date.map(|date| (date.at, date.span())),
            outcome,
        }
    }
}
