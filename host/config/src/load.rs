//! All files of a configuration -> its settings, or everything that is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockade_core::{JailName, PluginName};

use crate::diagnostic::{Diagnostic, Severity, quoted};
use crate::layers::{JailTables, lay_over, read_jail_files, read_main};
use crate::presence::Presence;
use crate::reading::{Keys, Reading};
use crate::reference::Section;
use crate::sections::{self, jail::Jail, jail::Known, rules::Rules};
use crate::settings::{
    AbsentJail, DaemonSettings, ExecSettings, FilterChoice, FilterSettings, JailSettings,
    PluginSettings, Settings,
};
use crate::source::{FileIndex, Located, Origin, Sources};
use crate::stock;
use crate::suggest;
use crate::tree::{self, Table};
use crate::words::{NAME_FORM, is_name};

/// The most jails beside the built-in ones: each has sets of its own in the kernel and a part in
/// every scan.
const JAILS_MAX: usize = 1_000;

/// The most plugins: each has a thread and memory of its own.
const PLUGINS_MAX: usize = 256;

/// The most programs that act on bans: each has a thread.
pub(crate) const EXEC_MAX: usize = 256;

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path, as it is shown in messages.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Something that could not be read, or should not be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadProblem {
    /// The file or folder.
    pub path: String,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Whether the configuration can be used nevertheless.
    pub severity: Severity,
}

/// All files of a configuration, in memory.
#[derive(Clone, Debug, Default)]
pub struct ConfigFiles {
    /// `stockade.toml`; `None` where there is none, then all defaults hold.
    pub main: Option<ConfigFile>,
    /// `stockade.d/*.toml`, in the order in which they are laid over the main file.
    pub dropins: Vec<ConfigFile>,
    /// `jails/*.toml`
    pub jails: Vec<ConfigFile>,
    /// `filters/*.toml`
    pub filters: Vec<ConfigFile>,
    /// The text of `/etc/services`, for the names of ports; may be empty.
    pub services: String,
    /// What went wrong while the files were read.
    pub problems: Vec<ReadProblem>,
    /// Who knows what this host has, for jails with `enabled = "auto"`; without it none of them is
    /// on.
    pub host: Option<Arc<dyn Presence>>,
}

/// What became of the files.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings; `None` where at least one diagnostic is an error.
    pub settings: Option<Settings>,
    /// `[daemon]` as far as it could be read, with defaults for the rest: a client finds a running
    /// daemon by it although the rest has errors.
    pub daemon: DaemonSettings,
    /// The filters that could be read, so that their patterns are checked although the rest has
    /// errors.
    pub filters: BTreeMap<String, Arc<FilterSettings>>,
    /// Errors and warnings, in the order of the files and of the places in them.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts, to show places in them.
    pub sources: Sources,
}

/// What became of a single filter file.
#[derive(Clone, Debug)]
pub struct LoadedFilter {
    /// The filter; `None` where at least one diagnostic is an error.
    pub filter: Option<FilterSettings>,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// The text, to show places in it.
    pub sources: Sources,
}

/// Reads and checks a whole configuration.
///
/// Jails are laid over each other key by key: the built-in one, `jails/NAME.toml`,
/// `stockade.toml`, `stockade.d/*.toml` in this order. A filter file replaces the built-in filter
/// of its name as a whole, so that patterns of two files are never mixed.
#[must_use]
pub fn load(files: &ConfigFiles) -> Loaded {
    let mut reading = Reading::default();
    let settings = read_all(files, &mut reading);
    finish(settings, reading)
}

/// Reads and checks one filter file, for trying it out.
#[must_use]
pub fn load_filter(file: &ConfigFile) -> LoadedFilter {
    let mut reading = Reading::default();
    let (index, table) = tree::parse(&file.path, &file.bytes, &mut reading);
    let name = stem(&file.path);
    let filter = sections::filter::filter(name, table, start_of(index), &mut reading);
    let failed = reading.diagnostics.failed();
    LoadedFilter {
        filter: filter.filter(|_| !failed),
        diagnostics: reading.diagnostics.into_sorted(),
        sources: reading.sources,
    }
}

fn finish(settings: Settings, reading: Reading) -> Loaded {
    let failed = reading.diagnostics.failed();
    Loaded {
        daemon: settings.daemon.clone(),
        filters: settings.filters.clone(),
        settings: (!failed).then_some(settings),
        diagnostics: reading.diagnostics.into_sorted(),
        sources: reading.sources,
    }
}

