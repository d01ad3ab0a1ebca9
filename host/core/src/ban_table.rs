//! The bans of one jail that are in force.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use ipnet::IpNet;

use crate::{Ban, FailureId, Timestamp};

/// How long log lines may take to arrive after a ban: later ones say that the firewall does not
/// hold. fail2ban checks its actions after the same time.
const LATE_LINES: Duration = Duration::from_secs(3);

/// A ban that is still being logged is told this often, however many lines there are.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Bans by id.
///
/// **Invariant:** `ends` has exactly one element for each ban, and `prefixes` counts the networks
/// among them by family and prefix length.
#[derive(Debug, Default)]
pub(crate) struct BanTable {
    bans: HashMap<FailureId, Banned>,
    /// By end; bans for ever are at [`Timestamp::MAX`].
    ends: BTreeSet<(Timestamp, FailureId)>,
    prefixes: BTreeMap<(Family, u8), usize>,
}

#[derive(Debug)]
struct Banned {
    ban: Ban,
    told_banned: Option<Timestamp>,
    told_seen: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

/// What a failure of a banned id means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// Nothing new.
    Known,
    /// It is the first for a while that the ban of this id meets.
    Banned(FailureId),
    /// As before, and it happened after the firewall should have dropped it.
    StillSeen(FailureId),
}

impl BanTable {
    pub(crate) fn len(&self) -> usize {
        self.bans.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.bans.values().map(|banned| &banned.ban)
    }

    /// The ban of exactly `id`.
    pub(crate) fn get(&self, id: &FailureId) -> Option<&Ban> {
        self.bans.get(id).map(|banned| &banned.ban)
    }

    /// The bans of networks that hold `id` and are not `id`, the broadest first.
    pub(crate) fn wider(&self, id: &FailureId) -> impl Iterator<Item = &Ban> {
        let net = id.network().filter(|_| !self.prefixes.is_empty());
        net.into_iter().flat_map(|net| {
            let family = family(&net);
            self.prefixes
                .range((family, 0)..(family, net.prefix_len()))
                .filter_map(move |((_, len), _)| IpNet::new(net.addr(), *len).ok())
                .filter_map(|wider| self.get(&FailureId::Subnet(wider.trunc())))
        })
    }

    /// Puts `ban` in, in place of an earlier one of the same id.
    pub(crate) fn insert(&mut self, ban: Ban) {
        self.remove(&ban.id.clone());
        self.ends.insert((end(&ban), ban.id.clone()));
        if let FailureId::Subnet(net) = &ban.id {
            *self
                .prefixes
                .entry((family(net), net.prefix_len()))
                .or_default() += 1;
        }
        let banned = Banned {
            ban,
            told_banned: None,
            told_seen: None,
        };
        self.bans.insert(banned.ban.id.clone(), banned);
    }

    pub(crate) fn remove(&mut self, id: &FailureId) -> Option<Ban> {
        let ban = self.bans.remove(id)?.ban;
        self.ends.remove(&(end(&ban), id.clone()));
        if let FailureId::Subnet(net) = id {
            let key = (family(net), net.prefix_len());
            let left = self
                .prefixes
                .get(&key)
                .map_or(0, |count| count.saturating_sub(1));
            if left == 0 {
                self.prefixes.remove(&key);
            } else {
                self.prefixes.insert(key, left);
            }
        }
        if self.bans.is_empty() {
            self.bans.shrink_to_fit();
        }
        Some(ban)
    }

    /// Takes out the next ban that is over at `now`, in the order of their ends.
    pub(crate) fn pop_over(&mut self, now: Timestamp) -> Option<Ban> {
        self.next_end().filter(|end| *end <= now)?;
        let (_, id) = self.ends.first()?;
        self.remove(&id.clone())
    }

    /// Takes out the ban that ends soonest; none where all are for ever.
    pub(crate) fn pop_soonest(&mut self) -> Option<Ban> {
        self.pop_over(Timestamp::MAX)
    }

    /// Takes out the bans that `wanted` picks, in the order of their ends.
    pub(crate) fn take_if(&mut self, wanted: impl Fn(&FailureId) -> bool) -> Vec<Ban> {
        let ids: Vec<FailureId> = self
            .ends
            .iter()
            .map(|(_, id)| id)
            .filter(|id| wanted(id))
            .cloned()
            .collect();
        ids.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The table without the bans that `unwanted` picks, and those in the order of their ends.
    pub(crate) fn split(mut self, unwanted: impl Fn(&FailureId) -> bool) -> (Self, Vec<Ban>) {
        let taken = self.take_if(unwanted);
        (self, taken)
    }

    /// When the next ban ends.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        let (end, _) = self.ends.first()?;
        Some(*end).filter(|end| *end < Timestamp::MAX)
    }

    /// Notes that a failure of `id` happened at `at`, if it or a network that holds it is banned.
    ///
    /// One lookup, and one more for each prefix length that is in use, of which there are few:
    /// attackers cannot choose them.
    pub(crate) fn sight(
        &mut self,
        id: &FailureId,
        at: Timestamp,
        now: Timestamp,
    ) -> Option<Sighting> {
        if self.bans.is_empty() {
            return None;
        }
        if let Some(banned) = self.bans.get_mut(id) {
            return Some(banned.sight(at, now));
        }
        let wider = self.wider(id).next()?.id.clone();
        Some(self.bans.get_mut(&wider)?.sight(at, now))
    }

