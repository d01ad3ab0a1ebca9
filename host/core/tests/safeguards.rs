//! Who and what is never banned, whatever a jail's rules are, and how much is banned unasked.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets nothing fails as it should"
)]

mod fixture;

use std::num::NonZeroU32;

use fixture::{addrs, at, failures, id, ignore, jail, policy, shown};
use stockade_core::{
    Ban, Decider, Effect, Event, IgnoreSet, JailPolicy, Limits, Protected, Safeguards, Widest,
};

fn decider(policy: JailPolicy) -> Decider {
    decider_with(policy, Limits::default())
}

fn decider_with(policy: JailPolicy, limits: Limits) -> Decider {
    let mut decider = Decider::new(limits);
    assert_eq!(decider.reload(vec![policy], at(0)), []);
    decider
}

/// Bans after one failure.
fn strict() -> JailPolicy {
    JailPolicy {
        maxretry: NonZeroU32::MIN,
        ..policy("sshd")
    }
}

fn ban(ids: &[&str]) -> Event {
    Event::Ban {
        jail: jail("sshd"),
        ids: ids.iter().map(|text| id(text)).collect(),
    }
}

fn unban(who: &str, wider: bool) -> Event {
    Event::Unban {
        jail: None,
        ids: vec![id(who)],
        wider,
    }
}

fn stored(who: &str) -> Ban {
    Ban {
        jail: jail("sshd"),
        id: id(who),
        at: at(0),
        until: Some(at(3600)),
        failures: 3,
        bancount: 1,
    }
}

/// One failure of each, in one batch.
fn fail(whom: &[&str], secs: i64) -> Event {
    let items: Vec<_> = whom.iter().map(|who| (*who, secs)).collect();
    failures("sshd", &items)
}

/// Checks effects, but for failures that were counted.
#[track_caller]
fn check(decider: &mut Decider, event: Event, secs: i64, expected: &[&str]) {
    check_effects(&decider.handle(event, at(secs)), expected);
}

#[track_caller]
fn check_effects(effects: &[Effect], expected: &[&str]) {
    let mut told = shown(effects);
    told.retain(|line| !line.starts_with("found"));
    assert_eq!(told, expected);
}

fn protected() -> Protected {
    Protected {
        gateways: IgnoreSet::from_addrs(addrs(&["192.0.2.1", "fe80::1"])),
        resolvers: IgnoreSet::from_addrs(addrs(&["192.0.2.53"])),
        ssh_sessions: IgnoreSet::from_addrs(addrs(&["198.51.100.7", "2001:db8::7"])),
    }
}

#[test]
fn a_protected_address_is_not_banned_for_failures_by_hand_or_again() {
    let mut decider = decider(JailPolicy {
        ignore: ignore(&["203.0.113.5"]),
        ignoreself: false,
        ..strict()
    });
    assert_eq!(decider.set_protected(protected(), at(0)), []);
    let whom = ["203.0.113.5", "192.0.2.1", "192.0.2.53", "198.51.100.7"];
    let expected = [
        "ignored 203.0.113.5 by ip",
        "ignored 192.0.2.1 by gateway",
        "ignored 192.0.2.53 by resolver",
        "ignored 198.51.100.7 by ssh session",
    ];
    check(&mut decider, fail(&whom, 1), 1, &expected);
    let expected = [
        "refused 192.0.2.1 by gateway",
        "refused 192.0.2.0/24 by gateway",
        "refused 2001:db8::/64 by ssh session",
    ];
    let whom = ["192.0.2.1", "192.0.2.0/24", "2001:db8::/64"];
    check(&mut decider, ban(&whom), 2, &expected);
    let bans = vec![stored("192.0.2.53"), stored("192.0.2.54")];
    let effects = decider.restore(bans, Vec::new(), Vec::new(), at(3));
    let expected = ["unban 192.0.2.53 Ignored", "restore 192.0.2.54 until 3600"];
    check_effects(&effects, &expected);
}

