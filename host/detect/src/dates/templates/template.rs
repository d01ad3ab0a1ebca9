//! One date pattern, compiled.

use std::sync::OnceLock;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;

use super::digits;
use super::fields::Fields;
use super::tokens;
use crate::automaton::Dense;
use crate::error::Fault;
use crate::fail2ban::{Expression, GaveUp, Groups};

/// Seconds since 1970, perhaps with a fraction.
const EPOCH: &str = r"\d{10,11}\b(?:\.\d{3,6})?";
/// The same, or milliseconds or microseconds.
const LONG_EPOCH: &str = r"\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?";
/// What fail2ban puts before a pattern that is bound to the beginning of the line.
const LINE_BEGIN: &str = r"^(?:\W{0,2})?";

/// How many years ahead of today fail2ban takes a year of this century for one; it counts in decades.
const YEARS_AHEAD: i16 = 3;
/// No clock is before 2026, when this was written; a log that is played back is read by fail2ban of
/// today, too.
const YEAR_ALWAYS_KNOWN: i16 = 2029;

/// A date pattern, compiled.
#[derive(Debug)]
pub(super) struct Template {
    /// Tells templates apart.
    pub(super) name: String,
    /// How much its hits count when templates are put in order.
    pub(super) weight: f64,
    /// It is bound to the beginning or the end of the line.
    pub(super) anchored: bool,
    at_beginning: bool,
    expression: Expression,
    kind: Kind,
    /// Of a pattern with a year of this century.
    century: Option<Century>,
    /// Tells how much of a line the match at its beginning depends on; made when it is asked for.
    looked_at: OnceLock<Option<Dense>>,
}

/// What a pattern with a year of this century is where the year found is too far ahead.
#[derive(Debug)]
struct Century {
    year: usize,
    text: String,
    at_word: bool,
    ends: bool,
    /// The expressions with years up to each decade, made when a line needs them: few ever do.
    up_to: [OnceLock<Option<Expression>>; 10],
}

impl Century {
    fn new(text: &str, at_word: bool, ends: bool, expression: &Expression) -> Option<Self> {
        let year = expression.group("Y")?;
        text.contains(tokens::THIS_CENTURY).then(|| Self {
            year,
            text: text.to_owned(),
            at_word,
            ends,
            up_to: Default::default(),
        })
    }

    /// The decade of the year that was found.
    fn decade(&self, line: &str, groups: &Groups) -> i16 {
        let (start, end) = groups.span(self.year).unwrap_or_default();
        let year = line.get(start..end).map(digits::to_ascii);
        let year = year.and_then(|year| year.parse().ok());
        year.map_or(0, decade)
    }

    fn up_to(&self, last: i16) -> Option<&Expression> {
        let place = self.up_to.get(usize::try_from(last).ok()?)?;
        let text = || tokens::up_to(last, &self.text);
        place
            .get_or_init(|| Expression::of_date(&text(), self.at_word, self.ends).ok())
            .as_ref()
    }
}

/// The decade of a year of this century, from 0 to 9.
fn decade(year: i16) -> i16 {
    (year / 10 - 200).clamp(0, 9)
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// The fields of a date, by the groups' names.
    Fields,
    /// Seconds since 1970 in this group; `long` may be milliseconds or microseconds.
    Epoch { group: usize, long: bool },
    /// TAI64N labels (cr.yp.to/libtai/tai64.html).
    Tai64n,
}

/// Where it may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Anywhere,
    Word,
    Line,
}

impl Template {
    /// Compiles `pattern`; `key` is the same with words in braces in capitals.
    pub(super) fn new(pattern: &str, key: &str) -> Result<Self, Fault> {
        if let Some((before, long, after)) = around_epoch(pattern) {
            let digits = if long { LONG_EPOCH } else { EPOCH };
            let mut regex = format!("{before}({digits}){after}");
            // A group of the author's is what is cut out, since 1.1; otherwise all that matches is.
            if !has_group(pattern) {
                regex = format!("({regex})");
            }
            let kind = Kind::Epoch { group: 2, long };
            return Self::build(pattern.to_owned(), &regex, Begin::Word, true, kind);
        }
        match key {
            "EPOCH" => Self::epoch(Begin::Anywhere, false),
            "LEPOCH" => Self::epoch(Begin::Anywhere, true),
            "{^LN-BEG}EPOCH" | "^EPOCH" => Self::epoch(Begin::Line, false),
            "{^LN-BEG}LEPOCH" | "^LEPOCH" => Self::epoch(Begin::Line, true),
            "TAI64N" => Self::tai64n(Begin::Anywhere),
            "{^LN-BEG}TAI64N" | "^TAI64N" => Self::tai64n(Begin::Line),
            _ => Self::of_pattern(pattern),
        }
    }

    /// The same, bound to the beginning of the line.
    pub(super) fn new_at_beginning(pattern: &str) -> Result<Self, Fault> {
        let pattern = format!("{{^LN-BEG}}{pattern}");
        Self::new(&pattern, &pattern)
    }

