//! Host names in log lines: looked up for jails with `usedns`, so that their addresses count.
//!
//! Who owns a name decides where it leads and how long an answer takes, so names are looked up on
//! threads beside that of the reader, one for each jail, and delay nobody else (ADR 6). Most logs have
//! addresses only; a thread begins with the first name.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use stockade_core::{Escaped, Failure, Failures, JailName, Timestamp};
use stockade_detect::HostNameFailures;
use tokio::sync::mpsc::Sender;

use super::asking::{Asker, Question};
use crate::clock;
use crate::run::Event;

/// Names whose addresses are remembered. fail2ban's value.
const NAMES_MAX: usize = 1_000;
/// How long they are remembered, none at all included. fail2ban's value.
const NAME_TIME: Duration = Duration::from_secs(300);
/// How long the names of one chunk may be looked up. An attacker can write any number of names, each
/// of which takes seconds; those beyond count for nobody, and the log says so.
const CHUNK_TIME_MAX: Duration = Duration::from_secs(20);

/// Chunks of one jail whose names wait. Each keeps its text, a quarter of a megabyte; what comes while
/// so many wait counts for nobody, and the log says so.
const CHUNKS_WAITING_MAX: usize = 8;

/// Looks up the names that one reader finds.
#[derive(Debug)]
pub(super) struct HostNameResolvers {
    /// Jails that want to be told of each name that counts.
    warn: BTreeSet<JailName>,
    threads: BTreeMap<JailName, Resolver>,
    /// What is asked before a failure is counted; then the reader has one jail.
    question: Option<Question>,
    events: Sender<Event>,
    /// Set when the reader is to end: then nothing more is looked up.
    stop: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Resolver {
    waiting: SyncSender<HostNameFailures>,
    thread: JoinHandle<()>,
}

impl HostNameResolvers {
    pub(super) fn new(
        warn: BTreeSet<JailName>,
        question: Option<Question>,
        events: Sender<Event>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            warn,
            threads: BTreeMap::new(),
            question,
            events,
            stop,
        }
    }

    /// Lets the names be looked up, and their failures be counted then. Does not wait.
    pub(super) fn hand_over(&mut self, named: HostNameFailures) {
        let (jail, lines) = (named.jail.clone(), named.items.len());
        let sent = match self.resolver(&jail) {
            Ok(resolver) => resolver.waiting.try_send(named),
            Err(error) => {
                tracing::error!("[{jail}] cannot start a thread for host names: {error}");
                return;
            }
        };
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => not_counted(&jail, lines),
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("[{jail}] the thread for host names had panicked");
                self.threads.remove(&jail);
            }
        }
    }

    fn resolver(&mut self, jail: &JailName) -> io::Result<&Resolver> {
        match self.threads.entry(jail.clone()) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(place) => {
                let (waiting, chunks) = sync_channel::<HostNameFailures>(CHUNKS_WAITING_MAX);
                let mut cache = HostNameCache::new(self.warn.contains(jail));
                let (events, stop) = (self.events.clone(), Arc::clone(&self.stop));
                let question = self.question.clone();
                let asker = |question| Asker::new(question, events.clone(), Arc::clone(&stop));
                let mut asker = question.map(asker);
                let goes_on = move || !stop.load(Ordering::Acquire);
                let thread = std::thread::Builder::new()
                    .name(format!("names-{jail}"))
                    .spawn(move || {
                        for named in chunks {
                            let found = cache.resolve(&named, clock::now, &goes_on, look_up);
                            for event in found.into_iter().flat_map(|it| told(it, &mut asker)) {
                                // The main loop is gone only when the process ends.
                                drop(events.blocking_send(event));
                            }
                        }
                    })?;
                Ok(place.insert(Resolver { waiting, thread }))
            }
        }
    }

    /// Waits until everything that was handed over is counted, by the addresses that are known.
    pub(super) fn finish(self) {
        for (jail, Resolver { waiting, thread }) in self.threads {
            drop(waiting);
            if thread.join().is_err() {
                tracing::error!("[{jail}] the thread for host names had panicked");
            }
        }
    }
}

