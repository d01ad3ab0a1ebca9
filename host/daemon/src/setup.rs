//! From checked settings to parts that can run: patterns compiled, plugins looked at, zones found.
//!
//! `check`, `run` and `reload` all come through here, so that what `check` accepts is what runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::presence::ThisHost;
use jiff::tz::{Offset, TimeZone};
use stockade_config::fail2ban::{Tree, import};
use stockade_config::{
    ConfigFiles, DatePattern, Diagnostic, Dialect, FieldRule, FieldValue, FilterChoice,
    FilterSettings, JailRules, JailSettings, JsonSettings, Loaded, LogZone, Origin, PluginSettings,
    Settings, Sources, UseDns, load, read_files, read_services,
};
use stockade_core::PluginName;
use stockade_detect::{
    Condition, Expected, FieldPlace, Filter, FilterSource, HostNames, JsonFields, LogEncoding,
    PatternError, PatternPlace, RulePlace,
};
use stockade_plugins::{Capability, Inspection, Role, inspect};

/// A configuration of which every part is known to work.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    /// The enabled jails, in the order of the settings.
    pub(crate) jails: Vec<ReadyJail>,
    /// The components of the plugins that are used and sound.
    pub(crate) components: BTreeMap<PluginName, Arc<[u8]>>,
    /// What keeps plugins from being used. `check` and `reload` refuse them; a start goes on with the
    /// jails that do not need them, since protection of the others must not depend on a file of a
    /// stranger.
    pub(crate) broken: Vec<(PluginName, Diagnostic)>,
    pub(crate) warnings: Vec<Diagnostic>,
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
    /// The files, and what is wrong or odd in those of fail2ban: a jail of theirs that is broken is
    /// left out, and the others run.
    pub(crate) fn files(&self) -> (ConfigFiles, Vec<Diagnostic>) {
        match self {
            Self::Stockade(main) => (read_files(main.as_deref()), Vec::new()),
            Self::Fail2ban(dir) => {
                let import = import(&Tree::read(dir), &ThisHost);
                let files = import.files("(translated)", read_services());
                (files, import.report.diagnostics)
            }
        }
    }
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

/// Reads and checks everything.
///
/// # Errors
/// All that is wrong, in the order of the files.
pub(crate) fn read(from: &ConfigFrom) -> Result<Setup, Vec<Diagnostic>> {
    let (files, told) = from.files();
    let mut setup = read_loaded(load(&ConfigFiles {
        host: Some(Arc::new(ThisHost)),
        ..files
    }))?;
    setup.warnings.extend(told);
    Ok(setup)
}

fn read_loaded(loaded: Loaded) -> Result<Setup, Vec<Diagnostic>> {
    let mut checking = Checking {
        sources: &loaded.sources,
        found: loaded.diagnostics,
        broken: Vec::new(),
    };
    let Some(settings) = loaded.settings else {
        for filter in loaded.filters.values() {
            checking.filter(filter, Reads::default());
        }
        return Err(checking.found);
    };
    let jails = checking.jails(&settings);
    let components = checking.plugins(&settings);
    let Checking {
        found: mut warnings,
        broken,
        ..
    } = checking;
    if warnings.iter().any(Diagnostic::is_error) {
        warnings.extend(broken.into_iter().map(|(_, why)| why));
        return Err(warnings);
    }
    Ok(Setup {
        settings,
        jails,
        components,
        broken,
        warnings,
    })
}

/// Filters by name and by how they read lines; `None` where one is faulty.
type CompiledFilters = Vec<(String, Reads, Option<Arc<Filter>>)>;

struct Checking<'a> {
    sources: &'a Sources,
    found: Vec<Diagnostic>,
    broken: Vec<(PluginName, Diagnostic)>,
}

