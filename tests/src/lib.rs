//! What tests above unit level stand on: namespaces, the real daemon in a folder of its own, the
//! kernel's word about who is banned, an HTTP endpoint, and plugins that misbehave.
//!
//! `tests/README.md` says where a test goes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may panic, start processes, and stand in for programs that have a clock"
)]

mod attack;
mod binary;
mod daemon;
mod endpoint;
mod fail2ban;
mod guest;
#[cfg(target_os = "linux")]
mod kernel;
mod namespace;
mod place;
mod wait;

pub use attack::{LogFile, failure, stamp};
pub use binary::{component, repository, stockade};
pub use daemon::{Daemon, Told};
pub use endpoint::{Endpoint, Received};
pub use fail2ban::{Fail2ban, copy_fail2ban};
pub use guest::{Fault, guest};
#[cfg(target_os = "linux")]
pub use kernel::{ban_timeout, banned, blackholes, has_table, nft, remove_table};
pub use namespace::{MUST_RUN, in_namespace};
pub use place::{ONE_JAIL, Place};
pub use wait::{rest, wait_for, wait_until};
