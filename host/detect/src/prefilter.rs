//! Finding the lines that matter in a whole buffer at once.
//!
//! Every pattern has texts of which a matching line contains at least one; the texts of all filters
//! are one automaton that runs over the buffer. It reports leftmost matches that do not overlap,
//! which is several times faster than reporting all. A text that is not reported because it overlaps
//! a reported one is not lost: for each text it is known beforehand which others an occurrence of it
//! can cover, and those are taken as found too. A text taken wrongly costs a look at the line, no
//! more.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind, StartKind};

/// What a line must contain to be of interest to a filter.
#[derive(Clone, Debug)]
pub(crate) enum Needs {
    /// Nothing that is known: the filter sees every line.
    Every,
    /// One of these texts; the bits say which patterns it is for.
    Texts(Vec<(Vec<u8>, u64)>),
}

/// The bit of the pattern with this index; from 63 on they share one.
pub(crate) fn bit(pattern: usize) -> u64 {
    1 << pattern.min(63)
}

/// Bytes of text up to which the automaton is a dense one, about 200 bytes of memory for each. More
/// go into the compact form, at half the speed.
const DENSE_TEXT_MAX: usize = 16 * 1024;

/// For each filter the patterns of it that can match a line.
pub(crate) type Found = Vec<u64>;

/// Filters, each with the patterns that something is for.
type Owners = Vec<(usize, u64)>;
/// A text and whom it is for.
type Text<'a> = (&'a [u8], Owners);

/// The automaton and what its texts mean.
#[derive(Debug)]
pub(crate) struct Prefilter {
    automaton: Option<AhoCorasick>,
    /// For each text the filters and patterns that it, or a text that it can cover, is for.
    effects: Vec<Owners>,
    /// What a line has before any text is found: the filters that see every line.
    always: Found,
    /// All bits that can be found for a filter.
    all: Found,
    /// Some filter sees every line.
    pub(crate) every_line: bool,
}

impl Prefilter {
    /// Builds the automaton; the filters are told apart by their place in `needs`.
    pub(crate) fn new(needs: &[&Needs]) -> Self {
        let mut owners: BTreeMap<&[u8], Owners> = BTreeMap::new();
        let mut always = vec![0; needs.len()];
        for (filter, needs) in needs.iter().enumerate() {
            match needs {
                Needs::Every => {
                    if let Some(bits) = always.get_mut(filter) {
                        *bits = u64::MAX;
                    }
                }
                Needs::Texts(texts) => {
                    // No line holds a line feed, so a text that does is in no line.
                    for (text, bits) in texts.iter().filter(|(text, _)| !text.contains(&b'\n')) {
                        owners.entry(text).or_default().push((filter, *bits));
                    }
                }
            }
        }
        let mut texts: Vec<Text<'_>> = owners.into_iter().collect();
        // The longest first, so that it is the one reported where several begin.
        texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let effects: Vec<_> = texts
            .iter()
            .map(|(text, _)| effects(text, &texts))
            .collect();
        let every_line = always.contains(&u64::MAX);
        let mut all = always.clone();
        for (filter, bits) in effects.iter().flatten() {
            if let Some(found) = all.get_mut(*filter) {
                *found |= bits;
            }
        }
        let automaton = build(&texts);
        Self {
            // Without an automaton (its memory would be beyond what it can number) all is looked at.
            every_line: every_line || (automaton.is_none() && !texts.is_empty()),
            always: if automaton.is_none() {
                vec![u64::MAX; needs.len()]
            } else {
                always
            },
            automaton,
            effects,
            all,
        }
    }

    /// The first text in `text[from..]` and where it stands.
    pub(crate) fn next(&self, text: &[u8], from: usize) -> Option<(usize, usize, usize)> {
        self.within(text, from, text.len())
    }

    fn within(&self, text: &[u8], from: usize, to: usize) -> Option<(usize, usize, usize)> {
        let found = self
            .automaton
            .as_ref()?
            .find(Input::new(text).range(from..to))?;
        Some((found.pattern().as_usize(), found.start(), found.end()))
    }

