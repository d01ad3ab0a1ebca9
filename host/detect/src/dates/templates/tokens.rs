//! The `%` tokens of a date pattern, as regular expressions: those of Python's `strptime`
//! (docs.python.org/3/library/datetime.html, "Format Codes") and fail2ban's own, which begin with `Ex`.

use crate::error::Fault;

/// The months and days of the C locale, as Python's `locale` has them.
pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// See [`MONTHS`]; from Monday.
pub(super) const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// A zone's abbreviation: one letter, or three to five.
pub(super) const ZONE_NAME: &str = "[A-Z](?:[A-Z]{2,4})?";
const OFFSET: &str = r"[+-][01]\d(?::?\d{2})?";

/// A year of this century. fail2ban has only the decades up to that of three years ahead of when it
/// was started: see [`up_to`].
pub(super) const THIS_CENTURY: &str = r"(?P<Y>20\d\d)";

/// `regex` without the years of this century after the decade `last`, from 0 to 9.
pub(super) fn up_to(last: i16, regex: &str) -> String {
    regex.replace(THIS_CENTURY, &format!(r"(?P<Y>20[0-{last}]\d)"))
}

/// A pattern whose tokens are replaced.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) regex: String,
    /// It has words, whose case does not matter.
    pub(super) words: bool,
    /// What the same pattern is called, however it is written.
    pub(super) name: String,
}

/// Replaces the tokens of `pattern`.
pub(super) fn replace(pattern: &str) -> Result<Replaced, Fault> {
    let mut out = Replaced {
        regex: String::new(),
        words: false,
        name: String::new(),
    };
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let (before, token) = rest.split_at(at);
        out.regex.push_str(before);
        out.name.push_str(before);
        let place = pattern.len() - token.len();
        let token = token.get(1..).unwrap_or_default();
        let len = if token.starts_with("Ex") { 3 } else { 1 };
        let name = token.get(..len).unwrap_or_default();
        let Some(regex) = regex_of(name) else {
            return Err(Fault::at(place, format!("there is no token %{name}"))
                .hint("write %% for a percent sign"));
        };
        out.words |= matches!(name, "a" | "A" | "b" | "B" | "p");
        out.regex.push_str(&regex);
        // Two names for one thing make one template: a double is refused.
        out.name
            .push_str(&format!("%({})", if name == "W" { "U" } else { name }));
        rest = token.get(len..).unwrap_or_default();
    }
    out.regex.push_str(rest);
    out.name.push_str(rest);
    Ok(out)
}

fn regex_of(token: &str) -> Option<String> {
    let fixed = match token {
        "%" => "%",
        "d" => r"(?P<d>[12]\d|[0 ]?[1-9]|3[01])",
        "Exd" => r"(?P<d>[12]\d|0[1-9]|3[01])",
        "m" => "(?P<m>0?[1-9]|1[012])",
        "Exm" => "(?P<m>0[1-9]|1[012])",
        "Y" => r"(?P<Y>\d{4})",
        "ExY" => THIS_CENTURY,
        "y" | "Exy" => r"(?P<y>\d{2})",
        "H" => r"(?P<H>[01]?\d|2[0-3])",
        "ExH" => r"(?P<H>[01]\d|2[0-3])",
        "k" => r" ?(?P<H>[0-2]?\d)",
        "Exk" => r" ?(?P<H>[01]?\d|2[0-3])",
        "I" => "(?P<I>1[0-2]|0[1-9]|[1-9])",
        "l" => r" ?(?P<I>1?\d)",
        "Exl" => r" ?(?P<I>1[0-2]|\d)",
        "M" => r"(?P<M>[0-5]?\d)",
        "ExM" => r"(?P<M>[0-5]\d)",
        "S" => r"(?P<S>[0-5]?\d|6[01])",
        "ExS" => r"(?P<S>[0-5]\d|6[01])",
        "f" => "(?P<f>[0-9]{1,6})",
        "p" => "(?P<p>am|pm)",
        "j" => r"(?P<j>36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9])",
        "U" => r"(?P<U>5[0-3]|[0-4]\d|\d)",
        "W" => r"(?P<W>5[0-3]|[0-4]\d|\d)",
        "w" => "(?P<w>[0-6])",
        "Z" => "(?P<Z>Z|[A-Z]{3,5})",
        "z" => return Some(format!("(?P<z>Z|UTC|GMT|{OFFSET})")),
        "ExZ" => return Some(format!("(?P<Z>{ZONE_NAME})")),
        "Exz" => return Some(format!("(?P<z>(?:{ZONE_NAME})?{OFFSET}|{ZONE_NAME})")),
        "a" | "b" | "A" | "B" => return Some(words(token)),
        _ => return None,
    };
    Some(fixed.to_owned())
}

/// The names of days or months, short or long; the longest first, as Python has them.
fn words(token: &str) -> String {
    let names: &[&str] = if token.eq_ignore_ascii_case("a") {
        &DAYS
    } else {
        &MONTHS
    };
    let short = token == "a" || token == "b";
    let mut words: Vec<&str> = names
        .iter()
        .map(|name| {
            if short {
                name.get(..3).unwrap_or(name)
            } else {
                name
            }
        })
        .collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    format!("(?P<{token}>{})", words.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_become_groups_and_the_rest_stays() {
        let replaced = replace(r"^%Y-%ExH\.%%").unwrap();
        assert_eq!(replaced.regex, r"^(?P<Y>\d{4})-(?P<H>[01]\d|2[0-3])\.%");
        assert!(!replaced.words);
        assert!(replace("%b").unwrap().words);
    }

    #[test]
    fn an_unknown_token_is_pointed_at() {
        let fault = replace("%Y %Q").unwrap_err();
        assert_eq!(fault.offset, Some(3));
        assert_eq!(fault.message, "there is no token %Q");
    }
}
