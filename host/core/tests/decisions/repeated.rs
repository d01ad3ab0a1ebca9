//! What earlier bans of an id mean for the next.

use std::time::Duration;

use super::*;
use stockade_core::{Ban, BanTimeIncrement, Growth};

/// A ban of an hour that is doubled each time, as `change` has it.
fn growing(change: impl FnOnce(&mut BanTimeIncrement)) -> JailPolicy {
    let mut increment = BanTimeIncrement::default();
    change(&mut increment);
    let mut policy = policy("sshd");
    policy.bantime.increment = Some(increment);
    policy
}

/// Bans by hand, and lets the ban run out: its length in seconds and its number.
#[track_caller]
fn ban_once(decider: &mut Decider, now: &mut i64) -> (i64, u32) {
    let effects = decider.handle(ban(&["192.0.2.1"]), at(*now));
    let made = effects.iter().find_map(|effect| match effect {
        Effect::Ban { ban, .. } => Some(ban),
        _ => None,
    });
    let ban = made.unwrap();
    let end = ban.until.unwrap().as_secs();
    let length = end - *now;
    *now = end;
    (length, ban.bancount)
}

#[test]
fn each_ban_of_an_id_is_counted() {
    let mut decider = decider(policy("sshd"));
    let mut now = 0;
    for expected in 1..=3 {
        assert_eq!(ban_once(&mut decider, &mut now), (3600, expected));
    }
}

#[test]
fn where_bans_grow_each_is_twice_as_long_as_the_one_before() {
    let mut decider = decider(growing(|_| {}));
    let mut now = 0;
    let bans = [1, 2, 3, 4].map(|_| ban_once(&mut decider, &mut now));
    assert_eq!(bans, [(3600, 1), (7200, 2), (14_400, 3), (28_800, 4)]);
}

#[test]
fn an_unban_by_an_operator_makes_the_next_ban_a_first_one() {
    let mut decider = decider(growing(|_| {}));
    let mut now = 0;
    assert_eq!(ban_once(&mut decider, &mut now), (3600, 1));
    assert_eq!(ban_once(&mut decider, &mut now), (7200, 2));
    assert_eq!(decider.handle(ban(&["192.0.2.1"]), at(now)).len(), 2);
    check(
        &mut decider,
        unban(&["192.0.2.1"]),
        now,
        &["unban 192.0.2.1 Manual"],
    );
    assert_eq!(ban_once(&mut decider, &mut now), (3600, 1));
}

#[test]
fn a_jail_that_was_gone_still_knows_whom_it_banned() {
    let mut decider = decider(growing(|_| {}));
    let mut now = 0;
    ban_once(&mut decider, &mut now);
    assert_eq!(decider.reload(vec![], at(now)).len(), 1);
    assert_eq!(decider.reload(vec![growing(|_| {})], at(now)), []);
    assert_eq!(ban_once(&mut decider, &mut now), (7200, 2));
}

#[test]
fn earlier_bans_are_forgotten_after_three_lengths_and_the_time_to_remember() {
    let day = 86_400;
    for (pause, expected) in [(day + 2 * 3600 - 1, (7200, 2)), (day + 2 * 3600, (3600, 1))] {
        let mut decider = decider(growing(|_| {}));
        let mut now = 0;
        ban_once(&mut decider, &mut now);
        now += pause;
        assert_eq!(
            ban_once(&mut decider, &mut now),
            expected,
            "after {pause} s"
        );
    }
}

#[test]
fn the_bans_of_other_jails_count_where_all_jails_do() {
    let overall = growing(|increment| increment.overalljails = true);
    let mut decider = Decider::new(Limits::default());
    assert_eq!(decider.reload(vec![overall, policy("web")], at(0)), []);
    let in_web = Event::Ban {
        jail: jail("web"),
        ids: vec![id("192.0.2.1")],
    };
    assert_eq!(decider.handle(in_web, at(0)).len(), 1);
    let mut now = 0;
    // Each number is one more than the sum of the last ones, as it is with fail2ban: 1+1, 1+2+1.
    let bans = [1, 2, 3].map(|_| ban_once(&mut decider, &mut now));
    assert_eq!(bans, [(7200, 2), (28_800, 4), (115_200, 6)]);
}

