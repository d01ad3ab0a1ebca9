//! Connections that are open already end with a ban, by the kernel's connection tracking.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use stockade_firewall::{BlockType, Firewall, Nftables, NftablesOptions};

use crate::namespace::{Host, in_namespace, run, run_with_input, wait_until};
use crate::{ApplyAll as _, ban, net, rules};

/// How long a packet over a veth pair may take before it counts as dropped.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long to wait for what must come.
const LONG: Duration = Duration::from_secs(30);

/// As most hosts have it: what is established gets in. It also has the kernel track connections.
const STATEFUL: &str = "table inet host { chain input { type filter hook input priority 0; policy drop; \
     ct state established,related accept; tcp dport 22 accept; meta l4proto ipv6-icmp accept; }; };";

fn connect(host: &Host, server: &TcpListener, to: &str) -> (TcpStream, TcpStream) {
    let to: SocketAddr = format!("{to}:22").parse().unwrap();
    let client = host.inside(|| TcpStream::connect_timeout(&to, LONG).unwrap());
    let port = client.local_addr().unwrap().port();
    loop {
        let (accepted, from) = server.accept().unwrap();
        if from.port() == port {
            return (client, accepted);
        }
    }
}

/// Whether what one end says arrives at the other.
fn lives((client, accepted): &mut (TcpStream, TcpStream), patience: Duration) -> bool {
    client.write_all(b"x").unwrap();
    accepted.set_read_timeout(Some(patience)).unwrap();
    match accepted.read_exact(&mut [0]) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// The established connections of this address in the kernel's list.
fn tracked(addr: &str) -> usize {
    let list = run("conntrack -L -f ipv4 -p tcp") + &run("conntrack -L -f ipv6 -p tcp");
    let word = format!("src={addr} ");
    list.lines()
        .filter(|line| line.contains("ESTABLISHED") && line.contains(&word))
        .count()
}

#[test]
fn open_connections_of_banned_networks_end_and_others_stay() {
    in_namespace(
        "connections::open_connections_of_banned_networks_end_and_others_stay",
        || {
            run_with_input("nft -f -", STATEFUL);
            let server = TcpListener::bind("[::]:22").unwrap();
            let (attacker, good) = (Host::join(1), Host::join(2));
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            firewall
                .configure(&[rules("sshd", &[22], &[], BlockType::Drop)])
                .unwrap();
            for (index, addrs) in [["10.9.1.2", "10.9.2.2"], ["fd09:1::2", "fd09:2::2"]]
                .into_iter()
                .enumerate()
            {
                let to = [&attacker, &good].map(|host| host.server()[index].clone());
                let mut theirs = connect(&attacker, &server, &to[0]);
                let mut others = connect(&good, &server, &to[1]);
                assert!(lives(&mut theirs, LONG) && lives(&mut others, LONG));
                wait_until("both are tracked", || addrs.map(tracked) == [1, 1]);

                let banned = [attacker.v4(), attacker.v6()][index].clone();
                firewall.apply_all(&[ban("sshd", &banned, None)]);
                let nets = [net(&banned), net("192.0.2.0/24"), net("2001:db8::/32")];
                assert_eq!(firewall.end_connections(&nets).unwrap(), 1);
                assert_eq!(addrs.map(tracked), [0, 1]);
                assert!(!lives(&mut theirs, PATIENCE), "{banned}");
                assert!(lives(&mut others, LONG), "{banned}");
                assert_eq!(addrs.map(tracked)[1], 1);
            }
        },
    );
}

#[test]
fn a_connection_is_theirs_at_either_end_and_behind_a_translation() {
    in_namespace(
        "connections::a_connection_is_theirs_at_either_end_and_behind_a_translation",
        || {
            run_with_input("nft -f -", STATEFUL);
            // From 192.0.2.1 to us, passed on to a container; and from the container to 192.0.2.9.
            let entry = |ends: &str| {
                run(&format!(
                    "conntrack -I -p tcp --state ESTABLISHED -t 600 --sport 4000 --dport 80 {ends}"
                ));
            };
            entry("-s 192.0.2.1 -d 198.51.100.1 --dst-nat 172.17.0.2");
            entry("-s 172.17.0.2 -d 192.0.2.9");
            entry("-s 203.0.113.1 -d 198.51.100.1");
            entry("-s 2001:db8::1 -d 2001:db8:1::1");
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            let mut ended = |network| firewall.end_connections(&[net(network)]).unwrap();
            assert_eq!(ended("192.0.2.8/29"), 1);
            assert_eq!(ended("172.17.0.2/32"), 1);
            assert_eq!(ended("172.17.0.2/32"), 0);
            assert_eq!(ended("2001:db8:1::/48"), 1);
            assert_eq!(tracked("203.0.113.1"), 1);
        },
    );
}

#[test]
fn thousands_of_networks_end_thousands_of_connections_and_none_of_the_others() {
    in_namespace(
        "connections::thousands_of_networks_end_thousands_of_connections_and_none_of_the_others",
        || {
            const EACH: u32 = 2_000;
            run_with_input("nft -f -", STATEFUL);
            let mut script = String::new();
            for index in 0..EACH {
                for first in [100, 101] {
                    let (b, c) = (index / 256, index % 256);
                    writeln!(
                        script,
                        "-A -p tcp --state ESTABLISHED -t 600 --sport 4000 --dport 22 \
                         -s {first}.0.{b}.{c} -d 198.51.100.1"
                    )
                    .unwrap();
                }
            }
            run_with_input("conntrack -R -", &script);
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            let nets: Vec<_> = (0..EACH)
                .map(|index| net(&format!("100.0.{}.{}/32", index / 256, index % 256)))
                .collect();
            assert_eq!(firewall.end_connections(&nets).unwrap(), 2_000);
            let left = run("conntrack -L -p tcp");
            assert_eq!(left.matches("src=101.0.").count(), 2_000);
            assert_eq!(left.matches("src=100.0.").count(), 0);
        },
    );
}

#[test]
fn without_networks_or_connections_nothing_ends() {
    in_namespace(
        "connections::without_networks_or_connections_nothing_ends",
        || {
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            assert_eq!(firewall.end_connections(&[]).unwrap(), 0);
            assert_eq!(firewall.end_connections(&[net("192.0.2.0/24")]).unwrap(), 0);
        },
    );
}
