//! A pattern in fail2ban's dialect, compiled.
//!
//! Linear time is the rule: an expression goes to `regex-automata`. One that needs look-around,
//! back-references or conditions goes to `fancy-regex`, which goes back and forth; a linear
//! expression that matches whenever the whole one does stands in front of it, and the steps it may
//! take are limited, so that a hostile line costs little. Reaching the limit is a result of its own.
//!
//! For a subject of ASCII, which nearly every line is, each expression has a form without Unicode
//! that gives the same answer and is many times smaller; the other form is made when it is needed.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, MatchKind};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;
use stockade_core::parse_addr;

use super::chain::{Chain, Found};
use super::linearize::linearize;
use super::parse::{self, Pattern};
use super::render::{Form, captured, render};
use super::syntax::{Assert, Node};
use super::tags;
use super::unroll::unroll;
use crate::automaton::Dense;
use crate::error::Fault;
use crate::literals;
use crate::pattern::{PATTERN_LEN_MAX, PATTERN_SIZE_MAX};
use crate::readings::{LazyReadings, Other, Readings, Taken, may_hold_another};
use crate::source::HostNames;

/// Longest pattern with its tags replaced, in bytes; a `<HOST>` becomes about 150 of them.
const EXPANDED_LEN_MAX: usize = 4 * PATTERN_LEN_MAX;
/// Memory of the form for any characters; classes such as `\w` have thousands of them.
const UNICODE_SIZE_MAX: usize = 16 * PATTERN_SIZE_MAX;
/// Memory for the states that a lazy automaton keeps.
const LAZY_CACHE: usize = 4 * 1024 * 1024;
/// Steps that a match may go back and forth, times the length of the longest line that has so many.
/// A step may look at the whole rest of the line, so that the product is what a hostile line costs:
/// about ten milliseconds. An honest line of 200 bytes needs some hundreds of steps.
const STEP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Lengths of lines that have their own number of steps. Longer ones, which only several lines at once
/// can be, have that of the last.
const LENGTHS: [usize; 5] = [256, 1024, 4 * 1024, 16 * 1024, 64 * 1024];

/// Bytes of a subject times bytes of an expression, beyond which it is not told what groups hold. For
/// each byte an expression takes up to 0.9 µs, growing with its size, and a filter has two: the
/// prefregex and a failregex.
const CAPTURE_WORK_MAX: usize = 512 * 1024 * 1024;
/// What every expression can take: web servers refuse requests that would make longer lines.
const CAPTURED_MIN: usize = 8 * 1024;
/// What none can take.
const CAPTURED_MAX: usize = 16 * 1024;

/// How a pattern is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExpressionOptions {
    /// What `<HOST>` may be.
    pub(crate) host_names: HostNames,
    /// `^` and `$` match at every line (`maxlines` above 1).
    pub(crate) multiline: bool,
}

/// A pattern with groups that have names.
#[derive(Debug)]
pub(crate) struct Expression {
    /// The names of groups, with their numbers.
    names: Vec<(String, usize)>,
    groups: usize,
    engine: Engine,
    required: Option<Vec<Vec<u8>>>,
}

#[derive(Debug)]
enum Engine {
    Linear(Box<Linear>),
    Backtracking {
        necessary: Box<Linear>,
        fancy: Box<Backtracking>,
    },
}

/// The limit of steps was reached, so that it is not known whether the pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GaveUp;

/// Where the groups of a match stand in the subject; reused from match to match.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// The whole match first; `None` for a group that took no part.
    spans: Vec<Option<(usize, usize)>>,
    slots: Vec<Option<NonMaxUsize>>,
}

impl Groups {
    /// The whole match.
    pub(crate) fn whole(&self) -> (usize, usize) {
        self.span(0).unwrap_or_default()
    }

    /// The group with this number.
    pub(crate) fn span(&self, number: usize) -> Option<(usize, usize)> {
        self.spans.get(number).copied().flatten()
    }
}

impl Expression {
    /// Compiles `source`, a pattern with fail2ban's tags.
    pub(crate) fn compile(source: &str, options: ExpressionOptions) -> Result<Self, Fault> {
        Self::build(read(source, options)?)
    }

    /// Compiles the pattern of a date, which has no tags. With `begins` and `ends` it does not begin
    /// or end within a word.
    pub(crate) fn of_date(text: &str, begins: bool, ends: bool) -> Result<Self, Fault> {
        let mut pattern = parse::parse(text, false)?;
        let edge = |there: bool| there.then_some(Node::Assert(Assert::WordEdge));
        let parts = [edge(begins), Some(pattern.node), edge(ends)];
        pattern.node = Node::Concat(parts.into_iter().flatten().collect());
        Self::build(pattern)
    }

