//! From a file to something that can be started: checks what it is and wants, compiles it, and links
//! what is granted and nothing else.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wasmtime::component::{HasSelf, InstancePre, Linker};
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::stockade::{clock::clock, http::http, kv::kv, log::log};
use crate::budget::{Budget, CallLimit};
use crate::fault::Fault;
use crate::grants::{Capability, Grants};
use crate::host::{PluginHost, Shared};
use crate::http::Client;
use crate::inspect::{Inspection, inspect, track};
use crate::limits::{COMPONENT_BYTES_MAX, Limits, Meter};
use crate::load_error::LoadReason;
use crate::log_gate::LogGate;
use crate::role::Role;
use crate::state::HostState;
use stockade_core::PluginName;

/// What to load, and how.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// Its name in the configuration.
    pub name: PluginName,
    /// Where its component is.
    pub component: ComponentSource,
    /// What it is lent.
    pub grants: Grants,
    /// Its bounds; clamped to the ceilings.
    pub limits: Limits,
    /// Its settings, keys and values as the operator wrote them, in that order.
    pub settings: Vec<(String, String)>,
}

/// Where a component is.
#[derive(Clone, Debug)]
pub enum ComponentSource {
    /// In a file.
    File(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
}

/// Pairs of settings.
const SETTINGS_MAX: usize = 256;
/// Keys and values of all settings.
const SETTINGS_BYTES_MAX: usize = 64 << 10;

/// A compiled and linked component, from which instances are made.
pub(crate) struct Template {
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) limits: Limits,
    pub(crate) settings: Vec<(String, String)>,
    name: PluginName,
    grants: Grants,
    shared: Arc<Shared>,
    client: Option<Arc<Client>>,
    gate: Arc<Mutex<LogGate>>,
}

impl PluginHost {
    pub(crate) fn template(&self, spec: PluginSpec, role: Role) -> Result<Template, LoadReason> {
        let settings = spec.settings;
        let bytes: usize = settings
            .iter()
            .map(|(key, value)| key.len().saturating_add(value.len()))
            .sum();
        if settings.len() > SETTINGS_MAX || bytes > SETTINGS_BYTES_MAX {
            return Err(LoadReason::Settings);
        }
        let component = read(spec.component)?;
        let inspection = inspect(&component).map_err(LoadReason::NotAComponent)?;
        check_role(&inspection, role)?;
        check_imports(&inspection, &spec.name, &spec.grants)?;
        let component = self
            .shared
            .component(&component)
            .map_err(LoadReason::Compile)?;
        let refused = |error: wasmtime::Error| LoadReason::Link(Fault::from(error).message);
        let linker = linker(&self.shared, &spec.grants).map_err(refused)?;
        let pre = linker.instantiate_pre(&component).map_err(refused)?;
        let client = (!spec.grants.http.is_empty())
            .then(|| Arc::new(Client::new(&spec.grants.http, self.shared.http)));
        Ok(Template {
            pre,
            limits: spec.limits.clamped(),
            settings,
            name: spec.name,
            grants: spec.grants,
            shared: Arc::clone(&self.shared),
            client,
            gate: Arc::default(),
        })
    }
}

impl Template {
    /// A new, empty store with this plugin's bounds.
    pub(crate) fn store(&self) -> Store<HostState> {
        let state = HostState {
            plugin: self.name.clone(),
            budget: Budget::begin(self.limits.configure),
            meter: Meter::new(self.limits.memory_bytes_max),
            clock: Arc::clone(&self.shared.clock),
            log: Arc::clone(&self.shared.log),
            gate: Arc::clone(&self.gate),
            kv: self.grants.kv.clone(),
            http: self.client.clone(),
        };
        let mut store = Store::new(&self.shared.engine, state);
        store.limiter(|state| &mut state.meter);
        store.epoch_deadline_callback(|store| {
            store.data().budget.check()?;
            Ok(UpdateDeadline::Continue(1))
        });
        store
    }

    /// Runs `act` on the store within `limit`. After a fault the store must not be used again.
    pub(crate) fn call<T>(
        &self,
        store: &mut Store<HostState>,
        limit: CallLimit,
        act: impl FnOnce(&mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let _running = self.shared.ticker.running();
        store.data_mut().budget = Budget::begin(limit);
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(self.limits.copied_bytes_max);
        act(store).map_err(Fault::from)
    }
}

fn read(source: ComponentSource) -> Result<Vec<u8>, LoadReason> {
    let path = match source {
        ComponentSource::Bytes(bytes) => return Ok(bytes),
        ComponentSource::File(path) => path,
    };
    // One byte more than allowed is enough for `inspect` to refuse it.
    let limit = u64::try_from(COMPONENT_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Ok(bytes),
        Err(source) => Err(LoadReason::Read { path, source }),
    }
}

fn check_role(inspection: &Inspection, role: Role) -> Result<(), LoadReason> {
    if inspection.roles.contains(&role) {
        return Ok(());
    }
    let (wanted, _) = track(role.interface());
    match inspection
        .exports
        .iter()
        .find(|export| track(export).0 == wanted)
    {
        Some(found) => Err(LoadReason::OtherVersion {
            found: found.clone(),
            offered: role.interface(),
        }),
        None => Err(LoadReason::WrongRole {
            role,
            exports: inspection.exports.clone(),
        }),
    }
}

fn check_imports(
    inspection: &Inspection,
    plugin: &PluginName,
    grants: &Grants,
) -> Result<(), LoadReason> {
    if let Some(import) = inspection.unknown.first() {
        let (interface, _) = track(import);
        if let Some(other) = Capability::ALL
            .iter()
            .find(|c| track(c.interface()).0 == interface)
        {
            return Err(LoadReason::OtherVersion {
                found: import.clone(),
                offered: other.interface(),
            });
        }
        let hint = if import.starts_with("wasi:") {
            "; build it without WASI, for the target wasm32-unknown-unknown"
        } else {
            ""
        };
        return Err(LoadReason::UnknownImport {
            import: import.clone(),
            hint,
        });
    }
    match inspection.wants.iter().find(|wanted| !grants.has(**wanted)) {
        None => Ok(()),
        Some(wanted) => Err(LoadReason::NotGranted {
            plugin: plugin.clone(),
            interface: wanted.interface(),
            grant: wanted.grant(),
        }),
    }
}

/// Links what is granted. The rest does not exist for the plugin, whatever its code tries.
fn linker(shared: &Shared, grants: &Grants) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(&shared.engine);
    if grants.has(Capability::Log) {
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut HostState| state)?;
    }
    if grants.has(Capability::Clock) {
        clock::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut HostState| state)?;
    }
    if grants.has(Capability::Kv) {
        kv::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut HostState| state)?;
    }
    if grants.has(Capability::Http) {
        http::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut HostState| state)?;
    }
    Ok(linker)
}
