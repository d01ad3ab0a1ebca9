//! Others change our rules: it is noticed, told, and healed.

use std::time::Duration;

use stockade_core::Timestamp;
use stockade_firewall::{
    Firewall, FirewallError, Health, Nftables, NftablesOptions, Seen, Wanted, Watch, difference,
};

use crate::namespace::{in_namespace, run, run_with_input};
use crate::{ApplyAll as _, assert_expires, ban, jail, net, refused, sshd, unban};

/// Longer than any of these waits takes; a change ends them at once.
const LONG: Duration = Duration::from_secs(30);

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn open() -> (Nftables, Box<dyn Watch>) {
    let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    firewall.apply_all(&[ban("sshd", "192.0.2.1/32", Some(600))]);
    let watch = firewall.watch().unwrap().unwrap();
    (firewall, watch)
}

fn heal(firewall: &mut Nftables) {
    let wanted = [Wanted {
        jail: jail("sshd"),
        net: net("192.0.2.1/32"),
        until: Some(NOW.saturating_add(Duration::from_secs(600))),
    }];
    firewall.configure(&[sshd()]).unwrap();
    let changes = difference(&wanted, &firewall.list().unwrap(), firewall.timeouts(), NOW);
    firewall.apply_all(&changes);
    let elements = firewall.list().unwrap();
    assert_eq!(elements.len(), 1);
    assert_expires(&elements, "192.0.2.1/32", Some(600));
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
}

#[test]
fn harm_by_others_is_seen_told_and_healed() {
    in_namespace("others::harm_by_others_is_seen_told_and_healed", || {
        let (mut firewall, mut watch) = open();
        for (harm, told) in [
            ("nft flush ruleset", "table 'inet stockade'"),
            ("nft delete table inet stockade", "table 'inet stockade'"),
            (
                "nft flush chain inet stockade input",
                "rule 'sshd: tcp dport 22' of chain 'input'",
            ),
            (
                "nft flush chain inet stockade jail-sshd",
                "rule 'sshd /32 drop' of chain 'jail-sshd'",
            ),
            (
                "nft insert rule inet stockade input accept",
                "chain 'input' has a rule that is not ours",
            ),
            (
                "nft insert rule inet stockade jail-sshd return",
                "chain 'jail-sshd' has a rule that is not ours",
            ),
            (
                "nft add table inet stockade { flags dormant; }",
                "table 'inet stockade' is switched off",
            ),
            (
                "nft chain inet stockade input { policy drop; }",
                "chain 'input' is not hooked as it should be",
            ),
        ] {
            run(harm);
            assert_eq!(watch.wait(LONG).unwrap(), Seen::Changed, "{harm}");
            let Health::Missing { what } = firewall.probe().unwrap() else {
                panic!("nothing is missing after {harm}");
            };
            assert!(what.iter().any(|what| what == told), "{harm}: {what:?}");
            heal(&mut firewall);
            assert_eq!(watch.wait(Duration::ZERO).unwrap(), Seen::Quiet, "{harm}");
        }
    });
}

#[test]
fn elements_that_others_add_or_delete_are_corrected() {
    in_namespace(
        "others::elements_that_others_add_or_delete_are_corrected",
        || {
            let (mut firewall, mut watch) = open();
            for harm in [
                "nft flush set inet stockade ban4-32-sshd",
                "nft delete element inet stockade ban4-32-sshd { 192.0.2.1 }",
                "nft add element inet stockade ban4-32-sshd { 192.0.2.9 }",
            ] {
                run(harm);
                assert_eq!(watch.wait(LONG).unwrap(), Seen::Changed, "{harm}");
                heal(&mut firewall);
            }
        },
    );
}

#[test]
fn our_own_changes_and_those_of_other_tables_are_no_news() {
    in_namespace(
        "others::our_own_changes_and_those_of_other_tables_are_no_news",
        || {
            let (mut firewall, mut watch) = open();
            firewall.apply_all(&[ban("sshd", "2001:db8::/64", None)]);
            firewall.apply_all(&[unban("sshd", "2001:db8::/64")]);
            firewall.configure(&[sshd()]).unwrap();
            run("nft add table inet filter");
            run("nft add table ip stockade");
            // The kernel has told everything before these return, so there is nothing to wait for.
            assert_eq!(watch.wait(Duration::ZERO).unwrap(), Seen::Quiet);
            firewall.teardown().unwrap();
            assert_eq!(watch.wait(Duration::ZERO).unwrap(), Seen::Quiet);
            // Another instance of ours is somebody else.
            Nftables::open(NftablesOptions::default())
                .unwrap()
                .configure(&[sshd()])
                .unwrap();
            assert_eq!(watch.wait(LONG).unwrap(), Seen::Changed);
            assert_eq!(watch.wait(Duration::ZERO).unwrap(), Seen::Quiet);
        },
    );
}

#[test]
fn notifications_that_were_lost_count_as_a_change() {
    in_namespace(
        "others::notifications_that_were_lost_count_as_a_change",
        || {
            let (mut firewall, mut watch) = open();
            // Our own changes are no news, so only that some were lost can be.
            let many: Vec<_> = (0..40_000u32)
                .map(|index| {
                    ban(
                        "sshd",
                        &format!("10.0.{}.{}/32", index >> 8, index & 255),
                        None,
                    )
                })
                .collect();
            firewall.apply_all(&many);
            assert_eq!(watch.wait(LONG).unwrap(), Seen::Changed);
            assert_eq!(watch.wait(Duration::ZERO).unwrap(), Seen::Quiet);
        },
    );
}

#[test]
fn a_ban_after_the_table_was_deleted_says_that_it_is_gone() {
    in_namespace(
        "others::a_ban_after_the_table_was_deleted_says_that_it_is_gone",
        || {
            let (mut firewall, _) = open();
            run("nft delete table inet stockade");
            for change in [
                ban("sshd", "192.0.2.2/32", None),
                ban("sshd", "198.51.100.0/24", None),
                unban("sshd", "192.0.2.1/32"),
            ] {
                let error = firewall.apply(&[change]).unwrap_err();
                assert!(matches!(error, FirewallError::Gone { .. }), "{error}");
                assert!(error.to_string().contains("somebody else"), "{error}");
            }
            assert_eq!(firewall.list().unwrap(), []);
            heal(&mut firewall);
        },
    );
}

#[test]
fn a_refusal_names_the_ban_that_the_kernel_refused() {
    in_namespace(
        "others::a_refusal_names_the_ban_that_the_kernel_refused",
        || {
            let (mut firewall, _) = open();
            let full = "flush chain inet stockade jail-sshd\n\
                    delete set inet stockade ban4-32-sshd\n\
                    add set inet stockade ban4-32-sshd { type ipv4_addr; flags timeout; size 2; }\n";
            run_with_input("nft -f -", full);
            let changes = [
                ban("sshd", "192.0.2.1/32", Some(600)),
                ban("sshd", "192.0.2.2/32", None),
                ban("sshd", "192.0.2.3/32", Some(600)),
                ban("sshd", "192.0.2.4/32", Some(600)),
            ];
            let error = refused(&mut firewall, &changes);
            assert_eq!(
                error.to_string(),
                "the kernel refused to add 192.0.2.3/32 (set 'ban4-32-sshd')"
            );
            assert!(std::error::Error::source(&error).is_some());
            assert_eq!(firewall.list().unwrap(), []);
            heal(&mut firewall);
            firewall.apply_all(&changes);
            assert_eq!(firewall.list().unwrap().len(), 4);
        },
    );
}