/// What the main loop is told of failures, after it was asked which of them count.
fn told(failures: Failures, asker: &mut Option<Asker>) -> Vec<Event> {
    let Some(asker) = asker else {
        return vec![Event::NamesResolved(failures)];
    };
    // Names that are still to be asked about when the reader ends count for nobody (ADR 6).
    let sorted = asker.sort(vec![failures], true).unwrap_or_default();
    let counted = sorted.counted.into_iter().map(Event::NamesResolved);
    let spared = sorted.spared.into_iter().map(Event::NamesSpared);
    counted.chain(spared).collect()
}

fn not_counted(jail: &JailName, lines: usize) {
    tracing::warn!(
        "[{jail}] {lines} lines with host names are not counted, because looking them up takes too long"
    );
}

/// The addresses of names.
#[derive(Debug, Default)]
struct HostNameCache {
    known: HashMap<Arc<str>, Known>,
    /// Names by age.
    ages: VecDeque<Arc<str>>,
    warn: bool,
}

#[derive(Debug)]
struct Known {
    addrs: Arc<[IpAddr]>,
    until: Timestamp,
}

impl HostNameCache {
    /// `warn` says that each name that counts is logged.
    fn new(warn: bool) -> Self {
        Self {
            warn,
            ..Self::default()
        }
    }

    /// The failures of the addresses that the names have. `now` tells the time, which goes on while
    /// names are looked up by `look_up`, and `goes_on` whether they still may be.
    fn resolve(
        &mut self,
        named: &HostNameFailures,
        now: impl Fn() -> Timestamp,
        goes_on: impl Fn() -> bool,
        look_up: impl Fn(&str) -> Vec<IpAddr>,
    ) -> Option<Failures> {
        let begun = now();
        let mut items: Vec<Failure> = Vec::new();
        let mut left_out = 0_usize;
        for failure in named.items.iter() {
            let at = now();
            let may_look_up = goes_on() && at.saturating_since(begun) < CHUNK_TIME_MAX;
            let Some(addrs) = self.addrs(&failure.name, at, may_look_up, &look_up) else {
                left_out += 1;
                continue;
            };
            if self.warn && !addrs.is_empty() {
                let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    "[{}] the host name {} in a line counts for {}",
                    named.jail,
                    Escaped(failure.name.as_bytes()),
                    addrs.join(", ")
                );
            }
            items.extend(addrs.iter().map(|addr| failure.of(*addr)));
        }
        if left_out > 0 {
            not_counted(&named.jail, left_out);
        }
        (!items.is_empty()).then(|| Failures {
            jail: named.jail.clone(),
            text: Arc::clone(&named.text),
            items: items.into(),
        })
    }

    /// The addresses of `name`; `None` where they are not known and may not be looked up.
    fn addrs(
        &mut self,
        name: &Arc<str>,
        now: Timestamp,
        may_look_up: bool,
        look_up: impl Fn(&str) -> Vec<IpAddr>,
    ) -> Option<Arc<[IpAddr]>> {
        if let Some(known) = self.known.get(name).filter(|known| now < known.until) {
            return Some(Arc::clone(&known.addrs));
        }
        if !may_look_up {
            return None;
        }
        let addrs: Arc<[IpAddr]> = look_up(name).into();
        let known = Known {
            addrs: Arc::clone(&addrs),
            until: now.saturating_add(NAME_TIME),
        };
        if self.known.insert(Arc::clone(name), known).is_none() {
            self.ages.push_back(Arc::clone(name));
        }
        if self.ages.len() > NAMES_MAX
            && let Some(oldest) = self.ages.pop_front()
        {
            self.known.remove(&oldest);
        }
        Some(addrs)
    }
}

