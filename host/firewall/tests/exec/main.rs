//! The exec backend with real programs: what they are told, what their answers mean, the examples of
//! `config/exec`, and real packets with `nft` as the program.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, its functions too"
)]

mod examples;
#[cfg(target_os = "linux")]
#[path = "../nftables/namespace.rs"]
#[allow(dead_code, reason = "the tests of nftables use all of it")]
mod namespace;
#[cfg(target_os = "linux")]
mod packets;
mod told;

use std::collections::BTreeSet;
use std::time::Duration;

use stockade_core::JailName;
use stockade_firewall::{
    BlockType, Change, Exec, ExecOptions, Firewall, Hook, JailRules, PortRange, Ports, Protocol,
};

/// Longer than any program of these tests takes.
const LONG: Duration = Duration::from_secs(600);

fn rules(name: &str) -> JailRules {
    JailRules {
        jail: JailName::try_new(name).unwrap(),
        ports: Ports::List(vec![PortRange::single(22)]),
        protocols: vec![Protocol::Tcp],
        block: BlockType::Drop,
        hooks: BTreeSet::from([Hook::Input]),
    }
}

fn ban(name: &str, net: &str, seconds: Option<u64>) -> Change {
    Change::Ban {
        jail: JailName::try_new(name).unwrap(),
        net: net.parse().unwrap(),
        timeout: seconds.map(Duration::from_secs),
    }
}

fn unban(name: &str, net: &str) -> Change {
    Change::Unban {
        jail: JailName::try_new(name).unwrap(),
        net: net.parse().unwrap(),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Options with a program for bans and unbans only.
fn options(ban: &[&str], unban: &[&str]) -> ExecOptions {
    ExecOptions {
        name: "mine".to_owned(),
        ban: words(ban),
        unban: words(unban),
        list: None,
        check: None,
        start: None,
        stop: None,
        timeout: LONG,
        batch: false,
    }
}

#[track_caller]
fn apply(firewall: &mut Exec, changes: &[Change]) {
    let refused = firewall.apply(changes).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

/// What is banned, each as a line `jail network`, sorted.
fn listed(firewall: &mut Exec) -> Vec<String> {
    let elements = firewall.list().unwrap().into_iter();
    let mut lines: Vec<_> = elements
        .map(|element| format!("{} {}", element.jail, element.net))
        .collect();
    lines.sort_unstable();
    lines
}
