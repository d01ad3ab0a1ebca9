//! Logs that are not what they should be: none of them stops a jail, and each is told.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use serde_json::Value;
use stockade_tests::{Place, banned, failure, in_namespace, stamp, wait_for, wait_until};

/// Two jails with a log each.
const TWO_JAILS: &str = r#"
    [defaults]
    backend = "file"
    maxretry = 3
    [jails.sshd]
    enabled = false
    [jails.first]
    filter = "sshd"
    logpath = "{dir}/first.log"
    [jails.second]
    filter = "sshd"
    logpath = "{dir}/second.log"
"#;

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// What the status says of a file, once it knows of it.
fn source(place: &Place, file: &str) -> Value {
    wait_for(&format!("the status has {file}"), || {
        let status = place.ask(r#"{"command":"status"}"#);
        let sources = status["sources"].as_array().unwrap();
        sources
            .iter()
            .find(|source| source["name"].as_str().unwrap().ends_with(file))
            .cloned()
    })
}

#[test]
fn a_line_of_10_mb_is_skipped_and_counted() {
    in_namespace(|| {
        let place = Place::new(TWO_JAILS);
        let (mut first, mut second) = (place.log_file("first.log"), place.log_file("second.log"));
        let _daemon = place.start();
        first.failures(2, &["192.0.2.1"]);
        // An attacker's name in it must not count, wherever the line would be cut.
        let filler = vec![b'x'; 5_000_000];
        let inside = format!(" {} ", failure("192.0.2.66"));
        for _ in 0..3 {
            first.write(inside.as_bytes());
            first.write(&filler);
            first.write(inside.as_bytes());
            first.write(&filler);
            first.write(b"\n");
        }
        first.failures(1, &["192.0.2.1"]);
        second.failures(3, &["192.0.2.2"]);
        wait_until("the line behind it counts", || {
            banned("first").contains("192.0.2.1")
        });
        wait_until("the other jail goes on", || {
            banned("second").contains("192.0.2.2")
        });
        assert_eq!(banned("first"), set(&["192.0.2.1"]));
        assert_eq!(source(&place, "first.log")["overlong"], 3);
        place.wait_logged(r"WARN.*over-long.*first\.log");
    });
}

#[test]
fn a_long_line_that_is_written_in_parts_is_skipped_too() {
    in_namespace(|| {
        let place = Place::new(TWO_JAILS);
        let mut first = place.log_file("first.log");
        let _second = place.log_file("second.log");
        let _daemon = place.start();
        for part in 0..10 {
            first.write(&vec![b'y'; 1_000_000]);
            if part == 0 {
                wait_until("the daemon has seen the first part", || {
                    source(&place, "first.log")["state"] == "ok"
                });
            }
        }
        first.write(format!(" {}\n", failure("192.0.2.66")).as_bytes());
        first.failures(3, &["192.0.2.1"]);
        wait_until("the next lines count", || {
            banned("first").contains("192.0.2.1")
        });
        assert_eq!(banned("first"), set(&["192.0.2.1"]));
        assert_eq!(source(&place, "first.log")["overlong"], 1);
    });
}

#[test]
fn nul_bytes_and_invalid_utf8_hide_nobody_and_do_not_reach_the_log() {
    in_namespace(|| {
        let place = Place::new(TWO_JAILS);
        let (mut first, mut second) = (place.log_file("first.log"), place.log_file("second.log"));
        let _daemon = place.start();
        first.write(b"\0\0\0\n\xff\xfe\xfd\n\n\r\n\x1b[2J\x07\n");
        first.write(&[0; 100_000]);
        first.write(b"\n");
        // A user name may be any bytes.
        for name in [&b"ro\0ot"[..], b"\xff\xfe\xc3", b"a\x1b[2Jb"] {
            let text = failure("192.0.2.1");
            let (before, after) = text.split_once("root").unwrap();
            first.write(&[before.as_bytes(), name, after.as_bytes(), b"\n"].concat());
        }
        second.failures(3, &["192.0.2.2"]);
        wait_until("the attacker is banned", || {
            banned("first").contains("192.0.2.1")
        });
        wait_until("the other jail goes on", || {
            banned("second").contains("192.0.2.2")
        });
        // `logged` fails where it is not UTF-8; what steers a terminal must not be in it either.
        let logged = place.logged();
        assert!(!logged.contains(['\0', '\x1b', '\x07']), "{logged}");
    });
}

#[test]
fn text_of_an_attacker_makes_no_line_in_our_log() {
    in_namespace(|| {
        let place = Place::new(TWO_JAILS);
        let mut first = place.log_file("first.log");
        let _second = place.log_file("second.log");
        let _daemon = place.start();
        let innocent = "203.0.113.9";
        for _ in 0..5 {
            first.line(&format!(
                "{} bastion sshd[811]: Failed password for invalid user x from {innocent} port 22 from 192.0.2.1 port 40112 ssh2",
                stamp()
            ));
        }
        wait_until("the attacker is banned", || {
            banned("first").contains("192.0.2.1")
        });
        assert_eq!(banned("first"), set(&["192.0.2.1"]));
        assert_eq!(place.count_logged(&format!("(Found|Ban) {innocent}")), 0);
    });
}

#[test]
fn a_file_that_vanishes_and_comes_back_is_read_on() {
    in_namespace(|| {
        let place = Place::new(TWO_JAILS);
        let (mut first, mut second) = (place.log_file("first.log"), place.log_file("second.log"));
        let _daemon = place.start();
        first.failures(2, &["192.0.2.1"]);
        wait_until("it is read", || place.count_logged("Found 192.0.2.1") == 2);
        std::fs::remove_file(place.path("first.log")).unwrap();
        wait_until("that is seen", || {
            source(&place, "first.log")["state"] == "waiting"
        });
        assert!(source(&place, "first.log")["message"].is_string());
        place.wait_logged("first.log.*vanished");
        second.failures(3, &["192.0.2.2"]);
        wait_until("the other jail goes on", || {
            banned("second").contains("192.0.2.2")
        });

        let mut first = place.log_file("first.log");
        first.failures(1, &["192.0.2.1"]);
        wait_until("the new file is read", || {
            banned("first").contains("192.0.2.1")
        });
    });
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for() {
    in_namespace(|| {
        let place = Place::new(TWO_JAILS);
        let mut second = place.log_file("second.log");
        let _daemon = place.start();
        wait_until("it waits", || {
            source(&place, "first.log")["state"] == "waiting"
        });
        second.failures(3, &["192.0.2.2"]);
        wait_until("the other jail works", || {
            banned("second").contains("192.0.2.2")
        });
        place.log_file("first.log").failures(3, &["192.0.2.1"]);
        wait_until("it is found when it comes", || {
            banned("first").contains("192.0.2.1")
        });
    });
}

#[test]
fn a_folder_in_place_of_a_log_stops_no_other_jail() {
    in_namespace(|| {
        let place = Place::new(TWO_JAILS);
        std::fs::create_dir(place.path("first.log")).unwrap();
        let mut second = place.log_file("second.log");
        let _daemon = place.start();
        second.failures(3, &["192.0.2.2"]);
        wait_until("the other jail works", || {
            banned("second").contains("192.0.2.2")
        });
        place.wait_logged("(WARN|ERROR).*first.log");
    });
}
