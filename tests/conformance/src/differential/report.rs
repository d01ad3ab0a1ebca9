//! What came out of a comparison.

use std::collections::BTreeMap;
use std::fmt;

use super::case::{Chosen, Line, Way};
use super::judges::Said;
use crate::oracle::Judged;

/// What came out of a comparison.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Lines that were judged by both.
    pub lines: usize,
    /// Lines in which fail2ban finds somebody.
    pub found: usize,
    /// Filters with options.
    pub filters: usize,
    /// Lines that differ as `docs/fail2ban-differences.md` says, by its headings.
    pub explained: BTreeMap<&'static str, usize>,
    /// What nothing explains.
    pub unexplained: Vec<Unexplained>,
    /// Filters that only one of them takes.
    pub unopened: Vec<(Chosen, String)>,
}

/// A difference that nothing explains.
#[derive(Debug)]
pub struct Unexplained {
    /// The filter.
    pub chosen: Chosen,
    /// How it was run.
    pub way: Way,
    /// The lines of a log, as few as show it; the last is the one that is judged differently.
    pub lines: Vec<Line>,
    /// What both say of the last.
    pub said: Said,
}

impl Comparison {
    pub(super) fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.found += other.found;
        self.filters += other.filters;
        for (heading, count) in other.explained {
            *self.explained.entry(heading).or_default() += count;
        }
        self.unexplained.extend(other.unexplained);
        self.unopened.extend(other.unopened);
    }

    /// Whether there is nothing that is not explained.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unexplained.is_empty() && self.unopened.is_empty()
    }
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({:?})", self.chosen, self.way)?;
        for line in &self.lines {
            writeln!(
                f,
                "      line: {} \"{}\"",
                line.now,
                line.text.escape_ascii()
            )?;
        }
        writeln!(f, "  expected: {}", Shown(&self.said.theirs))?;
        write!(f, "       got: {}", Shown(&self.said.ours))
    }
}

/// What somebody says of a line, for people.
struct Shown<'a>(&'a Judged);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match self.0 {
            Ok(found) if found.is_empty() => return f.write_str("nothing"),
            Ok(found) => found,
            Err(fault) => return write!(f, "{}", fault.escape_debug()),
        };
        for (i, one) in found.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "failregex {}", one.pattern + 1)?;
            match &one.id {
                Some(id) => write!(f, " finds {:?}", id)?,
                None => f.write_str(" finds nobody yet")?,
            }
            if let Some(at) = one.at {
                let (seconds, micros) = (at.div_euclid(1_000_000), at.rem_euclid(1_000_000));
                write!(f, " at {seconds}.{micros:06}")?;
            }
            write!(f, ", {} lines", one.attempts)?;
            if one.nofail {
                f.write_str(", no failure")?;
            }
            for (name, value) in &one.captures {
                write!(f, ", {name} {value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    /// Every difference, what was compared, and `N passed, M failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unexplained in &self.unexplained {
            writeln!(f, "{unexplained}\n")?;
        }
        for (chosen, why) in &self.unopened {
            writeln!(f, "{chosen}: only one takes it: {why}\n")?;
        }
        let (lines, filters, found) = (self.lines, self.filters, self.found);
        writeln!(
            f,
            "{lines} lines through {filters} filters with their options; in {found} fail2ban finds somebody"
        )?;
        for (heading, count) in &self.explained {
            writeln!(f, "{count:>8} differ, explained: {heading}")?;
        }
        let failed = self.unexplained.len() + self.unopened.len();
        write!(
            f,
            "{} passed, {failed} failed",
            lines - self.unexplained.len()
        )
    }
}
