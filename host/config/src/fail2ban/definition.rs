//! What filters and actions have in common: `[Definition]`, `[Init]`, and what a jail gives them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::ini::DEFAULT;
use super::interpolate::{Scope, is_word};
use super::merged::{Merged, Options, condition, known_section};
use super::tags::{Answers, Tags};
use super::written::Written;
use crate::source::Origin;

/// The section with the options themselves.
const DEFINITION: &str = "Definition";

/// The section with what a jail may give otherwise.
const INIT: &str = "Init";

/// Options by their names as they are written: tags distinguish capitals.
pub(crate) type Named = BTreeMap<String, Written>;

/// A filter or an action while it is being resolved.
///
/// A filter of a jail is resolved twice: first alone, for what the jail asks for as
/// `%(known/option)s`, and then with the options of the jail. What was learned the first time is
/// kept, which is why this has a state.
#[derive(Debug)]
pub(crate) struct Definition<'m> {
    merged: &'m Merged,
    /// The options that mean something by themselves; all others are there to be named by them.
    known: &'static [&'static str],
    /// What the jail gave in brackets, then what `[Init]` adds.
    init: Named,
    options: Named,
    /// What stands above the options of `[Definition]`; names in lower case.
    given: Options,
    answers: Answers,
}

impl<'m> Definition<'m> {
    pub(crate) fn new(
        merged: &'m Merged,
        known: &'static [&'static str],
        arguments: Named,
    ) -> Self {
        Self {
            merged,
            known,
            init: arguments,
            options: Named::new(),
            given: Options::new(),
            answers: RefCell::default(),
        }
    }

    /// Where `[Definition]` was opened.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.merged.section_origin(DEFINITION)
    }

    /// Whether a part of the files could not be read, so that what seems to be missing may be there.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.merged.faults(|_| true).next().is_some()
    }

    /// Sets `logtype` unless the jail or the files give it.
    pub(crate) fn set_logtype(&mut self, logtype: Written) {
        let given = self.init.get("logtype");
        let given = given.is_some_and(|value| !value.as_str().is_empty());
        let own = self.merged.own(DEFINITION);
        if !given && !own.is_some_and(|own| own.contains_key("logtype")) {
            self.init.insert("logtype".to_owned(), logtype);
        }
    }

    /// What was given in brackets and by `[Init]`, with no tag replaced.
    pub(crate) fn init(&self) -> &Named {
        &self.init
    }

    /// Gives an argument a value where it has none.
    pub(crate) fn set_default(&mut self, name: &str, value: Written) {
        self.init.entry(name.to_owned()).or_insert(value);
    }

    /// Reads the options under those of the jail. With `all`, those that mean nothing by themselves
    /// are read as well.
    pub(crate) fn read(&mut self, jail: &Options, all: bool) -> Result<(), Fault> {
        self.given = jail.clone();
        let init = self.init.iter();
        self.given
            .extend(init.map(|(name, value)| (name.to_lowercase(), value.clone())));
        self.options.clear();
        let options = scope(self.merged, DEFINITION, &self.given);
        if self.origin().is_some() {
            for option in self.known {
                // Who gives it decides; what the files say is not even looked at.
                let decided = jail.contains_key(*option) || self.init.contains_key(*option);
                if !decided && let Some(value) = options.get(option)? {
                    self.options.insert((*option).to_owned(), value);
                }
            }
        }
        self.read_init()?;
        if all && let Some(own) = self.merged.own(DEFINITION) {
            let options = scope(self.merged, DEFINITION, NO_OPTIONS);
            for option in own.keys() {
                if !self.options.contains_key(option)
                    && let Some(value) = options.get(option)?
                {
                    self.options.insert(option.clone(), value);
                }
            }
        }
        Ok(())
    }

    fn read_init(&mut self) -> Result<(), Fault> {
        let Some(own) = self.merged.own(INIT) else {
            return Ok(());
        };
        let options = scope(self.merged, INIT, NO_OPTIONS);
        for option in own.keys() {
            let Some(value) = options.get(option)? else {
                continue;
            };
            if !option.starts_with("known/") {
                self.init.insert(format!("known/{option}"), value.clone());
            }
            self.set_default(option, value);
        }
        Ok(())
    }

    /// All options with their tags replaced, but for `ignored` ones and those that have a value of
    /// their own for some condition, such as a family: which of them holds is known with each ban.
    pub(crate) fn combined(&self, ignored: &[&str]) -> Result<Named, Fault> {
        let mut values = self.options.clone();
        values.extend(self.init.clone());
        let conditional = values.keys().filter_map(|name| condition(name));
        let conditional = conditional.map(|(plain, _)| plain);
        let ignored: BTreeSet<String> = ignored
            .iter()
            .copied()
            .chain(conditional)
            .map(str::to_owned)
            .collect();
        let tags = Tags {
            values: &values,
            ignored: &ignored,
            others: |tag: &str| self.other(tag),
        };
        tags.replace_all()
    }

    /// The value of a tag that is not among the options: of one that was not read, or of one of
    /// another section, `<section/option>`.
    fn other(&self, tag: &str) -> Result<Option<Written>, Fault> {
        if let Some(answer) = self.answers.borrow().get(tag) {
            return Ok(answer.clone());
        }
        let answer = match self.of_section(tag)? {
            Some(value) => Some(value),
            None => scope(self.merged, DEFINITION, &self.given).get(tag)?,
        };
        let kept = answer.clone();
        self.answers.borrow_mut().insert(tag.to_owned(), kept);
        Ok(answer)
    }

    fn of_section(&self, tag: &str) -> Result<Option<Written>, Fault> {
        let Some((section, option)) = tag.split_once('/') else {
            return Ok(None);
        };
        let space = |c: char| c.is_whitespace();
        if section.is_empty() || !section.chars().all(is_word) || option.contains(space) {
            return Ok(None);
        }
        let sections = match section.to_lowercase().as_str() {
            "known" => vec![known_section(DEFINITION), DEFINITION.to_owned()],
            "default" => {
                let only_default = scope(self.merged, DEFAULT, NO_OPTIONS);
                return only_default.get(option);
            }
            _ => vec![section.to_owned()],
        };
        for section in sections {
            if self.merged.own(&section).is_some()
                && let Some(value) = scope(self.merged, &section, NO_OPTIONS).get(option)?
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// How options of a section of `merged` are asked for, under `given` ones.
fn scope<'s>(merged: &'s Merged, section: &'s str, given: &'s Options) -> Scope<'s> {
    Scope {
        merged,
        section,
        given,
        over: NO_OPTIONS,
    }
}

/// Nothing is laid over a section of a filter or an action.
const NO_OPTIONS: &Options = &Options::new();
