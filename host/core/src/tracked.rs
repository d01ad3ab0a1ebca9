//! The ids of one jail whose attempts are being counted.
//!
//! Every operation on one id takes constant time on average, also at the limit: the ids are chained
//! into lists by their number of attempts, each list in the order of the last attempt.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::matches::Matches;
use crate::window::{Window, WindowRule};
use crate::{Attempts, FailureId, JailName, Limits, Timestamp};

/// Ids with this many attempts or more are equal when one has to be forgotten. Jails that wait for
/// more attempts than that are rare, and the order matters less the further an id is from one.
const RANKS: usize = 32;

/// End of a list.
const NONE: u32 = u32::MAX;

/// One attempt.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) id: &'a FailureId,
    pub(crate) at: Timestamp,
    /// As how many it counts.
    pub(crate) weight: u32,
    pub(crate) line: &'a [u8],
}

/// How attempts are counted, and when.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    pub(crate) rule: WindowRule,
    pub(crate) maxmatches: u32,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Timestamp,
}

/// Attempts by id.
///
/// **Invariant:** each occupied slot is in `by_id` under its own id, and in the list of its rank.
#[derive(Debug)]
pub(crate) struct TrackedIds {
    by_id: HashMap<FailureId, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    ranks: [Ends; RANKS],
    /// Slots that were written since the last `take_changed`, each once.
    changed: Vec<u32>,
    /// Ids that the store knows and that are counted no more.
    gone: BTreeSet<FailureId>,
    matches_bytes: usize,
    pub(crate) forgotten: u64,
    pub(crate) matches_dropped: u64,
}

/// Oldest and newest slot of a list.
#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: u32,
    newest: u32,
}

#[derive(Debug)]
struct Slot {
    entry: Option<Entry>,
    older: u32,
    newer: u32,
    rank: usize,
    /// Whether `changed` names this slot.
    changed: bool,
}

#[derive(Debug)]
struct Entry {
    id: FailureId,
    window: Window,
    matches: Matches,
    /// Whether the store may have attempts of this id.
    stored: bool,
}

impl TrackedIds {
    pub(crate) fn new() -> Self {
        Self {
            by_id: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            ranks: [Ends {
                oldest: NONE,
                newest: NONE,
            }; RANKS],
            changed: Vec::new(),
            gone: BTreeSet::new(),
            matches_bytes: 0,
            forgotten: 0,
            matches_dropped: 0,
        }
    }

    /// How many ids are kept, also such whose attempts are too old by now.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many attempts of `id` are kept, also such that are too old by now.
    pub(crate) fn count(&self, id: &FailureId) -> u32 {
        let slot = self.by_id.get(id).copied();
        let slot = slot.and_then(|index| self.slots.get(usize::try_from(index).ok()?));
        let entry = slot.and_then(|slot| slot.entry.as_ref());
        entry.map_or(0, |entry| entry.window.count())
    }

    /// How many ids have an attempt at `begin` or later.
    pub(crate) fn failing_since(&self, begin: Timestamp) -> usize {
        self.entries()
            .filter(|entry| entry.window.newest() >= Some(begin))
            .count()
    }

    /// Counts an attempt and says how many count; where its id is new and the limit of ids is
    /// reached, forgets one.
    pub(crate) fn record(&mut self, attempt: &Attempt<'_>, how: &Counting<'_>) -> u32 {
        let index = match self.by_id.get(attempt.id) {
            Some(index) => *index,
            None => self.insert(
                attempt.id.clone(),
                Window::default(),
                how.limits.tracked_ids_max,
            ),
        };
        let Some(entry) = slot_mut(&mut self.slots, index).and_then(|slot| slot.entry.as_mut())
        else {
            return 0;
        };
        let count = entry
            .window
            .record(attempt.at, attempt.weight, how.now, how.rule);
        if how.maxmatches > 0 {
            let bytes = self.matches_bytes.saturating_sub(entry.matches.bytes());
            if self.matches_bytes.saturating_add(attempt.line.len()) > how.limits.matches_bytes_max
            {
                self.matches_dropped += 1;
            } else {
                entry.matches.push(attempt.line, how.maxmatches);
            }
            self.matches_bytes = bytes.saturating_add(entry.matches.bytes());
        }
        self.relink(index);
        self.mark_changed(index);
        count
    }

    /// Takes over the attempts of an earlier run, which the store has as `times`.
    pub(crate) fn restore(
        &mut self,
        id: FailureId,
        window: Window,
        times: &[Timestamp],
        max: usize,
    ) {
        if window.count() == 0 {
            self.note_gone(id);
            return;
        }
        self.remove(&id);
        self.gone.remove(&id);
        let same = window.times() == times;
        let slot = self.insert(id, window, max);
        if let Some(entry) = self.entry_mut(slot) {
            entry.stored = true;
        }
        self.relink(slot);
        if !same {
            self.mark_changed(slot);
        }
    }

    /// Says that the store has attempts of `id` which are not to be kept.
    pub(crate) fn note_gone(&mut self, id: FailureId) {
        if !self.by_id.contains_key(&id) {
            self.gone.insert(id);
        }
    }

    /// Forgets `id` and gives back the lines that were kept.
    pub(crate) fn remove(&mut self, id: &FailureId) -> Option<Matches> {
        let slot = *self.by_id.get(id)?;
        self.clear(slot).map(|entry| entry.matches)
    }

