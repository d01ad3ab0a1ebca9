//! What the doctor finds.

use stockade_firewall::{
    BlockType, Firewall, Nftables, NftablesOptions, Tested, test_packet, translations,
};

use crate::namespace::{in_namespace, run};
use crate::{banned, rules, sshd};

fn open() -> Nftables {
    run("ip link set lo up");
    let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    firewall
}

#[test]
fn a_packet_of_who_is_banned_for_the_test_is_stopped_and_nobody_stays_banned() {
    in_namespace(
        "doctor::a_packet_of_who_is_banned_for_the_test_is_stopped_and_nobody_stays_banned",
        || {
            let mut firewall = open();
            for block in [BlockType::Drop, BlockType::Reject] {
                for ports in [&[22][..], &[]] {
                    let rules = rules("sshd", ports, &[], block);
                    firewall.configure(std::slice::from_ref(&rules)).unwrap();
                    let tested = test_packet(&mut firewall, &rules).unwrap();
                    assert_eq!(tested, Tested::Stopped, "{rules:?}");
                    assert_eq!(banned(&mut firewall, "sshd"), []);
                }
            }
        },
    );
}

#[test]
fn a_packet_that_comes_through_is_told() {
    in_namespace("doctor::a_packet_that_comes_through_is_told", || {
        let mut firewall = open();
        run("nft insert rule inet stockade input accept");
        let tested = test_packet(&mut firewall, &sshd()).unwrap();
        assert_eq!(tested, Tested::Through);
    });
}

#[test]
fn where_nothing_comes_through_anyway_the_test_says_nothing() {
    in_namespace(
        "doctor::where_nothing_comes_through_anyway_the_test_says_nothing",
        || {
            let mut firewall = open();
            run("nft add table inet mine");
            run("nft add chain inet mine in { type filter hook input priority 0 ; policy drop ; }");
            let tested = test_packet(&mut firewall, &sshd()).unwrap();
            assert!(matches!(tested, Tested::Unknown { .. }), "{tested:?}");
        },
    );
}

#[test]
fn rules_that_translate_destinations_are_found_whoever_made_them() {
    in_namespace(
        "doctor::rules_that_translate_destinations_are_found_whoever_made_them",
        || {
            assert!(translations().unwrap().is_empty());
            run("nft add table ip mine");
            run("nft add chain ip mine pre { type nat hook prerouting priority -100 ; }");
            run("nft add chain ip mine post { type nat hook postrouting priority 100 ; }");
            run("nft add rule ip mine post masquerade");
            run("nft add rule ip mine post snat to 192.0.2.1");
            assert!(translations().unwrap().is_empty());
            run("nft add rule ip mine pre tcp dport 8080 dnat to 192.0.2.2:80");
            run("iptables-nft -t nat -A PREROUTING -p tcp --dport 81 -j DNAT --to 192.0.2.3:80");
            let found: Vec<String> = translations()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(
                found,
                ["chain pre of table mine", "chain PREROUTING of table nat"]
            );
        },
    );
}
