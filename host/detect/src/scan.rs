//! What a detector finds in a chunk.

use std::net::IpAddr;
use std::sync::Arc;

use stockade_core::{Failure, FailureId, Failures, JailName, Span, Timestamp};

use crate::error::PatternPlace;
use crate::plan::PatternSet;

/// What was found in a chunk.
#[derive(Debug, Default)]
pub struct Scan {
    /// Failures by jail, without jails that have none; jails with the same filter stand together.
    pub failures: Vec<Failures>,
    /// Lines for filter plugins by jail, likewise.
    pub survivors: Vec<Survivors>,
    /// The first few lines that can be read in several ways; `counts` has their number.
    pub ambiguous: Vec<AmbiguousLine>,
    /// How many lines each jail could read in several ways, without jails that had none.
    pub ambiguous_of: Vec<(JailName, u64)>,
    /// Failures of host names by jail, likewise; none where no filter resolves names.
    pub host_names: Vec<HostNameFailures>,
    /// The first few lines of which it is not known what they are; `counts` has their number.
    pub gave_up: Vec<GaveUpLine>,
    /// How often each jail gave up on a line, without jails that never did.
    pub gave_up_of: Vec<(JailName, u64)>,
    /// What there was to do.
    pub counts: ScanCounts,
}

/// Most [`AmbiguousLine`]s of one scan: an attacker can write any number of them, and a few show
/// which pattern has to be mended.
pub const AMBIGUOUS_SHOWN_MAX: usize = 8;

/// A line that a pattern can read in ways that name different addresses, so that it is no failure
/// of any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmbiguousLine {
    /// The first jail whose filter says so.
    pub jail: JailName,
    /// Index of the failregex.
    pub pattern: usize,
    /// The line in the chunk.
    pub line: Span,
    /// Two of the addresses that it can be read with; fewer where the line was made so that looking
    /// for them would take too long.
    pub readings: Vec<IpAddr>,
}

/// The failures of host names that one jail found in one chunk, in the order of their lines. They
/// count for the addresses that the names have, which somebody else must find out.
#[derive(Clone, Debug)]
pub struct HostNameFailures {
    /// The jail whose filter matched.
    pub jail: JailName,
    /// The bytes of the chunk; the spans of the failures point into it.
    pub text: Arc<[u8]>,
    /// At least one; shared by the jails that have the same filter.
    pub items: Arc<[HostNameFailure]>,
}

/// One matched line that names a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNameFailure {
    /// The name, as somebody wrote it who may be an attacker.
    pub name: Arc<str>,
    /// When it happened.
    pub at: Timestamp,
    /// The line in the chunk, without its line end.
    pub line: Span,
    /// The user name in the chunk, where the filter found one.
    pub user: Option<Span>,
}

impl HostNameFailure {
    /// The failure of one address that the name has.
    #[must_use]
    pub fn of(&self, addr: IpAddr) -> Failure {
        Failure {
            id: FailureId::from_addr(addr),
            at: self.at,
            line: self.line,
            user: self.user,
        }
    }
}

/// Most [`GaveUpLine`]s of one scan; see [`AMBIGUOUS_SHOWN_MAX`].
pub const GAVE_UP_SHOWN_MAX: usize = 8;

/// A line of which it is not known whether a pattern matches, because that would take too many
/// steps. A failregex counts as one that does not match, an ignoreregex as one that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaveUpLine {
    /// The first jail whose filter says so.
    pub jail: JailName,
    /// The pattern.
    pub which: PatternPlace,
    /// The line in the chunk.
    pub line: Span,
}

/// Numbers about one scan, in lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// All lines of the chunk.
    pub lines: u64,
    /// Lines that the prefilter let through to at least one filter.
    pub candidates: u64,
    /// Lines that were skipped because they are longer than [`crate::LINE_LEN_MAX`].
    pub overlong: u64,
    /// Lines that a filter reads in ways that name different addresses, counted once for each filter.
    pub ambiguous: u64,
    /// Failures that an ignoreregex took back, counted once for each filter.
    pub ignored: u64,
    /// Times that a pattern gave up on a line; see [`GaveUpLine`].
    pub gave_up: u64,
    /// Candidates in which a date was looked for and none found, counted once for each group of
    /// filters that look for it in the same way.
    pub undated: u64,
    /// Candidates that were looked at only because some filter has to see every line.
    pub unfiltered: u64,
}

/// The lines of a chunk that a filter plugin has to judge.
#[derive(Clone, Debug)]
pub struct Survivors {
    /// The jail whose plugin it is.
    pub jail: JailName,
    /// The bytes of the chunk; the spans point into it.
    pub text: Arc<[u8]>,
    /// At least one, in the order of the chunk.
    pub lines: Vec<Survivor>,
}

/// A line for a filter plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// The line in the chunk, without its line end but with its date.
    pub line: Span,
    /// Its date, which the plugin does not get to see; empty, at the beginning of the line, where it
    /// has none.
    pub date: Span,
    /// When it was written.
    pub at: Timestamp,
    /// The patterns of the plan that match it.
    pub patterns: PatternSet,
}

impl Survivor {
    /// The line without its date: what stands before it and what stands after it.
    #[must_use]
    pub fn content<'a>(&self, text: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let part = |start, end| Span { start, end }.of(text);
        (
            part(self.line.start, self.date.start),
            part(self.date.end, self.line.end),
        )
    }
}
