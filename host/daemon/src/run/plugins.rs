//! From the configuration's words about plugins to the plugin host's.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stockade_config::PluginSettings;
use stockade_core::PluginName;
use stockade_plugins::{
    Clock, Compile, ComponentSource, GrantedOrigin, Grants, HostError, HostOptions, Kv, KvError,
    Limits, Origin, PluginHost, PluginSpec, Role,
};
use stockade_store::PluginKv;

use crate::clock;

/// The key-values of all plugins; opened only when a plugin is granted them.
pub(super) type SharedKv = Arc<Mutex<PluginKv>>;

/// The engine. Compiled code is kept below `state_dir`; without one it is compiled at each start.
pub(super) fn host(
    state_dir: Option<&Path>,
    clock: Arc<dyn Clock>,
) -> Result<PluginHost, HostError> {
    // A child compiles, so that neither its memory nor its mistakes are the daemon's.
    let compile = match std::env::current_exe() {
        Ok(program) => Compile::Child {
            program,
            args: vec!["plugin-compile".to_owned()],
        },
        Err(_) => Compile::InProcess,
    };
    PluginHost::new(HostOptions {
        cache_dir: state_dir.map(|dir| dir.join("compiled")),
        compile,
        clock,
        ..HostOptions::default()
    })
}

/// What to load for a plugin of the configuration.
pub(super) fn spec(
    name: &PluginName,
    plugin: &PluginSettings,
    component: &[u8],
    role: Role,
    kv: Option<&SharedKv>,
) -> PluginSpec {
    let kv = plugin.grant.kv.then(|| -> Arc<dyn Kv> {
        match kv {
            Some(shared) => Arc::new(Space {
                plugin: name.as_str().to_owned(),
                shared: Arc::clone(shared),
            }),
            None => Arc::new(NoSpace),
        }
    });
    let http = plugin.grant.http.iter().filter_map(|granted| {
        let origin = Origin::parse(&granted.origin.to_string()).ok()?;
        Some(GrantedOrigin {
            origin,
            private: granted.private,
        })
    });
    PluginSpec {
        grants: Grants {
            log: plugin.grant.log,
            clock: plugin.grant.clock,
            kv,
            http: http.collect(),
        },
        limits: limits(plugin, role),
        settings: plugin
            .settings
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        component: ComponentSource::Bytes(component.to_vec()),
        name: name.clone(),
    }
}

fn limits(plugin: &PluginSettings, role: Role) -> Limits {
    let mut limits = Limits::of(role);
    if let Some(bytes) = plugin.limits.memory {
        limits.memory_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(deadline) = plugin.limits.deadline {
        limits.call.cpu = deadline;
        limits.call.wall = limits.call.wall.max(deadline);
    }
    limits.clamped()
}

/// One plugin's part of the key-values.
#[derive(Debug)]
struct Space {
    plugin: String,
    shared: SharedKv,
}

impl Space {
    fn store(&self) -> MutexGuard<'_, PluginKv> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ttl(seconds: Option<u32>) -> Option<Duration> {
    seconds.map(|seconds| Duration::from_secs(seconds.into()))
}

fn failed(error: &stockade_store::KvError) -> KvError {
    match error {
        stockade_store::KvError::TooLarge { .. } => KvError::TooLarge,
        stockade_store::KvError::Quota => KvError::Quota,
        stockade_store::KvError::NotANumber => KvError::NotANumber,
        other => KvError::Unavailable(crate::cli::chain(other)),
    }
}

impl Kv for Space {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.store()
            .get(&self.plugin, key, clock::now())
            .map_err(|error| failed(&error))
    }

    fn set(&self, key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<(), KvError> {
        let set = self
            .store()
            .set(&self.plugin, key, value, ttl(ttl_seconds), clock::now());
        set.map_err(|error| failed(&error))
    }

    fn delete(&self, key: &str) -> Result<(), KvError> {
        self.store()
            .delete(&self.plugin, key)
            .map(drop)
            .map_err(|error| failed(&error))
    }

    fn increment(&self, key: &str, by: i64, ttl_seconds: Option<u32>) -> Result<i64, KvError> {
        let sum = self
            .store()
            .increment(&self.plugin, key, by, ttl(ttl_seconds), clock::now());
        sum.map_err(|error| failed(&error))
    }

    fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, KvError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let keys = self
            .store()
            .keys(&self.plugin, prefix, after, limit, clock::now());
        keys.map_err(|error| failed(&error))
    }
}

/// What a plugin has in a dry run, or where the database cannot be opened: it is told so.
#[derive(Debug)]
struct NoSpace;

impl NoSpace {
    fn unavailable<T>() -> Result<T, KvError> {
        Err(KvError::Unavailable(
            "nothing is kept at the moment".to_owned(),
        ))
    }
}

impl Kv for NoSpace {
    fn get(&self, _key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Self::unavailable()
    }

    fn set(&self, _key: &str, _value: &[u8], _ttl_seconds: Option<u32>) -> Result<(), KvError> {
        Self::unavailable()
    }

    fn delete(&self, _key: &str) -> Result<(), KvError> {
        Self::unavailable()
    }

    fn increment(&self, _key: &str, _by: i64, _ttl_seconds: Option<u32>) -> Result<i64, KvError> {
        Self::unavailable()
    }

    fn keys(
        &self,
        _prefix: &str,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Vec<String>, KvError> {
        Self::unavailable()
    }
}
