//! Finds the items of a batch that a plugin cannot bear. Pure: the call is passed in.

use std::ops::Range;

/// What to do after a fault that was found to belong to one item, or to none.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on with the rest of the batch.
    GoOn,
    /// Make no more calls.
    Stop,
}

/// Why a call did not answer.
#[derive(Debug)]
pub(crate) enum Failed<F> {
    /// Because of an item, as far as one can know.
    Items(F),
    /// Because of something else; more calls are no use.
    Broken(F),
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Isolation<T, F> {
    /// Results, in the order of the items.
    pub(crate) judged: Vec<(Range<usize>, T)>,
    /// The items that fail alone, with how they fail, in order.
    pub(crate) poison: Vec<(usize, F)>,
    /// What made more calls useless, if something did; nobody was told of it yet.
    pub(crate) failed_with: Option<F>,
    /// Items that were not tried any more, in order.
    pub(crate) untried: Vec<Range<usize>>,
}

/// Calls for all of `0..len` and, where that faults, for its halves, down to one item.
///
/// `judge` must repair what a fault broke before it returns. `attribute` hears of each fault once:
/// with the item that alone causes it, or with `None` for a fault that no item alone causes again.
/// The faults on the way down to an item are that item's and are not counted again: a poison item is
/// one fault, not one for each halving.
pub(crate) fn isolate<T, F>(
    len: usize,
    mut judge: impl FnMut(Range<usize>) -> Result<T, Failed<F>>,
    mut attribute: impl FnMut(Option<usize>, &F) -> Next,
) -> Isolation<T, F> {
    let mut isolation = Isolation {
        judged: Vec::new(),
        poison: Vec::new(),
        failed_with: None,
        untried: Vec::new(),
    };
    let mut todo = Vec::new();
    if len > 0 {
        todo.push(0..len);
    }
    // The fault whose item is not found yet, and where the range ends in which it must be.
    let mut open: Option<(F, usize)> = None;
    while let Some(range) = todo.pop() {
        match judge(range.clone()) {
            Ok(result) => isolation.judged.push((range.clone(), result)),
            Err(Failed::Items(fault)) if range.len() > 1 => {
                let middle = range.start.midpoint(range.end);
                todo.push(middle..range.end);
                todo.push(range.start..middle);
                let end = open.take().map_or(range.end, |(_, end)| end);
                open = Some((fault, end));
                continue;
            }
            Err(Failed::Items(fault)) => {
                open = None;
                let next = attribute(Some(range.start), &fault);
                isolation.poison.push((range.start, fault));
                if next == Next::Stop {
                    break;
                }
            }
            Err(Failed::Broken(fault)) => {
                isolation.failed_with = Some(fault);
                todo.push(range);
                break;
            }
        }
        let passed = open.as_ref().is_some_and(|(_, end)| range.end >= *end);
        if passed
            && let Some((fault, _)) = open.take()
            && attribute(None, &fault) == Next::Stop
        {
            break;
        }
    }
    isolation.untried = todo;
    isolation.untried.reverse();
    isolation
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Counted = (Isolation<(), ()>, Vec<Option<usize>>, usize);

    /// Isolates with calls that fault whenever the range holds one of `poison`.
    fn run(len: usize, poison: &[usize], stop_after: usize) -> Counted {
        let mut attributed = Vec::new();
        let mut calls = 0;
        let isolation = isolate(
            len,
            |range| {
                calls += 1;
                if poison.iter().any(|item| range.contains(item)) {
                    Err(Failed::Items(()))
                } else {
                    Ok(())
                }
            },
            |item, ()| {
                attributed.push(item);
                if attributed.len() == stop_after {
                    Next::Stop
                } else {
                    Next::GoOn
                }
            },
        );
        (isolation, attributed, calls)
    }

    #[test]
    fn one_poison_item_of_256_is_one_fault_in_17_calls() {
        let (isolation, attributed, calls) = run(256, &[77], 9);
        assert_eq!(attributed, [Some(77)]);
        assert_eq!(calls, 17);
        let judged: usize = isolation.judged.iter().map(|(range, ())| range.len()).sum();
        assert_eq!(judged, 255);
    }

    #[test]
    fn a_fault_that_does_not_repeat_is_attributed_to_nobody() {
        let mut first = true;
        let mut attributed = Vec::new();
        let isolation = isolate(
            8,
            |_| {
                if std::mem::take(&mut first) {
                    Err(Failed::Items(()))
                } else {
                    Ok(())
                }
            },
            |item, ()| {
                attributed.push(item);
                Next::GoOn
            },
        );
        assert_eq!(attributed, [None]);
        assert_eq!(isolation.judged.len(), 2);
        assert!(isolation.poison.is_empty() && isolation.untried.is_empty());
    }

    #[test]
    fn after_a_stop_the_rest_is_untried() {
        let (isolation, attributed, _) = run(8, &[0, 1, 2, 3, 4, 5, 6, 7], 3);
        assert_eq!(attributed, [Some(0), Some(1), Some(2)]);
        assert_eq!(isolation.untried, [3..4, 4..8]);
        let (isolation, attributed, calls) = run(0, &[], 3);
        assert!(isolation.judged.is_empty() && attributed.is_empty() && calls == 0);
    }

    #[test]
    fn where_the_plugin_itself_is_broken_nothing_more_is_tried() {
        let mut calls = 0;
        let isolation = isolate::<(), _>(
            8,
            |_| {
                calls += 1;
                if calls == 1 {
                    Err(Failed::Items('a'))
                } else {
                    Err(Failed::Broken('b'))
                }
            },
            |_, _| panic!("no item is to blame"),
        );
        assert_eq!((calls, isolation.failed_with), (2, Some('b')));
        assert_eq!(isolation.untried, [0..4, 4..8]);
    }

    proptest! {
        #[test]
        fn each_item_is_judged_or_poison_exactly_once_and_in_order(
            len in 0_usize..300,
            poison in proptest::collection::btree_set(0_usize..300, 0..10),
        ) {
            let poison: Vec<usize> = poison.into_iter().filter(|item| *item < len).collect();
            let (isolation, attributed, _) = run(len, &poison, usize::MAX);
            let found: Vec<usize> = isolation.poison.iter().map(|(item, ())| *item).collect();
            prop_assert_eq!(&found, &poison);
            let items: Vec<usize> = attributed.into_iter().flatten().collect();
            prop_assert_eq!(&items, &poison);
            let judged: Vec<usize> =
                isolation.judged.iter().flat_map(|(range, ())| range.clone()).collect();
            let expected: Vec<usize> = (0..len).filter(|item| !poison.contains(item)).collect();
            prop_assert_eq!(judged, expected);
        }
    }
}