    /// Forgets every id that `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&FailureId, &Window) -> bool) {
        let unwanted: Vec<u32> = (0_u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.entry.as_ref().is_some_and(|e| !keep(&e.id, &e.window)))
            .map(|(index, _)| index)
            .collect();
        for slot in unwanted {
            self.clear(slot);
        }
        self.shrink();
    }

    /// Drops the attempts that do not count under a new rule.
    pub(crate) fn trim(&mut self, rule: WindowRule) {
        for index in (0_u32..).take(self.slots.len()) {
            let Some(entry) = self.entry_mut(index) else {
                continue;
            };
            let before = entry.window.count();
            entry.window.trim(rule);
            if entry.window.count() != before {
                self.relink(index);
                self.mark_changed(index);
            }
        }
    }

    /// Moves all attempts back, after the clock was set back.
    pub(crate) fn move_back(&mut self, by: Duration) {
        for index in (0_u32..).take(self.slots.len()) {
            if let Some(entry) = self.entry_mut(index) {
                entry.window.move_back(by);
                self.mark_changed(index);
            }
        }
    }

    /// Adds what changed since the last call to `changes`.
    pub(crate) fn take_changed(&mut self, jail: &JailName, changes: &mut Vec<Attempts>) {
        for id in std::mem::take(&mut self.gone) {
            changes.push(Attempts {
                jail: jail.clone(),
                id,
                times: Vec::new(),
            });
        }
        let mut changed = std::mem::take(&mut self.changed);
        for index in changed.drain(..) {
            let Some(slot) = slot_mut(&mut self.slots, index) else {
                continue;
            };
            slot.changed = false;
            if let Some(entry) = slot.entry.as_mut() {
                entry.stored = true;
                changes.push(Attempts {
                    jail: jail.clone(),
                    id: entry.id.clone(),
                    times: entry.window.times().to_vec(),
                });
            }
        }
        // The memory is used again.
        self.changed = changed;
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref())
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        slot_mut(&mut self.slots, slot)?.entry.as_mut()
    }

    fn insert(&mut self, id: FailureId, window: Window, max: usize) -> u32 {
        while self.by_id.len() >= max.max(1) && self.forget_one() {}
        let stored = self.gone.remove(&id);
        let entry = Entry {
            id: id.clone(),
            window,
            matches: Matches::default(),
            stored,
        };
        let index = self.free_slot();
        if let Some(slot) = slot_mut(&mut self.slots, index) {
            slot.entry = Some(entry);
        }
        self.by_id.insert(id, index);
        self.link(index);
        index
    }

    /// The index of a slot without an entry.
    fn free_slot(&mut self) -> u32 {
        if let Some(index) = self.free.pop() {
            return index;
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(NONE);
        self.slots.push(Slot {
            entry: None,
            older: NONE,
            newer: NONE,
            rank: 0,
            changed: false,
        });
        index
    }

    /// Empties a slot; the store will be told if it has the id.
    fn clear(&mut self, index: u32) -> Option<Entry> {
        self.unlink(index);
        let entry = slot_mut(&mut self.slots, index)?.entry.take()?;
        self.free.push(index);
        self.by_id.remove(&entry.id);
        self.matches_bytes = self.matches_bytes.saturating_sub(entry.matches.bytes());
        if entry.stored {
            self.gone.insert(entry.id.clone());
        }
        Some(entry)
    }

    /// Forgets the oldest of the ids with the fewest attempts. False where there is none.
    fn forget_one(&mut self) -> bool {
        let oldest = self
            .ranks
            .iter()
            .map(|ends| ends.oldest)
            .find(|slot| *slot != NONE);
        let Some(slot) = oldest else { return false };
        self.forgotten += 1;
        self.clear(slot).is_some()
    }

    /// Gives back memory after many ids are gone, so that an attack leaves nothing behind.
    fn shrink(&mut self) {
        if self.by_id.is_empty() && self.changed.is_empty() {
            self.by_id.shrink_to_fit();
            self.slots = Vec::new();
            self.free = Vec::new();
        }
    }

    fn mark_changed(&mut self, index: u32) {
        if let Some(slot) = slot_mut(&mut self.slots, index)
            && !slot.changed
        {
            slot.changed = true;
            self.changed.push(index);
        }
    }

    fn relink(&mut self, index: u32) {
        self.unlink(index);
        self.link(index);
    }

    /// Puts a slot at the newest end of the list of its rank.
    fn link(&mut self, index: u32) {
        let Some(slot) = slot_mut(&mut self.slots, index) else {
            return;
        };
        let count = slot.entry.as_ref().map_or(0, |entry| entry.window.count());
        slot.rank = usize::try_from(count).unwrap_or(RANKS).min(RANKS - 1);
        let Some(ends) = self.ranks.get_mut(slot.rank) else {
            return;
        };
        slot.older = ends.newest;
        slot.newer = NONE;
        let older = std::mem::replace(&mut ends.newest, index);
        match slot_mut(&mut self.slots, older) {
            Some(older) => older.newer = index,
            None => ends.oldest = index,
        }
    }

    /// Takes a slot out of the list of its rank.
    fn unlink(&mut self, index: u32) {
        let Some(slot) = slot_mut(&mut self.slots, index) else {
            return;
        };
        let (older, newer) = (slot.older, slot.newer);
        let Some(ends) = self.ranks.get_mut(slot.rank) else {
            return;
        };
        match slot_mut(&mut self.slots, older) {
            Some(older) => older.newer = newer,
            None => ends.oldest = newer,
        }
        match slot_mut(&mut self.slots, newer) {
            Some(newer) => newer.older = older,
            None => ends.newest = older,
        }
    }
}

/// The slot at `index`; none at [`NONE`], since there are never that many.
fn slot_mut(slots: &mut [Slot], index: u32) -> Option<&mut Slot> {
    slots.get_mut(usize::try_from(index).ok()?)
}

#[cfg(test)]
mod tests;
