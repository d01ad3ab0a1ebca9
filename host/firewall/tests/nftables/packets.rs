//! Real packets: who is banned gets nowhere, who is not gets through.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use stockade_firewall::{BlockType, Firewall, Nftables, NftablesOptions, Protocol};

use crate::namespace::{Host, in_namespace, wait_until};
use crate::{ApplyAll as _, ban, rules, sshd, unban};

/// How long a packet over a veth pair may take before it counts as dropped.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);
/// How long to wait for what must come.
const LONG: Duration = Duration::from_secs(30);

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Through,
    Dropped,
    Refused,
}

/// This machine: listens on TCP and UDP, both families.
pub(crate) struct Server {
    _tcp: Vec<TcpListener>,
    udp: Vec<(u16, UdpSocket)>,
}

impl Server {
    pub(crate) fn listen(ports: &[u16]) -> Self {
        let udp = |port: &u16| {
            let socket = UdpSocket::bind(format!("[::]:{port}")).unwrap();
            socket.set_read_timeout(Some(LONG)).unwrap();
            (*port, socket)
        };
        let tcp = |port: &u16| TcpListener::bind(format!("[::]:{port}")).unwrap();
        Self {
            _tcp: ports.iter().map(tcp).collect(),
            udp: ports.iter().map(udp).collect(),
        }
    }

