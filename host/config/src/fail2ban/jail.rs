//! A section of `jail.conf` with its filter and its actions.

use std::collections::BTreeSet;

use super::action::{self, ResolvedAction};
use super::arguments::{Call, parse_call, parse_calls};
use super::definition::Definition;
use super::fault::Fault;
use super::filter::{self, FILTER_OPTIONS, ResolvedFilter};
use super::interpolate::Scope;
use super::merged::{Merged, Options};
use super::options::{self, CUSTOMARY, JailOptions};
use super::tree::Tree;
use super::values::{self, Faults};
use super::written::Written;
use crate::diagnostic::quoted;
use crate::source::Origin;
use crate::suggest;

/// A jail with all its options, its filter and its actions.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedJail {
    /// Its name, that of its section.
    pub name: String,
    /// Where the section was opened last.
    pub origin: Origin,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Its options with their types.
    pub options: JailOptions,
    /// Its options as text, by name: what `fail2ban-client -d` shows.
    pub written: Options,
    /// What its own section says beside these: `port`, `mode` and others that options name. One that
    /// cannot be resolved is left out, since nothing may ever name it.
    pub others: Options,
    /// What makes a line a failure; `None` where `filter` is empty.
    pub filter: Option<ResolvedFilter>,
    /// What is run for a ban.
    pub actions: Vec<ResolvedAction>,
}

/// The options that must be known before the filter is read.
const FIRST: &[&str] = &["enabled", "backend", "filter"];

/// What a jail is read from.
pub(crate) struct JailReader<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) merged: &'t Merged,
    pub(crate) name: &'t str,
    pub(crate) faults: Faults,
    /// What the filter says alone, for `%(known/option)s`.
    known: Options,
}

impl<'t> JailReader<'t> {
    pub(crate) fn new(tree: &'t Tree, merged: &'t Merged, name: &'t str) -> Self {
        Self {
            tree,
            merged,
            name,
            faults: Faults::default(),
            known: Options::new(),
        }
    }

    /// Whether the jail is switched on.
    pub(crate) fn is_enabled(&mut self) -> bool {
        let value = self.option("enabled");
        value.is_some_and(|value| values::boolean(&value, "enabled", &mut self.faults))
    }

    /// Reads all of it. What is wrong stands in `faults`; with an error among them the jail is not to
    /// be used.
    pub(crate) fn read(&mut self) -> ResolvedJail {
        let name = self.name;
        let faults = self.merged.faults(|section| section == name);
        self.faults.list.extend(faults.cloned());
        let enabled = self.is_enabled();
        let first = self.options(FIRST);
        let named = self.named_filter(&first);
        let file = named.as_ref().and_then(|call| self.filter_file(call));
        let mut definition = match (&named, &file) {
            (Some(call), Some(file)) => self.filter_alone(call, file, &first),
            _ => None,
        };
        let all: Vec<_> = options::names().collect();
        let written = self.options(&all);
        let outside = options::seen_from_outside(&written, &all);
        let filter = match (&named, &mut definition) {
            (Some(call), Some(definition)) => self.filter(call, definition, &outside, &written),
            _ => None,
        };
        let actions = self.actions(&written, &outside);
        let usedns = filter.as_ref().and_then(|filter| filter.usedns.as_ref());
        let usedns = usedns.or_else(|| written.get("usedns"));
        let options = options::read(&written, usedns, &mut self.faults);
        self.check_unknown();
        let others = self.others(&written);
        ResolvedJail {
            name: self.name.to_owned(),
            origin: self.origin(),
            enabled,
            options,
            written,
            others,
            filter,
            actions,
        }
    }

    fn origin(&self) -> Origin {
        let origin = self.merged.section_origin(self.name);
        origin.unwrap_or(Origin::NOWHERE)
    }

    fn option(&mut self, option: &str) -> Option<Written> {
        let scope = Scope {
            merged: self.merged,
            section: self.name,
            given: &Options::new(),
            over: &self.known,
        };
        let value = scope.get(option);
        self.faults.take(value).flatten()
    }

    fn options(&mut self, names: &[&str]) -> Options {
        let mut options = Options::new();
        for name in names {
            let value = self.option(name);
            options.extend(value.map(|value| ((*name).to_owned(), value)));
        }
        options
    }

    fn named_filter(&mut self, first: &Options) -> Option<Call> {
        let value = first.get("filter");
        let Some(value) = value.filter(|value| !value.as_str().trim().is_empty()) else {
            let message = format!("jail {} has no filter", quoted(self.name));
            self.faults.push(Fault::warning(self.origin(), message));
            return None;
        };
        let call = self.faults.take(parse_call(value))?;
        self.faults.list.extend(call.warnings.iter().cloned());
        Some(call)
    }

