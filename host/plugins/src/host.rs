//! What all plugins of the process share.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::CodeCache;
use crate::clock::{Clock, SystemClock};
use crate::compile::{Compile, CompileError};
use crate::engine::{Ticker, engine};
use crate::grants::{LogSink, TracingSink};
use crate::http::HttpLimits;

/// How plugins are compiled, and what they see of the world.
#[derive(Debug)]
pub struct HostOptions {
    /// Where compiled code is kept, a directory that is ours alone; made where it is missing. `None`
    /// compiles at each start.
    pub cache_dir: Option<PathBuf>,
    /// Where components are compiled.
    pub compile: Compile,
    /// The clocks that plugins and quarantines see.
    pub clock: Arc<dyn Clock>,
    /// Where the log lines of plugins go.
    pub log: Arc<dyn LogSink>,
    /// Bounds of a plugin's requests.
    pub http: HttpLimits,
}

impl Default for HostOptions {
    /// No cache, compiling in this process, the machine's clocks, and `tracing`.
    fn default() -> Self {
        Self {
            cache_dir: None,
            compile: Compile::InProcess,
            clock: Arc::new(SystemClock::new()),
            log: Arc::new(TracingSink),
            http: HttpLimits::default(),
        }
    }
}

/// The engine of the process. Cloning is cheap; loaded plugins keep it alive.
#[derive(Clone, Debug)]
pub struct PluginHost {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<dyn LogSink>,
    pub(crate) http: HttpLimits,
    compile: Compile,
    cache: Option<CodeCache>,
}

/// Plugins cannot be run here at all.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// wasmtime does not support the machine.
    #[error("cannot set up the engine for plugins: {0}")]
    Engine(String),
    /// No thread.
    #[error("cannot start the thread that times plugins")]
    Ticker(#[source] io::Error),
}

impl PluginHost {
    /// Sets up the engine and the thread that times its calls, which ends when the host and all its
    /// plugins are dropped.
    ///
    /// A cache that cannot be used is told in the log and not used.
    ///
    /// # Errors
    /// Where plugins cannot be run at all.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        let engine = engine().map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(&engine).map_err(HostError::Ticker)?;
        let cache = options.cache_dir.and_then(|path| {
            CodeCache::open(&path)
                .inspect_err(|error| {
                    let path = path.display();
                    tracing::warn!(%path, %error, "cannot keep compiled plugins; they are compiled at each start");
                })
                .ok()
        });
        let shared = Shared {
            engine,
            ticker,
            clock: options.clock,
            log: options.log,
            http: options.http,
            compile: options.compile,
            cache,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }
}

impl Shared {
    /// The machine code of `bytes`, from the cache or the compiler.
    pub(crate) fn component(&self, bytes: &[u8]) -> Result<Component, CompileError> {
        let engine = &self.engine;
        if let Some(code) = self
            .cache
            .as_ref()
            .and_then(|cache| cache.get(engine, bytes))
        {
            match code.load(engine) {
                Ok(component) => return Ok(component),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "compiled plugin does not load; compiling it again");
                }
            }
        }
        let code = self.compile.run(engine, bytes)?;
        let component = code
            .load(engine)
            .map_err(|error| CompileError::Refused(format!("{error:#}")))?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.put(engine, bytes, &code)
        {
            tracing::warn!(%error, "cannot keep a compiled plugin");
        }
        Ok(component)
    }
}
