//! The search for lines that deceive a filter.

use std::net::IpAddr;

use regex_syntax::hir::Hir;
use stockade_core::{FailureId, Span};

use super::fields::{Fields, Found};
use super::language::{Language, TooLarge, common};
use super::patterns::Patterns;
use super::reading::{self, Reading, Wrapping};
use super::samples::{self, Sample};
use super::{
    ADDRESSES, Examination, FORGED_V4, FORGED_V6, HONEST_V4, HONEST_V6, Trick, Verdict, Weakness,
    explain, judge, typical,
};
use crate::context::any_text;
use crate::explain::Outcome;
use crate::filter::Filter;
use crate::source::{DatePattern, FilterSource};

/// Lines that are made of each pattern without a sample; more differ in what may be missing only.
const MADE_MAX: usize = 4;
/// What stands around a forged message.
const BEFORE: &[u8] = b"a message of another kind from 198.51.100.7 about ";
const AFTER: &[u8] = b" and the end of it";

/// A filter under attack, and what was found so far.
pub(super) struct Attack<'a> {
    filter: &'a Filter,
    /// The same without dates, which takes a fraction of the time; what deceives it is shown to the
    /// filter itself.
    undated: Option<Filter>,
    patterns: Patterns,
    found: Examination,
}

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// It bans whom it should not.
    Weak,
    /// It bans nobody, since it is ambiguous.
    Hides,
    /// The filter takes it for what it is, or for nothing.
    Harmless,
    /// It is no failure at all.
    Missed,
}

impl<'a> Attack<'a> {
    pub(super) fn on(filter: &'a Filter) -> Self {
        let undated = FilterSource {
            datepattern: DatePattern::None,
            ..filter.source().clone()
        };
        Self {
            undated: Filter::compile(&undated).ok(),
            filter,
            patterns: Patterns::of(filter.source()),
            found: Examination::default(),
        }
    }

    /// What judges lines without a date.
    fn quick(&self) -> &Filter {
        self.undated.as_ref().unwrap_or(self.filter)
    }

    pub(super) fn done(mut self) -> Examination {
        self.found.unproved.sort_unstable();
        self.found.unproved.dedup();
        self.found
    }

    /// Looks for two readings and forged messages.
    pub(super) fn by_readings(&mut self) {
        let (readings, unproved) = reading::all(&self.patterns);
        self.found.unproved.extend(unproved);
        match Wrapping::of(&self.patterns) {
            Ok(wrapping) => {
                self.two_readings(&readings, &wrapping);
                self.forged_messages(&readings, &wrapping);
            }
            Err(TooLarge) => {
                let all = 0..self.filter.source().failregex.len();
                self.found.unproved.extend(all);
            }
        }
    }

    /// Notes `line` if `forged` is banned for it, or could be.
    fn try_line(&mut self, line: Vec<u8>, forged: IpAddr, trick: &Trick) -> Tried {
        self.try_dated(b"", line, forged, trick)
    }

    /// The same for a line whose date stands before it.
    fn try_dated(&mut self, date: &[u8], line: Vec<u8>, forged: IpAddr, trick: &Trick) -> Tried {
        match judge(self.quick(), &line) {
            Verdict::Nothing => return Tried::Missed,
            Verdict::Banned(_, banned) if banned != FailureId::from_addr(forged) => {
                return Tried::Harmless;
            }
            _ => {}
        }
        let line = [date, &line].concat();
        match judge(self.filter, &line) {
            Verdict::Banned(pattern, banned) if banned == FailureId::from_addr(forged) => {
                self.note(pattern, line, Some(banned), trick);
                Tried::Weak
            }
            Verdict::Ambiguous(pattern, readings) if readings.contains(&forged) => {
                self.note(pattern, line, None, trick);
                Tried::Hides
            }
            Verdict::Banned(..) | Verdict::Ambiguous(..) => Tried::Harmless,
            Verdict::Nothing => Tried::Missed,
        }
    }

    fn note(&mut self, pattern: usize, line: Vec<u8>, banned: Option<FailureId>, trick: &Trick) {
        let known = &mut self.found.weaknesses;
        let same = |old: &Weakness| {
            old.pattern == pattern
                && old.banned.is_some() == banned.is_some()
                && same_kind(&old.trick, trick)
        };
        if !known.iter().any(same) {
            known.push(Weakness {
                pattern,
                line,
                banned,
                trick: trick.clone(),
            });
        }
    }

