//! The differences that are meant.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::case::{Line, Way};
use super::judges::{AMBIGUOUS, GAVE_UP, Judges, Said};
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
            heading: "Ambiguous lines",
            recognises: is_ambiguous,
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
            heading: "Times before 1970",
            recognises: is_long_ago,
        },
        Known {
            heading: "An address with a single colon at its end",
            recognises: has_a_single_colon,
        },
        Known {
            heading: "Turkish letters without regard to case",
            recognises: |it| {
                let has_one = |pair: &[u8]| pair == [0xc4, 0xb0] || pair == [0xc4, 0xb1];
                it.lines
                    .iter()
                    .any(|line| line.text.windows(2).any(has_one))
            },
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

/// Ours names two readings, of which one is fail2ban's; or it was too much to find the other one.
fn is_ambiguous(it: Divergence<'_>) -> bool {
    let (Ok([found]), Err(fault)) = (it.said.theirs.as_deref(), &it.said.ours) else {
        return false;
    };
    let Some(readings) = fault.strip_prefix(AMBIGUOUS) else {
        return false;
    };
    let readings: Vec<&str> = readings.split(" or ").collect();
    readings.len() < 2 || readings.iter().any(|one| found.id.as_deref() == Some(one))
}

/// A line without a date is of the time of the line before, and a date is read as those before it were.
/// Ours does not look for the dates of lines that cannot be failures.
fn is_dated_by_an_idle_line(it: Divergence<'_>) -> bool {
    let (Ok(theirs), [.., last]) = (&it.said.theirs, it.lines) else {
        return false;
    };
    // Where ours does look at every line, it says what fail2ban says; and by itself the line is not
    // passed over.
    let looked_at = |lines| it.judges.looked_at(it.way, lines).pop();
    let alone = std::slice::from_ref(last);
    it.way != Way::Every
        && it.lines.len() > 1
        && matches!(looked_at(it.lines), Some(Ok(ours)) if is_same(it, theirs, &ours))
        && it.judges.ask_first(it.way, alone).pop() == looked_at(alone)
}

/// Of a time that the zone has twice ours takes the first, `mktime` the one that is nearer to what it
/// was asked before.
fn is_in_a_repeated_hour(it: Divergence<'_>) -> bool {
    let (Ok(theirs), Ok(ours)) = (&it.said.theirs, &it.said.ours) else {
        return false;
    };
    is_same(it, theirs, ours)
}

/// Before 1970 the C library knows no summer time of a zone that is written as a rule.
fn is_long_ago(it: Divergence<'_>) -> bool {
    const HOUR: i64 = 3_600_000_000;
    let (Ok(theirs), Ok(ours)) = (&it.said.theirs, &it.said.ours) else {
        return false;
    };
    let same = |(theirs, ours): (&Verdict, &Verdict)| {
        let (Some(at), Some(own)) = (theirs.at, ours.at) else {
            return false;
        };
        let moved = Verdict {
            at: Some(at),
            ..ours.clone()
        };
        moved == *theirs && at < 0 && (at == own || at - own == HOUR)
    };
    theirs.len() == ours.len() && theirs.iter().zip(ours).all(same)
}

/// Whether both found the same, an hour that the clock shows twice taken for one.
fn is_same(it: Divergence<'_>, theirs: &[Verdict], ours: &[Verdict]) -> bool {
    let shown = |one: &Verdict| {
        let at = jiff::Timestamp::from_microsecond(one.at?).ok()?;
        Some(it.judges.zone().to_datetime(at))
    };
    let timeless = |one: &Verdict| Verdict {
        at: None,
        ..one.clone()
    };
    let same = |(theirs, ours): (&Verdict, &Verdict)| {
        timeless(theirs) == timeless(ours) && shown(theirs) == shown(ours)
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
