//! The ways in which the patterns of a filter name an address.

use std::net::IpAddr;

use regex_syntax::hir::{Capture, Hir};

use super::language::{Language, TooLarge, common};
use super::patterns::{Pattern, Patterns, inside, replaced};
use super::{FORGED_V4, FORGED_V6, HONEST_V4, HONEST_V6};
use crate::context::contexts;

/// One failregex and the address that it names.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) pattern: usize,
    /// The lines are whole ones, not what the prefregex leaves of them.
    pub(super) whole: bool,
    /// See [`Pattern::exact`].
    pub(super) exact: bool,
    /// All lines of the pattern.
    pub(super) lines: Language,
    /// The lines that name this address.
    naming: Vec<(IpAddr, Language)>,
}

impl Reading {
    /// The lines that name `addr`, which is one of those that are tried; `None` if it cannot.
    pub(super) fn naming(&self, addr: IpAddr) -> Option<&Language> {
        let mut naming = self.naming.iter();
        naming
            .find(|(own, _)| *own == addr)
            .map(|(_, language)| language)
    }
}

/// The readings of a filter, and the failregexes that have none because they cannot be looked at.
pub(super) fn all(patterns: &Patterns) -> (Vec<Reading>, Vec<usize>) {
    let mut readings = Vec::new();
    let mut unproved = Vec::new();
    for (i, pattern) in patterns.fail.iter().enumerate() {
        let reading = pattern.as_ref().and_then(|own| match own.ids.is_empty() {
            false => Reading::of(i, own, false),
            true => Reading::of(i, &with_content(patterns, own)?, true),
        });
        match reading {
            Some(reading) => readings.push(reading),
            None => unproved.push(i),
        }
    }
    (readings, unproved)
}

/// The prefregex, which names the id, around one content that `fail` matches.
fn with_content(patterns: &Patterns, fail: &Pattern) -> Option<Pattern> {
    let prefix = patterns.prefix.as_ref()?.as_ref()?;
    let content = Language::of_lines(fail.hir.clone())?.shortest()?;
    let index = prefix.content?;
    let becomes = |capture: &Capture| {
        let is_content = capture.index == index;
        is_content.then(|| Hir::literal(content.as_slice()))
    };
    Some(Pattern {
        hir: replaced(&prefix.hir, &becomes),
        exact: prefix.exact && fail.exact,
        ..prefix.clone()
    })
}

impl Reading {
    /// `None` where an automaton would be too large.
    fn of(number: usize, pattern: &Pattern, whole: bool) -> Option<Self> {
        let mut naming = Vec::new();
        for addr in [HONEST_V4, FORGED_V4, HONEST_V6, FORGED_V6] {
            let text = written(addr);
            let ways = ways(pattern, text.as_bytes());
            if !ways.is_empty() {
                naming.push((addr, Language::of_lines(Hir::alternation(ways))?));
            }
        }
        Some(Self {
            pattern: number,
            whole,
            exact: pattern.exact,
            lines: Language::of_lines(pattern.hir.clone())?,
            naming,
        })
    }
}

/// The ways through a pattern on which `text` is its id. Where an id of higher rank takes part too,
/// this one does not count.
fn ways(pattern: &Pattern, text: &[u8]) -> Vec<Hir> {
    let mut ways = Vec::new();
    for (i, id) in pattern.ids.iter().enumerate() {
        let preferred = pattern.ids.get(..i).unwrap_or_default();
        if !can_be(&pattern.hir, *id, text) {
            continue;
        }
        for context in contexts(&pattern.hir, &|capture: &Capture| capture.index == *id) {
            if !context.passes(&|capture: &Capture| preferred.contains(&capture.index)) {
                ways.push(context.with(text));
            }
        }
    }
    ways
}

/// An address as it is put into patterns: [`FORGED_V6`] so that it begins as [`HONEST_V6`] does.
fn written(addr: IpAddr) -> String {
    if addr == FORGED_V6 {
        return "2001:db8::7:8:9:a:b".to_owned();
    }
    addr.to_string()
}

fn can_be(hir: &Hir, id: u32, text: &[u8]) -> bool {
    let group = inside(hir, id).and_then(Language::of_texts);
    let text = Language::of_texts(&Hir::literal(text));
    match (group, text) {
        (Some(group), Some(text)) => !matches!(common(&group, &text), Ok(None)),
        _ => true,
    }
}

/// What a prefregex wants to stand around its content, as short as can be.
#[derive(Debug, Default)]
pub(super) struct Wrapping {
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Stands for the content, and for nothing else that a shortest line could hold.
const CONTENT: &[u8] = b"\x01content\x01";

impl Wrapping {
    /// The wrapping of a filter; nothing without a prefregex.
    pub(super) fn of(patterns: &Patterns) -> Result<Self, TooLarge> {
        let Some(prefix) = &patterns.prefix else {
            return Ok(Self::default());
        };
        let prefix = prefix.as_ref().ok_or(TooLarge)?;
        let Some(content) = prefix.content else {
            return Ok(Self::default());
        };
        let is_content = |capture: &Capture| capture.index == content;
        let around = contexts(&prefix.hir, &is_content);
        let around = around.iter().map(|context| context.with(CONTENT)).collect();
        let line = Language::of_lines(Hir::alternation(around))
            .and_then(|language| language.shortest())
            .ok_or(TooLarge)?;
        let at = memchr::memmem::find(&line, CONTENT).ok_or(TooLarge)?;
        let (before, rest) = line.split_at(at);
        Ok(Self {
            before: before.to_vec(),
            after: rest.get(CONTENT.len()..).unwrap_or_default().to_vec(),
        })
    }

    pub(super) fn around(&self, content: &[u8]) -> Vec<u8> {
        [self.before.as_slice(), content, &self.after].concat()
    }
}
