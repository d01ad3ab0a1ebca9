//! The differences that are meant.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::case::{Line, Way};
use super::judges::{GAVE_UP, Judges, MICROS, Said};
use crate::verdict::Verdict;

/// A difference that is meant, or that cannot be helped.
#[derive(Debug)]
pub struct Known {
    /// Its heading in `docs/fail2ban-differences.md`.
    pub heading: &'static str,
    recognises: fn(Divergence<'_>) -> bool,
}

/// A line that is judged differently.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divergence<'a> {
    pub(super) way: Way,
    /// The log up to the line, which is the last.
    pub(super) lines: &'a [Line],
    pub(super) said: &'a Said,
    pub(super) judges: &'a Judges<'a>,
}

impl Known {
    pub(super) fn explains(&self, divergence: Divergence<'_>) -> bool {
        (self.recognises)(divergence)
    }
}

/// What fail2ban's process says where a pattern goes back and forth for too long.
const TOO_COSTLY: &str = "TimeoutError: too costly";

/// All of them.
#[must_use]
pub fn known() -> &'static [Known] {
    const ALL: &[Known] = &[
        Known {
            heading: "What looks like an address and is none",
            recognises: names_no_address,
        },
        Known {
            heading: "Lines without a date behind lines of no interest",
            recognises: is_dated_by_an_idle_line,
        },
        Known {
            heading: "An hour that the clock shows twice",
            recognises: is_in_a_repeated_hour,
        },
        Known {
            heading: "An address with a single colon at its end",
            recognises: has_a_single_colon,
        },
        Known {
            heading: "Dates without marks",
            recognises: has_a_compact_date,
        },
        Known {
            heading: "Lines over which fail2ban stumbles",
            recognises: |it| (it.said.theirs.as_ref()).is_err_and(|fault| fault != TOO_COSTLY),
        },
        Known {
            heading: "Lines that cost fail2ban too much",
            recognises: |it| (it.said.theirs.as_ref()).is_err_and(|fault| fault == TOO_COSTLY),
        },
        Known {
            heading: "Patterns that give up",
            recognises: |it| (it.said.ours.as_ref()).is_err_and(|fault| fault == GAVE_UP),
        },
    ];
    ALL
}

/// fail2ban bans what a tag for addresses matches, and ours only what is an address, and not a whole
/// family.
fn names_no_address(it: Divergence<'_>) -> bool {
    let (Ok(theirs), Ok(ours)) = (&it.said.theirs, &it.said.ours) else {
        return false;
    };
    let shaped = |c: char| c.is_ascii_hexdigit() || c.is_numeric() || c == '.' || c == ':';
    let is_none = |id: &str| {
        let (addr, length) = id.split_once('/').unwrap_or((id, ""));
        addr.chars().all(shaped) && (length == "0" || addr.parse::<IpAddr>().is_err())
    };
    let named = |one: &&Verdict| !one.id.as_deref().is_some_and(is_none);
    it.way != Way::Every && theirs.iter().filter(named).eq(ours) && theirs.len() > ours.len()
}

/// A line without a date is of the time of the line before. Ours does not look for the dates of lines
/// that cannot be failures, and takes the time at which it reads, or that of an earlier line.
fn is_dated_by_an_idle_line(it: Divergence<'_>) -> bool {
    let (Ok(theirs), Ok(ours)) = (&it.said.theirs, &it.said.ours) else {
        return false;
    };
    let ids = |all: &[Verdict]| all.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    if it.way == Way::Every || ids(theirs) != ids(ours) {
        return false;
    }
    // Where it does look at every line, it says what fail2ban says.
    let all = it.judges.ask_every(it.lines);
    let Some(Ok(every)) = all.last() else {
        return false;
    };
    let now = it.lines.last().map(|line| line.now * MICROS);
    let at = every.first().map(|one| one.at.or(now));
    at.is_some() && at == theirs.first().map(|one| one.at)
}

/// Of a time that the zone has twice ours takes the first, `mktime` the one that is nearer to what it
/// was asked before.
fn is_in_a_repeated_hour(it: Divergence<'_>) -> bool {
    let (Ok(theirs), Ok(ours)) = (&it.said.theirs, &it.said.ours) else {
        return false;
    };
    let shown = |one: &Verdict| {
        let at = jiff::Timestamp::from_microsecond(one.at?).ok()?;
        Some(it.judges.zone().to_datetime(at))
    };
    let same = |(theirs, ours): (&Verdict, &Verdict)| {
        let timeless = |one: &Verdict| Verdict {
            at: None,
            ..one.clone()
        };
        timeless(theirs) == timeless(ours)
            && shown(theirs).is_some()
            && shown(theirs) == shown(ours)
    };
    theirs.len() == ours.len() && theirs.iter().zip(ours).all(same)
}

/// Since 1.1.1 a tag for IPv6 addresses matches `::` alone, and `:` and a few digits.
fn has_a_single_colon(it: Divergence<'_>) -> bool {
    let (Ok(theirs), Ok(ours)) = (&it.said.theirs, &it.said.ours) else {
        return false;
    };
    let shaped = |c: char| c.is_ascii_hexdigit() || c == ':';
    let is_one = |id: &str| {
        id.starts_with(':')
            && id.chars().all(shaped)
            && (id == "::" || id.parse::<IpAddr>().is_err())
    };
    let other = |one: &&Verdict| !one.id.as_deref().is_some_and(is_one);
    it.judges.is_since([1, 1, 1])
        && theirs.iter().filter(other).eq(ours)
        && theirs.len() > ours.len()
}

/// Since 1.1.1 a date without marks may have a hyphen before the time, and colons in it.
fn has_a_compact_date(it: Divergence<'_>) -> bool {
    static NEW: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let text = r"20\d\d[01]\d[0-3]\d(?:-\d\d:?\d\d:?|(?:T| {1,2})\d\d(?::\d\d:?|\d\d:))\d\d";
        Regex::new(text).ok()
    });
    let has_one = |line: &Line| (NEW.as_ref()).is_some_and(|new| new.is_match(&line.text));
    !it.judges.is_since([1, 1, 1]) && it.lines.iter().any(has_one)
}
