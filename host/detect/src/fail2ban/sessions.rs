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

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    by_id: HashMap<Arc<str>, Session>,
    holders: BTreeMap<Holder, Held>,
    /// Holders by what they hold.
    by_weight: BTreeSet<(usize, Holder)>,
    bytes: usize,
    /// Sessions begun so far.
    begun: u64,
    since_sweep: usize,
}

/// Who answers for a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    #[default]
    Nobody,
    /// Nobody yet, but there is a failure already.
    Pending,
    Text(Box<str>),
    Net(u64),
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    /// Sessions by age.
    ages: BTreeMap<u64, Arc<str>>,
}

/// What the lines of a session said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    fields: Vec<Option<Box<str>>>,
    /// All users that were named.
    pub(super) users: BTreeSet<Box<str>>,
    /// A failure was seen and its address was not.
    pending: bool,
    /// Lines that are counted.
    matches: u32,
    /// Lines that are counted once there is a failure.
    waiting: u32,
    touched: Timestamp,
    age: u64,
    bytes: usize,
    holder: Holder,
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
            && !self.users.contains(user)
        {
            self.users.insert(user.into());
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

    fn weight(&self, id: &str) -> usize {
        let fields = self.fields.iter().flatten().map(|text| text.len());
        let users = self.users.iter().map(|user| user.len() + 32);
        SESSION_BYTES_MIN + 2 * id.len() + fields.chain(users).sum::<usize>()
    }

    fn holder(&self) -> Holder {
        let v6 = || self.get(IP6)?.parse::<Ipv6Addr>().ok();
        let text = self.get(IP4).or_else(|| self.get(IP6));
        match text.or_else(|| self.get(DNS)).or_else(|| self.get(FID)) {
            None if self.pending => Holder::Pending,
            None => Holder::Nobody,
            Some(text) => match self.get(IP4).is_none().then(v6).flatten() {
                Some(addr) => Holder::Net(u64::try_from(addr.to_bits() >> 64).unwrap_or(0)),
                None => Holder::Text(text.into()),
            },
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
        let (key, mut session, known) = match self.take(id, now) {
            Some((key, session)) => (key, session, true),
            None => (id.into(), Session::default(), false),
        };
        let nofail = session.merge(fields, lines, known, every);
        session.touched = now;
        let attempts = session.matches;
        let session = if forget {
            if known {
                self.unlist(&session);
            }
            Kept::Gone(Box::new(session))
        } else {
            self.put(&key, session, known);
            match self.by_id.get(&key) {
                Some(session) => Kept::Here(session),
                None => Kept::Gone(Box::default()),
            }
        };
        Merged {
            session,
            nofail,
            attempts,
        }
    }

    /// The session `id`, out of the table but still listed with its holder.
    fn take(&mut self, id: &str, now: Timestamp) -> Option<(Arc<str>, Session)> {
        let (key, session) = self.by_id.remove_entry(id)?;
        if now.saturating_since(session.touched) > SESSION_TIME_MAX {
            self.unlist(&session);
            return None;
        }
        Some((key, session))
    }

    fn put(&mut self, key: &Arc<str>, mut session: Session, listed: bool) {
        let (weight, holder) = (session.weight(key), session.holder());
        if !listed || weight != session.bytes || holder != session.holder {
            if listed {
                self.unlist(&session);
            } else {
                session.age = self.begun;
                self.begun += 1;
                self.since_sweep += 1;
            }
            session.bytes = weight;
            session.holder = holder;
            self.list(key, &session);
            self.make_room(session.age, session.touched);
        }
        self.by_id.insert(Arc::clone(key), session);
    }

    fn list(&mut self, key: &Arc<str>, session: &Session) {
        let held = self.holders.entry(session.holder.clone()).or_default();
        if held.bytes > 0 {
            self.by_weight.remove(&(held.bytes, session.holder.clone()));
        }
        held.bytes += session.bytes;
        held.ages.insert(session.age, Arc::clone(key));
        self.by_weight.insert((held.bytes, session.holder.clone()));
        self.bytes += session.bytes;
    }

    fn unlist(&mut self, session: &Session) {
        let Some(held) = self.holders.get_mut(&session.holder) else {
            return;
        };
        self.by_weight.remove(&(held.bytes, session.holder.clone()));
        held.ages.remove(&session.age);
        held.bytes = held.bytes.saturating_sub(session.bytes);
        self.bytes = self.bytes.saturating_sub(session.bytes);
        if held.ages.is_empty() {
            self.holders.remove(&session.holder);
        } else {
            self.by_weight.insert((held.bytes, session.holder.clone()));
        }
    }

    /// Forgets sessions until all fit, but not the one of age `spared`, which is not in the table.
    fn make_room(&mut self, spared: u64, now: Timestamp) {
        // The one that comes is not in the table yet.
        let full = |sessions: &Self| {
            sessions.by_id.len() >= SESSIONS_MAX || sessions.bytes > SESSIONS_BYTES_MAX
        };
        if full(self) && self.since_sweep >= SWEEP_EVERY {
            self.since_sweep = 0;
            self.sweep(now);
        }
        while full(self) {
            let Some(oldest) = self.oldest_of_the_heaviest(spared) else {
                return;
            };
            if let Some(session) = self.by_id.remove(&oldest) {
                self.unlist(&session);
            }
        }
    }

    fn oldest_of_the_heaviest(&self, spared: u64) -> Option<Arc<str>> {
        self.by_weight.iter().rev().find_map(|(_, holder)| {
            let mut ages = self.holders.get(holder)?.ages.iter();
            let (_, key) = ages.find(|(age, _)| **age != spared)?;
            Some(Arc::clone(key))
        })
    }

    /// Forgets the sessions that are over.
    fn sweep(&mut self, now: Timestamp) {
        let over: Vec<Session> = self
            .by_id
            .extract_if(|_, session| now.saturating_since(session.touched) > SESSION_TIME_MAX)
            .map(|(_, session)| session)
            .collect();
        for session in over {
            self.unlist(&session);
        }
    }
}
