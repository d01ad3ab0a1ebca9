//! `filters/NAME.toml`: patterns, which are not compiled here.

mod json;

use crate::diagnostic::quoted;
use crate::reading::{self, Found, Keys, Reading};
use crate::reference::Section;
use crate::settings::{DatePattern, Dialect, FilterSettings};
use crate::source::{Located, Origin};
use crate::tree::{Node, Table, Value};
use crate::words::check_journal_match;

/// The most patterns of one kind in one filter; fail2ban's largest has fewer than 60.
const PATTERNS_MAX: usize = 1_000;

/// The longest pattern, in bytes. Fail2ban's longest after expansion has about 3 KB.
const PATTERN_BYTES_MAX: usize = 16 * 1024;

/// The most lines that are matched together; fail2ban's stock filters ask for ten at most, and each
/// line is matched again with all of them.
const MAXLINES_MAX: u32 = 100;

/// The most alternatives of a `journalmatch` and the most conditions of one: each becomes an
/// argument of `journalctl`.
const JOURNAL_MATCHES_MAX: usize = 64;

/// Reads the body of a filter; `place` is its file. `None` where nothing useful is left.
pub(crate) fn filter(
    name: &str,
    table: Table,
    place: Origin,
    reading: &mut Reading,
) -> Option<FilterSettings> {
    let mut keys = Keys::new(Section::Filter, table, reading);
    let description = keys.get("description", |reading, found| {
        reading::text_of(reading, found.name, &found.node).map(|text| text.value)
    });
    let prefregex = keys.get("prefregex", |reading, found| {
        pattern(reading, found.name, &found.node)
    });
    let format = keys.get("format", format).unwrap_or_default();
    let failregex_given = keys.take("failregex");
    let ignoreregex_given = keys.take("ignoreregex");
    let fields = json::Given::take(&mut keys);
    let dialect_given = keys.take("dialect");
    let dialect = dialect_given
        .as_ref()
        .and_then(|found| dialect(keys.reading, found))
        .unwrap_or_default();
    let datepattern_given = keys.take("datepattern");
    let maxlines_given = keys.take("maxlines");
    let (datepattern, maxlines) = in_dialect(
        keys.reading,
        dialect,
        datepattern_given.as_ref(),
        maxlines_given.as_ref(),
    );
    let mut read = |found: &Option<Found>| {
        let found = found.as_ref()?;
        patterns(keys.reading, found)
    };
    let failregex = read(&failregex_given).unwrap_or_default();
    let ignoreregex = read(&ignoreregex_given).unwrap_or_default();
    let json = match format {
        Format::Text => {
            fields.refuse(keys.reading);
            if failregex.is_empty() {
                no_failregex(name, place, keys.reading);
            }
            None
        }
        Format::Json => {
            for found in [&failregex_given, &ignoreregex_given].into_iter().flatten() {
                let message = format!(
                    "'{}' is for logs of text, this filter has format = \"json\"",
                    found.name
                );
                let hint = "write [[failure]] and below it the fields and what they are".to_owned();
                keys.reading.error(found.key, message, Some(hint));
            }
            if let (Dialect::Fail2ban, Some(found)) = (dialect, &dialect_given) {
                let message = "fail2ban's dialect has no format = \"json\"";
                keys.reading
                    .error(found.key, message, Some("leave 'dialect' out".to_owned()));
            }
            let dated = datepattern_given.is_some();
            Some(fields.read(name, place, dated, keys.reading))
        }
    };
    let filter = FilterSettings {
        name: name.to_owned(),
        description,
        prefregex,
        failregex,
        ignoreregex,
        journalmatch: keys.get("journalmatch", journalmatch).unwrap_or_default(),
        datepattern,
        dialect,
        maxlines,
        json,
    };
    keys.finish();
    Some(filter)
}

fn no_failregex(name: &str, place: Origin, reading: &mut Reading) {
    let hint =
        "write failregex = ['…<HOST>…']: what a failure looks like, and where the address stands";
    let message = format!("filter '{name}' has no failregex");
    reading.missing(place, message, Some(hint.to_owned()));
}

/// What the entries of a log are.
#[derive(Clone, Copy, Default)]
enum Format {
    #[default]
    Text,
    Json,
}

