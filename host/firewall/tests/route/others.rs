//! Whose a route is, over restarts and beside others.

use std::error::Error as _;
use std::time::Duration;

use stockade_firewall::{
    Backend, BlockType, Firewall, FirewallError, Health, PortRange, Ports, Protocol, Route,
    RouteOptions, Seen,
};

use crate::namespace::{in_namespace, run, without_power};
use crate::{apply, ban, expected, jail, listed, open, rules, unban};

/// Longer than any of these waits takes; a change ends them at once.
const LONG: Duration = Duration::from_secs(30);

fn table() -> String {
    run("ip route show table 21332") + &run("ip -6 route show table 21332")
}

#[test]
fn two_jails_ban_one_network_and_a_restart_knows_whose_is_whose() {
    in_namespace(
        "others::two_jails_ban_one_network_and_a_restart_knows_whose_is_whose",
        || {
            let mut firewall = open();
            let nets = ["192.0.2.1/32", "198.51.100.0/24", "2001:db8::/64"];
            for name in ["sshd", "web"] {
                apply(&mut firewall, &nets.map(|net| ban(name, net)));
            }
            drop(firewall);
            let mut firewall = open();
            let mut all = Vec::new();
            for name in ["sshd", "web"] {
                all.extend(nets.map(|net| (name, net)));
            }
            assert_eq!(listed(&mut firewall), expected(&all));

            apply(&mut firewall, &nets.map(|net| unban("sshd", net)));
            // What is not banned may be unbanned, and what is banned be banned again.
            apply(&mut firewall, &nets.map(|net| unban("sshd", net)));
            apply(&mut firewall, &nets.map(|net| ban("web", net)));
            assert_eq!(listed(&mut firewall), expected(&all[3..]));
            assert!(table().lines().all(|line| line.starts_with("unreachable")));

            // A jail that is gone takes its bans along, and another block type takes hold.
            let web = rules("web", BlockType::Drop);
            firewall
                .configure(&[rules("sshd", BlockType::Drop), web])
                .unwrap();
            assert_eq!(listed(&mut firewall), expected(&all[3..]));
            assert_eq!(table().matches("blackhole").count(), 3, "{}", table());
            firewall
                .configure(&[rules("sshd", BlockType::Drop)])
                .unwrap();
            assert_eq!(listed(&mut firewall), []);
            assert_eq!(table(), "");
        },
    );
}

#[test]
fn of_several_changes_the_last_counts_and_host_bits_do_not() {
    in_namespace(
        "others::of_several_changes_the_last_counts_and_host_bits_do_not",
        || {
            let mut firewall = open();
            let changes = [
                ban("sshd", "192.0.2.1/32"),
                unban("sshd", "192.0.2.1/32"),
                unban("sshd", "192.0.2.2/32"),
                ban("sshd", "192.0.2.2/32"),
                ban("web", "198.51.100.77/24"),
            ];
            apply(&mut firewall, &changes);
            let left = [("sshd", "192.0.2.2/32"), ("web", "198.51.100.0/24")];
            assert_eq!(listed(&mut firewall), expected(&left));
            let error = crate::refused(&mut firewall, ban("other", "192.0.2.3/32"));
            assert!(matches!(error, FirewallError::UnknownJail { .. }));
            let error = crate::refused(&mut firewall, ban("sshd", "0.0.0.0/1"));
            assert!(matches!(error, FirewallError::TooWide { .. }));
        },
    );
}

