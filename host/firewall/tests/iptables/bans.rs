//! Bans and unbans as ipset keeps them.

use std::time::Duration;

use stockade_core::Timestamp;
use stockade_firewall::{
    Change, FirewallError, Health, IptablesVariant, Timeouts, Wanted, difference,
};

use crate::namespace::{run, run_with_input};
use crate::{
    Subject, apply, assert_expires, ban, banned, destroy, for_each_subject, jail, net, open_with,
    refused, rules, sshd, unban,
};

for_each_subject!(
    banning_again_gives_the_new_timeout_longer_or_shorter,
    of_several_changes_for_one_network_the_last_counts,
    bans_of_an_earlier_run_stay_and_those_of_jails_that_went_go,
    what_cannot_be_banned_is_refused_and_the_rest_is_banned,
    a_full_set_refuses_new_bans_by_name_and_renews_the_old,
    a_set_that_is_gone_is_told_and_made_anew,
    a_hundred_thousand_bans_go_in_and_are_listed,
);

fn banning_again_gives_the_new_timeout_longer_or_shorter(subject: Subject) {
    let mut firewall = subject.open();
    firewall.configure(&[sshd()]).unwrap();
    for (network, seconds) in [
        ("192.0.2.1/32", Some(600)),
        ("192.0.2.1/32", Some(6000)),
        ("192.0.2.1/32", Some(60)),
        ("192.0.2.1/32", None),
        ("192.0.2.1/32", Some(60)),
        ("2001:db8::/64", Some(600)),
        ("2001:db8::/64", None),
        ("2001:db8::/64", Some(6000)),
    ] {
        apply(&mut *firewall, &[ban("sshd", network, seconds)]);
        assert_expires(&firewall.list().unwrap(), network, seconds);
    }
    assert_eq!(firewall.list().unwrap().len(), 2);
    // What is longer than ipset takes is shortened, and renewed by the difference.
    let Timeouts::Kept { max } = firewall.timeouts() else {
        panic!("ipset keeps timeouts");
    };
    apply(
        &mut *firewall,
        &[ban("sshd", "192.0.2.1/32", Some(1 << 40))],
    );
    assert_expires(
        &firewall.list().unwrap(),
        "192.0.2.1/32",
        Some(max.as_secs()),
    );
}

fn of_several_changes_for_one_network_the_last_counts(subject: Subject) {
    let mut firewall = subject.open();
    firewall.configure(&[sshd()]).unwrap();
    let changes = [
        ban("sshd", "192.0.2.1/32", Some(600)),
        ban("sshd", "192.0.2.2/32", Some(600)),
        unban("sshd", "192.0.2.2/32"),
        unban("sshd", "192.0.2.3/32"),
        ban("sshd", "192.0.2.3/32", None),
        unban("gone", "192.0.2.4/32"),
        ban("sshd", "192.0.0.0/16", Some(600)),
        ban("sshd", "192.0.2.0/24", None),
    ];
    apply(&mut *firewall, &changes);
    let wanted = [
        "192.0.0.0/16",
        "192.0.2.0/24",
        "192.0.2.1/32",
        "192.0.2.3/32",
    ]
    .map(net);
    assert_eq!(banned(&mut *firewall, "sshd"), wanted);
    apply(&mut *firewall, &[unban("sshd", "192.0.2.0/24")]);
    apply(&mut *firewall, &[unban("sshd", "192.0.2.0/24")]);
    assert_eq!(banned(&mut *firewall, "sshd").len(), 3);
    apply(&mut *firewall, &[]);
}

fn bans_of_an_earlier_run_stay_and_those_of_jails_that_went_go(subject: Subject) {
    let mut firewall = subject.open();
    let longest = "j".repeat(stockade_core::JailName::LEN_MAX);
    let long = rules(&longest, &[], &[], stockade_firewall::BlockType::Tarpit);
    firewall.configure(&[sshd(), long.clone()]).unwrap();
    let bans = [
        ban("sshd", "192.0.2.1/32", Some(600)),
        ban(&longest, "2001:db8::1/128", Some(600)),
    ];
    apply(&mut *firewall, &bans);
    drop(firewall);
    let mut firewall = subject.open();
    assert_eq!(firewall.list().unwrap().len(), 2);
    firewall.configure(&[long]).unwrap();
    let elements = firewall.list().unwrap();
    assert_eq!(elements.len(), 1, "{elements:?}");
    assert_expires(&elements, "2001:db8::1/128", Some(600));
    assert!(!run("ipset list -name").contains("sshd"));
    firewall.configure(&[]).unwrap();
    assert_eq!(run("ipset list -name"), "");
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
}

