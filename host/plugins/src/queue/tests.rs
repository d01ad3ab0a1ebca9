use super::*;
use crate::action::ActionErrorKind;
use proptest::prelude::*;
use std::collections::HashSet;
use stockade_core::{Ban, FailureId, JailName, Timestamp};

const NOW: Duration = Duration::from_secs(1000);

fn decision(number: u8) -> Decision {
    let ban = Ban {
        jail: JailName::try_new("sshd").unwrap(),
        id: FailureId::parse(&format!("192.0.2.{number}")),
        at: Timestamp::EPOCH,
        until: None,
        failures: 5,
        bancount: 1,
    };
    Decision::new(&ban, [])
}

fn later() -> Result<(), ActionError> {
    let kind = ActionErrorKind::Unavailable;
    Err(ActionError {
        kind,
        message: "away".into(),
        retry: true,
    })
}

fn never() -> Result<(), ActionError> {
    Err(ActionError {
        kind: ActionErrorKind::Denied,
        message: "no".into(),
        retry: false,
    })
}

fn work(order: Order, numbers: &[u8]) -> Option<Work> {
    Some(Work {
        order,
        decisions: numbers.iter().map(|number| decision(*number)).collect(),
    })
}

#[test]
fn decisions_of_one_order_come_out_as_they_came_in() {
    let mut queue = ActionQueue::default();
    queue.push(Order::Apply, decision(1));
    queue.push(Order::Revoke, decision(9));
    queue.push(Order::Apply, decision(2));
    queue.push(Order::Apply, decision(3));
    assert_eq!(queue.take(NOW, 2), work(Order::Apply, &[1, 2]));
    assert_eq!(queue.take(NOW, 2), work(Order::Revoke, &[9]));
    assert_eq!(queue.take(NOW, 2), work(Order::Apply, &[3]));
    assert_eq!(queue.take(NOW, 2), None);
}

#[test]
fn lifting_a_ban_that_was_never_told_needs_no_call() {
    let mut queue = ActionQueue::default();
    queue.push(Order::Apply, decision(1));
    queue.push(Order::Revoke, decision(1));
    assert!(queue.is_empty());
}

#[test]
fn lifting_a_ban_whose_call_may_have_worked_is_told() {
    let mut queue = ActionQueue::default();
    queue.push(Order::Apply, decision(1));
    let taken = queue.take(NOW, 9).unwrap();
    queue.settle(taken, &[later()], NOW);
    queue.push(Order::Revoke, decision(1));
    assert_eq!(queue.take(NOW, 9), work(Order::Revoke, &[1]));
}

#[test]
fn lifting_a_ban_that_is_being_told_waits_for_the_answer() {
    for answer in [Ok(()), later()] {
        let mut queue = ActionQueue::default();
        queue.push(Order::Apply, decision(1));
        let taken = queue.take(NOW, 9).unwrap();
        queue.push(Order::Revoke, decision(1));
        assert_eq!(queue.take(NOW, 9), None);
        queue.settle(taken, &[answer], NOW);
        assert_eq!(queue.take(NOW, 9), work(Order::Revoke, &[1]));
    }
}

#[test]
fn what_is_unavailable_is_tried_again_with_growing_delays() {
    let mut queue = ActionQueue::default();
    queue.push(Order::Apply, decision(1));
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let taken = queue.take(now, 9).unwrap();
        queue.settle(taken, &[later()], now);
        let due = queue.next_due().unwrap();
        assert_eq!(queue.take(due - Duration::from_millis(1), 9), None);
        waits.push((due - now).as_secs());
        now = due;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    let taken = queue.take(now, 9).unwrap();
    queue.settle(taken, &[Ok(())], now);
    assert!(queue.is_empty() && queue.next_due().is_none());
}

#[test]
fn what_is_refused_for_good_is_not_tried_again() {
    let mut queue = ActionQueue::default();
    queue.push(Order::Apply, decision(1));
    let taken = queue.take(NOW, 9).unwrap();
    queue.settle(taken, &[never()], NOW);
    assert!(queue.is_empty());
}

#[test]
fn a_full_queue_loses_decisions_and_asks_for_all_to_be_told_anew() {
    let mut queue = ActionQueue::new(2);
    for number in 1..=3 {
        queue.push(Order::Apply, decision(number));
    }
    assert_eq!(queue.len(), 2);
    assert!(queue.needs_reconcile());
    let active = [decision(1), decision(2), decision(3)];
    queue.reconciled(&active, &[Ok(()), later(), never()], NOW);
    assert!(!queue.needs_reconcile());
    assert_eq!(queue.take(NOW, 9), None);
    assert_eq!(queue.take(NOW + BACKOFF_FIRST, 9), work(Order::Apply, &[2]));
}

proptest! {
    /// Whatever is pushed in whatever order with whatever answers: when all has settled, the other
    /// side is as the last order for each ban says.
    #[test]
    fn the_other_side_ends_as_the_last_orders_say(
        steps in proptest::collection::vec((0_u8..4, any::<bool>(), 0_u8..4), 0..60)
    ) {
        let mut queue = ActionQueue::default();
        let (mut wanted, mut actual) = (HashSet::new(), HashSet::new());
        let mut now = NOW;
        let mut taken: Option<Work> = None;
        for (number, flag, step) in steps {
            match step {
                0 | 1 if flag => {
                    if wanted.insert(number) {
                        queue.push(Order::Apply, decision(number));
                    }
                }
                0 | 1 => {
                    if wanted.remove(&number) {
                        queue.push(Order::Revoke, decision(number));
                    }
                }
                2 if taken.is_none() => taken = queue.take(now, 2),
                _ => {
                    if let Some(work) = taken.take() {
                        // The call has its effect also where its answer was lost.
                        carry_out(&mut actual, &work);
                        let answer = if flag { Ok(()) } else { later() };
                        let results = vec![answer; work.decisions.len()];
                        queue.settle(work, &results, now);
                    }
                }
            }
            now += Duration::from_secs(1);
        }
        if let Some(work) = taken {
            let results = vec![later(); work.decisions.len()];
            queue.settle(work, &results, now);
        }
        while let Some(due) = queue.next_due() {
            now = now.max(due);
            let work = queue.take(now, 3).unwrap();
            carry_out(&mut actual, &work);
            let results = vec![Ok(()); work.decisions.len()];
            queue.settle(work, &results, now);
        }
        let wanted: HashSet<String> =
            wanted.into_iter().map(|number| decision(number).key().to_owned()).collect();
        prop_assert_eq!(actual, wanted);
    }
}

fn carry_out(actual: &mut HashSet<String>, work: &Work) {
    for decision in &work.decisions {
        match work.order {
            Order::Apply => actual.insert(decision.key().to_owned()),
            Order::Revoke => actual.remove(decision.key()),
        };
    }
}