#[test]
fn who_was_banned_before_needs_fewer_failures() {
    let five = NonZeroU32::new(5).unwrap();
    let mut decider = decider(JailPolicy {
        maxretry: five,
        ..growing(|_| {})
    });
    let mut now = 0;
    ban_once(&mut decider, &mut now);
    let twice = failures("sshd", &[("192.0.2.1", now); 3]);
    let effects = decider.handle(twice, at(now));
    let expected = [
        "unban 192.0.2.1 Expired",
        "found 192.0.2.1 2",
        "found 192.0.2.1 4",
        "found 192.0.2.1 5",
        "ban 192.0.2.1 until 10800",
    ];
    assert_eq!(shown(&effects), expected);
    assert!(matches!(
        effects[1],
        Effect::Found {
            weight: 2,
            bancount: 1,
            ..
        }
    ));
}

#[test]
fn a_line_from_before_the_last_ban_counts_like_any_other() {
    let mut decider = decider(growing(|increment| {
        increment.growth = Growth::Doubling;
    }));
    let short = BanTime::For(Duration::from_secs(10));
    let mut policy = growing(|_| {});
    policy.bantime.bantime = short;
    assert_eq!(decider.reload(vec![policy], at(0)), []);
    assert_eq!(decider.handle(ban(&["192.0.2.1"]), at(100)).len(), 1);
    let late = failures("sshd", &[("192.0.2.1", 100), ("192.0.2.1", 101)]);
    let expected = [
        "unban 192.0.2.1 Expired",
        "found 192.0.2.1 1",
        "found 192.0.2.1 3",
        "ban 192.0.2.1 until 130",
    ];
    check(&mut decider, late, 110, &expected);
}

#[test]
fn failures_count_once_each_where_bans_do_not_grow() {
    let mut decider = decider(policy("sshd"));
    let mut now = 0;
    ban_once(&mut decider, &mut now);
    let again = failures("sshd", &[("192.0.2.1", now)]);
    let expected = ["unban 192.0.2.1 Expired", "found 192.0.2.1 1"];
    check(&mut decider, again, now, &expected);
}

#[test]
fn an_operator_who_bans_again_makes_the_ban_last_from_now_and_not_grow() {
    let mut decider = decider(growing(|_| {}));
    let mut now = 0;
    ban_once(&mut decider, &mut now);
    let begin = now;
    ban_once(&mut decider, &mut now);
    let again = ["prolong 192.0.2.1 until 10900"];
    check(&mut decider, ban(&["192.0.2.1"]), begin + 100, &again);
}

/// The second bans of twenty ids under one seed.
fn second_bans(seed: u64) -> Vec<Ban> {
    let mut decider = Decider::new(Limits::default()).seeded(seed);
    let random = growing(|increment| {
        increment.maxtime = Some(Duration::from_secs(5000));
        increment.rndtime = Duration::from_secs(1000);
    });
    assert_eq!(decider.reload(vec![random], at(0)), []);
    let everyone: Vec<String> = (1..=20).map(|n| format!("192.0.2.{n}")).collect();
    let everyone: Vec<&str> = everyone.iter().map(String::as_str).collect();
    let mut second = Vec::new();
    for effect in decider
        .handle(ban(&everyone), at(0))
        .into_iter()
        .chain(decider.handle(ban(&everyone), at(3600)))
    {
        if let Effect::Ban { ban, .. } = effect {
            second.push(ban);
        }
    }
    second
}

#[test]
fn a_further_ban_lasts_a_random_time_longer_which_the_seed_decides() {
    let bans = second_bans(1);
    let (first, second): (Vec<&Ban>, Vec<&Ban>) = bans.iter().partition(|ban| ban.bancount == 1);
    assert!(first.iter().all(|ban| ban.until == Some(at(3600))));
    let ends: std::collections::BTreeSet<_> = second.iter().map(|ban| ban.until.unwrap()).collect();
    assert_eq!(ends.len(), 20, "no two end together");
    assert!(
        ends.iter().all(|end| (at(8600)..at(9600)).contains(end)),
        "{ends:?}"
    );
    assert_eq!(bans, second_bans(1));
    assert_ne!(bans, second_bans(2));
}

#[test]
fn status_tells_how_long_the_longest_ban_is_and_who_is_remembered() {
    let mut decider = decider(growing(|_| {}));
    let mut now = 0;
    ban_once(&mut decider, &mut now);
    assert_eq!(
        decider
            .handle(ban(&["192.0.2.1", "192.0.2.2"]), at(now))
            .len(),
        3
    );
    let status = &decider.status(at(now))[0];
    assert_eq!((status.remembered, status.banned_again), (2, 1));
    let longest = BanTime::For(Duration::from_secs(7200));
    assert_eq!(status.longest_ban, Some(longest));
}
