//! The lines that a pattern matches, as an automaton, and lines that two of them have in common.

use std::collections::{HashSet, VecDeque};

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, Compiler, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::Hir;

use crate::context::any_text;

/// Memory for the states of one automaton while lines are looked for.
const CACHE: usize = 32 * 1024 * 1024;
/// Memory of the automaton that is still to be made deterministic.
const NFA_SIZE_MAX: usize = 4 * 1024 * 1024;
/// Pairs of states that are looked at; more than the stock filters need by a factor of ten.
const PAIRS_MAX: usize = 200_000;

/// An answer would need more memory than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// A set of whole lines.
#[derive(Debug)]
pub(super) struct Language {
    dfa: DFA,
}

impl Language {
    /// The lines in which `hir` matches somewhere.
    pub(super) fn of_lines(hir: Hir) -> Option<Self> {
        Self::of_texts(&Hir::concat(vec![any_text(), hir, any_text()]))
    }

    /// The texts that `hir` matches from end to end.
    pub(super) fn of_texts(hir: &Hir) -> Option<Self> {
        let nfa = Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .nfa_size_limit(Some(NFA_SIZE_MAX))
                    .which_captures(WhichCaptures::None),
            )
            .build_from_hir(hir)
            .ok()?;
        let config = Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(0));
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        Some(Self { dfa })
    }

    /// A shortest line.
    pub(super) fn shortest(&self) -> Option<Vec<u8>> {
        common(self, self).ok().flatten()
    }
}

/// One of the two automata and its states.
struct Walk<'a> {
    dfa: &'a DFA,
    cache: Cache,
}

impl<'a> Walk<'a> {
    fn new(language: &'a Language) -> Self {
        Self {
            dfa: &language.dfa,
            cache: language.dfa.create_cache(),
        }
    }

    fn start(&mut self) -> Result<LazyStateID, TooLarge> {
        let input = Input::new("").anchored(Anchored::Yes);
        self.dfa
            .start_state_forward(&mut self.cache, &input)
            .map_err(|_| TooLarge)
    }

    /// The state after `byte`, or `None` where no line goes on like that.
    fn next(&mut self, state: LazyStateID, byte: u8) -> Result<Option<LazyStateID>, TooLarge> {
        let next = self
            .dfa
            .next_state(&mut self.cache, state, byte)
            .map_err(|_| TooLarge)?;
        if next.is_quit() {
            return Err(TooLarge);
        }
        Ok((!next.is_dead()).then_some(next))
    }

    fn may_end(&mut self, state: LazyStateID) -> Result<bool, TooLarge> {
        let end = self
            .dfa
            .next_eoi_state(&mut self.cache, state)
            .map_err(|_| TooLarge)?;
        Ok(end.is_match())
    }
}

/// A shortest line that both have.
pub(super) fn common(one: &Language, other: &Language) -> Result<Option<Vec<u8>>, TooLarge> {
    let bytes = distinct_bytes(&one.dfa, &other.dfa);
    let (mut one, mut other) = (Walk::new(one), Walk::new(other));
    let start = (one.start()?, other.start()?);
    // Each step with the one before it, so that the line can be read off.
    let mut steps = vec![(0, 0)];
    let mut seen = HashSet::from([start]);
    let mut waiting = VecDeque::from([(start, 0)]);
    while let Some(((a, b), step)) = waiting.pop_front() {
        if one.may_end(a)? && other.may_end(b)? {
            return Ok(Some(read_off(&steps, step)));
        }
        for &byte in &bytes {
            let (Some(a), Some(b)) = (one.next(a, byte)?, other.next(b, byte)?) else {
                continue;
            };
            if seen.insert((a, b)) {
                waiting.push_back(((a, b), steps.len()));
                steps.push((step, byte));
            }
        }
        if seen.len() > PAIRS_MAX {
            return Err(TooLarge);
        }
    }
    Ok(None)
}

fn read_off(steps: &[(usize, u8)], mut at: usize) -> Vec<u8> {
    let mut line = Vec::new();
    while at > 0
        && let Some(&(before, byte)) = steps.get(at)
    {
        line.push(byte);
        at = before;
    }
    line.reverse();
    line
}

/// One byte of each kind that either automaton tells apart, readable ones where there are.
fn distinct_bytes(one: &DFA, other: &DFA) -> Vec<u8> {
    let readable = (b'a'..=b'z').rev().chain(b'0'..=b'9').chain(b' '..=b'~');
    let mut kinds = HashSet::new();
    readable
        .chain(0..=255)
        .filter(|byte| !matches!(byte, b'\n' | b'\r'))
        .filter(|&byte| {
            kinds.insert((one.byte_classes().get(byte), other.byte_classes().get(byte)))
        })
        .collect()
}
