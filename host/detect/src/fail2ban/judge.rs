//! fail2ban's way to judge a line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use stockade_core::{Timestamp, parse_addr};

use super::expression::{Expression, Groups};
use super::fields::{CONTENT, Fields, NOFAIL, Naming, SESSION};
use super::identity::{Identity, identify};
use super::rules::{Rule, Rules};
use super::sessions::Sessions;
use super::window::{Spent, Window, joined};
use crate::error::PatternPlace;
use crate::prefilter::bit;
use crate::readings::{Other, Taken};

/// What is remembered of one source from line to line.
#[derive(Debug, Default)]
pub(crate) struct State {
    window: Window,
    sessions: Sessions,
}

/// Space for matching, reused from line to line.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    groups: Groups,
    ignoring: Groups,
    subject: String,
}

/// A line to judge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Its text, without its date and its end.
    pub(crate) text: &'a str,
    /// When it is read.
    pub(crate) now: Timestamp,
    /// Which failregexes can match, see [`bit`].
    pub(crate) candidates: u64,
    /// Whether all failregexes are tried, also those after one that matches.
    pub(crate) every: bool,
}

/// What is found in a line.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// At most one, unless all failregexes are tried.
    pub(crate) matches: Vec<Match>,
    /// The ignoreregex that took a match back.
    pub(crate) ignored: Option<usize>,
    /// The failregex that matched in ways that name different addresses, and these as far as they are
    /// known, so that it counts for none of them.
    pub(crate) ambiguous: Option<(usize, Vec<IpAddr>)>,
    /// The failregex that matched a line of a session which is no failure so far.
    pub(crate) waiting: Option<usize>,
    /// Patterns of which it is not known whether they match.
    pub(crate) gave_up: Vec<PatternPlace>,
}

/// A failregex that matched.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) pattern: usize,
    /// `None` for a session that has not said yet whom it is about.
    pub(crate) identity: Option<Identity>,
    pub(crate) nofail: bool,
    /// How many lines it is made of.
    pub(crate) attempts: u32,
    /// Where the user stands in the line.
    pub(crate) user: Option<(usize, usize)>,
    /// What all groups hold, where all failregexes are tried.
    pub(crate) captures: BTreeMap<String, String>,
    /// All users of a session, likewise.
    pub(crate) users: Vec<String>,
    /// Two addresses that the line can be read with, where it is not only the one; likewise, since
    /// such a line is no match otherwise.
    pub(crate) readings: Vec<IpAddr>,
}

impl Judgement {
    fn clear(&mut self) {
        self.matches.clear();
        self.gave_up.clear();
        self.ignored = None;
        self.ambiguous = None;
        self.waiting = None;
    }
}

impl Rules {
    /// Judges `line` and writes what is found to `out`.
    pub(crate) fn judge(
        &self,
        line: Line<'_>,
        state: &mut State,
        scratch: &mut Scratch,
        out: &mut Judgement,
    ) {
        out.clear();
        let mut subject = std::mem::take(&mut scratch.subject);
        subject.clear();
        let window = if self.maxlines > 1 {
            let window = state.window.push(line.text, self.maxlines);
            subject.push_str(&joined(&window));
            window
        } else {
            subject.push_str(line.text);
            subject.push('\n');
            Vec::new()
        };
        Judging {
            rules: self,
            line,
            window,
            state,
            scratch,
            out,
        }
        .run(&subject);
        scratch.subject = subject;
    }
}

/// One line on its way through a filter.
struct Judging<'a> {
    rules: &'a Rules,
    line: Line<'a>,
    /// The line and those before it; empty where patterns see one line at a time.
    window: Vec<Arc<str>>,
    state: &'a mut State,
    scratch: &'a mut Scratch,
    out: &'a mut Judgement,
}

/// What the failregexes get to see.
struct Content<'t> {
    text: Cow<'t, str>,
    /// Where it begins in the line; `None` where it is not a part of the line alone.
    start: Option<usize>,
}

/// What the prefregex found.
struct Before<'t> {
    fields: Fields<'t>,
    /// About whom the line is, and the text of which that was read.
    taken: Option<(&'t str, Taken)>,
}

