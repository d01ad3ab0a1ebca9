//! `[plugins.NAME]`: components and what they may do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostic::quoted;
use crate::network::{HttpOrigin, Scheme};
use crate::reading::{self, Found, Keys, Reading};
use crate::reference::Section;
use crate::settings::{Grants, HttpGrant, PluginLimits, PluginSettings};
use crate::source::Origin;
use crate::tree::{Entry, Node, Table, Value};
use crate::words::{parse_size, show_size};
use stockade_core::PluginName;

/// The most origins of one plugin.
const HTTP_GRANTS_MAX: usize = 256;

/// The most settings of one plugin, and the longest of them in bytes: all are copied into the
/// plugin's memory at each of its starts.
const SETTINGS_MAX: usize = 256;
const SETTING_BYTES_MAX: usize = 64 * 1024;

/// The least memory that a component built by common tools starts with.
const MEMORY_MIN: u64 = 1 << 20;
/// A plugin that wants more than this should be a service of its own.
const MEMORY_MAX: u64 = 256 << 20;

/// Calls are bounded in whole seconds here; shorter bounds are the plugin host's own.
const DEADLINE_MIN: Duration = Duration::from_secs(1);
/// CPU time, waiting for a server not counted: more would hold up lines or bans for good.
const DEADLINE_MAX: Duration = Duration::from_secs(10);

/// Reads one plugin. `None` where it cannot be used; that was reported then.
pub(crate) fn plugin(
    name: &PluginName,
    entry: &Entry,
    plugin_dir: &Path,
    reading: &mut Reading,
) -> Option<PluginSettings> {
    let Value::Table(table) = &entry.node.value else {
        let message = format!(
            "[plugins.{name}] must be a table, found {}",
            entry.node.value.kind()
        );
        reading.error(entry.node.origin, message, None);
        return None;
    };
    let mut keys = Keys::new(Section::Plugin, table.clone(), reading);
    let path = keys.take("path");
    let grant = keys.take("grant");
    let settings = keys.take("settings");
    let limits = keys.take("limits");
    let reading = &mut *keys.reading;
    let origin = path.as_ref().map_or(entry.key, Found::at);
    let file = match &path {
        Some(found) => path_of(found, plugin_dir, reading),
        None => {
            let hint = format!("write path = \"{name}.wasm\"");
            reading.missing(
                entry.key,
                format!("plugin '{name}' has no path"),
                Some(hint),
            );
            None
        }
    };
    let plugin = PluginSettings {
        path: file.unwrap_or_default(),
        origin,
        grant: grant
            .map(|found| grants(&found, reading))
            .unwrap_or_default(),
        settings: settings
            .map(|found| texts(&found, reading))
            .unwrap_or_default(),
        limits: limits
            .map(|found| plugin_limits(&found, reading))
            .unwrap_or_default(),
    };
    keys.finish();
    Some(plugin)
}

fn path_of(found: &Found, plugin_dir: &Path, reading: &mut Reading) -> Option<PathBuf> {
    let path = reading::word(reading, found)?;
    Some(plugin_dir.join(path.value))
}

fn grants(found: &Found, reading: &mut Reading) -> Grants {
    if let Value::List(_) = found.node.value {
        let hint = "write [plugins.NAME.grant] with lines such as log = true".to_owned();
        reading.error(
            found.at(),
            "'grant' must be a table, found a list",
            Some(hint),
        );
        return Grants::default();
    }
    let Some(table) = reading::table(reading, found) else {
        return Grants::default();
    };
    let mut keys = Keys::new(Section::Grant, table, reading);
    let grants = Grants {
        log: keys.get("log", reading::boolean).unwrap_or_default(),
        clock: keys.get("clock", reading::boolean).unwrap_or_default(),
        kv: keys.get("kv", reading::boolean).unwrap_or_default(),
        http: keys.get("http", http_grants).unwrap_or_default(),
    };
    keys.finish();
    grants
}

fn http_grants(reading: &mut Reading, found: &Found) -> Option<Vec<HttpGrant>> {
    if let Value::Boolean(_) = found.node.value {
        let message = "'http' must be a list of origins, found true or false";
        let hint = "name each host: http = [\"https://hooks.example.com\"]".to_owned();
        reading.error(found.at(), message, Some(hint));
        return None;
    }
    let grants = reading::list(reading, found, HTTP_GRANTS_MAX, http_grant)?;
    for (index, (grant, origin)) in grants.iter().enumerate() {
        if grants
            .iter()
            .take(index)
            .any(|(earlier, _)| earlier.origin == grant.origin)
        {
            reading.error(
                *origin,
                format!("'{}' is granted twice", grant.origin),
                None,
            );
        }
    }
    Some(grants.into_iter().map(|(grant, _)| grant).collect())
}

