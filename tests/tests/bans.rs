//! A ban from the line in a log to the kernel, and back.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use serde_json::Value;
use stockade_tests::{
    ONE_JAIL, Place, ban_timeout, banned, failure, has_table, in_namespace, wait_until,
};

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// The ids in a list of bans.
fn ids(reply: &Value) -> BTreeSet<String> {
    let bans = reply["bans"].as_array().unwrap();
    bans.iter()
        .map(|ban| ban["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn lines_lead_to_a_ban_in_the_kernel_and_an_unban_takes_it_out() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(2, &["192.0.2.1", "192.0.2.2"]);
        log.failures(1, &["192.0.2.1"]);
        place.wait_logged(r"\[sshd\] Ban 192\.0\.2\.1$");

        // It is announced only when it is in force: no waiting for the kernel.
        assert_eq!(banned("sshd"), set(&["192.0.2.1"]));
        let reply = place.stockade(&["banned", "--json"]);
        let ban = &reply.assert_code(0).json()["bans"][0];
        assert_eq!(ban["jail"], "sshd");
        assert_eq!(ban["id"], "192.0.2.1");
        assert_eq!(ban["kind"], "address");
        assert_eq!(ban["failures"], 3);
        assert_eq!(ban["bancount"], 1);
        assert_eq!(ban["in_firewall"], true);

        let status = place.stockade(&["status", "sshd", "--json"]);
        let jail = &status.assert_code(0).json()["jails"][0];
        assert_eq!(jail["currently_banned"], 1);
        assert_eq!(jail["total_banned"], 1);
        assert_eq!(jail["total_failed"], 5);
        assert_eq!(jail["currently_failing"], 1, "192.0.2.2");

        let told = place.stockade(&["unban", "192.0.2.1"]);
        assert!(
            told.assert_code(0).out.contains("192.0.2.1"),
            "{}",
            told.out
        );
        place.wait_logged(r"\[sshd\] Unban 192\.0\.2\.1$");
        assert_eq!(banned("sshd"), BTreeSet::new());
        assert_eq!(ids(&place.ask(r#"{"command":"banned"}"#)), BTreeSet::new());
        assert_eq!(daemon.stop(&[]), 0);
    });
}

#[test]
fn the_log_is_worded_as_programs_that_read_fail2bans_expect() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        place.wait_logged("Ban 192");
        place.stockade(&["unban", "192.0.2.1"]).assert_code(0);
        place.wait_logged("Unban 192");
        place
            .stockade(&["ban", "sshd", "2001:db8::/64"])
            .assert_code(0);
        daemon.kill();
        let _daemon = place.start();
        place.wait_logged("Restore Ban");

        let begin = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ";
        let when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d";
        for (line, count) in [
            (
                format!(
                    r"{begin}stockade\.filter +\[\d+\]: INFO +\[sshd\] Found 192\.0\.2\.1 - {when}$"
                ),
                3,
            ),
            (
                format!(r"{begin}stockade\.actions +\[\d+\]: NOTICE +\[sshd\] Ban 192\.0\.2\.1$"),
                1,
            ),
            (
                format!(r"{begin}stockade\.actions +\[\d+\]: NOTICE +\[sshd\] Unban 192\.0\.2\.1$"),
                1,
            ),
            (
                format!(
                    r"{begin}stockade\.actions +\[\d+\]: NOTICE +\[sshd\] Restore Ban 2001:db8::/64$"
                ),
                1,
            ),
        ] {
            assert_eq!(
                place.count_logged(&line),
                count,
                "{line}\n{}",
                place.logged()
            );
        }
    });
}

