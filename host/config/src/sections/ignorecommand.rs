//! `ignorecommand` and `ignorecache`: a program that says whose failures are not counted.

use std::time::Duration;

use crate::reading::{self, Found, Keys, Reading};
use crate::reference::Section;
use crate::sections::exec::{check_tags, command};
use crate::settings::{IGNORE_CACHE_TAGS, IGNORE_TAGS, IgnoreCache};
use crate::tree::Value;

/// Answers that are remembered for one jail; an attacker chooses how many there are, at some hundred
/// bytes each.
const COUNT_MAX: u32 = 100_000;

/// How long an answer may be remembered: who is a friend today may be none tomorrow.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// fail2ban's defaults.
const COUNT: u32 = 100;
const TIME: Duration = Duration::from_secs(5 * 60);

/// Reads the command; an empty list is none.
pub(crate) fn ignorecommand(reading: &mut Reading, found: &Found) -> Option<Vec<String>> {
    if matches!(&found.node.value, Value::List(list) if list.is_empty()) {
        return Some(Vec::new());
    }
    command(reading, found, &IGNORE_TAGS)
}

/// Reads the cache; `false` is none.
#[expect(
    clippy::option_option,
    reason = "the outer one says that it was readable"
)]
pub(crate) fn ignorecache(reading: &mut Reading, found: &Found) -> Option<Option<IgnoreCache>> {
    let table = match &found.node.value {
        Value::Table(table) => table.clone(),
        Value::Boolean(false) => return Some(None),
        other => {
            let message = format!(
                "'{}' must be a table or false, found {}",
                found.name,
                other.kind()
            );
            let hint = "write { key = \"<ip>\", max_count = 100, max_time = \"5m\" }".to_owned();
            reading.error(found.at(), message, Some(hint));
            return None;
        }
    };
    let mut keys = Keys::new(Section::IgnoreCache, table, reading);
    let key = keys.get("key", |reading, found| {
        let key = reading::word(reading, found)?;
        check_tags(reading, key.origin, &key.value, &IGNORE_CACHE_TAGS, "");
        Some(key.value)
    });
    let max_count = keys.get("max_count", |reading, found| {
        reading::number(reading, found, 1..=COUNT_MAX)
    });
    let max_time = keys.get("max_time", |reading, found| {
        reading::duration(reading, found, Duration::from_secs(1)..=TIME_MAX)
    });
    keys.finish();
    Some(Some(IgnoreCache {
        key: key.unwrap_or_else(|| "<ip>".to_owned()),
        max_count: max_count.unwrap_or(COUNT),
        max_time: max_time.unwrap_or(TIME),
    }))
}
