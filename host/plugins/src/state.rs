//! What the host keeps for one instance, and the functions that it lends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::Result;

use crate::bindings::stockade::{clock::clock, http::http, kv::kv, log::log, types::types};
use crate::budget::Budget;
use crate::clock::{Clock, thread_cpu};
use crate::escape::escaped;
use crate::grants::{Kv, KvError, LogLevel, LogSink};
use crate::http::Client;
use crate::limits::Meter;
use crate::log_gate::{LogGate, Passage};
use stockade_core::PluginName;

/// A log line's text; as long as syslog's oldest limit (RFC 3164) and one more.
const LOG_BYTES_MAX: usize = 1024;
/// A key of the key-value space, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// A value of the key-value space, in bytes.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Keys in one answer.
const KEYS_LISTED_MAX: usize = 1000;
/// Kept back from a call's wall time when a request waits, so that the plugin can still say that it
/// had no answer.
const RETURN_TIME: Duration = Duration::from_secs(1);

/// The state of one store.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) plugin: PluginName,
    pub(crate) budget: Budget,
    pub(crate) meter: Meter,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<dyn LogSink>,
    /// Shared by all instances of a plugin, so that a restart is no way around it.
    pub(crate) gate: Arc<Mutex<LogGate>>,
    pub(crate) kv: Option<Arc<dyn Kv>>,
    pub(crate) http: Option<Arc<Client>>,
}

impl types::Host for HostState {}

impl log::Host for HostState {
    fn log(&mut self, level: log::Level, message: String) -> Result<()> {
        let now = self.clock.monotonic();
        let passage = self
            .gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pass(now);
        let Passage::Write { held_back } = passage else {
            return Ok(());
        };
        if held_back > 0 {
            let text = format!("{held_back} lines of this plugin were held back");
            self.log.write(&self.plugin, LogLevel::Warn, &text);
        }
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log.write(
            &self.plugin,
            level,
            &escaped(message.as_bytes(), LOG_BYTES_MAX),
        );
        Ok(())
    }
}

impl clock::Host for HostState {
    fn now(&mut self) -> Result<u64> {
        Ok(u64::try_from(self.clock.wall().as_micros()).unwrap_or(0))
    }

    fn monotonic(&mut self) -> Result<u64> {
        Ok(u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX))
    }
}

impl HostState {
    /// The plugin's space. Without a grant the interface is not linked, so this is only a second lock.
    fn space(&self, key: &str) -> std::result::Result<&dyn Kv, kv::Error> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(kv::Error::TooLarge);
        }
        self.kv
            .as_deref()
            .ok_or_else(|| kv::Error::Unavailable("kv is not granted".into()))
    }

    /// Runs a host function whose CPU time is not the plugin's.
    fn excused<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = thread_cpu();
        let result = act(self);
        self.budget.excuse(thread_cpu().saturating_sub(before));
        result
    }
}

impl From<KvError> for kv::Error {
    fn from(error: KvError) -> Self {
        match error {
            KvError::TooLarge => Self::TooLarge,
            KvError::Quota => Self::Quota,
            KvError::NotANumber => Self::NotANumber,
            KvError::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

impl kv::Host for HostState {
    fn get(&mut self, key: String) -> Result<std::result::Result<Option<Vec<u8>>, kv::Error>> {
        Ok(self.excused(|it| Ok(it.space(&key)?.get(&key)?)))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
    ) -> Result<std::result::Result<(), kv::Error>> {
        if value.len() > VALUE_BYTES_MAX {
            return Ok(Err(kv::Error::TooLarge));
        }
        Ok(self.excused(|it| Ok(it.space(&key)?.set(&key, &value, ttl_seconds)?)))
    }

    fn delete(&mut self, key: String) -> Result<std::result::Result<(), kv::Error>> {
        Ok(self.excused(|it| Ok(it.space(&key)?.delete(&key)?)))
    }

    fn increment(
        &mut self,
        key: String,
        by: i64,
        ttl_seconds: Option<u32>,
    ) -> Result<std::result::Result<i64, kv::Error>> {
        Ok(self.excused(|it| Ok(it.space(&key)?.increment(&key, by, ttl_seconds)?)))
    }

    fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<std::result::Result<Vec<String>, kv::Error>> {
        let limit = usize::try_from(limit)
            .unwrap_or(KEYS_LISTED_MAX)
            .min(KEYS_LISTED_MAX);
        Ok(self.excused(|it| {
            let space = it.kv.as_deref();
            let space = space.ok_or_else(|| kv::Error::Unavailable("kv is not granted".into()))?;
            Ok(space.keys(&prefix, after.as_deref(), limit)?)
        }))
    }
}

impl http::Host for HostState {
    fn send(
        &mut self,
        request: http::Request,
    ) -> Result<std::result::Result<http::Response, http::Error>> {
        let Some(client) = self.http.clone() else {
            return Ok(Err(http::Error::Denied("http is not granted".into())));
        };
        let left = self.budget.wall_left().saturating_sub(RETURN_TIME);
        Ok(self.excused(|_| client.send(request, left)))
    }
}

#[cfg(test)]
mod tests;
