//! A user's fail2ban configuration, run as it is.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stockade_tests::{Place, banned, copy_fail2ban, in_namespace, wait_until};

/// Debian's tree with the jail `sshd` on the log of `place`; `None` where it is not installed.
fn tree(place: &Place) -> Option<String> {
    let dir = place.path("fail2ban");
    if !copy_fail2ban(&dir) {
        return None;
    }
    let log = place.path("auth.log");
    place.write(
        "fail2ban/jail.d/test.local",
        &format!(
            "[DEFAULT]\nignoreself = false\n[sshd]\nenabled = true\nbackend = auto\nmaxretry = 3\n\
             logpath = {}\nport = 22,2222\n[broken]\nenabled = true\nfilter = there-is-none\n",
            log.display()
        ),
    );
    Some(dir.display().to_string())
}

/// Further arguments of `run`, for a configuration of fail2ban's.
fn arguments(place: &Place, dir: &str) -> [String; 6] {
    let state = place.path("state").display().to_string();
    let socket = place.path("control.sock").display().to_string();
    [
        "--fail2ban".to_owned(),
        dir.to_owned(),
        "--state-dir".to_owned(),
        state,
        "--socket".to_owned(),
        socket,
    ]
}

#[test]
fn debians_sshd_jail_bans_in_the_kernel_and_a_broken_jail_does_not_matter() {
    in_namespace(|| {
        let place = Place::new("");
        let mut log = place.log_file("auth.log");
        let Some(dir) = tree(&place) else { return };
        let arguments = arguments(&place, &dir);
        let _daemon = place.start_with(&arguments.each_ref().map(String::as_str));
        log.failures(3, &["192.0.2.1"]);
        log.failures(2, &["192.0.2.2"]);
        let expected: BTreeSet<String> = ["192.0.2.1".to_owned()].into();
        wait_until("the third failure bans", || banned("sshd") == expected);
        let status = place.ask(r#"{"command":"status"}"#);
        let jails = status["jails"].as_array().unwrap();
        let states = jails
            .iter()
            .map(|jail| json!([jail["name"], jail["state"]]));
        let states: Vec<_> = states.collect();
        assert_eq!(states, [json!(["sshd", "ok"]), json!(["broken", "broken"])]);
        let why = jails[1]["message"].as_str().unwrap();
        assert!(
            why.contains("test.local") && why.contains("there is no filter"),
            "{why}"
        );
        let rules = place.ask(r#"{"command":"rules","jail":"sshd"}"#);
        assert_eq!(rules["maxretry"], 3);
    });
}

#[test]
fn an_import_can_be_checked_and_says_what_became_of_everything() {
    let place = Place::new("");
    let Some(dir) = tree(&place) else { return };
    let out = place.path("imported").display().to_string();
    let told = place.stockade(&["import", &dir, "--out", &out]);
    told.assert_code(78);
    for line in [
        "[sshd]\n  translated  enabled, backend,",
        "different   action iptables-multiport: bans are in stockade's own nftables table instead of iptables",
        "[broken]\n  left out    the jail: it has errors",
        "there is no filter 'there-is-none'",
    ] {
        assert!(told.out.contains(line), "{line}\n{}", told.out);
    }
    let jail = std::fs::read_to_string(place.path("imported/jails/sshd.toml")).unwrap();
    assert!(jail.contains("port = [\"22\", \"2222\"]"), "{jail}");
    let main = place.path("imported/stockade.toml").display().to_string();
    place.stockade(&["check", "--config", &main]).assert_code(0);
    // Nothing that exists is replaced.
    place
        .stockade(&["import", &dir, "--out", &out])
        .assert_code(1);
}

/// What a daemon does: its jails with their rules, and what stands in the kernel.
#[expect(
    clippy::disallowed_methods,
    reason = "nft is what says what stands in the kernel"
)]
fn does(place: &Place) -> (Value, Vec<Value>, String) {
    let status = place.ask(r#"{"command":"status"}"#);
    // A jail that is broken is not written by an import.
    let jails = status["jails"].as_array().unwrap().iter();
    let jails: Vec<_> = jails.filter(|jail| jail["state"] != "broken").collect();
    let rules = jails.iter().map(|jail| {
        let name = jail["name"].as_str().unwrap();
        place.ask(&format!(r#"{{"command":"rules","jail":"{name}"}}"#))
    });
    let rules = rules.collect();
    let nft = std::process::Command::new("nft")
        .args(["-s", "list", "ruleset"])
        .output()
        .unwrap();
    let ruleset = String::from_utf8(nft.stdout).unwrap();
    (json!(jails), rules, ruleset)
}

#[test]
fn running_a_fail2ban_configuration_is_running_what_it_is_translated_to() {
    in_namespace(|| {
        let place = Place::new("[jails.asterisk]\n");
        let Some(dir) = tree(&place) else { return };
        let _log = place.log_file("auth.log");
        place.write(
            "fail2ban/action.d/page.conf",
            "[Definition]\nactionban = true <ip> <name>\n",
        );
        place.write(
            "fail2ban/jail.d/more.local",
            &format!(
                "[DEFAULT]\nbantime.increment = true\n[sshd]\nmode = aggressive\naction = %(action_)s\n  page\n\
                 [asterisk]\nenabled = true\nlogpath = {0}/auth.log\n[recidive]\nenabled = true\n\
                 action = page\nlogpath = {0}/auth.log\n",
                place.dir()
            ),
        );
        let arguments = arguments(&place, &dir);
        let daemon = place.start_with(&arguments.each_ref().map(String::as_str));
        let run = does(&place);
        daemon.stop(&["--flush"]);
        let out = place.path("imported").display().to_string();
        place
            .stockade(&["import", &dir, "--out", &out])
            .assert_code(78);
        // Beside the file that says where the daemon of this test keeps its own.
        let to = |name: &str| place.path(name);
        std::fs::create_dir(to("stockade.d")).unwrap();
        std::fs::rename(to("imported/stockade.toml"), to("stockade.d/imported.toml")).unwrap();
        for folder in ["jails", "filters"] {
            std::fs::rename(to(&format!("imported/{folder}")), to(folder)).unwrap();
        }
        let _daemon = place.start();
        let imported = does(&place);
        assert_eq!(run.0.as_array().unwrap().len(), 3);
        assert!(run.2.contains("dport 2222"), "{}", run.2);
        assert!(
            !run.2.contains("recidive"),
            "only its action is told: {}",
            run.2
        );
        assert_eq!(run, imported);
    });
}

#[test]
fn a_filter_that_cannot_be_compiled_is_shown_where_it_is_written_and_the_others_run() {
    let place = Place::new("");
    let Some(dir) = tree(&place) else { return };
    place.write(
        "fail2ban/filter.d/bad.conf",
        "[Definition]\nfailregex = ^ok <HOST>$\n  ^no (<HOST>$\n",
    );
    place.write(
        "fail2ban/jail.d/bad.local",
        "[bad]\nenabled = true\nlogpath = /x\n",
    );
    let told = place.stockade(&["import", &dir]);
    told.assert_code(78);
    let shown = "fail2ban/filter.d/bad.conf:3:";
    assert!(told.out.contains(shown), "{}", told.out);
    assert!(
        told.out.contains("  3 |   ^no (<HOST>$\n    |"),
        "{}",
        told.out
    );
    assert!(
        told.out
            .contains("[bad]\n  left out    the jail: a pattern of its filter cannot be used"),
        "{}",
        told.out
    );
    assert!(told.out.contains("[sshd]\n  translated  "), "{}", told.out);
}
