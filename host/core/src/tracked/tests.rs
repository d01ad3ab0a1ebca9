use std::num::NonZeroU32;

use super::*;

const ROOMY: usize = 1000;

fn rule() -> WindowRule {
    WindowRule {
        findtime: Duration::from_secs(600),
        maxretry: NonZeroU32::new(50).unwrap(),
    }
}

fn id(name: &str) -> FailureId {
    FailureId::parse(name)
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn record(tracked: &mut TrackedIds, name: &str, secs: i64, max: usize) {
    let limits = Limits {
        tracked_ids_max: max,
        matches_bytes_max: 10,
        ..Limits::default()
    };
    let how = Counting {
        rule: rule(),
        maxmatches: 5,
        limits: &limits,
        now: at(secs),
    };
    let attempt = Attempt {
        id: &id(name),
        at: at(secs),
        weight: 1,
        line: b"12345",
    };
    assert!(tracked.record(&attempt, &how) > 0);
}

fn names(tracked: &TrackedIds) -> Vec<String> {
    let mut names: Vec<String> = tracked
        .entries()
        .map(|entry| entry.id.to_string())
        .collect();
    names.sort_unstable();
    names
}

fn changes(tracked: &mut TrackedIds) -> Vec<(String, Vec<Timestamp>)> {
    let mut changes = Vec::new();
    tracked.take_changed(&JailName::try_new("sshd").unwrap(), &mut changes);
    let mut changes: Vec<_> = changes
        .into_iter()
        .map(|change| (change.id.to_string(), change.times))
        .collect();
    changes.sort_unstable();
    changes
}

#[test]
fn a_flood_of_single_attempts_pushes_out_itself_and_not_who_is_close_to_a_ban() {
    let mut tracked = TrackedIds::new();
    record(&mut tracked, "close", 0, 3);
    record(&mut tracked, "close", 1, 3);
    for n in 0..100 {
        record(&mut tracked, &format!("flood{n}"), 2, 3);
    }
    assert_eq!(names(&tracked), ["close", "flood98", "flood99"]);
    assert_eq!(tracked.forgotten, 98);
    assert_eq!(tracked.slots.len(), 3);
}

#[test]
fn of_ids_with_equally_many_attempts_the_one_longest_silent_is_forgotten() {
    let mut tracked = TrackedIds::new();
    for name in ["a", "b", "c", "a", "b", "c", "a"] {
        record(&mut tracked, name, 5, 3);
    }
    // b and c have two attempts, and b was silent for longer.
    record(&mut tracked, "d", 6, 3);
    assert_eq!(names(&tracked), ["a", "c", "d"]);
}

#[test]
fn an_id_with_more_attempts_than_there_are_ranks_stays_findable() {
    let mut tracked = TrackedIds::new();
    for n in 0..40 {
        record(&mut tracked, "many", n, 2);
    }
    record(&mut tracked, "new", 50, 2);
    record(&mut tracked, "newer", 51, 2);
    assert_eq!(names(&tracked), ["many", "newer"]);
}

#[test]
fn each_changed_id_is_told_once() {
    let mut tracked = TrackedIds::new();
    record(&mut tracked, "a", 1, ROOMY);
    record(&mut tracked, "a", 2, ROOMY);
    record(&mut tracked, "b", 3, ROOMY);
    let expected = [
        ("a".to_owned(), vec![at(1), at(2)]),
        ("b".to_owned(), vec![at(3)]),
    ];
    assert_eq!(changes(&mut tracked), expected);
    assert_eq!(changes(&mut tracked), []);
}

#[test]
fn an_id_that_is_forgotten_is_told_as_empty_if_the_store_has_it() {
    let mut tracked = TrackedIds::new();
    record(&mut tracked, "stored", 1, ROOMY);
    assert_eq!(changes(&mut tracked).len(), 1);
    record(&mut tracked, "unknown to the store", 1, ROOMY);
    assert!(tracked.remove(&id("stored")).is_some());
    assert!(tracked.remove(&id("unknown to the store")).is_some());
    assert_eq!(changes(&mut tracked), [("stored".to_owned(), vec![])]);
}

#[test]
fn an_id_that_comes_back_before_the_store_was_told_is_told_only_as_it_is_now() {
    let mut tracked = TrackedIds::new();
    record(&mut tracked, "a", 1, ROOMY);
    assert_eq!(changes(&mut tracked).len(), 1);
    tracked.remove(&id("a"));
    record(&mut tracked, "a", 9, ROOMY);
    assert_eq!(changes(&mut tracked), [("a".to_owned(), vec![at(9)])]);
    tracked.remove(&id("a"));
    assert_eq!(changes(&mut tracked), [("a".to_owned(), vec![])]);
}

#[test]
fn a_flood_that_nobody_takes_leaves_a_bounded_list_of_changes() {
    let mut tracked = TrackedIds::new();
    for n in 0..1000 {
        record(&mut tracked, &format!("flood{n}"), n, 4);
    }
    assert!(tracked.changed.len() <= 4);
    assert!(tracked.gone.is_empty());
}

#[test]
fn an_attack_that_is_over_leaves_no_memory_behind() {
    let mut tracked = TrackedIds::new();
    for n in 0..1000 {
        record(&mut tracked, &format!("flood{n}"), n, ROOMY);
    }
    changes(&mut tracked);
    tracked.retain(|_, _| false);
    assert_eq!(
        (
            tracked.len(),
            tracked.slots.capacity(),
            tracked.by_id.capacity()
        ),
        (0, 0, 0)
    );
    record(&mut tracked, "next", 1, ROOMY);
    assert_eq!(names(&tracked), ["next"]);
}

#[test]
fn lines_beyond_the_limit_for_all_ids_are_dropped_and_counted() {
    let mut tracked = TrackedIds::new();
    record(&mut tracked, "a", 1, ROOMY);
    record(&mut tracked, "b", 1, ROOMY);
    assert_eq!(tracked.matches_dropped, 1);
    assert_eq!(tracked.remove(&id("a")).unwrap().into_lines(), [b"12345"]);
    record(&mut tracked, "b", 2, ROOMY);
    assert_eq!(tracked.remove(&id("b")).unwrap().into_lines(), [b"12345"]);
    assert_eq!(tracked.matches_bytes, 0);
}
