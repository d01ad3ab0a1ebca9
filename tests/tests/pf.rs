//! A daemon whose firewall is pf, with a program that answers as pfctl(8) does: from a line to the table, and
//! back. What the program is told and answers is tested in `host/firewall/tests/pf`.
#![cfg(test)]
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "mounts in a namespace of its own"
)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use stockade_tests::{Place, in_namespace, repository, wait_until};

const ONE_JAIL_ON_PF: &str = r#"
    [defaults]
    backend = "file"
    maxretry = 3
    firewall = "pf"
    end_connections = true

    [jails.sshd]
    logpath = "{dir}/auth.log"
"#;

/// Puts a `pfctl` where FreeBSD has it, for this namespace alone. It keeps its files in `pf`.
fn put_pfctl(place: &Place) {
    for (name, text) in [
        ("status", "Status: Enabled for 0 days 00:01:00\n"),
        (
            "main",
            "anchor \"stockade\" all\npass in all flags S/SA keep state\n",
        ),
        ("nat", ""),
        ("states", ""),
    ] {
        place.write(&format!("pf/{name}"), text);
    }
    let program = repository().join("host/firewall/tests/pf/pfctl.sh");
    symlink(program, place.path("pf/pfctl")).unwrap();
    let called = format!("#!/bin/sh\nexec {}/pf/pfctl \"$@\"\n", place.dir());
    place.write("sbin/pfctl", &called);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path("sbin/pfctl"), mode).unwrap();
    let both = format!("lowerdir={}/sbin:/usr/sbin", place.dir());
    let mount = ["-t", "overlay", "overlay", "-o", &both, "/usr/sbin"];
    let status = Command::new("mount").args(mount).status().unwrap();
    assert!(status.success());
}

fn table(place: &Place) -> String {
    std::fs::read_to_string(place.path("pf/tables/stockade/ban-sshd")).unwrap_or_default()
}

#[test]
fn who_attacks_is_banned_by_pf_until_he_is_let_go() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL_ON_PF);
        put_pfctl(&place);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        wait_until("he is banned", || {
            place.count_logged(r"\] Ban 192\.0\.2\.1") == 1
        });
        assert_eq!(table(&place), "192.0.2.1\n");
        wait_until("his connections are ended", || {
            let calls = std::fs::read_to_string(place.path("pf/calls")).unwrap();
            calls.contains("-k 192.0.2.1\n")
        });
        let told = place.stockade(&["banned", "--json"]).assert_code(0).json();
        assert!(told.to_string().contains("192.0.2.1"), "{told}");
        let told = place.stockade(&["status", "--json"]).assert_code(0).json();
        assert!(told.to_string().contains("\"pf\""), "{told}");

        assert_eq!(daemon.stop(&[]), 0);
        assert_eq!(table(&place), "192.0.2.1\n");
        let _daemon = place.start();
        place.stockade(&["unban", "192.0.2.1"]).assert_code(0);
        wait_until("he is let go", || table(&place).is_empty());
    });
}

#[test]
fn a_daemon_does_not_start_while_pf_does_not_ask_it_and_says_which_line_is_missing() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL_ON_PF);
        put_pfctl(&place);
        place.write("pf/main", "pass in all flags S/SA keep state\n");
        let _log = place.log_file("auth.log");
        let told = place.stockade(&["run"]);
        told.assert_code(1);
        assert!(
            told.err
                .contains("pf.conf needs a line 'anchor \"stockade\"'"),
            "{}",
            told.err
        );
        place.write("pf/main", "anchor \"stockade\" all\n");
        assert_eq!(place.start().stop(&[]), 0);
    });
}
