//! What the translation has to know of the host and of pattern engines, which this crate does not.

use std::fmt::Debug;

use super::super::{ResolvedFilter, UseHostNames};

/// Whom the translation asks. The caller knows the disk and the engines.
pub trait ImportHost: Debug {
    /// The absolute path of a program, found as a shell finds it.
    fn program(&self, name: &str) -> Option<String>;

    /// The text of `/etc/services`, for the names of ports; may be empty.
    fn services(&self) -> String;

    /// How many minutes a zone as fail2ban writes them, such as `CET` or `UTC+0130`, is ahead of UTC.
    fn zone(&self, zone: &str) -> Option<i32>;

    /// What keeps a log from being read in this encoding.
    ///
    /// # Errors
    /// The reason, in words.
    fn encoding(&self, name: &str) -> Result<(), String>;

    /// What is wrong with the patterns of a filter.
    fn pattern_faults(&self, filter: &ResolvedFilter, usedns: UseHostNames) -> Vec<PatternFault>;
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternFault {
    /// Which one.
    pub pattern: PatternOf,
    /// At which byte of it; `None` for all of it.
    pub offset: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What can be done.
    pub hint: Option<String>,
}

/// A pattern of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternOf {
    /// The one that every line must match first.
    Prefregex,
    /// This one of those that make a failure.
    Failregex(usize),
    /// This one of those that make it none.
    Ignoreregex(usize),
    /// This one of those for dates.
    Datepattern(usize),
}
