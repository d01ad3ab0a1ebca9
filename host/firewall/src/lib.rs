//! Enforcement: what is said to be banned is banned by the kernel.
//!
//! A backend is a small contract, [`Firewall`]: set up the rules of the jails, apply bans and
//! unbans, tell what the kernel really has, tell whether the rules are still there, go away. The
//! pure function [`difference()`] says what has to change for the kernel to hold what is wanted, so
//! a flush behind our back, a crash and an upgrade all heal by the same three calls: `configure`,
//! `list`, `apply`. Everything that goes in and comes out is a plain value, so that the part that may
//! change the firewall can become a process of its own.
//!
//! A [`Backend`] is a value too, with its options; [`choose`] finds the best one of this machine.
//!
//! This crate decides nothing and stores nothing. It also knows the machine's own addresses
//! ([`OwnAddresses`]) and its gateways ([`DefaultGateways`]), because it is the crate that speaks netlink.

mod backend;
#[cfg(target_os = "linux")]
mod connections;
mod contract;
mod difference;
mod doctor;
mod dry_run;
mod error;
mod exec;
mod gateways;
#[cfg(target_os = "linux")]
mod iptables;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod nftables;
mod own_addresses;
pub mod pf;
pub mod program;
#[cfg(target_os = "linux")]
mod route;
#[cfg(target_os = "linux")]
mod rtnetlink;
mod rules;
#[cfg(target_os = "linux")]
mod ufw;
mod watch;

pub use backend::{
    Backend, Choice, ExecOptions, IptablesOptions, IptablesVariant, NftablesOptions, RouteOptions,
    choose,
};
pub use contract::{
    Change, Counter, Element, Firewall, Health, PREFIX_LEN_MIN_V4, PREFIX_LEN_MIN_V6, Refusal,
    TIMEOUT_MAX, TIMEOUT_MIN, Timeouts, check_net,
};
pub use difference::{EXPIRY_SLACK, Wanted, difference};
pub use doctor::{TEST_ADDRESS, Tested, Translation, test_packet, translations};
pub use dry_run::NoFirewall;
pub use error::FirewallError;
pub use exec::Exec;
pub use gateways::DefaultGateways;
#[cfg(target_os = "linux")]
pub use iptables::Iptables;
#[cfg(target_os = "linux")]
pub use nftables::Nftables;
pub use own_addresses::OwnAddresses;
pub use pf::{Pf, PfOptions, setup_lines};
#[cfg(target_os = "linux")]
pub use route::Route;
pub use rules::{
    BlockType, Hook, JailRules, PortRange, Ports, Protocol, TARPIT_PACKETS_PER_MINUTE,
};
#[cfg(target_os = "linux")]
pub use ufw::Ufw;
pub use watch::{Seen, Watch};
