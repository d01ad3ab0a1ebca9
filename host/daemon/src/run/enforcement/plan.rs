//! Which backends enforce which jails' bans, by the configuration.

use std::collections::BTreeSet;

use stockade_config::FirewallBackend;
use stockade_core::{JailName, PluginName};
use stockade_firewall::{
    Backend, Choice, ExecOptions, FirewallError, IptablesOptions, IptablesVariant, JailRules,
    NftablesOptions, PfOptions, RouteOptions,
};

use crate::run::rules;
use crate::setup::Setup;

/// All backends that are needed.
#[derive(Clone, Debug, Default)]
pub(in crate::run) struct Plan {
    pub(in crate::run) backends: Vec<Planned>,
}

/// One backend and the jails that it serves.
#[derive(Clone, Debug)]
pub(in crate::run) struct Planned {
    pub(in crate::run) backend: Backend,
    /// Why it was chosen, where it was by itself.
    pub(in crate::run) because: Option<String>,
    pub(in crate::run) rules: Vec<JailRules>,
    /// Jails whose bans end the connections that there are.
    pub(in crate::run) ending: BTreeSet<JailName>,
}

impl Plan {
    /// The plan of a configuration; `auto` is what was chosen before, where that was needed already.
    ///
    /// # Errors
    /// Where a backend is to be chosen and this host has none that works.
    pub(in crate::run) fn new(
        setup: &Setup,
        dry_run: bool,
        auto: &mut Option<Choice>,
    ) -> Result<Self, FirewallError> {
        let mut plan = Self::default();
        for jail in &setup.jails {
            for wanted in &jail.settings.rules.enforcement.firewall {
                let (backend, because) = if dry_run {
                    (Backend::Nothing, None)
                } else {
                    backend(wanted, setup, auto)?
                };
                let planned = plan.of(backend, because);
                let rules = rules::rules(&jail.settings);
                if jail.settings.rules.enforcement.end_connections {
                    planned.ending.insert(rules.jail.clone());
                }
                if planned.rules.iter().all(|other| other.jail != rules.jail) {
                    planned.rules.push(rules);
                }
            }
        }
        Ok(plan)
    }

    fn of(&mut self, backend: Backend, because: Option<String>) -> &mut Planned {
        let known = self.backends.iter().position(|one| one.backend == backend);
        let index = known.unwrap_or_else(|| {
            self.backends.push(Planned {
                backend,
                because: None,
                rules: Vec::new(),
                ending: BTreeSet::new(),
            });
            self.backends.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        let planned = &mut self.backends[index];
        if because.is_some() {
            planned.because = because;
        }
        planned
    }
}

fn backend(
    wanted: &FirewallBackend,
    setup: &Setup,
    auto: &mut Option<Choice>,
) -> Result<(Backend, Option<String>), FirewallError> {
    let priority = setup.settings.firewall.priority;
    let nftables = || Backend::Nftables(NftablesOptions { priority });
    Ok(match wanted {
        FirewallBackend::Nftables => (nftables(), None),
        FirewallBackend::Iptables => (iptables(None), None),
        FirewallBackend::IptablesNft => (iptables(Some(IptablesVariant::Nft)), None),
        FirewallBackend::IptablesLegacy => (iptables(Some(IptablesVariant::Legacy)), None),
        FirewallBackend::Ufw => (Backend::Ufw, None),
        FirewallBackend::Pf => (Backend::Pf(PfOptions::default()), None),
        FirewallBackend::Exec(name) => (Backend::Exec(program(name, setup)?), None),
        FirewallBackend::Route => (Backend::Route(RouteOptions::default()), None),
        FirewallBackend::Auto => {
            let choice = match auto.clone() {
                Some(choice) => choice,
                None => stockade_firewall::choose()?,
            };
            *auto = Some(choice.clone());
            let backend = match choice.backend {
                Backend::Nftables(_) => nftables(),
                other => other,
            };
            (backend, Some(choice.because))
        }
    })
}

fn iptables(variant: Option<IptablesVariant>) -> Backend {
    Backend::Iptables(IptablesOptions {
        variant,
        ..IptablesOptions::default()
    })
}

/// The programs of a name that the configuration was checked for.
fn program(name: &PluginName, setup: &Setup) -> Result<ExecOptions, FirewallError> {
    let program = setup.settings.firewall.exec.get(name).cloned();
    let program = program.ok_or_else(|| FirewallError::Unavailable {
        backend: "exec",
        what: format!("there is no [firewall.exec.{name}]"),
        hint: None,
    })?;
    Ok(ExecOptions {
        name: name.to_string(),
        ban: program.ban,
        unban: program.unban,
        list: program.list,
        check: program.check,
        start: program.start,
        stop: program.stop,
        timeout: program.timeout,
        batch: program.batch,
    })
}
