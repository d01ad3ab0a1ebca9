//! Typed reading of a tree of values: every mistake is reported, and reading goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use stockade_core::{BanTime, PluginName, TimeWords, parse_bantime, parse_duration};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity, quoted};
use crate::reference::{self, Section};
use crate::source::{Located, Origin, Sources};
use crate::suggest;
use crate::tree::{Entry, Node, Table, Value};

/// The most parts whose faults are told apart. Beyond that it is not a few jails that are wrong.
const FAULTY_MAX: usize = 4_000;

/// What cannot be used because of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The whole configuration: what concerns all, or what nobody knows the meaning of.
    #[default]
    Whole,
    /// The jail of this name, which need not be one that a jail may have.
    Jail(String),
    /// The filter of this name, and the jails that use it.
    Filter(String),
    /// `[plugins.NAME]` or `[exec.NAME]`, which share their names, and the jails that use it.
    Plugin(String),
}

/// What is known while the files are read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Diagnostics,
    /// What is being read.
    part: Part,
    /// The first error of each part that has one.
    faulty: BTreeMap<Part, Diagnostic>,
    /// Parts that could not be read to the end, so that what seems to be missing may stand there.
    incomplete: BTreeSet<Part>,
    /// Every key that was asked for; a test compares it with the reference.
    pub(crate) asked: BTreeSet<(Section, &'static str)>,
}

impl Reading {
    pub(crate) fn error(&mut self, at: Origin, message: impl Into<String>, hint: Option<String>) {
        self.report(Severity::Error, at, message.into(), hint);
    }

    pub(crate) fn warn(&mut self, at: Origin, message: impl Into<String>, hint: Option<String>) {
        self.report(Severity::Warning, at, message.into(), hint);
    }

    pub(crate) fn in_file(&mut self, severity: Severity, path: &str, message: String) {
        let diagnostic = Diagnostic::of_file(severity, path, message);
        self.blame(&diagnostic);
        self.diagnostics.push(None, diagnostic);
    }

    pub(crate) fn error_in_file(&mut self, path: &str, message: String) {
        self.in_file(Severity::Error, path, message);
    }

    /// Reports that something is not there, unless it may stand where the part that is being read
    /// could not be.
    pub(crate) fn missing(&mut self, at: Origin, message: impl Into<String>, hint: Option<String>) {
        let may_stand = |part: &Part| *part == Part::Whole || *part == self.part;
        if !self.incomplete.iter().any(may_stand) {
            self.error(at, message, hint);
        }
    }

    /// Reads something of `part`, which cannot be used if an error is found meanwhile.
    pub(crate) fn of<T>(&mut self, part: Part, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.part, part);
        let result = read(self);
        self.part = outer;
        result
    }

    /// Notes that the part that is being read could not be read to the end.
    pub(crate) fn set_incomplete(&mut self) {
        self.incomplete.insert(self.part.clone());
    }

    /// Whether a part could not be read to the end.
    pub(crate) fn is_incomplete(&self, part: &Part) -> bool {
        self.incomplete.contains(part)
    }

    /// Why a part cannot be used; `None` where it can.
    pub(crate) fn fault(&self, part: &Part) -> Option<&Diagnostic> {
        self.faulty.get(part)
    }

    /// The parts that cannot be used, and why.
    pub(crate) fn faulty(&self) -> impl Iterator<Item = (&Part, &Diagnostic)> {
        self.faulty.iter()
    }

    /// Whether a plugin or program of this name has been reported.
    pub(crate) fn is_faulty_plugin(&self, name: &PluginName) -> bool {
        self.faulty.contains_key(&Part::Plugin(name.to_string()))
    }

    /// Makes the part that is being read as faulty as one that it needs; false where that is sound.
    pub(crate) fn inherit(&mut self, needed: &Part) -> bool {
        let why = self.faulty.get(needed).cloned();
        if let Some(why) = &why {
            self.blame(why);
        }
        why.is_some()
    }

    fn blame(&mut self, diagnostic: &Diagnostic) {
        if diagnostic.is_error() && !self.faulty.contains_key(&self.part) {
            let part = if self.faulty.len() < FAULTY_MAX {
                self.part.clone()
            } else {
                Part::Whole
            };
            self.faulty
                .entry(part)
                .or_insert_with(|| diagnostic.clone());
        }
    }

    fn report(&mut self, severity: Severity, at: Origin, message: String, hint: Option<String>) {
        let is_first = severity == Severity::Error && !self.faulty.contains_key(&self.part);
        let has_room = self.diagnostics.has_room(severity);
        if !has_room && !is_first {
            return;
        }
        let diagnostic = Diagnostic::new(&self.sources, severity, at, message, hint);
        self.blame(&diagnostic);
        if has_room {
            self.diagnostics.push(Some(at), diagnostic);
        }
    }
}