    fn two_readings(&mut self, readings: &[Reading], wrapping: &Wrapping) {
        for (i, one) in readings.iter().enumerate() {
            self.pair(one, one, &[false], wrapping);
            for other in readings.iter().skip(i + 1) {
                // Most patterns have no line in common, whoever is named.
                if one.whole == other.whole && common(&one.lines, &other.lines) != Ok(None) {
                    self.pair(one, other, &[false, true], wrapping);
                }
            }
        }
    }

    /// Looks for lines that both read with different addresses.
    fn pair(&mut self, one: &Reading, other: &Reading, turns: &[bool], wrapping: &Wrapping) {
        for (honest, forged) in ADDRESSES {
            for turned in turns {
                let (a, b) = match turned {
                    false => (honest, forged),
                    true => (forged, honest),
                };
                let (Some(first), Some(second)) = (one.naming(a), other.naming(b)) else {
                    continue;
                };
                let decided = match common(first, second) {
                    Err(TooLarge) => false,
                    Ok(None) => true,
                    Ok(Some(text)) => {
                        let line = match one.whole {
                            true => text,
                            false => wrapping.around(&text),
                        };
                        self.try_both(&line, (one, a), (other, b))
                    }
                };
                if !decided {
                    self.found.unproved.extend([one.pattern, other.pattern]);
                }
            }
        }
    }

    /// Whichever of two addresses is banned, the other may have been meant. Says whether that was
    /// decided.
    fn try_both(
        &mut self,
        line: &[u8],
        one: (&Reading, IpAddr),
        other: (&Reading, IpAddr),
    ) -> bool {
        let exact = one.0.exact && other.0.exact;
        let mut decided = false;
        for ((_, banned), (reading, meant)) in [(other, one), (one, other)] {
            if !reading.exact && !self.is_read_alone(reading, line, meant) {
                continue;
            }
            let trick = Trick::TwoReadings {
                pattern: reading.pattern,
                other: meant,
            };
            match self.try_line(line.to_vec(), banned, &trick) {
                Tried::Weak | Tried::Hides => return true,
                // Of a pattern that matches less than its automaton, another line may still do it.
                Tried::Harmless => decided = exact,
                Tried::Missed => {}
            }
        }
        decided
    }

    /// Whether the pattern of `reading` finds `addr` in `line` if there is no other pattern.
    fn is_read_alone(&self, reading: &Reading, line: &[u8], addr: IpAddr) -> bool {
        let mut source = self.filter.source().clone();
        let own = source.failregex.get(reading.pattern).cloned();
        source.failregex = own.into_iter().collect();
        match Filter::compile(&source).map(|alone| judge(&alone, line)) {
            Ok(Verdict::Banned(_, id)) => id == FailureId::from_addr(addr),
            Ok(Verdict::Ambiguous(_, readings)) => readings.contains(&addr),
            Ok(Verdict::Nothing) | Err(_) => false,
        }
    }

    fn forged_messages(&mut self, readings: &[Reading], wrapping: &Wrapping) {
        let begun = Hir::concat(vec![Hir::literal(BEFORE), any_text()]);
        let Some(begun) = Language::of_texts(&begun) else {
            return;
        };
        for reading in readings {
            for forged in [FORGED_V4, FORGED_V6] {
                let Some(naming) = reading.naming(forged) else {
                    continue;
                };
                let message = match common(naming, &begun) {
                    Ok(message) => message,
                    Err(TooLarge) => {
                        self.found.unproved.push(reading.pattern);
                        continue;
                    }
                };
                let tried = message.map(|text| self.try_message(&text, reading, forged, wrapping));
                if tried == Some(Tried::Missed) {
                    self.found.unproved.push(reading.pattern);
                }
                // The prefregex may let something stand before it.
                if let Some(text) = naming.shortest().filter(|_| !reading.whole) {
                    let line = [BEFORE, &wrapping.around(&text)].concat();
                    self.try_message(&line, reading, forged, &Wrapping::default());
                }
            }
        }
    }

