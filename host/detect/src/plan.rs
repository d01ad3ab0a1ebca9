//! What a filter plugin wants to see: literals and patterns that the host matches for it.

use aho_corasick::AhoCorasick;
use regex_automata::meta::Regex;
use regex_syntax::hir::{Dot, Hir, HirKind, Look, Repetition};

use crate::automaton::Dense;
use crate::dates;
use crate::error::{Fault, PatternError, PatternPlace};
use crate::literals;
use crate::pattern::{self, parts};
use crate::prefilter::{Needs, bit};

/// Most literals in a plan, as the plugin contract says.
pub const PLAN_LITERALS_MAX: usize = 256;
/// Longest literal in bytes, as the plugin contract says.
pub const PLAN_LITERAL_LEN_MAX: usize = 256;
/// Most patterns in a plan, as the plugin contract says.
pub const PLAN_PATTERNS_MAX: usize = 256;
/// Longest pattern in bytes, as the plugin contract says.
pub const PLAN_PATTERN_LEN_MAX: usize = 4096;

/// A compiled plan. Immutable; one is shared by all jails that use it.
#[derive(Debug)]
pub struct PlanFilter {
    literals: Vec<String>,
    patterns: Vec<String>,
    any_literal: Option<AhoCorasick>,
    searches: Vec<Search>,
    needs: Needs,
}

/// Which patterns of a plan match a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PatternSet([u64; PLAN_PATTERNS_MAX / 64]);

impl PatternSet {
    /// The lowest index, or `None` where the set is empty.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    /// The indexes, going up.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).step_by(64).zip(self.0).flat_map(|(base, word)| {
            (0..64).filter_map(move |i| (word >> i & 1 == 1).then_some(base + i))
        })
    }

    /// No pattern matches, or the plan has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; PLAN_PATTERNS_MAX / 64]
    }

    fn insert(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }
}

/// A pattern of which only one thing is asked: does it match?
#[derive(Debug)]
struct Search {
    quick: Option<Dense>,
    regex: Regex,
}

impl Search {
    fn build(hir: &Hir) -> Result<Self, Fault> {
        let anchored = parts(hir)
            .first()
            .is_some_and(|part| matches!(part.kind(), HirKind::Look(Look::Start)));
        let quick = if anchored {
            Dense::all(hir)
        } else {
            let before = Hir::repetition(Repetition {
                min: 0,
                max: None,
                greedy: false,
                sub: Box::new(Hir::dot(Dot::AnyByte)),
            });
            Dense::all(&Hir::concat(vec![before, hir.clone()]))
        };
        Ok(Self {
            quick,
            regex: pattern::build(hir, false)?,
        })
    }

    fn is_match(&self, subject: &[u8]) -> bool {
        if let Some(dfa) = &self.quick {
            let mut found = false;
            let stop = |_| {
                found = true;
                false
            };
            if dfa.ends(subject, 0, stop).is_ok() {
                return found;
            }
        }
        self.regex.is_match(subject)
    }
}

impl PlanFilter {
    /// Compiles what a plugin's `configure` returned. Patterns are in the syntax of the `regex`
    /// crate, on bytes, and have no tags.
    ///
    /// # Errors
    /// Everything that is wrong with the plan.
    pub fn compile(literals: &[String], patterns: &[String]) -> Result<Self, Vec<PatternError>> {
        let mut errors = Vec::new();
        check_literals(literals, &mut errors);
        if patterns.len() > PLAN_PATTERNS_MAX {
            let fault = Fault::whole(format!(
                "more than the {PLAN_PATTERNS_MAX} patterns allowed"
            ));
            errors.push(fault.in_place(PatternPlace::PlanPattern(PLAN_PATTERNS_MAX)));
        }
        let mut searches = Vec::new();
        let mut sets = Vec::new();
        for (i, text) in patterns.iter().take(PLAN_PATTERNS_MAX).enumerate() {
            match parse(text).and_then(|hir| Ok((Search::build(&hir)?, hir))) {
                Ok((search, hir)) => {
                    searches.push(search);
                    sets.push(literals::required(&hir, dates::may_be_cut_between));
                }
                Err(fault) => errors.push(fault.in_place(PatternPlace::PlanPattern(i))),
            }
        }
        let any_literal = match literals.is_empty() {
            true => None,
            false => match AhoCorasick::new(literals) {
                Ok(automaton) => Some(automaton),
                Err(error) => {
                    let fault = Fault::whole(error.to_string());
                    errors.push(fault.in_place(PatternPlace::PlanLiteral(0)));
                    None
                }
            },
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            literals: literals.to_vec(),
            patterns: patterns.to_vec(),
            any_literal,
            searches,
            needs: needs(literals, sets),
        })
    }

    /// The literals the plan was compiled from.
    #[must_use]
    pub fn literals(&self) -> &[String] {
        &self.literals
    }

    /// The patterns the plan was compiled from.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether every line has to be looked at, see [`crate::Filter::sees_every_line`].
    #[must_use]
    pub fn sees_every_line(&self) -> bool {
        matches!(self.needs, Needs::Every)
    }

    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The patterns that match `subject`, a line without its date, or `None` if the plugin does not
    /// want to see it. `candidates` says which patterns can match at all.
    pub(crate) fn judge(&self, subject: &[u8], candidates: u64) -> Option<PatternSet> {
        if let Some(literals) = &self.any_literal
            && !literals.is_match(subject)
        {
            return None;
        }
        let mut set = PatternSet::default();
        for (i, search) in self.searches.iter().enumerate() {
            if candidates & bit(i) != 0 && search.is_match(subject) {
                set.insert(i);
            }
        }
        (self.searches.is_empty() || !set.is_empty()).then_some(set)
    }
}

