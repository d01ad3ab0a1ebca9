//! Real packets: what a route that leads nowhere does, and what it does not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use stockade_firewall::Firewall as _;

use crate::namespace::{Host, in_namespace, run, wait_until};
use crate::{apply, ban, open, unban};

/// How long a packet over a veth pair may take before it counts as lost.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long to wait for what must come.
const LONG: Duration = Duration::from_secs(30);

fn gets_through(host: &Host, server: &str, patience: Duration) -> bool {
    let to: SocketAddr = format!("{server}:22").parse().unwrap();
    match host.inside(|| TcpStream::connect_timeout(&to, patience)) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::TimedOut => false,
        Err(error) => panic!("{error}"),
    }
}

fn world() -> (TcpListener, Host, Host) {
    let server = TcpListener::bind("[::]:22").unwrap();
    let hosts = (Host::join(1), Host::join(2));
    for host in [&hosts.0, &hosts.1] {
        for address in host.server() {
            wait_until("the network works", || {
                gets_through(host, &address, PATIENCE)
            });
        }
    }
    (server, hosts.0, hosts.1)
}

#[test]
fn a_banned_host_gets_no_connection_and_nobody_else_loses_one() {
    in_namespace(
        "packets::a_banned_host_gets_no_connection_and_nobody_else_loses_one",
        || {
            let (_server, attacker, good) = world();
            let mut firewall = open();
            // "reject" says nothing to who is banned either: the answer has no way to him.
            for jail in ["sshd", "web"] {
                let nets = [attacker.v4(), attacker.v6()];
                apply(&mut firewall, &nets.clone().map(|net| ban(jail, &net)));
                for (to, to_good) in attacker.server().iter().zip(&good.server()) {
                    assert!(!gets_through(&attacker, to, PATIENCE), "{jail}: {to}");
                    assert!(gets_through(&good, to_good, LONG), "{jail}: {to_good}");
                }
                apply(&mut firewall, &nets.map(|net| unban(jail, &net)));
                for to in attacker.server() {
                    assert!(gets_through(&attacker, &to, LONG), "{jail}: {to}");
                }
            }
        },
    );
}

#[test]
fn a_banned_prefix_beats_the_network_that_a_host_is_on() {
    in_namespace(
        "packets::a_banned_prefix_beats_the_network_that_a_host_is_on",
        || {
            let (_server, attacker, good) = world();
            let mut firewall = open();
            // Without our own address, which is refused; the link's own route is more specific than none.
            let nets = ["10.9.1.2/31", "fd09:1::2/127"];
            apply(&mut firewall, &nets.map(|net| ban("sshd", net)));
            for (to, to_good) in attacker.server().iter().zip(&good.server()) {
                assert!(!gets_through(&attacker, to, PATIENCE), "{to}");
                assert!(gets_through(&good, to_good, LONG), "{to_good}");
            }
        },
    );
}

#[test]
fn an_open_connection_is_dead_at_once() {
    in_namespace("packets::an_open_connection_is_dead_at_once", || {
        let (server, attacker, _good) = world();
        for (to, net) in attacker.server().iter().zip([attacker.v4(), attacker.v6()]) {
            let to: SocketAddr = format!("{to}:22").parse().unwrap();
            let mut client = attacker.inside(|| TcpStream::connect_timeout(&to, LONG).unwrap());
            let ours = client.local_addr().unwrap();
            let mut accepted = loop {
                let (stream, from) = server.accept().unwrap();
                if from.port() == ours.port() {
                    break stream;
                }
            };
            client.set_read_timeout(Some(LONG)).unwrap();
            accepted.write_all(b"1").unwrap();
            client.read_exact(&mut [0]).unwrap();

            let mut firewall = open();
            apply(&mut firewall, &[ban("sshd", &net)]);
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            // What has no way out may be refused at once, or be kept for trying again.
            drop(accepted.write_all(b"2"));
            let error = client.read_exact(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{to}");
        }
    });
}

/// Whether a datagram of `host` arrives here.
fn datagram_arrives(host: &Host, server: &str) -> bool {
    let ours = UdpSocket::bind("[::]:5000").unwrap();
    let any = if server.contains('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    host.inside(|| {
        let socket = UdpSocket::bind(any).unwrap();
        socket.send_to(b"x", format!("{server}:5000")).unwrap();
    });
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    ours.recv(&mut [0; 8]).is_ok()
}

/// `docs/firewall/route.md` says so.
#[test]
fn datagrams_of_a_banned_host_arrive_unless_the_kernel_checks_the_way_back() {
    in_namespace(
        "packets::datagrams_of_a_banned_host_arrive_unless_the_kernel_checks_the_way_back",
        || {
            let (_server, attacker, _good) = world();
            let mut firewall = open();
            let nets = [attacker.v4(), attacker.v6()];
            apply(&mut firewall, &nets.map(|net| ban("sshd", &net)));
            let [v4, v6] = attacker.server();
            for (rp_filter, v4_arrives) in [(0, true), (1, false), (2, false)] {
                run(&format!(
                    "sysctl -qw net.ipv4.conf.all.rp_filter={rp_filter}"
                ));
                run(&format!(
                    "sysctl -qw net.ipv4.conf.to1.rp_filter={rp_filter}"
                ));
                let arrives = datagram_arrives(&attacker, &v4);
                assert_eq!(arrives, v4_arrives, "IPv4, rp_filter {rp_filter}");
                assert!(datagram_arrives(&attacker, &v6), "IPv6 is never checked");
                assert!(!gets_through(&attacker, &v4, PATIENCE), "{rp_filter}");
            }
        },
    );
}

#[test]
fn what_this_host_cannot_do_without_is_not_cut_off() {
    in_namespace(
        "packets::what_this_host_cannot_do_without_is_not_cut_off",
        || {
            let (_server, gateway, _good) = world();
            run("ip route add default via 10.9.1.2");
            run("ip -6 route add default via fd09:1::2");
            run("ip route add 198.51.100.0/24 nexthop via 10.9.2.2 nexthop via 10.9.2.3");
            run("ip rule add pref 40000 lookup 1234");
            run("ip -4 route add default via inet6 fd09:2::9 dev to2 table 1234");
            let mut firewall = open();
            for (net, held) in [
                ("10.9.1.2/32", "10.9.1.2, a router"),
                ("10.9.2.2/32", "10.9.2.2, a router"),
                ("10.9.2.3/32", "10.9.2.3, a router"),
                ("fd09:1::2/128", "fd09:1::2, a router"),
                ("fd09:2::9/128", "fd09:2::9, a router"),
                ("10.9.1.0/24", "10.9.1.1, an address of this host"),
                ("fd09:1::/64", "fd09:1::1, an address of this host"),
            ] {
                let error = crate::refused(&mut firewall, ban("sshd", net)).to_string();
                assert!(error.contains(net) && error.contains(held), "{error}");
            }
            // One bad item does not keep the others out.
            let mixed = [ban("sshd", "10.9.1.2/32"), ban("sshd", "203.0.113.7/32")];
            assert_eq!(firewall.apply(&mixed).unwrap().len(), 1);
            let held = [("sshd", "203.0.113.7/32")];
            assert_eq!(crate::listed(&mut firewall), crate::expected(&held));
            assert!(gets_through(&gateway, "10.9.1.1", LONG));
        },
    );
}