#[test]
fn an_operator_bans_and_unbans_by_hand() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        let _daemon = place.start();
        let all = ["192.0.2.1", "198.51.100.0/24", "2001:db8::/64"];
        place
            .stockade(&[&["ban", "sshd"], &all[..]].concat())
            .assert_code(0);
        assert_eq!(banned("sshd"), set(&all));

        let again = place.stockade(&["ban", "sshd", "192.0.2.1", "192.0.2.9", "--json"]);
        let reply = again.assert_code(0).json();
        assert_eq!(reply["results"][0]["outcome"], "already-banned");
        assert_eq!(reply["results"][1]["outcome"], "banned");
        assert_eq!(reply["banned"], 1);

        // The others are done although one is wrong, and the exit code tells.
        let wrong = place.stockade(&["ban", "sshd", "example.com", "192.0.2.10", "--json"]);
        let reply = wrong.assert_code(1).json();
        assert_eq!(reply["results"][0]["outcome"], "not-an-address");
        assert_eq!(reply["results"][1]["outcome"], "banned");
        let told = place.stockade(&["ban", "ngnix", "192.0.2.1"]);
        assert!(
            told.assert_code(1).err.contains("there is no jail 'ngnix'"),
            "{}",
            told.err
        );

        let told = place.stockade(&["unban", "192.0.2.77", "--json"]);
        assert_eq!(
            told.assert_code(1).json()["results"][0]["outcome"],
            "not-banned"
        );
        // A ban of the network around it is named, not lifted.
        let told = place.stockade(&["unban", "198.51.100.7"]);
        assert!(
            told.assert_code(1).out.contains("198.51.100.0/24"),
            "{}{}",
            told.out,
            told.err
        );
        place
            .stockade(&["unban", "--jail", "sshd", "192.0.2.1"])
            .assert_code(0);
        place.stockade(&["unban", "--all"]).assert_code(0);
        assert_eq!(banned("sshd"), BTreeSet::new());
    });
}

#[test]
fn who_is_in_ignoreip_is_never_banned() {
    in_namespace(|| {
        let place = Place::new(&format!(
            "{ONE_JAIL}\nignoreip = [\"192.0.2.0/28\", \"2001:db8:1::/48\"]"
        ));
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(
            10,
            &[
                "192.0.2.1",
                "2001:db8:1:2::3",
                "::ffff:192.0.2.2",
                "127.0.0.1",
            ],
        );
        log.failures(3, &["192.0.2.99"]);
        place.wait_logged("Ban 192.0.2.99$");
        assert_eq!(banned("sshd"), set(&["192.0.2.99"]));
        assert_eq!(place.count_logged(r"\[sshd\] Ignore 192\.0\.2\.1 by "), 10);

        // Not by hand either, and not as part of a network.
        for whom in ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"] {
            let told = place.stockade(&["ban", "sshd", whom, "--json"]);
            let result = &told.assert_code(1).json()["results"][0];
            assert_eq!(result["outcome"], "ignored", "{whom}: {result}");
            assert!(result["reason"].is_string(), "{result}");
        }
        assert_eq!(banned("sshd"), set(&["192.0.2.99"]));
    });
}

#[test]
fn ipv6_is_counted_and_banned_by_its_prefix() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(
            1,
            &[
                "2001:db8::1",
                "2001:db8:0:1::1",
                "2001:db8::2",
                "2001:db8::ffff:1:2:3",
            ],
        );
        place.wait_logged(r"\[sshd\] Ban 2001:db8::/64$");
        assert_eq!(banned("sshd"), set(&["2001:db8::/64"]));
    });
}

#[test]
fn an_ipv4_mapped_address_is_the_ipv4_address() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(1, &["::ffff:192.0.2.1", "192.0.2.1", "::ffff:c000:201"]);
        place.wait_logged(r"\[sshd\] Ban 192\.0\.2\.1$");
        assert_eq!(banned("sshd"), set(&["192.0.2.1"]));
        place
            .stockade(&["unban", "::ffff:192.0.2.1"])
            .assert_code(0);
        assert_eq!(banned("sshd"), BTreeSet::new());
    });
}

