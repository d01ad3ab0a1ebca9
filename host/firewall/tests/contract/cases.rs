//! The cases.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use stockade_core::{IpNet, Timestamp};
use stockade_firewall::{Change, Firewall, Health, Timeouts, Wanted, difference};

use crate::namespace::{Host, command, run, wait_until};
use crate::{Subject, jail, rules};

/// How long a packet over a veth pair may take before it counts as stopped.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long to wait for what must come.
const LONG: Duration = Duration::from_secs(30);

fn change(text: &str, is_ban: bool) -> Change {
    let net: IpNet = text.parse().unwrap();
    if is_ban {
        Change::Ban {
            jail: jail(),
            net,
            timeout: Some(Duration::from_secs(600)),
        }
    } else {
        Change::Unban { jail: jail(), net }
    }
}

#[track_caller]
fn apply(firewall: &mut dyn Firewall, changes: &[Change]) {
    let refused = firewall.apply(changes).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

#[track_caller]
fn ban(firewall: &mut dyn Firewall, nets: &[&str]) {
    let changes: Vec<_> = nets.iter().map(|net| change(net, true)).collect();
    apply(firewall, &changes);
}

#[track_caller]
fn unban(firewall: &mut dyn Firewall, nets: &[&str]) {
    let changes: Vec<_> = nets.iter().map(|net| change(net, false)).collect();
    apply(firewall, &changes);
}

fn listed(firewall: &mut dyn Firewall) -> Vec<IpNet> {
    let mut nets: Vec<_> = firewall
        .list()
        .unwrap()
        .into_iter()
        .inspect(|element| assert_eq!(element.jail, jail()))
        .map(|element| element.net)
        .collect();
    nets.sort();
    nets
}

fn connects(host: &Host, server: &str, patience: Duration) -> bool {
    let to: SocketAddr = format!("{server}:22").parse().unwrap();
    host.inside(|| TcpStream::connect_timeout(&to, patience))
        .is_ok()
}

#[track_caller]
fn assert_in(host: &Host, server: &str) {
    assert!(connects(host, server, LONG), "{server} is not reached");
}

#[track_caller]
fn assert_out(host: &Host, server: &str) {
    assert!(!connects(host, server, PATIENCE), "{server} is reached");
}

/// Whether an echo request is answered (ICMP, ICMPv6).
fn pings(host: &Host, server: &str) -> bool {
    let server = server.trim_matches(['[', ']']).to_owned();
    host.inside(|| {
        let mut ping = command("ping");
        let ping = ping.args(["-c", "1", "-W", "1", &server]);
        ping.stdout(Stdio::null()).status().unwrap().success()
    })
}

/// A server, an attacker and somebody good.
fn world() -> (TcpListener, Host, Host) {
    let server = TcpListener::bind("[::]:22").unwrap();
    let hosts = (Host::join(1), Host::join(2));
    for host in [&hosts.0, &hosts.1] {
        for address in host.server() {
            wait_until("the network works", || connects(host, &address, PATIENCE));
        }
    }
    (server, hosts.0, hosts.1)
}

pub(crate) fn a_banned_host_gets_nowhere_and_others_do(subject: Subject) {
    let (_server, attacker, good) = world();
    let mut firewall = subject.open();
    for (to, to_good) in attacker.server().iter().zip(&good.server()) {
        assert!(pings(&attacker, to) && pings(&good, to_good));
    }
    ban(firewall.as_mut(), &[&attacker.v4(), &attacker.v6()]);
    for (to, to_good) in attacker.server().iter().zip(&good.server()) {
        assert_out(&attacker, to);
        assert!(!pings(&attacker, to), "{to} answers");
        assert_in(&good, to_good);
        assert!(pings(&good, to_good), "{to_good} does not answer");
    }
}

pub(crate) fn an_unban_lets_in_again(subject: Subject) {
    let (_server, attacker, _good) = world();
    let mut firewall = subject.open();
    let both = [attacker.v4(), attacker.v6()];
    let both = [both[0].as_str(), &both[1]];
    ban(firewall.as_mut(), &both);
    unban(firewall.as_mut(), &both);
    assert_eq!(listed(firewall.as_mut()), []);
    for to in &attacker.server() {
        assert_in(&attacker, to);
    }
}

pub(crate) fn banning_and_unbanning_twice_is_as_once(subject: Subject) {
    let mut firewall = subject.open();
    let nets = ["192.0.2.1/32", "2001:db8::/64"];
    for _ in 0..2 {
        ban(firewall.as_mut(), &nets);
        let expected: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        assert_eq!(listed(firewall.as_mut()), expected);
    }
    for _ in 0..2 {
        unban(firewall.as_mut(), &nets);
        assert_eq!(listed(firewall.as_mut()), []);
    }
}

pub(crate) fn a_banned_network_holds_all_its_hosts_and_no_other(subject: Subject) {
    let (_server, attacker, good) = world();
    let mut firewall = subject.open();
    // Next to the link's own networks, of which this host is a part.
    attacker.inside(|| {
        run("ip addr add 172.30.0.77/32 dev up1");
        run("ip addr add fd0a::77/128 dev up1 nodad");
    });
    run("ip route add 172.30.0.0/16 via 10.9.1.2");
    run("ip -6 route add fd0a::/48 via fd09:1::2");
    let from = |source: &str, to: &str| {
        let (source, to) = (source.to_owned(), to.trim_matches(['[', ']']).to_owned());
        attacker.inside(|| {
            let mut ping = command("ping");
            let ping = ping.args(["-c", "1", "-W", "1", "-I", &source, &to]);
            ping.stdout(Stdio::null()).status().unwrap().success()
        })
    };
    let [v4, v6] = attacker.server();
    let both = || (from("172.30.0.77", &v4), from("fd0a::77", &v6));
    wait_until("the networks are there", || both() == (true, true));
    ban(firewall.as_mut(), &["172.30.0.0/24", "fd0a::/64"]);
    assert_eq!(both(), (false, false));
    assert_in(&attacker, &v4);
    assert_in(&good, &good.server()[1]);
    unban(firewall.as_mut(), &["172.30.0.0/24", "fd0a::/64"]);
    ban(firewall.as_mut(), &["172.30.1.0/24", "fd0a:0:0:1::/64"]);
    assert_eq!(both(), (true, true));
}

pub(crate) fn a_link_local_address_can_be_banned(subject: Subject) {
    let mut firewall = subject.open();
    ban(firewall.as_mut(), &["fe80::1/128", "169.254.7.7/32"]);
    let expected = ["169.254.7.7/32", "fe80::1/128"].map(|net| net.parse().unwrap());
    assert_eq!(listed(firewall.as_mut()), expected);
}

pub(crate) fn a_new_process_finds_what_the_old_one_left(subject: Subject) {
    let mut old = subject.open();
    let nets = ["192.0.2.1/32", "198.51.100.0/24", "2001:db8::/64"];
    ban(old.as_mut(), &nets);
    // As after kill -9: nothing is taken away.
    std::mem::forget(old);
    let mut new = subject.open();
    let expected: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
    assert_eq!(listed(new.as_mut()), expected);
    let is_kept = matches!(new.timeouts(), Timeouts::Kept { .. });
    for element in new.list().unwrap() {
        assert_eq!(element.expires.is_some(), is_kept, "{element:?}");
    }
}

/// What the daemon does when it looks.
fn heal(firewall: &mut dyn Firewall, wanted: &[&str]) {
    let until = Timestamp::EPOCH.saturating_add(Duration::from_secs(600));
    let wanted: Vec<Wanted> = wanted
        .iter()
        .map(|net| Wanted {
            jail: jail(),
            net: net.parse().unwrap(),
            until: Some(until),
        })
        .collect();
    if let Health::Missing { what } = firewall.probe().unwrap() {
        assert!(!what.is_empty());
        firewall.configure(&[rules()]).unwrap();
    }
    let held = firewall.list().unwrap();
    let changes = difference(&wanted, &held, firewall.timeouts(), Timestamp::EPOCH);
    apply(firewall, &changes);
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
}

pub(crate) fn what_others_destroy_is_healed_by_what_is_wanted(subject: Subject) {
    let (_server, attacker, _good) = world();
    let [to, _] = attacker.server();
    let v4 = attacker.v4();
    let mut firewall = subject.open();
    ban(firewall.as_mut(), &[&v4]);
    for harm in subject.harms() {
        run(harm);
        assert_in(&attacker, &to);
        heal(firewall.as_mut(), &[&v4]);
        assert_out(&attacker, &to);
    }
}

pub(crate) fn a_ban_that_the_kernel_keeps_ends_without_us(subject: Subject) {
    let (_server, attacker, _good) = world();
    let [to, _] = attacker.server();
    let mut firewall = subject.open();
    let Timeouts::Kept { .. } = firewall.timeouts() else {
        // We end it; that is the daemon's to test.
        return;
    };
    let short = Change::Ban {
        jail: jail(),
        net: attacker.v4().parse().unwrap(),
        timeout: Some(Duration::from_secs(3)),
    };
    apply(firewall.as_mut(), &[short]);
    assert_out(&attacker, &to);
    std::mem::forget(firewall);
    wait_until("it is over", || connects(&attacker, &to, PATIENCE));
}

pub(crate) fn every_hundredth_of_ten_thousand_is_stopped(subject: Subject) {
    let (_server, attacker, _good) = world();
    let mut firewall = subject.open();
    let address = |index: u32| format!("172.31.{}.{}", index >> 8, index & 255);
    attacker.inside(|| run("ip addr add 172.31.0.1/16 dev up1"));
    run("ip route add 172.31.0.0/16 via 10.9.1.2");
    let probed: Vec<String> = (100..10_000).step_by(100).map(address).collect();
    let lines: String = probed
        .iter()
        .map(|address| format!("addr add {address}/32 dev up1\n"))
        .collect();
    attacker.inside(|| crate::namespace::run_with_input("ip -batch -", &lines));
    // All at once, since each that is stopped takes its second.
    let answered = || {
        let pings: Vec<_> = attacker.inside(|| {
            let ping = |from: &String| {
                let mut ping = command("ping");
                let ping = ping.args(["-c", "1", "-W", "1", "-I", from, "10.9.1.1"]);
                ping.stdout(Stdio::null()).spawn().unwrap()
            };
            probed.iter().map(ping).collect()
        });
        let ended = pings.into_iter().map(|mut ping| ping.wait().unwrap());
        ended.filter(std::process::ExitStatus::success).count()
    };
    assert_eq!(answered(), probed.len());
    let all: Vec<Change> = (0..10_000)
        .map(|index| change(&format!("{}/32", address(index)), true))
        .collect();
    apply(firewall.as_mut(), &all);
    assert_eq!(listed(firewall.as_mut()).len(), 10_000);
    assert_eq!(answered(), 0);
}

pub(crate) fn what_others_made_stays_as_it_is_and_nothing_of_ours_is_left(subject: Subject) {
    run("ip link set lo up");
    run("nft add table inet theirs");
    run("nft add chain inet theirs in { type filter hook input priority 5 ; }");
    run("nft add rule inet theirs in tcp dport 25 accept");
    run("ip route add blackhole 203.0.113.0/24");
    run("ip route add unreachable 2001:db8:f::/48");
    let all = || {
        [
            run("nft -s list ruleset"),
            run("ip -4 route show table all"),
            run("ip -6 route show table all"),
            run("ip rule show"),
            run("ip -6 rule show"),
        ]
    };
    let theirs = || {
        let listing = run("nft -s list table inet theirs");
        let routes = run("ip route show type blackhole");
        (listing, routes)
    };
    let (before, theirs_before) = (all(), theirs());
    let mut firewall = subject.open();
    ban(firewall.as_mut(), &["192.0.2.1/32", "2001:db8::/64"]);
    assert_eq!(theirs(), theirs_before);
    firewall.teardown().unwrap();
    let after = all();
    for (before, after) in before.iter().zip(&after) {
        // iptables leaves its empty tables behind, with the policies that were in force anyway.
        let lines: Vec<&str> = before.lines().collect();
        let missing: Vec<&&str> = lines
            .iter()
            .filter(|line| !after.contains(**line))
            .collect();
        assert_eq!(missing, Vec::<&&str>::new());
        assert!(!after.contains("stockade"), "{after}");
    }
    assert_eq!(theirs(), theirs_before);
    assert_eq!(listed(firewall.as_mut()), []);
}
