//! A reload applies the difference, and a bad configuration changes nothing.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};
use stockade_tests::{Place, banned, in_namespace, wait_until};

fn jail(name: &str, maxretry: u32) -> String {
    format!(
        "[jails.{name}]\nfilter = \"sshd\"\nlogpath = \"{{dir}}/{name}.log\"\nmaxretry = {maxretry}\n"
    )
}

fn of(jails: &[String]) -> String {
    format!(
        "[defaults]\nbackend = \"file\"\n[jails.sshd]\nenabled = false\n{}",
        jails.concat()
    )
}

fn reload(place: &Place) -> Value {
    place.stockade(&["reload", "--json"]).assert_code(0).json()
}

#[test]
fn jails_come_go_and_change_and_those_that_stay_keep_their_bans() {
    in_namespace(|| {
        let place = Place::new(&of(&[
            jail("stays", 3),
            jail("changes", 3),
            jail("goes", 3),
        ]));
        let mut logs = ["stays", "changes", "goes", "comes"]
            .map(|name| place.log_file(&format!("{name}.log")));
        let _daemon = place.start();
        for jail in ["stays", "changes", "goes"] {
            place.stockade(&["ban", jail, "192.0.2.1"]).assert_code(0);
        }
        logs[0].failures(2, &["192.0.2.2"]);
        logs[1].failures(2, &["192.0.2.2"]);
        wait_until("all are judged", || {
            place.count_logged(r"\] Found 192\.0\.2\.2 ") == 4
        });

        place.configure(&of(&[
            jail("stays", 3),
            jail("changes", 4),
            jail("comes", 3),
        ]));
        let reply = reload(&place);
        assert_eq!(reply["added"], json!(["comes"]));
        assert_eq!(reply["removed"], json!(["goes"]));
        assert_eq!(reply["changed"], json!(["changes"]));
        assert_eq!(banned("goes"), BTreeSet::new());
        let first = BTreeSet::from(["192.0.2.1".to_owned()]);
        assert_eq!(banned("stays"), first);
        assert_eq!(banned("changes"), first);
        assert_eq!(place.count_logged(r"\[goes\] Unban 192\.0\.2\.1$"), 1);
        assert_eq!(place.count_logged(r"\[(stays|changes)\] Unban"), 0);

        // Attempts are kept as well, and no line is read a second time or left out.
        for log in &mut logs {
            log.failures(1, &["192.0.2.2"]);
            log.failures(4, &["192.0.2.9"]);
        }
        for jail in ["stays", "changes", "comes"] {
            wait_until("the last is banned", || banned(jail).contains("192.0.2.9"));
        }
        assert!(banned("stays").contains("192.0.2.2"));
        assert!(
            !banned("changes").contains("192.0.2.2"),
            "3 failures, and 4 are needed now"
        );
        assert!(!banned("comes").contains("192.0.2.2"));
        assert_eq!(banned("goes"), BTreeSet::new());
    });
}

#[test]
fn nothing_changed_is_a_reload_without_a_difference() {
    in_namespace(|| {
        let place = Place::new(&of(&[jail("stays", 3)]));
        let _log = place.log_file("stays.log");
        let _daemon = place.start();
        let reply = reload(&place);
        for list in ["added", "removed", "changed", "restart_needed"] {
            assert_eq!(reply[list], json!([]), "{list}");
        }
    });
}

#[test]
fn a_bad_new_configuration_keeps_the_old() {
    in_namespace(|| {
        let place = Place::new(&of(&[jail("stays", 3)]));
        let mut log = place.log_file("stays.log");
        let daemon = place.start();
        place
            .stockade(&["ban", "stays", "192.0.2.1"])
            .assert_code(0);
        let wrong = of(&[jail("stays", 3), jail("comes", 3)]);
        place.configure(&wrong.replacen("[defaults]\n", "[defaults]\nmaxretry = 0\n", 1));

        let told = place.stockade(&["reload"]);
        assert!(
            told.assert_code(78)
                .err
                .contains("the old one stays in force"),
            "{}",
            told.err
        );
        let line = told
            .err
            .lines()
            .find(|line| line.contains("stockade.toml:"))
            .unwrap();
        assert!(line.contains("maxretry"), "{line}");
        assert!(
            told.err.contains("maxretry = 0\n"),
            "the line is shown: {}",
            told.err
        );
        let reply = place.stockade(&["reload", "--json"]).assert_code(78).json();
        assert_eq!(reply["kind"], "config");
        assert_eq!(reply["diagnostics"][0]["severity"], "error");

        daemon.signal(Signal::HUP);
        wait_until("that is refused as well", || {
            place.count_logged("the old one stays in force") >= 1
        });
        log.failures(3, &["192.0.2.2"]);
        wait_until("the old one is in force", || banned("stays").len() == 2);

        // Put right, the signal reloads.
        place.configure(&of(&[jail("stays", 3), jail("comes", 3)]));
        daemon.signal(Signal::HUP);
        let knows = || {
            place.ask(r#"{"command":"status"}"#)["jails"]
                .as_array()
                .unwrap()
                .len()
                == 2
        };
        wait_until("there are two jails", knows);
        assert_eq!(banned("stays").len(), 2);
    });
}

#[test]
fn somebody_who_is_newly_ignored_is_let_in() {
    in_namespace(|| {
        let place = Place::new(&of(&[jail("stays", 3)]));
        let _log = place.log_file("stays.log");
        let _daemon = place.start();
        place
            .stockade(&["ban", "stays", "192.0.2.1", "192.0.2.200"])
            .assert_code(0);
        place.configure(&of(&[format!(
            "{}ignoreip = [\"192.0.2.0/28\"]\n",
            jail("stays", 3)
        )]));
        assert_eq!(reload(&place)["changed"], json!(["stays"]));
        wait_until("it is unbanned", || {
            banned("stays") == BTreeSet::from(["192.0.2.200".to_owned()])
        });
    });
}
