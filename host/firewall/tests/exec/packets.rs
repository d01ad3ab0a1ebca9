//! Real packets, with `nft` as the operator's program.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use stockade_firewall::{Exec, Firewall, Health};

use crate::namespace::{Host, in_namespace, run, wait_until};
use crate::{apply, ban, options, rules, unban, words};

/// How long a packet over a veth pair may take before it counts as dropped.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long to wait for what must come.
const LONG: Duration = Duration::from_secs(30);

/// As in `docs/firewall/exec.md`: what is there stays, with its bans.
const RULESET: &str = "table inet own {
    set inet4 { type ipv4_addr; flags interval; }
    set inet6 { type ipv6_addr; flags interval; }
    chain input { type filter hook input priority 0; }
}
flush chain inet own input
table inet own {
    chain input {
        ip saddr @inet4 drop
        ip6 saddr @inet6 drop
    }
}
";

fn gets_through(host: &Host, server: &str, patience: Duration) -> bool {
    let to: SocketAddr = format!("{server}:22").parse().unwrap();
    match host.inside(|| TcpStream::connect_timeout(&to, patience)) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::TimedOut => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_operators_nft_drops_packets_of_who_is_banned() {
    in_namespace(
        "packets::an_operators_nft_drops_packets_of_who_is_banned",
        || {
            let _server = TcpListener::bind("[::]:22").unwrap();
            let (attacker, good) = (Host::join(1), Host::join(2));
            for address in attacker.server() {
                wait_until("the network works", || {
                    gets_through(&attacker, &address, PATIENCE)
                });
            }
            let dir = tempfile::tempdir().unwrap();
            let ruleset = dir.path().join("ruleset.nft");
            std::fs::write(&ruleset, RULESET).unwrap();
            let nft = run("which nft");
            let nft = nft.trim();
            let element = |act| vec![nft, act, "element", "inet", "own", "<family>", "{ <ip> }"];
            let mut options = options(&element("add"), &element("delete"));
            options.start = Some(words(&[nft, "-f", ruleset.to_str().unwrap()]));
            options.check = Some(words(&[nft, "list", "table", "inet", "own"]));
            options.stop = Some(words(&[nft, "delete", "table", "inet", "own"]));
            let mut firewall = Exec::open(options).unwrap();
            firewall.configure(&[rules("sshd")]).unwrap();

            let nets = [attacker.v4(), attacker.v6()];
            apply(
                &mut firewall,
                &nets.clone().map(|net| ban("sshd", &net, None)),
            );
            for (to, to_good) in attacker.server().iter().zip(&good.server()) {
                assert!(!gets_through(&attacker, to, PATIENCE), "{to}");
                assert!(gets_through(&good, to_good, LONG), "{to_good}");
            }
            apply(&mut firewall, &nets.map(|net| unban("sshd", &net)));
            for to in attacker.server() {
                assert!(gets_through(&attacker, &to, LONG), "{to}");
            }
            // A reload keeps the bans.
            apply(&mut firewall, &[ban("sshd", "10.9.1.2/32", None)]);
            firewall.configure(&[rules("sshd"), rules("web")]).unwrap();
            assert!(!gets_through(&attacker, "10.9.1.1", PATIENCE));
            apply(&mut firewall, &[unban("sshd", "10.9.1.2/32")]);
            // Somebody takes it away: it is noticed, and everything is made again.
            apply(&mut firewall, &[ban("sshd", "10.9.1.0/24", None)]);
            run("nft flush ruleset");
            assert!(matches!(firewall.probe().unwrap(), Health::Missing { .. }));
            firewall.configure(&[rules("sshd")]).unwrap();
            assert_eq!(firewall.list().unwrap(), []);
            apply(&mut firewall, &[ban("sshd", "10.9.1.0/24", None)]);
            assert!(!gets_through(&attacker, "10.9.1.1", PATIENCE));
            firewall.teardown().unwrap();
            assert!(gets_through(&attacker, "10.9.1.1", LONG));
            assert_eq!(run("nft list ruleset"), "");
        },
    );
}
