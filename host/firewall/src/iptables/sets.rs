//! What ipset(8) is told and what it answers. Pure.
//!
//! One `hash:net` for each jail and family: it holds single addresses and prefixes of any length, nested
//! ones too, and costs no more than `hash:ip` while all have the same length.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use stockade_core::IpNet;

use super::names::{Family, SetId};
use crate::contract::{Change, TIMEOUT_MIN};

/// The longest timeout that ipset takes: the kernel counts in milliseconds of 32 bits
/// (`IPSET_MAX_TIMEOUT`).
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(2_147_483);

/// The type of our sets.
const TYPE: &str = "hash:net";

/// What is to become of one network of one set: banned until a timeout ends, or let go.
pub(super) type Targets<'a> = BTreeMap<(SetId, IpNet), &'a Change>;

/// A set of ours as `ipset list -terse` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: SetId,
    /// Whether it holds what it should: networks of its family, with timeouts.
    pub(super) fits: bool,
    /// Whether it is known to hold nothing.
    pub(super) is_empty: bool,
}

/// Our sets in the answer of `ipset list -terse`.
pub(super) fn headers(text: &str) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    let mut is_ours = false;
    for line in text.lines() {
        let Some((key, value)) = line.split_once(": ") else {
            continue;
        };
        if key == "Name" {
            let id = SetId::parse(value);
            is_ours = id.is_some();
            headers.extend(id.map(|id| Header {
                id,
                fits: false,
                is_empty: false,
            }));
            continue;
        }
        let Some(header) = headers.last_mut().filter(|_| is_ours) else {
            continue;
        };
        match key {
            "Type" => header.fits = value == TYPE,
            "Header" => header.fits &= is_right(value, header.id.family),
            "Number of entries" => header.is_empty = value == "0",
            _ => {}
        }
    }
    headers
}

/// Whether the words of a header are those of a set as we make it.
fn is_right(header: &str, family: Family) -> bool {
    let words: Vec<&str> = header.split(' ').collect();
    let has_family = words
        .windows(2)
        .any(|pair| matches!(pair, ["family", found] if *found == family.as_str()));
    has_family && words.contains(&"timeout")
}

/// One entry of `ipset save`; `None` where it bans nobody.
pub(super) fn element(line: &str, family: Family) -> Option<(IpNet, Option<Duration>)> {
    let mut words = line.split(' ');
    if words.next() != Some("add") {
        return None;
    }
    let _name = words.next()?;
    let net = words.next()?;
    let net: IpNet = match net.parse::<IpAddr>() {
        Ok(addr) => addr.into(),
        Err(_) => net.parse().ok()?,
    };
    let is_v4 = matches!(net, IpNet::V4(_));
    if is_v4 != (family == Family::V4) {
        return None;
    }
    let mut expires = None;
    while let Some(word) = words.next() {
        match word {
            "timeout" => {
                let seconds = words.next()?.parse().ok()?;
                expires = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            // An exception to a wider network, which somebody else made.
            "nomatch" => return None,
            _ => {}
        }
    }
    Some((net.trunc(), expires))
}

/// The line that makes a set.
pub(super) fn create(set: &SetId, bans_max: u32) -> String {
    let family = set.family.as_str();
    format!("create {set} {TYPE} family {family} maxelem {bans_max} timeout 0\n")
}

/// The lines of a script for `ipset restore -exist`, each with its target; unbans first, which make room.
pub(super) fn lines<'a>(targets: &Targets<'a>) -> Vec<(SetId, &'a Change, String)> {
    let line = |(key, change): (&(SetId, IpNet), &&'a Change)| {
        let (set, net) = key;
        let text = match change {
            Change::Unban { .. } => format!("del {set} {net}\n"),
            Change::Ban { timeout, .. } => {
                format!("add {set} {net} timeout {}\n", seconds(*timeout))
            }
        };
        (set.clone(), *change, text)
    };
    let (unbans, bans): (Vec<_>, Vec<_>) = targets
        .iter()
        .partition(|(_, change)| matches!(change, Change::Unban { .. }));
    unbans.into_iter().chain(bans).map(line).collect()
}

/// Whole seconds, rather longer than shorter; 0 is for ever.
fn seconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| {
        let timeout = timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        timeout
            .as_secs()
            .saturating_add(u64::from(timeout.subsec_nanos() > 0))
            .min(TIMEOUT_MAX.as_secs())
    })
}

/// What of a script was not done: the number of the line, from 0 on, and why.
pub(super) fn failed_line(stderr: &str) -> Option<(usize, &str)> {
    let (_, rest) = stderr.split_once("Error in line ")?;
    let (number, reason) = rest.split_once(": ")?;
    let number: usize = number.parse().ok()?;
    Some((number.checked_sub(1)?, reason.lines().next()?.trim()))
}

