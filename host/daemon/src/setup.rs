//! From checked settings to parts that can run: patterns compiled, plugins looked at, zones found.
//!
//! `check`, `run` and `reload` all come through here, so that what `check` accepts is what runs.

mod component;
mod kept;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::presence::ThisHost;
use jiff::tz::{Offset, TimeZone};
use stockade_config::fail2ban::{Tree, import};
use stockade_config::{
    BrokenJail, ConfigFiles, DatePattern, Diagnostic, Dialect, FieldRule, FieldValue, FilterChoice,
    FilterSettings, JailRules, JailSettings, JsonSettings, Loaded, LogBackend, LogZone, Origin,
    PluginSettings, Settings, Severity, Sources, UseDns, load, read_files, read_services,
};
use stockade_core::{Escaped, PluginName};
use stockade_detect::{
    Condition, Expected, FieldPlace, Filter, FilterSource, HostNames, JsonFields, LogEncoding,
    PatternError, PatternPlace, RulePlace,
};
use stockade_ingest::any_file;
use stockade_plugins::Role;

/// What of a configuration is known to work, and what is wrong with the rest.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// `jails` are those that can run.
    pub(crate) settings: Settings,
    /// The enabled jails that can run, in the order of the settings.
    pub(crate) jails: Vec<ReadyJail>,
    /// The components of the plugins that are used and sound.
    pub(crate) components: BTreeMap<PluginName, Arc<[u8]>>,
    /// What keeps plugins from being loaded. A jail whose filter one is does not run; one whose action
    /// one is bans without it.
    pub(crate) broken_plugins: Vec<(PluginName, Diagnostic)>,
    /// The enabled jails that cannot run.
    pub(crate) broken: Vec<BrokenJail>,
    /// Everything that is wrong or odd, in the order of the files.
    pub(crate) found: Vec<Diagnostic>,
}

impl Setup {
    /// Whether anything is wrong.
    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(Diagnostic::is_error)
    }
}

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConfigFrom {
    /// Our own: this main file, or the default one.
    Stockade(Option<PathBuf>),
    /// A directory of fail2ban's, translated each time it is read.
    Fail2ban(PathBuf),
}

impl ConfigFrom {
    /// Our own files, or what fail2ban's are translated to.
    pub(crate) fn files(&self) -> ConfigFiles {
        self.translated().files
    }

    fn translated(&self) -> Translated {
        match self {
            Self::Stockade(main) => Translated {
                files: read_files(main.as_deref()),
                ..Translated::default()
            },
            Self::Fail2ban(dir) => {
                let import = import(&Tree::read(dir), &ThisHost);
                Translated {
                    files: import.files("(translated)", read_services()),
                    found: import.report.diagnostics,
                    broken: import.broken,
                    unknown: import.unknown,
                }
            }
        }
    }
}

/// Files, and what was wrong with those that they were translated from.
#[derive(Default)]
struct Translated {
    files: ConfigFiles,
    found: Vec<Diagnostic>,
    broken: Vec<BrokenJail>,
    /// An error concerns no jail in particular.
    unknown: bool,
}

/// A jail whose filter is compiled.
#[derive(Clone, Debug)]
pub(crate) struct ReadyJail {
    pub(crate) settings: JailSettings,
    pub(crate) filter: ReadyFilter,
    pub(crate) zone: TimeZone,
}

/// What recognises the failures of a jail.
#[derive(Clone, Debug)]
pub(crate) enum ReadyFilter {
    Plain(Arc<Filter>),
    Plugin(PluginName),
}

/// Reads and checks everything. What is wrong with one jail leaves the others.
///
/// # Errors
/// All that is wrong, in the order of the files, where something is that concerns all jails.
pub(crate) fn read(from: &ConfigFrom) -> Result<Setup, Vec<Diagnostic>> {
    let translated = from.translated();
    let loaded = load(&ConfigFiles {
        host: Some(Arc::new(ThisHost)),
        ..translated.files
    });
    let result = read_loaded(loaded);
    let mut setup = match result {
        Ok(setup) if translated.unknown => return Err(joined(setup.found, translated.found)),
        Err(found) => return Err(joined(found, translated.found)),
        Ok(setup) => setup,
    };
    setup.found.extend(translated.found);
    setup.broken.extend(translated.broken);
    setup.broken.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(setup)
}

fn joined(mut first: Vec<Diagnostic>, second: Vec<Diagnostic>) -> Vec<Diagnostic> {
    first.extend(second);
    first
}