#[test]
fn a_ban_is_lifted_when_its_address_becomes_a_protected_one() {
    let mut decider = decider(strict());
    let expected = [
        "ban 198.51.100.7 until 3601",
        "ban 2001:db8::/64 until 3601",
    ];
    let whom = ["198.51.100.7", "2001:db8::99"];
    check(&mut decider, fail(&whom, 1), 1, &expected);
    let effects = decider.set_protected(protected(), at(2));
    let mut told = shown(&effects);
    told.sort();
    let expected = ["unban 198.51.100.7 Ignored", "unban 2001:db8::/64 Ignored"];
    assert_eq!(told, expected);
    // Beside the administrator the addresses of his network are banned one by one.
    let expected = ["ban 2001:db8::99 until 3603"];
    check(&mut decider, fail(&["2001:db8::99"], 3), 3, &expected);
    assert_eq!(decider.set_protected(protected(), at(4)), []);
    assert_eq!(decider.set_protected(Protected::default(), at(5)), []);
    let expected = ["ban 198.51.100.7 until 3606"];
    check(&mut decider, fail(&["198.51.100.7"], 6), 6, &expected);
}

#[test]
fn whether_failures_may_ban_is_known_before() {
    let mut decider = decider(policy("sshd"));
    let may = |decider: &Decider, whom: &[&str]| {
        let Event::Failures(failures) = fail(whom, 1) else {
            unreachable!();
        };
        decider.may_ban(&failures)
    };
    assert!(!may(&decider, &["192.0.2.1"]));
    assert!(!may(&decider, &["192.0.2.1", "192.0.2.1"]));
    assert!(may(&decider, &["192.0.2.1", "192.0.2.1", "192.0.2.1"]));
    check(&mut decider, fail(&["192.0.2.1", "2001:db8::1"], 1), 1, &[]);
    assert!(!may(&decider, &["192.0.2.1"]));
    check(&mut decider, fail(&["192.0.2.1", "2001:db8::2"], 2), 2, &[]);
    assert!(may(&decider, &["192.0.2.1"]));
    assert!(may(&decider, &["2001:db8::3"]), "counted by its network");
    assert!(!may(&decider, &["192.0.2.2"]));
    check(
        &mut decider,
        fail(&["192.0.2.1"], 3),
        3,
        &["ban 192.0.2.1 until 3603"],
    );
    assert!(!may(&decider, &["192.0.2.1"]));
}

#[test]
fn a_network_wider_than_the_bound_is_banned_by_nobody() {
    let mut decider = decider(JailPolicy {
        ipv6_prefix: 32,
        ..strict()
    });
    let bounds = Safeguards {
        widest: Widest { ipv4: 20, ipv6: 48 },
        ..Safeguards::default()
    };
    assert_eq!(decider.set_safeguards(bounds, at(0)), []);
    let expected = [
        "too wide 10.0.0.0/19, at most /20",
        "ban 10.0.0.0/20 until 3601",
        "too wide 2001:db8::/47, at most /48",
        "too wide ::/0, at most /48",
    ];
    let whom = ["10.0.0.0/19", "10.0.0.0/20", "2001:db8::/47", "::/0"];
    // Of `::/0` the loopback address is this host's own, in jails that ask for it.
    let (whom, expected) = (&whom[..3], &expected[..3]);
    check(&mut decider, ban(whom), 1, expected);
    let expected = ["too broad 10.1.0.0/16", "ban 2001:db8::/48 until 3602"];
    let whom = ["10.1.0.0/16", "2001:db8::1"];
    check(&mut decider, fail(&whom, 2), 2, &expected);
    let bans = vec![stored("10.2.0.0/16")];
    let effects = decider.restore(bans, Vec::new(), Vec::new(), at(3));
    check_effects(&effects, &["unban 10.2.0.0/16 TooWide"]);
}

#[test]
fn bans_wider_than_a_new_bound_are_lifted() {
    let mut decider = decider(strict());
    let whom = ["10.0.0.0/16", "10.1.0.0/24"];
    let expected = ["ban 10.0.0.0/16 until 3601", "ban 10.1.0.0/24 until 3601"];
    check(&mut decider, ban(&whom), 1, &expected);
    let bounds = Safeguards {
        widest: Widest { ipv4: 24, ipv6: 64 },
        ..Safeguards::default()
    };
    let effects = decider.set_safeguards(bounds, at(2));
    check_effects(&effects, &["unban 10.0.0.0/16 TooWide"]);
}

/// At most two bans a minute.
fn two_a_minute(limits: Limits) -> Decider {
    let mut decider = decider_with(strict(), limits);
    let bounds = Safeguards {
        bans_per_minute: NonZeroU32::new(2),
        ..Safeguards::default()
    };
    assert_eq!(decider.set_safeguards(bounds, at(0)), []);
    decider
}

