//! A text into the words of the grammar.

use super::FormulaError;
use super::evaluate::Number;
use crate::timewords;

/// Whether units of time are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Names are variables and functions.
    Formula,
    /// Names are units of time, and numbers side by side are added.
    Time,
}

/// A word and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) offset: usize,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Number(Number),
    /// With its dots: `ban.Time`.
    Name(String),
    /// An operator, a parenthesis or a comma.
    Sign(&'static str),
}

/// Longer ones first, since `<` begins `<<` and `<=`.
const SIGNS: [&str; 19] = [
    "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")",
    ",", "~",
];

/// Cuts `text` into words.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Vec<Token>, FormulaError> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let offset = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let (len, kind) = if first.is_ascii_digit() || first == '.' {
            let len = number_len(rest);
            (len, TokenKind::Number(number(head(rest, len), offset)?))
        } else if first.is_alphabetic() || first == '_' {
            let name = head(rest, name_len(rest, dialect));
            (name.len(), TokenKind::Name(name.to_owned()))
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (sign.len(), TokenKind::Sign(sign))
        } else {
            let message = format!("{first:?} is not part of the arithmetic that is read here");
            return Err(FormulaError::new(offset, message));
        };
        match dialect {
            Dialect::Formula => tokens.push(Token { offset, kind }),
            Dialect::Time => push_time(&mut tokens, offset, kind)?,
        }
        rest = rest.get(len..).unwrap_or_default();
    }
}

/// Turns a unit into a multiplication and puts a plus between numbers side by side, so that the
/// grammar needs to know neither.
fn push_time(tokens: &mut Vec<Token>, offset: usize, kind: TokenKind) -> Result<(), FormulaError> {
    let after_number = matches!(
        tokens.last(),
        Some(Token {
            kind: TokenKind::Number(_),
            ..
        })
    );
    let kind = match kind {
        TokenKind::Name(word) => {
            let secs = timewords::unit_secs(&word).ok_or_else(|| {
                let message =
                    format!("{word:?} is no unit of time; units are s, m, h, d, w, mo and y");
                FormulaError::new(offset, message)
            })?;
            let after_group = matches!(
                tokens.last(),
                Some(Token {
                    kind: TokenKind::Sign(")"),
                    ..
                })
            );
            if !after_number && !after_group {
                let message = format!("there is no number in front of {word:?}");
                return Err(FormulaError::new(offset, message));
            }
            let sign = TokenKind::Sign("*");
            tokens.push(Token { offset, kind: sign });
            TokenKind::Number(Number::Int(i128::from(secs)))
        }
        number @ TokenKind::Number(_) => {
            if after_number {
                let sign = TokenKind::Sign("+");
                tokens.push(Token { offset, kind: sign });
            }
            number
        }
        sign @ TokenKind::Sign(_) => sign,
    };
    tokens.push(Token { offset, kind });
    Ok(())
}

fn head(text: &str, len: usize) -> &str {
    text.get(..len).unwrap_or(text)
}

fn name_len(text: &str, dialect: Dialect) -> usize {
    let wanted = |c: char| match dialect {
        Dialect::Formula => c.is_alphanumeric() || c == '_' || c == '.',
        // `1d12h`: a unit ends where a digit comes.
        Dialect::Time => c.is_alphabetic() || c == '_',
    };
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}

fn number_len(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len())
}

fn number(text: &str, offset: usize) -> Result<Number, FormulaError> {
    let wrong = || FormulaError::new(offset, format!("{text:?} is no number"));
    // `f64` would read a lone point as no number, which it is not; all else here is digits.
    if !text.contains('.')
        && let Ok(whole) = text.parse()
    {
        return Ok(Number::Int(whole));
    }
    text.parse().map(Number::Float).map_err(|_| wrong())
}
