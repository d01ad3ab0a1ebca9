//! From a fail2ban configuration to one of ours: files in TOML that a person would want to keep, and
//! a report of what was translated, what with a difference, and what not.
//!
//! `stockade run --fail2ban DIR` runs exactly the files that `stockade import DIR` writes.

mod actions;
mod defaults;
mod filters;
mod globals;
mod host;
mod jails;
mod report;
mod rules;
mod suggestions;
mod toml;

use std::collections::BTreeMap;

use super::{Jails, ResolvedJail, Selection, Tree};
use crate::diagnostic::{Diagnostic, Severity};
use crate::load::{ConfigFile, ConfigFiles, load};
use crate::settings::BrokenJail;
use crate::stock;
use actions::Programs;
use filters::Filters;
use jails::Making;
use report::Scribe;
use toml::Body;

pub use host::{ImportHost, PatternFault, PatternOf};
pub use report::{Note, Report, Verdict};

/// A configuration that was translated.
#[derive(Clone, Debug)]
pub struct Import {
    /// The text of `stockade.toml`.
    pub main: String,
    /// The texts of `jails/NAME.toml`, by name.
    pub jails: BTreeMap<String, String>,
    /// The texts of `filters/NAME.toml`, by name.
    pub filters: BTreeMap<String, String>,
    /// What became of everything.
    pub report: Report,
    /// The jails that are enabled and have no translation.
    pub broken: Vec<BrokenJail>,
    /// An error concerns no jail in particular, so that nobody knows what was meant.
    pub unknown: bool,
}

/// Translates the jails of `tree` that are enabled.
#[must_use]
pub fn import(tree: &Tree, host: &dyn ImportHost) -> Import {
    let Jails {
        jails: found,
        broken,
        disabled,
        diagnostics,
        unknown,
    } = tree.jails(Selection::Enabled);
    let services = host.services();
    let mut scribe = Scribe::new(tree);
    let mut making = Making {
        host,
        services: &services,
        filters: Filters::default(),
        programs: Programs::default(),
        diagnostics: Vec::new(),
    };
    let (globals, mut told) = tree.globals();
    let daemon = globals::translate(&globals, &mut scribe);
    let mut bodies = BTreeMap::new();
    for jail in &found {
        scribe.begin(&jail.name, jails::parts(jail));
        if let Some(body) = jails::translate(jail, &mut making, &mut scribe) {
            bodies.insert(jail.name.clone(), body);
        }
        scribe.end();
    }
    let unknown = unknown || told.iter().any(Diagnostic::is_error);
    for jail in &broken {
        scribe.begin(&jail.name, BTreeMap::new());
        scribe.leave_jail(None, "it has errors, which are told below");
    }
    told.extend(diagnostics);
    told.append(&mut making.diagnostics);
    let shared = shared(tree, &mut bodies, &making);
    let mut import = Import {
        main: main_file(tree, &daemon, &shared, &bodies, making.programs),
        filters: making.filters.into_texts(),
        jails: files_of(&found, &bodies, &scribe),
        report: Report::default(),
        broken,
        unknown,
    };
    import.leave_out_what_does_not_load(&found, services, &mut scribe);
    let translated = found.iter().filter_map(|jail| {
        let filter = jail.filter.as_ref()?;
        let translated = import.jails.contains_key(&jail.name);
        translated.then_some((jail.name.as_str(), filter.name.as_str()))
    });
    let suggestions = suggestions::of(translated);
    let notes = scribe.into_notes();
    import.note_broken(&notes);
    import.report = Report {
        notes,
        suggestions,
        disabled,
        diagnostics: told,
    };
    import
}

impl Import {
    /// The files as if they had been read from `dir`. `services` is the text of `/etc/services`.
    #[must_use]
    pub fn files(&self, dir: &str, services: String) -> ConfigFiles {
        let file = |name: &str, text: &str| ConfigFile {
            path: format!("{dir}/{name}"),
            bytes: text.as_bytes().to_vec(),
        };
        let folder = |folder: &str, texts: &BTreeMap<String, String>| {
            let files = texts.iter();
            files
                .map(|(name, text)| file(&format!("{folder}/{name}.toml"), text))
                .collect()
        };
        ConfigFiles {
            main: Some(file("stockade.toml", &self.main)),
            jails: folder("jails", &self.jails),
            filters: folder("filters", &self.filters),
            services,
            ..ConfigFiles::default()
        }
    }

