//! Jails with the same filter, and what they find in a chunk.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use stockade_core::{Failure, Failures, JailName, SourceName, Span, Timestamp};

use super::{Matcher, SOURCES_MAX};
use crate::dates::{DateFinder, Found as Date};
use crate::dating::Dates;
use crate::error::PatternPlace;
use crate::fail2ban::{Identity, Rules};
use crate::filter::{Engine, Filter};
use crate::json::Json;
use crate::lines::Line;
use crate::native::{Native, Scratch, Verdict};
use crate::plan::PlanFilter;
use crate::prefilter::Needs;
use crate::scan::{
    AMBIGUOUS_SHOWN_MAX, AmbiguousLine, GAVE_UP_SHOWN_MAX, GaveUpLine, HostNameFailure,
    HostNameFailures, Scan, Survivor, Survivors,
};
use crate::subject::{Subject, span};
use crate::text::{RawLine, SourceState, TextReader, masked};

/// Jails with the same filter.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) matcher: Matcher,
    pub(super) jails: Vec<JailName>,
    found: FoundBy,
    /// What the filter remembers of the sources that are not being read now.
    states: HashMap<SourceName, SourceState>,
    /// What it remembers of the source of the chunk; `None` for a filter that remembers nothing.
    state: Option<SourceState>,
}

/// What the filter found in the chunk so far.
#[derive(Debug, Default)]
struct FoundBy {
    failures: Vec<Failure>,
    host_names: Vec<HostNameFailure>,
    survivors: Vec<Survivor>,
    ambiguous: u64,
    gave_up: u64,
}

/// A line of a chunk and what it knows.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) text: &'a [u8],
    pub(super) line: Line,
    /// Its time where the source tells it.
    pub(super) given: Option<Timestamp>,
    pub(super) now: Timestamp,
    /// Where the usual date stands, if a filter of this line wants to know.
    pub(super) date: Option<Date>,
    /// The time of that date, or what comes nearest.
    pub(super) at: Timestamp,
}

/// What judging needs, reused from line to line.
pub(super) struct Tools<'a> {
    pub(super) scratch: &'a mut Scratch,
    pub(super) reader: &'a mut TextReader,
    pub(super) usual: &'a mut DateFinder,
    pub(super) scan: &'a mut Scan,
}

impl Judged<'_> {
    fn bytes(&self) -> &[u8] {
        self.text
            .get(self.line.start..self.line.end)
            .unwrap_or_default()
    }

    fn span(&self) -> Span {
        span(self.line.start, self.line.end)
    }
}

impl Group {
    pub(super) fn new(matcher: Matcher, jail: JailName) -> Self {
        Self {
            matcher,
            jails: vec![jail],
            found: FoundBy::default(),
            states: HashMap::new(),
            state: None,
        }
    }

    pub(super) fn needs(&self) -> &Needs {
        match &self.matcher {
            Matcher::Plain(filter) => filter.needs(),
            Matcher::Plan(plan) => plan.needs(),
        }
    }

    /// Whether the date in the usual formats is to be looked for before the group gets the line.
    pub(super) fn wants_usual_date(&self) -> bool {
        match &self.matcher {
            Matcher::Plain(filter) => {
                matches!(filter.engine, Engine::Native(_)) && matches!(filter.dates, Dates::Usual)
            }
            Matcher::Plan(_) => true,
        }
    }

    /// Gets ready for a chunk of `source`.
    pub(super) fn begin(&mut self, source: &SourceName, zone: &TimeZone) {
        let Matcher::Plain(filter) = &self.matcher else {
            return;
        };
        if filter.remembers() {
            let state = self.states.remove(source);
            self.state = state.or_else(|| Some(SourceState::new(filter, zone)));
        }
    }

    /// Keeps what is to be remembered until the next chunk of `source`.
    pub(super) fn end(&mut self, source: &SourceName) {
        if let Some(state) = self.state.take() {
            if self.states.len() >= SOURCES_MAX {
                self.states.clear();
            }
            self.states.insert(source.clone(), state);
        }
    }

