//! The backends `iptables` (both variants) and `ufw` against a real kernel, each test in namespaces of its
//! own.
//!
//! Needs what `nftables` needs, and iptables, ipset and ufw. Where that is missing the tests say "skipped",
//! or fail if `STOCKADE_TESTS_MUST_RUN` is set.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, its functions too"
)]

mod bans;
mod choice;
#[path = "../nftables/namespace.rs"]
#[allow(dead_code, reason = "the tests of nftables use all of it")]
mod namespace;
mod others;
mod packets;
mod ufw;

use std::collections::BTreeSet;
use std::time::Duration;

use stockade_core::{IpNet, JailName};
use stockade_firewall::{
    Backend, BlockType, Change, Element, Firewall, FirewallError, Health, Hook, IptablesOptions,
    IptablesVariant, JailRules, PortRange, Ports, Protocol,
};

use crate::namespace::{command, have, wait_until};

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Nft,
    Legacy,
    Ufw,
}

impl Subject {
    /// The program that shows and changes its rules.
    fn program(self) -> &'static str {
        match self {
            Self::Nft => "iptables-nft",
            Self::Legacy => "iptables-legacy",
            Self::Ufw => "iptables",
        }
    }

    fn open(self) -> Box<dyn Firewall> {
        let variant = match self {
            Self::Nft => IptablesVariant::Nft,
            Self::Legacy => IptablesVariant::Legacy,
            Self::Ufw => return Backend::Ufw.open().unwrap(),
        };
        open_with(variant, IptablesOptions::default().bans_max)
    }
}

fn open_with(variant: IptablesVariant, bans_max: u32) -> Box<dyn Firewall> {
    let options = IptablesOptions {
        variant: Some(variant),
        bans_max,
    };
    Backend::Iptables(options).open().unwrap()
}

/// Makes a test of each case for each subject.
macro_rules! for_each_subject {
    ($($case:ident),* $(,)?) => {
        for_each_subject!(@ nft Nft $($case)*);
        for_each_subject!(@ legacy Legacy $($case)*);
        for_each_subject!(@ beside_ufw Ufw $($case)*);
    };
    (@ $module:ident $subject:ident $($case:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $case() {
                    let path = concat!(module_path!(), "::", stringify!($case));
                    let subject = crate::Subject::$subject;
                    crate::run_case(path, subject, super::$case);
                }
            )*
        }
    };
}
pub(crate) use for_each_subject;

/// Runs `body` in namespaces of its own, where iptables and ipset are installed.
fn in_namespaces(name: &str, body: impl FnOnce()) {
    let programs: [&[&str]; 3] = [
        &["iptables-nft", "-V"],
        &["iptables-legacy", "-V"],
        &["which", "ipset"],
    ];
    if have(&programs) {
        namespace::in_namespaces(name, body);
    }
}

/// The same for root alone: in a user namespace iptables-legacy does not list its tables, and nobody else
/// may read the files of ufw, of which copies are needed.
fn in_namespaces_as_root(name: &str, body: impl FnOnce()) {
    if rustix::process::geteuid().is_root() {
        in_namespaces(name, body);
    } else {
        namespace::write_line("skipped: only root can run this");
    }
}

fn in_namespaces_with_ufw(name: &str, body: impl FnOnce()) {
    if have(&[&["ufw", "version"]]) {
        in_namespaces_as_root(name, body);
    }
}

fn run_case(path: &str, subject: Subject, case: fn(Subject)) {
    // The harness leaves out the name of the crate.
    let (_, name) = path.split_once("::").unwrap();
    match subject {
        Subject::Nft => in_namespaces(name, || case(subject)),
        Subject::Legacy => in_namespaces_as_root(name, || case(subject)),
        Subject::Ufw => in_namespaces_with_ufw(name, || {
            ufw::enable();
            case(subject);
        }),
    }
}

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

#[track_caller]
fn apply(firewall: &mut dyn Firewall, changes: &[Change]) {
    let refused = firewall.apply(changes).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Why the only refusal was one, and whom it concerns.
#[track_caller]
fn refused(firewall: &mut dyn Firewall, changes: &[Change]) -> (FirewallError, Vec<IpNet>) {
    let mut refused = firewall.apply(changes).unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let refusal = refused.remove(0);
    (
        refusal.error,
        refusal.changes.iter().map(Change::net).collect(),
    )
}

/// The networks that are banned for a jail, sorted.
fn banned(firewall: &mut dyn Firewall, name: &str) -> Vec<IpNet> {
    let elements = firewall.list().unwrap().into_iter();
    let mut nets: Vec<_> = elements
        .filter(|element| element.jail == jail(name))
        .map(|element| element.net)
        .collect();
    nets.sort();
    nets
}

/// Whether the end of `network` is right, half a minute of a slow machine aside.
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

/// Destroys a set that no rule asks any more; nf_tables lets go of it a moment after it has said so.
fn destroy(set: &str) {
    wait_until("the kernel lets go of the set", || {
        let status = command("ipset").args(["destroy", set]).status();
        status.unwrap().success()
    });
}

/// What is said to be missing.
#[track_caller]
fn missing(firewall: &mut dyn Firewall) -> String {
    match firewall.probe().unwrap() {
        Health::Missing { what } => what.join("; "),
        Health::InPlace => panic!("nothing is missing"),
    }
}
