//! Real packets: who is banned gets nowhere, who is not gets through.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use stockade_firewall::{BlockType, Hook, PortRange, Ports, Protocol};

use crate::namespace::{Host, wait_until};
use crate::{Subject, apply, ban, for_each_subject, jail, rules, sshd, unban};

/// How long a packet over a veth pair may take before it counts as dropped.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long to wait for what must come.
const LONG: Duration = Duration::from_secs(30);

for_each_subject!(
    a_banned_host_times_out_on_the_jails_ports_and_nobody_else_does,
    udp_of_a_banned_host_is_dropped_and_of_others_is_not,
    reject_tells_the_banned_host,
    in_prerouting_all_is_dropped,
    a_banned_prefix_holds_all_its_hosts_and_no_other,
    a_ban_that_has_run_out_lets_the_host_in_without_our_help,
    a_tarpit_lets_some_packets_through_and_no_more,
    no_packet_slips_through_while_rules_are_changed,
);

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Through,
    Dropped,
    Refused,
}

fn fate(host: &Host, server: &str, port: u16, patience: Duration) -> Fate {
    let to: SocketAddr = format!("{server}:{port}").parse().unwrap();
    match host.inside(|| TcpStream::connect_timeout(&to, patience)) {
        Ok(_) => Fate::Through,
        Err(error) if error.kind() == ErrorKind::TimedOut => Fate::Dropped,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Fate::Refused,
        Err(error) => panic!("{error}"),
    }
}

/// Tries a TCP connection; a slow machine must not look like a dropped packet.
#[track_caller]
fn assert_tcp(host: &Host, server: &str, port: u16, expected: Fate) {
    let patience = if expected == Fate::Dropped {
        PATIENCE
    } else {
        LONG
    };
    let fate = fate(host, server, port, patience);
    assert_eq!(fate, expected, "TCP to {server} port {port}");
}

fn udp_from(host: &Host, server: &str, port: u16, text: &[u8]) -> UdpSocket {
    let to = format!("{server}:{port}");
    let any = if server.contains('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    host.inside(|| {
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(&to).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.send(text).unwrap();
        socket
    })
}

/// This machine with listeners on ports 22 and 80, and two others.
struct World {
    _tcp: [TcpListener; 2],
    udp: UdpSocket,
    attacker: Host,
    good: Host,
}

fn world() -> World {
    let tcp = [22, 80].map(|port| TcpListener::bind(format!("[::]:{port}")).unwrap());
    let udp = UdpSocket::bind("[::]:22").unwrap();
    udp.set_read_timeout(Some(LONG)).unwrap();
    let (attacker, good) = (Host::join(1), Host::join(2));
    for host in [&attacker, &good] {
        for address in host.server() {
            wait_until("the network works", || {
                fate(host, &address, 22, PATIENCE) == Fate::Through
            });
        }
    }
    World {
        _tcp: tcp,
        udp,
        attacker,
        good,
    }
}

impl World {
    fn bans(&self, name: &str) -> [stockade_firewall::Change; 2] {
        [self.attacker.v4(), self.attacker.v6()].map(|net| ban(name, &net, None))
    }

    /// The servers' addresses as the attacker and as the other host see them.
    fn servers(&self) -> impl Iterator<Item = (String, String)> {
        self.attacker.server().into_iter().zip(self.good.server())
    }

