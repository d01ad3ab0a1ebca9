//! What the daemon finds around it: this host's addresses, names in `ignoreip`, the journal, groups.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "changes addresses and mounts in a namespace of its own; what fails there fails the test"
)]

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use stockade_tests::{ONE_JAIL, Place, banned, in_namespace, wait_until};

fn run(command: &[&str]) {
    let (program, arguments) = command.split_first().unwrap();
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{command:?}");
}

#[test]
fn addresses_of_this_host_are_never_banned_also_those_that_come_later() {
    in_namespace(|| {
        run(&["ip", "address", "add", "192.0.2.50/32", "dev", "lo"]);
        let place = Place::new(ONE_JAIL);
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(3, &["192.0.2.50", "192.0.2.51"]);
        wait_until("the other is banned", || {
            banned("sshd").contains("192.0.2.51")
        });
        assert!(!banned("sshd").contains("192.0.2.50"));
        place.wait_logged("Ignore 192.0.2.50 by ignoreself rule");

        run(&["ip", "address", "add", "192.0.2.51/32", "dev", "lo"]);
        wait_until("its ban is lifted", || banned("sshd").is_empty());
        log.failures(3, &["192.0.2.51", "192.0.2.52"]);
        wait_until("a stranger is banned", || {
            banned("sshd").contains("192.0.2.52")
        });
        assert!(!banned("sshd").contains("192.0.2.51"));

        run(&["ip", "address", "delete", "192.0.2.51/32", "dev", "lo"]);
        wait_until("it is a stranger again", || {
            log.failures(1, &["192.0.2.51"]);
            banned("sshd").contains("192.0.2.51")
        });
    });
}

#[test]
fn a_name_in_ignoreip_protects_its_addresses() {
    in_namespace(|| {
        let place = Place::new(&format!("{ONE_JAIL}\nignoreip = [\"office.example\"]"));
        place.write("hosts", "127.0.0.1 localhost\n192.0.2.60 office.example\n");
        let hosts = place.path("hosts").display().to_string();
        run(&["mount", "--bind", &hosts, "/etc/hosts"]);
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(3, &["192.0.2.60", "192.0.2.61"]);
        wait_until("the other is banned", || {
            banned("sshd").contains("192.0.2.61")
        });
        // A ban from before the name was looked up is lifted.
        wait_until("the office is not", || {
            !banned("sshd").contains("192.0.2.60")
        });
        wait_until("it is refused by hand", || {
            let told = place.stockade(&["ban", "sshd", "192.0.2.60", "--json"]);
            told.json()["results"][0]["outcome"] == "ignored"
        });
        assert!(!banned("sshd").contains("192.0.2.60"));
    });
}

#[test]
fn the_log_can_go_to_the_journal() {
    in_namespace(|| {
        run(&["mount", "-t", "tmpfs", "none", "/run"]);
        std::fs::create_dir_all("/run/systemd/journal").unwrap();
        let journal = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
        journal
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let place = Place::new(ONE_JAIL);
        place.write(
            "stockade.d/journal.toml",
            "[daemon]\nlog_target = \"journal\"\n",
        );
        let mut log = place.log_file("auth.log");
        let _daemon = place.start();
        log.failures(3, &["192.0.2.1"]);
        let mut entry = vec![0; 65536];
        loop {
            let len = journal.recv(&mut entry).expect("no entry about the ban");
            let text = String::from_utf8_lossy(&entry[..len]).into_owned();
            if text.contains("[sshd] Ban 192.0.2.1") {
                assert!(text.contains("MESSAGE"), "{text}");
                break;
            }
        }
    });
}

#[test]
fn the_socket_is_for_root_and_the_configured_group() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        place.write("group", "root:x:0:\nguards:x:0:\n");
        let group = place.path("group").display().to_string();
        run(&["mount", "--bind", &group, "/etc/group"]);
        place.write(
            "stockade.d/group.toml",
            "[daemon]\nsocket_group = \"guards\"\n",
        );
        let daemon = place.start();
        let socket = std::fs::metadata(place.path("control.sock")).unwrap();
        assert_eq!(socket.mode() & 0o777, 0o660);
        assert_eq!(daemon.stop(&[]), 0);

        place.write(
            "stockade.d/group.toml",
            "[daemon]\nsocket_group = \"nobodys\"\n",
        );
        let told = place.stockade(&["run"]);
        told.assert_code(1);
        assert!(
            format!("{told:?}").contains("no group 'nobodys'"),
            "{told:?}"
        );
    });
}
