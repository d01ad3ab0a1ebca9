//! All filters on one source: a chunk in, failures and survivors out.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use stockade_core::{Chunk, JailName, LineTimes, SourceName, Timestamp};

use crate::dates::{DateFinder, Found as Date};
use crate::dating::UNDATED_MAX;
use crate::filter::Filter;
use crate::lines::{self, Line};
use crate::native::Scratch;
use crate::plan::PlanFilter;
use crate::prefilter::{Found, Prefilter};
use crate::scan::{Scan, ScanCounts};
use crate::subject::Subject;
use crate::text::TextReader;

mod group;

use group::{Group, Judged, Tools};

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
}

/// Sources of which something is remembered. More sources than an administrator would ever name; when
/// there are more, all are forgotten: lines without a date happen when they are read, and sessions
/// begin anew.
const SOURCES_MAX: usize = 4096;

/// The filters of a set of jails, ready to run over the chunks of their sources.
#[derive(Debug)]
pub struct Detector {
    groups: Vec<Group>,
    prefilter: Prefilter,
    dates: DateFinder,
    /// The last date that each source had.
    last_dates: HashMap<SourceName, Timestamp>,
    zone: TimeZone,
    scratch: Scratch,
    reader: TextReader,
    found: Found,
    joined: Vec<u8>,
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
                None => groups.push(Group::new(matcher, jail)),
            }
        }
        let needs: Vec<_> = groups.iter().map(Group::needs).collect();
        Self {
            prefilter: Prefilter::new(&needs),
            groups,
            dates: DateFinder::new(zone.clone()),
            zone,
            last_dates: HashMap::new(),
            scratch: Scratch::default(),
            reader: TextReader::default(),
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
        for group in &mut self.groups {
            group.begin(&chunk.source, &self.zone);
        }
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
        for group in &mut self.groups {
            group.end(&chunk.source);
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
        let given = times.given_at(text, line);
        let mut groups = self.groups.iter().zip(&self.found);
        let (date, at) = match given {
            Some(at) => (None, at),
            None if groups.any(|(group, &found)| found != 0 && group.wants_usual_date()) => {
                times.of(text, line, &mut self.dates, &mut scan.counts)
            }
            None => (None, times.now),
        };
        let judged = Judged {
            text,
            line,
            given,
            now: times.now,
            date,
            at,
        };
        let cut = Subject::without(text, line, date, &mut self.joined);
        let mut tools = Tools {
            scratch: &mut self.scratch,
            reader: &mut self.reader,
            usual: &mut self.dates,
            scan,
        };
        for (group, &candidates) in self.groups.iter_mut().zip(&self.found) {
            if candidates != 0 {
                group.judge(judged, &cut, candidates, &mut tools);
            }
        }
    }

    /// Gives every jail of a group what the group found.
    fn hand_over(&mut self, text: &Arc<[u8]>, scan: &mut Scan) {
        for group in &mut self.groups {
            group.hand_over(text, scan);
        }
    }
}

impl Times<'_> {
    /// The time of `line`, if the source tells it.
    fn given_at(&mut self, text: &[u8], line: Line) -> Option<Timestamp> {
        let given = self.given?;
        let skipped = text.get(self.counted_to..line.start).unwrap_or_default();
        self.index += memchr::memchr_iter(b'\n', skipped).count();
        self.counted_to = line.start;
        Some(given.get(self.index).copied().unwrap_or(self.now))
    }

    /// The date in `line`, and when the line was written.
    fn of(
        &mut self,
        text: &[u8],
        line: Line,
        dates: &mut DateFinder,
        counts: &mut ScanCounts,
    ) -> (Option<Date>, Timestamp) {
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
