//! What an operator lends to a plugin. What is not granted is not linked: it does not exist for it.

use std::fmt;
use std::sync::Arc;

use crate::http::GrantedOrigin;
use stockade_core::PluginName;

/// The abilities of one plugin. The default is none.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// It may write to stockade's log.
    pub log: bool,
    /// It may ask for the time.
    pub clock: bool,
    /// Its key-value space, where it may keep one.
    pub kv: Option<Arc<dyn Kv>>,
    /// Where it may send requests; empty for nowhere.
    pub http: Vec<GrantedOrigin>,
}

/// One of the host's abilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// `stockade:log`.
    Log,
    /// `stockade:clock`.
    Clock,
    /// `stockade:kv`.
    Kv,
    /// `stockade:http`.
    Http,
}

impl Capability {
    /// All that this version offers.
    pub const ALL: [Self; 4] = [Self::Log, Self::Clock, Self::Kv, Self::Http];

    /// The interface that a component imports to use it.
    #[must_use]
    pub fn interface(self) -> &'static str {
        match self {
            Self::Log => "stockade:log/log@0.1.0",
            Self::Clock => "stockade:clock/clock@0.1.0",
            Self::Kv => "stockade:kv/kv@0.1.0",
            Self::Http => "stockade:http/http@0.1.0",
        }
    }

    /// What to write under `[plugins.NAME.grant]`.
    #[must_use]
    pub fn grant(self) -> &'static str {
        match self {
            Self::Log => "log = true",
            Self::Clock => "clock = true",
            Self::Kv => "kv = true",
            Self::Http => "http = [\"https://…\"]",
        }
    }
}

impl Grants {
    /// Whether `capability` is granted.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Log => self.log,
            Capability::Clock => self.clock,
            Capability::Kv => self.kv.is_some(),
            Capability::Http => !self.http.is_empty(),
        }
    }
}

/// The key-value space of one plugin. The caller has checked the lengths of keys and values; the space
/// keeps the quotas and is durable when it returns. See `wit/kv`.
pub trait Kv: fmt::Debug + Send + Sync {
    /// The value of `key`, where it has one that has not run out.
    ///
    /// # Errors
    /// [`KvError::Unavailable`].
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError>;

    /// Sets a value, for `ttl_seconds` or until it is deleted.
    ///
    /// # Errors
    /// [`KvError::Quota`], [`KvError::Unavailable`].
    fn set(&self, key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<(), KvError>;

    /// Deletes a key; a success where it is absent.
    ///
    /// # Errors
    /// [`KvError::Unavailable`].
    fn delete(&self, key: &str) -> Result<(), KvError>;

    /// Adds `by` to the integer that the key holds, saturating, and returns the sum.
    ///
    /// # Errors
    /// [`KvError::NotANumber`], [`KvError::Quota`], [`KvError::Unavailable`].
    fn increment(&self, key: &str, by: i64, ttl_seconds: Option<u32>) -> Result<i64, KvError>;

    /// At most `limit` keys that begin with `prefix` and follow `after`, in byte order.
    ///
    /// # Errors
    /// [`KvError::Unavailable`].
    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize)
    -> Result<Vec<String>, KvError>;
}

/// Why a key-value call failed; the cases of `wit/kv`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The key or the value is longer than allowed, or the key is empty.
    #[error("the key or the value is too large")]
    TooLarge,
    /// The plugin has used up its keys or bytes.
    #[error("the plugin has used up its space")]
    Quota,
    /// The value is not an integer.
    #[error("the value is not an integer")]
    NotANumber,
    /// The store cannot do it now.
    #[error("{0}")]
    Unavailable(String),
}

/// How much a plugin's log line matters; the cases of `wit/log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// Something was done.
    Info,
    /// Odd, but nothing is lost.
    Warn,
    /// An operator has to act.
    Error,
}

/// Where the log lines of plugins go. What arrives is one escaped line of bounded length, at a bounded
/// rate.
pub trait LogSink: fmt::Debug + Send + Sync {
    /// Writes one line of `plugin`.
    fn write(&self, plugin: &PluginName, level: LogLevel, message: &str);
}

/// Writes to stockade's own log by `tracing`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

impl LogSink for TracingSink {
    fn write(&self, plugin: &PluginName, level: LogLevel, message: &str) {
        match level {
            LogLevel::Debug => tracing::debug!(target: "stockade::plugin", %plugin, "{message}"),
            LogLevel::Info => tracing::info!(target: "stockade::plugin", %plugin, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "stockade::plugin", %plugin, "{message}"),
            LogLevel::Error => tracing::error!(target: "stockade::plugin", %plugin, "{message}"),
        }
    }
}
