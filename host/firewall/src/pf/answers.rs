//! What pfctl(8) answers.
//!
//! The forms are those of FreeBSD 14: print_addrx, print_table, print_status, pfctl_show_rules,
//! pfctl_net_kill_states and pfr_strerror in `sbin/pfctl` of its sources.

use std::collections::BTreeSet;
use std::net::IpAddr;

use stockade_core::{IpNet, JailName};

use crate::contract::Counter;
use crate::pf::names;

/// Whether `-s info` says that pf is on: `Status: Enabled for 0 days 00:01:02 …`.
pub(super) fn is_enabled(info: &str) -> bool {
    info.lines()
        .find_map(|line| line.strip_prefix("Status:"))
        .is_some_and(|status| status.trim_start().starts_with("Enabled"))
}

/// Tables of ours that `-s Tables` names, one a line.
pub(super) fn tables(listed: &str) -> BTreeSet<String> {
    listed
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// One line of `-s labels`: the label, evaluations, packets, bytes, and more that we do not ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) label: String,
    packets: u64,
    bytes: u64,
}

/// What `-s labels` lists; a line of another form is a rule that is not ours.
pub(super) fn labels(listed: &str) -> Vec<Label> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let label = words.next()?.to_owned();
        let mut number = || words.next()?.parse::<u64>().ok();
        let (Some(_evaluations), Some(packets), Some(bytes)) = (number(), number(), number())
        else {
            return Some(Label {
                label: line.trim().to_owned(),
                packets: 0,
                bytes: 0,
            });
        };
        Some(Label {
            label,
            packets,
            bytes,
        })
    };
    listed.lines().filter_map(line).collect()
}

/// What the rules of each jail have stopped.
pub(super) fn counters(labels: &[Label]) -> Vec<Counter> {
    let mut counters: Vec<Counter> = Vec::new();
    for label in labels {
        let Some(jail) = names::jail_of_label(&label.label) else {
            continue;
        };
        let known = counters.iter_mut().find(|counter| counter.jail == jail);
        if let Some(counter) = known {
            counter.packets = counter.packets.saturating_add(label.packets);
            counter.bytes = counter.bytes.saturating_add(label.bytes);
        } else {
            counters.push(Counter {
                jail,
                packets: label.packets,
                bytes: label.bytes,
            });
        }
    }
    counters
}

/// The tables of jails among `tables`, each with its jail.
pub(super) fn of_jails(tables: &BTreeSet<String>) -> impl Iterator<Item = (JailName, &str)> {
    tables
        .iter()
        .filter_map(|name| Some((names::jail_of_table(name)?, name.as_str())))
}

/// The addresses that `-T show` lists, one a line.
///
/// # Errors
/// The first line that is no address. Entries that are excepted (`!`) ban nobody and are left out.
pub(super) fn addresses(listed: &str) -> Result<Vec<IpNet>, String> {
    let mut nets = Vec::new();
    for line in listed.lines() {
        let word = line.trim();
        if word.is_empty() || word.starts_with('!') {
            continue;
        }
        let net = word
            .parse::<IpNet>()
            .or_else(|_| word.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| word.to_owned())?;
        nets.push(net.trunc());
    }
    Ok(nets)
}

/// How many connections `-k` ended: `killed 2 states from 1 sources and 0 destinations`.
pub(super) fn killed(said: &str) -> usize {
    said.lines()
        .filter_map(|line| line.trim().strip_prefix("killed "))
        .filter_map(|rest| rest.split_ascii_whitespace().next()?.parse::<usize>().ok())
        .fold(0, usize::saturating_add)
}

/// Whether `-T add` had to make the table first: `1 table created.`
pub(super) fn made_table(said: &str) -> bool {
    said.lines().any(|line| line.contains("table created"))
}

/// Every address that has a connection in `-s states`.
///
/// A line is `all tcp 192.0.2.1:22 <- 198.51.100.7:4242       ESTABLISHED:ESTABLISHED`; IPv6 ports are in
/// brackets, and addresses behind a translation in parentheses.
pub(super) fn addresses_of_states(listed: &str) -> BTreeSet<IpAddr> {
    listed
        .lines()
        .flat_map(str::split_ascii_whitespace)
        .filter_map(endpoint)
        .collect()
}

