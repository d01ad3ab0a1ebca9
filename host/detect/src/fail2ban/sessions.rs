//! Lines that belong together because they name the same connection: `<F-MLFID>`.
//!
//! The lines of a session are merged: what one says holds for the later ones until they say
//! something else, so that a failure without an address is counted for the address that an earlier
//! line had.
//!
//! **Limits.** A session that is forgotten before its failure comes is an attacker who goes free, and
//! every line can begin one. fail2ban keeps the last 100, so that 100 lines of anybody push out all
//! others. Here there is room for far more, and what has to go is the oldest session *of whoever
//! holds most*: of the address (or, in IPv6, its /64) that has the most text in sessions. One who
//! floods pushes out his own. Sessions without an address are one such holder, and those of them that
//! have a failure already, which only waits for its address, are another.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use stockade_core::Timestamp;

use super::fields::{DNS, FID, FORGET, Fields, GAINED, IP4, IP6, NOFAIL, USER};

/// Most sessions of one filter and source. A busy mail server has some hundreds at a time.
const SESSIONS_MAX: usize = 10_000;
/// Most bytes that their texts have together; 400 for each of [`SESSIONS_MAX`].
const SESSIONS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long after its last line was read a session ends by itself: process ids, which most sessions
/// are told apart by, are used again. fail2ban's value, which it counts from the first line.
const SESSION_TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// Most user names that are kept of a session; the second one decides already.
const SESSION_USERS_MAX: usize = 64;
/// What a session needs besides its texts, roughly.
const SESSION_BYTES_MIN: usize = 128;
/// New sessions between two searches for those that are over.
const SWEEP_EVERY: usize = 1_000;

/// The sessions of one filter and source.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Places in `slots`.
    by_id: HashMap<Arc<str>, usize>,
    slots: Vec<Slot>,
    /// Places in `slots` that are free.
    free: Vec<usize>,
    /// Places in `held`, which never shrinks; holders that hold nothing give theirs back.
    holders: HashMap<Holder, usize>,
    held: Vec<Held>,
    held_free: Vec<usize>,
    /// Holders by what they hold.
    by_weight: BTreeSet<(usize, usize)>,
    bytes: usize,
    since_sweep: usize,
}

/// A session and its neighbours among those of its holder, from the oldest to the newest.
#[derive(Debug, Default)]
struct Slot {
    id: Option<Arc<str>>,
    session: Session,
    bytes: usize,
    /// Place in `held`.
    holder: usize,
    older: Option<usize>,
    newer: Option<usize>,
}

/// Who answers for a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Holder {
    #[default]
    Nobody,
    /// Nobody yet, but there is a failure already.
    Pending,
    Text(Box<str>),
    Net(u64),
}

/// What a holder has.
#[derive(Debug, Default)]
struct Held {
    holder: Holder,
    bytes: usize,
    oldest: Option<usize>,
    newest: Option<usize>,
}

/// What the lines of a session said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    fields: Vec<Option<Box<str>>>,
    /// All users that were named, sorted.
    pub(super) users: Vec<Box<str>>,
    /// A failure was seen and its address was not.
    pending: bool,
    /// Lines that are counted.
    matches: u32,
    /// Lines that are counted once there is a failure.
    waiting: u32,
    touched: Timestamp,
}

/// A line, merged with those before it.
#[derive(Debug)]
pub(super) struct Merged<'s> {
    session: Kept<'s>,
    /// The session is none of a failure so far.
    pub(super) nofail: bool,
    /// How many lines make the failure.
    pub(super) attempts: u32,
}

#[derive(Debug)]
enum Kept<'s> {
    /// It goes on.
    Here(&'s Session),
    /// This was its last line.
    Gone(Box<Session>),
}

impl Merged<'_> {
    pub(super) fn session(&self) -> &Session {
        match &self.session {
            Kept::Here(session) => session,
            Kept::Gone(session) => session,
        }
    }
}