    fn build(pattern: Pattern) -> Result<Self, Fault> {
        let Pattern {
            node,
            names,
            groups,
        } = pattern;
        let written_out = if node.needs_backtracking() {
            linearize(unroll(node.clone()))
        } else {
            node.clone()
        };
        let node = if written_out.needs_backtracking() {
            node
        } else {
            written_out
        };
        Self::of_tree(&node, names, groups)
    }

    fn of_tree(node: &Node, names: BTreeMap<String, usize>, groups: usize) -> Result<Self, Fault> {
        let (engine, hir) = if node.needs_backtracking() {
            let (necessary, hir) = Linear::new(node, Form::NecessaryAscii, Form::Necessary, false)?;
            let fancy = Box::new(Backtracking::new(node)?);
            let necessary = Box::new(necessary);
            (Engine::Backtracking { necessary, fancy }, hir)
        } else {
            let (linear, hir) = Linear::new(node, Form::LinearAscii, Form::Linear, true)?;
            (Engine::Linear(Box::new(linear)), hir)
        };
        Ok(Self {
            names: names.into_iter().collect(),
            groups,
            engine,
            required: literals::required(&hir, may_be_cut_between),
        })
    }

    /// The number of the group with this name.
    pub(crate) fn group(&self, name: &str) -> Option<usize> {
        let mut names = self.names.iter();
        names
            .find(|(own, _)| own == name)
            .map(|(_, number)| *number)
    }

    /// The names of groups and their numbers, by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names
            .iter()
            .map(|(name, number)| (name.as_str(), *number))
    }

    /// Texts of which a line must contain at least one, if there are useful ones. They hold for the
    /// line as it is, wherever its date is cut out at the ends of words.
    pub(crate) fn required(&self) -> Option<&[Vec<u8>]> {
        self.required.as_deref()
    }

    /// Whether matching takes time linear in the subject.
    pub(crate) fn is_linear(&self) -> bool {
        matches!(self.engine, Engine::Linear(_))
    }

    /// Another address that `subject`, which matches, can be read with than what was taken from it.
    /// `ids` are the groups that can hold the id, the preferred ones first.
    ///
    /// A linear expression is asked for all its readings. Of one that goes back and forth it is asked
    /// whether it finds another where the first cannot be seen.
    pub(crate) fn other(&self, subject: &str, taken: Taken, ids: &[usize]) -> Other {
        if !may_hold_another(subject.as_bytes(), taken) {
            return Other::Nobody;
        }
        if let Engine::Linear(linear) = &self.engine {
            return linear.other(subject, taken, ids);
        }
        let blinded = blinded(subject, taken.span);
        let mut groups = Groups::default();
        match self.find(&blinded, &mut groups) {
            Err(GaveUp) => Other::Unknown,
            Ok(false) => Other::Nobody,
            Ok(true) => {
                let text = ids.iter().find_map(|&id| groups.span(id));
                let text = text.and_then(|(start, end)| blinded.get(start..end));
                let addr = text.and_then(|text| parse_addr(text.as_bytes()).ok());
                let addr = addr.filter(|&addr| Some(addr) != taken.addr);
                addr.map_or(Other::Nobody, Other::Addr)
            }
        }
    }

    /// An automaton for a match at the beginning of a subject of ASCII; `None` for an expression that is
    /// too large or not linear.
    pub(crate) fn at_beginning(&self) -> Option<Dense> {
        match &self.engine {
            Engine::Linear(linear) => Dense::first(&parsed(&linear.ascii_text, false).ok()?),
            Engine::Backtracking { .. } => None,
        }
    }

    /// Looks for the leftmost match in `subject`, whose lines all end in a line feed, as fail2ban
    /// shows them to Python; `groups` has it if there is one.
    pub(crate) fn find(&self, subject: &str, groups: &mut Groups) -> Result<bool, GaveUp> {
        self.find_between(subject, subject.is_ascii(), (0, subject.len()), groups)
    }

    /// The same in the part `from..to`, where `^` is still the beginning of the subject, and the end
    /// is that of the part. `ascii` says whether the subject is.
    pub(crate) fn find_between(
        &self,
        subject: &str,
        ascii: bool,
        (from, to): (usize, usize),
        groups: &mut Groups,
    ) -> Result<bool, GaveUp> {
        groups.spans.clear();
        let subject = subject.get(..to).unwrap_or_default();
        let input = Input::new(subject).range(from.min(subject.len())..);
        match &self.engine {
            Engine::Linear(linear) => linear.find(&input, ascii, self.groups, groups),
            Engine::Backtracking { necessary, fancy } => {
                if !necessary.regex(ascii)?.is_match(input) {
                    return Ok(false);
                }
                let regex = fancy.of_length(subject.len())?;
                let found = regex.captures_from_pos(subject, from.min(subject.len()));
                let Some(found) = found.map_err(|_| GaveUp)? else {
                    return Ok(false);
                };
                let span = |number| found.get(number).map(|group| (group.start(), group.end()));
                groups.spans.extend((0..=self.groups).map(span));
                Ok(true)
            }
        }
    }
}

