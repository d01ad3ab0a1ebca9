//! `[jails.NAME]` and `jails/NAME.toml`: what is protected, and whether it fits together.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockade_core::JailName;

use crate::diagnostic::quoted;
use crate::network::{
    PortError, PortRange, Ports, Protocol, join_ranges, parse_ports, service_names,
};
use crate::presence::{Presence, Traces};
use crate::reading::{self, Found, Keys, Part, Reading};
use crate::reference::Section;
use crate::sections::enforcement::words;
use crate::sections::filter::journalmatch;
use crate::sections::rules::{Rules, plugin_name};
use crate::settings::{
    ExecFirewall, ExecSettings, FilterChoice, FilterSettings, FirewallBackend, JailSettings,
    LogBackend, PluginSettings,
};
use crate::source::{Located, Origin};
use crate::suggest;
use crate::tree::{Node, Table, Value};
use stockade_core::PluginName;

/// The most globs of one jail.
const LOGPATHS_MAX: usize = 256;

/// The most entries of `port`; iptables' multiport stops at 15, nftables has no such bound.
const PORTS_MAX: usize = 1_024;

/// The longest path (limits.h, `PATH_MAX`).
const PATH_BYTES_MAX: usize = 4_095;

/// What a jail may refer to.
pub(crate) struct Known<'a> {
    /// Those that could be read. A faulty one may be among them or not; that was reported.
    pub(crate) filters: &'a BTreeMap<String, Arc<FilterSettings>>,
    pub(crate) plugins: &'a BTreeMap<PluginName, PluginSettings>,
    pub(crate) exec: &'a BTreeMap<PluginName, Located<ExecSettings>>,
    pub(crate) firewalls: &'a BTreeMap<PluginName, ExecFirewall>,
    /// The text of `/etc/services`.
    pub(crate) services: &'a str,
    pub(crate) host: Option<&'a dyn Presence>,
    pub(crate) defaults: &'a Rules,
}

/// A jail that was read: to be enforced, or known by name only.
pub(crate) enum Jail {
    Enabled(Box<JailSettings>),
    Disabled,
    /// Nothing of it is on this host; what was looked for.
    Absent(String),
}

/// What `enabled` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Enabled {
    Yes,
    No,
    /// Where the host has one of its logs or units.
    Auto,
}

/// What a jail says of its filter.
enum FilterWord {
    Plain(Located<String>),
    Plugin(Located<PluginName>),
}

/// Reads one jail. `None` where it cannot be used; that was reported then.
pub(crate) fn jail(
    name: &JailName,
    table: Table,
    place: Origin,
    known: &Known<'_>,
    reading: &mut Reading,
) -> Option<Jail> {
    let mut keys = Keys::new(Section::Jail, table, reading);
    let wanted = keys.get("enabled", enabled).unwrap_or(Enabled::Yes);
    let rules = known.defaults.read(&mut keys);
    let filter_given = keys.take("filter");
    let logpath_given = keys.take("logpath");
    let journal_given = keys.take("journalmatch");
    let port = keys.get("port", |reading, found| {
        ports(reading, found, known.services)
    });
    keys.finish();
    let filter_word = filter_given
        .as_ref()
        .map(|found| filter_word(reading, found));
    let logpath = logpath_given
        .as_ref()
        .and_then(|found| logpaths(reading, found));
    let journal = journal_given
        .as_ref()
        .and_then(|found| journalmatch(reading, found));
    if wanted == Enabled::No {
        return Some(Jail::Disabled);
    }
    let filter = match filter_word {
        Some(word) => choose_filter(word, known, reading),
        None => {
            let hint = "write filter = \"NAME\" with a file filters/NAME.toml, or filter = { plugin = \"NAME\" }";
            reading.missing(
                place,
                format!("jail '{name}' has no filter"),
                Some(hint.to_owned()),
            );
            None
        }
    };
    // What [defaults] names was checked there, once for all jails.
    let actions = own(&rules.actions, &known.defaults.actions);
    let firewalls = own(&rules.firewall, &known.defaults.firewall);
    check_names(actions, firewalls, known, reading);
    let filter = filter?;
    let journalmatch = match (journal, &filter) {
        (Some(own), _) => own,
        (None, FilterChoice::Plain(filter)) => filter.journalmatch.clone(),
        (None, FilterChoice::Plugin(_)) => Vec::new(),
    };
    let port = port.unwrap_or(Ports::All);
    let protocol = match (rules.protocol, &port) {
        (Some(chosen), _) => chosen,
        (None, Ports::Some(_)) => vec![Protocol::Tcp],
        (None, Ports::All) => Vec::new(),
    };
    let jail = JailSettings {
        name: name.clone(),
        origin: place,
        filter,
        logpath: logpath.unwrap_or_default(),
        journalmatch,
        port,
        protocol,
        rules: rules.rules,
    };
    let given = Given {
        logpath: logpath_given,
        journalmatch: journal_given,
    };
    check_source(&jail, &given, reading);
    if wanted == Enabled::Auto
        && let Some(why) = absent(&jail, known.host, reading)
    {
        return Some(Jail::Absent(why));
    }
    Some(Jail::Enabled(Box::new(jail)))
}