fn parse(text: &str) -> Result<Hir, Fault> {
    if text.len() > PLAN_PATTERN_LEN_MAX {
        return Err(Fault::whole(format!(
            "the pattern has {} bytes, more than the {PLAN_PATTERN_LEN_MAX} allowed",
            text.len()
        )));
    }
    pattern::parse_plain(text)
}

fn check_literals(literals: &[String], errors: &mut Vec<PatternError>) {
    if literals.len() > PLAN_LITERALS_MAX {
        let fault = Fault::whole(format!(
            "more than the {PLAN_LITERALS_MAX} literals allowed"
        ));
        errors.push(fault.in_place(PatternPlace::PlanLiteral(PLAN_LITERALS_MAX)));
    }
    for (i, literal) in literals.iter().take(PLAN_LITERALS_MAX).enumerate() {
        let message = match literal.len() {
            0 => "the literal is empty".to_owned(),
            len if len > PLAN_LITERAL_LEN_MAX => {
                format!("the literal has {len} bytes, more than the {PLAN_LITERAL_LEN_MAX} allowed")
            }
            _ => continue,
        };
        errors.push(Fault::whole(message).in_place(PatternPlace::PlanLiteral(i)));
    }
}

/// The patterns' own texts tell which of them can match; where one has none, the plan's literals.
fn needs(literals: &[String], sets: Vec<Option<Vec<Vec<u8>>>>) -> Needs {
    let sets: Option<Vec<_>> = sets.into_iter().collect();
    if let Some(sets) = sets.filter(|sets| !sets.is_empty()) {
        let texts = sets
            .into_iter()
            .enumerate()
            .flat_map(|(i, set)| set.into_iter().map(move |text| (text, bit(i))));
        return Needs::Texts(texts.collect());
    }
    let pieces: Vec<_> = literals
        .iter()
        .map(|text| literals::longest_piece(text.as_bytes(), dates::may_be_cut_between))
        .collect();
    if pieces.is_empty() || pieces.iter().any(Vec::is_empty) {
        return Needs::Every;
    }
    Needs::Texts(pieces.into_iter().map(|text| (text, u64::MAX)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[track_caller]
    fn check(literals: &[&str], patterns: &[&str], line: &str, expected: Option<&[u32]>) {
        let plan = PlanFilter::compile(&texts(literals), &texts(patterns)).unwrap();
        let set = plan.judge(line.as_bytes(), u64::MAX);
        let set = set.map(|set| set.iter().collect::<Vec<_>>());
        assert_eq!(set.as_deref(), expected);
    }

    #[test]
    fn a_line_needs_one_literal_and_one_pattern() {
        check(&[], &[], "anything", Some(&[]));
        check(&["foo", "bar"], &[], "a bar", Some(&[]));
        check(&["foo"], &[], "a bar", None);
        check(&["foo"], &["^x", "o+$"], "x foo", Some(&[0, 1]));
        check(&["foo"], &["^x"], "foo", None);
        check(&["foo"], &["x$"], "fox", None);
    }

    #[test]
    fn the_first_pattern_beyond_the_bits_of_a_word_is_found() {
        let patterns: Vec<String> = (0..256).map(|i| format!("^line {i:03}$")).collect();
        let plan = PlanFilter::compile(&[], &patterns).unwrap();
        for i in [0, 62, 63, 64, 200, 255] {
            let line = format!("line {i:03}");
            let set = plan.judge(line.as_bytes(), bit(i)).unwrap();
            assert_eq!(set.first(), Some(u32::try_from(i).unwrap()));
            assert_eq!(set.iter().count(), 1);
        }
    }

    #[test]
    fn a_plan_beyond_the_contract_is_refused() {
        let long = "x".repeat(PLAN_LITERAL_LEN_MAX + 1);
        let errors = PlanFilter::compile(&texts(&["", &long]), &texts(&["(", "ok"])).unwrap_err();
        let places: Vec<_> = errors.iter().map(|error| error.which).collect();
        assert_eq!(
            places,
            [
                PatternPlace::PlanLiteral(0),
                PatternPlace::PlanLiteral(1),
                PatternPlace::PlanPattern(0)
            ]
        );
        assert!(PlanFilter::compile(&texts(&["x"; 257]), &[]).is_err());
        assert!(PlanFilter::compile(&[], &texts(&["x"; 257])).is_err());
    }
}
