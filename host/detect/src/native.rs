//! Patterns in the native dialect: lines in, failures out.

use std::net::IpAddr;

use regex_automata::util::primitives::NonMaxUsize;
use regex_syntax::hir::{Hir, HirKind, Look};
use stockade_core::FailureId;

use crate::automaton::Dense;
use crate::dates;
use crate::error::{Fault, PatternError, PatternPlace};
use crate::filter::{PATTERNS_MAX, check_counts};
use crate::literals;
use crate::pattern::{self, IdText, Parsed, Pattern};
use crate::prefilter::{Needs, bit};
use crate::readings::Other;
use crate::shape::{Places, Reading, UserText};
use crate::source::FilterSource;
use crate::tags::Role;

/// The patterns of a filter, compiled.
#[derive(Debug)]
pub(crate) struct Native {
    prefix: Option<Prefix>,
    fail: Vec<Pattern>,
    ignore: Vec<Pattern>,
    needs: Needs,
}

/// Scratch space for matching, reused from line to line.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    slots: Vec<Option<NonMaxUsize>>,
    places: Places,
}

/// What a filter says about a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Missed,
    Ignored {
        pattern: usize,
    },
    Ambiguous {
        pattern: usize,
        readings: Vec<IpAddr>,
    },
    Matched {
        pattern: usize,
        id: FailureId,
        user: Option<(usize, usize)>,
    },
}

/// What one pattern says about a text.
pub(crate) enum Match {
    Miss,
    /// The addresses, as far as they are known.
    Ambiguous(Vec<IpAddr>),
    Found {
        /// `None` where the pattern has no id of its own.
        id: Option<FailureId>,
        user: Option<(usize, usize)>,
    },
}

