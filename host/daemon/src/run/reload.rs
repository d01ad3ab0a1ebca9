//! Replacing one configuration by another.

use std::collections::BTreeMap;

use stockade_config::{Diagnostic, LogZone};
use stockade_control::{BrokenJail, ControlReply, ErrorKind, ErrorReply, ReloadReply};
use stockade_core::{Escaped, JailName, PluginName};

use super::boot;
use super::enforcement::Plan;
use super::main_loop::Daemon;
use super::start::LoadedPlugins;
use crate::clock;
use crate::setup::{self, ReadyFilter, ReadyJail, Setup};

impl Daemon {
    /// Reads the configuration again. A jail with an error keeps the settings that it had; an error
    /// that concerns all changes nothing, and so does any where it is to be strict.
    pub(super) async fn reload(&mut self, strict: bool) -> ControlReply {
        let strict = strict || self.parts.strict;
        let mut setup = match setup::read(&self.parts.config) {
            Err(found) => return refused(&found),
            Ok(setup) if strict && setup.has_errors() => return refused(&setup.found),
            Ok(setup) => setup,
        };
        let before = self.setup.clone();
        setup.keep_from(&before);
        let mut loaded = self.load_plugins(&setup, Some(&before));
        if strict && !loaded.failed.is_empty() {
            return refused(&loaded.failures());
        }
        while self.retreat(&mut setup, &loaded, &before) {
            loaded = self.load_plugins(&setup, Some(&before));
        }
        let dry_run = self.parts.dry_run;
        let plan = match Plan::new(&setup, dry_run, &mut self.parts.auto) {
            Ok(plan) => plan,
            Err(error) => {
                return ControlReply::error(ErrorKind::Firewall, crate::cli::chain(&error));
            }
        };
        let mut reply = difference(&before, &setup);
        reply.broken = broken(&setup);
        reply.diagnostics = crate::cli::wire(&setup.found);
        self.replace(setup, loaded, &plan).await;
        tracing::info!(
            "reloaded: {} jails added, {} removed, {} changed",
            reply.added.len(),
            reply.removed.len(),
            reply.changed.len()
        );
        for jail in &reply.broken {
            let how = if jail.kept {
                "keeps its old settings"
            } else {
                "does not run"
            };
            tracing::error!("[{}] is broken and {how}: {}", jail.name, jail.message);
        }
        ControlReply::Reload(reply)
    }

    /// Goes back to the configuration before with plugins that could not be loaded; false where there
    /// is nothing to go back to.
    fn retreat(&mut self, setup: &mut Setup, loaded: &LoadedPlugins, before: &Setup) -> bool {
        let mut gone_back = false;
        for ((name, ..), why) in loaded.failed.iter().zip(loaded.failures()) {
            if !setup.found.contains(&why) {
                setup.found.push(why.clone());
            }
            gone_back |= setup.retreat(name, &why, before);
        }
        gone_back
    }

    async fn replace(&mut self, setup: Setup, loaded: LoadedPlugins, plan: &Plan) {
        self.drain_readers().await;
        let now = clock::now();
        self.protection.configure(&setup.settings.firewall);
        self.look(now);
        self.engine.bound(setup.settings.firewall.safeguards, now);
        let effects = self.engine.decider.reload(boot::policies(&setup), now);
        self.engine.take_up(effects, now);
        if let Err(error) = self.engine.replan(plan) {
            tracing::error!("a backend of the firewall cannot be started: {error}");
        }
        self.engine.save();
        self.setup = setup.clone();
        self.watch_ignores(now);
        self.take_over(&setup, loaded, now);
    }

    /// The same for a signal, which has nobody to answer to.
    pub(super) async fn reload_by_signal(&mut self) {
        let found = match self.reload(false).await {
            ControlReply::Error(error) => {
                tracing::error!("{}", error.message);
                error.diagnostics
            }
            ControlReply::Reload(reload) => reload.diagnostics,
            _ => return,
        };
        for found in found {
            let line = found
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            let text = format!("{}{line}: {}", found.path, found.message);
            match found.severity {
                stockade_control::Severity::Error => tracing::error!("{text}"),
                _ => tracing::warn!("{text}"),
            }
        }
    }
}

