//! Who judges lines: stockade, and fail2ban by way of its process.

use std::path::Path;

use crate::oracle::{Oracle, Question, TheirFilter};
use crate::verdict::Verdict;

/// Somebody who reads a filter of a fail2ban configuration and judges lines by it.
pub trait Engine {
    /// A filter with what it remembers of the lines before.
    type Filter;

    /// Reads a filter of the configuration folder `dir` with options as in brackets.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    fn open(
        &mut self,
        dir: &Path,
        name: &str,
        options: &[(String, String)],
    ) -> Result<Opened<Self::Filter>, String>;

    /// Judges the next line of a log with every failregex. With `journal` it has no date, but happens
    /// now.
    ///
    /// # Errors
    /// What it stumbled over, for people.
    fn judge(
        &mut self,
        filter: &mut Self::Filter,
        line: &[u8],
        journal: bool,
    ) -> Result<Vec<Verdict>, String>;
}

/// A filter that was read.
#[derive(Debug)]
pub struct Opened<F> {
    /// The filter.
    pub filter: F,
    /// Its failregexes; two that are written alike are one.
    pub patterns: Vec<String>,
}

impl Engine for Oracle {
    type Filter = TheirFilter;

    fn open(
        &mut self,
        dir: &Path,
        name: &str,
        options: &[(String, String)],
    ) -> Result<Opened<TheirFilter>, String> {
        let filter = self
            .read(dir, name, options, true)
            .map_err(|e| e.to_string())?;
        let patterns = filter.failregex.clone();
        Ok(Opened { filter, patterns })
    }

    fn judge(
        &mut self,
        filter: &mut TheirFilter,
        line: &[u8],
        journal: bool,
    ) -> Result<Vec<Verdict>, String> {
        let question = Question {
            every: true,
            journal,
            ..Question::default()
        };
        let mut judged =
            Oracle::judge(self, filter, [line], &question).map_err(|fault| fault.to_string())?;
        judged.pop().unwrap_or_else(|| Err("no answer".to_owned()))
    }
}
