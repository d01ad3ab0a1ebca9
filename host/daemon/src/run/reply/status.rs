//! Answers that only look: `status` and `banned`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use stockade_config::FilterChoice;
use stockade_control::{
    AbsentJail, BackendStatus, BanEntry, BannedReply, ControlReply, FirewallStatus, HeldStatus,
    JailStatus, LogStatus, PluginRole, PluginState, PluginStatus, State, StatusReply, Stopped,
    StoreStatus, Time,
};
use stockade_core::{Ban, BanTime, Escaped, JailName, Timestamp};
use stockade_firewall::FirewallError;
use stockade_plugins::Role;

use crate::clock;
use crate::run::enforcement::{BackendId, Inspection, Key};
use crate::run::main_loop::Daemon;
use crate::run::reading::source_names;

impl Daemon {
    pub(super) async fn status(&mut self, only: Option<&JailName>) -> ControlReply {
        if let Some(name) = only.filter(|name| !self.has_jail(name) && !self.is_broken(name)) {
            return ControlReply::unknown_jail(name.as_str());
        }
        let now = clock::now();
        let held = self.engine.enforcement.inspect().await;
        ControlReply::Status(Box::new(StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.parts.started_at.into(),
            uptime_s: now.saturating_since(self.parts.started_at).as_secs(),
            firewall: self.firewall_status(&held),
            held: self.held_status(),
            protected: self.protection.status(),
            store: self.store_status(),
            log: LogStatus {
                target: self.setup.settings.daemon.log_target.to_string(),
                level: self.setup.settings.daemon.log_level.as_str().to_owned(),
            },
            sources: self.sources.status(),
            jails: self.jails(only, &held),
            absent: self.absent(only),
            plugins: self.plugins(),
        }))
    }

    fn firewall_status(&self, held: &[Held]) -> FirewallStatus {
        let backends = self.engine.enforcement.running().map(|(id, running)| {
            let held = held.iter().find(|(held, _)| *held == id);
            let held = held.and_then(|(_, held)| held.as_ref().ok());
            BackendStatus {
                name: running.backend.name().to_owned(),
                because: running.because.clone(),
                state: state(running.failure.is_some()),
                message: running.failure.clone(),
                bans: held.map(|held| u64::try_from(held.elements.len()).unwrap_or(u64::MAX)),
            }
        });
        let message = self.engine.enforcement.failure();
        FirewallStatus {
            state: state(message.is_some()),
            message,
            dry_run: self.parts.dry_run,
            backends: backends.collect(),
        }
    }

    fn held_status(&self) -> HeldStatus {
        let held = self.engine.decider.held();
        let safeguards = self.setup.settings.firewall.safeguards;
        HeldStatus {
            bans_per_minute: safeguards.bans_per_minute.map(NonZeroU32::get),
            waiting: u64::try_from(held.waiting).unwrap_or(u64::MAX),
            since: held.since.map(Time::from),
            total: held.total,
            dropped: held.dropped,
        }
    }

    fn store_status(&self) -> StoreStatus {
        let failing = self.engine.store_failing();
        StoreStatus {
            path: self
                .engine
                .store_path()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            state: state(failing),
            message: failing
                .then(|| "state cannot be stored; bans would not survive a crash".to_owned()),
            purge_age_s: self.setup.settings.daemon.db_purge_age.as_secs(),
        }
    }

    fn jails(&self, only: Option<&JailName>, held: &[Held]) -> Vec<JailStatus> {
        let mut jails = Vec::new();
        for counted in self.engine.decider.status(clock::now()) {
            let Some(jail) = self
                .setup
                .jails
                .iter()
                .find(|jail| jail.settings.name == counted.name)
            else {
                continue;
            };
            if only.is_some_and(|name| *name != counted.name) {
                continue;
            }
            let settings = &jail.settings;
            let sources = source_names(settings, self.has_journal);
            let (state, message) = self.jail_state(&settings.name, &sources);
            let unclear = self
                .unclear
                .get(&settings.name)
                .copied()
                .unwrap_or_default();
            jails.push(JailStatus {
                state,
                message,
                filter: match &settings.filter {
                    FilterChoice::Plain(filter) => filter.name.clone(),
                    FilterChoice::Plugin(name) => format!("plugin {name}"),
                },
                sources,
                actions: settings
                    .rules
                    .actions
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                firewall: self.backends_of(&settings.name),
                stopped: stopped(held, &settings.name),
                maxretry: settings.rules.maxretry.get(),
                findtime_s: settings.rules.findtime.as_secs(),
                bantime_s: match settings.rules.bantime {
                    BanTime::For(time) => Some(time.as_secs()),
                    BanTime::Forever => None,
                },
                bantime_increment: settings.rules.bantime_increment.as_ref().map(Into::into),
                total_ambiguous: unclear.ambiguous,
                total_gave_up: unclear.gave_up,
                ..JailStatus::from(&counted)
            });
        }
        jails.extend(self.broken(only));
        jails
    }

    /// The jails that do not run because their settings have errors.
    fn broken(&self, only: Option<&JailName>) -> impl Iterator<Item = JailStatus> {
        let runs = |name: &str| {
            let mut jails = self.setup.jails.iter();
            jails.any(|jail| jail.settings.name.as_str() == name)
        };
        let broken = self.setup.broken.iter();
        broken
            .filter(move |jail| !runs(&jail.name))
            .filter(move |jail| only.is_none_or(|only| only.as_str() == jail.name))
            .map(|jail| JailStatus {
                name: Escaped(jail.name.as_bytes()).to_string(),
                state: State::Broken,
                message: Some(jail.why.to_string()),
                longest_ban_s: Some(0),
                ..JailStatus::default()
            })
    }

    fn is_broken(&self, name: &JailName) -> bool {
        let mut broken = self.setup.broken.iter();
        broken.any(|jail| jail.name == name.as_str())
    }

    /// The jails that are off because this host has nothing for them; not those of which its
    /// files say nothing, since few hosts have more than some of what is built in.
    fn absent(&self, only: Option<&JailName>) -> Vec<AbsentJail> {
        let absent = self.setup.settings.absent.iter();
        absent
            .filter(|jail| only.is_none() && !jail.built_in)
            .map(|jail| AbsentJail {
                name: jail.name.to_string(),
                message: jail.why.clone(),
            })
            .collect()
    }

    /// A jail waits while none of its logs is there.
    fn jail_state(&self, name: &JailName, sources: &[String]) -> (State, Option<String>) {
        if let Some(why) = self.failed.get(name) {
            return (State::Failed, Some(why.clone()));
        }
        let mut broken = self.setup.broken.iter();
        if let Some(jail) = broken.find(|jail| jail.name == name.as_str()) {
            let message = format!(
                "it keeps its old settings, since the new ones have errors: {}",
                jail.why
            );
            return (State::Degraded, Some(message));
        }
        let known = self.sources.status();
        let mut own = known
            .iter()
            .filter(|source| sources.contains(&source.name))
            .peekable();
        if own.peek().is_some() && own.all(|source| source.state == State::Waiting) {
            return (
                State::Waiting,
                Some("there is no log to read yet".to_owned()),
            );
        }
        (State::Ok, None)
    }

    fn plugins(&self) -> Vec<PluginStatus> {
        let now = clock::now();
        let monotonic = self.parts.clock.monotonic();
        let filters = self
            .filters
            .iter()
            .map(|(jail, handle)| (handle.snapshot(), vec![jail.to_string()]));
        filters
            .chain(self.engine.actions.status())
            .map(|(status, jails)| {
                let until = quarantined_until(&status, monotonic, now);
                PluginStatus {
                    quarantined_until: until,
                    ..plugin(status, jails)
                }
            })
            .chain(self.failed_plugins())
            .collect()
    }

    fn failed_plugins(&self) -> impl Iterator<Item = PluginStatus> {
        self.failed_plugins
            .iter()
            .map(|(name, role, why)| PluginStatus {
                name: name.to_string(),
                role: wire_role(*role),
                state: PluginState::Failed,
                message: Some(why.clone()),
                ..PluginStatus::default()
            })
    }

    /// Names of what enforces the bans of a jail.
    fn backends_of(&self, name: &JailName) -> Vec<String> {
        let enforcement = &self.engine.enforcement;
        let ids = enforcement.backends_of(name);
        let running = enforcement.running();
        let used = running.filter(|(id, _)| ids.contains(id));
        used.map(|(_, running)| running.backend.name().to_owned())
            .collect()
    }

    /// Whether all backends of its jail have this ban; `None` where that is not known or none is to.
    fn is_held(&self, held: &BTreeMap<BackendId, BTreeSet<Key>>, ban: &Ban) -> Option<bool> {
        let key = (ban.jail.clone(), ban.id.network()?);
        let backends = self.engine.enforcement.backends_of(&ban.jail);
        let asked = backends.iter().map(|id| Some(held.get(id)?.contains(&key)));
        let all: Vec<bool> = asked.collect::<Option<_>>()?;
        (!all.is_empty()).then(|| all.into_iter().all(|held| held))
    }

    pub(super) async fn banned(&mut self, only: Option<&JailName>) -> ControlReply {
        if let Some(name) = only.filter(|name| !self.has_jail(name)) {
            return ControlReply::unknown_jail(name.as_str());
        }
        let inspected = self.engine.enforcement.inspect().await.into_iter();
        let held = inspected.filter_map(|(id, held)| {
            let elements = held.ok()?.elements.into_iter();
            let keys = elements.map(|element| (element.jail, element.net));
            Some((id, keys.collect()))
        });
        let held: BTreeMap<_, BTreeSet<Key>> = held.collect();
        let bans = self
            .engine
            .decider
            .bans()
            .filter(|ban| only.is_none_or(|name| *name == ban.jail));
        let mut entries: Vec<_> = bans
            .map(|ban| {
                let in_firewall = self.is_held(&held, ban);
                (
                    (ban.jail.clone(), ban.at),
                    BanEntry {
                        in_firewall,
                        ..BanEntry::from(ban)
                    },
                )
            })
            .collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        ControlReply::Banned(BannedReply {
            bans: entries.into_iter().map(|(_, entry)| entry).collect(),
        })
    }
}