    pub(super) fn is_at_beginning(&self) -> bool {
        self.at_beginning
    }

    /// A pattern with tokens.
    pub(super) fn of_pattern(pattern: &str) -> Result<Self, Fault> {
        let (pattern, begin, ends) = match pattern.strip_prefix("{UNB}") {
            Some(rest) => (rest, Begin::Anywhere, false),
            None => match pattern.strip_prefix("{^LN-BEG}") {
                Some(rest) => (rest, Begin::Line, true),
                None => (pattern, Begin::Word, true),
            },
        };
        let replaced = tokens::replace(pattern)?;
        let flags = if replaced.words { "(?iu)" } else { "" };
        let regex = format!("{flags}{}", replaced.regex);
        Self::build(replaced.name, &regex, begin, ends, Kind::Fields)
    }

    /// A number at the beginning, in brackets there, or in an audit record. fail2ban's own pattern
    /// asks for what closes them as well, but in a way that is always true.
    fn epoch(begin: Begin, long: bool) -> Result<Self, Fault> {
        let digits = if long { LONG_EPOCH } else { EPOCH };
        let name = if long { "LongEpoch" } else { "Epoch" };
        let kind = Kind::Epoch { group: 1, long };
        let regex = match begin {
            Begin::Line => format!("({digits})"),
            _ => format!(r"((?:^|(?<=^\[)|(?<=\baudit\()){digits})"),
        };
        Self::build(name.to_owned(), &regex, begin, true, kind)
    }

    fn tai64n(begin: Begin) -> Result<Self, Fault> {
        let name = "TAI64N".to_owned();
        Self::build(name, "@[0-9a-f]{24}", begin, true, Kind::Tai64n)
    }

    /// Adds what binds it to words or to the line, unless the pattern says otherwise itself.
    fn build(
        name: String,
        regex: &str,
        begin: Begin,
        ends: bool,
        kind: Kind,
    ) -> Result<Self, Fault> {
        let (flags, regex) = split_flags(regex.trim());
        let bound = has_own_begin(regex);
        let ends = ends && !has_own_end(regex);
        let mut text = without_stars(&grouped(regex));
        let mut name = name;
        let at_line = begin == Begin::Line && !bound;
        if at_line {
            text = format!("{LINE_BEGIN}{text}");
            name = format!("{{^LN-BEG}}{name}");
        }
        let at_word = begin == Begin::Word && !bound;
        let at_beginning = !at_word && begins_with_line(&text);
        let at_end =
            !ends && (text.ends_with('$') || text.ends_with("$)")) && !text.ends_with("|$)");
        let text = format!("{flags}{text}");
        let expression = Expression::of_date(&text, at_word, ends)?;
        Ok(Self {
            name,
            weight: 1.0,
            anchored: at_beginning || at_end,
            at_beginning,
            century: Century::new(&text, at_word, ends, &expression),
            expression,
            kind,
            looked_at: OnceLock::new(),
        })
    }

    /// The beginning of `line`, which is ASCII, that alone decides that the template matches there up to
    /// `end`. `None` where the whole line does, or it is not known.
    pub(super) fn decisive<'l>(&self, line: &'l str, end: usize) -> Option<&'l str> {
        let automaton = self
            .looked_at
            .get_or_init(|| self.expression.at_beginning());
        let (found, seen) = automaton.as_ref()?.first_end_seen(line.as_bytes()).ok()?;
        line.get(..seen).filter(|_| found == Some(end))
    }

    /// Looks for the date in `line[from..to]`, which was read in the year that `this_year` says.
    pub(super) fn find(
        &self,
        line: &str,
        ascii: bool,
        part: (usize, usize),
        this_year: impl Fn() -> i16,
        groups: &mut Groups,
    ) -> bool {
        // A pattern of the operator's that goes back and forth without end finds no date.
        let find = |expression: &Expression, groups: &mut Groups| {
            let found: Result<bool, GaveUp> = expression.find_between(line, ascii, part, groups);
            found.unwrap_or(false)
        };
        if !find(&self.expression, groups) {
            return false;
        }
        let Some(century) = &self.century else {
            return true;
        };
        let found = century.decade(line, groups);
        if found <= decade(YEAR_ALWAYS_KNOWN) {
            return true;
        }
        let last = decade(this_year().max(YEAR_ALWAYS_KNOWN - YEARS_AHEAD) + YEARS_AHEAD);
        // What matches with fewer years is not always a part of what matches with all.
        found <= last
            || century
                .up_to(last)
                .is_some_and(|expression| find(expression, groups))
    }

    /// The time that the match in `groups` says, or `None` where it is none.
    pub(super) fn time(
        &self,
        line: &str,
        groups: &Groups,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let text = |number| {
            let (start, end) = groups.span(number)?;
            line.get(start..end).map(digits::to_ascii)
        };
        match self.kind {
            Kind::Epoch { group, long } => epoch_time(&text(group)?, long),
            Kind::Tai64n => {
                // The first hexadecimal digit marks the era from 1970 on.
                let seconds = i64::from_str_radix(text(1)?.get(2..17)?, 16).ok()?;
                Some(Timestamp::from_secs(seconds))
            }
            Kind::Fields => {
                let mut fields = Fields::default();
                for (name, number) in self.expression.names() {
                    if let Some(text) = text(number) {
                        fields.take(name, &text)?;
                    }
                }
                fields.at(zone, now)
            }
        }
    }
}

