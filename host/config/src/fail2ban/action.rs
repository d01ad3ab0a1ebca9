//! `action.d/NAME`: what is run for a ban.

use std::collections::BTreeMap;

use super::arguments::Call;
use super::definition::{Definition, Named};
use super::fault::Fault;
use super::merged::{Merged, Options};
use super::written::Written;
use crate::source::Origin;

/// The options of an action that mean something by themselves; all others are parameters.
pub(crate) const ACTION_OPTIONS: &[&str] = &[
    "actionstart",
    "actionstart_on_demand",
    "actionstop",
    "actionflush",
    "actionreload",
    "actioncheck",
    "actionrepair",
    "actionrepair_on_unban",
    "actionban",
    "actionprolong",
    "actionreban",
    "actionunban",
    "norestored",
];

/// Tags that are left in commands, since each ban has its own; the first three quote log lines.
const IGNORED: &[&str] = &[
    "matches",
    "ipmatches",
    "ipjailmatches",
    "timeout",
    "bantime",
];

/// An action with the arguments that its jail gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedAction {
    /// Its name in the jail.
    pub name: String,
    /// The name of its file without `.conf`; that of a Python action ends in `.py`.
    pub file: String,
    /// Where the jail names it.
    pub origin: Origin,
    /// The commands, `actionban` and the like, with everything replaced but the tags that each ban
    /// has of its own and those that depend on a condition such as `?family=inet6`.
    pub commands: BTreeMap<String, Written>,
    /// The arguments and what `[Init]` adds, by the names that the commands use as tags. One that
    /// depends on a condition has it in its name: `blocktype?family=inet6`.
    pub parameters: BTreeMap<String, Parameter>,
}

/// A parameter of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// With its tags still in it, as fail2ban hands it to its server.
    pub written: Written,
    /// With its tags replaced.
    pub value: Written,
    /// Whether the jail gives it, not the file of the action.
    pub given: bool,
}

impl ResolvedAction {
    /// Whether it is a program in Python rather than commands.
    #[must_use]
    pub fn is_python(&self) -> bool {
        self.file.ends_with(PYTHON)
    }
}

/// What the name of an action in Python ends in.
pub(crate) const PYTHON: &str = ".py";

/// An action in Python: its arguments are all that there is to read.
pub(crate) fn python(call: &Call) -> ResolvedAction {
    let mut arguments = call.arguments.clone();
    let file = call.name.as_str();
    let name = match arguments.remove("actname") {
        Some(name) => name.as_str().to_owned(),
        None => file.strip_suffix(PYTHON).unwrap_or(file).to_owned(),
    };
    let parameters = arguments.into_iter().map(|(name, written)| {
        let value = written.clone();
        let parameter = Parameter {
            written,
            value,
            given: true,
        };
        (name, parameter)
    });
    ResolvedAction {
        name,
        file: file.to_owned(),
        origin: call.name.origin(),
        commands: BTreeMap::new(),
        parameters: parameters.collect(),
    }
}

/// An action of commands, under the options of its jail.
pub(crate) fn commands(
    merged: &Merged,
    jail_name: &str,
    jail: &Options,
    call: &Call,
) -> Result<ResolvedAction, Fault> {
    let file = call.name.as_str();
    let place = call.name.origin();
    let mut definition = Definition::new(merged, ACTION_OPTIONS, call.arguments.clone());
    definition.set_default("name", Written::new(jail_name, place));
    let name = definition.init().get("name");
    let name = name.map_or(jail_name, Written::as_str);
    // Two actions of one file differ by the name that they are given.
    let unique = match name.strip_prefix(jail_name) {
        Some(rest) => format!("{file}{rest}"),
        None => format!("{file}-{name}"),
    };
    definition.set_default("actname", Written::new(unique, place));
    definition.read(jail, false)?;
    let combined = definition.combined(IGNORED)?;
    Ok(ResolvedAction {
        name: definition
            .init()
            .get("actname")
            .map_or_else(String::new, |name| name.as_str().to_owned()),
        file: file.to_owned(),
        origin: place,
        parameters: parameters(definition.init(), &combined, &call.arguments),
        commands: combined
            .into_iter()
            .filter(|(name, _)| is_command(name))
            .collect(),
    })
}

fn parameters(init: &Named, combined: &Named, given: &Named) -> BTreeMap<String, Parameter> {
    let own = init
        .iter()
        .filter(|(name, _)| !is_command(name) && !name.starts_with("known/"));
    own.map(|(name, written)| {
        let parameter = Parameter {
            written: written.clone(),
            value: combined.get(name).unwrap_or(written).clone(),
            given: given.contains_key(name),
        };
        (name.clone(), parameter)
    })
    .collect()
}

fn is_command(name: &str) -> bool {
    ACTION_OPTIONS.contains(&name)
}
