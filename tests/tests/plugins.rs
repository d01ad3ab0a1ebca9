//! Plugins in a running daemon: those we ship, and those that misbehave.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use stockade_tests::{
    Endpoint, Fault, Place, banned, component, guest, in_namespace, repository, wait_until,
};

fn plain(name: &str) -> String {
    format!("[jails.{name}]\nfilter = \"sshd\"\nlogpath = \"{{dir}}/auth.log\"\n")
}

fn plugin(name: &str, path: &str) -> String {
    format!(
        "[jails.{name}]\nfilter = {{ plugin = \"{name}\" }}\nlogpath = \"{{dir}}/auth.log\"\n\
         [plugins.{name}]\npath = \"{path}\"\n"
    )
}

fn of(sections: &[String]) -> String {
    let head = "[defaults]\nbackend = \"file\"\nmaxretry = 3\n[jails.sshd]\nenabled = false\n";
    format!("{head}{}", sections.concat())
}

/// The webhook, told of by the jail `web`, with this grant.
fn webhook(endpoint: &Endpoint, grant: &str) -> String {
    let (path, url) = (component("webhook"), endpoint.origin());
    of(&[format!(
        "{}actions = [\"webhook\"]\n[plugins.webhook]\npath = \"{}\"\n{grant}\n\
         [plugins.webhook.settings]\nurl = \"{url}/hook\"\n",
        plain("web"),
        path.display(),
    )])
}

fn granted(endpoint: &Endpoint) -> String {
    let origin = endpoint.origin();
    webhook(
        endpoint,
        &format!(
            "[plugins.webhook.grant]\nlog = true\nclock = true\nkv = true\n\
             http = [{{ origin = \"{origin}\", private = true }}]"
        ),
    )
}