fn what_cannot_be_banned_is_refused_and_the_rest_is_banned(subject: Subject) {
    let mut firewall = subject.open();
    firewall.configure(&[sshd()]).unwrap();
    let changes = [
        ban("sshd", "192.0.2.1/32", None),
        ban("nobody", "192.0.2.1/32", None),
        ban("sshd", "192.0.2.2/32", None),
    ];
    let (error, nets) = refused(&mut *firewall, &changes);
    assert!(
        matches!(error, FirewallError::UnknownJail { .. }),
        "{error}"
    );
    assert_eq!(nets, [net("192.0.2.1/32")]);
    let (error, _) = refused(&mut *firewall, &[ban("sshd", "0.0.0.0/0", None)]);
    assert!(matches!(error, FirewallError::TooWide { .. }), "{error}");
    assert_eq!(banned(&mut *firewall, "sshd").len(), 2);
}

fn a_full_set_refuses_new_bans_by_name_and_renews_the_old(subject: Subject) {
    let variant = match subject {
        Subject::Legacy => IptablesVariant::Legacy,
        Subject::Nft | Subject::Ufw => IptablesVariant::Nft,
    };
    let mut firewall = open_with(variant, 64);
    firewall.configure(&[sshd()]).unwrap();
    let host = |n: u32| format!("192.0.2.{n}/32");
    let first: Vec<Change> = (0..60).map(|n| ban("sshd", &host(n), Some(600))).collect();
    apply(&mut *firewall, &first);
    // Renewals and new ones, mixed: all sorts come before and after the one that does not fit.
    let mut more: Vec<Change> = (0..100)
        .map(|n| ban("sshd", &host(n), Some(6000)))
        .collect();
    more.push(ban("sshd", "2001:db8::1/128", None));
    let (error, nets) = refused(&mut *firewall, &more);
    assert!(matches!(&error, FirewallError::Full { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("cannot ban {}: ipset 'stk4-sshd' is full", nets[0])
    );
    let elements = firewall.list().unwrap();
    assert_eq!(elements.len() + nets.len(), more.len());
    assert_expires(&elements, "2001:db8::1/128", None);
    for old in 0..60 {
        assert_expires(&elements, &host(old), Some(6000));
    }
    // An unban in the same call makes room.
    let swap = [
        ban("sshd", "198.51.100.1/32", None),
        unban("sshd", &host(0)),
    ];
    apply(&mut *firewall, &swap);
}

fn a_set_that_is_gone_is_told_and_made_anew(subject: Subject) {
    let mut firewall = subject.open();
    firewall.configure(&[sshd()]).unwrap();
    run(&format!("{} -F stockade-input", subject.program()));
    destroy("stk4-sshd");
    let changes = [
        ban("sshd", "2001:db8::1/128", None),
        ban("sshd", "192.0.2.1/32", None),
    ];
    let error = firewall.apply(&changes).unwrap_err();
    assert!(matches!(error, FirewallError::Gone { .. }), "{error}");
    assert!(crate::missing(&mut *firewall).contains("ipset 'stk4-sshd'"));
    firewall.configure(&[sshd()]).unwrap();
    apply(&mut *firewall, &changes);
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
}

fn a_hundred_thousand_bans_go_in_and_are_listed(subject: Subject) {
    const COUNT: u32 = 100_000;
    let now = Timestamp::from_secs(1_700_000_000);
    let mut firewall = subject.open();
    firewall.configure(&[sshd()]).unwrap();
    let wanted: Vec<Wanted> = (0..COUNT)
        .map(|n| Wanted {
            jail: jail("sshd"),
            net: std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes()).into(),
            until: Some(now.saturating_add(Duration::from_secs(60_000))),
        })
        .collect();
    let changes = difference(&wanted, &[], firewall.timeouts(), now);
    apply(&mut *firewall, &changes);
    let elements = firewall.list().unwrap();
    assert_eq!(elements.len(), changes.len());
    run_with_input("ipset restore", "flush stk4-sshd\n");
    let changes = difference(&wanted, &firewall.list().unwrap(), firewall.timeouts(), now);
    assert_eq!(changes.len(), elements.len());
    apply(&mut *firewall, &changes);
    assert_eq!(firewall.list().unwrap().len(), elements.len());
}
