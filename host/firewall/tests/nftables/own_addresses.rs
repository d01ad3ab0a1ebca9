//! The machine's own addresses.

use std::net::IpAddr;
use std::time::Duration;

use stockade_firewall::OwnAddresses;

use crate::namespace::{in_namespace, run};

const LONG: Duration = Duration::from_secs(30);

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn addresses_are_known_and_their_changes_are_noticed() {
    in_namespace(
        "own_addresses::addresses_are_known_and_their_changes_are_noticed",
        || {
            let mut own = OwnAddresses::open().unwrap();
            assert_eq!(own.current().unwrap(), addresses(&[]));
            run("ip link set lo up");
            assert!(own.wait_change(LONG).unwrap());
            assert_eq!(own.current().unwrap(), addresses(&["127.0.0.1", "::1"]));
            run("ip addr add 192.0.2.1/24 dev lo");
            assert!(own.wait_change(LONG).unwrap());
            run("ip addr add 2001:db8::1/64 dev lo nodad");
            assert!(own.wait_change(LONG).unwrap());
            let all = ["127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"];
            assert_eq!(own.current().unwrap(), addresses(&all));
            run("ip addr del 192.0.2.1/24 dev lo");
            assert!(own.wait_change(LONG).unwrap());
            let all = ["127.0.0.1", "::1", "2001:db8::1"];
            assert_eq!(own.current().unwrap(), addresses(&all));
            assert!(!own.wait_change(Duration::ZERO).unwrap());
        },
    );
}

#[test]
fn the_other_end_of_a_point_to_point_link_is_not_ours() {
    in_namespace(
        "own_addresses::the_other_end_of_a_point_to_point_link_is_not_ours",
        || {
            run("ip link add p type veth peer name q");
            run("ip addr add 192.0.2.1 peer 192.0.2.2 dev p");
            let mut own = OwnAddresses::open().unwrap();
            assert_eq!(own.current().unwrap(), addresses(&["192.0.2.1"]));
        },
    );
}
