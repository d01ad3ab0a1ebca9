//! What both are asked: a filter, how it is run, and the lines of a log.

use std::fmt;

use crate::check::shown;
use crate::subjects::Subject;

/// How a filter is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Every failregex is tried, and all that is found is compared: which, whom, when, what the groups
    /// hold.
    Every,
    /// As the daemons do: the first failregex wins. Whom and when is compared, and ours goes the whole
    /// way, the search for required texts included.
    First,
    /// The same with `usedns = no`, where host names are none.
    FirstWithoutNames,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Every, Self::First, Self::FirstWithoutNames];

    pub(super) fn resolves(self) -> bool {
        self != Self::FirstWithoutNames
    }
}

/// A filter with its options, as a jail names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The filter.
    pub subject: Subject,
    /// Its options.
    pub options: Vec<(String, String)>,
}

impl Chosen {
    /// Whether its lines come from a journal, with their times.
    #[must_use]
    pub fn is_journal(&self) -> bool {
        let journal = ("logtype".to_owned(), "journal".to_owned());
        self.options.contains(&journal)
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.subject.name, &self.options))
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Without its end.
    pub text: Vec<u8>,
    /// When it is read, in seconds since the epoch.
    pub now: i64,
}
