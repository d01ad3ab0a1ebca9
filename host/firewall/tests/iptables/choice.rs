//! Which iptables is used, and what is missing where none can be.

use stockade_firewall::{Backend, FirewallError, Iptables, IptablesOptions, IptablesVariant};

use crate::in_namespaces_as_root;
use crate::namespace::{run, without_power};

fn choice() -> String {
    Iptables::open(IptablesOptions::default()).unwrap().choice()
}

#[test]
fn the_variant_that_has_rules_is_used() {
    in_namespaces_as_root("choice::the_variant_that_has_rules_is_used", || {
        assert!(choice().contains("neither of"), "{}", choice());
        run("ip6tables-legacy -A INPUT -i lo -j ACCEPT");
        assert!(
            choice().starts_with("iptables-legacy is used: "),
            "{}",
            choice()
        );
        run("iptables-nft -A INPUT -i lo -j ACCEPT");
        assert!(choice().contains("both of"), "{}", choice());
        run("ip6tables-legacy -F INPUT");
        assert!(
            choice().starts_with("iptables-nft is used: "),
            "{}",
            choice()
        );
    });
}

#[test]
fn who_may_not_change_rules_is_told_so() {
    without_power("choice::who_may_not_change_rules_is_told_so", || {
        let backend = Backend::Iptables(IptablesOptions::default());
        let error = backend.open().unwrap_err();
        assert!(
            matches!(error, FirewallError::NotPermitted { .. }),
            "{error:?}"
        );
        assert_eq!(error.to_string(), "not permitted to use iptables");
    });
}

#[test]
fn a_program_that_is_missing_is_told_with_its_package() {
    in_namespaces_as_root(
        "choice::a_program_that_is_missing_is_told_with_its_package",
        || {
            // Nothing can be started from an empty folder; both names lead to it where /sbin is a link.
            for dir in ["/usr/sbin", "/sbin"] {
                crate::namespace::command("mount")
                    .args(["--bind", "/run", dir])
                    .status()
                    .unwrap();
            }
            let error = Backend::Iptables(IptablesOptions::default())
                .open()
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "cannot use iptables: there is no program 'iptables'"
            );
            assert_eq!(error.hint(), Some("install the package 'iptables'"));
        },
    );
}

#[test]
fn a_capability_that_iptables_needs_beside_ours_is_asked_for_at_once() {
    in_namespaces_as_root(
        "choice::a_capability_that_iptables_needs_beside_ours_is_asked_for_at_once",
        || {
            // This thread and what it starts lose it; the namespaces are ours alone.
            let inside = "STOCKADE_TEST_WITHOUT_NET_RAW";
            if std::env::var_os(inside).is_none() {
                let test =
                    "choice::a_capability_that_iptables_needs_beside_ours_is_asked_for_at_once";
                let output = crate::namespace::command("setpriv")
                    .args(["--bounding-set=-net_raw", "--inh-caps=-net_raw"])
                    .arg(std::env::current_exe().unwrap())
                    .args(["--exact", test, "--nocapture", "--test-threads=1"])
                    .env(inside, "1")
                    .output()
                    .unwrap();
                let told = String::from_utf8_lossy(&output.stdout);
                assert!(told.contains("1 passed"), "{told}");
                return;
            }
            for variant in [IptablesVariant::Nft, IptablesVariant::Legacy] {
                let options = IptablesOptions {
                    variant: Some(variant),
                    ..IptablesOptions::default()
                };
                let error = Backend::Iptables(options).open().unwrap_err();
                let hint = error.hint().unwrap_or_default();
                assert!(hint.contains("CAP_NET_RAW"), "{variant:?}: {error}");
            }
        },
    );
}
