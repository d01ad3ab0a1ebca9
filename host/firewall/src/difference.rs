//! What has to change for the kernel to hold what is wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use stockade_core::{IpNet, JailName, Timestamp};

use crate::contract::{Change, Element, Timeouts};

/// By how much an element's end may miss the wanted one and still count as right.
///
/// The kernel counts in ticks and reports what is left, time passes between its answer and our
/// comparing, and the two clocks drift; two seconds cover these, and nobody misses two seconds of a
/// ban. After a suspend the kernel's clock is behind by far more, and the element is renewed.
pub const EXPIRY_SLACK: Duration = Duration::from_secs(2);

/// One ban that should be in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The jail.
    pub jail: JailName,
    /// Whom to block.
    pub net: IpNet,
    /// When the ban ends; `None` for never.
    pub until: Option<Timestamp>,
}

/// The changes that turn `actual` into `wanted`, unbans first.
///
/// `actual` is what [`crate::Firewall::list`] answered at the time `now`. Bans that are over do not
/// count as wanted. Of several bans for one jail and network the longest counts. Elements whose end
/// is right within [`EXPIRY_SLACK`] are left alone; where we end bans ourselves, all that are wanted.
#[must_use]
pub fn difference(
    wanted: &[Wanted],
    actual: &[Element],
    timeouts: Timeouts,
    now: Timestamp,
) -> Vec<Change> {
    let mut missing = index(wanted, now);
    let mut changes = Vec::new();
    for element in actual {
        let key = (element.jail.clone(), element.net.trunc());
        match missing.get(&key) {
            Some(&timeout) if is_right(timeout, element.expires, timeouts) => {
                missing.remove(&key);
            }
            Some(_) => {}
            None => changes.push(Change::Unban {
                jail: element.jail.clone(),
                net: element.net,
            }),
        }
    }
    let bans = missing
        .into_iter()
        .map(|((jail, net), timeout)| Change::Ban { jail, net, timeout });
    changes.extend(bans);
    changes
}

/// What is wanted at `now`, each with the time that is left.
fn index(wanted: &[Wanted], now: Timestamp) -> BTreeMap<(JailName, IpNet), Option<Duration>> {
    let mut index: BTreeMap<_, Option<Duration>> = BTreeMap::new();
    for ban in wanted {
        let left = ban.until.map(|until| until.saturating_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            continue;
        }
        index
            .entry((ban.jail.clone(), ban.net.trunc()))
            .and_modify(|known| {
                *known = match (*known, left) {
                    (Some(known), Some(left)) => Some(known.max(left)),
                    _ => None,
                };
            })
            .or_insert(left);
    }
    index
}