/// What one backend answered when it was asked what it holds.
type Held = (BackendId, Result<Inspection, FirewallError>);

/// What the rules of a jail have stopped, in all backends that count it.
fn stopped(held: &[Held], jail: &JailName) -> Option<Stopped> {
    let held = held.iter().filter_map(|(_, held)| held.as_ref().ok());
    let counters = held.flat_map(|held| &held.counters);
    let mut sum = None;
    for counter in counters.filter(|counter| counter.jail == *jail) {
        let sum = sum.get_or_insert(Stopped::default());
        sum.packets = sum.packets.saturating_add(counter.packets);
        sum.bytes = sum.bytes.saturating_add(counter.bytes);
    }
    sum
}

fn state(failing: bool) -> State {
    if failing { State::Failed } else { State::Ok }
}

fn plugin(status: stockade_plugins::PluginStatus, jails: Vec<String>) -> PluginStatus {
    let quarantined = matches!(status.state, stockade_plugins::State::Quarantined { .. });
    PluginStatus {
        name: status.name.to_string(),
        role: wire_role(status.role),
        jails,
        state: if quarantined {
            PluginState::Quarantined
        } else {
            PluginState::Running
        },
        message: status.last_fault,
        faults: status.faults,
        skipped_lines: status.skipped,
        queue: u64::try_from(status.queued).unwrap_or(u64::MAX),
        ..PluginStatus::default()
    }
}

fn wire_role(role: Role) -> PluginRole {
    match role {
        Role::Filter => PluginRole::Filter,
        Role::Action => PluginRole::Action,
    }
}

/// When a plugin comes back from quarantine, in wall-clock time.
fn quarantined_until(
    status: &stockade_plugins::PluginStatus,
    monotonic: Duration,
    now: Timestamp,
) -> Option<Time> {
    match status.state {
        stockade_plugins::State::Quarantined { until } => {
            Some(now.saturating_add(until.saturating_sub(monotonic)).into())
        }
        _ => None,
    }
}
