//! `stockade firewall doctor` finds out whether bans hold, with a real packet.
#![cfg(test)]
#![cfg(target_os = "linux")]

use stockade_tests::{ONE_JAIL, Place, banned, in_namespace, nft};

#[test]
fn where_bans_hold_it_says_so_and_leaves_nobody_banned() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        let _daemon = place.start();
        let told = place.stockade(&["firewall", "doctor"]);
        let out = &told.assert_code(0).out;
        assert!(out.contains("ok       nftables was chosen since"), "{out}");
        assert!(out.contains("ok       nftables has all our rules"), "{out}");
        let stopped =
            "ok       nftables stopped a connection from 127.83.79.1, which jail 'sshd' banned";
        assert!(out.contains(stopped), "{out}");
        assert!(banned("sshd").is_empty());
    });
}

#[test]
fn published_ports_of_containers_are_told_where_a_jail_does_not_close_them() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        let _daemon = place.start();
        // What container engines do to publish a port.
        nft("add table ip nat");
        nft("add chain ip nat DOCKER { type nat hook prerouting priority -100 ; }");
        nft("add rule ip nat DOCKER tcp dport 8080 dnat to 172.17.0.2:80");
        let told = place.stockade(&["firewall", "doctor"]);
        let out = &told.assert_code(1).out;
        let found = "PROBLEM  chain DOCKER of table nat sends connections on";
        assert!(out.contains(found), "{out}");
        assert!(out.contains("hooks = [\"input\", \"prerouting\"]"), "{out}");

        place.configure(&format!(
            "{ONE_JAIL}\nhooks = [\"input\", \"prerouting\"]\n"
        ));
        place.stockade(&["reload"]).assert_code(0);
        let told = place.stockade(&["firewall", "doctor"]);
        assert!(!told.assert_code(0).out.contains("PROBLEM"), "{}", told.out);
    });
}

#[test]
fn without_a_daemon_it_says_that_nobody_is_banned_and_what_would_be_used() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let told = place.stockade(&["firewall", "doctor"]);
        let out = &told.assert_code(1).out;
        assert!(out.contains("PROBLEM  stockade does not run"), "{out}");
        assert!(out.contains("means nftables"), "{out}");
        let told = place.stockade(&["firewall", "setup"]);
        let out = &told.assert_code(0).out;
        assert!(out.contains("Nothing has to be set up"), "{out}");
    });
}
