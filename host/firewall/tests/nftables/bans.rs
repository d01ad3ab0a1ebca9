//! Bans and unbans as the kernel keeps them.

use std::collections::BTreeSet;
use std::time::Duration;

use stockade_core::{IpNet, Timestamp};
use stockade_firewall::{
    Change, Firewall, FirewallError, Nftables, NftablesOptions, TIMEOUT_MAX, Wanted, difference,
};

use crate::namespace::{in_namespace, run, wait_until};
use crate::{ApplyAll as _, assert_expires, ban, banned, jail, net, refused, sshd, unban};

fn open() -> Nftables {
    let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    firewall
}

#[test]
fn banning_again_gives_the_new_timeout() {
    in_namespace("bans::banning_again_gives_the_new_timeout", || {
        let mut firewall = open();
        for (network, seconds) in [
            ("192.0.2.1/32", Some(600)),
            ("192.0.2.1/32", Some(6000)),
            ("192.0.2.1/32", Some(60)),
            ("192.0.2.1/32", None),
            ("192.0.2.1/32", Some(60)),
            ("2001:db8::/64", Some(600)),
            ("2001:db8::/64", None),
            ("2001:db8::/64", Some(6000)),
        ] {
            firewall.apply_all(&[ban("sshd", network, seconds)]);
            assert_expires(&firewall.list().unwrap(), network, seconds);
        }
        assert_eq!(firewall.list().unwrap().len(), 2);
    });
}

#[test]
fn new_and_old_bans_and_unbans_go_together_in_one_call() {
    in_namespace(
        "bans::new_and_old_bans_and_unbans_go_together_in_one_call",
        || {
            let mut firewall = open();
            let changes = [
                ban("sshd", "192.0.2.1/32", Some(60)),
                ban("sshd", "192.0.2.2/32", Some(60)),
            ];
            firewall.apply_all(&changes);
            let changes = [
                ban("sshd", "192.0.2.1/32", Some(600)),
                unban("sshd", "192.0.2.2/32"),
                unban("sshd", "192.0.2.3/32"),
                unban("sshd", "198.51.100.0/24"),
                ban("sshd", "192.0.2.4/32", None),
                ban("sshd", "192.0.2.5/32", None),
                unban("sshd", "192.0.2.5/32"),
                unban("sshd", "192.0.2.6/32"),
                ban("sshd", "192.0.2.6/32", Some(600)),
            ];
            firewall.apply_all(&changes);
            let elements = firewall.list().unwrap();
            assert_eq!(elements.len(), 3, "{elements:?}");
            assert_expires(&elements, "192.0.2.1/32", Some(600));
            assert_expires(&elements, "192.0.2.4/32", None);
            assert_expires(&elements, "192.0.2.6/32", Some(600));
            firewall.apply_all(&[]);
        },
    );
}

#[test]
fn prefixes_inside_banned_prefixes_are_bans_of_their_own() {
    in_namespace(
        "bans::prefixes_inside_banned_prefixes_are_bans_of_their_own",
        || {
            let mut firewall = open();
            let nested = [
                ban("sshd", "192.0.0.0/16", Some(60)),
                ban("sshd", "192.0.2.0/24", Some(600)),
                ban("sshd", "192.0.2.0/32", None),
                ban("sshd", "255.0.0.0/8", Some(60)),
                ban("sshd", "2001:db8::/56", Some(60)),
                ban("sshd", "2001:db8::/64", None),
                ban("sshd", "2001:db8:0:1::/64", Some(600)),
            ];
            firewall.apply_all(&nested);
            let elements = firewall.list().unwrap();
            assert_eq!(elements.len(), nested.len());
            assert_expires(&elements, "192.0.2.0/24", Some(600));
            assert_expires(&elements, "192.0.2.0/32", None);
            assert_expires(&elements, "2001:db8::/56", Some(60));
            let wide = [
                unban("sshd", "192.0.0.0/16"),
                unban("sshd", "2001:db8::/56"),
            ];
            firewall.apply_all(&wide);
            let left = [
                "192.0.2.0/24",
                "192.0.2.0/32",
                "255.0.0.0/8",
                "2001:db8::/64",
                "2001:db8:0:1::/64",
            ];
            let mut left = left.map(net);
            left.sort();
            assert_eq!(banned(&mut firewall, "sshd"), left);
        },
    );
}

#[test]
fn the_kernel_ends_bans_by_itself() {
    in_namespace("bans::the_kernel_ends_bans_by_itself", || {
        let mut firewall = open();
        let changes = [
            ban("sshd", "192.0.2.1/32", Some(1)),
            ban("sshd", "2001:db8::/64", Some(0)),
            ban("sshd", "192.0.2.2/32", Some(600)),
        ];
        firewall.apply_all(&changes);
        assert_eq!(firewall.list().unwrap().len(), 3);
        wait_until("the short bans are over", || {
            banned(&mut firewall, "sshd") == [net("192.0.2.2/32")]
        });
        // What has run out can be banned and unbanned again.
        let again = [
            ban("sshd", "192.0.2.1/32", Some(600)),
            unban("sshd", "2001:db8::/64"),
        ];
        firewall.apply_all(&again);
        assert_eq!(firewall.list().unwrap().len(), 2);
    });
}