/// A table whose keys are asked for one by one; what nobody asked for is unknown.
pub(crate) struct Keys<'r> {
    section: Section,
    table: Table,
    pub(crate) reading: &'r mut Reading,
}

/// A key that was found, and its value.
pub(crate) struct Found {
    pub(crate) name: &'static str,
    pub(crate) key: Origin,
    pub(crate) node: Node,
}

impl<'r> Keys<'r> {
    pub(crate) fn new(section: Section, table: Table, reading: &'r mut Reading) -> Self {
        Self {
            section,
            table,
            reading,
        }
    }

    /// Takes the value of `name`, where it is given.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Found> {
        self.reading.asked.insert((self.section, name));
        let Entry { key, node } = self.table.0.remove(name)?;
        Some(Found { name, key, node })
    }

    /// Takes the value of `name` and reads it with `read`.
    pub(crate) fn get<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Reading, &Found) -> Option<T>,
    ) -> Option<T> {
        let found = self.take(name)?;
        read(self.reading, &found)
    }

    /// Reports every key that was not asked for.
    pub(crate) fn finish(self) {
        for (name, entry) in self.table.0 {
            let hint = reference::foreign(self.section, &name)
                .map(str::to_owned)
                .or_else(|| suggest::hint(&name, reference::keys_of(self.section)))
                .or_else(|| reference::hint_for_section(self.section, &name));
            let message = format!("unknown key {} in {}", quoted(&name), self.section.title());
            self.reading.error(entry.key, message, hint);
        }
    }
}

impl Found {
    /// The origin of the value.
    pub(crate) fn at(&self) -> Origin {
        self.node.origin
    }
}

fn wrong_type(reading: &mut Reading, name: &str, node: &Node, wanted: &str, hint: Option<String>) {
    let message = format!("'{name}' must be {wanted}, found {}", node.value.kind());
    reading.error(node.origin, message, hint);
}

/// Reads a text that is not empty and has no control characters.
pub(crate) fn text_of(reading: &mut Reading, name: &str, node: &Node) -> Option<Located<String>> {
    let Value::Text(text) = &node.value else {
        let written = reading.sources.text_at(node.origin).to_owned();
        let hint = matches!(
            node.value,
            Value::Integer(_) | Value::Boolean(_) | Value::Float(_)
        )
        .then(|| format!("write it in quotes: \"{written}\""));
        wrong_type(reading, name, node, "a text", hint);
        return None;
    };
    if text.trim().is_empty() {
        reading.error(node.origin, format!("'{name}' is empty"), None);
        return None;
    }
    Some(Located {
        value: text.clone(),
        origin: node.origin,
    })
}

/// Reads a text that goes into file names, sockets or lists, where control characters are traps.
pub(crate) fn word_of(reading: &mut Reading, name: &str, node: &Node) -> Option<Located<String>> {
    let text = text_of(reading, name, node)?;
    if text.value.chars().any(char::is_control) {
        let message = format!(
            "'{name}' holds a control character: {}",
            quoted(&text.value)
        );
        reading.error(node.origin, message, None);
        return None;
    }
    Some(text)
}

pub(crate) fn word(reading: &mut Reading, found: &Found) -> Option<Located<String>> {
    word_of(reading, found.name, &found.node)
}

pub(crate) fn boolean(reading: &mut Reading, found: &Found) -> Option<bool> {
    boolean_or(reading, found, "true or false")
}

/// Reads true or false; `wanted` names them and what else the key takes, for messages.
pub(crate) fn boolean_or(reading: &mut Reading, found: &Found, wanted: &str) -> Option<bool> {
    if let Value::Boolean(value) = found.node.value {
        return Some(value);
    }
    let hint = match &found.node.value {
        Value::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some("true"),
            "false" | "no" | "off" | "0" => Some("false"),
            _ => None,
        },
        Value::Integer(Some(1)) => Some("true"),
        Value::Integer(Some(0)) => Some("false"),
        _ => None,
    };
    let hint = hint.map(|value| format!("write {} = {value}, without quotes", found.name));
    wrong_type(reading, found.name, &found.node, wanted, hint);
    None
}

/// Reads a whole number within `range`.
pub(crate) fn number<T>(reading: &mut Reading, found: &Found, range: RangeInclusive<T>) -> Option<T>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    let number = match &found.node.value {
        Value::Integer(number) => *number,
        other => {
            let plain = matches!(other, Value::Text(text) if text.trim().parse::<i64>().is_ok());
            let hint = plain.then(|| "write the number without quotes".to_owned());
            wrong_type(reading, found.name, &found.node, "a whole number", hint);
            return None;
        }
    };
    let value = number.and_then(|number| T::try_from(number).ok());
    if let Some(value) = value.filter(|value| range.contains(value)) {
        return Some(value);
    }
    let written = quoted(reading.sources.text_at(found.at()));
    let message = format!(
        "'{}' must be from {} to {}, found {}",
        found.name,
        range.start(),
        range.end(),
        written.trim_matches('\'')
    );
    reading.error(found.at(), message, None);
    None
}

