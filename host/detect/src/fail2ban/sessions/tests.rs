use proptest::prelude::*;

use super::super::fields::Names;
use super::*;

/// A line of the session `id` that says these fields.
fn add(sessions: &mut Sessions, id: &str, said: &[(usize, &str)], at_s: i64) -> (bool, u32) {
    let mut fields = Names::new().fields();
    for (place, text) in said {
        fields.set(*place, Some((*text).into()));
    }
    let merged = sessions.merge(id, &fields, 1, Timestamp::from_secs(at_s), false);
    (merged.nofail, merged.attempts)
}

/// What is known twice must be the same.
fn check(sessions: &Sessions) {
    let used = sessions.slots.iter().filter(|slot| slot.id.is_some());
    assert_eq!(used.clone().count(), sessions.by_id.len());
    assert_eq!(used.map(|slot| slot.bytes).sum::<usize>(), sessions.bytes);
    assert_eq!(sessions.by_weight.len(), sessions.holders.len());
    let mut listed = 0;
    #[expect(clippy::iter_over_hash_type, reason = "the order does not matter")]
    for (holder, place) in &sessions.holders {
        let held = &sessions.held[*place];
        assert_eq!(held.holder, *holder);
        assert!(sessions.by_weight.contains(&(held.bytes, *place)));
        let (mut next, mut before, mut bytes) = (held.oldest, None, 0);
        while let Some(at) = next {
            let slot = &sessions.slots[at];
            assert_eq!((slot.holder, slot.older), (*place, before));
            assert_eq!(slot.session.holder(), *holder);
            assert!(slot.session.is_of(holder));
            (next, before, bytes, listed) = (slot.newer, next, bytes + slot.bytes, listed + 1);
        }
        assert_eq!((held.newest, held.bytes), (before, bytes));
    }
    assert_eq!(listed, sessions.by_id.len());
}

proptest! {
    #[test]
    fn whatever_happens_every_session_is_with_its_holder(
        lines in prop::collection::vec(
            (0..6_u8, prop::sample::select(vec![
                (IP4, "192.0.2.1"), (IP4, "192.0.2.2"), (IP6, "2001:db8::1"), (IP6, "2001:db8::2"),
                (DNS, "a.example"), (FID, "x"), (USER, "root"), (USER, "admin"),
                (NOFAIL, "n"), (FORGET, "f"), (GAINED, "g"),
            ]), 0..100_i64), 0..60),
    ) {
        let mut sessions = Sessions::default();
        let mut at = 0;
        for (id, said, seconds) in lines {
            at += seconds;
            add(&mut sessions, &id.to_string(), &[said], at);
            check(&sessions);
        }
    }
}

#[test]
fn who_floods_pushes_out_his_own_sessions() {
    let mut sessions = Sessions::default();
    add(
        &mut sessions,
        "honest",
        &[(IP4, "192.0.2.1"), (NOFAIL, "n")],
        0,
    );
    for i in 0..SESSIONS_MAX + 100 {
        let id = format!("flood {i}");
        add(
            &mut sessions,
            &id,
            &[(IP4, "198.51.100.1"), (NOFAIL, "n")],
            0,
        );
    }
    check(&sessions);
    assert_eq!(sessions.by_id.len(), SESSIONS_MAX);
    assert!(sessions.by_id.contains_key("honest"));
    assert!(!sessions.by_id.contains_key("flood 0"));
    let newest = format!("flood {}", SESSIONS_MAX + 99);
    assert!(sessions.by_id.contains_key(newest.as_str()));
}

#[test]
fn long_texts_are_limited_as_well() {
    let mut sessions = Sessions::default();
    let long = "x".repeat(10_000);
    for i in 0..1_000 {
        let id = format!("s{i}");
        add(&mut sessions, &id, &[(USER, &long), (NOFAIL, "n")], 0);
        assert!(sessions.bytes <= SESSIONS_BYTES_MAX + 2 * long.len() + SESSION_BYTES_MIN);
    }
    check(&sessions);
}

#[test]
fn a_session_ends_some_minutes_after_its_last_line() {
    let mut sessions = Sessions::default();
    let failure = [(USER, "root")];
    add(&mut sessions, "a", &failure, 0);
    add(&mut sessions, "a", &[(IP4, "192.0.2.1")], 300);
    let place = sessions.by_id["a"];
    assert_eq!(sessions.slots[place].session.get(USER), Some("root"));
    add(&mut sessions, "a", &[(IP4, "192.0.2.1")], 601);
    let place = sessions.by_id["a"];
    assert_eq!(sessions.slots[place].session.get(USER), None);
    check(&sessions);
}
