//! Whether a line that a pattern matches can be read by it with another address as well.
//!
//! The engine prefers one match to others (the leftmost, the greedy one), and somebody who may choose
//! a part of the line can make that the wrong one. So every place is looked at where the pattern can
//! have its id: what stands before it is matched forwards and what stands after it backwards, which
//! is linear in the line. Nothing of it is done for a line that holds no second address.
//!
//! Two addresses that overlap, such as a longer and a shorter reading of the same text, are one.

use std::net::IpAddr;
use std::sync::OnceLock;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, Compiler, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{Capture, Hir, HirKind, Look};
use stockade_core::parse_addr;

use crate::address::{self, Token};
use crate::context::{Context, any_text, contexts};
use crate::tags::Family;

/// Memory for the states of one automaton; it drops them when full.
const CACHE: usize = 512 * 1024;
/// Memory of one automaton before it is made deterministic, as for a whole pattern.
const NFA_SIZE_MAX: usize = 16 * 1024 * 1024;
/// Times that an automaton may drop its states in one line. A line that makes it do so more often is
/// made for it, and would cost a hundred times as much as others.
const CLEARED_MAX: usize = 4;
/// Pairs of beginning and end that are looked at; an honest line has a few.
const PAIRS_MAX: usize = 4096;

/// What else a line can be read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    /// Nothing.
    Nobody,
    /// This address.
    Addr(IpAddr),
    /// It was not found out: that would take too long, and only a line that was made for it does.
    Unknown,
}

/// An id that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// `None` for a text that is no address.
    pub(crate) addr: Option<IpAddr>,
    /// Where it stands.
    pub(crate) span: (usize, usize),
}

/// All places where a pattern can have its id.
#[derive(Debug)]
pub(crate) struct Readings(Vec<Around>);

impl Readings {
    /// Of the groups with these indexes in `hir`, the preferred ones first: a way through the pattern
    /// that goes through several of them has the first as its id. `None` where an automaton would be
    /// too large.
    pub(crate) fn of(hir: &Hir, ids: &[u32]) -> Option<Self> {
        let mut all = Vec::new();
        for (i, id) in ids.iter().enumerate() {
            let preferred = ids.get(..i).unwrap_or_default();
            let ways = contexts(hir, &|capture: &Capture| capture.index == *id);
            for way in &ways {
                if !way.passes(&|capture: &Capture| preferred.contains(&capture.index)) {
                    all.push(Around::new(way)?);
                }
            }
        }
        Some(Self(all))
    }

    /// Another address that `subject` can be read with.
    pub(crate) fn other(&self, subject: &[u8], taken: Taken) -> Other {
        let mut pairs = 0;
        for around in &self.0 {
            match around.other(subject, taken, &mut pairs) {
                Ok(None) => {}
                Ok(Some(addr)) => return Other::Addr(addr),
                Err(GaveUp) => return Other::Unknown,
            }
        }
        Other::Nobody
    }
}

/// Readings that are made when the first line needs them.
#[derive(Debug, Default)]
pub(crate) struct LazyReadings(OnceLock<Option<Readings>>);

impl LazyReadings {
    /// See [`Readings::other`]; `make` makes the readings.
    pub(crate) fn other(
        &self,
        subject: &[u8],
        taken: Taken,
        make: impl FnOnce() -> Option<Readings>,
    ) -> Other {
        if !may_hold_another(subject, taken) {
            return Other::Nobody;
        }
        let readings = self.0.get_or_init(make).as_ref();
        readings.map_or(Other::Unknown, |readings| readings.other(subject, taken))
    }
}

/// Whether another address than the one that was taken stands anywhere else in `subject`.
pub(crate) fn may_hold_another(subject: &[u8], taken: Taken) -> bool {
    let (start, end) = taken.span;
    let mut at = 0;
    while at < subject.len() {
        if at == start {
            at = end.max(start + 1);
            continue;
        }
        let begins = subject
            .get(at)
            .is_some_and(|&b| address::may_begin(b) && b != b'[');
        if begins {
            match address::read(subject, at, Family::Any) {
                Token::Address { addr, .. } if Some(addr) != taken.addr => return true,
                Token::Unsure => return true,
                _ => {}
            }
        }
        at += 1;
    }
    false
}

/// An automaton could not judge a line within its limits.
#[derive(Clone, Copy, Debug)]
struct GaveUp;

/// What stands around an id.
#[derive(Debug)]
struct Around {
    before: Automaton,
    after: Automaton,
}

