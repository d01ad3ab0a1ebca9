//! What follows a backslash in a regular expression of Python's.

use super::syntax::{Assert, Characters, Item, Kind};

/// What a backslash and what follows it stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    Char(char),
    Kind(Kind),
    Assert(Assert),
    Reference(usize),
}

/// Reads what follows a backslash outside of a class, and how long it is.
pub(super) fn outside_class(rest: &str) -> Result<(Escape, usize), String> {
    let Some(char) = rest.chars().next() else {
        return Err("there is nothing after the backslash".to_owned());
    };
    if let Some(kind) = kind(char) {
        return Ok((Escape::Kind(kind), 1));
    }
    let assert = match char {
        'A' => Some(Assert::TextStart),
        'Z' => Some(Assert::VeryEnd),
        'b' => Some(Assert::WordBoundary),
        'B' => Some(Assert::NoWordBoundary),
        _ => None,
    };
    if let Some(assert) = assert {
        return Ok((Escape::Assert(assert), 1));
    }
    if let '1'..='9' = char {
        return Ok(number(rest));
    }
    character(rest, char).map(|(char, len)| (Escape::Char(char), len))
}

/// Reads what follows a backslash in a class, and how long it is.
pub(super) fn inside_class(rest: &str) -> Result<(Item, usize), String> {
    let Some(char) = rest.chars().next() else {
        return Err("there is nothing after the backslash".to_owned());
    };
    if let Some(kind) = kind(char) {
        return Ok((Item::Kind(kind), 1));
    }
    let (char, len) = match char {
        'b' => ('\u{8}', 1),
        _ => character(rest, char)?,
    };
    Ok((Item::Range(char, char), len))
}

fn kind(char: char) -> Option<Kind> {
    let of = match char.to_ascii_lowercase() {
        'd' => Characters::Digit,
        'w' => Characters::Word,
        's' => Characters::Space,
        _ => return None,
    };
    Some(Kind {
        of,
        negated: char.is_ascii_uppercase(),
    })
}

/// A number of one or two digits is a group's, one of three octal digits a character's.
fn number(rest: &str) -> (Escape, usize) {
    let digits = |count: usize| {
        rest.get(..count)
            .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))
    };
    let octal = digits(3).filter(|digits| digits.bytes().all(|b| b < b'8'));
    if let Some(char) = octal.and_then(|digits| u32::from_str_radix(digits, 8).ok()) {
        return (Escape::Char(char::from_u32(char).unwrap_or('\0')), 3);
    }
    let len = if digits(2).is_some() { 2 } else { 1 };
    let number = digits(len).and_then(|digits| digits.parse().ok());
    (Escape::Reference(number.unwrap_or(usize::MAX)), len)
}

fn character(rest: &str, char: char) -> Result<(char, usize), String> {
    let hex = |len: usize| {
        let digits = rest.get(1..=len)?;
        let all = digits.bytes().all(|b| b.is_ascii_hexdigit());
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| all)?;
        Some((char::from_u32(value)?, len + 1))
    };
    let bad = || format!("'\\{char}' is not an escape that Python knows");
    match char {
        'a' => Ok(('\u{7}', 1)),
        'f' => Ok(('\u{c}', 1)),
        'n' => Ok(('\n', 1)),
        'r' => Ok(('\r', 1)),
        't' => Ok(('\t', 1)),
        'v' => Ok(('\u{b}', 1)),
        'x' => hex(2).ok_or_else(bad),
        'u' => hex(4).ok_or_else(bad),
        'U' => hex(8).ok_or_else(bad),
        '0'..='7' => {
            let octal = rest
                .bytes()
                .take(3)
                .take_while(|b| (b'0'..b'8').contains(b));
            let len = octal.count();
            let value = rest.get(..len).and_then(|d| u32::from_str_radix(d, 8).ok());
            let char = value.and_then(char::from_u32);
            char.map(|char| (char, len)).ok_or_else(bad)
        }
        c if c.is_ascii_alphanumeric() => Err(bad()),
        c => Ok((c, c.len_utf8())),
    }
}
