//! Who and what is never banned, whatever is logged, and how an administrator gets in again.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use stockade_tests::{ONE_JAIL, Place, banned, in_namespace};

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// One jail and this in `[firewall]`.
fn with_firewall(firewall: &str) -> String {
    format!("[firewall]\n{firewall}\n{ONE_JAIL}")
}

#[test]
fn a_network_wider_than_the_configured_one_is_not_banned_and_the_answer_names_the_key() {
    in_namespace(|| {
        let place = Place::new(&with_firewall("widest_ipv6 = 48"));
        let _log = place.log_file("auth.log");
        let daemon = place.start();
        let wide = ["198.51.0.0/15", "2001:db8::/47", "198.51.0.0/16"];
        let told = place.stockade(&[&["ban", "sshd"], &wide[..]].concat());
        let told = &told.assert_code(1).out;
        assert!(
            told.contains(
                "198.50.0.0/15 failed: it is wider than /16 (widest_ipv4 under [firewall])"
            ),
            "{told}"
        );
        assert!(
            told.contains(
                "2001:db8::/47 failed: it is wider than /48 (widest_ipv6 under [firewall])"
            ),
            "{told}"
        );
        assert_eq!(banned("sshd"), set(&["198.51.0.0/16"]));
        // A narrower bound lifts what is wider.
        place.configure(&with_firewall("widest_ipv4 = 24"));
        place.stockade(&["reload"]).assert_code(0);
        place.wait_logged(r"\[sshd\] 198\.51\.0\.0/16 is wider than what may be banned");
        place.stockade(&["ban", "sshd", "192.0.2.1"]).assert_code(0);
        assert_eq!(banned("sshd"), set(&["192.0.2.1"]));
        assert_eq!(daemon.stop(&[]), 0);
    });
}

#[test]
fn bans_beyond_the_rate_wait_until_they_are_confirmed_or_discarded() {
    in_namespace(|| {
        let place = Place::new(&with_firewall("bans_per_minute = 2"));
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        let whom = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
        log.failures(3, &whom);
        place.wait_logged("the ban of 192.0.2.4 is held");
        // The log is loud once, the status as long as they wait.
        let burst = "ERROR +more than 2 bans within a minute: further ones are held";
        assert_eq!(place.count_logged(burst), 1);
        let status = place.stockade(&["status"]);
        assert!(
            status.out.contains("2 BANS ARE HELD SINCE "),
            "{}",
            status.out
        );
        let held = &place.stockade(&["status", "--json"]).json()["held"];
        assert_eq!(held["waiting"], 2);
        let metrics = place.stockade(&["metrics"]).out;
        assert!(metrics.contains("\nstockade_held_bans 2\n"), "{metrics}");
        assert_eq!(banned("sshd"), set(&["192.0.2.1", "192.0.2.2"]));
        // By hand nothing waits.
        place.stockade(&["ban", "sshd", "192.0.2.4"]).assert_code(0);
        assert_eq!(
            banned("sshd"),
            set(&["192.0.2.1", "192.0.2.2", "192.0.2.4"])
        );

        let told = place.stockade(&["confirm"]);
        assert_eq!(told.assert_code(0).out, "1 bans were held, 1 are made\n");
        assert_eq!(banned("sshd"), set(&whom));
        let status = place.stockade(&["status"]);
        assert!(!status.out.contains("HELD"), "{}", status.out);

        let more = ["198.51.100.1", "198.51.100.2", "198.51.100.3"];
        log.failures(3, &more);
        place.wait_logged("the ban of 198.51.100.3 is held");
        assert_eq!(place.count_logged(burst), 2);
        let told = place.stockade(&["confirm", "--discard"]);
        assert_eq!(told.assert_code(0).out, "1 bans were held, 0 are made\n");
        let status = place.stockade(&["status", "sshd", "--json"]).json();
        assert_eq!(status["held"]["waiting"], 0);
        assert_eq!(status["jails"][0]["currently_banned"], 6);
        assert_eq!(status["jails"][0]["currently_failing"], 0);
        assert_eq!(daemon.stop(&[]), 0);
    });
}
