//! Enforcement: what is said to be banned is banned by the kernel.
//!
//! A backend is a small contract, [`Firewall`]: set up the rules of the jails, apply bans and
//! unbans, tell what the kernel really has, tell whether the rules are still there, go away. The
//! pure function [`difference()`] says what has to change for the kernel to hold what is wanted, so
//! a flush behind our back, a crash and an upgrade all heal by the same three calls: `configure`,
//! `list`, `apply`.
//!
//! The backend is nftables, spoken to by netlink; no `nft` process is started. It guards what is
//! addressed to this machine (hook `input`). Traffic that the machine forwards, such as ports that
//! a container engine publishes by DNAT, does not pass that hook and is not blocked.
//!
//! This crate decides nothing and stores nothing. It also knows the machine's own addresses
//! ([`OwnAddresses`]), because it is the crate that speaks netlink.

mod contract;
mod difference;
mod dry_run;
mod error;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod nftables;
mod own_addresses;
mod watch;

pub use contract::{
    BackendChoice, BlockType, Change, Element, Firewall, Health, JailRules, PREFIX_LEN_MIN_V4,
    PREFIX_LEN_MIN_V6, PortRange, Ports, Protocol, TIMEOUT_MAX, TIMEOUT_MIN, check_net,
};
pub use difference::{EXPIRY_SLACK, Wanted, difference};
pub use dry_run::NoFirewall;
pub use error::FirewallError;
#[cfg(target_os = "linux")]
pub use nftables::Nftables;
pub use own_addresses::OwnAddresses;
pub use watch::{Seen, Watch};

/// Opens the backend of this choice and checks that it may be used.
///
/// Changes nothing: rules appear with [`Firewall::configure`].
///
/// # Errors
/// [`FirewallError::NotPermitted`] without `CAP_NET_ADMIN`, [`FirewallError::NoNftables`] where the
/// kernel lacks nf_tables, [`FirewallError::NoBackend`] on a system for which there is none.
pub fn open(choice: BackendChoice) -> Result<Box<dyn Firewall>, FirewallError> {
    match choice {
        BackendChoice::None => Ok(Box::new(NoFirewall::new())),
        #[cfg(target_os = "linux")]
        BackendChoice::Auto | BackendChoice::Nftables => Ok(Box::new(Nftables::open()?)),
        #[cfg(not(target_os = "linux"))]
        BackendChoice::Auto | BackendChoice::Nftables => Err(FirewallError::NoBackend),
    }
}