/// Whether the next failregex is to be tried.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Judging<'_> {
    fn run(&mut self, subject: &str) {
        let rules = self.rules;
        if rules.ignores_first() && self.is_ignored(subject) {
            return;
        }
        let mut fields = rules.names.fields();
        let Some(mut content) = self.content(subject, &mut fields) else {
            return;
        };
        let taken = self.taken_by_prefix(subject);
        let before = Before { fields, taken };
        for (i, rule) in rules.fail.iter().enumerate() {
            let place = PatternPlace::Failregex(i);
            if self.line.candidates & bit(i) == 0 || !self.find(&rule.expression, &content, place) {
                continue;
            }
            let spent = self.several_lines().then(|| {
                let groups = &self.scratch.groups;
                Spent::new(&self.window, &content.text, groups, &rule.naming.skipped)
            });
            let ignored = match &spent {
                Some(spent) => self.is_ignored(&joined(&spent.matched)),
                None => self.is_ignored(&content.text),
            };
            let lines = spent.as_ref().map_or(1, |spent| spent.matched.len());
            let next = if ignored {
                Next::Stop
            } else {
                self.take_unambiguous((i, rule), &content, &before, lines)
            };
            if next == Next::Stop && !self.line.every {
                self.leave(spent);
                return;
            }
            if let Some(left) = self.leave(spent) {
                content = left;
            }
        }
    }

    fn several_lines(&self) -> bool {
        self.rules.maxlines > 1
    }

    /// Leaves what a match did not use for the lines to come; what is left for the next failregex,
    /// if that is something else than before.
    fn leave(&mut self, spent: Option<Spent>) -> Option<Content<'static>> {
        let text = match spent {
            Some(spent) => {
                let text = joined(&spent.left);
                self.state.window.replace(spent.left);
                text
            }
            None if self.line.every => return None,
            // The line is used up.
            None => "\n".to_owned(),
        };
        Some(Content {
            text: Cow::Owned(text),
            start: None,
        })
    }

    /// What the failregexes get to see, or `None` where the prefregex says that it is nothing.
    fn content<'t>(&mut self, subject: &'t str, before: &mut Fields<'t>) -> Option<Content<'t>> {
        let whole = Content {
            text: Cow::Borrowed(subject),
            start: (!self.several_lines()).then_some(0),
        };
        let Some(prefix) = &self.rules.prefix else {
            return Some(whole);
        };
        if !self.find(&prefix.expression, &whole, PatternPlace::Prefregex) {
            return None;
        }
        *before = (prefix.naming).read(subject, &self.scratch.groups, &self.rules.names);
        let span = prefix.naming.span(CONTENT, &self.scratch.groups);
        before.take(CONTENT);
        let Some((start, end)) = span.filter(|(start, end)| start < end) else {
            return Some(whole);
        };
        let content = subject.get(start..end).unwrap_or_default();
        if self.several_lines() {
            self.state.window.replace(vec![content.into()]);
        }
        let text = match subject.get(start..) {
            // The rest of the line has its end already.
            Some(rest) if rest.len() == content.len() + 1 => Cow::Borrowed(rest),
            _ => Cow::Owned(format!("{content}\n")),
        };
        Some(Content {
            text,
            start: whole.start.map(|_| start),
        })
    }

    fn find(
        &mut self,
        expression: &Expression,
        content: &Content<'_>,
        place: PatternPlace,
    ) -> bool {
        let found = expression.find(&content.text, &mut self.scratch.groups);
        found.unwrap_or_else(|_| {
            self.out.gave_up.push(place);
            false
        })
    }

    /// An ignoreregex that cannot tell counts as one that matches, so that nobody is banned whom it
    /// would have spared.
    fn is_ignored(&mut self, text: &str) -> bool {
        for (i, expression) in self.rules.ignore.iter().enumerate() {
            let found = expression.find(text, &mut self.scratch.ignoring);
            if found.is_err() {
                self.out.gave_up.push(PatternPlace::Ignoreregex(i));
            }
            if found.unwrap_or(true) {
                self.out.ignored = Some(i);
                return true;
            }
        }
        false
    }

    /// What the prefregex, which has matched last, says about whom the line is.
    fn taken_by_prefix<'t>(&self, subject: &'t str) -> Option<(&'t str, Taken)> {
        let naming = &self.rules.prefix.as_ref()?.naming;
        Some((subject, taken(naming, &self.scratch.groups, subject)?))
    }

    /// Takes a match unless the line can be read with another address as well. Patterns that see
    /// several lines at once are left alone: each of these may name somebody else.
    fn take_unambiguous(
        &mut self,
        (pattern, rule): (usize, &Rule),
        content: &Content<'_>,
        before: &Before<'_>,
        lines: usize,
    ) -> Next {
        let readings = match self.several_lines() {
            true => Vec::new(),
            false => self.readings(rule, content, before),
        };
        if readings.is_empty() || self.line.every {
            let next = self.take(pattern, rule, content, &before.fields, lines);
            if let Some(last) = self.out.matches.last_mut() {
                last.readings = readings;
            }
            return next;
        }
        self.out.ambiguous = Some((pattern, readings));
        Next::Stop
    }

    /// The addresses that the line can be read with, where these are several or not all known.
    fn readings(&self, rule: &Rule, content: &Content<'_>, before: &Before<'_>) -> Vec<IpAddr> {
        let own = taken(&rule.naming, &self.scratch.groups, &content.text);
        let (rule, text, taken) = match (own, &self.rules.prefix, before.taken) {
            (Some(taken), ..) => (rule, &*content.text, taken),
            (None, Some(prefix), Some((text, taken))) => (prefix, text, taken),
            _ => return Vec::new(),
        };
        let other = rule.expression.other(text, taken, &rule.naming.ids);
        let first = taken.addr.into_iter();
        match other {
            Other::Nobody => Vec::new(),
            Other::Addr(addr) => first.chain([addr]).collect(),
            Other::Unknown => first.collect(),
        }
    }

    /// Makes of a match what it is: a failure, or a line of a session that waits for one.
    fn take(
        &mut self,
        pattern: usize,
        rule: &Rule,
        content: &Content<'_>,
        before: &Fields<'_>,
        lines: usize,
    ) -> Next {
        let naming = &rule.naming;
        let mut fields = naming.read(&content.text, &self.scratch.groups, &self.rules.names);
        fields.complete(before);
        let user = rule.naming.user(&self.scratch.groups);
        let user = content
            .start
            .zip(user)
            .map(|(at, (start, end))| (at + start, at + end));
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        match fields.get(SESSION) {
            Some(id) => self.take_session(pattern, id, &fields, user, lines),
            None => {
                let host_names = self.rules.host_names;
                let Some(identity) = identify(|place| fields.get(place), host_names) else {
                    return Next::Go;
                };
                let captures = self.captures(fields.iter());
                self.out.matches.push(Match {
                    pattern,
                    identity: Some(identity),
                    nofail: fields.has(NOFAIL),
                    attempts: lines,
                    user,
                    captures,
                    users: Vec::new(),
                    readings: Vec::new(),
                });
                Next::Stop
            }
        }
    }

    fn take_session(
        &mut self,
        pattern: usize,
        id: &str,
        fields: &Fields<'_>,
        user: Option<(usize, usize)>,
        lines: u32,
    ) -> Next {
        let every = self.line.every;
        let rules = self.rules;
        let merged = self
            .state
            .sessions
            .merge(id, fields, lines, self.line.now, every);
        let session = merged.session();
        let identity = identify(|place| session.get(place), rules.host_names);
        if !every && (merged.nofail || identity.is_none()) {
            self.out.waiting = Some(pattern);
            return Next::Stop;
        }
        let (captures, users) = if every {
            let captures = captures(rules, session.iter());
            let users = session.users.iter().map(|user| user.to_string());
            (captures, users.collect())
        } else {
            Default::default()
        };
        self.out.matches.push(Match {
            pattern,
            identity,
            nofail: merged.nofail,
            attempts: merged.attempts,
            user,
            captures,
            users,
            readings: Vec::new(),
        });
        Next::Stop
    }

    fn captures<'f>(
        &self,
        fields: impl Iterator<Item = Option<&'f str>>,
    ) -> BTreeMap<String, String> {
        if self.line.every {
            captures(self.rules, fields)
        } else {
            BTreeMap::new()
        }
    }
}

/// What `naming` finds in `text` about whom it is.
fn taken(naming: &Naming, groups: &Groups, text: &str) -> Option<Taken> {
    let span = naming.id_span(groups)?;
    let own = text.get(span.0..span.1).unwrap_or_default();
    let addr = parse_addr(own.as_bytes()).ok();
    Some(Taken { addr, span })
}

fn captures<'f>(
    rules: &Rules,
    fields: impl Iterator<Item = Option<&'f str>>,
) -> BTreeMap<String, String> {
    let named = rules.names.iter().zip(fields);
    named
        .filter_map(|(name, text)| Some((name.to_owned(), text?.to_owned())))
        .collect()
}
