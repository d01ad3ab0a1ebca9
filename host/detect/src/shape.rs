//! Finding the address of a pattern `A <ADDR> B` without a capturing engine, which would cost two
//! microseconds a line.
//!
//! Where A can end and where B can begin are found separately: A forwards, B backwards from the
//! line's end. An address tag fits only between an end of A and a beginning of B. If all the places
//! where it fits hold the same address, that is the id, whichever match an engine would prefer. If
//! they hold different ones, the line can be read in several ways, and [`Reading::Several`] says so.
//!
//! **Ambiguity.** For a pattern anchored at both ends (`^..$`) `Several` is the answer: its grammar
//! leaves open who is meant, and part of the line's text was chosen by somebody who wants it so; no
//! preference of the regex engine (greedy, lazy) makes one reading the true one. In a pattern that is
//! open at an end, several may be the longer and the shorter reading of one address, so that
//! [`crate::readings`] has to tell, as it does for patterns that are not of this shape: one address
//! tag that stands in no alternative, repetition or group.

use std::net::IpAddr;

use memchr::memmem;
use regex_syntax::hir::{Class, Dot, Hir, HirKind, Look};

use crate::address::{self, Token};
use crate::automaton::{Dense, GaveUp};
use crate::literals;
use crate::pattern::parts;
use crate::tags::Family;

/// Looking at what follows each of many addresses could take time that grows with the square of the
/// line's length. Beyond this the engine decides, whose time is linear; for a pattern that is anchored
/// at both ends such a line counts as one with several readings, or else its author could choose who
/// decides.
const STEPS_PER_BYTE: usize = 8;
/// See [`STEPS_PER_BYTE`]; short lines need no limit.
const STEPS_FREE: usize = 4096;

/// What the split tells about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The pattern does not match.
    Miss,
    /// It matches, and every way to read it names this address.
    One { addr: IpAddr, user: UserText },
    /// It matches in ways that name different addresses, of which these are the first two;
    /// fewer are known where the line was made so that finding them would take too long.
    Several(Option<IpAddr>, Option<IpAddr>),
    /// The capturing engine has to tell.
    Unsure,
}

/// Where the user name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserText {
    Known(Option<(usize, usize)>),
    Unknown,
}

/// A pattern cut in two at its address tag.
#[derive(Debug)]
pub(crate) struct Shape {
    head: Head,
    tail: Tail,
    family: Family,
    /// `^..$`: every byte of the line belongs to the pattern.
    pub(crate) anchored: bool,
}

/// What stands before the address.
#[derive(Debug)]
enum Head {
    /// One of a few texts.
    Texts(Vec<Vec<u8>>),
    /// One of a few texts, then bytes of a class, then one text: `^Invalid user .* from `.
    Gap(Box<Gap>),
    Automaton(Box<Dense>),
}

#[derive(Debug)]
struct Gap {
    prefixes: Vec<Vec<u8>>,
    min: usize,
    /// `None` where every byte may stand in the gap.
    class: Option<Box<[bool; 256]>>,
    suffix: Vec<u8>,
    finder: memmem::Finder<'static>,
    is_user: bool,
}

/// What follows the address.
#[derive(Debug)]
enum Tail {
    /// Reaches to the end of the line; read backwards.
    Closed(Dense),
    /// Any text may follow it.
    Open(Dense),
    /// Nothing is asked of what follows.
    Anything,
}

/// Scratch space of [`Shape::read`].
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Where an address could begin.
    heads: Vec<usize>,
    /// Where the rest of the pattern can begin, going down.
    tails: Vec<usize>,
    /// Bytes looked at after addresses.
    steps: usize,
}

/// The readings that were found so far.
#[derive(Debug, Default)]
struct Readings {
    first: Option<(IpAddr, usize)>,
    /// Another place names the same address.
    again: bool,
    /// Another address is named.
    other: Option<IpAddr>,
    /// At some place the engine may see more than was found.
    unsure: bool,
}

impl Readings {
    fn add(&mut self, addr: IpAddr, start: usize) {
        match self.first {
            None => self.first = Some((addr, start)),
            Some((first, _)) if first == addr => self.again = true,
            Some(_) => self.other = Some(addr),
        }
    }
}

impl Places {
    /// Was more looked at than a line may cost?
    fn are_exhausted(&self, subject: &[u8]) -> bool {
        self.steps > STEPS_FREE + STEPS_PER_BYTE * subject.len()
    }

