//! Host names in log lines: looked up for jails with `usedns`, so that their addresses count.
//!
//! Who owns a name decides where it leads and how long an answer takes, so such a jail has a reader
//! of its own, which delays nobody else.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use stockade_core::{Escaped, Failure, Failures, Timestamp};
use stockade_detect::HostNameFailures;

/// Names whose addresses are remembered. fail2ban's value.
const NAMES_MAX: usize = 1_000;
/// How long they are remembered, none at all included. fail2ban's value.
const NAME_TIME: Duration = Duration::from_secs(300);
/// How long the names of one chunk may be looked up. An attacker can write any number of names, each
/// of which takes seconds; those beyond count for nobody, and the log says so.
const CHUNK_TIME_MAX: Duration = Duration::from_secs(20);

/// The addresses of names.
#[derive(Debug, Default)]
pub(in crate::run) struct HostNameCache {
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
    pub(super) fn new(warn: bool) -> Self {
        Self {
            warn,
            ..Self::default()
        }
    }

    /// The failures of the addresses that the names have. `now` tells the time, which goes on while
    /// names are looked up by `look_up`.
    pub(super) fn resolve(
        &mut self,
        named: &HostNameFailures,
        now: impl Fn() -> Timestamp,
        look_up: impl Fn(&str) -> Vec<IpAddr>,
    ) -> Option<Failures> {
        let begun = now();
        let mut items: Vec<Failure> = Vec::new();
        let mut left_out = 0_usize;
        for failure in named.items.iter() {
            let at = now();
            let in_time = at.saturating_since(begun) < CHUNK_TIME_MAX;
            let Some(addrs) = self.addrs(&failure.name, at, in_time, &look_up) else {
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
            tracing::warn!(
                "[{}] {left_out} lines with host names are not counted, because looking them up takes too long",
                named.jail
            );
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
pub(super) fn look_up(name: &str) -> Vec<IpAddr> {
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
        let failures = cache.resolve(&chunk, || clock.get(), look_up).unwrap();
        assert_eq!((failures.items.len(), asked.get()), (4, 2));
        assert!(
            cache
                .resolve(&named(&["none.example"]), || clock.get(), look_up)
                .is_none()
        );
        clock.set(Timestamp::from_secs(1_300));
        assert!(
            cache
                .resolve(&named(&["two.example"]), || clock.get(), look_up)
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
        let failures = cache.resolve(&chunk, || clock.get(), look_up).unwrap();
        assert_eq!(failures.items.len(), 3, "c is left out, a is known");
    }

    #[test]
    fn no_more_than_so_many_names_are_remembered() {
        let mut cache = HostNameCache::new(false);
        for i in 0..NAMES_MAX + 10 {
            let name = format!("h{i}.example");
            cache.resolve(&named(&[&name]), || Timestamp::EPOCH, |_| Vec::new());
        }
        assert_eq!(
            (cache.known.len(), cache.ages.len()),
            (NAMES_MAX, NAMES_MAX)
        );
    }
}
