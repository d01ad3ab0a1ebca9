//! One filter over the lines of one log, with reasons.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use stockade_core::{Span, Timestamp};

use crate::dates::{DateFinder, Found as Date};
use crate::dating::Dated;
use crate::explain::{Explanation, Outcome};
use crate::fail2ban::{Identity, Match, Rules};
use crate::filter::{Engine, Filter};
use crate::json::Json;
use crate::lines::{self, LINE_LEN_MAX};
use crate::native::{Native, Scratch, Verdict};
use crate::subject::{Subject, span};
use crate::text::{Heard, RawLine, SourceState, TextReader, masked};

/// A filter that reads the lines of one log one after the other and remembers what a detector would.
#[derive(Debug)]
pub struct FilterRun {
    filter: Arc<Filter>,
    log: Log,
    gave_up: bool,
}

/// A log that a filter reads.
#[derive(Debug)]
pub(crate) struct Log {
    state: SourceState,
    usual: DateFinder,
    reader: TextReader,
    scratch: Scratch,
}

/// A failregex that matches a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its index.
    pub pattern: usize,
    /// Whom the line is about, as fail2ban shows it; `None` for a line of a session that has not
    /// named anybody yet.
    pub id: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// Whether the time is that of a date, the line's own or one shortly before, and not just `now`.
    pub dated: bool,
    /// It is a line of a session that is no failure so far, or it says that it is none.
    pub nofail: bool,
    /// How many lines of the log make the failure.
    pub attempts: u32,
    /// What the groups hold, by fail2ban's names, those of earlier lines of the session included.
    pub captures: BTreeMap<String, String>,
    /// All users of the session, sorted; empty for a line that is of no session.
    pub users: Vec<String>,
    /// Addresses that the line can be read with, where there are several: a detector counts it for
    /// nobody then, where fail2ban takes one of them.
    pub readings: Vec<IpAddr>,
}

impl FilterRun {
    /// Begins a log; times without a zone are of `zone`.
    #[must_use]
    pub fn new(filter: Arc<Filter>, zone: TimeZone) -> Self {
        Self {
            log: Log::new(&filter, zone),
            filter,
            gave_up: false,
        }
    }

    /// Whether patterns gave up on the last line, so that there may have been more to find.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Tries every failregex on the next line, also those after one that matches, as the tests of
    /// fail2ban's own filters do; `line` may have its end. `given` is its time where the source tells
    /// it. A filter in the native dialect finds at most one.
    pub fn line(&mut self, line: &[u8], given: Option<Timestamp>, now: Timestamp) -> Vec<Finding> {
        self.gave_up = false;
        if line.len() > LINE_LEN_MAX {
            return Vec::new();
        }
        let line = RawLine {
            bytes: line,
            given,
            now,
        };
        match &self.filter.engine {
            Engine::Fail2ban(rules) => {
                let heard = self.log.read(&self.filter, rules, line, true);
                self.gave_up = !self.log.reader.judgement.gave_up.is_empty();
                self.log.findings(heard, now)
            }
            Engine::Native(_) | Engine::Json(_) => self.log.native_finding(&self.filter, line),
        }
    }

    /// Judges the next line, which has no line end, as a detector would at `now`.
    pub fn explain(&mut self, line: &[u8], now: Timestamp) -> Explanation {
        self.log.explain(&self.filter, line, now)
    }
}

impl Log {
    pub(crate) fn new(filter: &Filter, zone: TimeZone) -> Self {
        Self {
            state: SourceState::new(filter, &zone),
            usual: DateFinder::new(zone),
            reader: TextReader::default(),
            scratch: Scratch::default(),
        }
    }

    pub(crate) fn explain(&mut self, filter: &Filter, line: &[u8], now: Timestamp) -> Explanation {
        if line.len() > LINE_LEN_MAX {
            return Explanation {
                time: None,
                outcome: Outcome::Overlong,
            };
        }
        let line = RawLine {
            bytes: line,
            given: None,
            now,
        };
        match &filter.engine {
            Engine::Native(native) => self.explain_native(filter, native, line),
            Engine::Json(json) => self.explain_json(json, line),
            Engine::Fail2ban(rules) => {
                let heard = self.read(filter, rules, line, false);
                Explanation {
                    time: time_of(heard.dated),
                    outcome: self.outcome(heard),
                }
            }
        }
    }

    fn read(&mut self, filter: &Filter, rules: &Rules, line: RawLine<'_>, every: bool) -> Heard {
        self.usual.set_now(line.now);
        let how = (u64::MAX, every);
        let state = &mut self.state;
        self.reader
            .read((filter, rules), state, line, how, &mut self.usual)
    }

    fn explain_native(
        &mut self,
        filter: &Filter,
        native: &Native,
        line: RawLine<'_>,
    ) -> Explanation {
        self.usual.set_now(line.now);
        let text = masked(line.bytes);
        let dated =
            self.state
                .dating
                .of(&filter.dates, &text, line.given, line.now, &mut self.usual);
        let date = dated.cut.map(|(start, end)| Date {
            at: dated.at.unwrap_or(line.now),
            start,
            end,
        });
        let mut joined = Vec::new();
        let whole = lines::around(line.bytes, 0, 0);
        let subject = Subject::without(line.bytes, whole, date, &mut joined);
        let verdict = native.judge(subject.bytes, u64::MAX, &mut self.scratch);
        Explanation {
            time: time_of(dated),
            outcome: told(verdict, |user| subject.in_chunk(user)),
        }
    }