    fn filter_file(&mut self, call: &Call) -> Option<Merged> {
        let name = call.name.as_str();
        let Some(file) = self.tree.filter_file(name, &mut self.faults) else {
            let message = format!("there is no filter {}", quoted(name));
            let mut fault = Fault::error(call.name.origin(), message);
            fault.hint = suggest::hint(name, self.tree.filter_names());
            self.faults.push(fault);
            return None;
        };
        Some(file)
    }

    /// Reads the filter without the jail, and keeps what it says.
    fn filter_alone<'f>(
        &mut self,
        call: &Call,
        file: &'f Merged,
        first: &Options,
    ) -> Option<Definition<'f>> {
        let mut definition = Definition::new(file, FILTER_OPTIONS, call.arguments.clone());
        let backend = first.get("backend").map_or("", Written::as_str);
        definition.set_logtype(filter::logtype(backend));
        let outside = options::seen_from_outside(first, FIRST);
        let read = definition.read(&outside, true);
        self.faults.take(read)?;
        let combined = self.faults.take(definition.combined(&[]))?;
        let known = combined.into_iter();
        let known = known.filter(|(name, _)| !name.starts_with("known/"));
        self.known = known
            .map(|(name, value)| (format!("known/{name}"), value))
            .collect();
        Some(definition)
    }

    fn filter(
        &mut self,
        call: &Call,
        definition: &mut Definition<'_>,
        outside: &Options,
        written: &Options,
    ) -> Option<ResolvedFilter> {
        let read = definition.read(outside, false);
        self.faults.take(read)?;
        let own = self.faults.take(definition.combined(&[]))?;
        let filter = filter::assemble(call.name.as_str(), own, written, &mut self.faults);
        filter::check(&filter, definition, call.name.origin(), &mut self.faults);
        Some(filter)
    }

    fn actions(&mut self, written: &Options, outside: &Options) -> Vec<ResolvedAction> {
        let Some(value) = written.get("action") else {
            return Vec::new();
        };
        let calls = self.faults.take(parse_calls(value)).unwrap_or_default();
        let mut actions: Vec<ResolvedAction> = Vec::new();
        for call in &calls {
            self.faults.list.extend(call.warnings.iter().cloned());
            let Some(action) = self.action(call, outside) else {
                continue;
            };
            if actions.iter().any(|other| other.name == action.name) {
                let message = format!(
                    "action {} stands twice in jail {}",
                    quoted(&action.name),
                    quoted(self.name)
                );
                let fault = Fault::error(action.origin, message);
                let hint = "give one of them another name: [actname=NAME]";
                self.faults.push(fault.hint(hint));
            }
            actions.push(action);
        }
        actions
    }

    fn action(&mut self, call: &Call, outside: &Options) -> Option<ResolvedAction> {
        let name = call.name.as_str();
        let known = |tree: &'t Tree| suggest::hint(name, tree.action_names());
        if name.ends_with(action::PYTHON) {
            if self.tree.has_python_action(name) {
                return Some(action::python(call));
            }
        } else if let Some(file) = self.tree.action_file(name, &mut self.faults) {
            let action = action::commands(&file, self.name, outside, call);
            return self.faults.take(action);
        }
        let message = format!("there is no action {}", quoted(name));
        let mut fault = Fault::error(call.name.origin(), message);
        fault.hint = known(self.tree);
        self.faults.push(fault);
        None
    }

    /// Warns of options of the jail's own section that mean nothing and that nothing names.
    fn check_unknown(&mut self) {
        let own = self.merged.own(self.name).into_iter().flatten();
        let known: BTreeSet<&str> = options::names().chain(CUSTOMARY.iter().copied()).collect();
        let unknown = own
            .map(|(option, _)| option.as_str())
            .filter(|option| !known.contains(option) && !self.tree.jail_names_it(option));
        for option in unknown {
            let message = format!("unknown option {}, which nothing names", quoted(option));
            let place = self.merged.key_origin(self.name, option);
            let mut fault = Fault::warning(place.unwrap_or(Origin::NOWHERE), message);
            fault.hint = suggest::hint(option, known.iter().copied());
            self.faults.list.push(fault);
        }
    }

    fn others(&self, written: &Options) -> Options {
        let scope = Scope {
            merged: self.merged,
            section: self.name,
            given: &Options::new(),
            over: &self.known,
        };
        let own = self.merged.own(self.name).into_iter().flatten();
        let names = own.map(|(name, _)| name.as_str());
        let names = names.chain(CUSTOMARY.iter().copied());
        names
            .filter(|name| !written.contains_key(*name) && !options::names().any(|it| it == *name))
            .filter_map(|name| Some((name.to_owned(), scope.get(name).ok()??)))
            .collect()
    }
}