fn refused(found: &[Diagnostic]) -> ControlReply {
    ControlReply::Error(ErrorReply {
        kind: ErrorKind::Config,
        message: "the new configuration has errors; the old one stays in force".to_owned(),
        hint: None,
        diagnostics: crate::cli::wire(found),
    })
}

fn broken(setup: &Setup) -> Vec<BrokenJail> {
    let is_kept = |name: &str| {
        let mut jails = setup.jails.iter();
        jails.any(|jail| jail.settings.name.as_str() == name)
    };
    let broken = setup.broken.iter().map(|jail| BrokenJail {
        name: Escaped(jail.name.as_bytes()).to_string(),
        message: jail.why.to_string(),
        kept: is_kept(&jail.name),
    });
    broken.collect()
}

/// What changes from one configuration to the other.
fn difference(before: &Setup, after: &Setup) -> ReloadReply {
    let by_name = |setup: &Setup| -> BTreeMap<JailName, ReadyJail> {
        setup
            .jails
            .iter()
            .map(|jail| (jail.settings.name.clone(), jail.clone()))
            .collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let changed = new.iter().filter(|(name, jail)| {
        old.get(*name)
            .is_some_and(|was| !is_same_jail(before, was, after, jail))
    });
    ReloadReply {
        added: new
            .keys()
            .filter(|name| !old.contains_key(*name))
            .map(JailName::to_string)
            .collect(),
        removed: old
            .keys()
            .filter(|name| !new.contains_key(*name))
            .map(JailName::to_string)
            .collect(),
        changed: changed.map(|(name, _)| name.to_string()).collect(),
        restart_needed: restart_needed(before, after),
        ..ReloadReply::default()
    }
}

/// Settings that are only read at the start.
fn restart_needed(before: &Setup, after: &Setup) -> Vec<String> {
    let (old, new) = (&before.settings.daemon, &after.settings.daemon);
    let group = |setup: &Setup| {
        setup
            .settings
            .daemon
            .socket_group
            .as_ref()
            .map(|group| group.value.clone())
    };
    let keys = [
        ("daemon.state_dir", old.state_dir != new.state_dir),
        ("daemon.socket", old.socket != new.socket),
        ("daemon.socket_group", group(before) != group(after)),
        ("daemon.log_target", old.log_target != new.log_target),
        ("daemon.log_level", old.log_level != new.log_level),
    ];
    keys.into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| key.to_owned())
        .collect()
}

/// Whether a jail does the same before and after, wherever its settings are written.
fn is_same_jail(before: &Setup, was: &ReadyJail, after: &Setup, is: &ReadyJail) -> bool {
    let paths = |jail: &ReadyJail| -> Vec<String> {
        jail.settings
            .logpath
            .iter()
            .map(|path| path.value.clone())
            .collect()
    };
    let rules = |jail: &ReadyJail| {
        let mut rules = jail.settings.rules.clone();
        // The zone is compared as it was found; its name carries its place in the file.
        rules.logtimezone = LogZone::Local;
        // So does that of the encoding, which the filter was compiled with.
        rules.logencoding = None;
        rules
    };
    let filters = match (&was.filter, &is.filter) {
        (ReadyFilter::Plain(was), ReadyFilter::Plain(is)) => was.source() == is.source(),
        (ReadyFilter::Plugin(was), ReadyFilter::Plugin(is)) => {
            was == is && is_same_plugin(before, after, is)
        }
        _ => false,
    };
    filters
        && was.zone == is.zone
        && paths(was) == paths(is)
        && rules(was) == rules(is)
        && was.settings.journalmatch == is.settings.journalmatch
        && was.settings.port == is.settings.port
        && was.settings.protocol == is.settings.protocol
}

pub(super) fn is_same_action(before: &Setup, after: &Setup, name: &PluginName) -> bool {
    let program = |setup: &Setup| {
        let program = setup.settings.exec.get(name)?;
        Some(program.value.clone())
    };
    program(before) == program(after) && is_same_plugin(before, after, name)
}

fn is_same_plugin(before: &Setup, after: &Setup, name: &PluginName) -> bool {
    let settings = |setup: &Setup| {
        let plugin = setup.settings.plugins.get(name)?;
        Some((plugin.grant.clone(), plugin.settings.clone(), plugin.limits))
    };
    settings(before) == settings(after) && before.components.get(name) == after.components.get(name)
}
