//! Digits of any script: `\d` matches them, and Python reads numbers of them.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex_syntax::hir::{Class, HirKind};

/// `text` with every decimal digit as one of ASCII.
pub(super) fn to_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(char_to_ascii).collect())
}

fn char_to_ascii(char: char) -> char {
    let mut runs = runs().iter();
    let run = runs.find(|(first, last)| (*first..=*last).contains(&char));
    // A run has the digits from 0 to 9, once or several times (Unicode Standard 4.6).
    let digit =
        run.and_then(|(first, _)| char::from_digit((u32::from(char) - u32::from(*first)) % 10, 10));
    digit.unwrap_or(char)
}

/// Where `\d` has its characters.
fn runs() -> &'static [(char, char)] {
    static RUNS: OnceLock<Vec<(char, char)>> = OnceLock::new();
    RUNS.get_or_init(
        || match regex_syntax::parse(r"\d").map(|hir| hir.into_kind()) {
            Ok(HirKind::Class(Class::Unicode(class))) => class
                .ranges()
                .iter()
                .map(|range| (range.start(), range.end()))
                .collect(),
            _ => Vec::new(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_script_are_numbers() {
        assert_eq!(to_ascii("2٠٠5-१७ é"), "2005-17 é");
        assert_eq!(to_ascii("𝟬𝟗𝟘"), "090");
        assert!(matches!(to_ascii("2005"), Cow::Borrowed("2005")));
    }
}