/// How times may be written.
const TIME_FORM: &str = "a time such as \"10m\", \"1d12h\" or a number of seconds";

/// Reads a time within `range`: fail2ban's time words, or a number of seconds.
pub(crate) fn duration(
    reading: &mut Reading,
    found: &Found,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    let value = match &found.node.value {
        Value::Text(text) => match parse_duration(text) {
            Ok(value) => value,
            Err(error) => return bad_time(reading, found, text, &error),
        },
        Value::Integer(seconds) => match seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(seconds) => Duration::from_secs(seconds),
            None => {
                let message = format!("'{}' must not be negative", found.name);
                reading.error(found.at(), message, None);
                return None;
            }
        },
        _ => {
            wrong_type(reading, found.name, &found.node, TIME_FORM, None);
            return None;
        }
    };
    in_time_range(reading, found, value, &range).then_some(value)
}

/// Reads how long a ban lasts: a time within `range`, or -1 for ever.
pub(crate) fn bantime(
    reading: &mut Reading,
    found: &Found,
    range: RangeInclusive<Duration>,
) -> Option<BanTime> {
    let value = match &found.node.value {
        Value::Text(text) => match parse_bantime(text) {
            Ok(value) => value,
            Err(error) => return bad_time(reading, found, text, &error),
        },
        Value::Integer(Some(-1)) => BanTime::Forever,
        Value::Table(_) => {
            let hint =
                "how bans grow is written bantime_increment = { factor = 2, maxtime = \"5w\" }";
            let hint = Some(hint.to_owned());
            wrong_type(reading, found.name, &found.node, TIME_FORM, hint);
            return None;
        }
        _ => BanTime::For(duration(reading, found, Duration::ZERO..=Duration::MAX)?),
    };
    match value {
        BanTime::Forever => Some(value),
        BanTime::For(time) => in_time_range(reading, found, time, &range).then_some(value),
    }
}

fn bad_time<T>(reading: &mut Reading, found: &Found, text: &str, error: &dyn Display) -> Option<T> {
    let message = format!("'{}' is not a time: {}: {error}", found.name, quoted(text));
    reading.error(found.at(), message, None);
    None
}

fn in_time_range(
    reading: &mut Reading,
    found: &Found,
    value: Duration,
    range: &RangeInclusive<Duration>,
) -> bool {
    if range.contains(&value) {
        return true;
    }
    let message = format!(
        "'{}' must be from {} to {}, found {}",
        found.name,
        TimeWords(*range.start()),
        TimeWords(*range.end()),
        TimeWords(value)
    );
    let hint = (found.name == "bantime" && value.is_zero())
        .then(|| "-1 bans for ever; to ban nobody, set enabled = false".to_owned());
    reading.error(found.at(), message, hint);
    false
}

/// Reads one of a few words.
pub(crate) fn one_of<T: Copy>(
    reading: &mut Reading,
    name: &str,
    node: &Node,
    words: &[(&'static str, T)],
) -> Option<T> {
    let word = text_of(reading, name, node)?;
    let known = words.iter().find(|(known, _)| *known == word.value);
    if known.is_none() {
        let list: Vec<_> = words
            .iter()
            .map(|(known, _)| format!("\"{known}\""))
            .collect();
        let message = format!(
            "'{name}' must be {}, found {}",
            either(&list),
            quoted(&word.value)
        );
        let hint = suggest::hint(&word.value, words.iter().map(|(known, _)| *known));
        reading.error(node.origin, message, hint);
    }
    known.map(|(_, value)| *value)
}

/// `a`, `a or b`, `a, b or c`
fn either(words: &[String]) -> String {
    match words {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}

/// The items of a list; a single value counts as a list of one.
pub(crate) fn items(found: &Found) -> &[Node] {
    match &found.node.value {
        Value::List(nodes) => nodes,
        _ => std::slice::from_ref(&found.node),
    }
}

/// Reads every item of a list with `read`; bad items are reported and left out.
pub(crate) fn list<T>(
    reading: &mut Reading,
    found: &Found,
    max: usize,
    mut read: impl FnMut(&mut Reading, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    let nodes = items(found);
    if nodes.len() > max {
        let message = format!(
            "'{}' has {} entries, at most {max} are allowed",
            found.name,
            nodes.len()
        );
        reading.error(found.at(), message, None);
        return None;
    }
    Some(
        nodes
            .iter()
            .filter_map(|node| read(reading, node))
            .collect(),
    )
}

/// Reads a table.
pub(crate) fn table(reading: &mut Reading, found: &Found) -> Option<Table> {
    match &found.node.value {
        Value::Table(table) => Some(table.clone()),
        _ => {
            wrong_type(reading, found.name, &found.node, "a table", None);
            None
        }
    }
}
