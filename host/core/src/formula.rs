//! The small arithmetic of fail2ban's configuration: `bantime.formula`, `bantime.factor` and times.
//!
//! fail2ban hands these texts to Python's `eval`. Here they are read by a grammar that knows the
//! operators, the few functions and the three variables that fail2ban documents, with Python's
//! precedence and Python's whole numbers; anything else is an error with its place. Nothing can be
//! called, named or reached that is not listed in `parse`.

mod evaluate;
mod lex;
mod parse;

#[cfg(test)]
mod tests;

use std::fmt;

use evaluate::{Number, Variables};
use lex::Dialect;
use parse::Expression;

/// Longest text that is read, in bytes: ten times the longest formula that fail2ban documents. It
/// bounds the depth of the tree as well, since every level of it takes a character.
const TEXT_BYTES_MAX: usize = 1_024;

/// How the length of a ban is computed (`bantime.formula`).
///
/// Knows `ban.Time`, `ban.Count` and `banFactor`; numbers; `+ - * / // % ** << >>`; comparisons,
/// `and`, `or`, `not`; `A if B else C`; `min`, `max`, `abs`, `int`, `float`, `round`; `math.pi`,
/// `math.e`, and `exp`, `log`, `log2`, `log10`, `sqrt`, `pow`, `floor` and `ceil` of `math`.
#[derive(Clone, PartialEq)]
pub struct BanFormula {
    source: String,
    expression: Expression,
}

/// Why a text is no formula, or why a formula has no value, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormulaError {
    /// Byte offset in the text of what cannot be read or computed.
    pub offset: usize,
    /// What is wrong there: lower case, no full stop.
    pub message: String,
}

impl BanFormula {
    /// Reads a formula.
    ///
    /// # Errors
    /// Where the text is longer than 1 KiB, nested too deep, or holds anything but what the type
    /// lists.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        Ok(Self {
            source: text.to_owned(),
            expression: read(text, Dialect::Formula)?,
        })
    }

    /// The value for a ban of `time_secs` seconds, an id that was banned `count` times before, and
    /// `bantime.factor`.
    ///
    /// It is what the formula says and no more: fail2ban never bans shorter than `time_secs`, which
    /// is for the caller to see to. A value too large for a number is [`f64::MAX`], where Python
    /// fails and fail2ban falls back to the plain time: who is banned so often deserves the most.
    ///
    /// # Errors
    /// Where something is divided by zero, shifted by a fraction or otherwise has no value.
    pub fn eval(&self, time_secs: f64, count: u32, factor: f64) -> Result<f64, FormulaError> {
        let variables = Variables {
            time: Number::from_f64(time_secs),
            count: Number::Int(i128::from(count)),
            factor: Number::from_f64(factor),
        };
        self.expression.value(Some(&variables))
    }

    /// The text that was read.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl Eq for BanFormula {}

impl fmt::Debug for BanFormula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BanFormula").field(&self.source).finish()
    }
}

/// Computes a number that is written as arithmetic: `bantime.factor` may be `2.0 / 2.885385`.
///
/// # Errors
/// As [`BanFormula::parse`] and [`BanFormula::eval`]; there are no variables.
pub fn parse_number(text: &str) -> Result<f64, FormulaError> {
    read(text, Dialect::Formula)?.value(None)
}

/// Computes a time that is written as fail2ban allows it, in seconds: `10m`, `1d12h`, `1h 30`,
/// `60*60*24`, `1year-6mo`. It may be negative or have a fraction.
///
/// A unit multiplies the number in front of it, and numbers side by side are added, both by the
/// rules that fail2ban's rewriting has: `2/1h` is `2/1*3600`.
///
/// # Errors
/// As [`BanFormula::parse`] and [`BanFormula::eval`]; there are no variables.
pub fn parse_time_arithmetic(text: &str) -> Result<f64, FormulaError> {
    read(text, Dialect::Time)?.value(None)
}

fn read(text: &str, dialect: Dialect) -> Result<Expression, FormulaError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(FormulaError::new(
            0,
            format!("the text is longer than {TEXT_BYTES_MAX} bytes"),
        ));
    }
    parse::parse(&lex::tokens(text, dialect)?, text.len())
}

impl FormulaError {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
        }
    }
}
