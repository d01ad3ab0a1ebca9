//! What is decided about failures, by the sliding window, and what an operator can do.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets nothing fails as it should"
)]

#[path = "../fixture/mod.rs"]
mod fixture;
mod operators;
mod repeated;

use std::num::NonZeroU32;
use std::time::Duration;

use fixture::{addrs, at, failures, id, ignore, jail, policy, shown};
use stockade_core::{BanTime, Decider, Effect, Event, JailPolicy, Limits, Timestamp};

fn decider(policy: JailPolicy) -> Decider {
    decider_with(Limits::default(), policy)
}

fn decider_with(limits: Limits, policy: JailPolicy) -> Decider {
    let mut decider = Decider::new(limits);
    assert_eq!(decider.reload(vec![policy], at(0)), []);
    decider
}

#[track_caller]
fn check(decider: &mut Decider, event: Event, secs: i64, expected: &[&str]) {
    assert_eq!(shown(&decider.handle(event, at(secs))), expected);
}

fn ban(ids: &[&str]) -> Event {
    Event::Ban {
        jail: jail("sshd"),
        ids: ids.iter().map(|text| id(text)).collect(),
    }
}

fn unban(ids: &[&str]) -> Event {
    Event::Unban {
        jail: None,
        ids: ids.iter().map(|text| id(text)).collect(),
        wider: false,
    }
}