fn read_loaded(loaded: Loaded) -> Result<Setup, Vec<Diagnostic>> {
    let mut checking = Checking {
        sources: &loaded.sources,
        found: loaded.diagnostics,
        broken_plugins: Vec::new(),
    };
    let Some(mut settings) = loaded.settings else {
        for filter in loaded.filters.values() {
            let _reported = checking.filter(filter, Reads::default());
        }
        return Err(checking.found);
    };
    // What all jails inherit is nobody's fault in particular.
    let usable = checking.zone(&settings.defaults.logtimezone).is_ok()
        & checking.encoding(&settings.defaults).is_ok();
    let Checked { ready, broken } = checking.jails(&settings.jails, &loaded.filters);
    settings.jails = ready.iter().map(|jail| jail.settings.clone()).collect();
    let components = checking.plugins(&settings);
    let Checking {
        mut found,
        broken_plugins,
        ..
    } = checking;
    found.extend(broken_plugins.iter().map(|(_, why)| why.clone()));
    if !usable {
        return Err(found);
    }
    let mut all_broken = std::mem::take(&mut settings.broken);
    all_broken.extend(broken);
    Ok(Setup {
        settings,
        jails: ready,
        components,
        broken_plugins,
        broken: all_broken,
        found,
    })
}

/// Why something cannot be used.
type Why = Box<Diagnostic>;

/// Filters by name and by how they read lines, or why one is faulty.
type CompiledFilters = Vec<(String, Reads, Result<Arc<Filter>, Why>)>;

struct Checking<'a> {
    sources: &'a Sources,
    found: Vec<Diagnostic>,
    broken_plugins: Vec<(PluginName, Diagnostic)>,
}

/// Jails that can run, and those that cannot.
struct Checked {
    ready: Vec<ReadyJail>,
    broken: Vec<BrokenJail>,
}