fn format(reading: &mut Reading, found: &Found) -> Option<Format> {
    let words = [("text", Format::Text), ("json", Format::Json)];
    reading::one_of(reading, found.name, &found.node, &words)
}

fn dialect(reading: &mut Reading, found: &Found) -> Option<Dialect> {
    let words = [("native", Dialect::Native), ("fail2ban", Dialect::Fail2ban)];
    reading::one_of(reading, found.name, &found.node, &words)
}

/// What only fail2ban's dialect has.
fn in_dialect(
    reading: &mut Reading,
    dialect: Dialect,
    datepattern: Option<&Found>,
    maxlines: Option<&Found>,
) -> (DatePattern, u32) {
    if dialect == Dialect::Native {
        let words = [("default", false), ("none", true)];
        let none =
            datepattern.and_then(|found| reading::one_of(reading, found.name, &found.node, &words));
        if let Some(found) = maxlines {
            let hint = "write dialect = \"fail2ban\", or a pattern for each line".to_owned();
            let message =
                "'maxlines' belongs to fail2ban's dialect: here each line is judged for itself";
            reading.error(found.key, message, Some(hint));
        }
        let datepattern = match none {
            Some(true) => DatePattern::None,
            _ => DatePattern::Default,
        };
        return (datepattern, 1);
    }
    let maxlines = maxlines.and_then(|found| reading::number(reading, found, 1..=MAXLINES_MAX));
    let datepattern = match datepattern.map(|found| &found.node.value) {
        Some(Value::Text(text)) if text == "none" => DatePattern::None,
        Some(_) => datepattern
            .and_then(|found| patterns(reading, found))
            .map_or(DatePattern::Default, DatePattern::Patterns),
        None => DatePattern::Default,
    };
    (datepattern, maxlines.unwrap_or(1))
}

fn patterns(reading: &mut Reading, found: &Found) -> Option<Vec<Located<String>>> {
    reading::list(reading, found, PATTERNS_MAX, |reading, node| {
        pattern(reading, found.name, node)
    })
}

fn pattern(reading: &mut Reading, key: &str, node: &Node) -> Option<Located<String>> {
    let text = reading::text_of(reading, key, node)?;
    if text.value.len() > PATTERN_BYTES_MAX {
        let message = format!(
            "a pattern has at most {PATTERN_BYTES_MAX} bytes, this one has {}",
            text.value.len()
        );
        reading.error(node.origin, message, None);
        return None;
    }
    Some(text)
}

/// Reads `[["A=1", "B=2"], ["C=3"]]`, or one `"A=1"`.
pub(crate) fn journalmatch(reading: &mut Reading, found: &Found) -> Option<Vec<Vec<String>>> {
    reading::list(reading, found, JOURNAL_MATCHES_MAX, |reading, node| {
        match (&node.value, &found.node.value) {
            (Value::List(conditions), _) if conditions.is_empty() => {
                let message = "an empty alternative of 'journalmatch' would match every entry";
                reading.error(node.origin, message, None);
                None
            }
            (Value::List(conditions), _) => Some(
                conditions
                    .iter()
                    .take(JOURNAL_MATCHES_MAX)
                    .filter_map(|condition| journal_condition(reading, condition))
                    .collect(),
            ),
            // In a flat list it cannot be seen whether all or any of them must hold.
            (Value::Text(_), Value::List(flat)) => {
                if flat
                    .first()
                    .is_some_and(|first| first.origin == node.origin)
                {
                    let message = "'journalmatch' must be a list of lists";
                    let hint = "[[\"A=1\", \"B=2\"]] is A and B, [[\"A=1\"], [\"B=2\"]] is A or B";
                    reading.error(node.origin, message, Some(hint.to_owned()));
                }
                None
            }
            _ => journal_condition(reading, node).map(|condition| vec![condition]),
        }
    })
}

fn journal_condition(reading: &mut Reading, node: &Node) -> Option<String> {
    let text = reading::word_of(reading, "journalmatch", node)?.value;
    if let Err(problem) = check_journal_match(&text) {
        let hint = text.contains([' ', '+']).then(|| {
            "[[\"A=1\", \"B=2\"]] is A and B, [[\"A=1\"], [\"B=2\"]] is A or B".to_owned()
        });
        reading.error(
            node.origin,
            format!("{problem}, found {}", quoted(&text)),
            hint,
        );
        return None;
    }
    Some(text)
}