fn enabled(reading: &mut Reading, found: &Found) -> Option<Enabled> {
    if matches!(&found.node.value, Value::Text(text) if text == "auto") {
        return Some(Enabled::Auto);
    }
    let yes = reading::boolean_or(reading, found, "true, false or \"auto\"")?;
    Some(if yes { Enabled::Yes } else { Enabled::No })
}

/// What is missing on the host for a jail with `enabled = "auto"`; `None` where it is to be on.
fn absent(
    jail: &JailSettings,
    host: Option<&dyn Presence>,
    reading: &mut Reading,
) -> Option<String> {
    let traces = Traces::of(jail);
    if traces.is_empty() {
        let message = format!(
            "jail '{}' has enabled = \"auto\", but reads no file and names no unit to look for",
            jail.name
        );
        let hint = "write enabled = true, or a journalmatch with _SYSTEMD_UNIT=NAME.service";
        reading.missing(jail.origin, message, Some(hint.to_owned()));
        return None;
    }
    if host.is_some_and(|host| traces.found(host)) {
        return None;
    }
    Some(traces.nothing_found())
}

/// What the jail itself says of its source, whether it could be read or not.
struct Given {
    logpath: Option<Found>,
    journalmatch: Option<Found>,
}

/// Whether the jail has what its backend reads from, and nothing that contradicts it.
fn check_source(jail: &JailSettings, given: &Given, reading: &mut Reading) {
    let has_files = given.logpath.is_some();
    let has_journal = given.journalmatch.is_some() || !jail.journalmatch.is_empty();
    let name = &jail.name;
    let missing = match jail.rules.backend {
        LogBackend::Auto if !has_files && !has_journal => Some("neither logpath nor journalmatch"),
        LogBackend::File if !has_files => Some("backend = \"file\" but no logpath"),
        LogBackend::Journal if !has_journal => Some("backend = \"journal\" but no journalmatch"),
        _ => None,
    };
    if let Some(missing) = missing {
        let hint = match jail.rules.backend {
            LogBackend::Journal => "write journalmatch = [[\"_SYSTEMD_UNIT=NAME.service\"]]",
            _ => "write logpath = [\"/var/log/NAME.log\"]",
        };
        reading.missing(
            jail.origin,
            format!("jail '{name}' has {missing}"),
            Some(hint.to_owned()),
        );
    }
    if jail.rules.backend == LogBackend::Stdin {
        let unused = [&given.logpath, &given.journalmatch];
        for found in unused.into_iter().flatten() {
            let message = format!(
                "jail '{name}' reads standard input (backend = \"stdin\") and not '{}'",
                found.name
            );
            reading.error(
                found.key,
                message,
                Some("leave one of the two out".to_owned()),
            );
        }
    }
}