fn endpoint(word: &str) -> Option<IpAddr> {
    let word = word.trim_matches(['(', ')']);
    if let Ok(addr) = word.parse() {
        // Protocols without ports.
        return Some(addr);
    }
    let host = match word.strip_suffix(']') {
        Some(rest) => rest.rsplit_once('[')?.0,
        None => word.rsplit_once(':')?.0,
    };
    // A scope, as in fe80::1%em0, is no part of the address.
    host.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pf_is_on_only_where_its_status_says_so() {
        assert!(is_enabled(
            "No ALTQ support in kernel\nStatus: Enabled for 0 days 02:11:09           Debug: Urgent\n"
        ));
        assert!(!is_enabled(
            "Status: Disabled for 0 days 00:00:04        Debug: Urgent\n"
        ));
        assert!(!is_enabled(""));
    }

    #[test]
    fn addresses_are_read_as_pfctl_lists_them() {
        let listed = "   192.0.2.1\n   198.51.100.0/24\n   2001:db8::\n   2001:db8:1::/64\n";
        let nets = addresses(listed).unwrap();
        let shown: Vec<String> = nets.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "192.0.2.1/32",
                "198.51.100.0/24",
                "2001:db8::/128",
                "2001:db8:1::/64"
            ]
        );
        assert_eq!(addresses("  !192.0.2.1\n\n").unwrap(), []);
        assert_eq!(
            addresses("   192.0.2.1\n   {error}\n"),
            Err("{error}".to_owned())
        );
    }

    #[test]
    fn labels_and_what_they_count_are_read() {
        let listed = "\
sshd:drop:tcp:22 812 17 1020 17 1020 0 0 0
sshd:drop:udp:22 3 1 60 1 60 0 0 0
404:return 5 0 0 0 0 0 0 0
of somebody else 1 2 3
";
        let found = labels(listed);
        let names: Vec<&str> = found.iter().map(|label| label.label.as_str()).collect();
        assert_eq!(
            names,
            [
                "sshd:drop:tcp:22",
                "sshd:drop:udp:22",
                "404:return",
                "of somebody else 1 2 3"
            ]
        );
        let counters = counters(&found);
        assert_eq!(counters.len(), 2);
        assert_eq!((counters[0].packets, counters[0].bytes), (18, 1080));
        assert_eq!(counters[1].jail, JailName::try_new("404").unwrap());
    }

    #[test]
    fn what_was_killed_and_made_is_read() {
        assert_eq!(
            killed("killed 3 states from 1 sources and 0 destinations\n"),
            3
        );
        assert_eq!(killed("No ALTQ support in kernel\n"), 0);
        assert!(made_table("1 table created.\n1/1 addresses added.\n"));
        assert!(!made_table("0/1 addresses added.\n"));
    }

    #[test]
    fn both_ends_of_states_are_found_with_and_without_ports_and_translation() {
        let listed = "\
all tcp 10.0.0.5:80 (203.0.113.1:80) <- 198.51.100.7:4242       ESTABLISHED:ESTABLISHED
all tcp 2001:db8::1[22] <- 2001:db8::7[50000]       FIN_WAIT_2:FIN_WAIT_2
all udp 203.0.113.1:5353 -> 192.0.2.53:53       MULTIPLE:SINGLE
all ipv6-icmp fe80::1%em0[3] -> ff02::1[3]       NO_TRAFFIC:SINGLE
all esp 203.0.113.1 <- 192.0.2.9       MULTIPLE:MULTIPLE
";
        let found = addresses_of_states(listed);
        for addr in [
            "10.0.0.5",
            "203.0.113.1",
            "198.51.100.7",
            "2001:db8::1",
            "2001:db8::7",
            "192.0.2.53",
            "fe80::1",
            "192.0.2.9",
        ] {
            assert!(
                found.contains(&addr.parse().unwrap()),
                "{addr} of {found:?}"
            );
        }
        assert!(!found.iter().any(|addr| addr.is_unspecified()), "{found:?}");
    }
}