    fn received(&self) -> Vec<u8> {
        let mut buffer = [0; 64];
        let len = self.udp.recv(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }
}

fn a_banned_host_times_out_on_the_jails_ports_and_nobody_else_does(subject: Subject) {
    let world = world();
    let mut firewall = subject.open();
    // More ports than one rule takes.
    let mut many = sshd();
    many.jail = jail("many");
    let unused = (1000..1020).map(PortRange::single);
    let range = PortRange {
        first: 79,
        last: 81,
    };
    many.ports = Ports::List(unused.chain([range]).collect());
    firewall.configure(&[sshd(), many]).unwrap();
    apply(&mut *firewall, &world.bans("sshd"));
    for (to, to_good) in world.servers() {
        assert_tcp(&world.attacker, &to, 22, Fate::Dropped);
        assert_tcp(&world.attacker, &to, 80, Fate::Through);
        assert_tcp(&world.good, &to_good, 22, Fate::Through);
        // The jail is about TCP.
        udp_from(&world.attacker, &to, 22, b"datagram");
        assert_eq!(world.received(), b"datagram");
    }
    let counters = firewall.counters().unwrap();
    let packets = |name: &str| {
        let counter = counters.iter().find(|counter| counter.jail == jail(name));
        counter.unwrap().packets
    };
    assert!(packets("sshd") >= 2, "{counters:?}");
    assert_eq!(packets("many"), 0);
    apply(&mut *firewall, &world.bans("many"));
    let unbans = [world.attacker.v4(), world.attacker.v6()].map(|net| unban("sshd", &net));
    apply(&mut *firewall, &unbans);
    for (to, _) in world.servers() {
        assert_tcp(&world.attacker, &to, 22, Fate::Through);
        assert_tcp(&world.attacker, &to, 80, Fate::Dropped);
    }
}

fn udp_of_a_banned_host_is_dropped_and_of_others_is_not(subject: Subject) {
    let world = world();
    let mut firewall = subject.open();
    // No protocols means all that have ports.
    firewall
        .configure(&[rules("both", &[22], &[], BlockType::Drop)])
        .unwrap();
    apply(&mut *firewall, &world.bans("both"));
    for (to, to_good) in world.servers() {
        // What is sent first arrives first, if it arrives.
        udp_from(&world.attacker, &to, 22, b"attacker");
        udp_from(&world.good, &to_good, 22, b"good");
        assert_eq!(world.received(), b"good", "{to}");
        assert_tcp(&world.attacker, &to, 22, Fate::Dropped);
        assert_tcp(&world.attacker, &to, 80, Fate::Through);
    }
}

fn reject_tells_the_banned_host(subject: Subject) {
    let world = world();
    let mut firewall = subject.open();
    let ports = rules(
        "ports",
        &[22],
        &[Protocol::Tcp, Protocol::Udp],
        BlockType::Reject,
    );
    let all = rules("all", &[], &[], BlockType::Reject);
    firewall.configure(&[ports, all]).unwrap();
    for name in ["ports", "all"] {
        apply(&mut *firewall, &world.bans(name));
        for (to, to_good) in world.servers() {
            assert_tcp(&world.attacker, &to, 22, Fate::Refused);
            let socket = udp_from(&world.attacker, &to, 22, b"anybody there?");
            let error = socket.recv(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{name}: {to}");
            assert_tcp(&world.good, &to_good, 22, Fate::Through);
            if name == "ports" {
                assert_tcp(&world.attacker, &to, 80, Fate::Through);
            }
        }
        let unbans = [world.attacker.v4(), world.attacker.v6()].map(|net| unban(name, &net));
        apply(&mut *firewall, &unbans);
    }
}

fn in_prerouting_all_is_dropped(subject: Subject) {
    let world = world();
    let mut firewall = subject.open();
    let mut early = rules("early", &[22], &[Protocol::Tcp], BlockType::Reject);
    early.hooks = BTreeSet::from([Hook::Prerouting]);
    firewall.configure(&[early]).unwrap();
    apply(&mut *firewall, &world.bans("early"));
    for (to, to_good) in world.servers() {
        assert_tcp(&world.attacker, &to, 22, Fate::Dropped);
        assert_tcp(&world.attacker, &to, 80, Fate::Through);
        assert_tcp(&world.good, &to_good, 22, Fate::Through);
    }
}

fn a_banned_prefix_holds_all_its_hosts_and_no_other(subject: Subject) {
    let world = world();
    let mut firewall = subject.open();
    firewall.configure(&[sshd()]).unwrap();
    let [v4, v6] = world.attacker.server();
    let [good_v4, good_v6] = world.good.server();
    let nested = [
        ban("sshd", "10.9.1.0/24", None),
        ban("sshd", "fd09:1::/64", None),
        ban("sshd", "fd09:1::/56", None),
    ];
    apply(&mut *firewall, &nested);
    assert_tcp(&world.attacker, &v4, 22, Fate::Dropped);
    assert_tcp(&world.attacker, &v6, 22, Fate::Dropped);
    assert_tcp(&world.good, &good_v4, 22, Fate::Through);
    assert_tcp(&world.good, &good_v6, 22, Fate::Through);
    apply(&mut *firewall, &[unban("sshd", "fd09:1::/56")]);
    assert_tcp(&world.attacker, &v6, 22, Fate::Dropped);
    apply(&mut *firewall, &[unban("sshd", "fd09:1::/64")]);
    assert_tcp(&world.attacker, &v6, 22, Fate::Through);
}

fn a_ban_that_has_run_out_lets_the_host_in_without_our_help(subject: Subject) {
    let world = world();
    let mut firewall = subject.open();
    firewall.configure(&[sshd()]).unwrap();
    let [to, _] = world.attacker.server();
    apply(
        &mut *firewall,
        &[ban("sshd", &world.attacker.v4(), Some(3))],
    );
    assert_tcp(&world.attacker, &to, 22, Fate::Dropped);
    drop(firewall);
    wait_until("the ban is over", || {
        fate(&world.attacker, &to, 22, PATIENCE) == Fate::Through
    });
}

fn a_tarpit_lets_some_packets_through_and_no_more(subject: Subject) {
    let world = world();
    let mut firewall = subject.open();
    let tarpit = rules("tarpit", &[22], &[Protocol::Udp], BlockType::Tarpit);
    firewall.configure(&[tarpit]).unwrap();
    apply(&mut *firewall, &world.bans("tarpit"));
    for (to, to_good) in world.servers() {
        for _ in 0..50 {
            udp_from(&world.attacker, &to, 22, b"attacker");
        }
        udp_from(&world.good, &to_good, 22, b"good");
        let mut through = 0;
        while world.received() != b"good" {
            through += 1;
        }
        // Five at once, and ten a minute however slow the machine is.
        assert!(
            (1..=20).contains(&through),
            "{to}: {through} of 50 came through"
        );
    }
}

fn no_packet_slips_through_while_rules_are_changed(subject: Subject) {
    let world = world();
    let mut firewall = subject.open();
    let all = |hook: Hook| {
        let mut jail = rules("all", &[], &[], BlockType::Drop);
        jail.hooks = BTreeSet::from([hook]);
        jail
    };
    firewall.configure(&[all(Hook::Input)]).unwrap();
    apply(&mut *firewall, &world.bans("all"));
    let [to, _] = world.attacker.server();
    let socket = udp_from(&world.attacker, &to, 22, b"attacker");
    let (sent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                socket.send(b"attacker").unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..4 {
            for hook in [Hook::Input, Hook::Prerouting, Hook::Input, Hook::Prerouting] {
                let before = sent.load(Ordering::Relaxed);
                let mut jails = vec![all(hook)];
                if round % 2 == 0 {
                    // Something else stays in the other table, or comes into it.
                    let mut other = sshd();
                    other.hooks = Hook::ALL.into();
                    jails.push(other);
                }
                firewall.configure(&jails).unwrap();
                assert!(sent.load(Ordering::Relaxed) > before);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let [to_good, _] = world.good.server();
    udp_from(&world.good, &to_good, 22, b"good");
    assert_eq!(world.received(), b"good");
}