#[test]
fn bans_beyond_the_rate_are_held_until_they_are_confirmed() {
    let mut decider = two_a_minute(Limits::default());
    let expected = [
        "ban 192.0.2.1 until 3610",
        "ban 192.0.2.2 until 3610",
        "held 192.0.2.3, over 2 a minute",
        "held 192.0.2.4",
    ];
    let whom = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
    check(&mut decider, fail(&whom, 10), 10, &expected);
    // Who goes on failing waits all the same, and nobody is told again.
    check(&mut decider, fail(&["192.0.2.3"], 11), 11, &[]);
    let held = decider.held();
    assert_eq!((held.waiting, held.total, held.dropped), (2, 2, 0));
    assert_eq!(held.since, Some(at(10)));
    let expected = ["ban 192.0.2.3 until 3620", "ban 192.0.2.4 until 3620"];
    check(&mut decider, Event::Confirm, 20, &expected);
    assert_eq!(decider.held().waiting, 0);
    // Who confirms has looked, so the minute begins anew.
    let expected = ["ban 192.0.2.5 until 3621"];
    check(&mut decider, fail(&["192.0.2.5"], 21), 21, &expected);
}

#[test]
fn a_new_minute_lets_bans_through_and_a_burst_is_told_once() {
    let mut decider = two_a_minute(Limits::default());
    let whom = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let expected = [
        "ban 192.0.2.1 until 3610",
        "ban 192.0.2.2 until 3610",
        "held 192.0.2.3, over 2 a minute",
    ];
    check(&mut decider, fail(&whom, 10), 10, &expected);
    check(
        &mut decider,
        fail(&["192.0.2.4"], 69),
        69,
        &["held 192.0.2.4"],
    );
    // Who was held and goes on is banned when the rate allows it, and waits no more.
    let expected = ["ban 192.0.2.3 until 3670"];
    check(&mut decider, fail(&["192.0.2.3"], 70), 70, &expected);
    assert_eq!(decider.held().waiting, 1);
    let whom = ["192.0.2.5", "192.0.2.6"];
    let expected = ["ban 192.0.2.5 until 3671", "held 192.0.2.6"];
    check(&mut decider, fail(&whom, 71), 71, &expected);
    let whom = ["192.0.2.7", "192.0.2.8", "192.0.2.9"];
    let expected = [
        "ban 192.0.2.7 until 3800",
        "ban 192.0.2.8 until 3800",
        "held 192.0.2.9, over 2 a minute",
    ];
    check(&mut decider, fail(&whom, 200), 200, &expected);
}

#[test]
fn bans_by_hand_and_of_an_earlier_run_are_neither_counted_nor_held() {
    let mut decider = two_a_minute(Limits::default());
    let bans = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(stored);
    let restored = decider.restore(bans.to_vec(), Vec::new(), Vec::new(), at(1));
    assert_eq!(restored.len(), 3);
    let whom = ["192.0.2.4", "192.0.2.5", "192.0.2.6"];
    let expected = whom.map(|who| format!("ban {who} until 3602"));
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(&mut decider, ban(&whom), 2, &expected);
    let whom = ["192.0.2.7", "192.0.2.8"];
    let expected = ["ban 192.0.2.7 until 3603", "ban 192.0.2.8 until 3603"];
    check(&mut decider, fail(&whom, 3), 3, &expected);
    check(
        &mut decider,
        fail(&["192.0.2.9"], 4),
        4,
        &["held 192.0.2.9, over 2 a minute"],
    );
    // An order of the operator does not wait.
    check(
        &mut decider,
        ban(&["192.0.2.9"]),
        5,
        &["ban 192.0.2.9 until 3605"],
    );
    assert_eq!(decider.held().waiting, 0);
}

#[test]
fn who_is_discarded_begins_anew() {
    let mut decider = decider(JailPolicy {
        ipv6_prefix: 128,
        ..policy("sshd")
    });
    let bounds = Safeguards {
        bans_per_minute: NonZeroU32::new(1),
        ..Safeguards::default()
    };
    assert_eq!(decider.set_safeguards(bounds, at(0)), []);
    let thrice = |who: &'static str| fail(&[who, who, who], 1);
    check(
        &mut decider,
        thrice("192.0.2.1"),
        1,
        &["ban 192.0.2.1 until 3601"],
    );
    let expected = ["held 192.0.2.2, over 1 a minute"];
    check(&mut decider, thrice("192.0.2.2"), 1, &expected);
    check(&mut decider, Event::Discard, 2, &[]);
    assert_eq!(decider.held().waiting, 0);
    let effects = decider.handle(fail(&["192.0.2.2"], 3), at(3));
    assert_eq!(shown(&effects), ["found 192.0.2.2 1"]);
}