/// Asks the host's resolver; a name that it does not know has no addresses.
fn look_up(name: &str) -> Vec<IpAddr> {
    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let mut addrs: Vec<IpAddr> = found.map(|found| found.ip()).collect();
            addrs.sort_unstable();
            addrs.dedup();
            addrs
        }
        Err(error) => {
            tracing::debug!("cannot look up {}: {error}", Escaped(name.as_bytes()));
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use stockade_core::{JailName, Span};
    use stockade_detect::HostNameFailure;

    use super::*;

    fn named(names: &[&str]) -> HostNameFailures {
        let items = names.iter().map(|name| HostNameFailure {
            name: (*name).into(),
            at: Timestamp::EPOCH,
            line: Span::default(),
            user: None,
        });
        HostNameFailures {
            jail: JailName::try_new("j").unwrap(),
            text: b"".as_slice().into(),
            items: items.collect(),
        }
    }

    #[test]
    fn a_name_counts_for_all_its_addresses_and_is_looked_up_once() {
        let mut cache = HostNameCache::new(true);
        let asked = Cell::new(0);
        let look_up = |name: &str| {
            asked.set(asked.get() + 1);
            match name {
                "two.example" => vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
                _ => Vec::new(),
            }
        };
        let clock = Cell::new(Timestamp::from_secs(1_000));
        let chunk = named(&["two.example", "none.example", "two.example"]);
        let failures = cache
            .resolve(&chunk, || clock.get(), || true, look_up)
            .unwrap();
        assert_eq!((failures.items.len(), asked.get()), (4, 2));
        assert!(
            cache
                .resolve(&named(&["none.example"]), || clock.get(), || true, look_up)
                .is_none()
        );
        clock.set(Timestamp::from_secs(1_300));
        assert!(
            cache
                .resolve(&named(&["two.example"]), || clock.get(), || true, look_up)
                .is_some()
        );
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn names_that_answer_slowly_do_not_hold_up_a_chunk_for_long() {
        let mut cache = HostNameCache::new(false);
        let clock = Cell::new(Timestamp::from_secs(1_000));
        let look_up = |_: &str| {
            clock.set(clock.get().saturating_add(Duration::from_secs(15)));
            vec!["192.0.2.1".parse().unwrap()]
        };
        let chunk = named(&["a.example", "b.example", "c.example", "a.example"]);
        let failures = cache
            .resolve(&chunk, || clock.get(), || true, look_up)
            .unwrap();
        assert_eq!(failures.items.len(), 3, "c is left out, a is known");
    }

    #[test]
    fn no_more_than_so_many_names_are_remembered() {
        let mut cache = HostNameCache::new(false);
        for i in 0..NAMES_MAX + 10 {
            let name = format!("h{i}.example");
            let now = || Timestamp::EPOCH;
            cache.resolve(&named(&[&name]), now, || true, |_| Vec::new());
        }
        assert_eq!(
            (cache.known.len(), cache.ages.len()),
            (NAMES_MAX, NAMES_MAX)
        );
    }

    #[test]
    fn nothing_is_looked_up_any_more_when_the_reader_is_to_end() {
        let mut cache = HostNameCache::new(false);
        let look_up = |_: &str| vec!["192.0.2.1".parse().unwrap()];
        let (known, unknown) = (named(&["a.example"]), named(&["a.example", "b.example"]));
        let now = || Timestamp::EPOCH;
        assert!(cache.resolve(&known, now, || true, look_up).is_some());
        let failures = cache.resolve(&unknown, now, || false, look_up).unwrap();
        assert_eq!(failures.items.len(), 1);
    }

    #[test]
    fn a_reader_hands_names_over_and_everything_is_counted_when_it_ends() {
        let (events, mut happened) = tokio::sync::mpsc::channel(8);
        let stop = Arc::new(AtomicBool::new(false));
        let mut resolvers = HostNameResolvers::new(BTreeSet::new(), None, events, stop);
        // Read as an address, so that nobody is asked.
        resolvers.hand_over(named(&["192.0.2.1"]));
        resolvers.hand_over(named(&["192.0.2.1", "192.0.2.2"]));
        resolvers.finish();
        let mut counted = Vec::new();
        while let Ok(Event::NamesResolved(failures)) = happened.try_recv() {
            counted.push(failures.items.len());
        }
        assert_eq!(counted, [1, 2]);
    }
}
