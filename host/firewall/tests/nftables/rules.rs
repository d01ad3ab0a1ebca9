//! What `configure` makes of the kernel.

use serde_json::Value;
use stockade_firewall::{
    BlockType, Firewall, Health, Nftables, NftablesOptions, PortRange, Ports, Protocol,
};

use crate::namespace::{in_namespace, run, run_with_input};
use crate::{ApplyAll as _, ban, banned, jail, net, rules, sshd};

fn listing() -> String {
    run("nft list ruleset")
}

#[test]
fn rules_are_listed_by_nft_as_documented() {
    in_namespace("rules::rules_are_listed_by_nft_as_documented", || {
        let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
        let mut web = rules(
            "3proxy",
            &[80, 443],
            &[Protocol::Tcp, Protocol::Udp],
            BlockType::Reject,
        );
        if let Ports::List(ranges) = &mut web.ports {
            ranges.push(PortRange {
                first: 8000,
                last: 8099,
            });
        }
        let all = rules("drop", &[], &[], BlockType::Drop);
        firewall.configure(&[sshd(), web, all]).unwrap();
        let changes = [
            ban("sshd", "2001:db8::/64", None),
            ban("sshd", "192.0.2.1/32", Some(600)),
        ];
        firewall.apply_all(&changes);
        let text = listing();
        for expected in [
            "table inet stockade {",
            "type filter hook input priority filter - 10; policy accept;",
            "tcp dport 22 jump jail-sshd comment \"sshd: tcp dport 22\"",
            "udp dport 443 jump jail-3proxy",
            "tcp dport 8000-8099 jump jail-3proxy",
            "jump jail-drop comment \"drop: everything\"",
            "ip saddr @ban4-32-sshd counter packets 0 bytes 0 drop",
            "ip6 saddr & ffff:ffff:ffff:ffff:: ",
            "@ban6-64-sshd counter packets 0 bytes 0 drop",
            "ip6 saddr @ban6-128-3proxy counter packets 0 bytes 0 goto reject-banned",
            "meta l4proto tcp reject with tcp reset",
            "meta l4proto != tcp reject",
            "elements = { 2001:db8:: }",
            "elements = { 192.0.2.1 timeout 10m expires ",
        ] {
            assert!(text.contains(expected), "no {expected:?} in\n{text}");
        }
        // What nft lists it also reads.
        run_with_input("nft --check -f -", &text);
    });
}

#[test]
fn sets_have_timeouts_and_the_types_of_addresses() {
    in_namespace(
        "rules::sets_have_timeouts_and_the_types_of_addresses",
        || {
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            firewall.configure(&[sshd()]).unwrap();
            let json: Value = serde_json::from_str(&run("nft -j list sets")).unwrap();
            let sets: Vec<_> = json["nftables"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|object| object.get("set"))
                .map(|set| {
                    (
                        set["name"].clone(),
                        set["type"].clone(),
                        set["flags"].clone(),
                    )
                })
                .collect();
            let timeout = serde_json::json!(["timeout"]);
            assert_eq!(
                sets,
                [
                    ("ban4-32-sshd".into(), "ipv4_addr".into(), timeout.clone()),
                    ("ban6-128-sshd".into(), "ipv6_addr".into(), timeout),
                ]
            );
        },
    );
}