#[test]
fn what_is_held_is_bounded_and_what_is_dropped_is_counted() {
    let limits = Limits {
        held_max: 1,
        ..Limits::default()
    };
    let mut decider = two_a_minute(limits);
    let whom = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
    let expected = [
        "ban 192.0.2.1 until 3610",
        "ban 192.0.2.2 until 3610",
        "held 192.0.2.3, over 2 a minute",
        "dropped 192.0.2.4",
    ];
    check(&mut decider, fail(&whom, 10), 10, &expected);
    let held = decider.held();
    assert_eq!((held.waiting, held.total, held.dropped), (1, 2, 1));
}

#[test]
fn a_held_ban_is_not_made_for_who_is_protected_unbanned_or_over() {
    let mut decider = two_a_minute(Limits::default());
    let whom = [
        "192.0.2.10",
        "192.0.2.11",
        "192.0.2.12",
        "192.0.2.13",
        "198.51.100.7",
    ];
    assert_eq!(decider.handle(fail(&whom, 10), at(10)).len(), 10);
    assert_eq!(decider.held().waiting, 3);
    check(
        &mut decider,
        unban("192.0.2.12", false),
        11,
        &["not banned 192.0.2.12"],
    );
    assert_eq!(decider.held().waiting, 2);
    assert_eq!(decider.set_protected(protected(), at(12)), []);
    let expected = [
        "ban 192.0.2.13 until 3613",
        "refused 198.51.100.7 by ssh session",
    ];
    check(&mut decider, Event::Confirm, 13, &expected);

    let mut decider = two_a_minute(Limits::default());
    assert_eq!(decider.handle(fail(&whom, 10), at(10)).len(), 10);
    check(&mut decider, Event::Timer, 3609, &[]);
    assert_eq!(decider.held().waiting, 3);
    let over = ["unban 192.0.2.10 Expired", "unban 192.0.2.11 Expired"];
    check(&mut decider, Event::Timer, 3700, &over);
    assert_eq!(decider.held().waiting, 0);
}

#[test]
fn a_jail_that_is_gone_holds_nothing() {
    let mut decider = two_a_minute(Limits::default());
    let whom = ["192.0.2.10", "192.0.2.11", "192.0.2.12"];
    assert_eq!(decider.handle(fail(&whom, 10), at(10)).len(), 6);
    assert_eq!(decider.reload(Vec::new(), at(11)).len(), 2);
    assert_eq!(decider.held().waiting, 0);
}

#[test]
fn the_rate_holds_when_the_clock_is_set_back() {
    let mut decider = two_a_minute(Limits::default());
    let whom = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    assert_eq!(decider.handle(fail(&whom, 10_000), at(10_000)).len(), 6);
    let effects = decider.handle(Event::Timer, at(1_000));
    assert_eq!(shown(&effects)[0], "clock set back 9000");
    check(
        &mut decider,
        fail(&["192.0.2.4"], 1_059),
        1_059,
        &["held 192.0.2.4"],
    );
    let expected = ["ban 192.0.2.4 until 4660"];
    check(&mut decider, fail(&["192.0.2.4"], 1_060), 1_060, &expected);
    assert_eq!(decider.held().since, Some(at(1_000)));
}

#[test]
fn an_unban_can_also_lift_the_wider_networks() {
    let mut decider = decider(strict());
    let whom = ["10.1.2.3", "10.1.2.0/24", "10.1.3.0/24", "10.1.0.0/16"];
    assert_eq!(decider.handle(ban(&whom), at(1)).len(), 4);
    let expected = ["unban 10.1.2.3 Manual", "10.1.2.3 in 10.1.0.0/16"];
    check(&mut decider, unban("10.1.2.3", false), 2, &expected);
    let expected = ["unban 10.1.0.0/16 Manual", "unban 10.1.2.0/24 Manual"];
    check(&mut decider, unban("10.1.2.3", true), 3, &expected);
    assert_eq!(decider.bans().count(), 1);
}

#[test]
fn no_rate_holds_nothing() {
    let mut decider = decider(strict());
    let bounds = Safeguards {
        bans_per_minute: None,
        ..Safeguards::default()
    };
    assert_eq!(decider.set_safeguards(bounds, at(0)), []);
    let whom: Vec<String> = (0..3000_u32)
        .map(|n| format!("10.1.{}.{}", n / 256, n % 256))
        .collect();
    let whom: Vec<&str> = whom.iter().map(String::as_str).collect();
    assert_eq!(decider.handle(fail(&whom, 1), at(1)).len(), 6000);
}