    /// Is there a tail in `from..=to`?
    fn has_tail(&self, from: usize, to: usize) -> bool {
        let at = self.tails.partition_point(|&tail| tail > to);
        self.tails.get(at).is_some_and(|&tail| tail >= from)
    }
}

impl Shape {
    /// Cuts `hir` at the capture group `unit`, if it stands at top level and the parts are small.
    pub(crate) fn find(hir: &Hir, unit: &str, family: Family) -> Option<Self> {
        let parts = parts(hir);
        let at = parts.iter().position(|part| is_group(part, unit))?;
        let before = parts.get(..at)?;
        let after = parts.get(at + 1..)?;
        let starts = before
            .first()
            .is_some_and(|part| is_look(part, Look::Start));
        let ends = after.last().is_some_and(|part| is_look(part, Look::End));
        Some(Self {
            head: Head::build(before, starts)?,
            tail: Tail::build(after, ends)?,
            family,
            anchored: starts && ends,
        })
    }

    /// Marks the group that holds the user name, so that it need not be captured, where it is the gap
    /// before the address, the group `unit`.
    pub(crate) fn name_user(&mut self, hir: &Hir, group: &str, unit: &str) {
        let Head::Gap(gap) = &mut self.head else {
            return;
        };
        let parts = parts(hir);
        let before = parts.iter().take_while(|part| !is_group(part, unit));
        let mut gaps = before.filter(|part| gap_of(part).is_some());
        gap.is_user = gaps.any(|part| is_group(part, group));
    }

    /// Reads `subject`.
    pub(crate) fn read(&self, subject: &[u8], places: &mut Places) -> Reading {
        self.try_read(subject, places).unwrap_or(Reading::Unsure)
    }

    fn try_read(&self, subject: &[u8], places: &mut Places) -> Result<Reading, GaveUp> {
        let (mut from, mut to) = (0, subject.len());
        places.tails.clear();
        if let Tail::Closed(dfa) = &self.tail {
            let tails = &mut places.tails;
            dfa.begins(subject, |place| tails.push(place))?;
            let (Some(&last), Some(&first)) = (tails.first(), tails.last()) else {
                return Ok(Reading::Miss);
            };
            from = first.saturating_sub(address::LEN_MAX);
            to = last;
        }
        places.heads.clear();
        self.head.ends(subject, from, to, &mut places.heads)?;
        places.steps = 0;
        let mut readings = Readings::default();
        for i in 0..places.heads.len() {
            let Some(&start) = places.heads.get(i) else {
                break;
            };
            match self.read_at(subject, start, places, &mut readings) {
                Ok(()) => {}
                Err(GaveUp) if self.anchored && places.are_exhausted(subject) => {
                    return Ok(Reading::Several(readings.first.map(|(addr, _)| addr), None));
                }
                Err(GaveUp) => return Err(GaveUp),
            }
            match (readings.first, readings.other) {
                (Some((first, _)), Some(other)) => {
                    return Ok(Reading::Several(Some(first), Some(other)));
                }
                _ if readings.unsure && !self.anchored => return Ok(Reading::Unsure),
                _ => {}
            }
        }
        Ok(match readings.first {
            _ if readings.unsure => Reading::Unsure,
            None => Reading::Miss,
            Some((addr, start)) => Reading::One {
                addr,
                user: if readings.again {
                    UserText::Unknown
                } else {
                    self.head.user(subject, start)
                },
            },
        })
    }

    /// Adds what can be read at `start`.
    fn read_at(
        &self,
        subject: &[u8],
        start: usize,
        places: &mut Places,
        readings: &mut Readings,
    ) -> Result<(), GaveUp> {
        match self.fits(subject, start, places)? {
            Fit::No => {}
            Fit::Yes(addr) => readings.add(addr, start),
            Fit::Unsure => {
                readings.unsure = true;
                if self.anchored {
                    self.every_fit(subject, start, places, readings)?;
                }
            }
        }
        Ok(())
    }

    /// Adds every address that the tag can match at `start` so that the tail matches after it,
    /// whatever an engine would prefer.
    fn every_fit(
        &self,
        subject: &[u8],
        start: usize,
        places: &mut Places,
        readings: &mut Readings,
    ) -> Result<(), GaveUp> {
        for (addr, end) in address::all(subject, start, self.family) {
            if self.tail.accepts(subject, end, places)? {
                readings.add(addr, start);
            }
        }
        Ok(())
    }

