//! A jail that reads the journal: real journal files, read by the real journalctl(1).
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use stockade_tests::{MUST_RUN, Place, banned, in_namespace, wait_until};

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

const CONFIGURATION: &str = r#"
    [defaults]
    maxretry = 3
    [jails.sshd]
    backend = "journal"
"#;

/// A place whose journal lies in its own folder: the daemon finds a `journalctl` that looks there.
fn place() -> Place {
    let mut place = Place::new(CONFIGURATION);
    let journalctl = format!(
        "#!/bin/sh\nexec /usr/bin/journalctl --directory='{0}/journal' \"$@\"\n",
        place.dir()
    );
    place.write("programs/journalctl", &journalctl);
    place.write("journal/.keep", "");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path("programs/journalctl"), executable).unwrap();
    place.prefer_programs(place.path("programs"));
    place
}

fn entry(address: &str, comm: &str, uid: u32, number: usize) -> String {
    let micros = jiff::Timestamp::now().as_microsecond();
    format!(
        "__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={number}\n\
         _BOOT_ID=0123456789abcdef0123456789abcdef\n_MACHINE_ID=fedcba9876543210fedcba9876543210\n\
         _HOSTNAME=bastion\n_COMM={comm}\n_UID={uid}\n_PID=811\nSYSLOG_IDENTIFIER={comm}\nPRIORITY=6\n\
         MESSAGE=Failed password for root from {address} port 40112 ssh2\n\n"
    )
}

/// Writes entries into a journal file of the place.
fn journal(place: &Place, file: &str, entries: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "journals are written by systemd's program"
    )]
    let mut remote = Command::new(REMOTE)
        .arg("-o")
        .arg(place.path("journal").join(file))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    remote
        .stdin
        .take()
        .unwrap()
        .write_all(entries.as_bytes())
        .unwrap();
    let output = remote.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether the tools are there; where tests must run they have to be.
fn can_run() -> bool {
    let there = std::path::Path::new(REMOTE).exists()
        && std::path::Path::new("/usr/bin/journalctl").exists();
    assert!(
        there || std::env::var_os(MUST_RUN).is_none(),
        "needs {REMOTE} and /usr/bin/journalctl"
    );
    there
}

#[test]
fn entries_lead_to_a_ban_and_a_restart_goes_on_at_the_cursor() {
    if !can_run() {
        return;
    }
    in_namespace(|| {
        let place = place();
        journal(&place, "first.journal", &entry("192.0.2.200", "cron", 0, 1));
        let daemon = place.start();
        let failures = |address: &str, count: usize, from: usize| -> String {
            (0..count)
                .map(|n| entry(address, "sshd", 0, from + n))
                .collect()
        };
        journal(&place, "second.journal", &failures("192.0.2.1", 3, 10));
        wait_until("192.0.2.1 is banned", || {
            banned("sshd").contains("192.0.2.1")
        });

        // A user who writes in the name of sshd has nobody banned.
        let forged: String = (0..5)
            .map(|n| entry("192.0.2.66", "sshd", 1000, 20 + n))
            .collect();
        journal(
            &place,
            "third.journal",
            &(forged + &failures("192.0.2.2", 2, 30)),
        );
        wait_until("both are judged", || {
            place.count_logged(r"\] Found 192\.0\.2\.2 ") == 2
        });
        assert_eq!(daemon.stop(&[]), 0);

        journal(
            &place,
            "fourth.journal",
            &(failures("192.0.2.2", 1, 40) + &failures("192.0.2.3", 3, 50)),
        );
        let _daemon = place.start();
        wait_until("192.0.2.3 is banned", || {
            banned("sshd").contains("192.0.2.3")
        });
        wait_until("192.0.2.2 has its third", || {
            banned("sshd").contains("192.0.2.2")
        });
        assert_eq!(
            place.count_logged(r"\] Found 192\.0\.2\.2 "),
            3,
            "no entry is counted twice"
        );
        assert!(!banned("sshd").contains("192.0.2.66"));
        let status = place.ask(r#"{"command":"status"}"#);
        assert_eq!(status["sources"][0]["kind"], "journal", "{status}");
    });
}

#[test]
fn a_journalctl_that_dies_is_started_again() {
    if !can_run() {
        return;
    }
    in_namespace(|| {
        let mut place = place();
        // Prints one batch of failures each time it is started, and dies.
        let address = |n: u32| format!("192.0.2.{n}");
        let batch = |n: u32| -> String {
            let one = entry(&address(n), "sshd", 0, 7);
            (0..3)
                .map(|i| format!("__CURSOR=s=1;i={n}{i}\n{one}"))
                .collect()
        };
        for n in 1..=3 {
            place.write(&format!("batch{n}"), &batch(n));
        }
        let dying = format!(
            "#!/bin/sh\ncd '{}'\n\
             case \"$*\" in *--follow*) ;; *) cat batch1; exit 0;; esac\n\
             n=$(($(cat count 2>/dev/null || echo 0) + 1))\n\
             [ $n -gt 3 ] && exec sleep 1000\ncat batch$n\necho $n > count\nexit 1\n",
            place.dir()
        );
        place.write("programs/journalctl", &dying);
        place.prefer_programs(place.path("programs"));
        let _daemon = place.start();
        for n in 1..=3 {
            wait_until(&format!("batch {n} is read"), || {
                banned("sshd").contains(&address(n))
            });
        }
        place.wait_logged("journalctl");
    });
}
