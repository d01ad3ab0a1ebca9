//! The folder of the state: full, damaged, taken or closed. Bans are enforced all the same.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use rustix::mount::{MountFlags, mount, mount_remount};
use stockade_tests::{ONE_JAIL, Place, banned, in_namespace, remove_table, wait_until};

/// Room for a state folder with a database, and not for much more.
const SMALL_DISK: &str = "size=2m,mode=700";

/// A file system with no room left behind it.
fn small_disk(at: &Path) {
    fs::create_dir_all(at).unwrap();
    let options = std::ffi::CString::new(SMALL_DISK).unwrap();
    mount(
        "tmpfs",
        at,
        "tmpfs",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .unwrap();
}

/// Writes until there is no room left.
fn fill(at: &Path) {
    let mut filler = fs::File::create(at).unwrap();
    for size in [64 * 1024, 1024, 1] {
        let block = vec![0; size];
        while filler.write_all(&block).is_ok() {}
    }
}

fn ids(place: &Place) -> BTreeSet<String> {
    let reply = place.ask(r#"{"command":"banned"}"#);
    let bans = reply["bans"].as_array().unwrap();
    bans.iter()
        .map(|ban| ban["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn on_a_full_disk_bans_are_enforced_and_stored_when_there_is_room_again() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        small_disk(&place.path("state"));
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        place.wait_logged("Ban 192.0.2.1$");
        fill(&place.path("state/filler"));

        // Enough for the pages that the database has in hand to be used up.
        let attackers: Vec<String> = (0..200).map(|n| format!("198.18.0.{n}")).collect();
        let attackers: Vec<&str> = attackers.iter().map(String::as_str).collect();
        let is_full = || {
            log.failures(3, &attackers);
            let status = place.ask(r#"{"command":"status"}"#);
            status["store"]["state"] != "ok" && status["store"]["message"].is_string()
        };
        wait_until("the store says that it is full", is_full);
        place.wait_logged("ERROR.*(space|full)");
        wait_until("all are banned", || banned("sshd").len() == 201);
        log.failures(3, &["192.0.2.2"]);
        wait_until("so is the next one", || {
            banned("sshd").contains("192.0.2.2")
        });

        fs::remove_file(place.path("state/filler")).unwrap();
        wait_until("it is stored", || {
            place.ask(r#"{"command":"status"}"#)["store"]["state"] == "ok"
        });
        place.wait_logged("stored again");
        daemon.kill();
        remove_table();
        let _daemon = place.start();
        wait_until("all are back", || banned("sshd").len() == 202);
        assert!(ids(&place).contains("192.0.2.2"));
    });
}

#[test]
fn a_disk_that_is_full_at_the_start_is_told_and_bans_are_enforced() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        small_disk(&place.path("state"));
        fill(&place.path("state/filler"));
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        wait_until("the attacker is banned", || {
            banned("sshd").contains("192.0.2.1")
        });
        place.wait_logged("ERROR.*(space|full)");
        fs::remove_file(place.path("state/filler")).unwrap();
        wait_until("it is stored", || {
            place.ask(r#"{"command":"status"}"#)["store"]["state"] == "ok"
        });
    });
}

#[test]
fn a_corrupt_database_is_kept_aside_and_bans_are_taken_over_from_the_kernel() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        place.wait_logged("Ban 192.0.2.1$");
        place
            .stockade(&["ban", "sshd", "198.51.100.0/24"])
            .assert_code(0);
        let status = place.ask(r#"{"command":"status"}"#);
        let database = Path::new(status["store"]["path"].as_str().unwrap()).to_owned();
        daemon.kill();
        for part in ["-wal", "-shm"] {
            drop(fs::remove_file(format!("{}{part}", database.display())));
        }
        let damaged = b"this is no database ".repeat(500);
        fs::write(&database, &damaged).unwrap();

        let daemon = place.start();
        wait_until("the bans are taken over", || ids(&place).len() == 2);
        let expected = BTreeSet::from(["192.0.2.1", "198.51.100.0/24"].map(str::to_owned));
        assert_eq!(ids(&place), expected);
        assert_eq!(banned("sshd"), expected);
        place.wait_logged("ERROR.*(damaged|corrupt)");
        let names = fs::read_dir(place.path("state")).unwrap();
        let aside = names
            .map(|entry| entry.unwrap().path())
            .find(|path| fs::read(path).is_ok_and(|bytes| bytes == damaged));
        let aside = aside.expect("the damaged file is gone");
        assert!(
            place
                .logged()
                .contains(&*aside.file_name().unwrap().to_string_lossy()),
            "{}",
            place.logged()
        );

        // The new one holds what was taken over.
        log.failures(3, &["192.0.2.2"]);
        place.wait_logged("Ban 192.0.2.2$");
        daemon.kill();
        remove_table();
        let _daemon = place.start();
        wait_until("all are back", || banned("sshd").len() == 3);
    });
}

