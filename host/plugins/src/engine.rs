//! The one engine of the process and the thread that makes its time pass.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel};

/// Ticks without a running call after which the ticker sleeps: an idle machine is not woken up 200
/// times a second, and a busy one does not wake the ticker for every batch.
const QUIET_TICKS: u32 = 200;

/// How often a running plugin is asked whether its time is over. Shorter costs more wake-ups while
/// idle, longer makes the 50 ms of a filter imprecise.
const TICK: Duration = Duration::from_millis(5);

/// Stack of the plugin's own code; deeper recursion traps. Plugin threads have 2 MiB.
const WASM_STACK_BYTES: usize = 512 << 10;

/// An engine with our settings. The compiling child and the daemon must agree on them, which the
/// compatibility hash in the compiled code checks.
///
/// # Errors
/// Where wasmtime does not support this machine.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        // Deadlines: the cheapest way to interrupt code that never returns.
        .epoch_interruption(true)
        // Trebles the cost of a call, and only WASI 0.3 needs it.
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(WASM_STACK_BYTES)
        // A fault is shown with the innermost function; a stack of thousands costs time.
        .wasm_backtrace_max_frames(NonZeroUsize::new(1))
        .memory_init_cow(true)
        // A smaller surface: nothing that we let plugins do needs these.
        .wasm_memory64(false)
        .shared_memory(false);
    Engine::new(&config)
}

/// Raises the engine's epoch while calls are running.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// A running call; the ticker is awake as long as one exists.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread. An OS thread and not a timer of an executor, which can starve.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let engine = engine.clone();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("plugin-ticker".into())
            .spawn(move || tick(&engine, &of_thread))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// A call begins.
    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.shared)
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut quiet = 0_u32;
    while !shared.stop.load(Ordering::SeqCst) {
        quiet = if shared.calls.load(Ordering::SeqCst) == 0 {
            quiet.saturating_add(1)
        } else {
            0
        };
        if quiet < QUIET_TICKS {
            // Woken early it ticks early, which does no harm: a tick only makes the plugin look.
            std::thread::park_timeout(TICK);
            engine.increment_epoch();
            continue;
        }
        shared.asleep.store(true, Ordering::SeqCst);
        // A call that began before the line above did not see it and does not wake us.
        if shared.calls.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
            std::thread::park();
        }
        shared.asleep.store(false, Ordering::SeqCst);
        quiet = 0;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else {
            return;
        };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that times plugins has panicked");
        }
    }
}
