//! Decisions: who is attacking, who is banned, and until when.
//!
//! [`Decider`] is a function of events and of the time that is passed in: failures, orders of an
//! operator, reloads and timers go in, and [`Effect`]s come out as values, for a shell to carry out.
//! The other types here are the words in which the crates around speak to each other; they know
//! these types and none of their neighbours. Lengths of time are read as fail2ban writes them
//! ([`parse_duration`]), and its formulas without evaluating them as a program ([`BanFormula`]).
//!
//! What it does not do: no I/O, no clock, no async, no serde, no threads and no unsafe code. It
//! resolves no names and does not know what a firewall is. Everything in it that attackers can make
//! grow is bounded by [`Limits`].

#![forbid(unsafe_code)]

mod ban;
mod ban_table;
mod chance;
mod chunk;
mod decider;
mod effect;
mod escaped;
mod failure;
mod formula;
mod held;
mod id;
mod ignore;
mod increment;
mod jail;
mod jail_state;
mod limits;
mod matches;
mod plugin_name;
mod policy;
mod prior;
mod protected;
mod safeguards;
mod time;
mod timewords;
mod tracked;
mod window;

pub use ban::{Attempts, Ban, EarlierBans, UnbanReason};
pub use chunk::{Checkpoint, Chunk, FileCheckpoint, Fingerprint, LineTimes, SourceName};
pub use decider::Decider;
pub use effect::{Effect, Event, HeldStatus, JailStatus};
pub use escaped::Escaped;
pub use failure::{Failure, Failures, Span};
pub use formula::{BanFormula, FormulaError, parse_number, parse_time_arithmetic};
pub use id::{AddrParseError, FailureId, canonical, parse_addr};
pub use ignore::{IgnoreReason, IgnoreSet};
pub use increment::{BanTimeIncrement, Factor, Growth};
pub use ipnet::IpNet;
pub use jail::{JailName, JailNameError};
pub use limits::Limits;
pub use plugin_name::{PluginName, PluginNameError};
pub use policy::{BanTimePolicy, JailPolicy};
pub use protected::Protected;
pub use safeguards::{Safeguards, Widest};
pub use time::{BanTime, Timestamp};
pub use timewords::{TimeWordError, TimeWordErrorKind, TimeWords, parse_bantime, parse_duration};