    fn try_message(
        &mut self,
        text: &[u8],
        reading: &Reading,
        forged: IpAddr,
        wrapping: &Wrapping,
    ) -> Tried {
        let around = |text: &[u8]| match reading.whole {
            true => text.to_vec(),
            false => wrapping.around(text),
        };
        let lines = [around(text), around(&[text, AFTER].concat())];
        let tried = lines.map(|line| self.try_line(line, forged, &Trick::ForgedMessage));
        let [plain, longer] = tried;
        if plain == Tried::Missed {
            longer
        } else {
            plain
        }
    }

    /// Puts hostile text into every field of the samples, and of lines made from those patterns that
    /// no sample is of.
    pub(super) fn by_samples(&mut self, samples: &[Vec<u8>]) {
        let fields = |pattern: &Option<_>| pattern.as_ref().and_then(Fields::of);
        let prefix = self.patterns.prefix.as_ref().map(fields);
        let fail: Vec<Option<Fields>> = self.patterns.fail.iter().map(fields).collect();
        let mut sampled = vec![false; fail.len()];
        let mut made = vec![0; fail.len()];
        for sample in samples {
            let explained = explain(self.filter, sample);
            let Outcome::Matched { pattern, .. } = explained.outcome else {
                continue;
            };
            if let Some(known) = sampled.get_mut(pattern) {
                *known = true;
            }
            let (date, line) = without_date(sample, explained.time.map(|(_, span)| span));
            let of_fail = fail.get(pattern).and_then(Option::as_ref);
            if let Some(found) = parts(&line, prefix.as_ref(), of_fail) {
                self.forged_fields(date, &line, &found);
            }
        }
        let addrs = [HONEST_V4, HONEST_V6];
        let lines = addrs.map(|addr| typical::lines(&self.patterns, addr));
        for line in lines.iter().flatten() {
            let Verdict::Banned(pattern, _) = judge(self.quick(), line) else {
                continue;
            };
            let (Some(made), Some(false)) = (made.get_mut(pattern), sampled.get(pattern)) else {
                continue;
            };
            *made += 1;
            let of_fail = fail.get(pattern).and_then(Option::as_ref);
            if *made <= MADE_MAX
                && let Some(found) = parts(line, prefix.as_ref(), of_fail)
            {
                self.forged_fields(b"", line, &found);
            }
        }
    }

    fn forged_fields(&mut self, date: &[u8], line: &[u8], found: &Found) {
        let Some(addr) = found.id else {
            return;
        };
        let sample = Sample { line, addr };
        for field in &found.fields {
            let honest = line
                .get(field.span.0..field.span.1)
                .unwrap_or_default()
                .to_vec();
            let trick = Trick::ForgedField { honest };
            for forged in [FORGED_V4, FORGED_V6] {
                let mut lines = samples::forged(sample, field, forged).into_iter();
                if lines.any(|line| self.try_dated(date, line, forged, &trick) == Tried::Weak) {
                    break;
                }
            }
        }
    }
}

/// Whether two lines need not both be shown.
fn same_kind(one: &Trick, other: &Trick) -> bool {
    match (one, other) {
        (Trick::ForgedField { .. }, Trick::ForgedField { .. }) => true,
        _ => one == other,
    }
}

/// A date that the line begins with, and the line without its date wherever that is.
fn without_date(line: &[u8], date: Option<Span>) -> (&[u8], Vec<u8>) {
    let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    let (from, to) = date.map_or((0, 0), |span| (place(span.start), place(span.end)));
    let part = |from: usize, to: usize| line.get(from..to).unwrap_or_default();
    let begun = if from == 0 { part(0, to) } else { b"" };
    (begun, [part(0, from), part(to, line.len())].concat())
}

/// Where the parts of a line are that matches; `prefix` is there if the filter has a prefregex.
fn parts(line: &[u8], prefix: Option<&Option<Fields>>, fail: Option<&Fields>) -> Option<Found> {
    let before = match prefix {
        None => Found::default(),
        Some(prefix) => prefix.as_ref()?.find(line)?,
    };
    let (start, end) = before.content.unwrap_or((0, line.len()));
    let own = fail?.find(line.get(start..end)?)?;
    let in_line = |(from, to): (usize, usize)| (start + from, start + to);
    let in_content = own.fields.into_iter().map(|field| field.moved(in_line));
    Some(Found {
        id: own.id.map(in_line).or(before.id),
        content: None,
        fields: before.fields.into_iter().chain(in_content).collect(),
    })
}