    /// Is there an address at `start` after which the tail matches?
    fn fits(&self, subject: &[u8], start: usize, places: &mut Places) -> Result<Fit, GaveUp> {
        let closed = matches!(self.tail, Tail::Closed(_));
        // With the tails known, only those that some address could reach matter.
        match address::read(subject, start, self.family) {
            Token::None => Ok(Fit::No),
            Token::Unsure if closed && !places.has_tail(start + 1, start + address::LEN_MAX) => {
                Ok(Fit::No)
            }
            Token::Unsure => Ok(Fit::Unsure),
            Token::Address { addr, end } => {
                let bracket = subject.get(end) == Some(&b']');
                if (bracket && self.tail.accepts(subject, end + 1, places)?)
                    || self.tail.accepts(subject, end, places)?
                {
                    return Ok(Fit::Yes(addr));
                }
                // Shorter readings exist only where colons are; the dotted form has one end.
                let text = subject.get(start..end).unwrap_or_default();
                if text.contains(&b':') && (!closed || places.has_tail(start + 1, end)) {
                    return Ok(Fit::Unsure);
                }
                Ok(Fit::No)
            }
        }
    }
}

enum Fit {
    No,
    Yes(IpAddr),
    Unsure,
}

impl Head {
    fn build(before: &[&Hir], starts: bool) -> Option<Self> {
        if starts && let Some(head) = Self::texts(before.get(1..).unwrap_or_default()) {
            return Some(head);
        }
        let mut all: Vec<Hir> = before.iter().map(|&part| part.clone()).collect();
        if !starts {
            all.insert(
                0,
                Hir::repetition(regex_syntax::hir::Repetition {
                    min: 0,
                    max: None,
                    greedy: false,
                    sub: Box::new(Hir::dot(Dot::AnyByte)),
                }),
            );
        }
        Dense::all(&Hir::concat(all)).map(|dfa| Self::Automaton(Box::new(dfa)))
    }

    /// Texts, or texts and one gap; `None` where the parts are anything else.
    fn texts(parts: &[&Hir]) -> Option<Self> {
        let text_of = |parts: &[&Hir]| {
            let parts = parts.iter().map(|&part| part.clone()).collect();
            literals::exact(&Hir::concat(parts))
        };
        if let Some(texts) = text_of(parts) {
            return Some(Self::Texts(texts));
        }
        let (at, (min, class)) = parts
            .iter()
            .enumerate()
            .find_map(|(i, part)| gap_of(part).map(|gap| (i, gap)))?;
        let prefixes = text_of(parts.get(..at)?)?;
        let suffixes = text_of(parts.get(at + 1..)?)?;
        let [suffix] = suffixes.as_slice() else {
            return None;
        };
        if suffix.is_empty() {
            return None;
        }
        Some(Self::Gap(Box::new(Gap {
            prefixes,
            min,
            class,
            finder: memmem::Finder::new(suffix).into_owned(),
            suffix: suffix.clone(),
            is_user: false,
        })))
    }

    /// Adds the places in `from..=to` where the head can end and an address may begin.
    fn ends(
        &self,
        subject: &[u8],
        from: usize,
        to: usize,
        out: &mut Vec<usize>,
    ) -> Result<(), GaveUp> {
        let mut add = |place: usize| {
            if place >= from && subject.get(place).is_some_and(|&b| address::may_begin(b)) {
                out.push(place);
            }
            place < to
        };
        match self {
            Self::Automaton(dfa) => {
                dfa.ends(subject, 0, add)?;
            }
            Self::Texts(texts) => {
                for text in texts {
                    if subject.starts_with(text) {
                        add(text.len());
                    }
                }
            }
            Self::Gap(gap) => gap.ends(subject, from, to, |place| {
                add(place);
            }),
        }
        Ok(())
    }

    /// The user name of a match whose address begins at `place`.
    fn user(&self, subject: &[u8], place: usize) -> UserText {
        let Self::Gap(gap) = self else {
            return UserText::Unknown;
        };
        if !gap.is_user {
            return UserText::Unknown;
        }
        let end = place - gap.suffix.len();
        let mut starts = gap.starts_of(subject, end);
        match (starts.next(), starts.next()) {
            (Some(start), None) => UserText::Known((start < end).then_some((start, end))),
            _ => UserText::Unknown,
        }
    }
}