impl Around {
    fn new(context: &Context) -> Option<Self> {
        let mut before = context.before.clone();
        if !is_at(&before, Look::Start) {
            before = Hir::concat(vec![any_byte(), before]);
        }
        let mut after = context.after.clone();
        if !is_at(&after, Look::End) {
            after = Hir::concat(vec![after, any_byte()]);
        }
        Some(Self {
            before: Automaton::new(&before, false)?,
            after: Automaton::new(&after, true)?,
        })
    }

    fn other(
        &self,
        subject: &[u8],
        taken: Taken,
        pairs: &mut usize,
    ) -> Result<Option<IpAddr>, GaveUp> {
        let own = whole(subject, taken.span);
        let may_begin = |at: usize| {
            let word = at.checked_sub(1).and_then(|at| subject.get(at));
            let word = word.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
            !word
                && subject
                    .get(at)
                    .is_some_and(|&b| address::may_begin(b) && b != b'[')
        };
        let mut begins = Vec::new();
        self.before.ends(subject, |at| {
            if may_begin(at) {
                begins.push(at);
            }
        })?;
        if begins.iter().all(|&at| overlaps(own, (at, at + 1))) {
            return Ok(None);
        }
        let mut ends = Vec::new();
        self.after.begins(subject, |at| ends.push(at))?;
        ends.reverse();
        for &begin in &begins {
            let first = ends.partition_point(|&end| end <= begin);
            let near = ends.iter().skip(first);
            // The longest text at a place is what it is about: 192.0.2.12, not 192.0.2.1.
            let near = near.take_while(|&&end| end <= begin + address::LEN_MAX);
            for &end in near.collect::<Vec<_>>().into_iter().rev() {
                *pairs += 1;
                if *pairs > PAIRS_MAX {
                    return Err(GaveUp);
                }
                if overlaps(own, (begin, end)) {
                    continue;
                }
                let text = subject.get(begin..end).unwrap_or_default();
                match parse_addr(text) {
                    Ok(addr) if Some(addr) != taken.addr => return Ok(Some(addr)),
                    Ok(_) => break,
                    Err(_) => {}
                }
            }
        }
        Ok(None)
    }
}

/// Where `taken` stands with the `::ffff:` that may be written before an IPv4 address, which is no
/// address of its own.
fn whole(subject: &[u8], (start, end): (usize, usize)) -> (usize, usize) {
    let before = subject.get(..start).unwrap_or_default();
    let Some(before) = before.strip_suffix(b":") else {
        return (start, end);
    };
    let letters = before.iter().rev().take_while(|b| matches!(b, b'f' | b'F'));
    let letters = letters.count();
    let colons = before.get(..before.len() - letters);
    match colons.is_some_and(|text| text.ends_with(b"::")) && (4..=6).contains(&letters) {
        true => (start - letters - 3, end),
        false => (start, end),
    }
}

fn overlaps(one: (usize, usize), other: (usize, usize)) -> bool {
    one.0 < other.1 && other.0 < one.1
}

fn any_byte() -> Hir {
    let any = any_text();
    let HirKind::Repetition(repetition) = any.kind() else {
        return any;
    };
    // Also a line feed: patterns of fail2ban's dialect see the one that ends the line.
    let sub = Box::new(Hir::dot(regex_syntax::hir::Dot::AnyByte));
    Hir::repetition(regex_syntax::hir::Repetition {
        sub,
        ..repetition.clone()
    })
}

/// Whether every match of `hir` is at this end of the subject.
fn is_at(hir: &Hir, look: Look) -> bool {
    let properties = hir.properties();
    match look {
        Look::Start => properties.look_set_prefix().contains(Look::Start),
        look => properties.look_set_suffix().contains(look),
    }
}

/// A lazy automaton that reports all places where a match can end, or begin if it goes backwards.
struct Automaton {
    dfa: DFA,
    caches: Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>,
}

impl std::fmt::Debug for Automaton {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Automaton").finish()
    }
}