/// A linear expression in its two forms.
#[derive(Debug)]
struct Linear {
    ascii: Regex,
    /// How that is written.
    ascii_text: String,
    /// The form for any characters, as it is written and when it was needed; `None` where it needs
    /// more memory than it may have.
    text: String,
    unicode: OnceLock<Option<Regex>>,
    /// The group that each capture of the engine is; none where it does not capture.
    captures: Vec<usize>,
    ascii_readings: LazyReadings,
    unicode_readings: LazyReadings,
    /// Finds the same in a subject of ASCII, mostly, and faster.
    chain: Option<Chain>,
}

impl Linear {
    fn new(node: &Node, ascii: Form, unicode: Form, captures: bool) -> Result<(Self, Hir), Fault> {
        let ascii_text = render(node, ascii);
        let hir = parsed(&ascii_text, false)?;
        let captures = if captures { captured(node) } else { Vec::new() };
        let linear = Self {
            ascii: regex(&hir, !captures.is_empty(), PATTERN_SIZE_MAX)?,
            ascii_text,
            text: render(node, unicode),
            unicode: OnceLock::new(),
            chain: captures.first().and_then(|_| Chain::new(node)),
            captures,
            ascii_readings: LazyReadings::default(),
            unicode_readings: LazyReadings::default(),
        };
        // What is wrong with the other form is to be known now, not when a line needs it.
        parsed(&linear.text, true)?;
        Ok((linear, hir))
    }

    fn regex(&self, ascii: bool) -> Result<&Regex, GaveUp> {
        if ascii {
            return Ok(&self.ascii);
        }
        let build = || {
            let hir = parsed(&self.text, true).ok()?;
            regex(&hir, !self.captures.is_empty(), UNICODE_SIZE_MAX).ok()
        };
        self.unicode.get_or_init(build).as_ref().ok_or(GaveUp)
    }

    fn find(
        &self,
        input: &Input<'_>,
        ascii: bool,
        count: usize,
        groups: &mut Groups,
    ) -> Result<bool, GaveUp> {
        if let Some(chain) = self.chain.as_ref().filter(|_| ascii && input.start() == 0) {
            groups.spans.resize(count + 1, None);
            match chain.find(input.haystack(), &mut groups.spans) {
                Found::Yes => return Ok(true),
                Found::No => {
                    groups.spans.clear();
                    return Ok(false);
                }
                Found::Unknown => groups.spans.clear(),
            }
        }
        let regex = self.regex(ascii)?;
        if is_dear(regex, input.get_span().len()) && !self.captures.is_empty() {
            return match regex.is_match(input.clone()) {
                true => Err(GaveUp),
                false => Ok(false),
            };
        }
        groups.slots.clear();
        groups.slots.resize(2 * (self.captures.len() + 1), None);
        if regex.search_slots(input, &mut groups.slots).is_none() {
            return Ok(false);
        }
        groups.spans.resize(count + 1, None);
        let numbers = std::iter::once(&0).chain(&self.captures);
        for (&number, pair) in numbers.zip(groups.slots.chunks_exact(2)) {
            if let [Some(start), Some(end)] = pair
                && let Some(span) = groups.spans.get_mut(number)
            {
                *span = Some((start.get(), end.get()));
            }
        }
        Ok(true)
    }
}

impl Linear {
    fn other(&self, subject: &str, taken: Taken, ids: &[usize]) -> Other {
        let ascii = subject.is_ascii();
        let (readings, text) = match ascii {
            true => (&self.ascii_readings, &self.ascii_text),
            false => (&self.unicode_readings, &self.text),
        };
        readings.other(subject.as_bytes(), taken, || {
            Readings::of(&parsed(text, !ascii).ok()?, &self.indexes(ids))
        })
    }

    /// The engine's captures of these groups, in the same order.
    fn indexes(&self, groups: &[usize]) -> Vec<u32> {
        let captures = |group: &usize| {
            let of = self.captures.iter().enumerate();
            let of = of.filter(|(_, own)| *own == group);
            of.filter_map(|(i, _)| u32::try_from(i + 1).ok())
                .collect::<Vec<_>>()
        };
        groups.iter().flat_map(captures).collect()
    }
}