    /// Moves all bans back, after the clock was set back, and shows each.
    pub(crate) fn move_back(&mut self, by: Duration, mut moved: impl FnMut(&Ban)) {
        for ban in self.take_if(|_| true) {
            let at = ban.at.saturating_sub(by);
            let until = ban.until.map(|until| until.saturating_sub(by));
            let ban = Ban { at, until, ..ban };
            moved(&ban);
            self.insert(ban);
        }
    }
}

impl Banned {
    fn sight(&mut self, at: Timestamp, now: Timestamp) -> Sighting {
        let late = at > self.ban.at.saturating_add(LATE_LINES);
        let told = if late {
            &mut self.told_seen
        } else {
            &mut self.told_banned
        };
        if told.is_some_and(|told| now < told.saturating_add(TELL_AGAIN)) {
            return Sighting::Known;
        }
        *told = Some(now);
        let id = self.ban.id.clone();
        if late {
            Sighting::StillSeen(id)
        } else {
            Sighting::Banned(id)
        }
    }
}

/// Where a ban stands in the order of ends.
fn end(ban: &Ban) -> Timestamp {
    ban.until.unwrap_or(Timestamp::MAX)
}

fn family(net: &IpNet) -> Family {
    match net {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JailName;

    fn id(text: &str) -> FailureId {
        FailureId::parse(text)
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn ban(text: &str, until: Option<i64>) -> Ban {
        Ban {
            jail: JailName::try_new("sshd").unwrap(),
            id: id(text),
            at: at(0),
            until: until.map(at),
            failures: 5,
            bancount: 1,
        }
    }

    fn table(bans: &[(&str, Option<i64>)]) -> BanTable {
        let mut table = BanTable::default();
        for (text, until) in bans {
            table.insert(ban(text, *until));
        }
        table
    }

    /// Checks which ban a failure of `text` meets.
    #[track_caller]
    fn check_covering(mut table: BanTable, text: &str, expected: Option<&str>) {
        let met = table.sight(&id(text), at(0), at(0));
        assert_eq!(
            met,
            expected.map(|text| Sighting::Banned(id(text))),
            "{text}"
        );
    }

    #[test]
    fn an_address_is_covered_by_a_banned_network_that_holds_it() {
        let bans = || {
            table(&[
                ("192.0.2.0/24", Some(9)),
                ("10.0.0.0/8", None),
                ("2001:db8::/64", None),
                ("alice", None),
            ])
        };
        check_covering(bans(), "192.0.2.77", Some("192.0.2.0/24"));
        check_covering(bans(), "192.0.2.0/28", Some("192.0.2.0/24"));
        check_covering(bans(), "192.0.0.0/16", None);
        check_covering(bans(), "192.0.3.1", None);
        check_covering(bans(), "2001:db8::77", Some("2001:db8::/64"));
        check_covering(bans(), "2001:db8:0:1::77", None);
        check_covering(bans(), "alice", Some("alice"));
        check_covering(bans(), "bob", None);
    }

    #[test]
    fn a_network_covers_nothing_once_it_is_lifted() {
        let mut table = table(&[("192.0.2.0/24", None), ("192.0.3.0/24", None)]);
        table.remove(&id("192.0.2.0/24"));
        assert_eq!(table.sight(&id("192.0.2.1"), at(0), at(0)), None);
        let met = Some(Sighting::Banned(id("192.0.3.0/24")));
        assert_eq!(table.sight(&id("192.0.3.1"), at(0), at(0)), met);
        table.remove(&id("192.0.3.0/24"));
        assert!(table.prefixes.is_empty());
    }

    #[test]
    fn bans_end_in_their_order_and_not_before_their_time() {
        let mut table = table(&[("c", None), ("b", Some(20)), ("a", Some(10))]);
        assert_eq!(table.next_end(), Some(at(10)));
        assert_eq!(table.pop_over(at(9)), None);
        assert_eq!(table.pop_over(at(30)).unwrap().id, id("a"));
        assert_eq!(table.pop_over(at(30)).unwrap().id, id("b"));
        assert_eq!(table.pop_over(Timestamp::MAX), None);
        assert_eq!(table.next_end(), None);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_ban_for_ever_does_not_make_room() {
        let mut table = table(&[("b", Some(20)), ("a", None)]);
        assert_eq!(table.pop_soonest().unwrap().id, id("b"));
        assert_eq!(table.pop_soonest(), None);
    }

    #[test]
    fn a_new_end_replaces_the_old_one() {
        let mut table = table(&[("a", Some(10)), ("a", Some(20))]);
        assert_eq!((table.len(), table.next_end()), (1, Some(at(20))));
        assert_eq!(table.pop_over(at(15)), None);
    }

    #[test]
    fn lines_on_their_way_are_told_apart_from_a_ban_that_does_not_hold() {
        let mut table = table(&[("a", None)]);
        let mut sight = |secs| table.sight(&id("a"), at(secs), at(secs)).unwrap();
        assert_eq!(sight(3), Sighting::Banned(id("a")));
        assert_eq!(sight(3), Sighting::Known);
        assert_eq!(sight(4), Sighting::StillSeen(id("a")));
        assert_eq!(sight(63), Sighting::Known);
        assert_eq!(sight(64), Sighting::StillSeen(id("a")));
    }

    #[test]
    fn bans_keep_their_remaining_time_when_the_clock_is_set_back() {
        let mut table = table(&[("a", Some(1000)), ("b", None)]);
        let mut told = 0;
        table.move_back(Duration::from_secs(400), |_| told += 1);
        assert_eq!(told, 2);
        assert_eq!(table.next_end(), Some(at(600)));
        assert_eq!(table.get(&id("a")).unwrap().at, at(-400));
        assert_eq!(table.get(&id("b")).unwrap().until, None);
    }
}
