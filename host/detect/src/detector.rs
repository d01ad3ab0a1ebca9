//! All filters on one source: a chunk in, failures and survivors out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use stockade_core::{Chunk, Failure, Failures, JailName, LineTimes, SourceName, Span, Timestamp};

use crate::dates::{DateFinder, Found as Date};
use crate::filter::{Filter, Scratch, Verdict};
use crate::lines::{self, Line};
use crate::plan::{PatternSet, PlanFilter};
use crate::prefilter::{Found, Prefilter};
use crate::source::DatePattern;
use crate::subject::{Subject, span};

/// How a jail recognises failures.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// By patterns, here.
    Plain(Arc<Filter>),
    /// By a plugin, which gets to see what its plan asks for.
    Plan(Arc<PlanFilter>),
}

impl Matcher {
    /// Whether both find the same, so that one run is enough for both.
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(a), Self::Plain(b)) => Arc::ptr_eq(a, b) || a.source() == b.source(),
            (Self::Plan(a), Self::Plan(b)) => {
                Arc::ptr_eq(a, b) || (a.literals() == b.literals() && a.patterns() == b.patterns())
            }
            _ => false,
        }
    }

    fn has_dates(&self) -> bool {
        match self {
            Self::Plain(filter) => filter.source().datepattern == DatePattern::Default,
            Self::Plan(_) => true,
        }
    }
}

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
    /// Candidates in which a date was looked for and none found.
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

/// How long after a line with a date a line without one is taken to belong to it. fail2ban's value.
const UNDATED_MAX: Duration = Duration::from_secs(60);
/// Sources whose last date is remembered. More sources than an administrator would ever name; when
/// there are more, all are forgotten, and lines without a date happen when they are read.
const SOURCES_MAX: usize = 4096;

/// The filters of a set of jails, ready to run over the chunks of their sources.
#[derive(Debug)]
pub struct Detector {
    groups: Vec<Group>,
    prefilter: Prefilter,
    dates: DateFinder,
    /// The last date that each source had.
    last_dates: HashMap<SourceName, Timestamp>,
    scratch: Scratch,
    found: Found,
    joined: Vec<u8>,
}

/// Jails with the same filter.
#[derive(Debug)]
struct Group {
    matcher: Matcher,
    jails: Vec<JailName>,
    failures: Vec<Failure>,
    survivors: Vec<Survivor>,
    ambiguous: u64,
}

/// What a line of a chunk knows besides its bytes.
struct Times<'a> {
    given: Option<&'a [Timestamp]>,
    now: Timestamp,
    last: Option<Timestamp>,
    /// Lines before `counted_to`.
    index: usize,
    counted_to: usize,
}