/// Whether an element needs no renewal.
///
/// A timeout that had to be shortened is renewed when half of the longest possible is over, so that
/// even a ban for ever outlives a long stop of ours and costs one change in that time.
fn is_right(wanted: Option<Duration>, actual: Option<Duration>, timeouts: Timeouts) -> bool {
    let Timeouts::Kept { max } = timeouts else {
        return true;
    };
    match (wanted, actual) {
        (None, None) => true,
        (Some(wanted), Some(actual)) if wanted <= max => wanted.abs_diff(actual) <= EXPIRY_SLACK,
        (Some(_), Some(actual)) => actual >= max / 2,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::TIMEOUT_MAX;

    const KEPT: Timeouts = Timeouts::Kept { max: TIMEOUT_MAX };

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn jail(name: &str) -> JailName {
        JailName::try_new(name).unwrap()
    }

    fn wanted(net: &str, left: Option<u64>) -> Wanted {
        Wanted {
            jail: jail("sshd"),
            net: net.parse().unwrap(),
            until: left.map(|left| NOW.saturating_add(Duration::from_secs(left))),
        }
    }

    fn element(net: &str, left: Option<u64>) -> Element {
        Element {
            jail: jail("sshd"),
            net: net.parse().unwrap(),
            expires: left.map(Duration::from_secs),
        }
    }

    #[test]
    fn what_is_in_place_within_the_slack_is_left_alone() {
        let wanted = [
            wanted("192.0.2.1/32", Some(600)),
            wanted("2001:db8::/64", None),
            wanted("192.0.2.2/32", Some(10 * TIMEOUT_MAX.as_secs())),
        ];
        let actual = [
            element("192.0.2.1/32", Some(598)),
            element("2001:db8::/64", None),
            element("192.0.2.2/32", Some(TIMEOUT_MAX.as_secs())),
        ];
        assert_eq!(difference(&wanted, &actual, KEPT, NOW), []);
    }

    #[test]
    fn missing_stale_and_foreign_elements_are_corrected() {
        let wanted = [
            wanted("192.0.2.1/32", Some(600)),
            wanted("192.0.2.2/32", Some(600)),
            wanted("192.0.2.3/32", None),
            wanted("192.0.2.4/32", Some(0)),
        ];
        let actual = [
            element("192.0.2.2/32", Some(60)),
            element("192.0.2.3/32", Some(60)),
            element("192.0.2.4/32", Some(60)),
            element("192.0.2.5/32", None),
        ];
        let ban = |net: &str, timeout: Option<u64>| Change::Ban {
            jail: jail("sshd"),
            net: net.parse().unwrap(),
            timeout: timeout.map(Duration::from_secs),
        };
        let unban = |net: &str| Change::Unban {
            jail: jail("sshd"),
            net: net.parse().unwrap(),
        };
        assert_eq!(
            difference(&wanted, &actual, KEPT, NOW),
            [
                unban("192.0.2.4/32"),
                unban("192.0.2.5/32"),
                ban("192.0.2.1/32", Some(600)),
                ban("192.0.2.2/32", Some(600)),
                ban("192.0.2.3/32", None),
            ]
        );
    }

    #[test]
    fn shortened_timeouts_are_renewed_when_half_of_them_is_over() {
        let day = 24 * 3600;
        let max = Duration::from_secs(20 * day);
        let wanted = [wanted("192.0.2.1/32", Some(90 * day))];
        let renewed = |left| {
            let actual = [element("192.0.2.1/32", Some(left))];
            difference(&wanted, &actual, Timeouts::Kept { max }, NOW).len()
        };
        assert_eq!([20 * day, 10 * day, 10 * day - 1].map(renewed), [0, 0, 1]);
    }

    #[test]
    fn where_we_end_bans_ourselves_only_their_presence_counts() {
        let wanted = [
            wanted("192.0.2.1/32", Some(600)),
            wanted("192.0.2.2/32", Some(0)),
        ];
        let actual = [element("192.0.2.1/32", None), element("192.0.2.2/32", None)];
        let unban = Change::Unban {
            jail: jail("sshd"),
            net: "192.0.2.2/32".parse().unwrap(),
        };
        assert_eq!(difference(&wanted, &actual, Timeouts::Ours, NOW), [unban]);
    }

    /// What a firewall would hold after `changes`.
    fn after(actual: &[Element], changes: &[Change]) -> Vec<Element> {
        let mut held: BTreeMap<_, _> = actual
            .iter()
            .map(|element| ((element.jail.clone(), element.net), element.expires))
            .collect();
        for change in changes {
            match change {
                Change::Ban { jail, net, timeout } => {
                    held.insert((jail.clone(), *net), *timeout);
                }
                Change::Unban { jail, net } => {
                    held.remove(&(jail.clone(), *net));
                }
            }
        }
        held.into_iter()
            .map(|((jail, net), expires)| Element { jail, net, expires })
            .collect()
    }

    fn any_net() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            (0u8..4).prop_map(|last| format!("192.0.2.{last}/32").parse().unwrap()),
            (0u8..4).prop_map(|last| format!("2001:db8:0:{last}::/64").parse().unwrap()),
        ]
    }

    fn any_jail() -> impl Strategy<Value = JailName> {
        prop_oneof![Just(jail("sshd")), Just(jail("nginx"))]
    }

    fn any_wanted() -> impl Strategy<Value = Wanted> {
        let until = proptest::option::of(-100i64..100)
            .prop_map(|left| left.map(|left| Timestamp::from_secs(NOW.as_secs() + left)));
        (any_jail(), any_net(), until).prop_map(|(jail, net, until)| Wanted { jail, net, until })
    }

    fn any_element() -> impl Strategy<Value = Element> {
        let expires = proptest::option::of((1u64..100).prop_map(Duration::from_secs));
        (any_jail(), any_net(), expires).prop_map(|(jail, net, expires)| Element {
            jail,
            net,
            expires,
        })
    }

    proptest! {
        #[test]
        fn applying_the_difference_leaves_no_difference(
            wanted in proptest::collection::vec(any_wanted(), 0..20),
            actual in proptest::collection::vec(any_element(), 0..20),
        ) {
            let actual = after(&actual, &[]);
            let held = after(&actual, &difference(&wanted, &actual, KEPT, NOW));
            prop_assert_eq!(difference(&wanted, &held, KEPT, NOW), vec![]);
        }

        #[test]
        fn afterwards_exactly_the_running_bans_are_held(
            wanted in proptest::collection::vec(any_wanted(), 0..20),
            actual in proptest::collection::vec(any_element(), 0..20),
        ) {
            let actual = after(&actual, &[]);
            let held = after(&actual, &difference(&wanted, &actual, KEPT, NOW));
            for element in &held {
                prop_assert!(wanted.iter().any(|ban| ban.jail == element.jail
                    && ban.net == element.net
                    && ban.until.is_none_or(|until| until > NOW)));
            }
            for ban in wanted.iter().filter(|ban| ban.until.is_none_or(|until| until > NOW)) {
                let element = held.iter().find(|e| e.jail == ban.jail && e.net == ban.net);
                prop_assert!(element.is_some());
                // Never shorter than wanted, but for the slack.
                let left = ban.until.map(|until| until.saturating_since(NOW));
                let expires = element.and_then(|element| element.expires);
                let long_enough = match (expires, left) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(expires), Some(left)) => expires + EXPIRY_SLACK >= left,
                };
                prop_assert!(long_enough);
            }
        }
    }
}