fn filter_word(reading: &mut Reading, found: &Found) -> Option<FilterWord> {
    let Value::Table(table) = &found.node.value else {
        return reading::word(reading, found).map(FilterWord::Plain);
    };
    let mut keys = Keys::new(Section::JailFilter, table.clone(), reading);
    let plugin = keys.take("plugin");
    if plugin.is_none() {
        let hint = "write filter = { plugin = \"NAME\" }".to_owned();
        keys.reading
            .missing(found.at(), "'filter' names no plugin", Some(hint));
    }
    keys.finish();
    plugin
        .and_then(|found| plugin_name(reading, "plugin", &found.node))
        .map(FilterWord::Plugin)
}

fn choose_filter(
    word: Option<FilterWord>,
    known: &Known<'_>,
    reading: &mut Reading,
) -> Option<FilterChoice> {
    match word? {
        FilterWord::Plain(name) if reading.inherit(&Part::Filter(name.value.clone())) => None,
        FilterWord::Plain(name) => match known.filters.get(&name.value) {
            Some(filter) => Some(FilterChoice::Plain(Arc::clone(filter))),
            None => {
                let plugin = known.plugins.contains_key(name.value.as_str());
                let hint =
                    match suggest::hint(&name.value, known.filters.keys().map(String::as_str)) {
                        _ if plugin => format!(
                            "for the plugin write filter = {{ plugin = \"{}\" }}",
                            name.value
                        ),
                        Some(hint) => hint,
                        None => {
                            "a filter is a file filters/NAME.toml beside stockade.toml".to_owned()
                        }
                    };
                let message = format!("there is no filter {}", quoted(&name.value));
                reading.missing(name.origin, message, Some(hint));
                None
            }
        },
        FilterWord::Plugin(name) => {
            defined(&name, known, reading).then_some(FilterChoice::Plugin(name.value))
        }
    }
}

/// What a jail names itself.
fn own<'a, T>(
    named: &'a [Located<T>],
    inherited: &'a [Located<T>],
) -> impl Iterator<Item = &'a Located<T>> {
    let is_own = |one: &&Located<T>| inherited.iter().all(|other| other.origin != one.origin);
    named.iter().filter(is_own)
}

/// Reports actions and firewalls that are named and not defined.
pub(crate) fn check_names<'a>(
    actions: impl IntoIterator<Item = &'a Located<PluginName>>,
    firewalls: impl IntoIterator<Item = &'a Located<FirewallBackend>>,
    known: &Known<'_>,
    reading: &mut Reading,
) {
    for action in actions {
        acts(action, known, reading);
    }
    check_firewalls(firewalls, known, reading);
}

/// Reports programs that are named as a firewall and not defined.
fn check_firewalls<'a>(
    named: impl IntoIterator<Item = &'a Located<FirewallBackend>>,
    known: &Known<'_>,
    reading: &mut Reading,
) {
    for backend in named {
        let FirewallBackend::Exec(name) = &backend.value else {
            continue;
        };
        if known.firewalls.contains_key(name) {
            continue;
        }
        let mut names: Vec<&str> = words().collect();
        names.extend(known.firewalls.keys().map(PluginName::as_str));
        let hint = suggest::hint(name.as_str(), names.iter().copied());
        let hint = hint.unwrap_or_else(|| {
            format!("programs that enforce bans are defined by [firewall.exec.{name}]")
        });
        let message = format!("there is no firewall '{name}'");
        reading.missing(backend.origin, message, Some(hint));
    }
}