#[test]
fn the_last_allowed_failure_makes_the_ban() {
    let mut decider = decider(policy("sshd"));
    let event = failures(
        "sshd",
        &[("192.0.2.1", 10), ("192.0.2.2", 11), ("192.0.2.1", 12)],
    );
    let found = [
        "found 192.0.2.1 1",
        "found 192.0.2.2 1",
        "found 192.0.2.1 2",
    ];
    check(&mut decider, event, 20, &found);
    let effects = decider.handle(failures("sshd", &[("192.0.2.1", 25)]), at(30));
    let [Effect::Found { .. }, Effect::Ban { ban, matches }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((ban.at, ban.until), (at(30), Some(at(3630))));
    assert_eq!((ban.failures, ban.bancount), (3, 1));
    assert_eq!(matches, &[b"192.0.2.1 failed"; 3]);
}

#[test]
fn a_ban_begins_a_new_count() {
    let mut decider = decider(policy("sshd"));
    let three = failures("sshd", &[("192.0.2.1", 10); 3]);
    assert_eq!(decider.handle(three, at(10)).len(), 4);
    let again = failures("sshd", &[("192.0.2.1", 3611)]);
    check(
        &mut decider,
        again,
        3611,
        &["unban 192.0.2.1 Expired", "found 192.0.2.1 1"],
    );
}

#[test]
fn failures_that_are_too_old_are_told_once_a_batch_and_not_counted() {
    let mut decider = decider(policy("sshd"));
    let event = failures(
        "sshd",
        &[("192.0.2.1", 0), ("192.0.2.1", 399), ("192.0.2.1", 400)],
    );
    check(
        &mut decider,
        event,
        1000,
        &["found 192.0.2.1 1", "too old 2"],
    );
}

#[test]
fn a_failure_in_the_future_happened_now() {
    let mut decider = decider(policy("sshd"));
    let effects = decider.handle(failures("sshd", &[("192.0.2.1", 99_999)]), at(50));
    assert!(matches!(&effects[..], [Effect::Found { at: found, .. }] if *found == at(50)));
}

#[test]
fn an_ipv6_attacker_is_counted_and_banned_by_network() {
    let mut decider = decider(policy("sshd"));
    let event = failures(
        "sshd",
        &[("2001:db8::1", 1), ("2001:db8::2", 1), ("2001:db8::3", 1)],
    );
    let expected = [
        "found 2001:db8::1 1",
        "found 2001:db8::2 2",
        "found 2001:db8::3 3",
        "ban 2001:db8::/64 until 3601",
    ];
    check(&mut decider, event, 1, &expected);
    let neighbour = failures("sshd", &[("2001:db8:0:0:ffff::1", 1)]);
    check(
        &mut decider,
        neighbour,
        2,
        &["already banned 2001:db8::/64"],
    );
}

#[test]
fn a_network_that_holds_an_own_address_is_not_banned_but_its_attackers_are() {
    let mut decider = decider(policy("sshd"));
    assert_eq!(
        decider.set_own_addresses(&addrs(&["2001:db8::5"]), at(0)),
        []
    );
    let event = failures(
        "sshd",
        &[("2001:db8::1", 1), ("2001:db8::2", 1), ("2001:db8::5", 1)],
    );
    let expected = [
        "found 2001:db8::1 1",
        "found 2001:db8::2 1",
        "ignored 2001:db8::5 by ignoreself rule",
    ];
    check(&mut decider, event, 1, &expected);
    let more = failures("sshd", &[("2001:db8::1", 2), ("2001:db8::1", 2)]);
    let expected = [
        "found 2001:db8::1 2",
        "found 2001:db8::1 3",
        "ban 2001:db8::1 until 3602",
    ];
    check(&mut decider, more, 2, &expected);
}

#[test]
fn a_prefix_that_makes_no_sense_counts_single_addresses() {
    for ipv6_prefix in [0, 128, 129, 255] {
        let mut decider = decider(JailPolicy {
            ipv6_prefix,
            maxretry: NonZeroU32::MIN,
            ..policy("sshd")
        });
        let event = failures("sshd", &[("2001:db8::1", 1)]);
        let expected = ["found 2001:db8::1 1", "ban 2001:db8::1 until 3601"];
        check(&mut decider, event, 1, &expected);
    }
}

#[test]
fn ignored_ids_are_not_counted_and_told_once_in_a_row() {
    let ignore = ignore(&["192.0.2.0/24", "root"]);
    let mut decider = decider(JailPolicy {
        ignore,
        ..policy("sshd")
    });
    let event = failures(
        "sshd",
        &[
            ("192.0.2.1", 1),
            ("192.0.2.1", 1),
            ("root", 1),
            ("192.0.2.1", 1),
            ("::ffff:192.0.2.1", 1),
        ],
    );
    let expected = [
        "ignored 192.0.2.1 by ip",
        "ignored root by ip",
        "ignored 192.0.2.1 by ip",
    ];
    check(&mut decider, event, 1, &expected);
    assert_eq!(decider.status(at(1))[0].total_ignored, 5);
}

#[test]
fn a_log_cannot_name_a_network_that_locks_out_everybody() {
    let mut decider = decider(JailPolicy {
        maxretry: NonZeroU32::MIN,
        ..policy("sshd")
    });
    let event = failures(
        "sshd",
        &[
            ("0.0.0.0/0", 1),
            ("8.0.0.0/8", 1),
            ("2000::/3", 1),
            ("198.51.100.0/24", 1),
        ],
    );
    let expected = [
        "ignored 0.0.0.0/0 by ignoreself rule",
        "too broad 8.0.0.0/8",
        "too broad 2000::/3",
        "found 198.51.100.0/24 1",
        "ban 198.51.100.0/24 until 3601",
    ];
    check(&mut decider, event, 1, &expected);
}

#[test]
fn loopback_is_never_banned_even_before_the_own_addresses_are_known() {
    let mut decider = decider(policy("sshd"));
    let event = failures("sshd", &[("127.0.0.1", 1), ("::1", 1)]);
    let expected = [
        "ignored 127.0.0.1 by ignoreself rule",
        "ignored ::1 by ignoreself rule",
    ];
    check(&mut decider, event, 1, &expected);
    check(
        &mut decider,
        ban(&["127.0.0.1"]),
        1,
        &["refused 127.0.0.1 by ignoreself rule"],
    );
}

#[test]
fn own_addresses_count_where_ignoreself_is_off() {
    let mut decider = decider(JailPolicy {
        ignoreself: false,
        ..policy("sshd")
    });
    check(
        &mut decider,
        failures("sshd", &[("127.0.0.1", 1)]),
        1,
        &["found 127.0.0.1 1"],
    );
}

#[test]
fn a_flood_from_a_banned_id_is_told_once_a_minute() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        0,
        &["ban 192.0.2.1 until 3600"],
    );
    let flood = failures("sshd", &[("192.0.2.1", 1); 1000]);
    check(
        &mut decider,
        flood.clone(),
        1,
        &["already banned 192.0.2.1"],
    );
    check(&mut decider, flood, 2, &[]);
    assert_eq!(decider.status(at(2))[0].total_while_banned, 2000);
}

