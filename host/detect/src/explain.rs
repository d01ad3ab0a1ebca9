//! One line, judged by one filter, with reasons; what `stockade regex` shows.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use stockade_core::{FailureId, Span, Timestamp};

use crate::error::PatternPlace;
use crate::filter::Filter;
use crate::run::Log;

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
    /// A failure of a host name, which counts for the addresses that it has.
    MatchedName {
        /// Which failregex.
        pattern: usize,
        /// The name.
        name: String,
        /// The user name, where the pattern has one.
        user: Option<Span>,
    },
    /// A failregex matched and named what is no address, or a host name where these count for
    /// nothing.
    Nobody {
        /// Which failregex.
        pattern: usize,
    },
    /// A failregex matched a line of a session that is no failure so far.
    Waiting {
        /// Which failregex.
        pattern: usize,
    },
    /// It would take too many steps to tell.
    GaveUp {
        /// Which pattern.
        which: PatternPlace,
    },
    /// No failure.
    Missed,
    /// Longer than [`crate::LINE_LEN_MAX`], and so not looked at.
    Overlong,
}

impl Filter {
    /// Judges `line`, which has no line end, as a detector would at `now` if it were the first of its
    /// log; times without a zone are of `zone`. A [`crate::FilterRun`] judges one line after the other.
    #[must_use]
    pub fn explain(&self, line: &[u8], now: Timestamp, zone: &TimeZone) -> Explanation {
        Log::new(self, zone.clone()).explain(self, line, now)
    }
}
