//! What is wrong with one jail leaves the others, and one that runs is never stopped by it.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stockade_tests::{Place, banned, in_namespace, wait_until};

const HEAD: &str = "[defaults]\nbackend = \"file\"\nmaxretry = 3\n[jails.sshd]\nenabled = false\n";

fn jail(name: &str, more: &str) -> String {
    format!("[jails.{name}]\nfilter = \"sshd\"\nlogpath = \"{{dir}}/{name}.log\"\n{more}\n")
}

fn of(jails: &[String]) -> String {
    format!("{HEAD}{}", jails.concat())
}

fn status(place: &Place, jail: &str) -> Value {
    place.ask(&format!(r#"{{"command":"status","jail":"{jail}"}}"#))["jails"][0].clone()
}

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn broken_jails_are_named_with_their_place_and_the_others_run() {
    in_namespace(|| {
        let place = Place::new(&of(&[
            jail("good", ""),
            jail("typo", "maxretries = 3"),
            "[jails.pattern]\nfilter = \"faulty\"\nlogpath = \"{dir}/x.log\"\n".to_owned(),
        ]));
        place.write("jails/syntax.toml", "logpath = /var/log/x.log\n");
        place.write("filters/faulty.toml", "failregex = ['^from (<HOST>$']\n");
        let mut log = place.log_file("good.log");
        let _daemon = place.start();
        for (name, wanted) in [
            ("typo", "unknown key 'maxretries' in a jail"),
            ("pattern", "filters/faulty.toml:1:"),
            ("syntax", "jails/syntax.toml:1:11: this is no value"),
        ] {
            let jail = status(&place, name);
            assert_eq!(jail["state"], "broken", "{jail}");
            let message = jail["message"].as_str().unwrap();
            assert!(message.contains(wanted), "{message}");
            place.wait_logged(&format!(r"ERROR.*\[{name}\] is broken and does not run: "));
        }
        // The log has the caret, `status` has the place.
        assert!(place.logged().contains("^^^^^^^^^^"), "{}", place.logged());
        let told = place.stockade(&["status"]);
        assert!(told.assert_code(0).out.contains("BROKEN"), "{}", told.out);
        log.failures(3, &["192.0.2.1"]);
        wait_until("the good one works", || {
            banned("good") == ids(&["192.0.2.1"])
        });

        let told = place.stockade(&["check", "--json"]).assert_code(78).json();
        assert_eq!(told["jails"], json!(["good"]));
        let broken = told["broken"].as_array().unwrap().iter();
        let broken: Vec<_> = broken.map(|jail| jail["name"].as_str().unwrap()).collect();
        assert_eq!(broken, ["pattern", "syntax", "typo"]);
    });
}

#[test]
fn a_glob_that_matches_nothing_is_named_and_waited_for() {
    let logs = "logpath = [\"{dir}/good.log\", \"{dir}/none-*.log\"]";
    let good = jail("good", "").replace("logpath = \"{dir}/good.log\"", logs);
    let place = Place::new(&of(&[good]));
    place.write("good.log", "");
    let told = place.stockade(&["check"]);
    let err = &told.assert_code(0).err;
    let expected = format!("warning: no file matches '{}/none-*.log'\n", place.dir());
    assert!(err.contains(&expected), "{err}");
    assert!(!err.contains("good.log'"), "{err}");
    // The same for what is translated from fail2ban.
    let jail = format!(
        "[x]\nenabled = yes\nfilter = x\nlogpath = {}/none-*.log\n",
        place.dir()
    );
    place.write("fail2ban/jail.conf", &jail);
    place.write(
        "fail2ban/filter.d/x.conf",
        "[Definition]\nfailregex = ^bad <HOST>$\n",
    );
    let dir = place.path("fail2ban").display().to_string();
    let told = place.stockade(&["check", "--fail2ban", &dir]);
    let err = &told.assert_code(0).err;
    assert!(err.contains(&expected), "{err}");
}

#[test]
fn any_error_is_fatal_where_it_is_to_be_strict_or_no_jail_is_left() {
    let bad = jail("typo", "maxretries = 3");
    let place = Place::new(&of(&[jail("good", ""), bad.clone()]));
    let told = place.stockade(&["run", "--dry-run", "--strict"]);
    let err = &told.assert_code(78).err;
    assert!(err.contains("unknown key 'maxretries' in a jail"), "{err}");
    assert!(err.contains("^^^^^^^^^^"), "{err}");
    place.configure(&of(&[bad]));
    place.stockade(&["run", "--dry-run"]).assert_code(78);
    // Nobody knows what such an error would have meant for the others.
    place.configure(&of(&[jail("good", ""), "[defaults.x]\n".to_owned()]));
    place.stockade(&["run", "--dry-run"]).assert_code(78);
}

#[test]
fn a_running_jail_whose_new_settings_have_errors_keeps_the_old_ones() {
    in_namespace(|| {
        let place = Place::new(&of(&[jail("wrong", ""), jail("changes", "")]));
        let mut logs =
            ["wrong", "changes", "comes"].map(|name| place.log_file(&format!("{name}.log")));
        let _daemon = place.start();
        logs[0].failures(2, &["192.0.2.1"]);
        wait_until("two are counted", || {
            place.count_logged(r"\[wrong\] Found") == 2
        });
        let new = of(&[
            jail("wrong", "maxretry = 0"),
            jail("changes", "maxretry = 2"),
            jail("comes", ""),
            jail("new", "maxretry = 0"),
        ]);
        place.configure(&new);

        // Where it is to be strict, nothing changes.
        let told = place.stockade(&["reload", "--strict"]);
        let err = &told.assert_code(78).err;
        assert!(err.contains("the old one stays in force"), "{err}");
        assert_eq!(status(&place, "changes")["maxretry"], 3);

        let told = place.stockade(&["reload"]);
        let text = &told.assert_code(78).out;
        assert!(
            text.contains("wrong has errors and keeps the settings"),
            "{text}"
        );
        assert!(text.contains("new has errors and does not run"), "{text}");
        assert!(told.err.contains("maxretry = 0\n"), "{}", told.err);
        let jail = status(&place, "wrong");
        assert_eq!(
            (&jail["state"], &jail["maxretry"]),
            (&json!("degraded"), &json!(3))
        );
        assert_eq!(status(&place, "changes")["maxretry"], 2);
        assert_eq!(status(&place, "new")["state"], "broken");

        // It has forgotten nothing, and the others are as they are written now.
        logs[0].failures(1, &["192.0.2.1"]);
        logs[1].failures(2, &["192.0.2.2"]);
        logs[2].failures(3, &["192.0.2.3"]);
        wait_until("all have banned", || {
            banned("wrong") == ids(&["192.0.2.1"])
                && banned("changes") == ids(&["192.0.2.2"])
                && banned("comes") == ids(&["192.0.2.3"])
        });

        place.configure(&new.replace("maxretry = 0", "maxretry = 4"));
        let reply = place.stockade(&["reload", "--json"]).assert_code(0).json();
        assert_eq!(reply["added"], json!(["new"]));
        assert_eq!(reply["changed"], json!(["wrong"]));
        assert_eq!(reply["broken"], json!([]));
        wait_until("its log is read again", || {
            status(&place, "wrong")["state"] == "ok"
        });
    });
}

#[test]
fn a_filter_or_program_that_is_wrong_now_does_not_stop_the_jails_that_use_it() {
    in_namespace(|| {
        let mine = "[jails.mine]\nfilter = \"mine\"\nlogpath = \"{dir}/mine.log\"\nactions = [\"page\"]\n\
                    [exec.page]\nban = [\"/bin/sh\", \"-c\", \"echo $0 >> {dir}/paged\", \"<ip>\"]\n";
        let place = Place::new(&of(&[mine.to_owned()]));
        place.write("filters/mine.toml", "failregex = ['^bad <HOST>$']\n");
        place.write("mine.log", "");
        let _daemon = place.start();
        place.write("filters/mine.toml", "failregex = ['^bad (<HOST>$']\n");
        let wrong = mine.replace("[exec.page]\nban", "[exec.page]\nbann");
        place.configure(&of(&[wrong]));
        place.stockade(&["reload"]).assert_code(78);
        assert_eq!(status(&place, "mine")["state"], "degraded");
        place.write("mine.log", "bad 192.0.2.1\nbad 192.0.2.1\nbad 192.0.2.1\n");
        wait_until("it bans and tells the program", || {
            banned("mine") == ids(&["192.0.2.1"])
                && std::fs::read_to_string(place.path("paged"))
                    .is_ok_and(|text| text == "192.0.2.1\n")
        });
    });
}