/// Whether this is why a set takes no more.
pub(super) fn is_full(reason: &str) -> bool {
    reason.contains("is full")
}

/// Whether this is what is said of a set that is not there.
pub(super) fn is_missing(reason: &str) -> bool {
    reason.contains("set with the given name does not exist")
}

/// Whether this is what is said of a set that a rule still refers to.
pub(super) fn is_in_use(reason: &str) -> bool {
    reason.contains("in use by a kernel component")
}

/// The script of several lines.
pub(super) fn script(lines: &[(SetId, &Change, String)]) -> String {
    lines.iter().map(|(_, _, line)| line.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stockade_core::JailName;

    use super::*;

    const TERSE: &str = "\
Name: blocklist
Type: hash:net
Header: family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x8c5ee0ab
Number of entries: 0

Name: stk4-sshd
Type: hash:net
Revision: 7
Header: family inet hashsize 1024 maxelem 1048576 timeout 0 bucketsize 12 initval 0xec41849
Size in memory: 456
References: 1
Number of entries: 2

Name: stk6-sshd
Type: hash:net
Header: family inet6 hashsize 1024 maxelem 1048576 bucketsize 12 initval 0xec41849
Number of entries: 0

Name: stk4-web
Type: list:set
Header: size 8
Number of entries: 0
";

    fn set(name: &str) -> SetId {
        SetId::parse(name).unwrap()
    }

    #[test]
    fn sets_of_ours_are_found_and_judged() {
        let found: Vec<_> = headers(TERSE)
            .into_iter()
            .map(|header| (header.id.to_string(), header.fits, header.is_empty))
            .collect();
        let wanted = [
            ("stk4-sshd".to_owned(), true, false),
            ("stk6-sshd".to_owned(), false, true),
            ("stk4-web".to_owned(), false, true),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn entries_are_read_with_what_is_left_of_them() {
        for (line, family, expected) in [
            (
                "add s 192.0.2.1 timeout 3",
                Family::V4,
                Some(("192.0.2.1/32", Some(3))),
            ),
            (
                "add s 192.0.2.0/24 timeout 0",
                Family::V4,
                Some(("192.0.2.0/24", None)),
            ),
            (
                "add s 2001:db8::/64 timeout 9 packets 3 bytes 9",
                Family::V6,
                Some(("2001:db8::/64", Some(9))),
            ),
            ("add s ::1 timeout 1", Family::V4, None),
            ("add s 192.0.2.1 timeout 0 nomatch", Family::V4, None),
            ("add s eth0 timeout 0", Family::V4, None),
            ("create s hash:net family inet", Family::V4, None),
        ] {
            let found = element(line, family);
            let expected = expected
                .map(|(net, seconds)| (net.parse().unwrap(), seconds.map(Duration::from_secs)));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn unbans_make_room_before_bans_take_it() {
        let jail = JailName::try_new("sshd").unwrap();
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let ban = Change::Ban {
            jail: jail.clone(),
            net: net("192.0.2.1/32"),
            timeout: Some(Duration::from_millis(1500)),
        };
        let unban = Change::Unban {
            jail,
            net: net("2001:db8::/64"),
        };
        let targets = Targets::from([
            ((set("stk4-sshd"), ban.net()), &ban),
            ((set("stk6-sshd"), unban.net()), &unban),
        ]);
        assert_eq!(
            script(&lines(&targets)),
            "del stk6-sshd 2001:db8::/64\nadd stk4-sshd 192.0.2.1/32 timeout 2\n"
        );
    }

    #[test]
    fn timeouts_are_whole_seconds_and_never_become_for_ever() {
        let given = [None, Some(0), Some(1), Some(1001), Some(u64::MAX)];
        let told = given.map(|millis| seconds(millis.map(Duration::from_millis)));
        assert_eq!(told, [0, 1, 1, 2, 2_147_483]);
    }

    #[test]
    fn the_line_that_failed_and_its_reason_are_read() {
        let full = "ipset v7.17: Error in line 3: Hash is full, cannot add more elements\n";
        let (line, reason) = failed_line(full).unwrap();
        assert_eq!(line, 2);
        assert!(is_full(reason));
        let gone = "ipset v7.17: Error in line 1: The set with the given name does not exist\n";
        assert!(is_missing(failed_line(gone).unwrap().1));
        assert_eq!(failed_line("ipset v7.17: Error in line 0: x"), None);
        assert_eq!(failed_line("Error in line"), None);
    }

    proptest! {
        #[test]
        fn no_answer_however_odd_stops_the_reader(text in "\\PC*|((Name|Type|Header|add|timeout|nomatch|stk4-a|[0-9.:/]{0,9})[ :\n]{1,2}){0,30}") {
            let _ = headers(&text);
            let _ = failed_line(&text);
            for line in text.lines() {
                let _ = element(line, Family::V4);
                let _ = element(line, Family::V6);
            }
        }
    }
}
