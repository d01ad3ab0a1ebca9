//! Starting the jails of a configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockade_config::{Diagnostic, FilterChoice, Severity};
use stockade_core::{JailName, PluginName, Timestamp};
use stockade_plugins::{FilterPlugin, LoadError, Role};

use super::actions::Actor;
use super::main_loop::Daemon;
use super::reading::plan_readers;
use super::reload::is_same_action;
use super::{boot, plugins};
use crate::setup::{ReadyFilter, Setup};

/// Plugins of a configuration, loaded and configured.
#[derive(Debug, Default)]
pub(super) struct LoadedPlugins {
    filters: BTreeMap<JailName, FilterPlugin>,
    actions: Vec<(PluginName, Actor)>,
    /// Those that could not be loaded, and why not.
    pub(super) failed: Vec<(PluginName, Role, String)>,
}

impl LoadedPlugins {
    /// What has failed, as something wrong with the plugin's file.
    pub(super) fn failures(&self) -> Vec<Diagnostic> {
        let failed = self.failed.iter();
        failed
            .map(|(name, _, why)| {
                Diagnostic::of_file(Severity::Error, &format!("plugin '{name}'"), why.clone())
            })
            .collect()
    }
}

impl Daemon {
    /// Starts the jails of the first configuration. What is broken fails alone.
    pub(super) fn start_jails(&mut self, now: Timestamp) {
        let setup = self.setup.clone();
        let loaded = self.load_plugins(&setup, None);
        for (_, _, why) in &loaded.failed {
            tracing::error!("{why}");
        }
        self.take_over(&setup, loaded, now);
    }

    /// Takes over a configuration whose plugins are loaded; no reader runs.
    pub(super) fn take_over(&mut self, setup: &Setup, loaded: LoadedPlugins, now: Timestamp) {
        let LoadedPlugins {
            mut filters,
            actions,
            mut failed,
        } = loaded;
        failed.extend(broken_plugins(setup));
        let why = |plugin: &PluginName| {
            failed
                .iter()
                .find(|(name, _, _)| name == plugin)
                .map(|(_, _, why)| why.clone())
        };
        self.failed.clear();
        for jail in &setup.jails {
            if let ReadyFilter::Plugin(plugin) = &jail.filter
                && let Some(why) = why(plugin)
            {
                self.failed.insert(jail.settings.name.clone(), why);
            }
        }
        self.filters = filters
            .iter()
            .map(|(jail, plugin)| (jail.clone(), plugin.status_handle()))
            .collect();
        self.failed_plugins = failed;
        for (name, actor) in actions {
            if let Err(error) = self.engine.actions.start(name.clone(), actor) {
                tracing::error!("cannot start action '{name}': {error}");
            }
        }
        self.engine.actions.assign(boot::actions_of_jails(setup));
        self.has_journal = super::reading::has_journal();
        self.sources.renew();
        let plans = plan_readers(
            &setup.jails,
            |jail| filters.remove(&jail.settings.name),
            self.has_journal,
            now,
        );
        let inputs: Vec<_> = plans
            .iter()
            .map(|plan| (plan.name.clone(), plan.input.clone()))
            .collect();
        for plan in plans {
            self.start_reader(plan);
        }
        self.forget_taken_over(&inputs);
    }

    /// Loads the filter plugin of each jail, and the actions that are not running as they are.
    pub(super) fn load_plugins(&mut self, setup: &Setup, before: Option<&Setup>) -> LoadedPlugins {
        let mut loaded = LoadedPlugins::default();
        for jail in &setup.jails {
            if let FilterChoice::Plugin(name) = &jail.settings.filter {
                match self.load(setup, name, Role::Filter, |host, spec| {
                    host.load_filter(spec)
                }) {
                    Some(Ok(plugin)) => {
                        drop(loaded.filters.insert(jail.settings.name.clone(), plugin))
                    }
                    Some(Err(error)) => {
                        loaded
                            .failed
                            .push((name.clone(), Role::Filter, error.to_string()))
                    }
                    None => {}
                }
            }
        }
        let mut used: Vec<&PluginName> = setup
            .jails
            .iter()
            .flat_map(|jail| &jail.settings.rules.actions)
            .collect();
        used.sort_unstable();
        used.dedup();
        for name in used {
            let same = before.is_some_and(|before| is_same_action(before, setup, name));
            if same && self.engine.actions.has(name) {
                continue;
            }
            if let Some(program) = setup.settings.exec.get(name) {
                let actor = Actor::program(name.clone(), program.value.clone());
                loaded.actions.push((name.clone(), actor));
                continue;
            }
            match self.load(setup, name, Role::Action, |host, spec| {
                host.load_action(spec)
            }) {
                Some(Ok(plugin)) => loaded
                    .actions
                    .push((name.clone(), Actor::Plugin(Box::new(plugin)))),
                Some(Err(error)) => {
                    loaded
                        .failed
                        .push((name.clone(), Role::Action, error.to_string()))
                }
                None => {}
            }
        }
        loaded
    }

    /// `None` for a plugin that is known to be broken.
    fn load<T>(
        &mut self,
        setup: &Setup,
        name: &PluginName,
        role: Role,
        load: impl FnOnce(
            &stockade_plugins::PluginHost,
            stockade_plugins::PluginSpec,
        ) -> Result<T, LoadError>,
    ) -> Option<Result<T, LoadError>> {
        let component = setup.components.get(name)?;
        let plugin = setup.settings.plugins.get(name)?;
        let spec = plugins::spec(name, plugin, component, role, self.parts.kv.as_ref());
        let host = match &self.parts.host {
            Some(host) => host,
            None => {
                let dir = (!self.parts.dry_run).then_some(self.parts.state_dir.as_path());
                match plugins::host(dir, Arc::clone(&self.parts.clock)) {
                    Ok(host) => self.parts.host.insert(host),
                    Err(error) => {
                        tracing::error!("{}", crate::cli::chain(&error));
                        return None;
                    }
                }
            }
        };
        Some(load(host, spec))
    }
}

/// The plugins that were not even tried.
fn broken_plugins(setup: &Setup) -> impl Iterator<Item = (PluginName, Role, String)> {
    let is_filter = |name: &PluginName| {
        let mut jails = setup.jails.iter();
        jails.any(|jail| matches!(&jail.filter, ReadyFilter::Plugin(used) if used == name))
    };
    setup.broken_plugins.iter().map(move |(name, why)| {
        let role = if is_filter(name) {
            Role::Filter
        } else {
            Role::Action
        };
        (name.clone(), role, why.message.clone())
    })
}