#[test]
fn configuring_again_changes_nothing() {
    in_namespace("rules::configuring_again_changes_nothing", || {
        let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
        let jails = [
            sshd(),
            rules("web", &[80], &[Protocol::Tcp], BlockType::Reject),
        ];
        firewall.configure(&jails).unwrap();
        firewall.apply_all(&[ban("sshd", "2001:db8::/64", None)]);
        let sorted = || {
            let mut lines: Vec<_> = listing().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let before = sorted();
        firewall.configure(&jails).unwrap();
        assert_eq!(sorted(), before);
        assert_eq!(firewall.probe().unwrap(), Health::InPlace);
    });
}

#[test]
fn jails_that_are_not_listed_any_more_leave_nothing_behind() {
    in_namespace(
        "rules::jails_that_are_not_listed_any_more_leave_nothing_behind",
        || {
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            let web = rules("web", &[80], &[Protocol::Tcp], BlockType::Reject);
            firewall.configure(&[sshd(), web]).unwrap();
            let changes = [
                ban("sshd", "192.0.2.1/32", None),
                ban("web", "192.0.2.0/24", None),
            ];
            firewall.apply_all(&changes);
            firewall.configure(&[sshd()]).unwrap();
            let text = listing();
            assert!(!text.contains("web") && !text.contains("reject"), "{text}");
            assert_eq!(banned(&mut firewall, "sshd"), [net("192.0.2.1/32")]);
            assert_eq!(firewall.probe().unwrap(), Health::InPlace);
        },
    );
}

#[test]
fn ports_and_blocktype_of_a_jail_change_without_losing_its_bans() {
    in_namespace(
        "rules::ports_and_blocktype_of_a_jail_change_without_losing_its_bans",
        || {
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            firewall.configure(&[sshd()]).unwrap();
            let changes = [
                ban("sshd", "192.0.2.1/32", None),
                ban("sshd", "2001:db8::/56", None),
            ];
            firewall.apply_all(&changes);
            let changed = rules("sshd", &[2222], &[Protocol::Tcp], BlockType::Reject);
            firewall.configure(&[changed]).unwrap();
            let text = listing();
            assert!(text.contains("tcp dport 2222 jump jail-sshd"), "{text}");
            assert!(
                !text.contains("dport 22 ") && !text.contains(" drop"),
                "{text}"
            );
            let expected = [net("192.0.2.1/32"), net("2001:db8::/56")];
            assert_eq!(banned(&mut firewall, "sshd"), expected);
        },
    );
}

#[test]
fn tables_of_others_are_left_alone() {
    in_namespace("rules::tables_of_others_are_left_alone", || {
        let foreign = "table ip stockade { chain input { type filter hook input priority 0; \
                       tcp dport 80 accept; }; }\ntable inet filter { set s { type ipv4_addr; \
                       elements = { 192.0.2.1 }; }; chain c { ip saddr @s drop; }; }\n";
        run_with_input("nft -f -", foreign);
        let before = listing();
        let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
        firewall.configure(&[sshd()]).unwrap();
        firewall.apply_all(&[ban("sshd", "192.0.2.1/32", None)]);
        assert_eq!(firewall.list().unwrap().len(), 1);
        firewall.configure(&[]).unwrap();
        firewall.teardown().unwrap();
        assert_eq!(listing(), before);
        firewall.teardown().unwrap();
        assert_eq!(listing(), before);
    });
}

#[test]
fn leftovers_of_another_shape_are_replaced() {
    in_namespace("rules::leftovers_of_another_shape_are_replaced", || {
        let old = "table inet stockade { flags dormant; set ban4-32-sshd { type ipv4_addr; flags \
                   interval; }; set old { type ipv4_addr; }; chain input { type filter hook input \
                   priority 5; policy drop; ip saddr @old drop; jump lost; }; chain lost { }; }\n";
        run_with_input("nft -f -", old);
        let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
        firewall.configure(&[sshd()]).unwrap();
        assert_eq!(firewall.probe().unwrap(), Health::InPlace);
        let text = listing();
        for gone in ["dormant", "interval", "old", "lost", "policy drop"] {
            assert!(!text.contains(gone), "{gone} is still in\n{text}");
        }
        firewall.apply_all(&[ban("sshd", "192.0.2.1/32", None)]);
        assert_eq!(firewall.list().unwrap()[0].jail, jail("sshd"));
    });
}

#[test]
fn the_priority_of_the_base_chain_is_the_chosen_one_and_changes_with_the_choice() {
    in_namespace(
        "rules::the_priority_of_the_base_chain_is_the_chosen_one_and_changes_with_the_choice",
        || {
            for priority in [-150, 7, -10] {
                let mut firewall = Nftables::open(NftablesOptions { priority }).unwrap();
                firewall.configure(&[sshd()]).unwrap();
                assert_eq!(firewall.probe().unwrap(), Health::InPlace);
                let listing = run("nft -n list table inet stockade");
                let expected = format!("hook input priority {priority};");
                assert!(listing.contains(&expected), "{listing}");
            }
        },
    );
}