impl Gap {
    /// Where the gap begins after each of the prefixes that `subject` has, and how far the bytes
    /// after it are of the gap's class.
    fn starts<'a>(&'a self, subject: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
        let matching = self.prefixes.iter().filter(|p| subject.starts_with(p));
        matching.map(|prefix| {
            let rest = subject.get(prefix.len()..).unwrap_or_default();
            let len = match &self.class {
                None => rest.len(),
                Some(class) => rest
                    .iter()
                    .take_while(|&&byte| class.get(usize::from(byte)) == Some(&true))
                    .count(),
            };
            (prefix.len(), prefix.len() + len)
        })
    }

    /// Where the gap of a match can begin if it ends at `end`.
    fn starts_of<'a>(&'a self, subject: &'a [u8], end: usize) -> impl Iterator<Item = usize> + 'a {
        self.starts(subject)
            .filter(move |&(start, limit)| start + self.min <= end && end <= limit)
            .map(|(start, _)| start)
    }

    fn ends(&self, subject: &[u8], from: usize, to: usize, mut add: impl FnMut(usize)) {
        for (start, limit) in self.starts(subject) {
            let mut at = (start + self.min).max(from.saturating_sub(self.suffix.len()));
            let last = to.min(limit.saturating_add(self.suffix.len()));
            while let Some(window) = subject.get(at..last)
                && let Some(found) = self.finder.find(window)
            {
                add(at + found + self.suffix.len());
                at += found + 1;
            }
        }
    }
}

impl Tail {
    fn build(after: &[&Hir], ends: bool) -> Option<Self> {
        let own = |parts: &[&Hir]| Hir::concat(parts.iter().map(|&part| part.clone()).collect());
        if !ends {
            return Self::open(&own(after));
        }
        // `X.*$` asks no more of the line than X does.
        if let [before @ .., gap, _end] = after
            && matches!(gap_of(gap), Some((0, None)))
        {
            return Self::open(&own(before));
        }
        Dense::reverse(&own(after)).map(Self::Closed)
    }

    fn open(hir: &Hir) -> Option<Self> {
        if matches!(hir.kind(), HirKind::Empty) {
            return Some(Self::Anything);
        }
        Dense::all(hir).map(Self::Open)
    }

    fn accepts(&self, subject: &[u8], place: usize, places: &mut Places) -> Result<bool, GaveUp> {
        match self {
            Self::Anything => Ok(true),
            Self::Closed(_) => Ok(places.has_tail(place, place)),
            Self::Open(dfa) => {
                let mut found = false;
                let steps = dfa.ends(subject, place, |_| {
                    found = true;
                    false
                })?;
                places.steps += steps;
                if places.are_exhausted(subject) {
                    return Err(GaveUp);
                }
                Ok(found)
            }
        }
    }
}

fn is_group(hir: &Hir, name: &str) -> bool {
    matches!(hir.kind(), HirKind::Capture(capture) if capture.name.as_deref() == Some(name))
}

fn is_look(hir: &Hir, look: Look) -> bool {
    matches!(hir.kind(), HirKind::Look(found) if *found == look)
}

/// The least length of `.*` or `.+`, with or without groups around it; `None` for anything else.
pub(crate) fn any_rest(hir: &Hir) -> Option<usize> {
    match gap_of(hir) {
        Some((min, None)) => Some(min),
        _ => None,
    }
}

/// The least length and the bytes of `x*` or `x+`, with or without groups around it; the bytes are
/// `None` where all that occur in a line are allowed.
fn gap_of(hir: &Hir) -> Option<(usize, Option<Box<[bool; 256]>>)> {
    match hir.kind() {
        HirKind::Capture(capture) => gap_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.max.is_none() => {
            let HirKind::Class(Class::Bytes(class)) = repetition.sub.kind() else {
                return None;
            };
            let mut table = Box::new([false; 256]);
            for range in class.iter() {
                for byte in range.start()..=range.end() {
                    if let Some(slot) = table.get_mut(usize::from(byte)) {
                        *slot = true;
                    }
                }
            }
            // A line holds no line feed, so a dot allows all that can occur.
            let all = (0_u8..=255).all(|b| b == b'\n' || table.get(usize::from(b)) == Some(&true));
            let min = usize::try_from(repetition.min).ok()?;
            Some((min, (!all).then_some(table)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