impl Checking<'_> {
    fn error(
        &mut self,
        at: Origin,
        within: Option<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.found
            .push(Diagnostic::at(self.sources, at, within, message, hint));
    }

    fn jails(&mut self, settings: &Settings) -> Vec<ReadyJail> {
        // One filter of several jails is compiled once, and reported once.
        let mut compiled = CompiledFilters::new();
        let mut jails = Vec::new();
        for jail in &settings.jails {
            let filter = match &jail.filter {
                FilterChoice::Plugin(name) => Some(ReadyFilter::Plugin(name.clone())),
                FilterChoice::Plain(filter) => {
                    let reads = self.reads(&jail.rules, filter);
                    let known = compiled
                        .iter()
                        .find(|(name, own, _)| *name == filter.name && *own == reads);
                    let known = known.map(|(_, _, known)| known.clone());
                    let filter = known.unwrap_or_else(|| {
                        let new = self.filter(filter, reads);
                        compiled.push((filter.name.clone(), reads, new.clone()));
                        new
                    });
                    filter.map(ReadyFilter::Plain)
                }
            };
            let zone = self.zone(&jail.rules.logtimezone);
            if let (Some(filter), Some(zone)) = (filter, zone) {
                jails.push(ReadyJail {
                    settings: jail.clone(),
                    filter,
                    zone,
                });
            }
        }
        // Filters that no jail uses are checked too: who writes one runs `check` first.
        for filter in settings
            .filters
            .values()
            .filter(|filter| !compiled.iter().any(|(name, ..)| *name == filter.name))
        {
            self.filter(filter, Reads::default());
        }
        jails
    }

    /// How the lines of a jail with these rules are read by `filter`.
    fn reads(&mut self, rules: &JailRules, filter: &FilterSettings) -> Reads {
        if filter.dialect == Dialect::Native {
            return Reads::default();
        }
        let encoding = rules.logencoding.as_ref().map(|name| {
            LogEncoding::named(&name.value).unwrap_or_else(|error| {
                self.error(name.origin, None, format!("'logencoding': {error}"), None);
                LogEncoding::Auto
            })
        });
        Reads {
            host_names: match rules.usedns {
                UseDns::No => HostNames::Refuse,
                UseDns::Yes | UseDns::Warn => HostNames::Resolve,
                UseDns::Raw => HostNames::Raw,
            },
            encoding: encoding.unwrap_or_default(),
        }
    }

    fn filter(&mut self, filter: &FilterSettings, reads: Reads) -> Option<Arc<Filter>> {
        match compile(filter, reads) {
            Ok(compiled) => Some(Arc::new(compiled)),
            Err(errors) => {
                for error in errors {
                    let at = place(filter, error.which);
                    if let Some(at) = at {
                        self.error(at, error.offset, error.message, error.hint);
                    }
                }
                None
            }
        }
    }

    fn zone(&mut self, zone: &LogZone) -> Option<TimeZone> {
        match zone {
            LogZone::Local => Some(TimeZone::system()),
            LogZone::Utc => Some(TimeZone::UTC),
            LogZone::Offset(seconds) => Offset::from_seconds(*seconds).ok().map(TimeZone::fixed),
            LogZone::Named(name) => match TimeZone::get(&name.value) {
                Ok(zone) => Some(zone),
                Err(error) => {
                    let hint = "zones are named as in /usr/share/zoneinfo, such as Europe/Berlin"
                        .to_owned();
                    self.error(name.origin, None, error.to_string(), Some(hint));
                    None
                }
            },
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
        match component(name, plugin, role) {
            Ok(bytes) => Some(bytes),
            Err(problems) => {
                for (message, hint) in problems {
                    let why = Diagnostic::at(self.sources, plugin.origin, None, message, hint);
                    self.broken.push((name.clone(), why));
                }
                None
            }
        }
    }
}

/// A message and, where there is one, a hint.
type Problem = (String, Option<String>);

fn component(
    name: &PluginName,
    plugin: &PluginSettings,
    role: Role,
) -> Result<Arc<[u8]>, Vec<Problem>> {
    let path = plugin.path.display();
    let bytes = std::fs::read(&plugin.path).map_err(|error| {
        vec![(
            format!("cannot read plugin '{name}' at '{path}': {error}"),
            None,
        )]
    })?;
    let inspection = inspect(&bytes)
        .map_err(|error| vec![(format!("plugin '{name}' at '{path}': {error}"), None)])?;
    let problems = problems(name, plugin, role, &inspection);
    if problems.is_empty() {
        Ok(bytes.into())
    } else {
        Err(problems)
    }
}

/// What keeps a component from being used as this plugin, each with what to do about it.
fn problems(
    name: &PluginName,
    plugin: &PluginSettings,
    role: Role,
    inspection: &Inspection,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !inspection.roles.contains(&role) {
        let exports = inspection.exports.join(", ");
        let message = format!(
            "plugin '{name}' is used as {}, but exports {exports}",
            a(role)
        );
        problems.push((
            message,
            Some(format!("{} exports {}", a(role), role.interface())),
        ));
    }
    for unknown in &inspection.unknown {
        problems.push((
            format!("plugin '{name}' wants '{unknown}', which stockade does not have"),
            None,
        ));
    }
    for wanted in inspection
        .wants
        .iter()
        .filter(|wanted| !is_granted(plugin, **wanted))
    {
        let message = format!(
            "plugin '{name}' wants {}, which is not granted",
            wanted.interface()
        );
        let hint = format!(
            "if you trust it with that, write `{}` under [plugins.{name}.grant]",
            wanted.grant()
        );
        problems.push((message, Some(hint)));
    }
    problems
}

fn a(role: Role) -> &'static str {
    match role {
        Role::Filter => "a filter",
        Role::Action => "an action",
    }
}

fn is_granted(plugin: &PluginSettings, wanted: Capability) -> bool {
    match wanted {
        Capability::Log => plugin.grant.log,
        Capability::Clock => plugin.grant.clock,
        Capability::Kv => plugin.grant.kv,
        Capability::Http => !plugin.grant.http.is_empty(),
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