impl Automaton {
    fn new(hir: &Hir, reverse: bool) -> Option<Self> {
        let nfa = Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .reverse(reverse)
                    .nfa_size_limit(Some(NFA_SIZE_MAX))
                    .which_captures(WhichCaptures::None),
            )
            .build_from_hir(hir)
            .ok()?;
        let config = Config::new()
            .match_kind(MatchKind::All)
            .unicode_word_boundary(true)
            .cache_capacity(CACHE)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(CLEARED_MAX))
            .minimum_bytes_per_state(Some(10));
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let own = dfa.clone();
        Some(Self {
            dfa,
            caches: Pool::new(Box::new(move || own.create_cache())),
        })
    }

    /// Calls `found` with each place where a match that begins with the subject can end, going up.
    fn ends(&self, subject: &[u8], mut found: impl FnMut(usize)) -> Result<(), GaveUp> {
        let mut cache = self.caches.get();
        let cache = &mut *cache;
        let input = Input::new(subject).anchored(Anchored::Yes);
        let start = self.dfa.start_state_forward(cache, &input);
        let mut state = start.map_err(|_| GaveUp)?;
        for (at, &byte) in subject.iter().enumerate() {
            state = self.step(cache, state, byte)?;
            if state.is_tagged() {
                if state.is_match() {
                    found(at);
                } else if state.is_dead() {
                    return Ok(());
                } else if state.is_quit() {
                    return Err(GaveUp);
                }
            }
        }
        let end = self.dfa.next_eoi_state(cache, state);
        if end.map_err(|_| GaveUp)?.is_match() {
            found(subject.len());
        }
        Ok(())
    }

    /// Calls `found` with each place where a match that ends with the subject can begin, going down.
    fn begins(&self, subject: &[u8], mut found: impl FnMut(usize)) -> Result<(), GaveUp> {
        let mut cache = self.caches.get();
        let cache = &mut *cache;
        let input = Input::new(subject).anchored(Anchored::Yes);
        let start = self.dfa.start_state_reverse(cache, &input);
        let mut state = start.map_err(|_| GaveUp)?;
        for (at, &byte) in subject.iter().enumerate().rev() {
            state = self.step(cache, state, byte)?;
            if state.is_tagged() {
                if state.is_match() {
                    found(at + 1);
                } else if state.is_dead() {
                    return Ok(());
                } else if state.is_quit() {
                    return Err(GaveUp);
                }
            }
        }
        let end = self.dfa.next_eoi_state(cache, state);
        if end.map_err(|_| GaveUp)?.is_match() {
            found(0);
        }
        Ok(())
    }

    fn step(&self, cache: &mut Cache, state: LazyStateID, byte: u8) -> Result<LazyStateID, GaveUp> {
        let next = self.dfa.next_state(cache, state, byte);
        next.map_err(|_| GaveUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern;

    #[track_caller]
    fn check(pattern: &str, line: &str, taken: &str, expected: &str) {
        let parsed = pattern::parse(pattern, false).unwrap();
        let regex = pattern::build(&parsed.hir, true).unwrap();
        let ids: Vec<u32> = pattern::ids_of(&pattern::roles(&regex, &parsed.translated.groups));
        let readings = Readings::of(&parsed.hir, &ids).unwrap();
        let start = line.find(taken).unwrap();
        let taken = Taken {
            addr: taken.parse().ok(),
            span: (start, start + taken.len()),
        };
        let other = readings.other(line.as_bytes(), taken);
        let shown = match other {
            Other::Nobody => "nobody".to_owned(),
            Other::Addr(addr) => addr.to_string(),
            Other::Unknown => "unknown".to_owned(),
        };
        assert_eq!(shown, expected, "{pattern}");
        let holds = may_hold_another(line.as_bytes(), taken);
        assert!(holds || other == Other::Nobody, "{pattern}");
    }

    #[test]
    fn another_place_for_the_address_is_found() {
        let line = "login of x from 192.0.2.1 from 192.0.2.2 failed";
        check("login of .* from <ADDR> .*", line, "192.0.2.2", "192.0.2.1");
        check("login of .*? from <ADDR> ", line, "192.0.2.1", "192.0.2.2");
        check(
            "^login of .* from <ADDR> failed$",
            line,
            "192.0.2.2",
            "nobody",
        );
        check(r"^login of \S+ from <ADDR> ", line, "192.0.2.1", "nobody");
        let line = "from 2001:db8::1 [192.0.2.2]";
        check(
            r"^from <ADDR>|\[<ADDR>\]$",
            line,
            "2001:db8::1",
            "192.0.2.2",
        );
        check(r"^from <ADDR> \[<ADDR>\]$", line, "2001:db8::1", "nobody");
    }

    #[test]
    fn the_same_address_again_or_a_part_of_it_is_no_other() {
        let line = "from 192.0.2.1 and from 192.0.2.1";
        check("from <ADDR>", line, "192.0.2.1", "nobody");
        check("<ADDR>", "from 2001:db8::1 on", "2001:db8::1", "nobody");
        check("<ADDR>", "from 1.2.3.4.5 on", "1.2.3.4", "nobody");
    }

    #[test]
    fn a_line_that_is_made_to_take_long_is_not_judged() {
        let line = "999.".repeat(10_000) + " 192.0.2.1 192.0.2.2";
        check("<ADDR>", &line, "192.0.2.1", "unknown");
    }
}