pub(crate) fn read_all(files: &ConfigFiles, reading: &mut Reading) -> Settings {
    for problem in &files.problems {
        // What could not be read may hold what seems to be missing.
        reading.incomplete |= problem.severity == Severity::Error;
        let found = Diagnostic::of_file(problem.severity, &problem.path, problem.message.clone());
        reading.diagnostics.push(None, found);
    }
    let mut jail_files = read_jail_files(files, reading);
    let root = read_main(files, &jail_files, reading);
    let filters = read_filters(files, reading);
    let mut keys = Keys::new(Section::Root, root, reading);
    let mut part = |name| {
        let found = keys.take(name)?;
        crate::reading::table(keys.reading, &found)
    };
    let daemon = part("daemon").unwrap_or_default();
    let firewall = part("firewall").unwrap_or_default();
    let defaults = part("defaults").unwrap_or_default();
    let plugins = part("plugins").unwrap_or_default();
    let exec = part("exec").unwrap_or_default();
    let main_jails = part("jails").unwrap_or_default();
    keys.finish();
    for (name, entry) in main_jails.0 {
        lay_over(&mut jail_files, name, entry, reading);
    }

    let daemon = sections::daemon::daemon(daemon, reading);
    let firewall = sections::daemon::firewall(firewall, reading);
    let plugins = read_plugins(plugins, &daemon.plugin_dir, reading);
    let exec = read_exec(exec, &plugins, reading);
    let mut keys = Keys::new(Section::Defaults, defaults, reading);
    let defaults = Rules::builtin().read(&mut keys);
    keys.finish();
    let known = Known {
        filters: &filters,
        plugins: &plugins,
        exec: &exec,
        services: &files.services,
        host: files.host.as_deref(),
        defaults: &defaults,
    };
    for action in &defaults.actions {
        sections::jail::acts(action, &known, reading);
    }
    let jails = read_jails(jail_files, &known, reading);
    let filters = filters
        .into_iter()
        .filter_map(|(name, filter)| Some((name, filter?)))
        .collect();
    let settings = Settings {
        daemon,
        firewall,
        plugins,
        exec,
        filters,
        jails: jails.enabled,
        disabled: jails.disabled,
        absent: jails.absent,
    };
    check_whole(&settings, files, reading);
    settings
}

/// The jails, by whether they are on.
#[derive(Default)]
struct Jails {
    enabled: Vec<JailSettings>,
    disabled: Vec<JailName>,
    absent: Vec<AbsentJail>,
}

fn read_jails(tables: JailTables, known: &Known<'_>, reading: &mut Reading) -> Jails {
    let own = || {
        tables
            .values()
            .filter(|(at, _)| !stock::holds(*at, &reading.sources))
    };
    if let Some((place, _)) = own().nth(JAILS_MAX) {
        let (place, count) = (*place, own().count());
        let message = format!("there are {count} jails, at most {JAILS_MAX} are allowed");
        reading.error(place, message, None);
    }
    let mut jails = Jails::default();
    for (name, (place, table)) in tables {
        match sections::jail::jail(&name, table, place, known, reading) {
            Some(Jail::Enabled(jail)) => jails.enabled.push(*jail),
            Some(Jail::Disabled) => jails.disabled.push(name),
            Some(Jail::Absent(why)) => jails.absent.push(AbsentJail {
                name,
                why,
                built_in: stock::holds(place, &reading.sources),
            }),
            None => {}
        }
    }
    jails
}

/// Reads every filter; one that could not be read is known by name.
fn read_filters(
    files: &ConfigFiles,
    reading: &mut Reading,
) -> BTreeMap<String, Option<Arc<FilterSettings>>> {
    let mut filters = BTreeMap::new();
    for file in &files.filters {
        let name = stem(&file.path);
        let (index, table) = tree::parse(&file.path, &file.bytes, reading);
        if !is_name(name) {
            let message = format!(
                "{} is not a filter's name; a name is {NAME_FORM}",
                quoted(name)
            );
            reading.error_in_file(&file.path, message);
            continue;
        }
        let filter = sections::filter::filter(name, table, start_of(index), reading);
        filters.insert(name.to_owned(), filter.map(Arc::new));
    }
    for (name, text) in stock::FILTERS {
        if filters.contains_key(*name) {
            continue;
        }
        let path = format!("{}filters/{name}.toml", stock::PATH_PREFIX);
        let (index, table) = tree::parse(&path, text.as_bytes(), reading);
        let filter = sections::filter::filter(name, table, start_of(index), reading);
        filters.insert((*name).to_owned(), filter.map(Arc::new));
    }
    filters
}

