//! Starting the jails of a configuration, and replacing one configuration by another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stockade_config::{
    BlockType, FilterChoice, IgnoreEntry, JailSettings, LogZone, Ports, Protocol,
};
use stockade_control::{ControlReply, ErrorKind, ErrorReply, ReloadReply};
use stockade_core::{
    BanTimePolicy, FailureId, IgnoreSet, JailName, JailPolicy, PluginName, Timestamp,
};
use stockade_firewall::{JailRules, PortRange};
use stockade_plugins::{FilterPlugin, LoadError, Role};

use super::actions::Actor;
use super::enforcer::Order;
use super::main_loop::Daemon;
use super::names::NameResolver;
use super::reading::plan_readers;
use super::{boot, plugins};
use crate::clock;
use crate::setup::{self, ReadyFilter, ReadyJail, Setup};

/// The firewall's rules for a jail; `None` for one that only actions are told of.
pub(super) fn rules(jail: &JailSettings) -> Option<JailRules> {
    let block = match jail.rules.blocktype {
        BlockType::Drop => stockade_firewall::BlockType::Drop,
        BlockType::Reject => stockade_firewall::BlockType::Reject,
        BlockType::None => return None,
    };
    let range = |range: &stockade_config::PortRange| PortRange {
        first: range.first,
        last: range.last,
    };
    Some(JailRules {
        jail: jail.name.clone(),
        ports: match &jail.port {
            Ports::All => stockade_firewall::Ports::All,
            Ports::Some(ranges) => {
                stockade_firewall::Ports::List(ranges.iter().map(range).collect())
            }
        },
        protocols: jail
            .protocol
            .iter()
            .map(|protocol| match protocol {
                Protocol::Tcp => stockade_firewall::Protocol::Tcp,
                Protocol::Udp => stockade_firewall::Protocol::Udp,
            })
            .collect(),
        block,
    })
}

/// The decider's rules for a jail, which remembers bans for `remember`. Names in `ignoreip` are looked up by [`NameResolver`].
pub(super) fn policy(jail: &JailSettings, remember: Duration) -> JailPolicy {
    let ids = jail.rules.ignoreip.iter().filter_map(|entry| match entry {
        IgnoreEntry::Net(net) => Some(FailureId::from_net(*net)),
        IgnoreEntry::Text(text) => Some(FailureId::Text(text.as_str().into())),
        IgnoreEntry::Name(_) => None,
    });
    JailPolicy {
        name: jail.name.clone(),
        maxretry: jail.rules.maxretry,
        findtime: jail.rules.findtime,
        bantime: BanTimePolicy {
            bantime: jail.rules.bantime,
            increment: jail.rules.bantime_increment.clone(),
        },
        remember,
        ipv6_prefix: jail.rules.ipv6_prefix,
        maxmatches: jail.rules.maxmatches,
        ignore: IgnoreSet::from_ids(ids),
        ignoreself: jail.rules.ignoreself,
    }
}

/// Plugins of a configuration, loaded and configured.
#[derive(Debug, Default)]
struct LoadedPlugins {
    filters: BTreeMap<JailName, FilterPlugin>,
    actions: Vec<(PluginName, Actor)>,
    failed: Vec<(PluginName, Role, String)>,
}

impl Daemon {
    /// Starts the jails of the first configuration. What is broken fails alone.
    pub(super) fn start_jails(&mut self, now: Timestamp) {
        let setup = self.setup.clone();
        let mut loaded = self.load_plugins(&setup, None);
        let is_filter = |name: &PluginName| {
            let mut jails = setup.jails.iter();
            jails.any(|jail| matches!(&jail.filter, ReadyFilter::Plugin(used) if used == name))
        };
        let broken = setup.broken.iter().map(|(name, why)| {
            let role = if is_filter(name) {
                Role::Filter
            } else {
                Role::Action
            };
            (name.clone(), role, why.message.clone())
        });
        loaded.failed.extend(broken);
        for (_, _, why) in &loaded.failed {
            tracing::error!("{why}");
        }
        self.take_over(&setup, loaded, now);
    }

    /// Takes over a configuration whose plugins are loaded; no reader runs.
    fn take_over(&mut self, setup: &Setup, loaded: LoadedPlugins, now: Timestamp) {
        let LoadedPlugins {
            mut filters,
            actions,
            failed,
        } = loaded;
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
        for plan in plans {
            self.start_reader(plan);
        }
    }

    /// Loads the filter plugin of each jail, and the actions that are not running as they are.
    fn load_plugins(&mut self, setup: &Setup, before: Option<&Setup>) -> LoadedPlugins {
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

    /// Reads the configuration again; one with an error changes nothing.
    pub(super) async fn reload(&mut self) -> ControlReply {
        let refused = |diagnostics| {
            ControlReply::Error(ErrorReply {
                kind: ErrorKind::Config,
                message: "the new configuration has errors; the old one stays in force".to_owned(),
                hint: None,
                diagnostics,
            })
        };
        let setup = match setup::read(&self.parts.config) {
            Err(found) => return refused(crate::cli::wire(&found)),
            Ok(setup) => setup,
        };
        if !setup.broken.is_empty() {
            let found: Vec<_> = setup.broken.iter().map(|(_, why)| why.clone()).collect();
            return refused(crate::cli::wire(&found));
        }
        let before = self.setup.clone();
        let loaded = self.load_plugins(&setup, Some(&before));
        if let Some((_, _, why)) = loaded.failed.first() {
            return ControlReply::error(
                ErrorKind::Config,
                format!("{why}; the old configuration stays in force"),
            );
        }
        let mut reply = difference(&before, &setup);
        reply.diagnostics = crate::cli::wire(&setup.warnings);
        self.replace(setup, loaded).await;
        tracing::info!(
            "reloaded: {} jails added, {} removed, {} changed",
            reply.added.len(),
            reply.removed.len(),
            reply.changed.len()
        );
        ControlReply::Reload(reply)
    }

    async fn replace(&mut self, setup: Setup, loaded: LoadedPlugins) {
        self.drain_readers().await;
        let now = clock::now();
        let effects = self.engine.decider.reload(boot::policies(&setup), now);
        self.engine.take_up(effects, now);
        self.engine
            .enforcer
            .order(Order::Configure(boot::firewall_rules(&setup)));
        self.engine.save();
        self.names = None;
        match NameResolver::start(&setup.jails, self.events.clone()) {
            Ok(names) => self.names = names,
            Err(error) => tracing::error!("cannot look up the names in ignoreip: {error}"),
        }
        self.take_over(&setup, loaded, now);
        self.setup = setup;
    }

    /// The same for a signal, which has nobody to answer to.
    pub(super) async fn reload_by_signal(&mut self) {
        if let ControlReply::Error(error) = self.reload().await {
            tracing::error!("{}", error.message);
            for found in error.diagnostics {
                let line = found
                    .line
                    .map(|line| format!(":{line}"))
                    .unwrap_or_default();
                tracing::error!("{}{line}: {}", found.path, found.message);
            }
        }
    }
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
        (
            "firewall.backend",
            before.settings.firewall.backend != after.settings.firewall.backend,
        ),
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

fn is_same_action(before: &Setup, after: &Setup, name: &PluginName) -> bool {
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