fn http_grant(reading: &mut Reading, node: &Node) -> Option<(HttpGrant, Origin)> {
    let (origin, private, place) = match &node.value {
        Value::Table(table) => {
            let mut keys = Keys::new(Section::HttpGrant, table.clone(), reading);
            let origin = keys.take("origin");
            let private = keys.get("private", reading::boolean).unwrap_or_default();
            let Some(found) = origin else {
                keys.reading
                    .missing(node.origin, "an entry of 'http' has no origin", None);
                keys.finish();
                return None;
            };
            keys.finish();
            let origin = http_origin(reading, &found.node)?;
            (origin, private, found.at())
        }
        _ => (http_origin(reading, node)?, false, node.origin),
    };
    if origin.is_private() && !private {
        let message = format!("'{origin}' is in a private network or this host itself");
        let hint = format!(
            "if the plugin may reach it, write {{ origin = \"{origin}\", private = true }}"
        );
        reading.error(place, message, Some(hint));
        return None;
    }
    if origin.scheme == Scheme::Http && !private {
        let message = format!("requests to '{origin}' can be read and changed on their way");
        reading.warn(
            place,
            message,
            Some("write https:// where the server speaks it".to_owned()),
        );
    }
    Some((HttpGrant { origin, private }, place))
}

fn http_origin(reading: &mut Reading, node: &Node) -> Option<HttpOrigin> {
    let text = reading::word_of(reading, "http", node)?.value;
    match HttpOrigin::parse(&text) {
        Ok(origin) => Some(origin),
        Err(problem) => {
            let hint = "an origin looks like \"https://hooks.example.com:8443\"".to_owned();
            reading.error(
                node.origin,
                format!("{problem}, found {}", quoted(&text)),
                Some(hint),
            );
            None
        }
    }
}

fn texts(found: &Found, reading: &mut Reading) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    if let Some(table) = reading::table(reading, found) {
        add_texts("", table, &mut settings, reading);
    }
    if settings.len() > SETTINGS_MAX {
        let count = settings.len();
        let message = format!("a plugin has at most {SETTINGS_MAX} settings, this one has {count}");
        reading.error(found.key, message, None);
    }
    settings
}

/// Adds the settings of `table`; those of a table in it get its name and a dot in front, as TOML
/// itself writes them. How deep tables lie in each other was bounded when the file was parsed.
fn add_texts(
    prefix: &str,
    table: Table,
    settings: &mut BTreeMap<String, String>,
    reading: &mut Reading,
) {
    for (key, entry) in table.0 {
        let key = format!("{prefix}{key}");
        let text = match entry.node.value {
            Value::Text(text) => text,
            Value::Integer(Some(number)) => number.to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::Table(inner) => {
                add_texts(&format!("{key}."), inner, settings, reading);
                continue;
            }
            other => {
                let message = format!(
                    "setting {} must be a text, found {}",
                    quoted(&key),
                    other.kind()
                );
                reading.error(entry.node.origin, message, None);
                continue;
            }
        };
        if key.len() + text.len() > SETTING_BYTES_MAX {
            let message = format!(
                "setting {} is longer than {SETTING_BYTES_MAX} bytes",
                quoted(&key)
            );
            reading.error(entry.node.origin, message, None);
        } else if settings.insert(key.clone(), text).is_some() {
            let message = format!("setting {} is given twice", quoted(&key));
            reading.error(entry.key, message, None);
        }
    }
}

fn plugin_limits(found: &Found, reading: &mut Reading) -> PluginLimits {
    let Some(table) = reading::table(reading, found) else {
        return PluginLimits::default();
    };
    let mut keys = Keys::new(Section::Limits, table, reading);
    let limits = PluginLimits {
        memory: keys.get("memory", |reading, found| {
            size(reading, found, MEMORY_MIN, MEMORY_MAX)
        }),
        deadline: keys.get("deadline", |reading, found| {
            reading::duration(reading, found, DEADLINE_MIN..=DEADLINE_MAX)
        }),
    };
    keys.finish();
    limits
}

fn size(reading: &mut Reading, found: &Found, min: u64, max: u64) -> Option<u64> {
    let size = match &found.node.value {
        Value::Text(text) => parse_size(text),
        Value::Integer(number) => number.and_then(|number| u64::try_from(number).ok()),
        _ => None,
    };
    let Some(size) = size else {
        let message = format!("'{}' must be a size such as \"32MiB\"", found.name);
        let hint = "units are KiB, MiB and GiB; without one it is bytes".to_owned();
        reading.error(found.at(), message, Some(hint));
        return None;
    };
    if !(min..=max).contains(&size) {
        let message = format!(
            "'{}' must be from {} to {}, found {}",
            found.name,
            show_size(min),
            show_size(max),
            show_size(size)
        );
        reading.error(found.at(), message, None);
        return None;
    }
    Some(size)
}