    /// The first datagram that arrives at `port`.
    pub(crate) fn receive(&self, port: u16) -> Vec<u8> {
        let (_, socket) = self.udp.iter().find(|(p, _)| *p == port).unwrap();
        let mut buffer = [0; 64];
        let len = socket.recv(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }
}

pub(crate) fn fate(host: &Host, server: &str, port: u16, patience: Duration) -> Fate {
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
pub(crate) fn assert_tcp(host: &Host, server: &str, port: u16, expected: Fate) {
    let patience = match expected {
        Fate::Dropped => PATIENCE,
        Fate::Through | Fate::Refused => LONG,
    };
    let fate = fate(host, server, port, patience);
    assert_eq!(fate, expected, "TCP to {server} port {port}");
}

pub(crate) fn send(host: &Host, server: &str, port: u16, text: &str) {
    let to = format!("{server}:{port}");
    host.inside(|| {
        let socket = UdpSocket::bind(if server.contains('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        });
        socket.unwrap().send_to(text.as_bytes(), &to).unwrap();
    });
}

/// Whether a datagram of `host` is answered by "port unreachable".
fn udp_refused(host: &Host, server: &str, port: u16) -> bool {
    let to = format!("{server}:{port}");
    host.inside(|| {
        let any = if server.contains('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(&to).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.send(b"anybody there?").unwrap();
        let error = socket.recv(&mut [0; 8]).unwrap_err();
        error.kind() == ErrorKind::ConnectionRefused
    })
}

fn world() -> (Server, Host, Host) {
    let server = Server::listen(&[22, 80]);
    let hosts = (Host::join(1), Host::join(2));
    for host in [&hosts.0, &hosts.1] {
        for address in host.server() {
            wait_until("the network works", || {
                fate(host, &address, 22, PATIENCE) == Fate::Through
            });
        }
    }
    (server, hosts.0, hosts.1)
}

#[test]
fn a_banned_host_times_out_on_the_jails_port_and_nobody_else_does() {
    in_namespace(
        "packets::a_banned_host_times_out_on_the_jails_port_and_nobody_else_does",
        || {
            let (server, attacker, good) = world();
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            firewall.configure(&[sshd()]).unwrap();
            let v4_v6 = [
                ban("sshd", &attacker.v4(), None),
                ban("sshd", &attacker.v6(), None),
            ];
            firewall.apply_all(&v4_v6);
            for (to, to_good) in attacker.server().iter().zip(&good.server()) {
                assert_tcp(&attacker, to, 22, Fate::Dropped);
                assert_tcp(&attacker, to, 80, Fate::Through);
                assert_tcp(&good, to_good, 22, Fate::Through);
                // The jail is about TCP.
                send(&attacker, to, 22, "datagram");
                assert_eq!(server.receive(22), b"datagram");
            }
            let v4_v6 = [unban("sshd", &attacker.v4()), unban("sshd", &attacker.v6())];
            firewall.apply_all(&v4_v6);
            for to in &attacker.server() {
                assert_tcp(&attacker, to, 22, Fate::Through);
            }
        },
    );
}

#[test]
fn udp_of_a_banned_host_is_dropped_and_of_others_is_not() {
    in_namespace(
        "packets::udp_of_a_banned_host_is_dropped_and_of_others_is_not",
        || {
            let (server, attacker, good) = world();
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            let both = rules(
                "both",
                &[22],
                &[Protocol::Tcp, Protocol::Udp],
                BlockType::Drop,
            );
            firewall.configure(&[both]).unwrap();
            let v4_v6 = [
                ban("both", &attacker.v4(), None),
                ban("both", &attacker.v6(), None),
            ];
            firewall.apply_all(&v4_v6);
            for (to, to_good) in attacker.server().iter().zip(&good.server()) {
                // What is sent first arrives first, if it arrives.
                send(&attacker, to, 22, "attacker");
                send(&good, to_good, 22, "good");
                assert_eq!(server.receive(22), b"good", "{to}");
                send(&attacker, to, 80, "other port");
                assert_eq!(server.receive(80), b"other port", "{to}");
                assert_tcp(&attacker, to, 22, Fate::Dropped);
            }
        },
    );
}

#[test]
fn all_ports_means_all_ports() {
    in_namespace("packets::all_ports_means_all_ports", || {
        let (server, attacker, good) = world();
        let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
        let tcp_only = rules("tcp-only", &[], &[Protocol::Tcp], BlockType::Drop);
        firewall
            .configure(&[rules("all", &[], &[], BlockType::Drop), tcp_only])
            .unwrap();
        let [to, _] = attacker.server();
        firewall.apply_all(&[ban("tcp-only", &attacker.v4(), None)]);
        assert_tcp(&attacker, &to, 22, Fate::Dropped);
        assert_tcp(&attacker, &to, 80, Fate::Dropped);
        send(&attacker, &to, 80, "datagram");
        assert_eq!(server.receive(80), b"datagram");
        let v4_v6 = [
            ban("all", &attacker.v4(), None),
            ban("all", &attacker.v6(), None),
        ];
        firewall.apply_all(&v4_v6);
        for (to, to_good) in attacker.server().iter().zip(&good.server()) {
            for port in [22, 80] {
                assert_tcp(&attacker, to, port, Fate::Dropped);
                send(&attacker, to, port, "attacker");
                send(&good, to_good, port, "good");
                assert_eq!(server.receive(port), b"good", "{to}");
            }
        }
    });
}

#[test]
fn reject_tells_the_banned_host() {
    in_namespace("packets::reject_tells_the_banned_host", || {
        let (_server, attacker, good) = world();
        let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
        let both = rules(
            "both",
            &[22],
            &[Protocol::Tcp, Protocol::Udp],
            BlockType::Reject,
        );
        firewall.configure(&[both]).unwrap();
        let v4_v6 = [
            ban("both", &attacker.v4(), None),
            ban("both", &attacker.v6(), None),
        ];
        firewall.apply_all(&v4_v6);
        for (to, to_good) in attacker.server().iter().zip(&good.server()) {
            assert_tcp(&attacker, to, 22, Fate::Refused);
            assert!(udp_refused(&attacker, to, 22), "{to}");
            assert_tcp(&attacker, to, 80, Fate::Through);
            assert_tcp(&good, to_good, 22, Fate::Through);
        }
    });
}

#[test]
fn a_banned_prefix_holds_all_its_hosts_and_no_other() {
    in_namespace(
        "packets::a_banned_prefix_holds_all_its_hosts_and_no_other",
        || {
            let (_server, attacker, good) = world();
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            firewall.configure(&[sshd()]).unwrap();
            let [v4, v6] = attacker.server();
            let [good_v4, good_v6] = good.server();
            let nested = [
                ban("sshd", "10.9.1.0/24", None),
                ban("sshd", "fd09:1::/64", None),
                ban("sshd", "fd09:1::/56", None),
            ];
            firewall.apply_all(&nested);
            assert_tcp(&attacker, &v4, 22, Fate::Dropped);
            assert_tcp(&attacker, &v6, 22, Fate::Dropped);
            assert_tcp(&good, &good_v4, 22, Fate::Through);
            assert_tcp(&good, &good_v6, 22, Fate::Through);
            firewall.apply_all(&[unban("sshd", "fd09:1::/56")]);
            assert_tcp(&attacker, &v6, 22, Fate::Dropped);
            firewall.apply_all(&[unban("sshd", "fd09:1::/64")]);
            assert_tcp(&attacker, &v6, 22, Fate::Through);
        },
    );
}

#[test]
fn a_ban_that_has_run_out_lets_the_host_in_without_our_help() {
    in_namespace(
        "packets::a_ban_that_has_run_out_lets_the_host_in_without_our_help",
        || {
            let (_server, attacker, _good) = world();
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            firewall.configure(&[sshd()]).unwrap();
            firewall.apply_all(&[ban("sshd", &attacker.v4(), Some(3))]);
            let [to, _] = attacker.server();
            assert_tcp(&attacker, &to, 22, Fate::Dropped);
            drop(firewall);
            wait_until("the ban is over", || {
                fate(&attacker, &to, 22, PATIENCE) == Fate::Through
            });
        },
    );
}