/// One daemon, two plain jails and one whose plugin misbehaves.
fn misbehaving(fault: Fault) {
    let sections = [
        plain("first"),
        plugin("bad", "{dir}/bad.wasm"),
        plain("second"),
    ];
    let place = Place::new(&of(&sections));
    place.write("bad.wasm", &guest(fault));
    let mut log = place.log_file("auth.log");
    let daemon = place.start();
    for n in 1..=4 {
        // The first ban comes while the plugin judges its first lines, the last while it is quarantined.
        let attacker = format!("192.0.2.{n}");
        log.failures(3, &[&attacker]);
        for jail in ["first", "second"] {
            wait_until(&format!("{jail} bans {attacker}"), || {
                banned(jail).contains(&attacker)
            });
        }
    }
    let state = || {
        let status = place.ask(r#"{"command":"status"}"#);
        let plugins = status["plugins"].as_array().unwrap();
        plugins
            .iter()
            .find(|plugin| plugin["name"] == "bad")
            .unwrap()
            .clone()
    };
    wait_until("it is quarantined", || state()["state"] == "quarantined");
    let told = state();
    assert_eq!(told["role"], "filter");
    assert!(told["faults"].as_u64().unwrap() >= 3, "{told}");
    assert!(told["message"].is_string(), "{told}");
    assert!(told["quarantined_until"].is_string(), "{told}");
    place.wait_logged("WARN.*bad|ERROR.*bad");
    assert_eq!(banned("bad"), BTreeSet::new());
    // It does not hold up the end either.
    assert_eq!(daemon.stop(&[]), 0);
}

#[test]
fn a_filter_plugin_that_never_answers_delays_no_other_jail() {
    in_namespace(|| misbehaving(Fault::Loops));
}

#[test]
fn a_filter_plugin_that_traps_delays_no_other_jail() {
    in_namespace(|| misbehaving(Fault::Traps));
}

#[test]
fn the_sshd_plugin_bans_whom_the_plain_filter_bans() {
    in_namespace(|| {
        let path = component("sshd").to_string_lossy().into_owned();
        let grant = "[plugins.wasm.grant]\nlog = true\nclock = true\nkv = true\n".to_owned();
        let place = Place::new(&format!(
            "{}\n{grant}",
            of(&[plain("plain"), plugin("wasm", &path)])
                .replace("maxretry = 3", "maxretry = 1\nfindtime = \"52w\"")
        ));
        let corpus =
            std::fs::read(repository().join("tests/conformance/samples/sshd.log")).unwrap();
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        // Annotations are lines that no filter matches; a date makes the forms of today count.
        log.write(&corpus);
        log.failures(1, &["192.0.2.255"]);
        for jail in ["plain", "wasm"] {
            wait_until(&format!("{jail} has judged all"), || {
                banned(jail).contains("192.0.2.255")
            });
        }
        assert_eq!(banned("plain"), banned("wasm"));
        assert!(
            banned("plain").contains("198.51.100.7"),
            "{:?}",
            banned("plain")
        );
        // Somebody innocent, whose address attackers wrote into user names.
        assert!(!banned("plain").contains("203.0.113.9"));
    });
}

#[test]
fn the_webhook_is_told_of_bans_and_their_ends_and_retries() {
    in_namespace(|| {
        let endpoint = Endpoint::open(500);
        let place = Place::new(&granted(&endpoint));
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        wait_until("it is told, and refuses", || {
            !endpoint.received().is_empty()
        });
        wait_until("the ban does not wait for it", || {
            banned("web").contains("192.0.2.1")
        });

        endpoint.answer(200);
        let accepted = |event: &str| {
            endpoint
                .about(event, "192.0.2.1")
                .into_iter()
                .find(|request| request.status == 200)
        };
        // Told as a ban, or with all that are in force, when it was not reached at the start.
        let reconciled = || {
            endpoint.received().into_iter().any(|request| {
                let bans = request.body["bans"].as_array().cloned().unwrap_or_default();
                request.status == 200 && bans.iter().any(|ban| ban["ip"] == "192.0.2.1")
            })
        };
        wait_until("it is told again", || {
            accepted("ban").is_some() || reconciled()
        });

        place.stockade(&["unban", "192.0.2.1"]).assert_code(0);
        wait_until("it is told of the end", || accepted("unban").is_some());
        let refused = endpoint
            .received()
            .iter()
            .filter(|request| request.status == 500)
            .count();
        assert!(refused >= 1);
    });
}

#[test]
fn a_document_that_is_sent_again_is_known_by_its_key() {
    in_namespace(|| {
        let endpoint = Endpoint::open(200);
        let place = Place::new(&granted(&endpoint));
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        wait_until("it has been told all at the start", || {
            !endpoint.received().is_empty()
        });
        endpoint.answer(503);
        log.failures(3, &["192.0.2.1"]);
        wait_until("it refuses twice", || {
            endpoint.about("ban", "192.0.2.1").len() >= 2
        });
        endpoint.answer(200);
        let ban = || endpoint.about("ban", "192.0.2.1");
        wait_until("it takes the ban", || {
            ban().iter().any(|request| request.status == 200)
        });
        let keys: BTreeSet<_> = ban().into_iter().map(|request| request.key).collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
        let document = &ban()[0].body;
        assert_eq!(document["jail"], "web");
        assert_eq!(document["failures"], 3);
        assert_eq!(
            document["matches"].as_array().unwrap().len(),
            3,
            "{document}"
        );
    });
}

#[test]
fn a_missing_grant_is_an_error_that_says_what_to_write() {
    in_namespace(|| {
        let endpoint = Endpoint::open(200);
        let place = Place::new(&webhook(&endpoint, ""));
        let told = place.stockade(&["check"]);
        let err = &told.assert_code(78).err;
        assert!(
            err.contains("plugin 'webhook' wants stockade:http/http"),
            "{err}"
        );
        assert!(err.contains("http = ["), "{err}");
        assert!(err.contains("[plugins.webhook.grant]"), "{err}");

        // Without the action, the jail bans all the same.
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        place.wait_logged("ERROR.*plugin 'webhook' wants stockade:http/http");
        log.failures(3, &["192.0.2.1"]);
        wait_until("the jail goes on", || banned("web").contains("192.0.2.1"));
        assert!(endpoint.received().is_empty());
    });
}

#[test]
fn a_file_that_is_no_component_stops_no_other_jail() {
    in_namespace(|| {
        let both = of(&[plugin("bad", "{dir}/bad.wasm"), plain("first")]);
        let place = Place::new(&of(&[plugin("bad", "{dir}/bad.wasm")]));
        let core_module = b"\0asm\x01\0\0\0";
        for content in [&b"MZ this is no component"[..], b"", core_module] {
            place.write("bad.wasm", content);
            // `run` ends as well, since there is no other jail.
            for command in ["check", "run"] {
                let told = place.stockade(&[command]);
                let told = format!("{}{}", told.assert_code(78).err, place.logged());
                assert!(
                    told.contains("plugin 'bad' at ") && told.contains("bad.wasm"),
                    "{command}: {told}"
                );
                assert!(
                    told.contains("WebAssembly") || told.contains("component"),
                    "{command}: {told}"
                );
            }
            place
                .stockade(&[
                    "plugin",
                    "inspect",
                    &place.path("bad.wasm").to_string_lossy(),
                ])
                .assert_code(1);
        }

        place.configure(&both);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        wait_until("the other jail works", || {
            banned("first").contains("192.0.2.1")
        });
        let jail = place.ask(r#"{"command":"status","jail":"bad"}"#)["jails"][0].clone();
        assert_eq!(jail["state"], "failed");
        assert!(
            jail["message"].as_str().unwrap().contains("bad.wasm"),
            "{jail}"
        );
        assert_eq!(daemon.stop(&[]), 0);
    });
}

#[test]
fn a_reload_with_a_file_that_is_no_component_keeps_the_old() {
    in_namespace(|| {
        let place = Place::new(&of(&[plain("first")]));
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        place.write("bad.wasm", "no component");
        place.configure(&of(&[plugin("bad", "{dir}/bad.wasm"), plain("first")]));
        let told = place.stockade(&["reload"]);
        assert!(
            told.assert_code(78).err.contains("bad.wasm"),
            "{}",
            told.err
        );
        log.failures(3, &["192.0.2.1"]);
        wait_until("the old one is in force", || {
            banned("first").contains("192.0.2.1")
        });
    });
}

#[test]
fn a_program_is_told_of_bans_and_of_their_end() {
    in_namespace(|| {
        let place = Place::new(&of(&[
            plain("web"),
            "actions = [\"note\"]\n[exec.note]\n\
             ban = [\"/bin/sh\", \"{dir}/note\", \"ban\", \"<jail>\", \"<ip>\", \"<bantime>\"]\n\
             unban = [\"/bin/sh\", \"{dir}/note\", \"unban\", \"<jail>\", \"<ip>\"]\n"
                .to_owned(),
        ]));
        let noted = place.path("noted");
        let script = format!("echo \"$@\" >> '{0}'; cat >> '{0}'\n", noted.display());
        place.write("note", &script);
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        let note = || std::fs::read_to_string(&noted).unwrap_or_default();
        wait_until("the program is told of the ban", || {
            note().contains("ban web 192.0.2.1 600\n{\"bancount\":1,")
        });
        assert!(note().contains("Failed password"), "{}", note());
        place.stockade(&["unban", "192.0.2.1"]).assert_code(0);
        wait_until("the program is told of the end", || {
            note().contains("\nunban web 192.0.2.1\n{")
        });
        let plugins = place.ask(r#"{"command":"status"}"#)["plugins"].clone();
        assert_eq!(plugins[0]["name"], "note");
        assert_eq!(plugins[0]["role"], "action");
        assert_eq!(plugins[0]["faults"], 0);
    });
}