    /// Judges a line; `cut` is the line without its usual date, and `candidates` says which patterns
    /// can match.
    pub(super) fn judge(
        &mut self,
        line: Judged<'_>,
        cut: &Subject<'_>,
        candidates: u64,
        tools: &mut Tools<'_>,
    ) {
        match &self.matcher {
            Matcher::Plan(plan) => survive(plan, line, cut, candidates, &mut self.found),
            Matcher::Plain(filter) => match &filter.engine {
                Engine::Native(native) => {
                    let mut joined = Vec::new();
                    let (subject, at) = match (&filter.dates, &mut self.state) {
                        (Dates::Usual, _) => (*cut, line.at),
                        (Dates::Templates(_), Some(state)) => {
                            by_templates(&filter.dates, line, state, tools, &mut joined)
                        }
                        (Dates::Nowhere | Dates::Templates(_), _) => {
                            let whole = Subject::whole(line.text, line.line);
                            (whole, line.given.unwrap_or(line.now))
                        }
                    };
                    let jail = self.jails.first();
                    native_judge(
                        native,
                        line,
                        (subject, at),
                        candidates,
                        tools,
                        &mut self.found,
                        jail,
                    );
                }
                Engine::Json(json) => {
                    let found = &mut self.found;
                    json_judge(json, line, candidates, tools, found, self.jails.first());
                }
                Engine::Fail2ban(rules) => {
                    if let Some(state) = &mut self.state {
                        let asked = Asked {
                            filter,
                            rules,
                            line,
                            candidates,
                        };
                        asked.judge(state, tools, &mut self.found, self.jails.first());
                    }
                }
            },
        }
    }