#[test]
fn the_longest_ban_is_taken_by_the_kernel() {
    in_namespace("bans::the_longest_ban_is_taken_by_the_kernel", || {
        let mut firewall = open();
        firewall.apply_all(&[ban("sshd", "192.0.2.1/32", Some(u64::MAX))]);
        assert_expires(
            &firewall.list().unwrap(),
            "192.0.2.1/32",
            Some(TIMEOUT_MAX.as_secs()),
        );
    });
}

#[test]
fn a_new_process_adopts_what_the_old_one_left() {
    in_namespace("bans::a_new_process_adopts_what_the_old_one_left", || {
        let mut old = open();
        let changes = [
            ban("sshd", "192.0.2.1/32", Some(600)),
            ban("sshd", "2001:db8::/64", Some(6000)),
            ban("sshd", "192.0.2.2/32", None),
        ];
        old.apply_all(&changes);
        drop(old);
        let mut new = Nftables::open(NftablesOptions::default()).unwrap();
        assert_eq!(new.list().unwrap().len(), 3);
        new.configure(&[sshd()]).unwrap();
        let elements = new.list().unwrap();
        assert_expires(&elements, "192.0.2.1/32", Some(600));
        assert_expires(&elements, "2001:db8::/64", Some(6000));
        assert_expires(&elements, "192.0.2.2/32", None);
        // The set that came with the first /64 is known to the new one.
        new.apply_all(&[
            ban("sshd", "2001:db8:1::/64", None),
            unban("sshd", "2001:db8::/64"),
        ]);
        let rules = run("nft list chain inet stockade jail-sshd");
        assert_eq!(rules.matches("@ban6-64-sshd").count(), 1, "{rules}");
        let expected = [
            net("192.0.2.1/32"),
            net("192.0.2.2/32"),
            net("2001:db8:1::/64"),
        ];
        assert_eq!(banned(&mut new, "sshd"), expected);
    });
}

#[test]
fn what_cannot_be_banned_does_not_keep_others_from_being_banned() {
    in_namespace(
        "bans::what_cannot_be_banned_does_not_keep_others_from_being_banned",
        || {
            let mut firewall = open();
            let changes = [
                ban("sshd", "0.0.0.0/0", None),
                ban("sshd", "192.0.2.1/32", None),
            ];
            let error = refused(&mut firewall, &changes);
            assert!(matches!(error, FirewallError::TooWide { .. }), "{error}");
            let changes = [
                ban("nosuch", "192.0.2.3/32", None),
                ban("sshd", "192.0.2.2/32", None),
                unban("nosuch", "192.0.2.3/32"),
            ];
            let error = refused(&mut firewall, &changes).to_string();
            assert_eq!(
                error,
                "cannot ban 192.0.2.3/32: the firewall has no rules for jail 'nosuch'"
            );
            let expected = [net("192.0.2.1/32"), net("192.0.2.2/32")];
            assert_eq!(banned(&mut firewall, "sshd"), expected);
        },
    );
}

#[test]
fn many_bans_are_applied_in_one_call_also_where_some_exist() {
    in_namespace(
        "bans::many_bans_are_applied_in_one_call_also_where_some_exist",
        || {
            let mut firewall = open();
            let all: Vec<Change> = (0..30_000u32)
                .map(|index| {
                    let (a, b) = (index >> 8, index & 255);
                    let network = match index % 3 {
                        0 => format!("10.{a}.{b}.1/32"),
                        1 => format!("2001:db8:{a:x}:{b:x}::/64"),
                        _ => format!("2001:db8:{a:x}:{b:x}::1/128"),
                    };
                    ban("sshd", &network, Some(600))
                })
                .collect();
            firewall.apply_all(&all[20_000..20_003]);
            firewall.apply_all(&all);
            let wanted: Vec<_> = all
                .iter()
                .map(|change| Wanted {
                    jail: jail("sshd"),
                    net: change.net(),
                    until: Some(Timestamp::from_secs(600)),
                })
                .collect();
            // All there, and with the timeouts of bans made within the last half minute.
            let elements = firewall.list().unwrap();
            assert_eq!(elements.len(), all.len());
            assert!(
                elements
                    .iter()
                    .all(|element| element.expires > Some(Duration::from_secs(570)))
            );
            let missing = difference(&wanted, &elements, firewall.timeouts(), Timestamp::EPOCH)
                .iter()
                .filter(|change| matches!(change, Change::Unban { .. }))
                .count();
            assert_eq!(missing, 0);
            let none: Vec<_> = all
                .iter()
                .map(|change| Change::Unban {
                    jail: jail("sshd"),
                    net: change.net(),
                })
                .collect();
            firewall.apply_all(&none);
            assert_eq!(firewall.list().unwrap(), []);
        },
    );
}

#[test]
fn everybody_is_listed_right_after_many_were_banned() {
    in_namespace(
        "bans::everybody_is_listed_right_after_many_were_banned",
        || {
            let mut firewall = open();
            let all: Vec<Change> = (0..100_000u32)
                .map(|index| {
                    let (a, b) = (index >> 8, index & 255);
                    ban(
                        "sshd",
                        &format!("10.{}.{}.{b}/32", a >> 8, a & 255),
                        Some(600),
                    )
                })
                .collect();
            // The kernel's table grows in the background meanwhile, which moves what it tells.
            for _ in 0..5 {
                firewall.teardown().unwrap();
                firewall.configure(&[sshd()]).unwrap();
                firewall.apply_all(&all);
                let listed: BTreeSet<IpNet> = banned(&mut firewall, "sshd").into_iter().collect();
                assert_eq!(listed.len(), all.len());
            }
        },
    );
}
