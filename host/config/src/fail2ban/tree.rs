//! A directory of fail2ban's configuration.

use std::collections::BTreeSet;

use super::definition::{Definition, Named};
use super::fault::Fault;
use super::filter::{self, FILTER_OPTIONS, ResolvedFilter};
use super::globals::{self, GlobalOptions};
use super::includes::{Files, Order, includes_of, local_of, without_dots};
use super::ini::{self, IniFault, IniFile};
use super::jail::{JailReader, ResolvedJail};
use super::merged::{Merged, Options};
use super::options;
use super::values::Faults;
use super::written::Written;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, quoted};
use crate::load::{ConfigFile, ReadProblem};
use crate::settings::BrokenJail;
use crate::source::{FileIndex, Origin, Sources};
use crate::suggest;
use crate::tree::FILE_BYTES_MAX;

/// What `%(fail2ban_version)s` is: the release whose configuration is understood.
const FAIL2BAN_VERSION: &str = "1.1.0";

/// All files of a fail2ban configuration, read and taken apart, but not yet resolved.
///
/// Nothing in it is wrong as a whole: a file that cannot be read is an error of the filters and jails
/// that need it.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The directory as it was given.
    dir: String,
    sources: Sources,
    files: Files,
    /// Names of the actions that are programs in Python.
    python_actions: BTreeSet<String>,
    /// What could not be read and is needed by nobody in particular.
    problems: Vec<Diagnostic>,
    version: String,
    /// Names of options that some value of the jails names.
    named_in_jails: BTreeSet<String>,
}

/// Which jails are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those that are switched on.
    Enabled,
    /// All, as if they were.
    All,
}

/// The jails of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Jails {
    /// Those that can be used, in the order of the files.
    pub jails: Vec<ResolvedJail>,
    /// Those that were asked for and cannot be used.
    pub broken: Vec<BrokenJail>,
    /// Names of those that were not asked for.
    pub disabled: Vec<String>,
    /// Everything that is wrong or odd, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// An error concerns no jail in particular, so that nobody knows which jails there would be.
    pub unknown: bool,
}

impl Tree {
    /// Takes files apart. Their paths begin with `dir`, or are what they include elsewhere; of those
    /// in Python only the name counts. `problems` are what could not be read.
    #[must_use]
    pub fn from_files(dir: &str, files: Vec<ConfigFile>, problems: Vec<ReadProblem>) -> Self {
        let dir = match without_dots(dir) {
            empty if empty.is_empty() => ".".to_owned(),
            dir => dir,
        };
        let mut tree = Self {
            dir,
            sources: Sources::default(),
            files: Files::new(),
            python_actions: BTreeSet::new(),
            problems: Vec::new(),
            version: FAIL2BAN_VERSION.to_owned(),
            named_in_jails: BTreeSet::new(),
        };
        tree.add(files, problems);
        tree
    }

    /// Adds more files, as [`Tree::from_files`] does.
    pub(crate) fn add(&mut self, files: Vec<ConfigFile>, problems: Vec<ReadProblem>) {
        for file in files {
            let path = without_dots(&file.path);
            if path.ends_with(super::action::PYTHON) {
                let folder = self.path("action.d/");
                let name = path.strip_prefix(&folder).map(str::to_owned);
                self.python_actions.extend(name);
            } else {
                let parsed = self.parse(&path, file.bytes);
                self.files.insert(path, parsed);
            }
        }
        for problem in problems {
            self.add_problem(problem);
        }
        self.named_in_jails = self
            .merged("jail")
            .map_or_else(BTreeSet::new, |(merged, _)| merged.referenced());
    }

    /// A file that cannot be read is one with a fault, so that it breaks what needs it.
    fn add_problem(&mut self, problem: ReadProblem) {
        let path = without_dots(&problem.path);
        let is_file = path.ends_with(".conf") || path.ends_with(".local");
        if problem.severity == Severity::Error && is_file {
            let index = self.sources.add(path.clone(), String::new());
            let parsed = unreadable(index, 0, problem.message);
            self.files.insert(path, (index, parsed));
        } else {
            let diagnostic = Diagnostic::of_file(problem.severity, &path, problem.message);
            self.problems.push(diagnostic);
        }
    }

    fn parse(&mut self, path: &str, bytes: Vec<u8>) -> (FileIndex, IniFile) {
        if bytes.len() > FILE_BYTES_MAX {
            let index = self.sources.add(path.to_owned(), String::new());
            let message = format!("the file is larger than {} KiB", FILE_BYTES_MAX >> 10);
            return (index, unreadable(index, 0, message));
        }
        match String::from_utf8(bytes) {
            Ok(text) => {
                // Editors of other systems begin a file with a mark that is not a part of it.
                let text = text
                    .strip_prefix('\u{feff}')
                    .map_or(text.clone(), str::to_owned);
                let index = self.sources.add(path.to_owned(), text);
                (index, ini::parse(&self.sources, index))
            }
            Err(error) => {
                let start = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let index = self.sources.add(path.to_owned(), text);
                (
                    index,
                    unreadable(index, start, "this is not UTF-8".to_owned()),
                )
            }
        }
    }

