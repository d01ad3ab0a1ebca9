//! The decisions that wait for an action. Pure: time is passed in, as the duration since an arbitrary
//! point.
//!
//! The queue keeps for each ban what it should be at the other side, and not a list of calls: a ban
//! that is lifted before it was ever told needs no call at all, and one that was told and is then
//! lifted needs the lifting only. So calls about one ban cannot pass each other.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::action::ActionError;
use crate::decision::Decision;

/// What is to be done with decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Put them into force.
    Apply,
    /// Lift them.
    Revoke,
}

/// Decisions to hand to the plugin in one call. [`ActionQueue::settle`] takes it back.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// What is to be done.
    pub order: Order,
    /// With these, in the order in which they came.
    pub decisions: Vec<Decision>,
}

/// The decisions of one action, in the order in which they came, those put off aside.
#[derive(Debug)]
pub struct ActionQueue {
    capacity: usize,
    /// By a running number, so that iteration is in order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    by_key: HashMap<String, u64>,
    /// Handed out, with what came meanwhile.
    out: HashMap<String, Out>,
    next: u64,
    lost: bool,
}

#[derive(Debug)]
struct Waiting {
    order: Order,
    decision: Decision,
    /// Not before then.
    due: Duration,
    tries: u32,
    /// The other side may know of it.
    is_told: bool,
}

#[derive(Debug)]
struct Out {
    tries: u32,
    newer: Option<(Order, Decision)>,
}

/// The first wait after an `unavailable`; each further one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// A service that was away for a day must not be away for another hour to us.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

impl ActionQueue {
    /// An hour of one ban a second and its lifting, in some 10 MB.
    pub const CAPACITY: usize = 10_000;

    /// An empty queue for at most `capacity` decisions.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            waiting: BTreeMap::new(),
            by_key: HashMap::new(),
            out: HashMap::new(),
            next: 0,
            lost: false,
        }
    }

    /// Adds a decision. It takes the place of what waits for the same ban.
    ///
    /// Where the queue is full the decision is not kept and [`ActionQueue::needs_reconcile`] becomes
    /// true: telling all bans anew repairs any loss, in one call.
    pub fn push(&mut self, order: Order, decision: Decision) {
        if let Some(out) = self.out.get_mut(decision.key()) {
            out.newer = Some((order, decision));
            return;
        }
        if let Some(number) = self.by_key.get(decision.key()).copied() {
            let Some(waiting) = self.waiting.get_mut(&number) else {
                return;
            };
            if order == Order::Revoke && !waiting.is_told {
                self.by_key.remove(decision.key());
                self.waiting.remove(&number);
            } else if waiting.order != order {
                *waiting = Waiting {
                    order,
                    decision,
                    due: Duration::ZERO,
                    tries: 0,
                    is_told: true,
                };
            }
            return;
        }
        // A lifting without a ban that waits is of one that was told.
        self.insert(Waiting {
            order,
            decision,
            due: Duration::ZERO,
            tries: 0,
            is_told: order == Order::Revoke,
        });
    }

    fn insert(&mut self, waiting: Waiting) {
        if self.len() >= self.capacity {
            self.lost = true;
            return;
        }
        self.by_key
            .insert(waiting.decision.key().to_owned(), self.next);
        self.waiting.insert(self.next, waiting);
        self.next = self.next.saturating_add(1);
    }

    /// At most `max` decisions of one order that are due at `now`, oldest first; `None` where there are
    /// none. Hand the results to [`ActionQueue::settle`].
    pub fn take(&mut self, now: Duration, max: usize) -> Option<Work> {
        let is_due = |waiting: &Waiting| waiting.due <= now;
        let order = self.waiting.values().find(|waiting| is_due(waiting))?.order;
        let numbers: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| is_due(waiting) && waiting.order == order)
            .map(|(number, _)| *number)
            .take(max)
            .collect();
        let mut decisions = Vec::with_capacity(numbers.len());
        for number in numbers {
            let Some(waiting) = self.waiting.remove(&number) else {
                continue;
            };
            let key = waiting.decision.key();
            self.by_key.remove(key);
            self.out.insert(
                key.to_owned(),
                Out {
                    tries: waiting.tries,
                    newer: None,
                },
            );
            decisions.push(waiting.decision);
        }
        Some(Work { order, decisions })
    }

    /// Takes back what [`ActionQueue::take`] gave, with a result for each. What may be tried again
    /// waits; the others are done, one way or the other.
    pub fn settle(&mut self, work: Work, results: &[Result<(), ActionError>], now: Duration) {
        for (index, decision) in work.decisions.into_iter().enumerate() {
            let Some(out) = self.out.remove(decision.key()) else {
                continue;
            };
            let is_retried = match results.get(index) {
                Some(Ok(())) => false,
                Some(Err(error)) => error.retry,
                None => true,
            };
            let tries = out.tries.saturating_add(1);
            match out.newer {
                // The ban may be in force, although the call failed.
                Some((order, newer)) if is_retried || order != work.order => {
                    self.insert(Waiting {
                        order,
                        decision: newer,
                        due: Duration::ZERO,
                        tries: 0,
                        is_told: true,
                    });
                }
                _ if is_retried => {
                    let due = now.saturating_add(backoff(tries));
                    self.insert(Waiting {
                        order: work.order,
                        decision,
                        due,
                        tries,
                        is_told: true,
                    });
                }
                _ => {}
            }
        }
    }

    /// When the next decision that was put off is due; `None` where nothing waits.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.values().map(|waiting| waiting.due).min()
    }

    /// Whether decisions were lost, so that all bans have to be told anew.
    #[must_use]
    pub fn needs_reconcile(&self) -> bool {
        self.lost
    }

    /// All bans were told anew: what waits is in that already. Those of `results` that may be tried
    /// again wait to be applied.
    pub fn reconciled(
        &mut self,
        active: &[Decision],
        results: &[Result<(), ActionError>],
        now: Duration,
    ) {
        self.waiting.clear();
        self.by_key.clear();
        self.lost = false;
        for (decision, result) in active.iter().zip(results) {
            if result.as_ref().is_err_and(|error| error.retry) {
                let due = now.saturating_add(backoff(1));
                let (order, decision) = (Order::Apply, decision.clone());
                self.insert(Waiting {
                    order,
                    decision,
                    due,
                    tries: 1,
                    is_told: true,
                });
            }
        }
    }

    /// How many decisions wait or are handed out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.out.len())
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for ActionQueue {
    fn default() -> Self {
        Self::new(Self::CAPACITY)
    }
}

fn backoff(tries: u32) -> Duration {
    let doublings = tries.saturating_sub(1);
    BACKOFF_FIRST
        .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
        .min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests;
