//! The command line: help, JSON of documented shape, exit codes.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use serde_json::Value;
use stockade_tests::{ONE_JAIL, Place, Told, component, in_namespace, repository};

const COMMANDS: [&[&str]; 14] = [
    &["run"],
    &["check"],
    &["status"],
    &["metrics"],
    &["banned"],
    &["ban"],
    &["unban"],
    &["confirm"],
    &["reload"],
    &["stop"],
    &["ping"],
    &["regex"],
    &["plugin"],
    &["plugin", "inspect"],
];

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// The reply of this name as docs/control-protocol.md shows it.
fn documented(name: &str) -> Value {
    let text = std::fs::read_to_string(repository().join("docs/control-protocol.md")).unwrap();
    let from = text
        .split_once(&format!("<!-- reply: {name} -->\n```json\n"))
        .unwrap()
        .1;
    serde_json::from_str(from.split_once("```").unwrap().0).unwrap()
}

/// Fails where a value has other keys than the document shows, however deep. Of a list the first
/// items are compared, where both have one.
#[track_caller]
fn assert_shape(shown: &Value, said: &Value) {
    if let (Value::Object(fields), Value::Object(_)) = (shown, said) {
        assert_eq!(keys(shown), keys(said), "{said}");
        for (key, value) in fields {
            assert_shape(value, &said[key]);
        }
    } else if let (Some(shown), Some(said)) = (shown.get(0), said.get(0)) {
        assert_shape(shown, said);
    }
}

#[test]
fn every_command_has_help_with_examples() {
    let place = Place::new("");
    let overview = place.stockade(&["--help"]);
    assert!(
        overview.assert_code(0).out.contains("Exit codes:"),
        "{}",
        overview.out
    );
    for command in COMMANDS {
        assert!(
            overview.out.contains(command[0]),
            "{command:?} is missing in the overview"
        );
        let told = place.stockade(&[command, &["--help"]].concat());
        let help = &told.assert_code(0).out;
        assert!(
            help.contains("Example"),
            "no example in the help of {command:?}:\n{help}"
        );
        assert!(
            help.contains(&format!("  stockade {}", command.join(" ")))
                || help.contains("sudo stockade"),
            "{help}"
        );
        assert!(help.contains("--json"), "{help}");
    }
}

#[test]
fn what_the_daemon_answers_has_the_documented_shape() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        let daemon = place.start();
        let commands: [(&str, &[&str]); 7] = [
            ("ping", &["ping"]),
            ("ban", &["ban", "sshd", "192.0.2.1"]),
            ("status", &["status"]),
            ("banned", &["banned"]),
            ("reload", &["reload"]),
            ("unban", &["unban", "192.0.2.1"]),
            ("stop", &["stop"]),
        ];
        for (name, command) in commands {
            let told = place.stockade(&[command, &["--json"]].concat());
            let reply = told.assert_code(0).json();
            assert_eq!(reply["reply"], name);
            assert_shape(&documented(name), &reply);
        }
        assert_eq!(daemon.wait(), 0);
    });
}

#[test]
fn text_for_people_says_the_same() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        let _daemon = place.start();
        assert_eq!(place.stockade(&["ping"]).assert_code(0).out, "pong\n");
        place.stockade(&["ban", "sshd", "192.0.2.1"]).assert_code(0);
        for command in [
            &["status"][..],
            &["status", "sshd"],
            &["banned"],
            &["banned", "sshd"],
        ] {
            let out = place.stockade(command).assert_code(0).out.clone();
            assert!(out.contains("sshd"), "{command:?}: {out}");
        }
        for command in [&["banned"][..], &["status", "sshd"]] {
            assert!(
                place.stockade(command).out.contains("192.0.2.1"),
                "{command:?}"
            );
        }
    });
}

#[test]
fn without_a_daemon_the_exit_code_says_so() {
    let place = Place::new("");
    for command in [
        &["status"][..],
        &["banned"],
        &["ping"],
        &["reload"],
        &["stop"],
        &["unban", "--all"],
    ] {
        let told = place.stockade(command);
        assert!(
            told.assert_code(69).err.contains("control.sock"),
            "{command:?}: {}",
            told.err
        );
        let error = place
            .stockade(&[command, &["--json"]].concat())
            .assert_code(69)
            .json();
        assert_eq!(error["reply"], "error", "{command:?}");
        assert!(error["message"].is_string(), "{command:?}");
    }
}

#[test]
fn wrong_arguments_have_their_own_exit_code() {
    let place = Place::new("");
    for wrong in [
        &["frobnicate"][..],
        &["ban"],
        &["unban"],
        &["ban", "no such jail", "192.0.2.1"],
        &["run", "--no-such"],
    ] {
        place.stockade(wrong).assert_code(64);
    }
    for unknown in ["sshd2", "nobody"] {
        let told = place.stockade(&["regex", unknown, "/no/such/file"]);
        assert_ne!(told.code, 0, "{}", told.out);
    }
}