#[test]
fn a_ban_that_does_not_hold_is_noticed() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        0,
        &["ban 192.0.2.1 until 3600"],
    );
    let late = |secs| failures("sshd", &[("192.0.2.1", secs)]);
    check(&mut decider, late(3), 5, &["already banned 192.0.2.1"]);
    check(&mut decider, late(5), 5, &["still seen 192.0.2.1"]);
    check(&mut decider, late(64), 64, &[]);
    check(&mut decider, late(65), 65, &["still seen 192.0.2.1"]);
}

#[test]
fn a_jail_that_is_not_known_counts_nothing() {
    let mut decider = decider(policy("sshd"));
    check(&mut decider, failures("gone", &[("192.0.2.1", 1)]), 1, &[]);
    let ban = Event::Ban {
        jail: jail("gone"),
        ids: vec![id("192.0.2.1")],
    };
    check(&mut decider, ban, 1, &["unknown jail gone"]);
    check(
        &mut decider,
        Event::UnbanAll {
            jail: Some(jail("gone")),
        },
        1,
        &["unknown jail gone"],
    );
}

#[test]
fn a_bantime_of_nothing_is_a_ban_of_a_second() {
    let bantime = BanTime::For(Duration::ZERO).into();
    let mut decider = decider(JailPolicy {
        bantime,
        ..policy("sshd")
    });
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        7,
        &["ban 192.0.2.1 until 8"],
    );
}

#[test]
fn bans_run_out_by_the_timer() {
    let mut decider = decider(policy("sshd"));
    assert_eq!(decider.next_wakeup(), None);
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        100,
        &["ban 192.0.2.1 until 3700"],
    );
    assert_eq!(decider.next_wakeup(), Some(at(3700)));
    check(&mut decider, Event::Timer, 3699, &[]);
    check(
        &mut decider,
        Event::Timer,
        3700,
        &["unban 192.0.2.1 Expired"],
    );
    assert_eq!(decider.next_wakeup(), None);
}

#[test]
fn a_full_jail_lifts_the_ban_that_ends_soonest() {
    let limits = Limits {
        bans_max: 2,
        ..Limits::default()
    };
    let mut decider = decider_with(limits, policy("sshd"));
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        0,
        &["ban 192.0.2.1 until 3600"],
    );
    check(
        &mut decider,
        ban(&["192.0.2.2"]),
        1,
        &["ban 192.0.2.2 until 3601"],
    );
    let expected = ["unban 192.0.2.1 Displaced", "ban 192.0.2.3 until 3602"];
    check(&mut decider, ban(&["192.0.2.3"]), 2, &expected);
}