impl Session {
    pub(super) fn get(&self, place: usize) -> Option<&str> {
        self.fields.get(place)?.as_deref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        self.fields.iter().map(Option::as_deref)
    }

    fn has(&self, place: usize) -> bool {
        self.get(place).is_some_and(|text| !text.is_empty())
    }

    fn clear(&mut self, place: usize) {
        if let Some(field) = self.fields.get_mut(place) {
            *field = None;
        }
    }

    /// Takes over what a line says, where it says something.
    fn overlay(&mut self, fields: &Fields<'_>) {
        if self.fields.is_empty() {
            let fresh = fields.iter().map(|text| text.map(Into::into));
            self.fields.extend(fresh);
            return;
        }
        for (place, text) in fields.iter().enumerate() {
            if place >= self.fields.len() {
                self.fields.push(None);
            }
            if let (Some(text), Some(field)) = (text, self.fields.get_mut(place))
                && field.as_deref() != Some(text)
            {
                *field = Some(text.into());
            }
        }
    }

    fn add_user(&mut self, fields: &Fields<'_>) {
        if let Some(user) = fields.get(USER).filter(|user| !user.is_empty())
            && self.users.len() < SESSION_USERS_MAX
            && let Err(place) = self.users.binary_search_by(|own| (**own).cmp(user))
        {
            self.users.insert(place, user.into());
        }
    }

    /// Merges a line that stands for `lines` lines of the log. `known` says that the session is not
    /// new, `every` that all failregexes are tried, where even a line that is no failure waits for
    /// its address. Returns whether the session is no failure so far.
    fn merge(&mut self, fields: &Fields<'_>, lines: u32, known: bool, every: bool) -> bool {
        let gained = fields.has(GAINED);
        let forget = fields.has(FORGET);
        let was_nofail = self.has(NOFAIL) || self.has(GAINED);
        if known {
            self.clear(NOFAIL);
            self.clear(GAINED);
            self.pending &= !gained;
            if !was_nofail && !self.pending {
                self.matches = 0;
            }
        }
        // A session that begins and ends with the same line has no users to compare.
        if known || !forget {
            self.add_user(fields);
        }
        self.overlay(fields);
        self.clear(FORGET);
        let mut nofail = gained || fields.has(NOFAIL);
        if gained && !self.has(NOFAIL) {
            let text = fields.get(GAINED).map(Into::into);
            if let Some(field) = self.fields.get_mut(NOFAIL) {
                *field = text;
            }
        }
        // Whoever tries several users does not get away with one that is let in.
        if std::mem::take(&mut self.pending) || self.users.len() > 1 {
            self.clear(NOFAIL);
            self.clear(GAINED);
            nofail = false;
        }
        if !nofail {
            self.matches = self
                .matches
                .saturating_add(std::mem::take(&mut self.waiting))
                .saturating_add(lines);
        } else if !forget {
            self.waiting = self.waiting.saturating_add(lines);
        }
        let nofail = self.has(NOFAIL);
        let nobody = [FID, IP4, IP6, DNS]
            .iter()
            .all(|place| self.get(*place).is_none());
        self.pending = nobody && (every || !nofail);
        nofail
    }

    fn weight(&self, id_len: usize) -> usize {
        let fields = self.fields.iter().flatten().map(|text| text.len());
        let users = self.users.iter().map(|user| user.len() + 32);
        SESSION_BYTES_MIN + 2 * id_len + fields.chain(users).sum::<usize>()
    }

    fn holder(&self) -> Holder {
        let v6 = || self.get(IP6)?.parse::<Ipv6Addr>().ok();
        match self.holder_text() {
            None if self.pending => Holder::Pending,
            None => Holder::Nobody,
            Some(text) => match self.get(IP4).is_none().then(v6).flatten() {
                Some(addr) => Holder::Net(u64::try_from(addr.to_bits() >> 64).unwrap_or(0)),
                None => Holder::Text(text.into()),
            },
        }
    }

