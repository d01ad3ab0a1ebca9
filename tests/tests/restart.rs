//! What a stop and a start keep.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use rustix::process::Signal;
use stockade_tests::{ONE_JAIL, Place, banned, has_table, in_namespace, wait_until};

#[test]
fn reading_goes_on_where_it_was_also_when_the_log_was_rotated_meanwhile() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(2, &["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        wait_until("all are judged", || place.count_logged(r"\] Found ") == 6);
        assert_eq!(daemon.stop(&[]), 0);

        log.failures(1, &["192.0.2.1"]);
        log.rotate();
        log.failures(1, &["192.0.2.2"]);
        let _daemon = place.start();
        log.failures(3, &["192.0.2.9"]);
        wait_until("the last is banned", || {
            banned("sshd").contains("192.0.2.9")
        });
        wait_until("so are those who went on", || banned("sshd").len() >= 3);
        let expected = ["192.0.2.1", "192.0.2.2", "192.0.2.9"].map(str::to_owned);
        // 192.0.2.3 failed twice: its lines were not read again.
        assert_eq!(banned("sshd"), BTreeSet::from(expected));
    });
}

#[test]
fn a_stop_leaves_bans_in_the_kernel_and_a_start_adopts_them() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        let daemon = place.start();
        place
            .stockade(&["ban", "sshd", "192.0.2.1", "2001:db8::/64"])
            .assert_code(0);
        let told = place.stockade(&["stop", "--json"]);
        let reply = told.assert_code(0).json();
        assert_eq!(reply["flushed"], false);
        assert_eq!(reply["bans_left"], 2);
        assert_eq!(daemon.wait(), 0);
        let expected = BTreeSet::from(["192.0.2.1", "2001:db8::/64"].map(str::to_owned));
        assert_eq!(banned("sshd"), expected);
        assert!(!place.path("control.sock").exists());

        let daemon = place.start();
        wait_until("the bans are known again", || {
            place.count_logged("Restore Ban") == 2
        });
        assert_eq!(banned("sshd"), expected);
        let told = place.stockade(&["unban", "192.0.2.1"]);
        told.assert_code(0);
        assert_eq!(banned("sshd").len(), 1);
        // The signal of systemd(1) does the same as the command.
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait(), 0);
        assert_eq!(banned("sshd").len(), 1);
    });
}

#[test]
fn a_stop_with_flush_leaves_nothing_in_the_kernel() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let _log = place.log_file("auth.log");
        let daemon = place.start();
        place.stockade(&["ban", "sshd", "192.0.2.1"]).assert_code(0);
        assert!(has_table());
        assert_eq!(daemon.stop(&["--flush"]), 0);
        assert!(!has_table());
        // As with fail2ban: clearing the firewall pardons nobody.
        let _daemon = place.start();
        wait_until("the ban is back", || banned("sshd").contains("192.0.2.1"));
    });
}

#[test]
fn what_somebody_else_removes_from_the_kernel_comes_back() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        place
            .stockade(&["ban", "sshd", "192.0.2.1", "198.51.100.0/24"])
            .assert_code(0);
        for _ in 0..3 {
            stockade_tests::remove_table();
            wait_until("the bans are back", || banned("sshd").len() == 2);
        }
        log.failures(3, &["192.0.2.9"]);
        wait_until("it goes on banning", || {
            banned("sshd").contains("192.0.2.9")
        });
        place.wait_logged("somebody else changed the firewall");
    });
}

#[test]
fn a_log_of_its_own_is_opened_again_when_it_was_rotated() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        std::fs::rename(place.path("stockade.log"), place.path("stockade.log.1")).unwrap();
        daemon.signal(Signal::USR1);
        wait_until("a new one is begun", || place.path("stockade.log").exists());
        log.failures(3, &["192.0.2.1"]);
        place.wait_logged("Ban 192.0.2.1$");
    });
}