/// Replaces the tags of `source` and reads it.
pub(super) fn read(source: &str, options: ExpressionOptions) -> Result<Pattern, Fault> {
    let expanded = tags::expand(source, options.host_names);
    let len = expanded.text.len();
    if len > EXPANDED_LEN_MAX {
        let message =
            format!("the pattern has {len} bytes, more than the {EXPANDED_LEN_MAX} allowed");
        return Err(Fault::whole(message));
    }
    if expanded.text.trim().is_empty() {
        return Err(Fault::whole("the pattern is empty"));
    }
    let in_source = |fault: Fault| Fault {
        offset: fault.offset.map(|at| expanded.author_offset(at)),
        ..fault
    };
    parse::parse(&expanded.text, options.multiline).map_err(in_source)
}

/// `subject` without the text at `span`, so that nothing can be read there any more. The byte that
/// stands for it belongs to no address, name or word, but to whatever else may stand in a field.
fn blinded(subject: &str, (start, end): (usize, usize)) -> String {
    let before = subject.get(..start).unwrap_or_default();
    let after = subject.get(end..).unwrap_or_default();
    [before, &"~".repeat(end.saturating_sub(start)), after].concat()
}

pub(super) fn parsed(text: &str, unicode: bool) -> Result<Hir, Fault> {
    ParserBuilder::new()
        .utf8(unicode)
        .unicode(unicode)
        // Each group of the author's becomes up to three.
        .nest_limit(1000)
        .build()
        .parse(text)
        .map_err(|error| Fault::whole(error.to_string().replace('\n', " ")))
}

/// Whether it would take too long to tell what the groups of a match in a subject of `bytes` hold.
fn is_dear(regex: &Regex, bytes: usize) -> bool {
    let max = (CAPTURE_WORK_MAX / regex.memory_usage().max(1)).clamp(CAPTURED_MIN, CAPTURED_MAX);
    bytes > max
}

fn regex(hir: &Hir, captures: bool, size_max: usize) -> Result<Regex, Fault> {
    let which = if captures {
        WhichCaptures::All
    } else {
        WhichCaptures::Implicit
    };
    let config = Regex::config()
        .utf8_empty(false)
        .match_kind(MatchKind::LeftmostFirst)
        .nfa_size_limit(Some(size_max))
        .hybrid_cache_capacity(LAZY_CACHE)
        .which_captures(which);
    Regex::builder()
        .configure(config)
        .build_from_hir(hir)
        .map_err(|error| match error.size_limit() {
            Some(limit) => Fault::whole(format!(
                "the compiled pattern needs more than the {limit} bytes allowed"
            ))
            .hint("use smaller counts in {n,m}, or none"),
            None => Fault::whole(error.to_string()),
        })
}

/// An expression that goes back and forth, for lines of each length; made when one is needed.
#[derive(Debug)]
struct Backtracking {
    text: String,
    of_length: [OnceLock<Option<fancy_regex::Regex>>; LENGTHS.len()],
}

impl Backtracking {
    fn new(node: &Node) -> Result<Self, Fault> {
        let new = Self {
            text: render(node, Form::Backtracking),
            of_length: Default::default(),
        };
        // What is wrong with it is to be known now.
        let regex = new
            .build(0)
            .map_err(|error| Fault::whole(error.to_string().replace('\n', " ")))?;
        let [first, ..] = &new.of_length;
        drop(first.set(Some(regex)));
        Ok(new)
    }

    fn build(&self, length: usize) -> Result<fancy_regex::Regex, Box<fancy_regex::Error>> {
        fancy_regex::RegexBuilder::new(&self.text)
            .backtrack_limit(steps(length))
            .delegate_size_limit(UNICODE_SIZE_MAX)
            .build()
            .map_err(Box::new)
    }

    /// For a subject of `bytes`.
    fn of_length(&self, bytes: usize) -> Result<&fancy_regex::Regex, GaveUp> {
        let length = LENGTHS.partition_point(|&max| max < bytes);
        let length = length.min(LENGTHS.len() - 1);
        let regex = self.of_length.get(length).ok_or(GaveUp)?;
        let regex = regex.get_or_init(|| self.build(length).ok());
        regex.as_ref().ok_or(GaveUp)
    }
}

/// Steps of lines of a length, which is one of [`LENGTHS`] by its place there.
fn steps(length: usize) -> usize {
    let bytes = LENGTHS.get(length).copied().unwrap_or(usize::MAX);
    STEP_BYTES_MAX / bytes
}

/// May a date be cut out between these neighbouring bytes of what remains? Dates begin and end at
/// the end of a word, so that only within one nothing was cut.
fn may_be_cut_between(before: u8, after: u8) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !(word(before) && word(after))
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
