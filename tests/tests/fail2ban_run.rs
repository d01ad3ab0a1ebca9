//! A user's fail2ban configuration, run as it is.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::path::Path;

use stockade_tests::{MUST_RUN, Place, banned, in_namespace, wait_until};

/// Debian's own configuration, of which the files under test are laid over.
const DEBIAN: &str = "/etc/fail2ban";

fn is_installed() -> bool {
    let installed = Path::new(DEBIAN).join("jail.conf").exists();
    assert!(
        installed || std::env::var_os(MUST_RUN).is_none(),
        "install Debian's fail2ban"
    );
    installed
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Debian's tree with the jail `sshd` on the log of `place`.
fn tree(place: &Place) -> String {
    let dir = place.path("fail2ban");
    copy(Path::new(DEBIAN), &dir);
    let log = place.path("auth.log");
    place.write(
        "fail2ban/jail.d/test.local",
        &format!(
            "[DEFAULT]\nignoreself = false\n[sshd]\nenabled = true\nbackend = auto\nmaxretry = 3\n\
             logpath = {}\nport = 22,2222\n[broken]\nenabled = true\nfilter = there-is-none\n",
            log.display()
        ),
    );
    dir.display().to_string()
}

#[test]
fn debians_sshd_jail_bans_in_the_kernel_and_a_broken_jail_does_not_matter() {
    if !is_installed() {
        return;
    }
    in_namespace(|| {
        let place = Place::new("");
        let mut log = place.log_file("auth.log");
        let dir = tree(&place);
        let state = place.path("state").display().to_string();
        let socket = place.path("control.sock").display().to_string();
        let arguments = [
            "--fail2ban",
            &dir,
            "--state-dir",
            &state,
            "--socket",
            &socket,
        ];
        let _daemon = place.start_with(&arguments);
        log.failures(3, &["192.0.2.1"]);
        log.failures(2, &["192.0.2.2"]);
        let expected: BTreeSet<String> = ["192.0.2.1".to_owned()].into();
        wait_until("the third failure bans", || banned("sshd") == expected);
        let status = place.ask(r#"{"command":"status"}"#);
        assert_eq!(status["jails"].as_array().unwrap().len(), 1);
        let rules = place.ask(r#"{"command":"rules","jail":"sshd"}"#);
        assert_eq!(rules["maxretry"], 3);
    });
}

#[test]
fn an_import_can_be_checked_and_says_what_became_of_everything() {
    if !is_installed() {
        return;
    }
    let place = Place::new("");
    let dir = tree(&place);
    let out = place.path("imported").display().to_string();
    let told = place.stockade(&["import", &dir, "--out", &out]);
    told.assert_code(78);
    for line in [
        "[sshd]\n  translated  filter, logpath,",
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
