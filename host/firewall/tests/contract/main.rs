//! What every backend of Linux must do, with real packets: the same cases for each of them.
//!
//! A backend is a [`Subject`]; each case becomes a test of each subject, called `SUBJECT::CASE`. What only one
//! backend has is tested beside it. Needs what these need; where that is missing the tests say "skipped", or
//! fail if `STOCKADE_TESTS_MUST_RUN` is set.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, its functions too"
)]

mod cases;
#[path = "../nftables/namespace.rs"]
#[allow(dead_code, reason = "the tests of nftables use all of it")]
mod namespace;

use std::collections::BTreeSet;

use stockade_core::JailName;
use stockade_firewall::{
    Backend, BlockType, Firewall, FirewallError, Hook, IptablesOptions, IptablesVariant, JailRules,
    NftablesOptions, Ports, RouteOptions,
};

use crate::namespace::have;

/// A backend under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Nftables,
    IptablesNft,
    IptablesLegacy,
    Route,
}

impl Subject {
    fn backend(self) -> Backend {
        let iptables = |variant| {
            Backend::Iptables(IptablesOptions {
                variant: Some(variant),
                ..IptablesOptions::default()
            })
        };
        match self {
            Self::Nftables => Backend::Nftables(NftablesOptions::default()),
            Self::IptablesNft => iptables(IptablesVariant::Nft),
            Self::IptablesLegacy => iptables(IptablesVariant::Legacy),
            Self::Route => Backend::Route(RouteOptions::default()),
        }
    }

    /// Opened, with a jail `all` that closes everything.
    fn open(self) -> Box<dyn Firewall> {
        let mut firewall = self.backend().open().unwrap();
        firewall.configure(&[rules()]).unwrap();
        firewall
    }

    /// Programs without which it cannot be tested here.
    fn needs(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Nftables | Self::Route => &[&["ping", "-V"]],
            Self::IptablesNft => &[
                &["ping", "-V"],
                &["iptables-nft", "-V"],
                &["which", "ipset"],
            ],
            Self::IptablesLegacy => &[
                &["ping", "-V"],
                &["iptables-legacy", "-V"],
                &["which", "ipset"],
            ],
        }
    }

    /// What others do to our rules, each a command.
    fn harms(self) -> &'static [&'static str] {
        match self {
            Self::Nftables => &[
                "nft flush ruleset",
                "nft delete table inet stockade",
                "nft flush set inet stockade ban4-32-all",
                "nft insert rule inet stockade input accept",
            ],
            Self::IptablesNft => &[
                "nft flush ruleset",
                "iptables-nft -F",
                "iptables-nft -I INPUT -j ACCEPT",
                "ipset flush",
            ],
            Self::IptablesLegacy => &[
                "iptables-legacy -F",
                "iptables-legacy -I INPUT -j ACCEPT",
                "ipset flush",
            ],
            Self::Route => &["ip route flush table 21332", "ip rule del priority 100"],
        }
    }
}

fn jail() -> JailName {
    JailName::try_new("all").unwrap()
}

fn rules() -> JailRules {
    JailRules {
        jail: jail(),
        ports: Ports::All,
        protocols: Vec::new(),
        block: BlockType::Drop,
        hooks: BTreeSet::from([Hook::Input]),
    }
}

/// Makes a test of each case for each subject.
macro_rules! for_each_subject {
    ($($case:ident),* $(,)?) => {
        for_each_subject!(@ nftables Nftables $($case)*);
        for_each_subject!(@ iptables_nft IptablesNft $($case)*);
        for_each_subject!(@ iptables_legacy IptablesLegacy $($case)*);
        for_each_subject!(@ route Route $($case)*);
    };
    (@ $module:ident $subject:ident $($case:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $case() {
                    let path = concat!(module_path!(), "::", stringify!($case));
                    crate::run(path, crate::Subject::$subject, crate::cases::$case);
                }
            )*
        }
    };
}

for_each_subject!(
    a_banned_host_gets_nowhere_and_others_do,
    an_unban_lets_in_again,
    banning_and_unbanning_twice_is_as_once,
    a_banned_network_holds_all_its_hosts_and_no_other,
    a_link_local_address_can_be_banned,
    a_new_process_finds_what_the_old_one_left,
    what_others_destroy_is_healed_by_what_is_wanted,
    a_ban_that_the_kernel_keeps_ends_without_us,
    every_hundredth_of_ten_thousand_is_stopped,
    what_others_made_stays_as_it_is_and_nothing_of_ours_is_left,
);

/// Runs a case in namespaces of its own.
fn run(path: &str, subject: Subject, case: fn(Subject)) {
    let (_, name) = path.split_once("::").unwrap();
    // In a user namespace iptables-legacy does not list its tables.
    if subject == Subject::IptablesLegacy && !rustix::process::geteuid().is_root() {
        namespace::write_line("skipped: only root can run this");
        return;
    }
    if have(subject.needs()) {
        namespace::in_namespaces(name, || case(subject));
    }
}

#[test]
fn without_permission_every_backend_says_so() {
    namespace::without_power("without_permission_every_backend_says_so", || {
        for subject in [Subject::Nftables, Subject::IptablesNft, Subject::Route] {
            let error = subject.backend().open().unwrap_err();
            let is_told = matches!(
                error,
                FirewallError::NotPermitted { .. } | FirewallError::Unavailable { .. }
            );
            assert!(is_told && error.hint().is_some(), "{subject:?}: {error}");
        }
    });
}
