//! Beside a real ufw, whose files are copies in a mount namespace.

use stockade_firewall::Health;

use crate::namespace::run;
use crate::{Subject, apply, ban, banned, in_namespaces_with_ufw, missing, net, sshd};

/// Gives ufw files of its own and switches it on; whoever is not banned may come to the ports that tests use.
pub(crate) fn enable() {
    own_files();
    run("ufw allow 22");
    run("ufw allow 80");
    run("ufw --force enable");
}

/// Puts copies over what ufw writes to, so that the machine's own settings stay.
fn own_files() {
    for dir in ["/etc/ufw", "/etc/default", "/lib/ufw"] {
        let copy = format!("/run/copy{}", dir.replace('/', "-"));
        run(&format!("cp -a {dir} {copy}"));
        run(&format!("mount --bind {copy} {dir}"));
    }
}

fn set_manage_builtins() {
    run("sed -i s/^MANAGE_BUILTINS=no/MANAGE_BUILTINS=yes/ /etc/default/ufw");
    assert!(run("cat /etc/default/ufw").contains("\nMANAGE_BUILTINS=yes"));
}

#[test]
fn a_reload_of_ufw_and_a_restart_leave_bans_enforced() {
    in_namespaces_with_ufw(
        "ufw::a_reload_of_ufw_and_a_restart_leave_bans_enforced",
        || {
            enable();
            let mut firewall = Subject::Ufw.open();
            firewall.configure(&[sshd()]).unwrap();
            apply(&mut *firewall, &[ban("sshd", "192.0.2.1/32", Some(600))]);
            for act in [
                "ufw reload",
                "ufw disable",
                "ufw --force enable",
                "ufw deny 25",
            ] {
                run(act);
                assert_eq!(firewall.probe().unwrap(), Health::InPlace, "{act}");
            }
            assert_eq!(banned(&mut *firewall, "sshd"), [net("192.0.2.1/32")]);
        },
    );
}

#[test]
fn a_ufw_that_flushes_all_rules_is_noticed_and_our_rules_are_made_anew() {
    in_namespaces_with_ufw(
        "ufw::a_ufw_that_flushes_all_rules_is_noticed_and_our_rules_are_made_anew",
        || {
            enable();
            set_manage_builtins();
            let mut firewall = Subject::Ufw.open();
            firewall.configure(&[sshd()]).unwrap();
            apply(&mut *firewall, &[ban("sshd", "192.0.2.1/32", Some(600))]);
            let mut watch = firewall.watch().unwrap().unwrap();
            for act in ["ufw reload", "ufw disable", "ufw --force enable"] {
                run(act);
                let seen = watch.wait(std::time::Duration::from_secs(30)).unwrap();
                assert_eq!(seen, stockade_firewall::Seen::Changed, "{act}");
                let what = missing(&mut *firewall);
                assert!(what.contains("stockade-input"), "{act}: {what}");
                firewall.configure(&[sshd()]).unwrap();
                assert_eq!(firewall.probe().unwrap(), Health::InPlace, "{act}");
                assert_eq!(banned(&mut *firewall, "sshd"), [net("192.0.2.1/32")]);
            }
        },
    );
}

#[test]
fn ufws_own_files_and_rules_stay_as_they_are() {
    in_namespaces_with_ufw("ufw::ufws_own_files_and_rules_stay_as_they_are", || {
        enable();
        let sums = || {
            let listing = run("find /etc/ufw /etc/default/ufw -type f -exec sha256sum {} ;");
            let rules = run("iptables-save");
            let rules = rules.lines().filter(|line| !line.starts_with('#'));
            (listing, rules.map(str::to_owned).collect::<Vec<_>>())
        };
        let before = sums();
        let mut firewall = Subject::Ufw.open();
        firewall.configure(&[sshd()]).unwrap();
        apply(&mut *firewall, &[ban("sshd", "192.0.2.1/32", None)]);
        firewall.teardown().unwrap();
        assert_eq!(sums(), before);
        assert_eq!(run("ipset list -name"), "");
    });
}

#[test]
fn a_ufw_that_is_switched_off_or_not_installed_is_told_in_words() {
    in_namespaces_with_ufw(
        "ufw::a_ufw_that_is_switched_off_or_not_installed_is_told_in_words",
        || {
            enable();
            let mut firewall = Subject::Ufw.open();
            assert_eq!(firewall.name(), "ufw");
            assert_eq!(firewall.notes(), Vec::<String>::new());
            run("ufw disable");
            firewall.configure(&[sshd()]).unwrap();
            let notes = firewall.notes();
            assert!(notes[0].contains("'ufw enable'"), "{notes:?}");
            assert_eq!(firewall.probe().unwrap(), Health::InPlace);
            run("rm /etc/ufw/ufw.conf");
            let error = stockade_firewall::Backend::Ufw.open().unwrap_err();
            assert!(error.to_string().contains("not installed"), "{error}");
            assert!(error.hint().unwrap().contains("package 'ufw'"));
        },
    );
}
