//! The default gateways.

use std::net::IpAddr;
use std::time::Duration;

use stockade_firewall::DefaultGateways;

use crate::namespace::{in_namespace, run};

const LONG: Duration = Duration::from_secs(30);

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Waits for a change and checks what is so now.
#[track_caller]
fn check_after_change(gateways: &mut DefaultGateways, expected: &[&str]) {
    while !gateways.wait_change(LONG).unwrap() {}
    assert_eq!(gateways.current().unwrap(), addresses(expected));
}

#[test]
fn next_hops_of_default_routes_are_known_and_their_changes_are_noticed() {
    in_namespace(
        "gateways::next_hops_of_default_routes_are_known_and_their_changes_are_noticed",
        || {
            run("ip link add p type veth peer name q");
            run("ip link set p up");
            run("ip link set q up");
            run("ip addr add 192.0.2.2/24 dev p");
            run("ip addr add 2001:db8::2/64 dev p nodad");
            let mut gateways = DefaultGateways::open().unwrap();
            assert_eq!(gateways.current().unwrap(), addresses(&[]));
            run("ip route add default via 192.0.2.1");
            check_after_change(&mut gateways, &["192.0.2.1"]);
            run("ip -6 route add default via fe80::1 dev p");
            check_after_change(&mut gateways, &["192.0.2.1", "fe80::1"]);
            // Of another table, with two next hops, and one of the other family.
            run("ip route add default table 7 nexthop via 192.0.2.3 nexthop via 192.0.2.4");
            check_after_change(
                &mut gateways,
                &["192.0.2.1", "192.0.2.3", "192.0.2.4", "fe80::1"],
            );
            run("ip route del default table 7");
            check_after_change(&mut gateways, &["192.0.2.1", "fe80::1"]);
            run("ip -4 route replace default via inet6 fe80::9 dev p");
            check_after_change(&mut gateways, &["fe80::1", "fe80::9"]);
            // Routes to single networks are none, and do not even wake us.
            run("ip route add 198.51.100.0/24 via 192.0.2.9");
            run("ip route add blackhole default metric 9");
            assert!(!gateways.wait_change(Duration::from_millis(200)).unwrap());
            assert_eq!(
                gateways.current().unwrap(),
                addresses(&["fe80::1", "fe80::9"])
            );
        },
    );
}
