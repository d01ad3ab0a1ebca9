//! Which file lies over which: the built-in jails, `jails/*.toml`, the main file and its drop-ins.

use std::collections::BTreeMap;

use stockade_core::JailName;

use crate::diagnostic::quoted;
use crate::load::{ConfigFiles, start_of, stem};
use crate::reading::{Part, Reading};
use crate::reference::{self, Section};
use crate::source::Origin;
use crate::stock;
use crate::tree::{self, Entry, Node, Table, Value};

/// The jails so far, by name: where each is defined, and its keys.
pub(crate) type JailTables = BTreeMap<JailName, (Origin, Table)>;

/// Reads the built-in jails and lays `jails/*.toml` over them.
pub(crate) fn read_jail_files(files: &ConfigFiles, reading: &mut Reading) -> JailTables {
    let mut jails = JailTables::new();
    for (name, text) in stock::JAILS {
        let path = format!("{}jails/{name}.toml", stock::PATH_PREFIX);
        let (index, table) = tree::parse(&path, text.as_bytes(), reading);
        if let Ok(name) = JailName::try_new(name) {
            jails.insert(name, (start_of(index), table));
        }
    }
    for file in &files.jails {
        let name = stem(&file.path);
        reading.of(Part::Jail(name.to_owned()), |reading| {
            let (index, table) = tree::parse(&file.path, &file.bytes, reading);
            let place = start_of(index);
            match JailName::try_new(name) {
                Ok(name) => {
                    let (at, below) = jails.entry(name).or_insert((place, Table::default()));
                    *at = place;
                    below.overlay(table);
                }
                Err(error) => reading.error_in_file(&file.path, error.to_string()),
            }
        });
    }
    jails
}

/// Reads the main file and lays the drop-ins over it.
pub(crate) fn read_main(
    files: &ConfigFiles,
    jail_files: &JailTables,
    reading: &mut Reading,
) -> Table {
    let mut root = Table::default();
    if let Some(main) = &files.main {
        let (_, table) = tree::parse(&main.path, &main.bytes, reading);
        warn_of_doubles(&table, jail_files, files, reading);
        root = table;
    }
    for dropin in &files.dropins {
        let (_, table) = tree::parse(&dropin.path, &dropin.bytes, reading);
        root.overlay(table);
    }
    root
}

/// Warns of keys that a jail's own file and the main file both set: only one of them counts, and
/// who changes the other wonders. Drop-ins are there to override, and built-in jails too.
fn warn_of_doubles(
    main: &Table,
    jail_files: &JailTables,
    files: &ConfigFiles,
    reading: &mut Reading,
) {
    let Some(Value::Table(jails)) = main.0.get("jails").map(|entry| &entry.node.value) else {
        return;
    };
    for (name, entry) in &jails.0 {
        let (Some((place, file)), Value::Table(keys)) =
            (jail_files.get(name.as_str()), &entry.node.value)
        else {
            continue;
        };
        let path = reading.sources.path(place.file).to_owned();
        if !files.jails.iter().any(|file| file.path == path) {
            continue;
        }
        for (key, here) in &keys.0 {
            let Some(there) = file.0.get(key).filter(|there| there.key.file == place.file) else {
                continue;
            };
            let line = reading
                .sources
                .position(there.key.file, there.key.start)
                .line;
            let message = format!(
                "{} of jail '{name}' is also set in {path}:{line}",
                quoted(key)
            );
            let hint = "the value here counts; remove one of them".to_owned();
            reading.warn(here.key, message, Some(hint));
        }
    }
}

/// Lays `[jails.NAME]` over what the jail's files say.
pub(crate) fn lay_over(jails: &mut JailTables, name: String, entry: Entry, reading: &mut Reading) {
    let Entry {
        key,
        node: Node { origin, value },
    } = entry;
    let table = match value {
        Value::Table(table) => table,
        other => {
            let message = format!("[jails.{name}] must be a table, found {}", other.kind());
            let is_key = reference::keys_of(Section::Jail).any(|key| key == name);
            let hint = is_key.then(|| {
                "a jail is written [jails.NAME]; what holds for all jails is written [defaults]"
                    .to_owned()
            });
            // A key of a jail that stands here was meant for a jail that nobody knows.
            let part = if is_key {
                Part::Whole
            } else {
                Part::Jail(name)
            };
            reading.of(part, |reading| reading.error(origin, message, hint));
            return;
        }
    };
    match JailName::try_new(&name) {
        Ok(name) => {
            let (at, below) = jails.entry(name).or_insert((key, Table::default()));
            *at = key;
            below.overlay(table);
        }
        Err(error) => reading.of(Part::Jail(name), |reading| {
            reading.error(key, error.to_string(), None);
        }),
    }
}