impl Detector {
    /// Joins the filters of `jails`; equal filters run once. Dates without a zone are of `zone`.
    #[must_use]
    pub fn new(jails: Vec<(JailName, Matcher)>, zone: TimeZone) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (jail, matcher) in jails {
            match groups.iter_mut().find(|group| group.matcher.same(&matcher)) {
                Some(group) => group.jails.push(jail),
                None => groups.push(Group {
                    matcher,
                    jails: vec![jail],
                    failures: Vec::new(),
                    survivors: Vec::new(),
                    ambiguous: 0,
                }),
            }
        }
        let needs: Vec<_> = groups
            .iter()
            .map(|group| match &group.matcher {
                Matcher::Plain(filter) => filter.needs(),
                Matcher::Plan(plan) => plan.needs(),
            })
            .collect();
        Self {
            prefilter: Prefilter::new(&needs),
            groups,
            dates: DateFinder::new(zone),
            last_dates: HashMap::new(),
            scratch: Scratch::default(),
            found: Found::new(),
            joined: Vec::new(),
        }
    }

    /// Finds the failures and survivors in `chunk`, which was read at `now`.
    pub fn scan(&mut self, chunk: &Chunk, now: Timestamp) -> Scan {
        let text = &*chunk.text;
        let mut scan = Scan {
            counts: ScanCounts {
                lines: lines::count(text),
                overlong: lines::count_overlong(text),
                ..ScanCounts::default()
            },
            ..Scan::default()
        };
        self.dates.set_now(now);
        let mut times = Times {
            given: match &chunk.times {
                LineTimes::InText => None,
                LineTimes::Given(times) => Some(times),
            },
            now,
            last: self.last_dates.get(&chunk.source).copied(),
            index: 0,
            counted_to: 0,
        };
        if self.prefilter.every_line {
            self.scan_every_line(text, &mut times, &mut scan);
        } else {
            self.scan_hits(text, &mut times, &mut scan);
        }
        if let Some(last) = times.last {
            if self.last_dates.len() >= SOURCES_MAX {
                self.last_dates.clear();
            }
            self.last_dates.insert(chunk.source.clone(), last);
        }
        self.hand_over(&chunk.text, &mut scan);
        scan
    }

    /// Jumps from text to text that some filter requires.
    fn scan_hits(&mut self, text: &[u8], times: &mut Times<'_>, scan: &mut Scan) {
        let mut from = 0;
        while let Some((index, start, end)) = self.prefilter.next(text, from) {
            let line = lines::around(text, from, start);
            from = line.next;
            if !lines::is_overlong(line) {
                self.prefilter
                    .rest_of_line(text, Some(index), (end, line.end), &mut self.found);
                scan.counts.candidates += 1;
                self.judge(text, line, times, scan);
            }
        }
    }

    /// Goes from line to line, because some filter cannot say what it requires.
    fn scan_every_line(&mut self, text: &[u8], times: &mut Times<'_>, scan: &mut Scan) {
        let mut from = 0;
        while from < text.len() {
            let line = lines::around(text, from, from);
            from = line.next;
            if !lines::is_overlong(line) {
                self.prefilter
                    .rest_of_line(text, None, (line.start, line.end), &mut self.found);
                scan.counts.candidates += 1;
                scan.counts.unfiltered += u64::from(self.prefilter.found_nothing(&self.found));
                self.judge(text, line, times, scan);
            }
        }
    }

    /// Shows a line to the filters that can match it.
    fn judge(&mut self, text: &[u8], line: Line, times: &mut Times<'_>, scan: &mut Scan) {
        let (date, at) = times.of(text, line, &mut self.dates, &mut scan.counts);
        let cut = Subject::without(text, line, date, &mut self.joined);
        let whole = Subject::whole(text, line);
        let line_span = span(line.start, line.end);
        for (group, &candidates) in self.groups.iter_mut().zip(&self.found) {
            if candidates == 0 {
                continue;
            }
            let dated = group.matcher.has_dates();
            let (subject, at) = match dated || times.given.is_some() {
                true => (&cut, at),
                false => (&whole, times.now),
            };
            match &group.matcher {
                Matcher::Plain(filter) => {
                    match filter.judge(subject.bytes, candidates, &mut self.scratch) {
                        Verdict::Missed => {}
                        Verdict::Ignored { .. } => scan.counts.ignored += 1,
                        Verdict::Ambiguous { pattern, readings } => {
                            group.ambiguous += 1;
                            scan.counts.ambiguous += 1;
                            if scan.ambiguous.len() < AMBIGUOUS_SHOWN_MAX {
                                scan.ambiguous.extend(group.jails.first().map(|jail| {
                                    AmbiguousLine {
                                        jail: jail.clone(),
                                        pattern,
                                        line: line_span,
                                        readings,
                                    }
                                }));
                            }
                        }
                        Verdict::Matched { id, user, .. } => group.failures.push(Failure {
                            id,
                            at,
                            line: line_span,
                            user: user.and_then(|user| subject.in_chunk(user)),
                        }),
                    }
                }
                Matcher::Plan(plan) => {
                    if let Some(patterns) = plan.judge(subject.bytes, candidates) {
                        let (start, end) = date.map_or((0, 0), |date| (date.start, date.end));
                        group.survivors.push(Survivor {
                            line: line_span,
                            date: span(line.start + start, line.start + end),
                            at,
                            patterns,
                        });
                    }
                }
            }
        }
    }

    /// Gives every jail of a group what the group found.
    fn hand_over(&mut self, text: &Arc<[u8]>, scan: &mut Scan) {
        for group in &mut self.groups {
            let failures: Arc<[Failure]> = group.failures.drain(..).collect();
            let mut survivors = std::mem::take(&mut group.survivors);
            let last = group.jails.len().saturating_sub(1);
            let ambiguous = std::mem::take(&mut group.ambiguous);
            for (i, jail) in group.jails.iter().enumerate() {
                if ambiguous > 0 {
                    scan.ambiguous_of.push((jail.clone(), ambiguous));
                }
                if !failures.is_empty() {
                    scan.failures.push(Failures {
                        jail: jail.clone(),
                        text: Arc::clone(text),
                        items: Arc::clone(&failures),
                    });
                }
                if !survivors.is_empty() {
                    scan.survivors.push(Survivors {
                        jail: jail.clone(),
                        text: Arc::clone(text),
                        lines: copy_or_take(&mut survivors, i == last),
                    });
                }
            }
        }
    }
}

fn copy_or_take<T: Clone>(items: &mut Vec<T>, take: bool) -> Vec<T> {
    if take {
        std::mem::take(items)
    } else {
        items.clone()
    }
}

impl Times<'_> {
    /// The date in `line`, if one is to be looked for, and when the line was written.
    fn of(
        &mut self,
        text: &[u8],
        line: Line,
        dates: &mut DateFinder,
        counts: &mut ScanCounts,
    ) -> (Option<Date>, Timestamp) {
        if let Some(given) = self.given {
            let skipped = text.get(self.counted_to..line.start).unwrap_or_default();
            self.index += memchr::memchr_iter(b'\n', skipped).count();
            self.counted_to = line.start;
            return (None, given.get(self.index).copied().unwrap_or(self.now));
        }
        let bytes = text.get(line.start..line.end).unwrap_or_default();
        if let Some(date) = dates.find(bytes) {
            self.last = Some(date.at);
            return (Some(date), date.at);
        }
        counts.undated += 1;
        let recent = self
            .last
            .filter(|&last| self.now.saturating_since(last) < UNDATED_MAX);
        (None, recent.unwrap_or(self.now))
    }
}

#[cfg(test)]
mod tests;