fn read_plugins(
    table: Table,
    plugin_dir: &std::path::Path,
    reading: &mut Reading,
) -> BTreeMap<PluginName, PluginSettings> {
    let mut plugins = BTreeMap::new();
    if let Some(entry) = table.0.values().nth(PLUGINS_MAX) {
        let message = format!(
            "there are {} plugins, at most {PLUGINS_MAX} are allowed",
            table.0.len()
        );
        reading.error(entry.key, message, None);
    }
    for (name, entry) in table.0 {
        let Ok(name) = PluginName::try_new(&name) else {
            let message = format!("{} is not a plugin's name", quoted(&name));
            reading.error(entry.key, message, Some(format!("a name is {NAME_FORM}")));
            continue;
        };
        if let Some(plugin) = sections::plugin::plugin(&name, &entry, plugin_dir, reading) {
            plugins.insert(name, plugin);
        }
    }
    plugins
}

fn read_exec(
    table: Table,
    plugins: &BTreeMap<PluginName, PluginSettings>,
    reading: &mut Reading,
) -> BTreeMap<PluginName, Located<ExecSettings>> {
    let mut programs = BTreeMap::new();
    if let Some(entry) = table.0.values().nth(EXEC_MAX) {
        let count = table.0.len();
        let message =
            format!("there are {count} tables [exec.NAME], at most {EXEC_MAX} are allowed");
        reading.error(entry.key, message, None);
    }
    for (name, entry) in table.0 {
        let Ok(name) = PluginName::try_new(&name) else {
            let message = format!("{} is not an action's name", quoted(&name));
            reading.error(entry.key, message, Some(format!("a name is {NAME_FORM}")));
            continue;
        };
        if plugins.contains_key(&name) {
            let message =
                format!("'{name}' is defined twice, as [plugins.{name}] and [exec.{name}]");
            reading.error(entry.key, message, None);
        }
        if let Some(program) = sections::exec::exec(&name, &entry, reading) {
            programs.insert(name, program);
        }
    }
    programs
}

/// What only shows when everything is known.
fn check_whole(settings: &Settings, files: &ConfigFiles, reading: &mut Reading) {
    // Each list below would be wrong while jails are missing from it.
    if reading.incomplete || reading.diagnostics.failed() {
        return;
    }
    for (name, plugin) in &settings.plugins {
        let acts = settings
            .jails
            .iter()
            .find(|jail| jail.rules.actions.contains(name));
        let filters = settings
            .jails
            .iter()
            .find(|jail| matches!(&jail.filter, FilterChoice::Plugin(plugin) if plugin == name));
        match (acts, filters) {
            (Some(acts), Some(filters)) => {
                let message = format!(
                    "plugin '{name}' is the filter of jail '{}' and an action of jail '{}'",
                    filters.name, acts.name
                );
                let hint = "a component is one of the two; define a plugin for each".to_owned();
                reading.error(plugin.origin, message, Some(hint));
            }
            (None, None) => {
                let message = format!("plugin '{name}' is used by no jail that is enabled");
                reading.warn(plugin.origin, message, None);
            }
            _ => {}
        }
    }
    for (name, program) in &settings.exec {
        let mut jails = settings.jails.iter();
        if !jails.any(|jail| jail.rules.actions.contains(name)) {
            let message = format!("[exec.{name}] is an action of no jail that is enabled");
            reading.warn(program.origin, message, None);
        }
    }
    if settings.jails.is_empty() {
        let message = "no jail is enabled: nothing is protected".to_owned();
        let path = files
            .main
            .as_ref()
            .map_or("stockade.toml", |main| &main.path);
        let found = Diagnostic::of_file(Severity::Warning, path, message);
        reading.diagnostics.push(None, found);
    }
    warn_of_near_names(settings, reading);
}

/// Warns of a disabled jail and an enabled one whose names differ in case only: the override was
/// probably meant for the other.
fn warn_of_near_names(settings: &Settings, reading: &mut Reading) {
    for (index, jail) in settings.jails.iter().enumerate() {
        let others = settings
            .jails
            .iter()
            .take(index)
            .map(|other| other.name.as_str());
        let same = others
            .chain(settings.disabled.iter().map(JailName::as_str))
            .chain(settings.absent.iter().map(|absent| absent.name.as_str()))
            .find(|other| other.eq_ignore_ascii_case(jail.name.as_str()));
        if let Some(other) = same {
            let message = format!("jails '{other}' and '{}' differ in case only", jail.name);
            let hint = suggest::hint(jail.name.as_str(), [other]);
            reading.warn(jail.origin, message, hint);
        }
    }
}

/// The name of a file without folder and `.toml`.
pub(crate) fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// The beginning of a file, for what is wrong with all of it.
pub(crate) fn start_of(file: FileIndex) -> Origin {
    Origin {
        file,
        start: 0,
        end: 0,
    }
}