#[test]
fn a_ban_ends_when_its_time_is_over() {
    in_namespace(|| {
        let place = Place::new(&format!("{ONE_JAIL}\nbantime = 1"));
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        place.wait_logged(r"\[sshd\] Ban 192\.0\.2\.1$");
        place.wait_logged(r"\[sshd\] Unban 192\.0\.2\.1$");
        wait_until("the kernel has ended it too", || banned("sshd").is_empty());
        assert_eq!(ids(&place.ask(r#"{"command":"banned"}"#)), BTreeSet::new());

        log.failures(3, &["192.0.2.1"]);
        wait_until("who comes again is banned again", || {
            place.count_logged(r"\] Ban 192\.0\.2\.1$") == 2
        });
    });
}

#[test]
fn a_second_ban_lasts_longer_in_the_kernel_also_after_a_restart() {
    in_namespace(|| {
        let place = Place::new(&format!(
            "{ONE_JAIL}\nbantime = 1\nbantime_increment.multipliers = [1, 900, 3600]"
        ));
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        place.wait_logged(r"\[sshd\] Ban 192\.0\.2\.1$");
        place.wait_logged(r"\[sshd\] Unban 192\.0\.2\.1$");
        assert_eq!(daemon.stop(&[]), 0);

        let daemon = place.start();
        // Each counts as two.
        log.failures(2, &["192.0.2.1"]);
        place.wait_logged(r"\[sshd\] Increase Ban 192\.0\.2\.1 \(2 # 15m -> [-0-9]+ [:0-9]+\)$");
        // The kernel has what was left when it was told, in whole seconds.
        let timeout = ban_timeout("sshd", "192.0.2.1");
        assert!(matches!(timeout, Some(800..=900)), "{timeout:?}");
        place.wait_logged(r"\[sshd\] Found 192\.0\.2\.1, bad - [-0-9]+ [:0-9]+, 1 # -> 2$");
        let reply = place.stockade(&["banned", "--json"]);
        let ban = &reply.assert_code(0).json()["bans"][0];
        assert_eq!(
            (&ban["bancount"], &ban["bantime_s"]),
            (&2.into(), &900.into())
        );
        let status = place.stockade(&["status", "sshd", "--json"]);
        let jail = &status.assert_code(0).json()["jails"][0];
        assert_eq!(jail["longest_ban_s"], 900);
        assert_eq!(jail["banned_again"], 1);
        assert_eq!(jail["bantime_increment"]["growth"], "multipliers");
        let told = place.stockade(&["status", "sshd"]);
        for line in ["ban 1s, then times 1.0 900.0 3600.0", "1, longest ban 15m"] {
            assert!(told.assert_code(0).out.contains(line), "{}", told.out);
        }

        // Who is unbanned by hand begins anew, also after a crash.
        place.stockade(&["unban", "192.0.2.1"]).assert_code(0);
        daemon.kill();
        let _daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        wait_until("it is banned as if for the first time", || {
            place.count_logged(r"\] Ban 192\.0\.2\.1$") == 3
        });
        assert_eq!(place.count_logged("Increase Ban"), 1);
    });
}

#[test]
fn failures_that_are_older_than_findtime_do_not_count() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        let old = failure("192.0.2.1")
            .split_once(' ')
            .map(|(_, rest)| rest.to_owned())
            .unwrap();
        for _ in 0..5 {
            log.line(&format!("2020-01-02T03:04:05Z {old}"));
        }
        log.failures(3, &["192.0.2.2"]);
        place.wait_logged("Ban 192.0.2.2$");
        assert_eq!(banned("sshd"), set(&["192.0.2.2"]));
        let status = place.ask(r#"{"command":"status","jail":"sshd"}"#);
        assert_eq!(status["jails"][0]["total_too_old"], 5);
    });
}

#[test]
fn a_dry_run_decides_and_reports_but_changes_no_firewall() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        // By default its socket is not that of the daemon that protects the host.
        let socket = place.path("control.sock").to_string_lossy().into_owned();
        let _daemon = place.start_with(&["--dry-run", "--socket", &socket]);
        log.failures(3, &["192.0.2.1"]);
        place.wait_logged(r"\[sshd\] Ban 192\.0\.2\.1");
        assert!(!has_table());
        assert!(!place.path("state").exists());
        let status = place.ask(r#"{"command":"status"}"#);
        assert_eq!(status["firewall"]["dry_run"], true);
        assert_eq!(status["jails"][0]["currently_banned"], 1);
    });
}