#[test]
fn a_state_folder_that_another_daemon_uses_is_refused() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        let socket = place.path("other.sock").to_string_lossy().into_owned();
        let told = place.stockade(&["run", "--socket", &socket]);
        assert!(told.assert_code(1).err.contains("state"), "{}", told.err);
        assert!(
            told.err.contains(&daemon.pid().to_string()),
            "who uses it is named: {}",
            told.err
        );
        log.failures(3, &["192.0.2.1"]);
        wait_until("the first one is unharmed", || {
            banned("sshd").contains("192.0.2.1")
        });
    });
}

#[test]
fn a_socket_that_a_live_daemon_answers_at_is_refused() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        let other = place.path("other-state").to_string_lossy().into_owned();
        let told = place.stockade(&["run", "--state-dir", &other]);
        assert!(
            told.assert_code(1)
                .err
                .contains("another stockade answers at"),
            "{}",
            told.err
        );
        assert!(told.err.contains("control.sock"), "{}", told.err);
        place.stockade(&["ping"]).assert_code(0);
        log.failures(3, &["192.0.2.1"]);
        wait_until("the first one is unharmed", || {
            banned("sshd").contains("192.0.2.1")
        });
    });
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_replaced_and_another_file_is_not() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        place.start().kill();
        assert!(place.path("control.sock").exists());
        assert_eq!(place.start().stop(&[]), 0);

        place.write("control.sock", "somebody's file");
        let told = place.stockade(&["run"]);
        assert!(
            told.assert_code(1).err.contains("is not a socket"),
            "{}",
            told.err
        );
        assert_eq!(
            fs::read(place.path("control.sock")).unwrap(),
            b"somebody's file"
        );
    });
}

#[test]
fn only_root_and_the_configured_group_may_open_the_socket() {
    use std::os::unix::fs::PermissionsExt;
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        let _daemon = place.start();
        let mode = fs::metadata(place.path("control.sock"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        let mode = fs::metadata(place.path("state"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    });
}

#[test]
fn without_permission_for_the_firewall_it_says_what_to_do() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        // Root of a user namespace of its own, so without power over the network of this test.
        let powerless = ["unshare", "--user", "--map-root-user"];
        let told = place.stockade_under(&powerless, &["run"]);
        assert!(
            told.assert_code(77)
                .err
                .contains("not permitted to use nftables"),
            "{}",
            told.err
        );
        assert!(
            told.err.contains("hint: ") && told.err.contains("CAP_NET_ADMIN"),
            "{}",
            told.err
        );
        assert!(!place.path("control.sock").exists());
        // A dry run needs none: it gets past the firewall, and stops at a socket that is none.
        place.write("control.sock", "");
        let socket = place.path("control.sock").to_string_lossy().into_owned();
        let told = place.stockade_under(&powerless, &["run", "--dry-run", "--socket", &socket]);
        assert!(told.err.contains("is not a socket"), "{}", told.err);
    });
}

#[test]
fn a_state_folder_that_cannot_be_written_to_is_named() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        small_disk(&place.path("state"));
        mount_remount(place.path("state"), MountFlags::RDONLY, c"").unwrap();
        let told = place.stockade(&["run"]);
        assert!(
            told.assert_code(1)
                .err
                .contains(&format!("{}/state", place.dir())),
            "{}",
            told.err
        );
        assert!(
            told.err.to_lowercase().contains("read-only"),
            "{}",
            told.err
        );
        assert!(!place.path("control.sock").exists());
    });
}