impl Checking<'_> {
    /// Reports an error once, however many jails have it, and gives it back.
    fn error(
        &mut self,
        at: Origin,
        within: Option<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Why {
        let error = Diagnostic::at(self.sources, at, within, message, hint);
        if !self.found.contains(&error) {
            self.found.push(error.clone());
        }
        Box::new(error)
    }

    fn jails(
        &mut self,
        jails: &[JailSettings],
        filters: &BTreeMap<String, Arc<FilterSettings>>,
    ) -> Checked {
        let mut compiled = CompiledFilters::new();
        let mut checked = Checked {
            ready: Vec::new(),
            broken: Vec::new(),
        };
        for jail in jails {
            match self.jail(jail, &mut compiled) {
                Ok(jail) => checked.ready.push(jail),
                Err(why) => checked.broken.push(BrokenJail {
                    name: jail.name.to_string(),
                    why: *why,
                }),
            }
        }
        // Filters that no jail uses are checked too: who writes one runs `check` first.
        for filter in filters
            .values()
            .filter(|filter| !compiled.iter().any(|(name, ..)| *name == filter.name))
        {
            let _reported = self.filter(filter, Reads::default());
        }
        checked
    }

    /// The jail ready to run, or the first of its errors.
    fn jail(
        &mut self,
        jail: &JailSettings,
        compiled: &mut CompiledFilters,
    ) -> Result<ReadyJail, Why> {
        self.look_for_logs(jail);
        let zone = self.zone(&jail.rules.logtimezone);
        let filter = match &jail.filter {
            FilterChoice::Plugin(name) => Ok(ReadyFilter::Plugin(name.clone())),
            FilterChoice::Plain(filter) => self
                .compiled(&jail.rules, filter, compiled)
                .map(ReadyFilter::Plain),
        };
        Ok(ReadyJail {
            settings: jail.clone(),
            zone: zone?,
            filter: filter?,
        })
    }

    /// Warns of logs that are not there: they may come, but mostly the path is wrong. Of what is built
    /// in, which names the logs of many systems, one is enough.
    fn look_for_logs(&mut self, jail: &JailSettings) {
        let reads_files = match jail.rules.backend {
            LogBackend::File => true,
            LogBackend::Auto => jail.journalmatch.is_empty(),
            LogBackend::Journal | LogBackend::Stdin => false,
        };
        if !reads_files {
            return;
        }
        let (there, missing): (Vec<_>, Vec<_>) =
            jail.logpath.iter().partition(|path| any_file(&path.value));
        for path in missing {
            if there.is_empty() || !self.sources.is_built_in(path.origin.file) {
                let shown = Escaped(path.value.as_bytes());
                let message = format!("no file matches '{shown}'");
                let hint = "the jail waits for one".to_owned();
                self.found.push(Diagnostic::warning_at(
                    self.sources,
                    path.origin,
                    message,
                    Some(hint),
                ));
            }
        }
    }

    /// One filter of several jails is compiled once.
    fn compiled(
        &mut self,
        rules: &JailRules,
        filter: &FilterSettings,
        compiled: &mut CompiledFilters,
    ) -> Result<Arc<Filter>, Why> {
        let reads = self.reads(rules, filter)?;
        let mut known = compiled.iter();
        if let Some((_, _, known)) =
            known.find(|(name, own, _)| *name == filter.name && *own == reads)
        {
            return known.clone();
        }
        let new = self.filter(filter, reads);
        compiled.push((filter.name.clone(), reads, new.clone()));
        new
    }

    /// How the lines of a jail with these rules are read by `filter`.
    fn reads(&mut self, rules: &JailRules, filter: &FilterSettings) -> Result<Reads, Why> {
        if filter.dialect == Dialect::Native {
            return Ok(Reads::default());
        }
        Ok(Reads {
            host_names: match rules.usedns {
                UseDns::No => HostNames::Refuse,
                UseDns::Yes | UseDns::Warn => HostNames::Resolve,
                UseDns::Raw => HostNames::Raw,
            },
            encoding: self.encoding(rules)?,
        })
    }

    fn encoding(&mut self, rules: &JailRules) -> Result<LogEncoding, Why> {
        let Some(name) = &rules.logencoding else {
            return Ok(LogEncoding::default());
        };
        LogEncoding::named(&name.value)
            .map_err(|error| self.error(name.origin, None, format!("'logencoding': {error}"), None))
    }

    fn filter(&mut self, filter: &FilterSettings, reads: Reads) -> Result<Arc<Filter>, Why> {
        let errors = match compile(filter, reads) {
            Ok(compiled) => return Ok(Arc::new(compiled)),
            Err(errors) => errors,
        };
        let mut told = errors.into_iter().filter_map(|error| {
            let at = place(filter, error.which)?;
            Some(self.error(at, error.offset, error.message, error.hint))
        });
        let first = told.next();
        // Every error is to be told, not only the first.
        told.for_each(drop);
        match first {
            Some(first) => Err(first),
            // Only a filter without any pattern has no place, and reading it has told that.
            None => Err(Box::new(Diagnostic::of_file(
                Severity::Error,
                &format!("filters/{}.toml", filter.name),
                "it has no pattern".to_owned(),
            ))),
        }
    }

    fn zone(&mut self, zone: &LogZone) -> Result<TimeZone, Why> {
        match zone {
            LogZone::Local => Ok(TimeZone::system()),
            LogZone::Utc => Ok(TimeZone::UTC),
            // Reading has bounded it to what an offset can be.
            LogZone::Offset(seconds) => {
                Ok(Offset::from_seconds(*seconds).map_or(TimeZone::UTC, TimeZone::fixed))
            }
            LogZone::Named(name) => TimeZone::get(&name.value).map_err(|error| {
                let hint =
                    "zones are named as in /usr/share/zoneinfo, such as Europe/Berlin".to_owned();
                self.error(name.origin, None, error.to_string(), Some(hint))
            }),
        }
    }

    /// Looks at the plugins that are used; the others may be missing.
    fn plugins(&mut self, settings: &Settings) -> BTreeMap<PluginName, Arc<[u8]>> {
        let mut used: BTreeMap<&PluginName, Role> = BTreeMap::new();
        for jail in &settings.jails {
            if let FilterChoice::Plugin(name) = &jail.filter {
                used.insert(name, Role::Filter);
            }
            used.extend(jail.rules.actions.iter().map(|name| (name, Role::Action)));
        }
        let mut components = BTreeMap::new();
        for (name, role) in used {
            let Some(plugin) = settings.plugins.get(name) else {
                continue;
            };
            if let Some(component) = self.plugin(name, plugin, role) {
                components.insert(name.clone(), component);
            }
        }
        components
    }

    fn plugin(
        &mut self,
        name: &PluginName,
        plugin: &PluginSettings,
        role: Role,
    ) -> Option<Arc<[u8]>> {
        match component::read(name, plugin, role) {
            Ok(bytes) => Some(bytes),
            Err(problems) => {
                for (message, hint) in problems {
                    let why = Diagnostic::at(self.sources, plugin.origin, None, message, hint);
                    self.broken_plugins.push((name.clone(), why));
                }
                None
            }
        }
    }
}

