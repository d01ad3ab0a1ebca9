//! How often ids were banned before.

use std::collections::{BTreeMap, HashMap};

use crate::FailureId;

/// Counts of earlier bans of one jail, for a bounded number of ids.
#[derive(Debug, Default)]
pub(crate) struct PriorBans {
    by_id: HashMap<FailureId, Prior>,
    /// The ids in the order in which they were last counted.
    order: BTreeMap<u64, FailureId>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Prior {
    bancount: u32,
    place: u64,
}

impl PriorBans {
    /// How often `id` was banned so far.
    pub(crate) fn count(&self, id: &FailureId) -> u32 {
        self.by_id.get(id).map_or(0, |prior| prior.bancount)
    }

    /// Notes that `id` was banned `bancount` times, if that is more than was known. At `max` ids
    /// the one that was counted longest ago is forgotten.
    pub(crate) fn raise(&mut self, id: &FailureId, bancount: u32, max: usize) {
        let known = self.by_id.get(id).copied();
        if bancount == 0 || max == 0 || known.is_some_and(|known| known.bancount > bancount) {
            return;
        }
        if let Some(known) = known {
            self.order.remove(&known.place);
        }
        let place = self.next;
        self.next += 1;
        self.order.insert(place, id.clone());
        self.by_id.insert(id.clone(), Prior { bancount, place });
        while self.by_id.len() > max {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            self.by_id.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_banned_longest_ago_is_forgotten_at_the_limit() {
        let id = |name: &str| FailureId::parse(name);
        let mut prior = PriorBans::default();
        prior.raise(&id("a"), 1, 2);
        prior.raise(&id("b"), 4, 2);
        prior.raise(&id("a"), 2, 2);
        prior.raise(&id("c"), 1, 2);
        let counts = ["a", "b", "c"].map(|name| prior.count(&id(name)));
        assert_eq!(counts, [2, 0, 1]);
        assert_eq!(prior.order.len(), 2);
    }

    #[test]
    fn a_smaller_count_changes_nothing() {
        let id = FailureId::parse("a");
        let mut prior = PriorBans::default();
        prior.raise(&id, 3, 9);
        prior.raise(&id, 2, 9);
        assert_eq!(prior.count(&id), 3);
    }
}
