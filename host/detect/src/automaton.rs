//! Small dense automata that answer where a pattern can end or begin, without captures.

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, Compiler, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

/// Memory of one automaton. A filter has a few dozen; a pattern that needs more goes through the
/// capturing engine, which is slower and small.
const DFA_SIZE_MAX: usize = 256 * 1024;
/// Memory while an automaton is built; freed afterwards.
const DETERMINIZE_SIZE_MAX: usize = 2 * 1024 * 1024;

/// A dense automaton that is always anchored at the side where it begins.
#[derive(Debug)]
pub(crate) struct Dense {
    dfa: dense::DFA<Vec<u32>>,
}

/// The automaton met a byte that it cannot judge; another engine has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GaveUp;

impl Dense {
    /// Reports every place where a match can end.
    pub(crate) fn all(hir: &Hir) -> Option<Self> {
        Self::build(hir, MatchKind::All, false)
    }

    /// Reports the end of the match that a backtracking engine would find first.
    pub(crate) fn first(hir: &Hir) -> Option<Self> {
        Self::build(hir, MatchKind::LeftmostFirst, false)
    }

    /// Reads backwards and reports every place where a match can begin.
    pub(crate) fn reverse(hir: &Hir) -> Option<Self> {
        Self::build(hir, MatchKind::All, true)
    }

    /// `None` where the pattern is too large or has what such automata cannot do.
    fn build(hir: &Hir, kind: MatchKind, reverse: bool) -> Option<Self> {
        let nfa = Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .reverse(reverse)
                    .nfa_size_limit(Some(DETERMINIZE_SIZE_MAX))
                    .which_captures(WhichCaptures::None),
            )
            .build_from_hir(hir)
            .ok()?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(kind)
                    .accelerate(false)
                    .dfa_size_limit(Some(DFA_SIZE_MAX))
                    .determinize_size_limit(Some(DETERMINIZE_SIZE_MAX)),
            )
            .build_from_nfa(&nfa)
            .ok()?;
        Some(Self { dfa })
    }

    fn start(&self, subject: &[u8], from: usize) -> Result<StateID, GaveUp> {
        let input = Input::new(subject).range(from..).anchored(Anchored::Yes);
        self.dfa.start_state_forward(&input).map_err(|_| GaveUp)
    }

    /// Calls `found` with each place where a match that begins at `from` can end, going up, until
    /// it says no; returns how many bytes were looked at.
    pub(crate) fn ends(
        &self,
        subject: &[u8],
        from: usize,
        mut found: impl FnMut(usize) -> bool,
    ) -> Result<usize, GaveUp> {
        let mut state = self.start(subject, from)?;
        let rest = subject.get(from..).unwrap_or_default();
        for (i, &byte) in rest.iter().enumerate() {
            state = self.dfa.next_state(state, byte);
            if self.dfa.is_special_state(state) {
                // A match is reported one byte late, so that the byte after it can be looked at.
                if self.dfa.is_match_state(state) {
                    if !found(from + i) {
                        return Ok(i);
                    }
                } else if self.dfa.is_dead_state(state) {
                    return Ok(i);
                } else if self.dfa.is_quit_state(state) {
                    return Err(GaveUp);
                }
            }
        }
        state = self.dfa.next_eoi_state(state);
        if self.dfa.is_match_state(state) {
            found(subject.len());
        }
        Ok(rest.len())
    }

    /// Where the preferred match from the beginning ends, and how many bytes tell that: nothing behind
    /// them would change it. For automata made by [`Dense::first`].
    pub(crate) fn first_end_seen(&self, subject: &[u8]) -> Result<(Option<usize>, usize), GaveUp> {
        let mut last = None;
        let read = self.ends(subject, 0, |end| {
            last = Some(end);
            true
        })?;
        // The byte at which the automaton dies is one of them; at the end, that it is the end.
        Ok((last, read + 1))
    }

    /// Calls `found` with each place where a match that ends at the end of `subject` can begin,
    /// going down.
    pub(crate) fn begins(
        &self,
        subject: &[u8],
        mut found: impl FnMut(usize),
    ) -> Result<(), GaveUp> {
        let input = Input::new(subject).anchored(Anchored::Yes);
        let mut state = self.dfa.start_state_reverse(&input).map_err(|_| GaveUp)?;
        for (i, &byte) in subject.iter().enumerate().rev() {
            state = self.dfa.next_state(state, byte);
            if self.dfa.is_special_state(state) {
                if self.dfa.is_match_state(state) {
                    found(i + 1);
                } else if self.dfa.is_dead_state(state) {
                    return Ok(());
                } else if self.dfa.is_quit_state(state) {
                    return Err(GaveUp);
                }
            }
        }
        state = self.dfa.next_eoi_state(state);
        if self.dfa.is_match_state(state) {
            found(0);
        }
        Ok(())
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        self.dfa.memory_usage()
    }

    /// Where the preferred match from the beginning ends; for automata made by [`Dense::first`].
    pub(crate) fn first_end(&self, subject: &[u8]) -> Result<Option<usize>, GaveUp> {
        self.first_end_from(subject, 0)
    }

    /// The same of the match that begins at `from`.
    pub(crate) fn first_end_from(
        &self,
        subject: &[u8],
        from: usize,
    ) -> Result<Option<usize>, GaveUp> {
        let mut last = None;
        self.ends(subject, from, |end| {
            last = Some(end);
            true
        })?;
        Ok(last)
    }
}
