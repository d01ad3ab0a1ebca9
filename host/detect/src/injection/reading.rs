//! The ways in which the patterns of a filter name an address.

use std::net::IpAddr;

use regex_syntax::hir::{Capture, Hir, HirKind, Repetition};

use super::language::{Language, TooLarge};
use super::{FORGED_V4, FORGED_V6, HONEST_V4, HONEST_V6};
use crate::pattern::{self, Parsed};
use crate::source::FilterSource;
use crate::tags::Role;

pub(super) type Readings = Vec<Reading>;

/// One id of one failregex.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) pattern: usize,
    /// All lines of the pattern.
    pub(super) lines: Language,
    /// The lines that name this address there.
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

/// All readings of a filter, and the failregexes of which not all readings are among them.
pub(super) fn all(source: &FilterSource) -> (Readings, Vec<usize>) {
    let mut readings = Vec::new();
    let mut unproved = Vec::new();
    for (i, text) in source.failregex.iter().enumerate() {
        match pattern::parse(text, false) {
            Ok(parsed) if parsed.translated.has_id() => {
                let complete = add(&parsed, i, &mut readings);
                unproved.extend((!complete).then_some(i));
            }
            // The prefregex names the id.
            _ => unproved.push(i),
        }
    }
    (readings, unproved)
}

/// Adds the readings of one pattern; says whether these are all.
fn add(parsed: &Parsed, pattern: usize, readings: &mut Readings) -> bool {
    let mut complete = true;
    let mut earlier: Vec<&str> = Vec::new();
    for role in [Role::Id, Role::Addr] {
        for group in parsed.translated.groups.iter().filter(|g| g.role == role) {
            let mut naming = Vec::new();
            for addr in [HONEST_V4, FORGED_V4, HONEST_V6, FORGED_V6] {
                let text = written(addr);
                if !can_be(&parsed.hir, &group.name, text.as_bytes()) {
                    continue;
                }
                let Some(hir) = through(&parsed.hir, &group.name, text.as_bytes()) else {
                    continue;
                };
                // Where an id of higher rank takes part too, this one does not count.
                if earlier.iter().any(|name| inside(&hir, name).is_some()) {
                    continue;
                }
                match Language::of_lines(hir) {
                    Some(language) => naming.push((addr, language)),
                    None => complete = false,
                }
            }
            earlier.push(&group.name);
            match Language::of_lines(parsed.hir.clone()) {
                Some(lines) => readings.push(Reading {
                    pattern,
                    lines,
                    naming,
                }),
                None => complete = false,
            }
        }
    }
    complete
}

/// An address as it is put into patterns: [`FORGED_V6`] so that it begins as [`HONEST_V6`] does.
fn written(addr: IpAddr) -> String {
    if addr == FORGED_V6 {
        return "2001:db8::7:8:9:a:b".to_owned();
    }
    addr.to_string()
}

/// What stands in the group with this name.
fn inside<'a>(hir: &'a Hir, name: &str) -> Option<&'a Hir> {
    match hir.kind() {
        HirKind::Capture(capture) if capture.name.as_deref() == Some(name) => Some(&capture.sub),
        _ => hir.kind().subs().iter().find_map(|sub| inside(sub, name)),
    }
}

fn can_be(hir: &Hir, name: &str, text: &[u8]) -> bool {
    let group = inside(hir, name).and_then(Language::of_texts);
    let text = Language::of_texts(&Hir::literal(text));
    match (group, text) {
        (Some(group), Some(text)) => !matches!(super::language::common(&group, &text), Ok(None)),
        _ => true,
    }
}

/// The pattern with `text` in place of the group, through which every match has to go.
fn through(hir: &Hir, name: &str, text: &[u8]) -> Option<Hir> {
    match hir.kind() {
        HirKind::Capture(capture) if capture.name.as_deref() == Some(name) => {
            Some(Hir::literal(text))
        }
        HirKind::Capture(capture) => {
            let sub = Box::new(through(&capture.sub, name, text)?);
            Some(Hir::capture(Capture {
                sub,
                ..capture.clone()
            }))
        }
        HirKind::Repetition(repetition) => {
            let once = through(&repetition.sub, name, text)?;
            if repetition.max == Some(1) {
                return Some(once);
            }
            // The last repetition is what a group holds in the end.
            let before = Hir::repetition(Repetition {
                min: repetition.min.saturating_sub(1),
                max: repetition.max.map(|max| max.saturating_sub(1)),
                ..repetition.clone()
            });
            Some(Hir::concat(vec![before, once]))
        }
        HirKind::Concat(parts) => {
            let at = parts.iter().position(|part| inside_any(part, name))?;
            let replaced = parts.iter().enumerate().map(|(i, part)| match i == at {
                true => through(part, name, text),
                false => Some(part.clone()),
            });
            replaced.collect::<Option<Vec<Hir>>>().map(Hir::concat)
        }
        HirKind::Alternation(parts) => {
            let kept: Vec<Hir> = parts
                .iter()
                .filter_map(|part| through(part, name, text))
                .collect();
            (!kept.is_empty()).then(|| Hir::alternation(kept))
        }
        _ => None,
    }
}

fn inside_any(hir: &Hir, name: &str) -> bool {
    inside(hir, name).is_some()
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
    pub(super) fn of(source: &FilterSource) -> Result<Self, TooLarge> {
        let Some(text) = &source.prefregex else {
            return Ok(Self::default());
        };
        let parsed = pattern::parse(text, true).map_err(|_| TooLarge)?;
        let mut groups = parsed.translated.groups.iter();
        let Some(content) = groups.find(|group| group.role == Role::Content) else {
            return Ok(Self::default());
        };
        let line = through(&parsed.hir, &content.name, CONTENT)
            .and_then(Language::of_lines)
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
