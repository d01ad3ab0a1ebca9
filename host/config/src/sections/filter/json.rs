//! `format = "json"`: what the fields of an entry mean. Paths and patterns are not read here.

use super::{PATTERNS_MAX, pattern};
use crate::diagnostic::quoted;
use crate::reading::{self, Found, Keys, Reading};
use crate::settings::{FieldCondition, FieldRule, FieldValue, JsonSettings};
use crate::source::{Located, Origin};
use crate::tree::{Entry, Node, Table, Value};

/// Most fields that may hold the id, one for each version of a service.
const IDS_MAX: usize = 8;

/// Most values that one field may have.
const VALUES_MAX: usize = 1_000;

/// What only a text filter can be meant by, in a text that is compared as it is.
const TAGS: [&str; 5] = ["<HOST>", "<ADDR>", "<IP4>", "<IP6>", "<F-"];

/// The keys as they were found.
pub(super) struct Given {
    id: Option<Found>,
    user: Option<Found>,
    time: Option<Found>,
    failure: Option<Found>,
    ignore: Option<Found>,
}

impl Given {
    pub(super) fn take(keys: &mut Keys<'_>) -> Self {
        Self {
            id: keys.take("id"),
            user: keys.take("user"),
            time: keys.take("time"),
            failure: keys.take("failure"),
            ignore: keys.take("ignore"),
        }
    }

    /// Reports the keys in a filter for another format.
    pub(super) fn refuse(&self, reading: &mut Reading) {
        let all = [
            &self.id,
            &self.user,
            &self.time,
            &self.failure,
            &self.ignore,
        ];
        for found in all.into_iter().flatten() {
            let message = format!("'{}' is for entries of JSON", found.name);
            let hint =
                "write format = \"json\" if each line of the log is a JSON object".to_owned();
            reading.error(found.key, message, Some(hint));
        }
    }

    /// Reads the fields of filter `name`; `dated` says whether it says how dates are found.
    pub(super) fn read(
        &self,
        name: &str,
        place: Origin,
        dated: bool,
        reading: &mut Reading,
    ) -> JsonSettings {
        let failure = rules(reading, self.failure.as_ref());
        if failure.is_empty() {
            let message = format!("filter '{name}' says nowhere what a failure is");
            let hint = "write [[failure]] and below it the fields and what they are: status = 401";
            reading.missing(place, message, Some(hint.to_owned()));
        }
        if self.time.is_none() && !dated {
            let message = format!("filter '{name}' does not say which field holds the time");
            let hint = "write time = \"FIELD\"; or datepattern = \"default\" if the date stands \
                before the object, \"none\" if entries have no time";
            reading.missing(place, message, Some(hint.to_owned()));
        }
        let field = |reading: &mut Reading, found: &Option<Found>| {
            let found = found.as_ref()?;
            pattern(reading, found.name, &found.node)
        };
        let user = field(reading, &self.user);
        let time = field(reading, &self.time);
        let id = self.id.as_ref().and_then(|found| {
            reading::list(reading, found, IDS_MAX, |reading, node| {
                pattern(reading, found.name, node)
            })
        });
        JsonSettings {
            id: id.unwrap_or_default(),
            user,
            time,
            failure,
            ignore: rules(reading, self.ignore.as_ref()),
        }
    }
}

/// `[[failure]]`, `failure = { … }` or `failure = [{ … }]`.
fn rules(reading: &mut Reading, found: Option<&Found>) -> Vec<FieldRule> {
    let Some(found) = found else {
        return Vec::new();
    };
    let rules = reading::list(reading, found, PATTERNS_MAX, |reading, node| {
        let Value::Table(table) = &node.value else {
            let message = format!(
                "'{}' must be a table, found {}",
                found.name,
                node.value.kind()
            );
            let hint = format!(
                "write [[{}]] and below it the fields and what they are",
                found.name
            );
            reading.error(node.origin, message, Some(hint));
            return None;
        };
        let mut conditions = Vec::new();
        flatten(reading, "", table, &mut conditions);
        if table.0.is_empty() {
            let message = format!("'{}' without a condition would be every entry", found.name);
            reading.error(node.origin, message, None);
        }
        Some(FieldRule {
            origin: node.origin,
            conditions,
        })
    });
    rules.unwrap_or_default()
}

/// Reads the conditions in `table`. `request.uri = …` makes a table in TOML and is one path here, as
/// `"request.uri" = …` is.
fn flatten(
    reading: &mut Reading,
    above: &str,
    table: &Table,
    conditions: &mut Vec<FieldCondition>,
) {
    for (name, Entry { key, node }) in &table.0 {
        let path = match above {
            "" => name.clone(),
            above => format!("{above}.{name}"),
        };
        match &node.value {
            Value::Table(below) if !below.0.is_empty() => {
                flatten(reading, &path, below, conditions);
            }
            _ => {
                let field = Located {
                    value: path,
                    origin: *key,
                };
                conditions.extend(condition(reading, field, node));
            }
        }
    }
}

fn condition(reading: &mut Reading, field: Located<String>, node: &Node) -> Option<FieldCondition> {
    let nodes = match &node.value {
        Value::List(nodes) if nodes.is_empty() || nodes.len() > VALUES_MAX => {
            let message = format!(
                "{} must have from 1 to {VALUES_MAX} values, found {}",
                quoted(&field.value),
                nodes.len()
            );
            reading.error(node.origin, message, None);
            return None;
        }
        Value::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let any = nodes
        .iter()
        .filter_map(|node| {
            Some(Located {
                value: value(reading, &field.value, node)?,
                origin: node.origin,
            })
        })
        .collect();
    Some(FieldCondition { field, any })
}

fn value(reading: &mut Reading, field: &str, node: &Node) -> Option<FieldValue> {
    match &node.value {
        Value::Integer(Some(number)) => Some(FieldValue::Number(*number)),
        Value::Boolean(value) => Some(FieldValue::Boolean(*value)),
        Value::Text(text) if text.starts_with('^') => {
            pattern(reading, field, node).map(|text| FieldValue::Pattern(text.value))
        }
        Value::Text(text) => match range(text) {
            Some((from, to)) if from <= to => Some(FieldValue::Between(from, to)),
            Some(_) => {
                let message = format!("the range {} is empty", quoted(text));
                let hint = "write the smaller number first".to_owned();
                reading.error(node.origin, message, Some(hint));
                None
            }
            None => {
                doubt(reading, text, node.origin);
                Some(FieldValue::Text(text.clone()))
            }
        },
        other => {
            let message = format!(
                "{} must be a text, a whole number, true, false or a list of them, found {}",
                quoted(field),
                other.kind()
            );
            reading.error(node.origin, message, None);
            None
        }
    }
}

/// `400..499`, `500..` or `..399`
fn range(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.split_once("..")?;
    let end = |text: &str, open: i64| match text {
        "" => Some(open),
        text => text.parse().ok(),
    };
    (text.len() > 2)
        .then(|| Some((end(from, i64::MIN)?, end(to, i64::MAX)?)))
        .flatten()
}

/// Says so where a text that is compared as it is was probably meant as a pattern.
fn doubt(reading: &mut Reading, text: &str, at: Origin) {
    let hint = || Some("a pattern begins with ^ and ends with $: '^…$'".to_owned());
    if TAGS.iter().any(|tag| text.contains(tag)) {
        let message = "a tag has a meaning in a pattern only";
        reading.error(at, message, hint());
    } else if [".*", ".+", r"\d", r"\S", "[^"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        let message = "this text is compared as it is, and is no pattern";
        reading.warn(at, message, hint());
    }
}