/// `{EPOCH}` or `{LEPOCH}` in a pattern: what stands before and after it, and whether it is the long one.
fn around_epoch(pattern: &str) -> Option<(&str, bool, &str)> {
    let upper = pattern.to_ascii_uppercase();
    let (at, word) = ["{EPOCH}", "{LEPOCH}"]
        .iter()
        .find_map(|word| Some((upper.find(word)?, word)))?;
    let after = pattern.get(at + word.len()..)?;
    Some((pattern.get(..at)?, word.len() > 7, after))
}

/// `1124013600`, `1124013600.123`, or with `long` also milliseconds or microseconds.
fn epoch_time(digits: &str, long: bool) -> Option<Timestamp> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i64 = whole.parse().ok()?;
    let per_second = match digits.len() {
        16.. if long && fraction.is_empty() => 1_000_000,
        13.. if long => 1_000,
        _ => 1,
    };
    let mut micros = whole.checked_mul(1_000_000 / per_second)?;
    let mut place = 1_000_000 / per_second;
    for digit in fraction.bytes() {
        place /= 10;
        micros = micros.checked_add(i64::from(digit.saturating_sub(b'0')) * place)?;
    }
    Some(Timestamp::from_micros(micros))
}

/// Splits `(?i)` off the beginning.
fn split_flags(regex: &str) -> (&str, &str) {
    let letters = regex
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'));
    match letters {
        Some((letters, _))
            if letters.bytes().all(|b| b.is_ascii_lowercase()) && !letters.is_empty() =>
        {
            regex.split_at(letters.len() + 3)
        }
        _ => ("", regex),
    }
}

/// Whether the pattern says itself where it begins: by `^`, or by `**` that it is not bound.
fn has_own_begin(regex: &str) -> bool {
    let inside = regex.trim_start_matches('(');
    let inside = inside
        .strip_prefix("?:")
        .filter(|rest| rest.starts_with('^'))
        .unwrap_or(inside);
    inside.starts_with('^') || inside.starts_with("**")
}

/// The same for its end.
fn has_own_end(regex: &str) -> bool {
    let escaped = |rest: &str| rest.ends_with('\\');
    for end in ["$", "$)", r"\b", r"\s"] {
        if regex.strip_suffix(end).is_some_and(|rest| !escaped(rest)) {
            return true;
        }
    }
    let inside = regex.trim_end_matches(')');
    inside.strip_suffix("**").is_some_and(|rest| !escaped(rest))
}

/// Without the `**` at its ends.
fn without_stars(regex: &str) -> String {
    let mut text = regex.to_owned();
    let opened = text.len() - text.trim_start_matches('(').len();
    if text
        .get(opened..)
        .is_some_and(|rest| rest.starts_with("**"))
    {
        text.replace_range(opened..opened + 2, "");
    }
    let closed = text.trim_end_matches(')').len();
    let stars = text
        .get(..closed)
        .is_some_and(|rest| rest.ends_with("**") && !rest.ends_with(r"\**"));
    if stars {
        text.replace_range(closed - 2..closed, "");
    }
    text
}

/// Whether there is a group without a name.
fn has_group(regex: &str) -> bool {
    let mut before = [' '; 2];
    let mut chars = regex.chars().peekable();
    while let Some(char) = chars.next() {
        let plain = char == '(' && before[1] != '\\' && before != ['(', '?'];
        if plain && chars.peek() != Some(&'?') {
            return true;
        }
        before = [before[1], char];
    }
    false
}

/// With a group around all but the anchors, unless there is a group without a name.
fn grouped(regex: &str) -> String {
    if has_group(regex) {
        return regex.to_owned();
    }
    let (begin, rest) = match regex.strip_prefix('^') {
        Some(rest) => ("^", rest),
        None => ("", regex),
    };
    let (rest, end) = match rest.strip_suffix('$') {
        Some(rest) => (rest, "$"),
        None => (rest, ""),
    };
    format!("{begin}({rest}){end}")
}

fn begins_with_line(regex: &str) -> bool {
    let inside = regex.strip_prefix('(').unwrap_or(regex);
    let inside = inside.strip_prefix("?:").unwrap_or(inside);
    regex.starts_with('^') || (inside.starts_with('^') && !inside.starts_with("^|"))
}
