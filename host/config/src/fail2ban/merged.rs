//! Several files laid over each other, the later ones on top.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::ini::{DEFAULT, IniFile};
use super::written::Written;
use crate::source::Origin;

/// The section that names other files.
pub(crate) const INCLUDES: &str = "INCLUDES";

/// What the name of a section that keeps overwritten values begins with.
const KNOWN: &str = "KNOWN/";

/// Options and their values; names are in lower case.
pub(crate) type Options = BTreeMap<String, Written>;

/// The sections of a configuration after all of its files were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    defaults: Options,
    sections: BTreeMap<String, Section>,
    /// Names of the sections in the order in which they first occur.
    order: Vec<String>,
    /// Lines that could not be read, by section; `None` before the first.
    faults: Vec<(Option<String>, Fault)>,
    /// Where each name of an option is written, for what nobody knows.
    keys: BTreeMap<(String, String), Origin>,
}

#[derive(Clone, Debug)]
struct Section {
    origin: Origin,
    options: Options,
}

impl Merged {
    /// Lays `file` over what is there.
    ///
    /// A section `[Init?family=inet6]` gives the options of `Init` a name with that condition. What
    /// an option of a section had as its value before is kept for `%(known/option)s`.
    pub(crate) fn lay_over(&mut self, file: &IniFile) {
        // A section that stands twice in one file is one, and overwrites nothing of itself.
        let mut joined: Vec<(&str, Origin, Options)> = Vec::new();
        for section in &file.sections {
            let at = joined.iter().position(|(name, ..)| *name == section.name);
            if at.is_none() {
                joined.push((&section.name, section.origin, Options::new()));
            }
            let last = joined.len().saturating_sub(1);
            let Some((_, _, options)) = joined.get_mut(at.unwrap_or(last)) else {
                continue;
            };
            for entry in &section.entries {
                options.insert(entry.key.clone(), entry.value.clone());
                let key = (section.name.clone(), entry.key.clone());
                self.keys.insert(key, entry.key_origin);
            }
        }
        for (name, origin, options) in joined {
            self.lay_section_over(name, origin, options);
        }
        let faults = file.faults.iter();
        self.faults
            .extend(faults.map(|found| (found.section.clone(), found.fault.clone())));
    }

    fn lay_section_over(&mut self, name: &str, origin: Origin, mut options: Options) {
        if name == DEFAULT {
            self.defaults.append(&mut options);
            return;
        }
        let name = match condition(name) {
            None => name,
            Some((plain, condition)) => {
                let named = std::mem::take(&mut options).into_iter();
                options.extend(named.map(|(key, value)| (format!("{key}{condition}"), value)));
                plain
            }
        };
        let Some(section) = self.sections.get_mut(name) else {
            self.order.push(name.to_owned());
            let section = Section { origin, options };
            self.sections.insert(name.to_owned(), section);
            return;
        };
        let known: Options = options
            .keys()
            .filter_map(|key| section.options.remove_entry(key))
            .collect();
        section.options.append(&mut options);
        // The place that people look at is the last one.
        section.origin = origin;
        // Made even where nothing was overwritten: once it is there, `<known/option>` finds what all
        // sections have before it finds what the section itself has.
        let before = self.sections.entry(known_section(name));
        let before = before.or_insert_with(|| Section {
            origin,
            options: Options::new(),
        });
        before.options.extend(known);
    }

    /// Gives every section an option that nobody wrote.
    pub(crate) fn define(&mut self, name: &str, value: &str) {
        let value = Written::new(value, Origin::NOWHERE);
        self.defaults.insert(name.to_owned(), value);
    }

    /// The names of the sections, without those that are no jail.
    pub(crate) fn section_names(&self) -> impl Iterator<Item = &str> {
        self.order
            .iter()
            .map(String::as_str)
            .filter(|name| *name != INCLUDES)
    }

    /// Where the section was opened last.
    pub(crate) fn section_origin(&self, name: &str) -> Option<Origin> {
        self.sections.get(name).map(|section| section.origin)
    }

    /// The options of a section, without those that every section has.
    pub(crate) fn own(&self, section: &str) -> Option<&Options> {
        self.sections.get(section).map(|found| &found.options)
    }

    /// The value of an option that every section has.
    pub(crate) fn default_value(&self, option: &str) -> Option<&Written> {
        self.defaults.get(option)
    }

    /// The options that every section has.
    pub(crate) fn defaults(&self) -> &Options {
        &self.defaults
    }

    /// The value that an option of `section` had before it was overwritten.
    pub(crate) fn known(&self, section: &str, option: &str) -> Option<&Written> {
        self.own(&known_section(section))?.get(option)
    }

    /// Where the name of an option is written; `section` as it stands in the file.
    pub(crate) fn key_origin(&self, section: &str, option: &str) -> Option<Origin> {
        let key = (section.to_owned(), option.to_owned());
        self.keys.get(&key).copied()
    }

    /// The lines that could not be read in a section that `concerns` picks; those in no section and
    /// in [`DEFAULT`] concern every section.
    pub(crate) fn faults<'m>(
        &'m self,
        concerns: impl Fn(&str) -> bool + 'm,
    ) -> impl Iterator<Item = &'m Fault> {
        self.faults.iter().filter_map(move |(section, fault)| {
            let concerned = match section.as_deref() {
                None | Some(DEFAULT | INCLUDES) => true,
                Some(name) => concerns(condition(name).map_or(name, |(plain, _)| plain)),
            };
            concerned.then_some(fault)
        })
    }

    /// Every name that a value asks for, as `%(name)s` or `<name>`, in lower case.
    pub(crate) fn referenced(&self) -> BTreeSet<String> {
        let sections = self.sections.values().flat_map(|it| it.options.values());
        let mut names = BTreeSet::new();
        for value in sections.chain(self.defaults.values()) {
            for (opens, closes) in [("%(", ')'), ("<", '>')] {
                let after = value.as_str().split(opens).skip(1);
                let found = after.filter_map(|rest| rest.split_once(closes));
                for (name, _) in found {
                    let name = name.rsplit('/').next().unwrap_or(name);
                    names.insert(name.to_lowercase());
                }
            }
        }
        names
    }
}

/// The section that keeps what was overwritten in `section`.
pub(crate) fn known_section(section: &str) -> String {
    format!("{KNOWN}{section}")
}

/// `Init` and `?family=inet6` of `Init?family=inet6`.
pub(crate) fn condition(name: &str) -> Option<(&str, &str)> {
    let at = name.find('?')?;
    let (plain, condition) = name.split_at_checked(at)?;
    let words = !plain.is_empty() && plain.chars().all(|c| c.is_alphanumeric() || c == '_');
    (words && condition.len() > 1).then_some((plain, condition))
}