    /// Is there nothing in `found` but what every line has?
    pub(crate) fn found_nothing(&self, found: &Found) -> bool {
        *found == self.always
    }

    /// Sets `found` to what the line `start..end` of `text` can match, where the text `first` is
    /// known to end at `at`.
    pub(crate) fn rest_of_line(
        &self,
        text: &[u8],
        first: Option<usize>,
        (mut at, end): (usize, usize),
        found: &mut Found,
    ) {
        found.clone_from(&self.always);
        let mut next = first.map(|index| (index, at, at));
        if next.is_none() {
            next = self.within(text, at, end);
        }
        while let Some((index, _, stop)) = next {
            at = stop;
            for (filter, bits) in self.effects.get(index).into_iter().flatten() {
                if let Some(found) = found.get_mut(*filter) {
                    *found |= bits;
                }
            }
            if *found == self.all {
                return;
            }
            next = self.within(text, at, end);
        }
    }
}

fn build(texts: &[Text<'_>]) -> Option<AhoCorasick> {
    let total: usize = texts.iter().map(|(text, _)| text.len()).sum();
    let kind = if total <= DENSE_TEXT_MAX {
        AhoCorasickKind::DFA
    } else {
        AhoCorasickKind::ContiguousNFA
    };
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .start_kind(StartKind::Unanchored)
        .kind(Some(kind))
        .build(texts.iter().map(|(text, _)| text))
        .ok()
}

/// What an occurrence of `text` means: itself, and every text that may begin inside of it.
fn effects(text: &[u8], texts: &[Text<'_>]) -> Owners {
    let mut bits: BTreeMap<usize, u64> = BTreeMap::new();
    let covered = texts.iter().filter(|(other, _)| may_cover(text, other));
    for (filter, more) in covered.flat_map(|(_, owners)| owners) {
        *bits.entry(*filter).or_default() |= more;
    }
    bits.into_iter().collect()
}

/// Can `other` begin inside an occurrence of `text` that is reported?
fn may_cover(text: &[u8], other: &[u8]) -> bool {
    (0..text.len()).any(|at| {
        let rest = text.get(at..).unwrap_or_default();
        // Of two that begin together the longer one is reported.
        let longer = at == 0 && other.len() > text.len();
        !longer && rest.iter().zip(other).all(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(needs: &[Vec<(Vec<u8>, u64)>], line: &[u8]) {
        let needs: Vec<Needs> = needs.iter().cloned().map(Needs::Texts).collect();
        let prefilter = Prefilter::new(&needs.iter().collect::<Vec<_>>());
        let mut found = Found::new();
        prefilter.rest_of_line(line, None, (0, line.len()), &mut found);
        for (needs, found) in needs.iter().zip(&found) {
            let Needs::Texts(texts) = needs else {
                unreachable!()
            };
            for (text, bits) in texts {
                if memchr::memmem::find(line, text).is_some() {
                    assert_eq!(found & bits, *bits, "{text:?} lost in {line:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_that_stands_in_a_line_is_lost(
            needs in prop::collection::vec(
                prop::collection::vec(("[ab]{1,4}", 0..4_usize), 1..4), 1..4),
            line in "[abc]{0,24}",
        ) {
            let needs: Vec<Vec<(Vec<u8>, u64)>> = needs
                .into_iter()
                .map(|texts| {
                    texts.into_iter().map(|(t, i)| (t.into_bytes(), bit(i))).collect()
                })
                .collect();
            check(&needs, line.as_bytes());
        }
    }

    #[test]
    fn a_covered_text_counts_as_found() {
        let texts = |list: &[&str]| {
            list.iter()
                .enumerate()
                .map(|(i, t)| (t.as_bytes().to_vec(), bit(i)))
                .collect()
        };
        check(&[texts(&["abc", "bcd", "c"])], b"abcd");
        check(
            &[texts(&[
                "Failed password for ",
                "Failed password for invalid user ",
            ])],
            b"Failed password for invalid user x",
        );
    }
}
