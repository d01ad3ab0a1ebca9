//! Decisions that are told when the firewall has carried them out.

use std::collections::{BTreeMap, BTreeSet};

use stockade_core::{Ban, FailureId, JailName, UnbanReason};

use super::BackendId;
use super::queue::Key;

/// A decision to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::run) enum News {
    /// A new ban with the lines that led to it.
    Banned(Ban, Vec<Vec<u8>>),
    /// One of an earlier run.
    Restored(Ban),
    /// One that ends later now.
    Prolonged(Ban),
    /// One that is over.
    Unbanned(Ban, UnbanReason),
}

impl News {
    pub(in crate::run) fn ban(&self) -> &Ban {
        match self {
            Self::Banned(ban, _)
            | Self::Restored(ban)
            | Self::Prolonged(ban)
            | Self::Unbanned(ban, _) => ban,
        }
    }
}

/// What waits for backends.
#[derive(Debug, Default)]
pub(in crate::run) struct Pending {
    waiting: BTreeMap<Key, Vec<Waiting>>,
    version: u64,
}

#[derive(Debug)]
struct Waiting {
    news: News,
    version: u64,
    /// Backends that have not answered yet.
    asked: BTreeSet<BackendId>,
    /// Backends that could not do it yet.
    refused: BTreeSet<BackendId>,
}

impl Waiting {
    fn is_done(&self) -> bool {
        self.asked.is_empty() && self.refused.is_empty()
    }
}

impl Pending {
    /// Takes up a decision that these backends are told of; the version of the wish.
    pub(in crate::run) fn expect(&mut self, key: Key, news: News, backends: &[BackendId]) -> u64 {
        self.version += 1;
        self.waiting.entry(key).or_default().push(Waiting {
            news,
            version: self.version,
            asked: backends.iter().copied().collect(),
            refused: BTreeSet::new(),
        });
        self.version
    }

    /// A backend has carried out these wishes and all before them.
    pub(in crate::run) fn done(&mut self, by: BackendId, keys: &[(Key, u64)]) -> Vec<News> {
        for (key, version) in keys {
            for waiting in self.up_to(key, *version) {
                waiting.asked.remove(&by);
                waiting.refused.remove(&by);
            }
        }
        self.take_done(keys.iter().map(|(key, _)| key.clone()).collect())
    }

    /// A backend could not carry out these wishes; it tries again.
    pub(in crate::run) fn refused(&mut self, by: BackendId, keys: &[(Key, u64)]) {
        for (key, version) in keys {
            for waiting in self.up_to(key, *version) {
                if waiting.asked.remove(&by) {
                    waiting.refused.insert(by);
                }
            }
        }
    }

    /// A backend agrees with what is wanted again.
    pub(in crate::run) fn recovered(&mut self, backend: BackendId) -> Vec<News> {
        let mut changed = BTreeSet::new();
        for (key, waiting) in &mut self.waiting {
            for waiting in waiting {
                if waiting.refused.remove(&backend) {
                    changed.insert(key.clone());
                }
            }
        }
        self.take_done(changed)
    }

    /// A backend is not used any more.
    pub(in crate::run) fn forget(&mut self, backend: BackendId) -> Vec<News> {
        for waiting in self.waiting.values_mut().flatten() {
            waiting.asked.remove(&backend);
            waiting.refused.remove(&backend);
        }
        let all = self.waiting.keys().cloned().collect();
        self.take_done(all)
    }

    /// Whether a backend has not answered for something.
    pub(in crate::run) fn is_asking(&self) -> bool {
        let mut waiting = self.waiting.values().flatten();
        waiting.any(|waiting| !waiting.asked.is_empty())
    }

    /// The backends that could not carry out what was decided for this id.
    pub(in crate::run) fn refused_by(&self, jail: &JailName, id: &FailureId) -> Vec<BackendId> {
        let waiting = id
            .network()
            .and_then(|net| self.waiting.get(&(jail.clone(), net)));
        let refused = waiting.into_iter().flatten().flat_map(|w| &w.refused);
        refused.copied().collect()
    }

    fn up_to(&mut self, key: &Key, version: u64) -> impl Iterator<Item = &mut Waiting> {
        let waiting = self.waiting.get_mut(key).into_iter().flatten();
        waiting.take_while(move |waiting| waiting.version <= version)
    }

    /// What is done of these, in the order in which it was decided.
    fn take_done(&mut self, keys: BTreeSet<Key>) -> Vec<News> {
        let mut done = Vec::new();
        for key in keys {
            let Some(waiting) = self.waiting.get_mut(&key) else {
                continue;
            };
            // A later decision is not told before an earlier one for the same network.
            let count = waiting.iter().take_while(|waiting| waiting.is_done());
            let count = count.count();
            done.extend(waiting.drain(..count));
            if waiting.is_empty() {
                self.waiting.remove(&key);
            }
        }
        done.sort_by_key(|waiting| waiting.version);
        done.into_iter().map(|waiting| waiting.news).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_core::{IpNet, Timestamp};

    const A: BackendId = BackendId(1);
    const B: BackendId = BackendId(2);

    fn key(net: &str) -> Key {
        (JailName::try_new("sshd").unwrap(), net.parse().unwrap())
    }

    fn news(net: &str) -> News {
        let net: IpNet = net.parse().unwrap();
        News::Restored(Ban {
            jail: JailName::try_new("sshd").unwrap(),
            id: FailureId::from_net(net),
            at: Timestamp::EPOCH,
            until: None,
            failures: 0,
            bancount: 1,
        })
    }

    #[test]
    fn a_ban_is_told_when_all_its_backends_have_it() {
        let mut pending = Pending::default();
        let (one, two) = ("192.0.2.1/32", "192.0.2.2/32");
        let first = pending.expect(key(two), news(two), &[A, B]);
        let second = pending.expect(key(one), news(one), &[A]);
        assert!(pending.is_asking());
        let both = [(key(two), first), (key(one), second)];
        assert_eq!(pending.done(A, &both), [news(one)]);
        assert_eq!(pending.done(B, &[(key(two), first)]), [news(two)]);
        assert!(!pending.is_asking());
    }

    #[test]
    fn an_answer_to_an_earlier_wish_does_not_tell_a_later_one() {
        let mut pending = Pending::default();
        let net = "192.0.2.1/32";
        let first = pending.expect(key(net), news(net), &[A]);
        let second = pending.expect(key(net), news(net), &[A]);
        assert_eq!(pending.done(A, &[(key(net), first)]).len(), 1);
        assert!(pending.is_asking());
        assert_eq!(pending.done(A, &[(key(net), second)]).len(), 1);
    }

    #[test]
    fn what_was_refused_is_told_after_recovery_or_when_the_backend_is_gone() {
        let mut pending = Pending::default();
        let net = "192.0.2.1/32";
        let jail = JailName::try_new("sshd").unwrap();
        let id = FailureId::from_net(net.parse().unwrap());
        let version = pending.expect(key(net), news(net), &[A, B]);
        pending.refused(A, &[(key(net), version)]);
        pending.refused(B, &[(key(net), version)]);
        assert!(!pending.is_asking());
        assert_eq!(pending.refused_by(&jail, &id), [A, B]);
        assert_eq!(pending.recovered(A), []);
        assert_eq!(pending.forget(B), [news(net)]);
        assert_eq!(pending.refused_by(&jail, &id), []);
    }
}
