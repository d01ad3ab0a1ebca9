//! How often ids were banned before, in each jail.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::{Ban, EarlierBans, FailureId, JailName, JailPolicy, Timestamp};

/// The earlier bans of all jails, also of those that are gone: they may come back, and their bans
/// count for jails that count those of all.
#[derive(Debug, Default)]
pub(crate) struct PriorBans {
    jails: BTreeMap<JailName, JailPrior>,
    /// How long bans count when they say nothing any more. One time for all jails, because some are
    /// gone and have no rules.
    remember: Duration,
}

/// What is known of an id in a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prior {
    /// The number of its last ban.
    pub(crate) bancount: u32,
    /// When that began.
    pub(crate) at: Timestamp,
    relevant_until: Timestamp,
}

/// The earlier bans of one jail, for a bounded number of ids.
///
/// **Invariant:** `order` has exactly one element for each id.
#[derive(Debug, Default)]
struct JailPrior {
    by_id: HashMap<FailureId, Prior>,
    /// What is forgotten first stands first.
    order: BTreeSet<(Timestamp, FailureId)>,
}

impl PriorBans {
    /// Remembers as long as the jail that remembers longest; as before where there is none.
    pub(crate) fn configure(&mut self, policies: &[JailPolicy]) {
        let longest = policies.iter().map(|policy| policy.remember).max();
        self.remember = longest.unwrap_or(self.remember);
    }

    /// What is known of `id` in `jail`.
    pub(crate) fn get(&self, jail: &JailName, id: &FailureId) -> Option<Prior> {
        self.jails.get(jail)?.by_id.get(id).copied()
    }

    /// The number of the last ban of `id` in `jail`; 0 where none is known.
    pub(crate) fn count(&self, jail: &JailName, id: &FailureId) -> u32 {
        self.get(jail, id).map_or(0, |prior| prior.bancount)
    }

    /// The numbers of its last bans in all jails together.
    pub(crate) fn count_in_all(&self, id: &FailureId) -> u32 {
        let counts = self.jails.values().filter_map(|jail| jail.by_id.get(id));
        counts.fold(0, |sum, prior| sum.saturating_add(prior.bancount))
    }

    /// How many ids are remembered in `jail`.
    pub(crate) fn len(&self, jail: &JailName) -> usize {
        self.jails.get(jail).map_or(0, |jail| jail.by_id.len())
    }

    /// Remembers `ban` as the last of its id. At `max` ids in its jail the one is forgotten that would
    /// be forgotten first.
    pub(crate) fn note(&mut self, ban: &Ban, max: usize) {
        let prior = Prior {
            bancount: ban.bancount,
            at: ban.at,
            relevant_until: ban.relevant_until(),
        };
        self.jail(&ban.jail).insert(&ban.id, prior, max);
    }

    /// Takes over what an earlier run has remembered, where it is more than what is known.
    pub(crate) fn restore(&mut self, earlier: &EarlierBans, max: usize) {
        let known = self.get(&earlier.jail, &earlier.id);
        let known = known.unwrap_or(Prior {
            bancount: 0,
            at: earlier.at,
            relevant_until: earlier.relevant_until,
        });
        let prior = Prior {
            bancount: known.bancount.max(earlier.bancount),
            at: known.at.max(earlier.at),
            relevant_until: known.relevant_until.max(earlier.relevant_until),
        };
        self.jail(&earlier.jail).insert(&earlier.id, prior, max);
    }

    /// Forgets the bans of `id` in `jail`.
    pub(crate) fn pardon(&mut self, jail: &JailName, id: &FailureId) {
        if let Some(jail) = self.jails.get_mut(jail) {
            jail.remove(id);
        }
    }

    /// Forgets what is too long ago.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        for jail in self.jails.values_mut() {
            jail.forget(now, self.remember);
        }
    }

    fn jail(&mut self, name: &JailName) -> &mut JailPrior {
        self.jails.entry(name.clone()).or_default()
    }
}

