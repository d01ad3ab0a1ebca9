//! The pf backend against a program that answers as pfctl(8) of FreeBSD 14 does: what it is called with, and
//! what becomes of its answers. No pf is involved, so this shows nothing of FreeBSD's kernel.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, its functions too"
)]

mod fake;
mod noticing;

use std::collections::BTreeSet;

use stockade_core::{IpNet, JailName};
use stockade_firewall::{
    Backend, BlockType, Change, Firewall, FirewallError, Health, Hook, JailRules, PfOptions,
    PortRange, Ports, Protocol, Timeouts,
};

use fake::Fake;

fn jail(name: &str) -> JailName {
    JailName::try_new(name).unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn rules(name: &str, ports: Ports) -> JailRules {
    JailRules {
        jail: jail(name),
        ports,
        protocols: vec![Protocol::Tcp],
        block: BlockType::Drop,
        hooks: BTreeSet::from([Hook::Input]),
    }
}

fn sshd() -> JailRules {
    rules("sshd", Ports::List(vec![PortRange::single(22)]))
}

fn ban(name: &str, text: &str) -> Change {
    Change::Ban {
        jail: jail(name),
        net: net(text),
        timeout: None,
    }
}

fn unban(name: &str, text: &str) -> Change {
    Change::Unban {
        jail: jail(name),
        net: net(text),
    }
}

fn open(fake: &Fake) -> Result<Box<dyn Firewall>, FirewallError> {
    Backend::Pf(PfOptions {
        pfctl: fake.program(),
    })
    .open()
}

fn banned(firewall: &mut dyn Firewall) -> Vec<String> {
    let elements = firewall.list().unwrap();
    assert!(elements.iter().all(|element| element.expires.is_none()));
    let shown = |element: &stockade_firewall::Element| format!("{} {}", element.jail, element.net);
    elements.iter().map(shown).collect()
}

#[test]
fn bans_go_into_the_table_of_their_jail_and_out_again() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    assert_eq!(
        (firewall.name(), firewall.timeouts()),
        ("pf", Timeouts::Ours)
    );
    firewall
        .configure(&[sshd(), rules("web", Ports::All)])
        .unwrap();
    fake.forget_calls();
    let refused = firewall
        .apply(&[
            ban("sshd", "192.0.2.1/32"),
            ban("web", "2001:db8::7/64"),
            ban("sshd", "198.51.100.0/24"),
            ban("sshd", "192.0.2.2/32"),
            unban("sshd", "192.0.2.2/32"),
        ])
        .unwrap();
    assert!(refused.is_empty());
    // What is to be banned and unbanned at once counts by its last word: one unban.
    assert_eq!(
        fake.calls(),
        [
            "-a stockade -t ban-sshd -T delete -f -",
            "-a stockade -t ban-sshd -T add -f -",
            "-a stockade -t ban-web -T add -f -",
        ]
    );
    assert_eq!(
        banned(firewall.as_mut()),
        [
            "sshd 192.0.2.1/32",
            "sshd 198.51.100.0/24",
            "web 2001:db8::/64"
        ]
    );
    firewall.apply(&[unban("sshd", "192.0.2.1/32")]).unwrap();
    assert_eq!(
        banned(firewall.as_mut()),
        ["sshd 198.51.100.0/24", "web 2001:db8::/64"]
    );
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
}

#[test]
fn new_rules_keep_bans_of_their_jails_and_remove_those_of_others() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    firewall
        .configure(&[sshd(), rules("web", Ports::All)])
        .unwrap();
    firewall
        .apply(&[ban("sshd", "192.0.2.1/32"), ban("web", "192.0.2.2/32")])
        .unwrap();
    // A new run knows nothing of the old one.
    let mut firewall = open(&fake).unwrap();
    assert_eq!(
        banned(firewall.as_mut()),
        ["sshd 192.0.2.1/32", "web 192.0.2.2/32"]
    );
    fake.write("tables/stockade/of-somebody-else", "203.0.113.1\n");
    firewall.configure(&[sshd()]).unwrap();
    assert_eq!(banned(firewall.as_mut()), ["sshd 192.0.2.1/32"]);
    assert_eq!(
        fake.read("tables/stockade/of-somebody-else"),
        "203.0.113.1\n"
    );
    assert_eq!(
        fake.read("rules"),
        "table <ban-sshd> persist\n\
         block drop in quick proto tcp from <ban-sshd> to any port 22 label \"sshd:drop:tcp:22\"\n"
    );
}

