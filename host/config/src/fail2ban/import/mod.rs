//! From a fail2ban configuration to one of ours: files in TOML that a person would want to keep, and
//! a report of what was translated, what with a difference, and what not.
//!
//! `stockade run --fail2ban DIR` runs exactly the files that `stockade import DIR` writes.

mod actions;
mod filters;
mod jails;
mod report;
mod toml;

use std::collections::BTreeMap;

use super::{Selection, Tree};
use crate::diagnostic::Diagnostic;
use crate::load::{ConfigFile, ConfigFiles};
use crate::stock;
use filters::Filters;
use report::Scribe;
use toml::Body;

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
}

/// Translates the jails of `tree` that are enabled.
#[must_use]
pub fn import(tree: &Tree) -> Import {
    let found = tree.jails(Selection::Enabled);
    let mut scribe = Scribe::new(tree.sources());
    let mut filters = Filters::default();
    let mut jails = BTreeMap::new();
    let mut programs = BTreeMap::new();
    for jail in &found.jails {
        scribe.begin(&jail.name);
        if let Some(text) = jails::translate(jail, &mut filters, &mut programs, &mut scribe) {
            jails.insert(jail.name.clone(), text);
        }
    }
    for name in &found.broken {
        scribe.begin(name);
        scribe.left("the jail", None, "it has errors, which are told below");
    }
    let (globals, mut diagnostics) = tree.globals();
    scribe.begin("");
    let main = main_file(tree, &globals, &jails, programs, &mut scribe);
    diagnostics.extend(found.diagnostics);
    Import {
        main,
        filters: filters.into_texts(),
        report: scribe.into_report(found.disabled, diagnostics),
        jails,
    }
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
}

fn main_file(
    tree: &Tree,
    globals: &super::GlobalOptions,
    jails: &BTreeMap<String, String>,
    programs: BTreeMap<String, Body>,
    scribe: &mut Scribe<'_>,
) -> String {
    let mut text = format!(
        "# Translated from fail2ban's configuration in {}.\n",
        tree.dir()
    );
    let mut daemon = Body::default();
    if let Some(level) = &globals.loglevel {
        daemon.text("log_level", log_level(&level.value));
        scribe.translated("loglevel");
    }
    if let Some(age) = &globals.dbpurgeage {
        daemon.time("db_purge_age", age.value);
        scribe.translated("dbpurgeage");
    }
    for name in globals.written.keys() {
        match name.as_str() {
            "loglevel" | "dbpurgeage" => {}
            "socket" | "pidfile" | "dbfile" | "logtarget" | "syslogsocket" => {
                let origin = globals.written.get(name).map(super::Written::origin);
                let why = "stockade keeps its own, beside fail2ban's: see [daemon]";
                scribe.different(name, origin, why);
            }
            _ => {
                let origin = globals.written.get(name).map(super::Written::origin);
                scribe.left(name, origin, "stockade has no such setting");
            }
        }
    }
    text.push_str(&daemon.table("daemon"));
    // What is built in and switches itself on must not, where fail2ban has it switched off.
    for (name, _) in stock::JAILS
        .iter()
        .filter(|(name, _)| !jails.contains_key(*name))
    {
        text.push_str(&format!("\n[jails.{name}]\nenabled = false\n"));
    }
    for (name, body) in programs {
        text.push_str(&body.table(&format!("exec.{name}")));
    }
    text
}

fn log_level(level: &str) -> &'static str {
    match level.to_ascii_lowercase().as_str() {
        "critical" | "fatal" | "error" => "error",
        "warning" | "warn" => "warn",
        "debug" => "debug",
        "tracedebug" | "heavydebug" | "notset" => "trace",
        _ => "info",
    }
}

#[cfg(test)]
mod tests;
