//! `[exec.NAME]`: programs that act on bans.

use std::time::Duration;

use stockade_core::PluginName;

use crate::diagnostic::quoted;
use crate::reading::{self, Found, Keys, Reading};
use crate::reference::Section;
use crate::settings::{EXEC_TAGS, ExecSettings};
use crate::source::{Located, Origin};
use crate::tree::{Entry, Value};

/// The most arguments of a command, the program included.
const ARGUMENTS_MAX: usize = 256;

/// fail2ban's bound for a command, and our default.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// A program that takes longer should go on in the background by itself.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Reads one program. `None` where it cannot be used; that was reported then.
pub(crate) fn exec(
    name: &PluginName,
    entry: &Entry,
    reading: &mut Reading,
) -> Option<Located<ExecSettings>> {
    let Value::Table(table) = &entry.node.value else {
        let message = format!(
            "[exec.{name}] must be a table, found {}",
            entry.node.value.kind()
        );
        reading.error(entry.node.origin, message, None);
        return None;
    };
    let mut keys = Keys::new(Section::Exec, table.clone(), reading);
    let given = keys.take("ban");
    let ban = match &given {
        Some(found) => of_ban(keys.reading, found),
        None => {
            let hint = "write ban = [\"/path/of/program\", \"<ip>\"]".to_owned();
            let message = format!("exec '{name}' has no ban");
            keys.reading.missing(entry.key, message, Some(hint));
            None
        }
    };
    let unban = keys.get("unban", of_ban);
    let timeout = keys.get("timeout", |reading, found| {
        reading::duration(reading, found, Duration::from_secs(1)..=TIMEOUT_MAX)
    });
    let restored = keys.get("restored", reading::boolean);
    keys.finish();
    let value = ExecSettings {
        ban: ban?,
        unban,
        timeout: timeout.unwrap_or(TIMEOUT),
        restored: restored.unwrap_or(true),
    };
    Some(Located {
        value,
        origin: entry.key,
    })
}

fn of_ban(reading: &mut Reading, found: &Found) -> Option<Vec<String>> {
    command(reading, found, &EXEC_TAGS)
}

/// Reads the list of a program and its arguments, in which these tags may stand.
pub(crate) fn command(reading: &mut Reading, found: &Found, tags: &[&str]) -> Option<Vec<String>> {
    if let Value::Text(_) = &found.node.value {
        let message = format!("'{}' must be a list, found a text", found.name);
        let hint = "there is no shell: write each argument as a text of its own".to_owned();
        reading.error(found.at(), message, Some(hint));
        return None;
    }
    let words = reading::list(reading, found, ARGUMENTS_MAX, |reading, node| {
        let Value::Text(text) = &node.value else {
            return reading::text_of(reading, found.name, node).map(|_| String::new());
        };
        let rest = "; the rest comes as JSON on standard input";
        check_tags(reading, node.origin, text, tags, rest);
        Some(text.clone())
    })?;
    match words.first() {
        Some(program) if program.starts_with('/') => Some(words),
        Some(program) => {
            let message = format!(
                "'{}' must begin with the absolute path of a program, found {}",
                found.name,
                quoted(program)
            );
            reading.error(found.at(), message, None);
            None
        }
        None => {
            reading.error(
                found.at(),
                format!("'{}' is an empty list", found.name),
                None,
            );
            None
        }
    }
}

/// Reports what looks like a tag and is none of `known`: it would stay as it is. `rest` says where more
/// is to be had.
pub(crate) fn check_tags(
    reading: &mut Reading,
    at: Origin,
    text: &str,
    known: &[&str],
    rest: &str,
) {
    let tags = text.split('<').skip(1).filter_map(|rest| {
        let (tag, _) = rest.split_once('>')?;
        let is_word =
            !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        is_word.then_some(tag)
    });
    for tag in tags.filter(|tag| !known.contains(tag)) {
        let known: Vec<String> = known.iter().map(|tag| format!("<{tag}>")).collect();
        let hint = match known.as_slice() {
            [] => "no tag is known here; it would stay as it is".to_owned(),
            known => format!("there are {}{rest}", known.join(", ")),
        };
        reading.error(at, format!("there is no tag <{tag}>"), Some(hint));
    }
}
