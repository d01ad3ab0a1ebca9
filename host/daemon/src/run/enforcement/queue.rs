//! What a backend's thread is to do next.
//!
//! Whoever orders never waits: changes that have not been begun are joined, the later of two for one
//! network counts. So the queue holds at most one change for each network that a jail may ban, however
//! long the firewall takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stockade_core::{IpNet, JailName, Timestamp};
use stockade_firewall::{FirewallError, JailRules};
use tokio::sync::oneshot;

use super::{Examination, Inspection};

/// Whom a change is about.
pub(in crate::run) type Key = (JailName, IpNet);

/// Changes by whom they are about.
pub(in crate::run) type Wishes = BTreeMap<Key, Wish>;

/// What should become of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) struct Wish {
    pub(in crate::run) target: Target,
    /// Grows with every wish; an answer is about this one and all before it.
    pub(in crate::run) version: u64,
}

/// Banned or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum Target {
    /// Until then, or for ever.
    Banned(Option<Timestamp>),
    Free,
}

/// What a backend's thread can be asked for.
#[derive(Debug)]
pub(in crate::run) enum Order {
    /// These rules and no others. With bans, these are all that are wanted.
    Configure {
        rules: Vec<JailRules>,
        /// Jails whose bans end the connections that there are.
        ending: BTreeSet<JailName>,
        bans: Option<BTreeMap<Key, Option<Timestamp>>>,
    },
    /// Bans and their ends.
    Apply(Wishes),
    /// Compare with the kernel now.
    Reconcile,
    /// What the kernel holds.
    Inspect(oneshot::Sender<Result<Inspection, FirewallError>>),
    /// Whether bans hold: the rules, and a packet of who is banned for a moment.
    Examine(oneshot::Sender<Result<Examination, FirewallError>>),
    /// Remove everything that is ours.
    Teardown(oneshot::Sender<Result<(), FirewallError>>),
    /// End, and leave everything as it is.
    End,
}

/// Orders that wait.
#[derive(Debug, Default)]
pub(in crate::run) struct Queue {
    orders: Mutex<VecDeque<Order>>,
    added: Condvar,
}

impl Queue {
    pub(in crate::run) fn push(&self, order: Order) {
        let mut orders = self.lock();
        match (orders.back_mut(), order) {
            (Some(Order::Apply(waiting)), Order::Apply(newer)) => waiting.extend(newer),
            (Some(Order::Reconcile), Order::Reconcile) => {}
            (_, order) => orders.push_back(order),
        }
        self.added.notify_one();
    }

    /// The next order; `None` where none comes in time.
    pub(super) fn take(&self, wait: Duration) -> Option<Order> {
        let orders = self.lock();
        let (mut orders, _) = self
            .added
            .wait_timeout_while(orders, wait, |orders| orders.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        orders.pop_front()
    }

    /// Changes, where these are what comes next.
    pub(super) fn take_changes(&self) -> Option<Wishes> {
        let mut orders = self.lock();
        match orders.pop_front()? {
            Order::Apply(wishes) => Some(wishes),
            other => {
                orders.push_front(other);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Order>> {
        // A queue is right after every step, so a panic elsewhere leaves it usable.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(net: &str, target: Target, version: u64) -> Wishes {
        let jail = JailName::try_new("sshd").unwrap();
        BTreeMap::from([((jail, net.parse().unwrap()), Wish { target, version })])
    }

    #[test]
    fn changes_that_wait_are_joined_and_the_later_counts() {
        let queue = Queue::default();
        queue.push(Order::Apply(wish("192.0.2.1/32", Target::Banned(None), 1)));
        queue.push(Order::Apply(wish("192.0.2.2/32", Target::Banned(None), 2)));
        queue.push(Order::Apply(wish("192.0.2.1/32", Target::Free, 3)));
        let joined = queue.take_changes().unwrap();
        let targets: Vec<_> = joined.values().map(|wish| wish.target).collect();
        assert_eq!(targets, [Target::Free, Target::Banned(None)]);
        assert!(queue.take(Duration::ZERO).is_none());
    }

    #[test]
    fn changes_after_new_rules_are_not_joined_with_those_before() {
        let queue = Queue::default();
        queue.push(Order::Apply(wish("192.0.2.1/32", Target::Banned(None), 1)));
        queue.push(Order::Configure {
            rules: Vec::new(),
            ending: BTreeSet::new(),
            bans: None,
        });
        queue.push(Order::Apply(wish("192.0.2.1/32", Target::Free, 2)));
        assert!(queue.take_changes().is_some());
        assert!(queue.take_changes().is_none());
        let next = queue.take(Duration::ZERO);
        assert!(matches!(next, Some(Order::Configure { .. })));
        assert!(queue.take_changes().is_some());
    }
}