#[test]
fn a_jail_full_of_bans_for_ever_says_so_and_bans_when_there_is_room() {
    let limits = Limits {
        bans_max: 1,
        ..Limits::default()
    };
    let policy = JailPolicy {
        bantime: BanTime::Forever.into(),
        ..policy("sshd")
    };
    let mut decider = decider_with(limits, policy);
    check(&mut decider, ban(&["alice"]), 0, &["ban alice until ever"]);
    let attack = failures("sshd", &[("192.0.2.1", 1); 4]);
    let found = [
        "found 192.0.2.1 1",
        "found 192.0.2.1 2",
        "found 192.0.2.1 3",
        "table full 192.0.2.1",
    ];
    check(
        &mut decider,
        attack,
        1,
        &[&found[..], &["found 192.0.2.1 3"]].concat(),
    );
    check(
        &mut decider,
        ban(&["192.0.2.2"]),
        1,
        &["table full 192.0.2.2"],
    );
    check(&mut decider, unban(&["alice"]), 1, &["unban alice Manual"]);
    let again = failures("sshd", &[("192.0.2.1", 2)]);
    check(
        &mut decider,
        again,
        2,
        &["found 192.0.2.1 3", "ban 192.0.2.1 until ever"],
    );
}

#[test]
fn a_clock_that_is_set_back_leaves_every_ban_the_time_it_had() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        ban(&["alice"]),
        100_000,
        &["ban alice until 103600"],
    );
    let two = failures("sshd", &[("192.0.2.1", 100_000); 2]);
    assert_eq!(decider.handle(two, at(100_000)).len(), 2);
    let expected = ["clock set back 90000", "prolong alice until 13600"];
    check(&mut decider, Event::Timer, 10_000, &expected);
    // The attempts moved along: the third still makes a ban.
    let third = failures("sshd", &[("192.0.2.1", 10_500)]);
    check(
        &mut decider,
        third,
        10_500,
        &["found 192.0.2.1 3", "ban 192.0.2.1 until 14100"],
    );
    check(&mut decider, Event::Timer, 13_600, &["unban alice Expired"]);
}

#[test]
fn a_small_step_of_the_clock_changes_no_ban() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        ban(&["alice"]),
        100,
        &["ban alice until 3700"],
    );
    check(&mut decider, Event::Timer, 40, &[]);
    // Steps add up: they are measured against the latest time seen.
    check(
        &mut decider,
        Event::Timer,
        39,
        &["clock set back 61", "prolong alice until 3639"],
    );
}

#[test]
fn a_jail_counts_what_it_does() {
    let ignore = ignore(&["192.0.2.9"]);
    let mut decider = decider(JailPolicy {
        ignore,
        ..policy("sshd")
    });
    let event = failures(
        "sshd",
        &[
            ("192.0.2.1", 700),
            ("192.0.2.9", 700),
            ("192.0.2.2", 1),
            ("192.0.2.3", 1000),
        ],
    );
    assert_eq!(decider.handle(event, at(1000)).len(), 4);
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        1000,
        &["ban 192.0.2.1 until 4600"],
    );
    let status = decider.status(at(1000)).remove(0);
    assert_eq!((status.currently_failing, status.total_failed), (1, 2));
    assert_eq!((status.currently_banned, status.total_banned), (1, 1));
    assert_eq!((status.total_ignored, status.total_too_old), (1, 1));
    assert_eq!(decider.status(at(1601))[0].currently_failing, 0);
}

#[test]
fn ids_that_stay_silent_are_forgotten() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        failures("sshd", &[("192.0.2.1", 0)]),
        0,
        &["found 192.0.2.1 1"],
    );
    assert_eq!(decider.take_changed_attempts().len(), 1);
    let sweep = decider.next_wakeup().unwrap();
    check(
        &mut decider,
        failures("sshd", &[("192.0.2.2", 300)]),
        300,
        &["found 192.0.2.2 1"],
    );
    assert_eq!(decider.take_changed_attempts().len(), 1);
    let mut silent = Vec::new();
    let mut now = sweep;
    while let Some(next) = decider.next_wakeup() {
        now = next.saturating_add(Duration::from_secs(1));
        assert_eq!(decider.handle(Event::Timer, now), []);
        silent.extend(decider.take_changed_attempts());
    }
    assert!(now < Timestamp::from_secs(3600));
    assert!(silent.iter().all(|attempts| attempts.times.is_empty()));
    assert_eq!(silent.len(), 2);
}
