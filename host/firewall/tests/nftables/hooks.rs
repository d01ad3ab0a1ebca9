//! Where packets are stopped: published ports of containers, tarpits, and what is counted.

use std::collections::BTreeSet;
use std::net::TcpListener;

use stockade_firewall::{
    BlockType, Counter, Firewall, Health, Hook, JailRules, Nftables, NftablesOptions, Protocol,
};

use crate::namespace::{Host, in_namespace, run, wait_until};
use crate::packets::{Fate, PATIENCE, Server, assert_tcp, fate, send};
use crate::{ApplyAll as _, ban, jail, rules};

fn at(hooks: &[Hook], port: u16) -> JailRules {
    JailRules {
        hooks: hooks.iter().copied().collect(),
        ..rules("web", &[port], &[Protocol::Tcp], BlockType::Drop)
    }
}

/// A container with a web server at port 80, published as port 8080 of this machine.
fn container() -> (Host, TcpListener) {
    let container = Host::join(2);
    let listener = container.inside(|| {
        run("ip route add default via 10.9.2.1");
        TcpListener::bind("0.0.0.0:80").unwrap()
    });
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    run("nft add table ip nat");
    run("nft add chain ip nat pre { type nat hook prerouting priority -100 ; }");
    run("nft add rule ip nat pre tcp dport 8080 dnat to 10.9.2.2:80");
    (container, listener)
}

#[test]
fn published_ports_of_containers_are_closed_at_prerouting_and_forward_but_not_at_input() {
    in_namespace(
        "hooks::published_ports_of_containers_are_closed_at_prerouting_and_forward_but_not_at_input",
        || {
            let (_container, _listener) = container();
            let (attacker, good) = (Host::join(1), Host::join(3));
            let [published, _] = attacker.server();
            let [published_to_good, _] = good.server();
            wait_until("the port is published", || {
                fate(&attacker, &published, 8080, PATIENCE) == Fate::Through
            });
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            for (hooks, port, expected) in [
                (&[Hook::Input][..], 8080, Fate::Through),
                (&[Hook::Prerouting], 8080, Fate::Dropped),
                (&[Hook::Forward], 80, Fate::Dropped),
                // Behind the translation the port is the container's.
                (&[Hook::Forward], 8080, Fate::Through),
                (
                    &[Hook::Input, Hook::Forward, Hook::Prerouting],
                    8080,
                    Fate::Dropped,
                ),
            ] {
                firewall.configure(&[at(hooks, port)]).unwrap();
                firewall.apply_all(&[ban("web", &attacker.v4(), None)]);
                assert_eq!(firewall.probe().unwrap(), Health::InPlace, "{hooks:?}");
                assert_tcp(&attacker, &published, 8080, expected);
                assert_tcp(&good, &published_to_good, 8080, Fate::Through);
            }
            let reject = JailRules {
                block: BlockType::Reject,
                ..at(&[Hook::Prerouting], 8080)
            };
            firewall.configure(&[reject]).unwrap();
            assert_tcp(&attacker, &published, 8080, Fate::Refused);
        },
    );
}

#[test]
fn base_chains_come_and_go_with_the_hooks_of_the_jails() {
    in_namespace(
        "hooks::base_chains_come_and_go_with_the_hooks_of_the_jails",
        || {
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            for hooks in [
                &[Hook::Input, Hook::Forward, Hook::Prerouting][..],
                &[Hook::Prerouting],
                &[Hook::Forward],
                &[Hook::Input],
            ] {
                firewall.configure(&[at(hooks, 80)]).unwrap();
                assert_eq!(firewall.probe().unwrap(), Health::InPlace);
                let listing = run("nft -n list table inet stockade");
                for hook in Hook::ALL {
                    let expected = match hook {
                        Hook::Prerouting => "hook prerouting priority -150;".to_owned(),
                        hook => format!("hook {hook} priority -10;"),
                    };
                    assert_eq!(
                        listing.contains(&expected),
                        hooks.contains(&hook),
                        "{listing}"
                    );
                }
                run(&format!("nft flush chain inet stockade {}", hooks[0]));
                let health = firewall.probe().unwrap();
                assert!(matches!(health, Health::Missing { .. }), "{health:?}");
            }
        },
    );
}

#[test]
fn a_tarpit_lets_few_packets_through() {
    in_namespace("hooks::a_tarpit_lets_few_packets_through", || {
        let (server, attacker) = (Server::listen(&[22]), Host::join(1));
        let [to, _] = attacker.server();
        wait_until("the network works", || {
            fate(&attacker, &to, 22, PATIENCE) == Fate::Through
        });
        let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
        let tarpit = rules("sshd", &[22], &[Protocol::Udp], BlockType::Tarpit);
        firewall.configure(&[tarpit]).unwrap();
        firewall.apply_all(&[ban("sshd", &attacker.v4(), None)]);
        for _ in 0..40 {
            send(&attacker, &to, 22, "slow");
        }
        firewall.apply_all(&[crate::unban("sshd", &attacker.v4())]);
        send(&attacker, &to, 22, "last");
        let mut came = 0;
        while server.receive(22) != b"last" {
            came += 1;
        }
        assert!((1..20).contains(&came), "{came} of 40 came through");
    });
}

#[test]
fn what_is_stopped_is_counted_for_each_jail_over_all_its_sets() {
    in_namespace(
        "hooks::what_is_stopped_is_counted_for_each_jail_over_all_its_sets",
        || {
            let (_server, attacker) = (Server::listen(&[22, 80]), Host::join(1));
            let mut firewall = Nftables::open(NftablesOptions::default()).unwrap();
            let udp = |name, port| rules(name, &[port], &[Protocol::Udp], BlockType::Drop);
            firewall
                .configure(&[udp("sshd", 22), udp("web", 80)])
                .unwrap();
            firewall.apply_all(&[
                ban("sshd", &attacker.v4(), None),
                ban("sshd", "fd09:1::/64", None),
                ban("web", &attacker.v4(), None),
            ]);
            let [v4, v6] = attacker.server();
            for (to, port) in [(&v4, 22), (&v4, 22), (&v6, 22), (&v4, 80)] {
                send(&attacker, to, port, "12345678");
            }
            wait_until("all are counted", || {
                let counted = firewall.counters().unwrap();
                let jails: BTreeSet<_> = counted.iter().map(|one| one.jail.clone()).collect();
                assert_eq!(jails, BTreeSet::from([jail("sshd"), jail("web")]));
                let sshd = Counter {
                    jail: jail("sshd"),
                    packets: 3,
                    // Headers of IPv4 or IPv6 and of UDP, and 8 bytes.
                    bytes: 2 * (20 + 8 + 8) + (40 + 8 + 8),
                };
                counted.contains(&sshd) && counted.iter().any(|one| one.packets == 1)
            });
        },
    );
}