    /// Everything wrong or odd in fail2ban's files themselves.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.report.diagnostics
    }

    /// Notes the jails that were left out as a whole.
    fn note_broken(&mut self, notes: &[Note]) {
        let left = notes.iter().filter(|note| note.is_of_whole_jail());
        for note in left {
            if self.broken.iter().all(|jail| jail.name != note.jail) {
                let place = note.place.clone().unwrap_or_default();
                self.broken.push(BrokenJail {
                    name: note.jail.clone(),
                    why: Diagnostic::of_file(Severity::Error, &place, note.why.clone()),
                });
            }
        }
    }

    /// A jail that stockade would refuse must not keep the others from running.
    fn leave_out_what_does_not_load(
        &mut self,
        jails: &[ResolvedJail],
        services: String,
        scribe: &mut Scribe<'_>,
    ) {
        loop {
            let loaded = load(&self.files("", services.clone()));
            // The last of a file says most: what is missing as a whole stands at its beginning.
            let errors = loaded.diagnostics.iter().rev().filter(|it| it.is_error());
            let mut left = false;
            for error in errors {
                for name in self.concerned(&error.path) {
                    let origin = jails.iter().find(|jail| jail.name == name);
                    scribe.begin(&name, BTreeMap::new());
                    let why = format!("stockade refuses what it comes to: {}", error.message);
                    scribe.leave_jail(origin.map(|jail| jail.origin), why);
                    left |= self.jails.remove(&name).is_some();
                }
            }
            let used = |name: &String| self.jails.values().any(|text| uses(text, name));
            let unused: Vec<String> = self
                .filters
                .keys()
                .filter(|it| !used(it))
                .cloned()
                .collect();
            for name in unused {
                self.filters.remove(&name);
            }
            if !left {
                return;
            }
        }
    }

    /// The jails that a file is about.
    fn concerned(&self, path: &str) -> Vec<String> {
        let stem = |folder: &str| path.strip_prefix(folder)?.strip_suffix(".toml");
        if let Some(name) = stem("/jails/") {
            return vec![name.to_owned()];
        }
        let Some(filter) = stem("/filters/") else {
            return Vec::new();
        };
        let jails = self.jails.iter();
        jails
            .filter(|(_, text)| uses(text, filter))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Whether the text of a jail names a filter.
fn uses(jail: &str, filter: &str) -> bool {
    let line = format!("filter = {}", toml::quoted(filter));
    jail.lines().any(|it| it == line)
}

/// What all jails have in common, which is taken out of them.
fn shared(tree: &Tree, bodies: &mut BTreeMap<String, Body>, making: &Making<'_>) -> Body {
    let mut from = Body::default();
    if let Some(jail) = tree.defaults() {
        // What is said of it was said of each jail.
        let mut silent = Scribe::new(tree);
        let mut programs = making.programs.clone();
        jails::rules_of(&jail, making, &mut programs, &mut from, &mut silent);
    }
    defaults::factored(bodies, &from)
}

fn files_of(
    jails: &[ResolvedJail],
    bodies: &BTreeMap<String, Body>,
    scribe: &Scribe<'_>,
) -> BTreeMap<String, String> {
    let files = jails.iter().filter_map(|jail| {
        let place = scribe.place(jail.origin);
        let head = place.map_or_else(String::new, |place| format!("# From {place}.\n\n"));
        let keys = bodies.get(&jail.name)?.text_of_keys();
        Some((jail.name.clone(), format!("{head}{keys}")))
    });
    files.collect()
}

fn main_file(
    tree: &Tree,
    daemon: &Body,
    defaults: &Body,
    jails: &BTreeMap<String, Body>,
    programs: Programs,
) -> String {
    let mut text = format!(
        "# From fail2ban's configuration in {}: stockade import says what differs.\n",
        tree.dir()
    );
    text.push_str(&daemon.table("daemon"));
    text.push_str(&defaults.table("defaults"));
    for (name, body) in programs.into_bodies() {
        let named = |body: &Body| {
            body.get("actions")
                .is_some_and(|it| it.contains(&toml::quoted(&name)))
        };
        if jails.values().chain([defaults]).any(named) {
            text.push_str(&body.table(&format!("exec.{name}")));
        }
    }
    // What is built in and switches itself on must not, where fail2ban has it switched off.
    let mut off = stock::JAILS
        .iter()
        .filter(|(name, _)| !jails.contains_key(*name))
        .peekable();
    if off.peek().is_some() {
        text.push_str("\n# Built in, and not enabled in fail2ban. Without its line a jail is on where its log is.\n[jails]\n");
        text.extend(off.map(|(name, _)| format!("{name}.enabled = false\n")));
    }
    text
}

#[cfg(test)]
mod tests;
