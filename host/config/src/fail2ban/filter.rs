//! `filter.d/NAME`: what makes a line a failure.

use std::collections::BTreeMap;

use super::definition::{Definition, Named};
use super::fault::Fault;
use super::merged::Options;
use super::values::{self, Faults};
use super::written::Written;
use crate::diagnostic::{Diagnostic, quoted};
use crate::source::{Located, Origin};

/// The options of a filter that mean something by themselves; a jail may give them, too.
pub(crate) const FILTER_OPTIONS: &[&str] = &[
    "usedns",
    "prefregex",
    "ignoreregex",
    "failregex",
    "maxlines",
    "datepattern",
    "journalmatch",
];

/// A filter with everything in it replaced, except the tags that detection knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedFilter {
    /// Its name, that of its file without the ending.
    pub name: String,
    /// What every line must match first.
    pub prefregex: Option<Written>,
    /// A failure is what one of these matches, the first of them that does.
    pub failregex: Vec<Written>,
    /// What one of these matches is no failure.
    pub ignoreregex: Vec<Written>,
    /// How lines are dated, in the order in which the templates are tried; `None` for fail2ban's
    /// own templates, and an empty list for none.
    pub datepattern: Option<Vec<Written>>,
    /// How many lines are matched together.
    pub maxlines: Option<Located<u32>>,
    /// What is read of the journal: words of journalctl(1), one list for each line, any of which
    /// may match.
    pub journalmatch: Vec<Located<Vec<String>>>,
    /// What host names in a line stand for, as it is written.
    pub usedns: Option<Written>,
    /// Every option as text, those that only others name included.
    pub options: BTreeMap<String, Written>,
    /// What is odd, but can be used.
    pub warnings: Vec<Diagnostic>,
}

/// Makes a filter of its own options and those of its jail.
///
/// Who wins differs, and is what comes out of the commands that fail2ban's client sends to its
/// server: patterns and journal matches of both are used, the jail's `datepattern` wins, and of the
/// others a jail's wins over `[Definition]` but not over brackets and `[Init]`.
pub(crate) fn assemble(
    name: &str,
    own: Named,
    jail: &Options,
    faults: &mut Faults,
) -> ResolvedFilter {
    let both = |option: &str| {
        let both = [own.get(option), jail.get(option)];
        both.into_iter().flatten().collect::<Vec<_>>()
    };
    let first = |option: &str| both(option).first().copied().cloned();
    let patterns = |option: &str| {
        let lines = both(option).into_iter().flat_map(Written::lines);
        lines
            .filter(|line| !line.as_str().is_empty())
            .collect::<Vec<_>>()
    };
    let datepattern = both("datepattern").last().map(|value| {
        let lines = value.lines().map(|line| line.trimmed());
        lines.filter(|line| !line.as_str().is_empty()).collect()
    });
    let mut journalmatch = Vec::new();
    for line in both("journalmatch").into_iter().flat_map(Written::lines) {
        if line.as_str().is_empty() {
            continue;
        }
        if let Some(value) = faults.take(values::words_of_shell(&line)) {
            let origin = line.origin();
            journalmatch.push(Located { value, origin });
        }
    }
    ResolvedFilter {
        name: name.to_owned(),
        // An empty one takes a prefix back that an include brought.
        prefregex: first("prefregex").filter(|value| !value.as_str().is_empty()),
        failregex: patterns("failregex"),
        ignoreregex: patterns("ignoreregex"),
        datepattern,
        maxlines: first("maxlines")
            .and_then(|value| faults.take(values::at_least_one(&value, "maxlines"))),
        journalmatch,
        usedns: first("usedns"),
        options: own,
        warnings: Vec::new(),
    }
}

/// Says so where a filter can find nothing; `place` is shown where the filter has no section to show.
pub(crate) fn check(
    filter: &ResolvedFilter,
    definition: &Definition<'_>,
    place: Origin,
    faults: &mut Faults,
) {
    if definition.is_incomplete() {
        return;
    }
    let Some(place_of_definition) = definition.origin() else {
        let message = format!("the filter {} has no '[Definition]'", quoted(&filter.name));
        return faults.push(Fault::error(place, message));
    };
    if filter.failregex.is_empty() {
        let message = "the filter has no failregex, so that it finds nothing";
        faults.push(Fault::warning(place_of_definition, message));
    }
}

/// `logtype` as fail2ban sets it by itself, from the backend of the jail.
pub(crate) fn logtype(backend: &str) -> Written {
    let logtype = if backend.starts_with("systemd") {
        "journal"
    } else {
        "file"
    };
    Written::new(logtype, Origin::NOWHERE)
}