#[test]
fn check_shows_every_error_with_its_place() {
    let place = Place::new(
        "[defaults]\nmaxretry = 0\nfindtime = \"soon\"\nbackend = \"file\"\n\
         [jails.web]\nfilter = \"web\"\nlogpath = \"{dir}/web.log\"\n",
    );
    place.write(
        "filters/web.toml",
        "failregex = ['^login failed from <HOST', '^no address here$']\n",
    );
    place.write("jails/broken.toml", "filter = \"sshd\"\nlogpath = \n");
    let told = place.stockade(&["check"]);
    let err = &told.assert_code(78).err;
    for part in [
        "maxretry",
        "findtime",
        "filters/web.toml:1:",
        "jails/broken.toml:2:",
    ] {
        assert!(err.contains(part), "{part} is missing:\n{err}");
    }
    let places = regex::Regex::new(r"(?m)^/\S+\.toml:\d+:\d+: ").unwrap();
    assert!(places.find_iter(err).count() >= 5, "{err}");
    assert!(
        err.lines()
            .any(|line| line.trim_start_matches([' ', '|']).starts_with('^')),
        "no caret:\n{err}"
    );

    let told = place.stockade(&["check", "--json"]);
    let reply = told.assert_code(78).json();
    assert_eq!(
        keys(&reply),
        BTreeSet::from(["absent", "broken", "diagnostics", "jails", "ok"])
    );
    assert_eq!(reply["ok"], false);
    let diagnostics = reply["diagnostics"].as_array().unwrap();
    assert!(diagnostics.len() >= 5, "{diagnostics:#?}");
    let shown = &documented("error-config")["diagnostics"][0];
    for diagnostic in diagnostics {
        assert_eq!(keys(diagnostic), keys(shown));
    }
}

#[test]
fn check_accepts_what_we_ship_and_a_host_without_configuration() {
    let place = Place::new("");
    let told = place.stockade(&["check"]);
    assert!(told.assert_code(0).out.contains("sshd"), "{}", told.out);
    let shipped = repository().join("config/stockade.toml");
    let reply = Place::of(&shipped)
        .stockade(&["check", "--json"])
        .assert_code(0)
        .json();
    // Others switch themselves on where this machine has something for them.
    let jails = reply["jails"].as_array().unwrap();
    assert!(jails.contains(&Value::from("sshd")), "{reply}");
    assert_eq!(reply["diagnostics"], serde_json::json!([]));
}

fn regex(arguments: &[&str]) -> Told {
    Place::new("").stockade(&[&["regex"], arguments].concat())
}

#[test]
fn regex_tells_what_a_filter_makes_of_a_log() {
    let corpus = repository().join("tests/conformance/samples/sshd.log");
    let text = std::fs::read_to_string(&corpus).unwrap();
    let expected = text
        .lines()
        .filter(|line| line.starts_with("# match "))
        .count();
    let corpus = corpus.to_str().unwrap();
    let told = regex(&["sshd", corpus, "--json"]);
    let reply = told.assert_code(0).json();
    assert_eq!(reply["matched"], expected, "{reply}");
    assert_eq!(reply["lines"], text.lines().count(), "{reply}");
    let told = regex(&["sshd", corpus]);
    assert!(
        told.assert_code(0).out.contains(&expected.to_string()),
        "{}",
        told.out
    );
}

#[test]
fn regex_takes_a_line_and_a_pattern_as_they_are_typed() {
    let line = "Nov 23 05:54:13 host sshd[7]: Invalid user admin from 192.0.2.1 port 4711";
    let reply = regex(&["sshd", line, "--json"]).assert_code(0).json();
    assert_eq!(reply["matched"], 1, "{reply}");
    let told = regex(&[
        "login failed from <HOST>$",
        "login failed from 192.0.2.7",
        "--print-matched",
    ]);
    assert!(
        told.assert_code(0).out.contains("192.0.2.7"),
        "{}",
        told.out
    );
    regex(&["sshd", "nothing of interest", "--json"]).assert_code(1);
    let told = regex(&["login failed from <HOST", "whatever"]);
    assert!(!told.err.is_empty() && told.code != 0, "{told:?}");
}

#[test]
fn regex_runs_a_filter_plugin() {
    let plugin = component("sshd");
    let corpus = repository().join("tests/conformance/samples/sshd.log");
    let plugin = regex(&[plugin.to_str().unwrap(), corpus.to_str().unwrap(), "--json"]);
    let plain = regex(&["sshd", corpus.to_str().unwrap(), "--json"]);
    assert_eq!(
        plugin.assert_code(0).json()["matched"],
        plain.json()["matched"]
    );
}