/// How a filter reads lines where its jail decides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    host_names: HostNames,
    encoding: LogEncoding,
}

/// Compiles the patterns of a filter.
pub(crate) fn compile(filter: &FilterSettings, reads: Reads) -> Result<Filter, Vec<PatternError>> {
    let text = |located: &stockade_config::Located<String>| located.value.clone();
    Filter::compile(&FilterSource {
        prefregex: filter.prefregex.as_ref().map(text),
        failregex: filter.failregex.iter().map(text).collect(),
        ignoreregex: filter.ignoreregex.iter().map(text).collect(),
        datepattern: match &filter.datepattern {
            DatePattern::Default => stockade_detect::DatePattern::Default,
            DatePattern::None => stockade_detect::DatePattern::None,
            DatePattern::Patterns(patterns) => {
                stockade_detect::DatePattern::Templates(patterns.iter().map(text).collect())
            }
        },
        dialect: match filter.dialect {
            Dialect::Native => stockade_detect::Dialect::Native,
            Dialect::Fail2ban => stockade_detect::Dialect::Fail2ban,
        },
        maxlines: filter.maxlines,
        host_names: reads.host_names,
        encoding: reads.encoding,
        json: filter.json.as_ref().map(fields),
    })
}

/// What the fields of a filter of JSON entries mean.
fn fields(json: &JsonSettings) -> JsonFields {
    let text = |located: &stockade_config::Located<String>| located.value.clone();
    let rules = |rules: &[FieldRule]| {
        let rules = rules.iter().map(|rule| {
            let conditions = rule.conditions.iter().map(|condition| Condition {
                field: text(&condition.field),
                any: condition.any.iter().map(|v| expected(&v.value)).collect(),
            });
            conditions.collect()
        });
        rules.collect()
    };
    JsonFields {
        id: json.id.iter().map(text).collect(),
        user: json.user.as_ref().map(text),
        time: json.time.as_ref().map(text),
        failure: rules(&json.failure),
        ignore: rules(&json.ignore),
    }
}

fn expected(value: &FieldValue) -> Expected {
    match value {
        FieldValue::Text(text) => Expected::Text(text.clone()),
        FieldValue::Number(number) => Expected::Number(*number),
        FieldValue::Between(from, to) => Expected::Between(*from, *to),
        FieldValue::Boolean(value) => Expected::Boolean(*value),
        FieldValue::Pattern(text) => Expected::Pattern(text.clone()),
    }
}

/// Where a part of a filter of JSON entries is written.
fn field_place(json: &JsonSettings, which: FieldPlace) -> Option<Origin> {
    let rule = |rules: &[FieldRule], place: RulePlace| {
        let rule = rules.get(place.entry)?;
        let condition = place.condition.and_then(|i| rule.conditions.get(i));
        let value = place
            .value
            .and_then(|i| Some(condition?.any.get(i)?.origin));
        Some(value.unwrap_or_else(|| condition.map_or(rule.origin, |c| c.field.origin)))
    };
    match which {
        FieldPlace::Id(i) => json.id.get(i).map(|id| id.origin),
        FieldPlace::User => json.user.as_ref().map(|user| user.origin),
        FieldPlace::Time => json.time.as_ref().map(|time| time.origin),
        FieldPlace::Failure(place) => rule(&json.failure, place),
        FieldPlace::Ignore(place) => rule(&json.ignore, place),
    }
}

/// Where the pattern is written that an error is about.
pub(crate) fn place(filter: &FilterSettings, which: PatternPlace) -> Option<Origin> {
    if let PatternPlace::Field(field) = which {
        let json = filter.json.as_ref()?;
        let all = || json.failure.first().map(|rule| rule.origin);
        return field_place(json, field).or_else(all);
    }
    let located = match which {
        PatternPlace::Prefregex => filter.prefregex.as_ref(),
        PatternPlace::Failregex(i) => filter.failregex.get(i),
        PatternPlace::Ignoreregex(i) => filter.ignoreregex.get(i),
        PatternPlace::Datepattern(i) => match &filter.datepattern {
            DatePattern::Patterns(patterns) => patterns.get(i),
            DatePattern::Default | DatePattern::None => None,
        },
        PatternPlace::Field(_) | PatternPlace::PlanLiteral(_) | PatternPlace::PlanPattern(_) => {
            None
        }
    };
    // A filter always has a failregex; its place stands for the whole where a pattern has none.
    located
        .or_else(|| filter.failregex.first())
        .map(|text| text.origin)
}
