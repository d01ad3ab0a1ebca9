//! Who is ignored without a reload: by a program that is asked, and by files that change.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use stockade_tests::{Place, banned, in_namespace, wait_until};

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// Two jails, `asks` with these lines and `other`, each with a log of its name.
fn two_jails(asks: &str) -> String {
    let jail = |name: &str| {
        format!("[jails.{name}]\nfilter = \"sshd\"\nlogpath = \"{{dir}}/{name}.log\"\n")
    };
    format!(
        "[defaults]\nbackend = \"file\"\nmaxretry = 3\n[jails.sshd]\nenabled = false\n{}{asks}\n{}",
        jail("asks"),
        jail("other")
    )
}

/// Writes a program that notes each time it is asked in `asked`.
fn program(place: &Place, script: &str) {
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {}/asked\n{script}\n",
        place.dir()
    );
    place.write("friend", &text);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path("friend"), mode).unwrap();
}

fn asked(place: &Place) -> Vec<String> {
    let text = std::fs::read_to_string(place.path("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn who_the_program_knows_is_not_counted_and_the_answer_is_kept() {
    in_namespace(|| {
        let place = Place::new(&two_jails(
            "ignorecommand = [\"{dir}/friend\", \"<ip>\", \"<jail>\"]\n\
             ignorecache = { key = \"<ip>\" }\nignoreip = [\"192.0.2.9\"]",
        ));
        // It knows 192.0.2.1, and fails for 192.0.2.3.
        program(
            &place,
            "case $1 in 192.0.2.1) exit 0;; 192.0.2.3) echo lost; exit 7;; esac; exit 1",
        );
        let mut log = place.log_file("asks.log");
        let _daemon = place.start();
        for _ in 0..2 {
            log.failures(2, &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.9"]);
        }
        wait_until("the others are banned", || {
            banned("asks") == ids(&["192.0.2.2", "192.0.2.3"])
        });
        log.failures(1, &["192.0.2.9"]);
        wait_until("all is judged", || {
            place.ask(r#"{"command":"status","jail":"asks"}"#)["jails"][0]["total_ignored"] == 9
        });
        // Once for each, and not for who is in ignoreip.
        let once: Vec<String> = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
            .map(|ip| format!("{ip} asks"))
            .into();
        assert_eq!(asked(&place), once);
        place.wait_logged(r"\[asks\] Ignore 192\.0\.2\.1 by command");
        place.wait_logged(r"ERROR.*\[asks\] ignorecommand gave no answer.*exit status: 7: lost");
    });
}

#[test]
fn a_jail_that_gets_a_program_or_loses_it_counts_no_line_twice() {
    in_namespace(|| {
        let (plain, asking) = (
            two_jails(""),
            two_jails("ignorecommand = [\"{dir}/friend\", \"<ip>\"]"),
        );
        let place = Place::new(&plain);
        program(&place, "exit 1");
        let mut log = place.log_file("asks.log");
        let _daemon = place.start();
        let found = |ip: &str| place.count_logged(&format!(r"\[asks\] Found {ip} "));
        log.failures(2, &["192.0.2.1"]);
        wait_until("two count", || found("192.0.2.1") == 2);
        place.configure(&asking);
        place.stockade(&["reload"]).assert_code(0);
        log.failures(2, &["192.0.2.2"]);
        wait_until("they count", || found("192.0.2.2") == 2);
        assert_eq!(found("192.0.2.1"), 2);
        let whom: BTreeSet<String> = asked(&place).into_iter().collect();
        assert_eq!(whom, ids(&["192.0.2.2"]));

        place.configure(&plain);
        place.stockade(&["reload"]).assert_code(0);
        log.failures(1, &["192.0.2.2"]);
        wait_until("the third bans", || banned("asks") == ids(&["192.0.2.2"]));
        assert_eq!((found("192.0.2.1"), found("192.0.2.2")), (2, 3));
    });
}

#[test]
fn a_program_that_hangs_holds_up_neither_other_jails_nor_the_end_and_no_line_is_lost() {
    in_namespace(|| {
        let place = Place::new(&two_jails("ignorecommand = [\"{dir}/friend\", \"<ip>\"]"));
        program(&place, "exec sleep 1000");
        let (mut asks, mut other) = (place.log_file("asks.log"), place.log_file("other.log"));
        let daemon = place.start();
        asks.failures(3, &["192.0.2.1"]);
        wait_until("it hangs", || asked(&place).len() == 1);
        other.failures(3, &["192.0.2.2"]);
        wait_until("the other jail bans", || {
            banned("other") == ids(&["192.0.2.2"])
        });
        assert_eq!(daemon.stop(&[]), 0);

        // What was not judged is read again.
        program(&place, "exit 1");
        let _daemon = place.start();
        wait_until("all three count", || banned("asks") == ids(&["192.0.2.1"]));
        assert_eq!(place.count_logged(r"\[asks\] Found 192\.0\.2\.1"), 3);
    });
}

#[test]
fn who_is_written_into_a_file_is_let_in_without_a_reload() {
    in_namespace(|| {
        let place = Place::new(&two_jails("ignoreip = [\"file:{dir}/friends\"]"));
        place.write("friends", "# welcome\n198.51.100.0/24\n");
        let mut log = place.log_file("asks.log");
        let _daemon = place.start();
        log.failures(3, &["198.51.100.7", "192.0.2.1"]);
        wait_until("one is banned", || banned("asks") == ids(&["192.0.2.1"]));
        place.write("friends", "198.51.100.0/24\n192.0.2.1 # the new office\n");
        wait_until("the other is let in", || banned("asks").is_empty());
        std::fs::remove_file(place.path("friends")).unwrap();
        place.wait_logged("cannot read '.*friends' of ignoreip, so nothing of it changes");
        log.failures(3, &["192.0.2.1"]);
        log.failures(3, &["192.0.2.200"]);
        wait_until("a stranger is banned", || {
            banned("asks") == ids(&["192.0.2.200"])
        });
    });
}