#[test]
fn harm_by_others_is_seen_told_and_healed() {
    in_namespace("others::harm_by_others_is_seen_told_and_healed", || {
        run("ip link set lo up");
        let mut firewall = open();
        let bans = [("sshd", "192.0.2.1/32"), ("sshd", "2001:db8::1/128")];
        apply(&mut firewall, &bans.map(|(name, net)| ban(name, net)));
        let mut watch = firewall.watch().unwrap().unwrap();
        for (harm, told) in [
            ("ip rule del pref 100", "the IPv4 rule of routing"),
            ("ip -6 rule del pref 100", "the IPv6 rule of routing"),
        ] {
            run(harm);
            assert_eq!(watch.wait(LONG).unwrap(), Seen::Changed, "{harm}");
            let Health::Missing { what } = firewall.probe().unwrap() else {
                panic!("nothing is missing after {harm}");
            };
            assert!(what[0].starts_with(told), "{harm}: {what:?}");
            // A ban that nobody would look at is not called one.
            let error = firewall.apply(&[ban("sshd", "192.0.2.9/32")]).unwrap_err();
            assert!(matches!(error, FirewallError::Gone { .. }), "{error}");
            drop(firewall);
            firewall = open();
            assert_eq!(firewall.probe().unwrap(), Health::InPlace, "{harm}");
            watch = firewall.watch().unwrap().unwrap();
        }
        for harm in [
            "ip route flush table 21332",
            "ip -6 route flush table 21332",
            "ip link set lo down",
        ] {
            apply(&mut firewall, &bans.map(|(name, net)| ban(name, net)));
            assert_eq!(watch.wait(Duration::ZERO).unwrap(), Seen::Quiet, "{harm}");
            run(harm);
            if listed(&mut firewall) != expected(&bans) {
                assert_eq!(watch.wait(LONG).unwrap(), Seen::Changed, "{harm}");
            }
        }
        // Changes of others to other tables are no business of ours.
        run("ip route add blackhole 203.0.113.0/24 proto 83");
        run("ip rule add pref 200 lookup 1234");
        assert_eq!(watch.wait(Duration::ZERO).unwrap(), Seen::Quiet);
    });
}

#[test]
fn routes_and_rules_of_others_are_left_alone() {
    in_namespace("others::routes_and_rules_of_others_are_left_alone", || {
        run("ip route add blackhole 192.0.2.1/32");
        run("ip route add blackhole 192.0.2.2/32 proto 83");
        run("ip rule add pref 99 lookup 21332");
        run("ip rule add pref 200 fwmark 1 lookup 1234");
        let before = run("ip route show") + &run("ip rule show");
        let mut firewall = open();
        run("ip route add blackhole 203.0.113.1 table 21332");
        let nets = ["192.0.2.1/32", "192.0.2.2/32", "203.0.113.1/32"];
        apply(&mut firewall, &nets.map(|net| ban("sshd", net)));
        apply(&mut firewall, &nets.map(|net| unban("sshd", net)));
        assert_eq!(table().trim(), "blackhole 203.0.113.1");
        assert_eq!(firewall.probe().unwrap(), Health::InPlace);
        apply(&mut firewall, &nets.map(|net| ban("sshd", net)));
        firewall.teardown().unwrap();
        firewall.teardown().unwrap();
        assert_eq!(table().trim(), "blackhole 203.0.113.1");
        assert_eq!(run("ip route show") + &run("ip rule show"), before);
        assert!(!run("ip -6 rule show").contains("21332"));
    });
}

#[test]
fn what_a_route_does_otherwise_is_said() {
    in_namespace("others::what_a_route_does_otherwise_is_said", || {
        let mut firewall = Route::open(RouteOptions::default()).unwrap();
        let mut ports = rules("ports", BlockType::Drop);
        ports.ports = Ports::List(vec![PortRange::single(22)]);
        ports.protocols = vec![Protocol::Tcp];
        firewall
            .configure(&[
                rules("all", BlockType::Drop),
                ports,
                rules("pit", BlockType::Tarpit),
            ])
            .unwrap();
        assert_eq!(
            firewall.notes(),
            [
                "jail 'ports': a banned address is cut off from every port, as routes know none",
                "jail 'pit': nothing gets through, as with 'drop'",
            ]
        );
        assert_eq!(listed(&mut firewall), []);
        assert_eq!(jail("all").to_string(), "all");
    });
}

#[test]
fn without_permission_the_error_says_what_to_do() {
    without_power(
        "others::without_permission_the_error_says_what_to_do",
        || {
            let backend = Backend::Route(RouteOptions::default());
            let error = backend.open().unwrap_err();
            assert_eq!(error.to_string(), "not permitted to use route");
            assert_eq!(error.hint(), Some("run as root or with CAP_NET_ADMIN"));
            assert!(error.source().is_some());
        },
    );
}