impl JailPrior {
    fn insert(&mut self, id: &FailureId, prior: Prior, max: usize) {
        self.remove(id);
        if prior.bancount == 0 || max == 0 {
            return;
        }
        self.by_id.insert(id.clone(), prior);
        self.order.insert((prior.relevant_until, id.clone()));
        while self.by_id.len() > max && self.forget_first() {}
    }

    fn remove(&mut self, id: &FailureId) {
        if let Some(prior) = self.by_id.remove(id) {
            self.order.remove(&(prior.relevant_until, id.clone()));
        }
    }

    fn forget(&mut self, now: Timestamp, remember: Duration) {
        let is_due = |relevant_until: Timestamp| {
            relevant_until < Timestamp::MAX && relevant_until.saturating_add(remember) <= now
        };
        while let Some((first, _)) = self.order.first()
            && is_due(*first)
        {
            self.forget_first();
        }
        if self.by_id.is_empty() {
            self.by_id.shrink_to_fit();
        }
    }

    fn forget_first(&mut self) -> bool {
        match self.order.pop_first() {
            Some((_, id)) => self.by_id.remove(&id).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn jail(name: &str) -> JailName {
        JailName::try_new(name).unwrap()
    }

    fn id(name: &str) -> FailureId {
        FailureId::parse(name)
    }

    fn ban(name: &str, from: i64, until: Option<i64>, bancount: u32) -> Ban {
        Ban {
            jail: jail("sshd"),
            id: id(name),
            at: at(from),
            until: until.map(at),
            failures: 1,
            bancount,
        }
    }

    fn counts(prior: &PriorBans, names: &[&str]) -> Vec<u32> {
        names
            .iter()
            .map(|name| prior.count(&jail("sshd"), &id(name)))
            .collect()
    }

    #[test]
    fn at_the_limit_a_short_ban_is_forgotten_before_a_long_one() {
        let mut prior = PriorBans::default();
        prior.note(&ban("a", 0, Some(900), 4), 2);
        prior.note(&ban("b", 10, Some(20), 1), 2);
        prior.note(&ban("c", 30, Some(60), 1), 2);
        assert_eq!(counts(&prior, &["a", "b", "c"]), [4, 0, 1]);
        prior.note(&ban("d", 40, None, 1), 2);
        assert_eq!(counts(&prior, &["a", "b", "c", "d"]), [4, 0, 0, 1]);
        let held = &prior.jails[&jail("sshd")];
        assert_eq!((held.by_id.len(), held.order.len()), (2, 2));
    }

    #[test]
    fn bans_are_forgotten_after_three_lengths_and_the_time_to_remember() {
        let mut prior = PriorBans {
            remember: Duration::from_secs(1000),
            ..PriorBans::default()
        };
        prior.note(&ban("a", 100, Some(110), 1), 9);
        prior.note(&ban("b", 100, None, 1), 9);
        prior.forget(at(1129));
        assert_eq!(counts(&prior, &["a", "b"]), [1, 1]);
        prior.forget(at(1130));
        assert_eq!(counts(&prior, &["a", "b"]), [0, 1]);
        prior.forget(Timestamp::MAX);
        assert_eq!(counts(&prior, &["b"]), [1]);
    }

    #[test]
    fn what_an_earlier_run_remembered_takes_nothing_away() {
        let mut prior = PriorBans::default();
        prior.note(&ban("a", 100, Some(200), 3), 9);
        let earlier = EarlierBans {
            jail: jail("sshd"),
            id: id("a"),
            bancount: 2,
            at: at(50),
            relevant_until: at(9_000),
        };
        prior.restore(&earlier, 9);
        let expected = Prior {
            bancount: 3,
            at: at(100),
            relevant_until: at(9_000),
        };
        assert_eq!(prior.get(&jail("sshd"), &id("a")), Some(expected));
    }
}