impl Native {
    pub(crate) fn compile(source: &FilterSource) -> Result<Self, Vec<PatternError>> {
        let mut errors = Vec::new();
        let mut keep = |result: Result<(Parsed, Pattern), Fault>, which| match result {
            Ok(pattern) => Some(pattern),
            Err(fault) => {
                errors.push(fault.in_place(which));
                None
            }
        };
        let prefix = source
            .prefregex
            .as_deref()
            .and_then(|text| keep(compile(text, true), PatternPlace::Prefregex));
        let prefix_broken = source.prefregex.is_some() && prefix.is_none();
        let prefix_id = prefix_broken || prefix.as_ref().is_some_and(|(_, p)| p.has_id());
        let mut fail = Vec::new();
        for (i, text) in source.failregex.iter().take(PATTERNS_MAX).enumerate() {
            let compiled = compile(text, false).and_then(|(parsed, pattern)| {
                if prefix_id || parsed.translated.has_id() {
                    Ok((parsed, pattern))
                } else {
                    Err(Fault::whole("failregex has no <HOST>, <ADDR> or <F-ID>")
                        .hint("write <ADDR> where the address of the attacker stands"))
                }
            });
            fail.extend(keep(compiled, PatternPlace::Failregex(i)));
        }
        let mut ignore = Vec::new();
        for (i, text) in source.ignoreregex.iter().take(PATTERNS_MAX).enumerate() {
            ignore.extend(keep(compile(text, false), PatternPlace::Ignoreregex(i)));
        }
        if let Some(fault) = check_counts(source) {
            errors.push(fault);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let needs = needs(prefix.as_ref().map(|(parsed, _)| parsed), &fail);
        Ok(Self {
            prefix: prefix.map(|(parsed, pattern)| Prefix::new(&parsed, pattern)),
            fail: fail.into_iter().map(|(_, pattern)| pattern).collect(),
            ignore: ignore.into_iter().map(|(_, pattern)| pattern).collect(),
            needs,
        })
    }

    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Judges `subject`, a line without its date. `candidates` says which patterns can match at
    /// all, see [`bit`].
    pub(crate) fn judge(&self, subject: &[u8], candidates: u64, scratch: &mut Scratch) -> Verdict {
        let (content, prefix_id) = match &self.prefix {
            None => ((0, subject.len()), None),
            Some(prefix) => match prefix.content(subject, scratch) {
                Some(found) => found,
                None => return Verdict::Missed,
            },
        };
        let text = subject.get(content.0..content.1).unwrap_or_default();
        let may_match = self.fail.iter().enumerate();
        for (i, pattern) in may_match.filter(|(i, _)| candidates & bit(*i) != 0) {
            let (id, user) = match find(pattern, text, scratch) {
                Match::Miss => continue,
                Match::Ambiguous(readings) => {
                    return self.unless_ignored(subject, text, scratch, || Verdict::Ambiguous {
                        pattern: i,
                        readings,
                    });
                }
                Match::Found { id, user } => (id, user),
            };
            // A match that names nobody is none; fail2ban's address tags do not match then either.
            let id = match id {
                Some(id) => id,
                None => match self.id_of_prefix(subject, prefix_id) {
                    None => continue,
                    Some(Ok(id)) => id,
                    Some(Err(readings)) => {
                        return self.unless_ignored(subject, text, scratch, || {
                            Verdict::Ambiguous {
                                pattern: i,
                                readings,
                            }
                        });
                    }
                },
            };
            let user = user.map(|(start, end)| (content.0 + start, content.0 + end));
            return self.unless_ignored(subject, text, scratch, || Verdict::Matched {
                pattern: i,
                id,
                user,
            });
        }
        Verdict::Missed
    }

    /// The id that the prefregex names, or the addresses that it can be read with.
    fn id_of_prefix(
        &self,
        subject: &[u8],
        place: Option<IdText>,
    ) -> Option<Result<FailureId, Vec<IpAddr>>> {
        let (prefix, place) = (self.prefix.as_ref()?, place?);
        let id = place.read(subject)?;
        Some(match prefix.pattern.other(subject, place, &id) {
            Other::Nobody => Ok(id),
            other => Err(both(&id, other)),
        })
    }

    /// fail2ban shows the ignoreregexes now the line, now its content, depending on how many there
    /// are; here either is enough, so that nobody is banned whom one of them would have spared.
    fn unless_ignored(
        &self,
        subject: &[u8],
        content: &[u8],
        scratch: &mut Scratch,
        verdict: impl FnOnce() -> Verdict,
    ) -> Verdict {
        let slots = &mut scratch.slots;
        let ignored = self.ignore.iter().position(|pattern| {
            pattern.captures(subject, slots).is_some()
                || (content.len() != subject.len() && pattern.captures(content, slots).is_some())
        });
        match ignored {
            Some(pattern) => Verdict::Ignored { pattern },
            None => verdict(),
        }
    }
}

fn compile(text: &str, content: bool) -> Result<(Parsed, Pattern), Fault> {
    let parsed = pattern::parse(text, content)?;
    let pattern = Pattern::build(&parsed, !content)?;
    Ok((parsed, pattern))
}

/// The texts without which no line can be a failure: those of the failregexes, which tell more,
/// or else those of the prefregex.
fn needs(prefix: Option<&Parsed>, fail: &[(Parsed, Pattern)]) -> Needs {
    let required = |parsed: &Parsed| literals::required(&parsed.hir, dates::may_be_cut_between);
    let sets: Option<Vec<_>> = fail.iter().map(|(parsed, _)| required(parsed)).collect();
    if let Some(sets) = sets {
        let with_bits = sets
            .into_iter()
            .enumerate()
            .flat_map(|(i, set)| set.into_iter().map(move |text| (text, bit(i))));
        return Needs::Texts(with_bits.collect());
    }
    match prefix.and_then(required) {
        Some(set) => Needs::Texts(set.into_iter().map(|text| (text, u64::MAX)).collect()),
        None => Needs::Every,
    }
}

/// Matches one pattern, by its shape where it has one.
pub(crate) fn find(pattern: &Pattern, text: &[u8], scratch: &mut Scratch) -> Match {
    if let Some(shape) = &pattern.shape {
        match shape.read(text, &mut scratch.places) {
            Reading::Miss => return Match::Miss,
            Reading::Several(first, second) if shape.anchored => {
                return Match::Ambiguous(first.into_iter().chain(second).collect());
            }
            Reading::One { addr, user } => {
                let user = match user {
                    UserText::Known(user) => user,
                    UserText::Unknown if !pattern.has_user() => None,
                    UserText::Unknown => pattern
                        .captures(text, &mut scratch.slots)
                        .and_then(|captured| captured.user),
                };
                return Match::Found {
                    id: Some(FailureId::Addr(addr)),
                    user,
                };
            }
            Reading::Several(..) | Reading::Unsure => {}
        }
    }
    let Some(captured) = pattern.captures(text, &mut scratch.slots) else {
        return Match::Miss;
    };
    let user = captured.user;
    let Some(place) = captured.id else {
        return match pattern.has_id() {
            true => Match::Miss,
            false => Match::Found { id: None, user },
        };
    };
    let Some(id) = place.read(text) else {
        return Match::Miss;
    };
    match pattern.other(text, place, &id) {
        Other::Nobody => Match::Found { id: Some(id), user },
        other => Match::Ambiguous(both(&id, other)),
    }
}

/// The addresses of a line that can be read in two ways, as far as they are known.
fn both(id: &FailureId, other: Other) -> Vec<IpAddr> {
    let first = match id {
        FailureId::Addr(addr) => Some(*addr),
        FailureId::Subnet(net) => Some(net.addr()),
        FailureId::Text(_) => None,
    };
    let second = match other {
        Other::Addr(addr) => Some(addr),
        Other::Nobody | Other::Unknown => None,
    };
    first.into_iter().chain(second).collect()
}

/// A compiled prefregex.
#[derive(Debug)]
pub(crate) struct Prefix {
    pattern: Pattern,
    /// Finds the end of what stands before a content that is the rest of the line, and how long
    /// that rest must be at least.
    quick: Option<(Dense, usize)>,
}

impl Prefix {
    pub(crate) fn compile(text: &str) -> Result<Self, Fault> {
        let (parsed, pattern) = compile(text, true)?;
        Ok(Self::new(&parsed, pattern))
    }

