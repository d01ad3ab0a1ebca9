//! Which reader reads what for whom.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stockade_config::{JailSettings, LogBackend, UseDns};
use stockade_core::Timestamp;
use stockade_detect::{Matcher, PlanFilter};
use stockade_plugins::FilterPlugin;

use super::asking::Question;
use super::judge::{Judge, JudgedJail};
use crate::setup::{ReadyFilter, ReadyJail};

/// What a reader is to do.
#[derive(Debug)]
pub(in crate::run) struct ReaderPlan {
    /// Unique, and the same after a restart: checkpoints are found by it.
    pub(in crate::run) name: String,
    pub(in crate::run) input: Input,
    pub(in crate::run) judge: Judge,
    /// What the operator's program is asked; then all failures are of one jail.
    pub(in crate::run) question: Option<Question>,
}

/// Where lines come from.
#[derive(Clone, Debug)]
pub(in crate::run) enum Input {
    /// Files that match these globs.
    Files(Vec<String>),
    /// Entries of the journal: one of the alternatives, of each of which all matches must hold.
    Journal {
        /// As the journal calls itself in its chunks.
        name: String,
        matches: Vec<Vec<String>>,
        /// Where to begin without a cursor; older entries would count for no jail.
        since: Timestamp,
    },
    Stdin,
}

impl Input {
    /// Whether it reads the source of this name.
    pub(in crate::run) fn follows(&self, source: &str) -> bool {
        match self {
            Self::Files(globs) => globs
                .iter()
                .any(|glob| stockade_ingest::is_matched(glob, Path::new(source))),
            Self::Journal { name, .. } => name == source,
            Self::Stdin => false,
        }
    }
}

/// Where one jail reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Files,
    Journal(Vec<Vec<String>>),
    Stdin,
}

/// Plans readers for the jails: one for the files of all plain filters, one for each journal match of
/// plain filters, and one for each jail with a filter plugin (ADR 2) or with an `ignorecommand`.
pub(in crate::run) fn plan_readers(
    jails: &[ReadyJail],
    mut plugin_of: impl FnMut(&ReadyJail) -> Option<FilterPlugin>,
    has_journal: bool,
    now: Timestamp,
) -> Vec<ReaderPlan> {
    let mut shared: BTreeMap<Origin, Vec<(&ReadyJail, Matcher)>> = BTreeMap::new();
    let mut plans = Vec::new();
    for jail in jails {
        let origin = origin(&jail.settings, has_journal);
        match &jail.filter {
            // A program takes time that strangers decide.
            ReadyFilter::Plain(filter) if question(jail).is_some() => {
                let jails = vec![(jail, Matcher::Plain(Arc::clone(filter)))];
                let name = format!("asks-{}", jail.settings.name);
                plans.push(reader(name, origin, &jails, None, now));
            }
            ReadyFilter::Plain(filter) => {
                shared
                    .entry(origin)
                    .or_default()
                    .push((jail, Matcher::Plain(Arc::clone(filter))));
            }
            ReadyFilter::Plugin(_) => {
                let Some(plugin) = plugin_of(jail) else {
                    continue;
                };
                match PlanFilter::compile(&plugin.plan().literals, &plugin.plan().patterns) {
                    Ok(filter) => {
                        let jails = vec![(jail, Matcher::Plan(Arc::new(filter)))];
                        let name = format!("plugin-{}", jail.settings.name);
                        plans.push(reader(name, origin, &jails, Some(plugin), now));
                    }
                    Err(errors) => {
                        for error in errors {
                            tracing::error!(
                                "[{}] plan of plugin '{}': {error}",
                                jail.settings.name,
                                plugin.name()
                            );
                        }
                    }
                }
            }
        }
    }
    for (origin, jails) in shared {
        let name = match &origin {
            Origin::Files => "files".to_owned(),
            Origin::Journal(matches) => journal_name(matches),
            Origin::Stdin => "stdin".to_owned(),
        };
        plans.push(reader(name, origin, &jails, None, now));
    }
    plans
}

/// What the jail asks before a failure is counted.
fn question(jail: &ReadyJail) -> Option<Question> {
    let rules = &jail.settings.rules;
    (!rules.ignorecommand.is_empty()).then(|| Question {
        jail: jail.settings.name.clone(),
        argv: rules.ignorecommand.clone(),
        cache: rules.ignorecache.clone(),
    })
}

/// The name that [`stockade_ingest::Journal`] gives a journal with these matches.
fn journal_name(matches: &[Vec<String>]) -> String {
    let alternatives: Vec<String> = matches.iter().map(|all| all.join(" ")).collect();
    format!("journal:{}", alternatives.join(" + "))
}

/// Where a jail reads, as text for people.
pub(in crate::run) fn source_names(jail: &JailSettings, has_journal: bool) -> Vec<String> {
    match origin(jail, has_journal) {
        Origin::Files => jail.logpath.iter().map(|path| path.value.clone()).collect(),
        Origin::Journal(matches) => vec![journal_name(&matches)],
        Origin::Stdin => vec!["stdin".to_owned()],
    }
}

/// The journal where there is one and the jail says what to look for in it, since a log file that was
/// written before the journal took over may still lie there; else the files.
fn origin(jail: &JailSettings, has_journal: bool) -> Origin {
    let journal = || Origin::Journal(jail.journalmatch.clone());
    match jail.rules.backend {
        LogBackend::File => Origin::Files,
        LogBackend::Journal => journal(),
        LogBackend::Stdin => Origin::Stdin,
        LogBackend::Auto if has_journal && !jail.journalmatch.is_empty() => journal(),
        LogBackend::Auto => Origin::Files,
    }
}

fn reader(
    name: String,
    origin: Origin,
    jails: &[(&ReadyJail, Matcher)],
    plugin: Option<FilterPlugin>,
    now: Timestamp,
) -> ReaderPlan {
    let judged = jails.iter().map(|(jail, matcher)| JudgedJail {
        name: jail.settings.name.clone(),
        matcher: matcher.clone(),
        zone: jail.zone.clone(),
    });
    let warn = jails
        .iter()
        .map(|(jail, _)| &jail.settings)
        .filter(|jail| jail.rules.usedns == UseDns::Warn)
        .map(|jail| jail.name.clone());
    let (input, wanted_by) = match origin {
        Origin::Files => files(jails),
        Origin::Journal(matches) => {
            let findtime = jails
                .iter()
                .map(|(jail, _)| jail.settings.rules.findtime)
                .max();
            let since = now.saturating_sub(findtime.unwrap_or(Duration::ZERO));
            (
                Input::Journal {
                    name: journal_name(&matches),
                    matches,
                    since,
                },
                vec![(0..jails.len()).collect()],
            )
        }
        Origin::Stdin => (Input::Stdin, vec![(0..jails.len()).collect()]),
    };
    ReaderPlan {
        name,
        input,
        judge: Judge::new(judged.collect(), wanted_by, plugin, warn.collect()),
        question: match jails {
            [(jail, _)] => question(jail),
            _ => None,
        },
    }
}

/// All globs, each once, and which jails want it.
fn files(jails: &[(&ReadyJail, Matcher)]) -> (Input, Vec<Vec<usize>>) {
    let mut wanted_by: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, (jail, _)) in jails.iter().enumerate() {
        for path in &jail.settings.logpath {
            wanted_by.entry(&path.value).or_default().push(index);
        }
    }
    let globs = wanted_by.keys().map(|glob| (*glob).to_owned()).collect();
    (Input::Files(globs), wanted_by.into_values().collect())
}