    fn holder_text(&self) -> Option<&str> {
        let addr = self.get(IP4).or_else(|| self.get(IP6));
        addr.or_else(|| self.get(DNS)).or_else(|| self.get(FID))
    }

    /// Whether `holder` is the one that answers for it.
    fn is_of(&self, holder: &Holder) -> bool {
        match (holder, self.holder_text()) {
            (Holder::Nobody, text) => text.is_none() && !self.pending,
            (Holder::Pending, text) => text.is_none() && self.pending,
            // Most sessions are those of IPv4 addresses, which are not to be copied for this.
            (Holder::Text(own), Some(text)) if self.get(IP4).is_some() => **own == *text,
            _ => self.holder() == *holder,
        }
    }
}

impl Sessions {
    /// Adds a line of the session `id` to it, see [`Session::merge`].
    pub(super) fn merge(
        &mut self,
        id: &str,
        fields: &Fields<'_>,
        lines: u32,
        now: Timestamp,
        every: bool,
    ) -> Merged<'_> {
        let forget = fields.has(FORGET);
        let place = self.known(id, now);
        if forget {
            let mut session = place.map_or_else(Session::default, |place| self.take_out(place));
            let nofail = session.merge(fields, lines, place.is_some(), every);
            return Merged {
                attempts: session.matches,
                session: Kept::Gone(Box::new(session)),
                nofail,
            };
        }
        let at = place.unwrap_or_else(|| self.put_in(id));
        let (mut nofail, mut attempts) = (false, 0);
        if let Some(slot) = self.slots.get_mut(at) {
            nofail = slot.session.merge(fields, lines, place.is_some(), every);
            slot.session.touched = now;
            attempts = slot.session.matches;
        }
        self.relist(at, place.is_none());
        self.make_room(at, now);
        Merged {
            session: match self.slots.get(at) {
                Some(slot) => Kept::Here(&slot.session),
                None => Kept::Gone(Box::default()),
            },
            nofail,
            attempts,
        }
    }

    /// Where the session `id` is, if it is not over.
    fn known(&mut self, id: &str, now: Timestamp) -> Option<usize> {
        let place = *self.by_id.get(id)?;
        if self.is_over(place, now) {
            self.take_out(place);
            return None;
        }
        Some(place)
    }

    fn is_over(&self, place: usize, now: Timestamp) -> bool {
        self.slots.get(place).is_some_and(|slot| {
            slot.id.is_some() && now.saturating_since(slot.session.touched) > SESSION_TIME_MAX
        })
    }

    /// Begins a session, which [`Sessions::relist`] gives to its holder.
    fn put_in(&mut self, id: &str) -> usize {
        let id: Arc<str> = id.into();
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        if let Some(slot) = self.slots.get_mut(place) {
            slot.id = Some(Arc::clone(&id));
        }
        self.by_id.insert(id, place);
        self.since_sweep += 1;
        place
    }

    /// Forgets a session and returns it.
    fn take_out(&mut self, place: usize) -> Session {
        self.unlist(place);
        let Some(slot) = self.slots.get_mut(place).map(std::mem::take) else {
            return Session::default();
        };
        if let Some(id) = slot.id {
            self.by_id.remove(&id);
        }
        self.free.push(place);
        slot.session
    }

    /// Weighs the session again and gives it to its holder where that has changed.
    fn relist(&mut self, place: usize, is_new: bool) {
        let Some(slot) = self.slots.get(place) else {
            return;
        };
        let id_len = slot.id.as_ref().map_or(0, |id| id.len());
        let bytes = slot.session.weight(id_len);
        let own = self.held.get(slot.holder);
        let same = !is_new && own.is_some_and(|held| slot.session.is_of(&held.holder));
        if same {
            let (holder, before) = (slot.holder, slot.bytes);
            if bytes != before {
                self.weigh(holder, before, bytes);
            }
        } else {
            if !is_new {
                self.unlist(place);
            }
            self.list(place, bytes);
        }
        if let Some(slot) = self.slots.get_mut(place) {
            slot.bytes = bytes;
        }
    }

    /// A holder has `after` bytes where it had `before`.
    fn weigh(&mut self, holder: usize, before: usize, after: usize) {
        self.bytes = (self.bytes + after).saturating_sub(before);
        if let Some(held) = self.held.get_mut(holder) {
            self.by_weight.remove(&(held.bytes, holder));
            held.bytes = (held.bytes + after).saturating_sub(before);
            self.by_weight.insert((held.bytes, holder));
        }
    }

    /// Gives the session to its holder, as the newest.
    fn list(&mut self, place: usize, bytes: usize) {
        let Some(holder) = self.slots.get(place).map(|slot| slot.session.holder()) else {
            return;
        };
        let holder = self.place_of(holder);
        let newest = self.held.get_mut(holder).and_then(|held| {
            held.oldest = held.oldest.or(Some(place));
            held.newest.replace(place)
        });
        if let Some(before) = newest.and_then(|newest| self.slots.get_mut(newest)) {
            before.newer = Some(place);
        }
        if let Some(slot) = self.slots.get_mut(place) {
            (slot.holder, slot.older, slot.newer) = (holder, newest, None);
        }
        self.weigh(holder, 0, bytes);
    }

    fn place_of(&mut self, holder: Holder) -> usize {
        if let Some(place) = self.holders.get(&holder) {
            return *place;
        }
        let held = Held {
            holder: holder.clone(),
            ..Held::default()
        };
        let place = match self.held_free.pop() {
            Some(place) => {
                if let Some(free) = self.held.get_mut(place) {
                    *free = held;
                }
                place
            }
            None => {
                self.held.push(held);
                self.held.len() - 1
            }
        };
        self.holders.insert(holder, place);
        place
    }

    /// Takes the session from its holder.
    fn unlist(&mut self, place: usize) {
        let Some(slot) = self.slots.get(place) else {
            return;
        };
        let (holder, bytes, older, newer) = (slot.holder, slot.bytes, slot.older, slot.newer);
        if let Some(older) = older.and_then(|older| self.slots.get_mut(older)) {
            older.newer = newer;
        }
        if let Some(newer) = newer.and_then(|newer| self.slots.get_mut(newer)) {
            newer.older = older;
        }
        self.weigh(holder, bytes, 0);
        let Some(held) = self.held.get_mut(holder) else {
            return;
        };
        if held.oldest == Some(place) {
            held.oldest = newer;
        }
        if held.newest == Some(place) {
            held.newest = older;
        }
        if held.oldest.is_none() {
            self.by_weight.remove(&(held.bytes, holder));
            self.holders.remove(&held.holder);
            self.held_free.push(holder);
        }
    }

    /// Forgets sessions until all fit, but not the one at `spared`.
    fn make_room(&mut self, spared: usize, now: Timestamp) {
        let full = |sessions: &Self| {
            sessions.by_id.len() > SESSIONS_MAX || sessions.bytes > SESSIONS_BYTES_MAX
        };
        if full(self) && self.since_sweep >= SWEEP_EVERY {
            self.since_sweep = 0;
            self.sweep(spared, now);
        }
        while full(self) {
            let Some(oldest) = self.oldest_of_the_heaviest(spared) else {
                return;
            };
            self.take_out(oldest);
        }
    }

    fn oldest_of_the_heaviest(&self, spared: usize) -> Option<usize> {
        self.by_weight.iter().rev().find_map(|(_, holder)| {
            let oldest = self.held.get(*holder)?.oldest?;
            if oldest == spared {
                return self.slots.get(oldest)?.newer;
            }
            Some(oldest)
        })
    }

    /// Forgets the sessions that are over.
    fn sweep(&mut self, spared: usize, now: Timestamp) {
        for place in 0..self.slots.len() {
            if place != spared && self.is_over(place, now) {
                self.take_out(place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