    /// Whether it names an id or a user.
    pub(crate) fn has_more_than_content(&self) -> bool {
        self.pattern.has_more_than_content()
    }

    fn new(parsed: &Parsed, pattern: Pattern) -> Self {
        let quick = if pattern.has_more_than_content() {
            None
        } else {
            rest_of_line(parsed)
        };
        Self { pattern, quick }
    }

    /// Where the content stands and the id, if the prefregex names one; `None` for a miss.
    pub(crate) fn content(
        &self,
        subject: &[u8],
        scratch: &mut Scratch,
    ) -> Option<((usize, usize), Option<IdText>)> {
        if let Some((dfa, rest_min)) = &self.quick
            && let Ok(end) = dfa.first_end(subject)
        {
            match end {
                None => return None,
                Some(end) if subject.len() - end >= *rest_min => {
                    return Some(((end, subject.len()), None));
                }
                // Another way to match what stands before may leave enough.
                Some(_) => {}
            }
        }
        let captured = self.pattern.captures(subject, &mut scratch.slots)?;
        let content = captured.content.unwrap_or((0, subject.len()));
        Some((content, captured.id))
    }
}

/// The automaton for `^X` and the least length of the content in `^X<F-CONTENT>.*</F-CONTENT>$`.
fn rest_of_line(parsed: &Parsed) -> Option<(Dense, usize)> {
    let parts = pattern::parts(&parsed.hir);
    let group = parsed
        .translated
        .groups
        .iter()
        .find(|group| group.role == Role::Content)?;
    let at = parts.iter().position(|part| {
        matches!(part.kind(), HirKind::Capture(capture)
            if capture.name.as_deref() == Some(&group.name))
    })?;
    let after = parts.get(at + 1..)?;
    let ends = matches!(after, [end] if matches!(end.kind(), HirKind::Look(Look::End)));
    let starts = parts
        .first()
        .is_some_and(|part| matches!(part.kind(), HirKind::Look(Look::Start)));
    let min = crate::shape::any_rest(parts.get(at)?)?;
    if !ends || !starts {
        return None;
    }
    let before: Vec<Hir> = parts.iter().take(at).map(|&part| part.clone()).collect();
    Some((Dense::first(&Hir::concat(before))?, min))
}

#[cfg(test)]
mod tests;