    /// Gives every jail of the group what was found.
    pub(super) fn hand_over(&mut self, text: &Arc<[u8]>, scan: &mut Scan) {
        let failures: Arc<[Failure]> = self.found.failures.drain(..).collect();
        let host_names: Arc<[HostNameFailure]> = self.found.host_names.drain(..).collect();
        let mut survivors = std::mem::take(&mut self.found.survivors);
        let ambiguous = std::mem::take(&mut self.found.ambiguous);
        let gave_up = std::mem::take(&mut self.found.gave_up);
        let last = self.jails.len().saturating_sub(1);
        for (i, jail) in self.jails.iter().enumerate() {
            if ambiguous > 0 {
                scan.ambiguous_of.push((jail.clone(), ambiguous));
            }
            if gave_up > 0 {
                scan.gave_up_of.push((jail.clone(), gave_up));
            }
            if !failures.is_empty() {
                scan.failures.push(Failures {
                    jail: jail.clone(),
                    text: Arc::clone(text),
                    items: Arc::clone(&failures),
                });
            }
            if !host_names.is_empty() {
                scan.host_names.push(HostNameFailures {
                    jail: jail.clone(),
                    text: Arc::clone(text),
                    items: Arc::clone(&host_names),
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

fn copy_or_take<T: Clone>(items: &mut Vec<T>, take: bool) -> Vec<T> {
    if take {
        std::mem::take(items)
    } else {
        items.clone()
    }
}

fn survive(
    plan: &PlanFilter,
    line: Judged<'_>,
    subject: &Subject<'_>,
    candidates: u64,
    found: &mut FoundBy,
) {
    let Some(patterns) = plan.judge(subject.bytes, candidates) else {
        return;
    };
    let (start, end) = line.date.map_or((0, 0), |date| (date.start, date.end));
    found.survivors.push(Survivor {
        line: line.span(),
        date: span(line.line.start + start, line.line.start + end),
        at: line.at,
        patterns,
    });
}

/// The line without the date that the filter's own templates find, and when it was written.
fn by_templates<'t>(
    dates: &Dates,
    line: Judged<'t>,
    state: &mut SourceState,
    tools: &mut Tools<'_>,
    joined: &'t mut Vec<u8>,
) -> (Subject<'t>, Timestamp) {
    let text = masked(line.bytes());
    let dated = state
        .dating
        .of(dates, &text, line.given, line.now, tools.usual);
    let at = dated.at.unwrap_or(line.now);
    tools.scan.counts.undated += u64::from(dated.at.is_none());
    let date = dated.cut.map(|(start, end)| Date { at, start, end });
    (Subject::without(line.text, line.line, date, joined), at)
}

fn native_judge(
    native: &Native,
    line: Judged<'_>,
    (subject, at): (Subject<'_>, Timestamp),
    candidates: u64,
    tools: &mut Tools<'_>,
    found: &mut FoundBy,
    jail: Option<&JailName>,
) {
    let verdict = native.judge(subject.bytes, candidates, tools.scratch);
    let user = |user| subject.in_chunk(user);
    note(verdict, (line, at), user, tools.scan, found, jail);
}

fn json_judge(
    json: &Json,
    line: Judged<'_>,
    candidates: u64,
    tools: &mut Tools<'_>,
    found: &mut FoundBy,
    jail: Option<&JailName>,
) {
    let judged = json.judge(line.bytes(), candidates, tools.scratch, tools.usual);
    let at = line.given.or(judged.time.map(|(at, _)| at));
    tools.scan.counts.undated += u64::from(judged.is_entry && at.is_none());
    let at = at.unwrap_or(line.now);
    let start = line.line.start;
    let user = |(from, to)| Some(span(start + from, start + to));
    note(judged.verdict, (line, at), user, tools.scan, found, jail);
}

/// Notes what was made of a line; `place` finds a place of the verdict in the chunk.
fn note(
    verdict: Verdict,
    (line, at): (Judged<'_>, Timestamp),
    place: impl FnOnce((usize, usize)) -> Option<Span>,
    scan: &mut Scan,
    found: &mut FoundBy,
    jail: Option<&JailName>,
) {
    match verdict {
        Verdict::Missed => {}
        Verdict::Ignored { .. } => scan.counts.ignored += 1,
        Verdict::Ambiguous { pattern, readings } => {
            found.ambiguous += 1;
            ambiguous(scan, pattern, readings, line.span(), jail);
        }
        Verdict::Matched { id, user, .. } => found.failures.push(Failure {
            id,
            at,
            line: line.span(),
            user: user.and_then(place),
        }),
    }
}

/// A line for a filter in fail2ban's dialect.
struct Asked<'a> {
    filter: &'a Filter,
    rules: &'a Rules,
    line: Judged<'a>,
    candidates: u64,
}

impl Asked<'_> {
    fn judge(
        &self,
        state: &mut SourceState,
        tools: &mut Tools<'_>,
        found: &mut FoundBy,
        jail: Option<&JailName>,
    ) {
        let line = RawLine {
            bytes: self.line.bytes(),
            given: self.line.given,
            now: self.line.now,
        };
        let how = (self.candidates, false);
        let reader = &mut *tools.reader;
        let heard = reader.read((self.filter, self.rules), state, line, how, tools.usual);
        let scan = &mut *tools.scan;
        scan.counts.undated += u64::from(heard.dated.at.is_none());
        scan.counts.ignored += u64::from(reader.judgement.ignored.is_some());
        for &which in &reader.judgement.gave_up {
            found.gave_up += 1;
            give_up(scan, which, self.line.span(), jail);
        }
        if let Some((pattern, readings)) = reader.judgement.ambiguous.take() {
            found.ambiguous += 1;
            ambiguous(scan, pattern, readings, self.line.span(), jail);
        }
        let at = heard.dated.at.unwrap_or(self.line.now);
        for matched in &reader.judgement.matches {
            let user = matched.user.and_then(|user| heard.in_line(user));
            let start = self.line.line.start;
            let user = user.map(|(from, to)| span(start + from, start + to));
            let line = self.line.span();
            match &matched.identity {
                Some(Identity::Name(name)) => found.host_names.push(HostNameFailure {
                    name: name.as_str().into(),
                    at,
                    line,
                    user,
                }),
                Some(identity) => {
                    found
                        .failures
                        .extend(identity.id().map(|id| Failure { id, at, line, user }))
                }
                None => {}
            }
        }
    }
}

fn ambiguous(
    scan: &mut Scan,
    pattern: usize,
    readings: Vec<IpAddr>,
    line: Span,
    jail: Option<&JailName>,
) {
    scan.counts.ambiguous += 1;
    if scan.ambiguous.len() < AMBIGUOUS_SHOWN_MAX {
        scan.ambiguous.extend(jail.map(|jail| AmbiguousLine {
            jail: jail.clone(),
            pattern,
            line,
            readings,
        }));
    }
}

fn give_up(scan: &mut Scan, which: PatternPlace, line: Span, jail: Option<&JailName>) {
    scan.counts.gave_up += 1;
    if scan.gave_up.len() < GAVE_UP_SHOWN_MAX {
        scan.gave_up.extend(jail.map(|jail| GaveUpLine {
            jail: jail.clone(),
            which,
            line,
        }));
    }
}
