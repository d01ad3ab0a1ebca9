//! The nftables backend against a real kernel, each test in a network namespace of its own.
//!
//! Needs `unshare`, `ip` and `nft`; root or unprivileged user namespaces. Where they are missing
//! the tests say "skipped", or fail if `STOCKADE_TESTS_MUST_RUN` is set.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, its functions too"
)]

mod bans;
mod connections;
mod doctor;
mod gateways;
mod hooks;
mod namespace;
mod others;
mod own_addresses;
mod packets;
mod permission;
mod rules;

use std::collections::BTreeSet;
use std::time::Duration;

use stockade_core::{IpNet, JailName};
use stockade_firewall::{
    BlockType, Change, Element, Firewall, FirewallError, Hook, JailRules, PortRange, Ports,
    Protocol,
};

fn jail(name: &str) -> JailName {
    JailName::try_new(name).unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn rules(name: &str, ports: &[u16], protocols: &[Protocol], block: BlockType) -> JailRules {
    JailRules {
        jail: jail(name),
        ports: match ports {
            [] => Ports::All,
            ports => Ports::List(ports.iter().copied().map(PortRange::single).collect()),
        },
        protocols: protocols.to_vec(),
        block,
        hooks: BTreeSet::from([Hook::Input]),
    }
}

fn sshd() -> JailRules {
    rules("sshd", &[22], &[Protocol::Tcp], BlockType::Drop)
}

fn ban(name: &str, network: &str, seconds: Option<u64>) -> Change {
    Change::Ban {
        jail: jail(name),
        net: net(network),
        timeout: seconds.map(Duration::from_secs),
    }
}

fn unban(name: &str, network: &str) -> Change {
    Change::Unban {
        jail: jail(name),
        net: net(network),
    }
}

/// Applying where nothing may be refused.
trait ApplyAll {
    fn apply_all(&mut self, changes: &[Change]);
}

impl<F: Firewall> ApplyAll for F {
    #[track_caller]
    fn apply_all(&mut self, changes: &[Change]) {
        let refused = self.apply(changes).unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }
}

/// Why the only refusal was one.
#[track_caller]
fn refused(firewall: &mut impl Firewall, changes: &[Change]) -> FirewallError {
    let mut refused = firewall.apply(changes).unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    refused.remove(0).error
}

/// The networks that are banned for a jail, sorted.
fn banned(firewall: &mut dyn Firewall, name: &str) -> Vec<IpNet> {
    let mut nets: Vec<_> = firewall
        .list()
        .unwrap()
        .into_iter()
        .filter(|element| element.jail == jail(name))
        .map(|element| element.net)
        .collect();
    nets.sort();
    nets
}

/// Whether the end of `network` is within two seconds of `seconds` from now.
#[track_caller]
fn assert_expires(elements: &[Element], network: &str, seconds: Option<u64>) {
    let element = elements
        .iter()
        .find(|element| element.net == net(network))
        .unwrap_or_else(|| panic!("{network} is not banned: {elements:?}"));
    match (element.expires, seconds.map(Duration::from_secs)) {
        (None, None) => {}
        (Some(left), Some(wanted)) if left <= wanted && left + Duration::from_secs(30) > wanted => {
        }
        (left, wanted) => panic!("{network} ends in {left:?}, wanted {wanted:?}"),
    }
}
