//! Several backends at once, and one that fails beside others.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use rustix::net::{AddressFamily, SocketType, bind, socket};
use serde_json::{Value, json};
use stockade_tests::{Place, banned, blackholes, in_namespace, nft, wait_until};

/// Two jails that read logs of their names, each enforced by what is given.
fn two_jails(one: &str, two: &str) -> String {
    let jail = |name: &str, firewall: &str| {
        format!(
            "[jails.{name}]\nfilter = \"sshd\"\nlogpath = \"{{dir}}/{name}.log\"\nfirewall = {firewall}\n"
        )
    };
    format!(
        "[defaults]\nbackend = \"file\"\nmaxretry = 3\n[jails.sshd]\nenabled = false\n{}{}",
        jail("one", one),
        jail("two", two)
    )
}

/// A connection from this address.
fn connect(from: Ipv4Addr, to: SocketAddr) -> OwnedFd {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(from, 0)).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    socket
}

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn each_jail_is_enforced_by_its_own_backends_and_a_reload_moves_its_bans() {
    in_namespace(|| {
        let place = Place::new(&two_jails("[\"nftables\", \"route\"]", "\"route\""));
        let (mut one, mut two) = (place.log_file("one.log"), place.log_file("two.log"));
        let _daemon = place.start();
        one.failures(3, &["192.0.2.1"]);
        two.failures(3, &["192.0.2.2"]);
        wait_until("both are banned", || {
            blackholes() == ids(&["192.0.2.1", "192.0.2.2"])
        });
        wait_until("by both", || banned("one") == ids(&["192.0.2.1"]));
        assert_eq!(banned("two"), ids(&[]));
        let status = place.ask(r#"{"command":"status"}"#);
        let names = |backends: &Value| {
            let backends = backends.as_array().unwrap().iter();
            backends.map(|one| one["name"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            names(&status["firewall"]["backends"]),
            [json!("nftables"), json!("route")]
        );
        assert_eq!(status["jails"][0]["firewall"], json!(["nftables", "route"]));
        let told = place.ask(r#"{"command":"banned"}"#);
        for ban in told["bans"].as_array().unwrap() {
            assert_eq!(ban["in_firewall"], true, "{told}");
        }

        // Each jail changes its backend.
        place.configure(&two_jails("\"route\"", "\"nftables\""));
        place.stockade(&["reload"]).assert_code(0);
        wait_until("the bans have moved", || {
            blackholes() == ids(&["192.0.2.1"]) && banned("two") == ids(&["192.0.2.2"])
        });
        assert_eq!(banned("one"), ids(&[]));

        // What is not used any more leaves nothing behind.
        place.configure(&two_jails("\"none\"", "\"nftables\""));
        place.stockade(&["reload"]).assert_code(0);
        wait_until("no route is left", || blackholes().is_empty());
        let told = place.ask(r#"{"command":"banned","jail":"one"}"#);
        assert_eq!(told["bans"][0]["in_firewall"], json!(null), "{told}");
        place.stockade(&["unban", "192.0.2.1"]).assert_code(0);
    });
}

#[test]
fn a_backend_that_cannot_work_leaves_the_others_and_says_why() {
    in_namespace(|| {
        // There is no pf on Linux.
        let place = Place::new(&two_jails("[\"nftables\", \"pf\"]", "\"nftables\""));
        let (mut one, mut two) = (place.log_file("one.log"), place.log_file("two.log"));
        let _daemon = place.start();
        one.failures(3, &["192.0.2.1"]);
        two.failures(3, &["192.0.2.2"]);
        wait_until("both are banned by what works", || {
            banned("one") == ids(&["192.0.2.1"]) && banned("two") == ids(&["192.0.2.2"])
        });
        place.wait_logged(r"NOTICE.*\[two\] Ban 192\.0\.2\.2");
        // A ban that is not everywhere is not announced.
        assert_eq!(place.count_logged(r"\[one\] Ban 192\.0\.2\.1"), 0);
        let status = place.ask(r#"{"command":"status"}"#);
        let firewall = &status["firewall"];
        assert_eq!(firewall["state"], "failed");
        assert_eq!(firewall["backends"][0]["state"], "ok");
        assert_eq!(firewall["backends"][1]["state"], "failed");
        let why = firewall["backends"][1]["message"].as_str().unwrap();
        assert!(why.contains("pf"), "{why}");
        let told = place.stockade(&["ban", "one", "192.0.2.3"]);
        assert!(
            told.out.contains("pf") || told.err.contains("pf"),
            "{told:?}"
        );
        place.stockade(&["ban", "two", "192.0.2.3"]).assert_code(0);

        // It is announced when the jail does without.
        place.configure(&two_jails("\"nftables\"", "\"nftables\""));
        place.stockade(&["reload"]).assert_code(0);
        place.wait_logged(r"\[one\] Ban 192\.0\.2\.1");
        assert_eq!(
            place.ask(r#"{"command":"status"}"#)["firewall"]["state"],
            "ok"
        );
    });
}

#[test]
fn no_backend_at_all_is_an_error_that_says_so() {
    in_namespace(|| {
        let place = Place::new(&two_jails("\"pf\"", "\"pf\""));
        let told = place.stockade(&["run"]);
        let err = &told.assert_code(1).err;
        assert!(err.contains("cannot use pf: "), "{err}");
    });
}

#[test]
fn programs_of_the_operators_own_enforce_bans_beside_nftables() {
    in_namespace(|| {
        let jails = two_jails("[\"nftables\", \"list\"]", "\"list\"");
        let place = Place::new(&format!(
            "[firewall.exec.list]\n\
             ban = [\"{{dir}}/list\", \"ban\", \"<ip>\", \"<jail>\"]\n\
             unban = [\"{{dir}}/list\", \"unban\", \"<ip>\", \"<jail>\"]\n\
             {jails}"
        ));
        let script = format!("#!/bin/sh\necho \"$*\" >> {}/told\n", place.dir());
        place.write("list", &script);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path("list"), mode).unwrap();
        let (mut one, mut two) = (place.log_file("one.log"), place.log_file("two.log"));
        let _daemon = place.start();
        one.failures(3, &["192.0.2.1"]);
        two.failures(3, &["2001:db8::1"]);
        let told = || {
            let text = std::fs::read_to_string(place.path("told")).unwrap_or_default();
            let lines: BTreeSet<String> = text.lines().map(str::to_owned).collect();
            lines
        };
        let bans = ids(&["ban 192.0.2.1 one", "ban 2001:db8::/64 two"]);
        wait_until("the program is told", || told() == bans);
        wait_until("nftables too", || banned("one") == ids(&["192.0.2.1"]));
        place.stockade(&["unban", "192.0.2.1"]).assert_code(0);
        assert!(told().contains("unban 192.0.2.1 one"), "{:?}", told());
        assert_eq!(banned("one"), ids(&[]));
    });
}

#[test]
fn a_jail_may_be_enforced_by_iptables_and_ipset() {
    in_namespace(|| {
        let place = Place::new(&two_jails("\"iptables-nft\"", "\"iptables-legacy\""));
        let (mut one, mut two) = (place.log_file("one.log"), place.log_file("two.log"));
        let _daemon = place.start();
        one.failures(3, &["192.0.2.1"]);
        two.failures(3, &["192.0.2.2"]);
        place.wait_logged(r"\[one\] Ban 192\.0\.2\.1");
        place.wait_logged(r"\[two\] Ban 192\.0\.2\.2");
        let told = place.ask(r#"{"command":"banned"}"#);
        let bans = told["bans"].as_array().unwrap();
        assert_eq!(bans.len(), 2, "{told}");
        assert!(bans.iter().all(|ban| ban["in_firewall"] == true), "{told}");
        let doctor = place.stockade(&["firewall", "doctor"]);
        let out = &doctor.assert_code(0).out;
        let stopped = "iptables stopped a connection from 127.83.79.1";
        assert_eq!(out.matches(stopped).count(), 2, "{out}");
        place.stockade(&["unban", "--all"]).assert_code(0);
    });
}

#[test]
fn a_ban_ends_the_connections_that_are_open_where_the_jail_says_so() {
    in_namespace(|| {
        let jails = two_jails("\"nftables\"", "\"nftables\"\nend_connections = true");
        let jails = jails.replace(
            "[defaults]\n",
            "[defaults]\nignoreip = []\nignoreself = false\n",
        );
        let place = Place::new(&jails);
        let (_one, _two) = (place.log_file("one.log"), place.log_file("two.log"));
        // Connections are tracked as soon as a rule looks at their state.
        nft("add table inet tracks");
        nft("add chain inet tracks in { type filter hook input priority 0 ; }");
        nft("add rule inet tracks in ct state established counter");
        let _daemon = place.start();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        // Banned by each jail is another address of this host.
        let connected = [2, 3].map(|last| connect(Ipv4Addr::new(127, 0, 0, last), to));
        place.stockade(&["ban", "one", "127.0.0.2"]).assert_code(0);
        place.stockade(&["ban", "two", "127.0.0.3"]).assert_code(0);
        place.wait_logged("ended 1 connections of who was banned");
        assert_eq!(place.count_logged("ended [0-9]+ connections"), 1);
        drop(connected);
    });
}
