//! What came out of a run over samples.

use std::fmt;
use std::path::PathBuf;

/// What came out of a run over samples.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines that must match and do, once for each set of options.
    pub matched: usize,
    /// Lines that must not match and do not, likewise.
    pub missed: usize,
    /// Failregexes that some line shows to match, likewise.
    pub patterns: usize,
    /// Everything that is not as it must be.
    pub failures: Vec<Failure>,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The filter.
    pub filter: String,
    /// The sample file.
    pub file: PathBuf,
    /// The line in it, from 1; 0 where it is about the whole file.
    pub line: usize,
    /// The line that was judged.
    pub text: String,
    /// What the sample file says.
    pub expected: String,
    /// What there was instead.
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        writeln!(f, ": {}", self.filter)?;
        if !self.text.is_empty() {
            writeln!(f, "      line: {}", self.text.escape_debug())?;
        }
        writeln!(f, "  expected: {}", self.expected)?;
        write!(f, "       got: {}", self.got)
    }
}

impl Report {
    /// How much is as it must be.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.matched + self.missed + self.patterns
    }
}

impl fmt::Display for Report {
    /// Every failure, what was looked at, and `N passed, M failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{failure}\n")?;
        }
        let (matched, missed, patterns) = (self.matched, self.missed, self.patterns);
        writeln!(
            f,
            "{} lines as expected: {matched} that match, {missed} that do not; {patterns} failregexes shown to match",
            matched + missed
        )?;
        write!(
            f,
            "{} passed, {} failed",
            self.passed(),
            self.failures.len()
        )
    }
}