    /// Says that `%(fail2ban_version)s` is `version`.
    #[must_use]
    pub fn with_version(self, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            ..self
        }
    }

    /// The texts that origins point into.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &str {
        &self.dir
    }

    /// The names of the filters, those of files that only others include among them.
    pub fn filter_names(&self) -> impl Iterator<Item = &str> {
        self.names_in(self.path("filter.d/"))
    }

    /// The names of the actions, with `.py` for those in Python.
    pub fn action_names(&self) -> impl Iterator<Item = &str> {
        let python = self.python_actions.iter().map(String::as_str);
        self.names_in(self.path("action.d/")).chain(python)
    }

    /// The paths of the files that were read.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Paths that files include, and the local ones beside these, that were not read.
    pub(crate) fn unread(&self) -> BTreeSet<String> {
        let includes = self
            .files
            .iter()
            .filter_map(|(path, (_, file))| includes_of(path, file).ok());
        let paths = includes.flatten().map(|include| include.path);
        let mut unread = BTreeSet::new();
        for path in paths {
            unread.insert(local_of(&path));
            unread.insert(path);
        }
        unread.retain(|path| !self.files.contains_key(path));
        unread
    }

    /// Resolves a filter by itself, with the options that a jail would give it in brackets. Unless
    /// they say otherwise, `logtype` is `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it, warnings included.
    pub fn filter(
        &self,
        name: &str,
        options: &[(String, String)],
    ) -> Result<ResolvedFilter, Vec<Diagnostic>> {
        let mut faults = Faults::default();
        let filter = self.resolve_filter(name, options, &mut faults);
        let failed = faults.failed();
        let mut diagnostics = self.diagnostics(faults.list, Vec::new());
        match filter {
            Some(mut filter) if !failed => {
                filter.warnings = diagnostics;
                Ok(filter)
            }
            None if diagnostics.is_empty() => {
                let message = format!("there is no filter {}", quoted(name));
                let mut missing = Diagnostic::of_file(Severity::Error, &self.dir, message);
                missing.hint = suggest::hint(name, self.filter_names());
                diagnostics.push(missing);
                Err(diagnostics)
            }
            _ => Err(diagnostics),
        }
    }

    fn resolve_filter(
        &self,
        name: &str,
        options: &[(String, String)],
        faults: &mut Faults,
    ) -> Option<ResolvedFilter> {
        let file = self.filter_file(name, faults)?;
        let given = options.iter();
        let arguments: Named = given
            .map(|(name, value)| (name.clone(), Written::new(value.clone(), Origin::NOWHERE)))
            .collect();
        let mut definition = Definition::new(&file, FILTER_OPTIONS, arguments);
        definition.set_logtype(filter::logtype(""));
        let none = Options::new();
        let read = definition.read(&none, false);
        faults.take(read)?;
        let own = faults.take(definition.combined(&[]))?;
        let resolved = filter::assemble(name, own, &none, faults);
        filter::check(&resolved, &definition, Origin::NOWHERE, faults);
        Some(resolved)
    }

    /// Resolves jails. A broken one is named, and the others can be used.
    #[must_use]
    pub fn jails(&self, selection: Selection) -> Jails {
        let mut jails = Jails::default();
        let Some((mut merged, mut faults)) = self.merged("jail") else {
            let message = "there is neither jail.conf nor jail.local here".to_owned();
            let missing = Diagnostic::of_file(Severity::Error, &self.dir, message);
            jails.diagnostics = self.problems.iter().cloned().chain([missing]).collect();
            jails.unknown = true;
            return jails;
        };
        merged.define("fail2ban_version", &self.version);
        merged.define("fail2ban_confpath", &self.dir);
        self.check_defaults(&merged, &mut faults);
        jails.unknown = faults.failed() || self.problems.iter().any(Diagnostic::is_error);
        let mut found = faults.list;
        for name in merged.section_names() {
            let mut reader = JailReader::new(self, &merged, name);
            if selection == Selection::Enabled && !reader.is_enabled() {
                jails.disabled.push(name.to_owned());
                continue;
            }
            reader.faults = Faults::default();
            let jail = reader.read();
            let mut faults = reader.faults.list.iter();
            match faults.find(|fault| fault.severity == Severity::Error) {
                Some(fault) => jails.broken.push(BrokenJail {
                    name: name.to_owned(),
                    why: fault.clone().diagnostic(&self.sources),
                }),
                None => jails.jails.push(jail),
            }
            found.extend(reader.faults.list);
        }
        jails.diagnostics = self.diagnostics(found, self.problems.clone());
        jails
    }

    /// What a jail would be that says nothing itself, as far as it can be said: `[DEFAULT]`. What is wrong
    /// with it is wrong with each jail.
    pub(crate) fn defaults(&self) -> Option<ResolvedJail> {
        let (mut merged, _) = self.merged("jail")?;
        merged.define("fail2ban_version", &self.version);
        merged.define("fail2ban_confpath", &self.dir);
        Some(JailReader::new(self, &merged, ini::DEFAULT).read())
    }

    /// Reads `fail2ban.conf`, and what is wrong or odd in it.
    #[must_use]
    pub fn globals(&self) -> (GlobalOptions, Vec<Diagnostic>) {
        let Some((merged, mut faults)) = self.merged("fail2ban") else {
            return (GlobalOptions::default(), Vec::new());
        };
        let globals = globals::read(&merged, &mut faults);
        (globals, self.diagnostics(faults.list, Vec::new()))
    }

    /// The files of a filter, laid over each other.
    pub(crate) fn filter_file(&self, name: &str, faults: &mut Faults) -> Option<Merged> {
        self.definition_file("filter.d", name, faults)
    }

    /// The files of an action, laid over each other.
    pub(crate) fn action_file(&self, name: &str, faults: &mut Faults) -> Option<Merged> {
        self.definition_file("action.d", name, faults)
    }

    /// Whether there is an action in Python of that name.
    pub(crate) fn has_python_action(&self, name: &str) -> bool {
        self.python_actions.contains(name)
    }

    /// Whether some value of the jails names `option`.
    pub(crate) fn jail_names_it(&self, option: &str) -> bool {
        self.named_in_jails.contains(option)
    }

    fn definition_file(&self, folder: &str, name: &str, faults: &mut Faults) -> Option<Merged> {
        let (merged, found) = self.merged(&format!("{folder}/{name}"))?;
        faults.list.extend(found.list);
        faults.list.extend(merged.faults(|_| true).cloned());
        Some(merged)
    }

    /// The files of the configuration `stem` laid over each other, and what is wrong with their
    /// includes; `None` where there is no file.
    fn merged(&self, stem: &str) -> Option<(Merged, Faults)> {
        let order = Order::of(&self.files, &self.path(stem));
        let mut merged = Merged::default();
        for file in &order.found {
            merged.lay_over(file);
        }
        let faults = Faults { list: order.faults };
        (!order.found.is_empty()).then_some((merged, faults))
    }

    /// Warns of options for all jails that look like a known one mistyped. Others are there to be
    /// named, by files that nobody has written yet.
    fn check_defaults(&self, merged: &Merged, faults: &mut Faults) {
        for option in merged.defaults().keys() {
            let known = options::names().any(|known| known == option);
            // Stock files keep ready-made lists of actions, `action_mw`, for operators to name.
            if known || self.jail_names_it(option) || option.starts_with("action_") {
                continue;
            }
            if let Some(place) = merged.key_origin(ini::DEFAULT, option)
                && let Some(hint) = suggest::hint(option, options::names())
            {
                let message = format!("unknown option {}, which nothing names", quoted(option));
                faults.push(Fault::warning(place, message).hint(hint));
            }
        }
    }

    fn path(&self, name: &str) -> String {
        match self.dir.as_str() {
            "/" => format!("/{name}"),
            "." => name.to_owned(),
            dir => format!("{dir}/{name}"),
        }
    }

    fn names_in(&self, folder: String) -> impl Iterator<Item = &str> {
        self.files.keys().filter_map(move |path| {
            let name = path.strip_prefix(&folder)?;
            (!name.contains('/')).then_some(name)?.strip_suffix(".conf")
        })
    }

    /// Everything in the order of the files, each thing once: many jails share a filter.
    fn diagnostics(&self, faults: Vec<Fault>, others: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut all = Diagnostics::default();
        for other in others {
            all.push(None, other);
        }
        let mut seen: BTreeSet<(Origin, String)> = BTreeSet::new();
        for fault in faults {
            let origin = fault.origin;
            if seen.insert((origin, fault.message.clone())) && all.has_room(fault.severity) {
                all.push(Some(origin), fault.diagnostic(&self.sources));
            }
        }
        all.into_sorted()
    }
}

/// A file of which nothing can be used.
fn unreadable(file: FileIndex, start: usize, message: String) -> IniFile {
    let origin = Origin {
        file,
        start,
        end: start,
    };
    IniFile {
        sections: Vec::new(),
        faults: vec![IniFault {
            section: None,
            fault: Fault::error(origin, message),
        }],
    }
}