    fn explain_json(&mut self, json: &Json, line: RawLine<'_>) -> Explanation {
        self.usual.set_now(line.now);
        let judged = json.judge(line.bytes, u64::MAX, &mut self.scratch, &mut self.usual);
        Explanation {
            time: judged.time.map(|(at, (start, end))| (at, span(start, end))),
            outcome: told(judged.verdict, |(start, end)| Some(span(start, end))),
        }
    }

    fn findings(&mut self, heard: Heard, now: Timestamp) -> Vec<Finding> {
        let judgement = &mut self.reader.judgement;
        let matches = judgement.matches.drain(..);
        matches
            .filter(|matched| matched.identity != Some(Identity::Refused))
            .map(|matched| Finding {
                pattern: matched.pattern,
                id: matched.identity.and_then(|identity| identity.text()),
                at: heard.dated.at.unwrap_or(now),
                dated: heard.dated.at.is_some(),
                nofail: matched.nofail,
                attempts: matched.attempts,
                captures: matched.captures,
                users: matched.users,
                readings: matched.readings,
            })
            .collect()
    }

    fn native_finding(&mut self, filter: &Filter, line: RawLine<'_>) -> Vec<Finding> {
        let explained = match &filter.engine {
            Engine::Native(native) => self.explain_native(filter, native, line),
            Engine::Json(json) => self.explain_json(json, line),
            Engine::Fail2ban(_) => return Vec::new(),
        };
        let Outcome::Matched { pattern, id, user } = explained.outcome else {
            return Vec::new();
        };
        let user = user.map(|user| String::from_utf8_lossy(user.of(line.bytes)).into_owned());
        let time = line.given.or(explained.time.map(|(at, _)| at));
        vec![Finding {
            pattern,
            id: Some(id.to_string()),
            at: time.unwrap_or(line.now),
            dated: time.is_some(),
            nofail: false,
            attempts: 1,
            captures: user
                .map(|user| ("user".to_owned(), user))
                .into_iter()
                .collect(),
            users: Vec::new(),
            readings: Vec::new(),
        }]
    }

    fn outcome(&self, heard: Heard) -> Outcome {
        let judgement = &self.reader.judgement;
        if let Some(matched) = judgement.matches.first() {
            return outcome_of(matched, heard);
        }
        if let Some((pattern, readings)) = &judgement.ambiguous {
            return Outcome::Ambiguous {
                pattern: *pattern,
                readings: readings.clone(),
            };
        }
        let gave_up = judgement.gave_up.first();
        match (judgement.ignored, judgement.waiting, gave_up) {
            (Some(pattern), _, _) => Outcome::Ignored { pattern },
            (None, Some(pattern), _) => Outcome::Waiting { pattern },
            (None, None, Some(&which)) => Outcome::GaveUp { which },
            (None, None, None) => Outcome::Missed,
        }
    }
}

/// The verdict for people; `place` finds a place of it in the line.
fn told(verdict: Verdict, place: impl FnOnce((usize, usize)) -> Option<Span>) -> Outcome {
    match verdict {
        Verdict::Missed => Outcome::Missed,
        Verdict::Ignored { pattern } => Outcome::Ignored { pattern },
        Verdict::Ambiguous { pattern, readings } => Outcome::Ambiguous { pattern, readings },
        Verdict::Matched { pattern, id, user } => Outcome::Matched {
            pattern,
            id,
            user: user.and_then(place),
        },
    }
}

fn time_of(dated: Dated) -> Option<(Timestamp, Span)> {
    let (start, end) = dated.cut?;
    Some((dated.at?, span(start, end)))
}

fn outcome_of(matched: &Match, heard: Heard) -> Outcome {
    let pattern = matched.pattern;
    let user = matched.user.and_then(|user| heard.in_line(user));
    let user = user.map(|(start, end)| span(start, end));
    match &matched.identity {
        Some(Identity::Name(name)) => Outcome::MatchedName {
            pattern,
            name: name.clone(),
            user,
        },
        Some(identity) => match identity.id() {
            Some(id) => Outcome::Matched { pattern, id, user },
            None => Outcome::Nobody { pattern },
        },
        None => Outcome::Waiting { pattern },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Dialect, FilterSource};

    #[test]
    fn that_a_pattern_gave_up_is_known_although_nothing_was_found() {
        let source = FilterSource {
            failregex: vec!["^ <ADDR> (?P<as>a)(?!(?P=as)*(?P=as)*(?P=as)*y)a*$".to_owned()],
            dialect: Dialect::Fail2ban,
            ..FilterSource::default()
        };
        let filter = Arc::new(Filter::compile(&source).unwrap());
        let mut run = FilterRun::new(filter, TimeZone::UTC);
        let now = Timestamp::from_secs(1_124_013_600);
        let mut found = |line: &str| {
            let found = run.line(line.as_bytes(), None, now).len();
            (found, run.gave_up())
        };
        let costly = format!("Aug 14 09:59:59 192.0.2.1 {}", "a".repeat(250));
        assert_eq!(found(&costly), (0, true));
        assert_eq!(found("Aug 14 09:59:59 192.0.2.1 aa"), (1, false));
    }
}