#[test]
fn what_cannot_be_banned_is_refused_and_the_rest_is_banned() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    let refused = firewall
        .apply(&[
            ban("sshd", "0.0.0.0/0"),
            ban("gone", "192.0.2.9/32"),
            unban("gone", "192.0.2.9/32"),
            ban("sshd", "192.0.2.1/32"),
        ])
        .unwrap();
    let shown: Vec<String> = refused
        .iter()
        .map(|refusal| refusal.error.to_string())
        .collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].starts_with("will not ban 0.0.0.0/0"), "{shown:?}");
    assert!(shown[1].contains("no rules for jail 'gone'"), "{shown:?}");
    assert_eq!(banned(firewall.as_mut()), ["sshd 192.0.2.1/32"]);
}

#[test]
fn bans_for_which_pf_has_no_room_are_refused() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    fake.refuse("add", "pfctl: Cannot allocate memory.\n");
    let refused = firewall.apply(&[ban("sshd", "192.0.2.1/32")]).unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].changes, [ban("sshd", "192.0.2.1/32")]);
    assert_eq!(
        refused[0].error.to_string(),
        "cannot add 192.0.2.1/32 to table 'ban-sshd': pf's room for table entries \
         ('set limit table-entries' in pf.conf) is full"
    );
}

#[test]
fn many_bans_are_handed_over_in_batches() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    fake.forget_calls();
    let changes: Vec<Change> = (0..20_000_u32)
        .map(|number| {
            let [_, a, b, c] = number.to_be_bytes();
            ban("sshd", &format!("10.{a}.{b}.{c}/32"))
        })
        .collect();
    assert!(firewall.apply(&changes).unwrap().is_empty());
    assert_eq!(fake.calls().len(), 3);
    assert_eq!(firewall.list().unwrap().len(), 20_000);
}

#[test]
fn teardown_removes_rules_and_tables_and_may_be_repeated() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    firewall.configure(&[sshd()]).unwrap();
    firewall.apply(&[ban("sshd", "192.0.2.1/32")]).unwrap();
    for _ in 0..2 {
        firewall.teardown().unwrap();
        assert!(!fake.has("rules"));
        assert!(!fake.has("tables/stockade"));
        assert_eq!(firewall.list().unwrap(), []);
    }
}

#[test]
fn connections_are_ended_in_both_directions() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    fake.forget_calls();
    let ended = firewall
        .end_connections(&[net("192.0.2.1/32"), net("2001:db8::/64")])
        .unwrap();
    assert_eq!(ended, 4);
    assert_eq!(
        fake.calls(),
        [
            "-k 192.0.2.1",
            "-k 0.0.0.0/0 -k 192.0.2.1",
            "-k 2001:db8::/64",
            "-k ::/0 -k 2001:db8::/64"
        ]
    );
}

#[test]
fn of_many_only_who_has_connections_is_looked_after() {
    let fake = Fake::new();
    fake.write(
        "states",
        "all tcp 203.0.113.1:22 <- 10.0.0.7:4242       ESTABLISHED:ESTABLISHED\n\
         all tcp 203.0.113.1:22 <- 198.51.100.9:1       ESTABLISHED:ESTABLISHED\n",
    );
    let mut firewall = open(&fake).unwrap();
    fake.forget_calls();
    let mut nets: Vec<IpNet> = (0..200).map(|n| net(&format!("10.0.0.{n}/32"))).collect();
    nets.push(net("198.51.100.0/24"));
    nets.push(net("198.51.101.0/24"));
    assert_eq!(firewall.end_connections(&nets).unwrap(), 4);
    assert_eq!(
        fake.calls(),
        [
            "-s states",
            "-k 10.0.0.7",
            "-k 0.0.0.0/0 -k 10.0.0.7",
            "-k 198.51.100.0/24",
            "-k 0.0.0.0/0 -k 198.51.100.0/24"
        ]
    );
}

#[test]
fn what_rules_stopped_is_counted_for_each_jail() {
    let fake = Fake::new();
    let mut firewall = open(&fake).unwrap();
    let two_ports = Ports::List(vec![PortRange::single(80), PortRange::single(443)]);
    firewall
        .configure(&[sshd(), rules("web", two_ports)])
        .unwrap();
    let counted: Vec<(String, u64, u64)> = firewall
        .counters()
        .unwrap()
        .into_iter()
        .map(|counter| (counter.jail.to_string(), counter.packets, counter.bytes))
        .collect();
    assert_eq!(
        counted,
        [("sshd".to_owned(), 3, 180), ("web".to_owned(), 6, 360)]
    );
}
