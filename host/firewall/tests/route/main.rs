//! The route backend against a real kernel, each test in a network namespace of its own.
//!
//! Needs what `nftables` needs. Where that is missing the tests say "skipped", or fail if
//! `STOCKADE_TESTS_MUST_RUN` is set.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, its functions too"
)]

#[path = "../nftables/namespace.rs"]
#[allow(dead_code, reason = "the tests of nftables use all of it")]
mod namespace;
mod others;
mod packets;

use std::collections::BTreeSet;
use std::time::Duration;

use stockade_core::{IpNet, JailName};
use stockade_firewall::{
    BlockType, Change, Firewall, FirewallError, Hook, JailRules, Ports, Route, RouteOptions,
};

fn jail(name: &str) -> JailName {
    JailName::try_new(name).unwrap()
}

fn rules(name: &str, block: BlockType) -> JailRules {
    JailRules {
        jail: jail(name),
        ports: Ports::All,
        protocols: vec![],
        block,
        hooks: BTreeSet::from([Hook::Input]),
    }
}

fn ban(name: &str, net: &str) -> Change {
    Change::Ban {
        jail: jail(name),
        net: net.parse().unwrap(),
        timeout: Some(Duration::from_secs(600)),
    }
}

fn unban(name: &str, net: &str) -> Change {
    Change::Unban {
        jail: jail(name),
        net: net.parse().unwrap(),
    }
}

/// One that enforces two jails, as it is after every start.
fn open() -> Route {
    let mut firewall = Route::open(RouteOptions::default()).unwrap();
    let jails = [
        rules("sshd", BlockType::Drop),
        rules("web", BlockType::Reject),
    ];
    firewall.configure(&jails).unwrap();
    firewall
}

#[track_caller]
fn apply(firewall: &mut Route, changes: &[Change]) {
    let refused = firewall.apply(changes).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Why the only refusal was one.
#[track_caller]
fn refused(firewall: &mut Route, change: Change) -> FirewallError {
    let mut refused = firewall.apply(std::slice::from_ref(&change)).unwrap();
    assert_eq!(refused.len(), 1, "{change:?}: {refused:?}");
    assert_eq!(refused[0].changes, [change]);
    refused.remove(0).error
}

/// What is banned, each with its jail.
fn listed(firewall: &mut Route) -> Vec<(String, IpNet)> {
    let elements = firewall.list().unwrap().into_iter();
    let mut listed: Vec<_> = elements
        .map(|element| {
            assert_eq!(element.expires, None);
            (element.jail.to_string(), element.net)
        })
        .collect();
    listed.sort_unstable();
    listed
}

fn expected(bans: &[(&str, &str)]) -> Vec<(String, IpNet)> {
    let bans = bans.iter();
    bans.map(|(jail, net)| ((*jail).to_owned(), net.parse().unwrap()))
        .collect()
}