/// Reports an action that is neither a plugin nor a program.
fn acts(name: &Located<PluginName>, known: &Known<'_>, reading: &mut Reading) {
    let is_known = known.exec.contains_key(&name.value) || known.plugins.contains_key(&name.value);
    if is_known || reading.is_faulty_plugin(&name.value) {
        return;
    }
    let action = &name.value;
    let names = known.exec.keys().chain(known.plugins.keys());
    let hint = suggest::hint(action.as_str(), names.map(PluginName::as_str)).unwrap_or_else(|| {
        format!("define it: [plugins.{action}] with path = \"{action}.wasm\", or [exec.{action}]")
    });
    let message = format!("there is no action '{action}'");
    reading.missing(name.origin, message, Some(hint));
}

/// Whether a plugin of this name is defined; reports it where not.
fn defined(name: &Located<PluginName>, known: &Known<'_>, reading: &mut Reading) -> bool {
    let plugin = &name.value;
    let found = known.plugins.contains_key(plugin);
    if !found && !reading.inherit(&Part::Plugin(plugin.to_string())) {
        let names = known.plugins.keys().map(PluginName::as_str);
        let hint = suggest::hint(plugin.as_str(), names).unwrap_or_else(|| {
            format!("define it: [plugins.{plugin}] with path = \"{plugin}.wasm\"")
        });
        reading.missing(
            name.origin,
            format!("there is no plugin '{plugin}'"),
            Some(hint),
        );
    }
    found
}

fn logpaths(reading: &mut Reading, found: &Found) -> Option<Vec<Located<String>>> {
    if reading::items(found).is_empty() {
        reading.error(found.at(), "'logpath' is an empty list", None);
        return None;
    }
    reading::list(reading, found, LOGPATHS_MAX, |reading, node| {
        let path = reading::word_of(reading, "logpath", node)?;
        let (problem, hint) = if !path.value.starts_with('/') {
            ("'logpath' must be absolute", None)
        } else if path.value.len() > PATH_BYTES_MAX {
            ("'logpath' is too long", None)
        } else if path.value.ends_with(" tail") || path.value.ends_with(" head") {
            let hint = "leave the word out: a log is read from where it was left";
            ("'logpath' is only a path", Some(hint.to_owned()))
        } else {
            return Some(path);
        };
        reading.error(
            node.origin,
            format!("{problem}, found {}", quoted(&path.value)),
            hint,
        );
        None
    })
}

fn ports(reading: &mut Reading, found: &Found, services: &str) -> Option<Ports> {
    if matches!(&found.node.value, Value::Text(text) if text == "all") {
        return Some(Ports::All);
    }
    if reading::items(found).is_empty() {
        let hint = "write \"all\" for all ports".to_owned();
        reading.error(found.at(), "'port' is an empty list", Some(hint));
        return None;
    }
    let ranges = reading::list(reading, found, PORTS_MAX, |reading, node| {
        port(reading, node, services)
    })?;
    Some(Ports::Some(join_ranges(ranges)))
}

fn port(reading: &mut Reading, node: &Node, services: &str) -> Option<PortRange> {
    let text = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Integer(Some(number)) => number.to_string(),
        other => {
            let message = format!(
                "'port' must be a number, a range or a name, found {}",
                other.kind()
            );
            reading.error(node.origin, message, None);
            return None;
        }
    };
    let error = match parse_ports(&text, services) {
        Ok(range) => return Some(range),
        Err(error) => error,
    };
    let shown = quoted(&text);
    let (message, hint) = match error {
        PortError::OutOfRange => (format!("a port is from 1 to 65535, found {shown}"), None),
        PortError::Reversed => (
            format!("the range of ports {shown} ends before it begins"),
            None,
        ),
        PortError::Unknown if text.contains(',') => {
            let list: Vec<_> = text
                .split(',')
                .map(|word| format!("\"{}\"", word.trim()))
                .collect();
            let hint = format!("write port = [{}]", list.join(", "));
            (format!("{shown} is not one port"), Some(hint))
        }
        PortError::Unknown => (
            format!("no port is named {shown}"),
            suggest::hint(&text, service_names()),
        ),
    };
    reading.error(node.origin, message, hint);
    None
}
