//! What is wrong with pf, or was changed by others, is noticed and said.

use stockade_firewall::{Backend, FirewallError, Health, Pf, PfOptions};

use crate::fake::Fake;
use crate::{ban, open, sshd, unban};

#[test]
fn a_table_that_somebody_removed_is_noticed() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    fake.remove("tables/stockade/ban-sshd");
    assert_eq!(
        firewall.probe().unwrap(),
        Health::Missing {
            what: vec!["table 'ban-sshd' is gone".to_owned()]
        }
    );
    for change in [ban("sshd", "192.0.2.1/32"), unban("sshd", "192.0.2.1/32")] {
        fake.remove("tables/stockade/ban-sshd");
        let error = firewall.apply(&[change]).unwrap_err();
        assert!(matches!(error, FirewallError::Gone { .. }), "{error}");
    }
    firewall.configure(&[sshd()]).unwrap();
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
}

#[test]
fn rules_that_somebody_changed_or_flushed_are_noticed() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    let ours = fake.read("rules");
    for altered in [
        String::new(),
        ours.replace(":22\"", ":23\""),
        ours.replace("drop:", "return:"),
        format!("{ours}block drop in quick from <x> to any label \"x:drop\"\n"),
    ] {
        fake.write("rules", &altered);
        let Health::Missing { what } = firewall.probe().unwrap() else {
            panic!("not noticed: {altered}");
        };
        assert!(what[0].contains("rules of anchor 'stockade'"), "{what:?}");
        fake.write("rules", &ours);
        assert_eq!(firewall.probe().unwrap(), Health::InPlace);
    }
}

#[test]
fn nobody_is_said_to_be_banned_where_pf_is_off_or_does_not_ask_us() {
    for (file, text, why) in [
        (
            "status",
            "Status: Disabled for 0 days 00:00:01\n",
            "pf is disabled",
        ),
        (
            "main",
            "pass in all flags S/SA keep state\n",
            "does not ask anchor 'stockade'",
        ),
        (
            "main",
            "pass in quick all flags S/SA keep state\nanchor \"stockade\" all\n",
            "lets everything in before",
        ),
    ] {
        let fake = Fake::new();
        let mut firewall = open(&fake).unwrap();
        firewall.configure(&[sshd()]).unwrap();
        fake.write(file, text);
        let Health::Missing { what } = firewall.probe().unwrap() else {
            panic!("not noticed: {text}");
        };
        assert!(what[0].contains(why), "{what:?}");
        // Loading rules once more does not help, so it must not be taken for a cure.
        let error = firewall.configure(&[sshd()]).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        let error = open(&fake).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.hint().unwrap().contains("stockade firewall setup"));
    }
}

#[test]
fn what_is_left_open_for_some_is_told_to_who_sets_it_up() {
    let fake = Fake::new();
    fake.write(
        "nat",
        "rdr pass on em0 inet proto tcp from any to any port = 80 -> 10.0.0.5\n",
    );
    let options = PfOptions {
        pfctl: fake.program(),
    };
    fake.write("interfaces", "em0 (skip)\nlo0 (skip)\n");
    let found = Pf::surroundings(&options).unwrap();
    assert_eq!(found.skipped, ["em0"]);
    assert!(found.problems().is_empty());
    assert_eq!(found.lets_some_in.len(), 1, "{found:?}");
    open(&fake).unwrap();
}

#[test]
fn an_answer_that_is_not_understood_is_an_error() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    fake.write("tables/stockade/ban-sshd", "192.0.2.1\nnonsense\n");
    let error = firewall.list().unwrap_err().to_string();
    assert!(error.contains("'nonsense' is no address"), "{error}");
}

#[test]
fn a_host_without_pf_says_what_it_lacks() {
    let fake = Fake::new();
    fake.refuse("info", "pfctl: /dev/pf: No such file or directory\n");
    let error = open(&fake).unwrap_err();
    assert_eq!(error.to_string(), "cannot use pf: there is no /dev/pf");
    fake.refuse("info", "pfctl: /dev/pf: Permission denied\n");
    let error = open(&fake).unwrap_err();
    assert!(
        matches!(error, FirewallError::NotPermitted { .. }),
        "{error}"
    );
    let nowhere = PfOptions {
        pfctl: "/nonexistent/pfctl".into(),
    };
    let error = Backend::Pf(nowhere).open().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot use pf: there is no program '/nonexistent/pfctl'"
    );
}