#[test]
fn plugin_inspect_says_what_would_have_to_be_granted() {
    let place = Place::new("");
    let file = component("webhook");
    let file = file.to_str().unwrap();
    let reply = place
        .stockade(&["plugin", "inspect", file, "--json"])
        .assert_code(0)
        .json();
    assert_eq!(reply["roles"], serde_json::json!(["action"]));
    let grants = reply["grants"].as_array().unwrap();
    assert!(
        grants
            .iter()
            .any(|grant| grant.as_str().unwrap().starts_with("http")),
        "{reply}"
    );
    assert_eq!(reply["sha256"].as_str().unwrap().len(), 64);
    let told = place.stockade(&["plugin", "inspect", file]);
    assert!(told.assert_code(0).out.contains("http"), "{}", told.out);
    let told = place.stockade(&["plugin", "inspect", "/no/such/file"]);
    assert!(
        told.assert_code(1).err.contains("/no/such/file"),
        "{}",
        told.err
    );
}

#[test]
fn a_filter_that_can_be_deceived_is_named_with_the_line_that_does_it() {
    let place = Place::new("");
    let told = place.stockade(&["check", "--injection", "sshd"]);
    assert!(
        told.assert_code(0).out.contains("no line was found"),
        "{}",
        told.out
    );
    place.write(
        "filters/weak.toml",
        "failregex = ['login of .* from <ADDR> failed']\n",
    );
    let told = place.stockade(&["check", "--injection", "weak"]);
    assert!(
        told.assert_code(1).out.contains("weak: failregex 1 bans "),
        "{}",
        told.out
    );
    place.write(
        "filters/ambiguous.toml",
        "failregex = ['^login of .* from <ADDR> failed']\n",
    );
    let told = place.stockade(&["check", "--injection", "ambiguous"]);
    let hides = "ambiguous: failregex 1 counts for nobody, and failregex 1 can read ";
    assert!(told.assert_code(0).out.contains(hides), "{}", told.out);
}

#[test]
fn hostile_text_is_put_into_the_fields_of_samples_that_are_given() {
    let place = Place::new("");
    place.write(
        "filters/app.toml",
        "failregex = ['^\\s*(?:a|b);(?: user=<F-USER>\\S*</F-USER>)? rhost=<ADDR>(?: .*)?$']\n",
    );
    place.write(
        "app.log",
        "# match\nNov 23 05:54:13 b; user=root rhost=198.51.100.7\n",
    );
    let log = format!("{}/app.log", place.dir());
    let told = place.stockade(&["check", "--injection", "app", "--samples", &log]);
    let told = told.assert_code(1);
    assert!(
        told.out.contains("by what stands in the place of 'root'"),
        "{}",
        told.out
    );
    let none = place.stockade(&["check", "--injection", "app", "--samples", "/no/such/file"]);
    assert!(
        none.assert_code(1).err.contains("/no/such/file"),
        "{}",
        none.err
    );
}

#[test]
fn a_filter_of_fail2ban_can_be_checked_for_lines_that_deceive_it() {
    let place = Place::new("");
    place.write(
        "f2b/filter.d/weak.conf",
        "[Definition]\nfailregex = login of .* from <HOST> failed\n",
    );
    place.write("f2b/jail.conf", "[DEFAULT]\n");
    let dir = format!("{}/f2b", place.dir());
    let told = place.stockade(&["check", "--fail2ban", &dir, "--injection", "weak"]);
    assert!(
        told.assert_code(1).out.contains("weak: failregex 1 bans "),
        "{}",
        told.out
    );
    let told = place.stockade(&["check", "--fail2ban", &dir, "--injection", "none"]);
    assert!(told.assert_code(1).err.contains("'none'"), "{}", told.err);
}

#[test]
fn a_filter_of_json_entries_is_checked_and_tried_like_any_other() {
    let place = Place::new("");
    let filter = "format = \"json\"\nid = \"ip\"\ntime = \"ts\"\n[[failure]]\n\
        status = 401\nmessage = '^no (such user$'\n";
    place.write("filters/web.toml", filter);
    let told = place.stockade(&["check"]);
    let caret = "filters/web.toml:6:16: unclosed group\n  6 | message = '^no (such user$'\n    |                ^";
    assert!(told.assert_code(78).err.contains(caret), "{}", told.err);
    place.write("filters/web.toml", &filter.replace("no (", "no "));
    place.stockade(&["check"]).assert_code(0);
    let line =
        r#"{ "ts": 1795413253, "ip": "192.0.2.1:4711", "status": 401, "message": "no such user" }"#;
    let told = place.stockade(&["regex", "web", line]);
    let expected = "failure 1 matched 1 times: message = '^no such user$', status = 401";
    assert!(told.assert_code(0).out.contains(expected), "{}", told.out);
    let reply = place.stockade(&["regex", "web", line, "--json"]).json();
    assert_eq!(reply["results"][0]["id"], "192.0.2.1", "{reply}");
    assert_eq!(reply["results"][0]["time"], "2026-11-23T05:54:13.000000Z");
}
