//! Runs plugins: components that strangers wrote, in a sandbox, with bounds, grants and a record of
//! their faults.
//!
//! A [`PluginHost`] is the engine and what all plugins share. It loads a component in one of two roles:
//! a [`FilterPlugin`] recognises failures in log lines, an [`ActionPlugin`] carries bans elsewhere. Both
//! belong to one thread each and block it while they run; there is no async (see
//! `docs/adr/0001-plugins-run-on-threads.md`).
//!
//! What a plugin does wrong stays here: a trap, an endless loop, too much memory or a senseless answer
//! costs it its instance, the item that caused it is found and skipped, and a plugin that goes on like
//! that is left alone for a while. Nothing that a plugin does is an `Err` that a caller has to handle
//! but at load.
//!
//! This crate knows no configuration, no logs and no store; what plugins are lent comes in as [`Grants`].

mod action;
mod answer;
mod batch;
mod bindings;
mod budget;
mod cache;
mod clock;
mod compile;
mod decision;
mod engine;
mod escape;
mod fault;
mod filter;
mod grants;
mod host;
mod http;
mod inspect;
mod isolate;
mod limits;
mod load;
mod load_error;
mod log_gate;
mod quarantine;
mod queue;
mod role;
mod state;
mod supervisor;
mod trusted;

pub use action::{ActionError, ActionErrorKind, ActionPlugin};
pub use answer::{Finding, Plan};
pub use batch::{FilterBatch, Pushed};
pub use budget::CallLimit;
pub use clock::{Clock, SystemClock};
pub use compile::{Compile, CompileError, compile_child_main};
pub use decision::Decision;
pub use fault::{Fault, FaultKind};
pub use filter::{Evaluation, FilterPlugin, PoisonLine};
pub use grants::{Capability, Grants, Kv, KvError, LogLevel, LogSink, TracingSink};
pub use host::{HostError, HostOptions, PluginHost};
pub use http::{GrantedOrigin, HttpLimits, Origin, OriginError};
pub use inspect::{Inspection, NotAComponent, inspect};
pub use limits::{COMPONENT_BYTES_MAX, Limits};
pub use load::{ComponentSource, PluginSpec};
pub use load_error::{LoadError, LoadReason};
pub use quarantine::State;
pub use queue::{ActionQueue, Order, Work};
pub use role::Role;
pub use supervisor::{PluginStatus, StatusHandle};
