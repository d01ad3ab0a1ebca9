//! All files of a configuration -> its settings, or everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stockade_core::{JailName, PluginName};

use crate::diagnostic::{Diagnostic, Severity, quoted};
use crate::layers::{JailTables, lay_over, read_jail_files, read_main};
use crate::presence::Presence;
use crate::reading::{Keys, Part, Reading};
use crate::reference::Section;
use crate::sections::{self, jail::Jail, jail::Known, rules::Rules};
use crate::settings::{
    AbsentJail, BrokenJail, DaemonSettings, ExecSettings, FilterSettings, JailSettings,
    PluginSettings, Settings,
};
use crate::source::{FileIndex, Located, Origin, Sources};
use crate::stock;
use crate::tree::{self, Table};
use crate::whole;
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
    /// What is not known because of it.
    pub what: ReadWhat,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Whether the configuration can be used nevertheless.
    pub severity: Severity,
}

/// What is not known where something could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadWhat {
    /// What holds for all.
    Whole,
    /// The jail that the file is named after.
    Jail,
    /// The filter that the file is named after.
    Filter,
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
    /// The settings, without the jails that are broken; `None` where an error concerns all of it.
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
    let (settings, filters) = read_all(files, &mut reading);
    let usable = reading.fault(&Part::Whole).is_none();
    Loaded {
        daemon: settings.daemon.clone(),
        filters,
        settings: usable.then_some(settings),
        diagnostics: reading.diagnostics.into_sorted(),
        sources: reading.sources,
    }
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

/// The settings as far as they could be read, and all filters that could be, faulty ones included.
/// Neither is to be used where the whole is faulty.
pub(crate) fn read_all(files: &ConfigFiles, reading: &mut Reading) -> (Settings, FilterMap) {
    for problem in &files.problems {
        let name = || stem(&problem.path).to_owned();
        let part = match problem.what {
            ReadWhat::Whole => Part::Whole,
            ReadWhat::Jail => Part::Jail(name()),
            ReadWhat::Filter => Part::Filter(name()),
        };
        reading.of(part, |reading| {
            if problem.severity == Severity::Error {
                reading.set_incomplete();
            }
            reading.in_file(problem.severity, &problem.path, problem.message.clone());
        });
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
    let firewall = sections::firewall::firewall(firewall, reading);
    let plugins = read_plugins(plugins, &daemon.plugin_dir, reading);
    let exec = read_exec(exec, &plugins, reading);
    let mut keys = Keys::new(Section::Defaults, defaults, reading);
    let defaults = Rules::builtin().read(&mut keys);
    keys.finish();
    let known = Known {
        filters: &filters,
        plugins: &plugins,
        exec: &exec,
        firewalls: &firewall.exec,
        services: &files.services,
        host: files.host.as_deref(),
        defaults: &defaults,
    };
    sections::jail::check_names(&defaults.actions, &defaults.firewall, &known, reading);
    let jails = read_jails(jail_files, &known, reading);
    let sound = filters
        .iter()
        .filter(|(name, _)| reading.fault(&Part::Filter((*name).clone())).is_none())
        .map(|(name, filter)| (name.clone(), Arc::clone(filter)))
        .collect();
    let mut settings = Settings {
        daemon,
        firewall,
        plugins,
        exec,
        filters: sound,
        defaults: defaults.rules,
        jails: jails.enabled,
        broken: jails.broken,
        disabled: jails.disabled,
        absent: jails.absent,
    };
    whole::check(&mut settings, files, reading);
    (settings, filters)
}

/// The jails, by whether they are on.
#[derive(Default)]
struct Jails {
    enabled: Vec<JailSettings>,
    broken: Vec<BrokenJail>,
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
        let part = Part::Jail(name.to_string());
        let read = reading.of(part.clone(), |reading| {
            sections::jail::jail(&name, table, place, known, reading)
        });
        match (read, reading.fault(&part)) {
            // Its mistakes are told, but where it is surely off there is nothing to miss.
            (Some(Jail::Disabled), _) if !reading.is_incomplete(&part) => jails.disabled.push(name),
            // Told below.
            (_, Some(_)) | (None, None) => {}
            (Some(Jail::Enabled(jail)), None) => jails.enabled.push(*jail),
            (Some(Jail::Disabled), None) => jails.disabled.push(name),
            (Some(Jail::Absent(why)), None) => jails.absent.push(AbsentJail {
                name,
                why,
                built_in: stock::holds(place, &reading.sources),
            }),
        }
    }
    let faulty = reading.faulty().filter_map(|(part, why)| match part {
        Part::Jail(name) => Some((name, why)),
        Part::Whole | Part::Filter(_) | Part::Plugin(_) => None,
    });
    for (name, why) in faulty {
        if !jails.disabled.iter().any(|off| off.as_str() == name) {
            jails.broken.push(BrokenJail {
                name: name.clone(),
                why: why.clone(),
            });
        }
    }
    jails
}

/// Filters by name.
pub(crate) type FilterMap = BTreeMap<String, Arc<FilterSettings>>;

/// Reads every filter as far as it can be.
fn read_filters(files: &ConfigFiles, reading: &mut Reading) -> FilterMap {
    let mut filters = FilterMap::new();
    let mut read = |path: &str, bytes: &[u8], reading: &mut Reading| {
        let name = stem(path).to_owned();
        let (index, table) = tree::parse(path, bytes, reading);
        if is_name(&name) {
            let filter = sections::filter::filter(&name, table, start_of(index), reading);
            filters.extend(filter.map(|filter| (name, Arc::new(filter))));
        } else {
            let message = format!(
                "{} is not a filter's name; a name is {NAME_FORM}",
                quoted(&name)
            );
            reading.error_in_file(path, message);
        }
    };
    let mut given = BTreeSet::new();
    for file in &files.filters {
        let name = stem(&file.path).to_owned();
        given.insert(name.clone());
        reading.of(Part::Filter(name), |reading| {
            read(&file.path, &file.bytes, reading);
        });
    }
    for (name, text) in stock::FILTERS {
        // One that could not be read is not replaced by that of the same name.
        let part = Part::Filter((*name).to_owned());
        if given.contains(*name) || reading.is_incomplete(&part) {
            continue;
        }
        let path = format!("{}filters/{name}.toml", stock::PATH_PREFIX);
        reading.of(part, |reading| read(&path, text.as_bytes(), reading));
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
        reading.of(Part::Plugin(name.clone()), |reading| {
            let Ok(name) = PluginName::try_new(&name) else {
                let message = format!("{} is not a plugin's name", quoted(&name));
                reading.error(entry.key, message, Some(format!("a name is {NAME_FORM}")));
                return;
            };
            if let Some(plugin) = sections::plugin::plugin(&name, &entry, plugin_dir, reading) {
                plugins.insert(name, plugin);
            }
        });
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
        reading.of(Part::Plugin(name.clone()), |reading| {
            let Ok(name) = PluginName::try_new(&name) else {
                let message = format!("{} is not an action's name", quoted(&name));
                reading.error(entry.key, message, Some(format!("a name is {NAME_FORM}")));
                return;
            };
            if plugins.contains_key(&name) {
                let message =
                    format!("'{name}' is defined twice, as [plugins.{name}] and [exec.{name}]");
                reading.error(entry.key, message, None);
            }
            if let Some(program) = sections::exec::exec(&name, &entry, reading) {
                programs.insert(name, program);
            }
        });
    }
    programs
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
