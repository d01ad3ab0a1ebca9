//! What stays and what goes over a reload, a change of addresses and a restart.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets nothing fails as it should"
)]

mod fixture;

use std::num::NonZeroU32;

use fixture::{addrs, at, failures, id, ignore, jail, policy, shown};
use stockade_core::{
    Attempts, Ban, Decider, EarlierBans, Effect, Event, JailPolicy, Limits, Timestamp,
};

fn decider(policies: &[JailPolicy]) -> Decider {
    let mut decider = Decider::new(Limits::default());
    assert_eq!(decider.reload(policies.to_vec(), at(0)), []);
    decider
}

fn ban(decider: &mut Decider, name: &str, who: &str) {
    let event = Event::Ban {
        jail: jail(name),
        ids: vec![id(who)],
    };
    let effects = decider.handle(event, at(0));
    assert!(matches!(&effects[..], [Effect::Ban { .. }]), "{effects:?}");
}

fn stored_ban(name: &str, who: &str, until: Option<i64>) -> Ban {
    let until = until.map(at);
    Ban {
        jail: jail(name),
        id: id(who),
        at: at(0),
        until,
        failures: 3,
        bancount: 2,
    }
}

fn attempts(name: &str, who: &str, secs: &[i64]) -> Attempts {
    let times = secs.iter().map(|secs| at(*secs)).collect();
    Attempts {
        jail: jail(name),
        id: id(who),
        times,
    }
}

/// A ban of an hour that began at 0 and is over.
fn earlier(name: &str, who: &str, bancount: u32) -> EarlierBans {
    EarlierBans {
        jail: jail(name),
        id: id(who),
        bancount,
        at: at(0),
        relevant_until: at(3 * 3600),
    }
}

#[test]
fn a_reload_keeps_bans_and_attempts_of_jails_that_stay() {
    let mut decider = decider(&[policy("sshd")]);
    ban(&mut decider, "sshd", "192.0.2.1");
    assert_eq!(
        decider
            .handle(failures("sshd", &[("192.0.2.2", 1); 2]), at(1))
            .len(),
        2
    );
    let longer = JailPolicy {
        bantime: stockade_core::BanTime::Forever.into(),
        ..policy("sshd")
    };
    assert_eq!(decider.reload(vec![longer, policy("web")], at(2)), []);
    assert_eq!(decider.bans().next().unwrap().until, Some(at(3600)));
    let third = decider.handle(failures("sshd", &[("192.0.2.2", 3)]), at(3));
    assert_eq!(
        shown(&third),
        ["found 192.0.2.2 3", "ban 192.0.2.2 until ever"]
    );
}

#[test]
fn a_reload_lifts_the_bans_of_a_jail_that_is_gone_and_forgets_its_attempts() {
    let mut decider = decider(&[policy("sshd"), policy("web")]);
    ban(&mut decider, "web", "192.0.2.1");
    ban(&mut decider, "sshd", "192.0.2.1");
    assert_eq!(
        decider
            .handle(failures("web", &[("192.0.2.2", 1)]), at(1))
            .len(),
        1
    );
    assert_eq!(decider.take_changed_attempts().len(), 1);
    let effects = decider.reload(vec![policy("sshd")], at(2));
    assert_eq!(shown(&effects), ["unban 192.0.2.1 JailStopped"]);
    assert_eq!(
        decider.take_changed_attempts(),
        [attempts("web", "192.0.2.2", &[])]
    );
    assert_eq!(decider.bans().count(), 1);
}

#[test]
fn a_lower_maxretry_counts_from_the_next_failure_on() {
    let mut decider = decider(&[policy("sshd")]);
    assert_eq!(
        decider
            .handle(failures("sshd", &[("192.0.2.2", 1); 2]), at(1))
            .len(),
        2
    );
    let stricter = JailPolicy {
        maxretry: NonZeroU32::MIN,
        ..policy("sshd")
    };
    assert_eq!(decider.reload(vec![stricter], at(2)), []);
    let next = decider.handle(failures("sshd", &[("192.0.2.2", 3)]), at(3));
    assert_eq!(
        shown(&next),
        ["found 192.0.2.2 1", "ban 192.0.2.2 until 3603"]
    );
}

#[test]
fn a_reload_lifts_bans_that_would_now_hit_an_ignored_address() {
    let mut decider = decider(&[policy("sshd")]);
    for who in ["192.0.2.0/24", "198.51.100.1", "2001:db8::/64"] {
        ban(&mut decider, "sshd", who);
    }
    let ignore = ignore(&["192.0.2.77", "2001:db8::77"]);
    let effects = decider.reload(
        vec![JailPolicy {
            ignore,
            ..policy("sshd")
        }],
        at(1),
    );
    assert_eq!(
        shown(&effects),
        ["unban 192.0.2.0/24 Ignored", "unban 2001:db8::/64 Ignored"]
    );
}

#[test]
fn an_address_that_this_host_gets_is_unbanned() {
    let mut decider = decider(&[policy("sshd")]);
    ban(&mut decider, "sshd", "192.0.2.1");
    assert_eq!(
        decider
            .handle(failures("sshd", &[("192.0.2.2", 1); 2]), at(1))
            .len(),
        2
    );
    let effects = decider.set_own_addresses(&addrs(&["192.0.2.1", "192.0.2.2"]), at(1));
    assert_eq!(shown(&effects), ["unban 192.0.2.1 Ignored"]);
    assert_eq!(decider.status(at(1))[0].currently_failing, 0);
    // It was this host's only for a while: nothing is left of what was counted before.
    assert_eq!(decider.set_own_addresses(&[], at(2)), []);
    let next = decider.handle(failures("sshd", &[("192.0.2.2", 2)]), at(2));
    assert_eq!(shown(&next), ["found 192.0.2.2 1"]);
}

#[test]
fn the_addresses_of_a_name_are_ignored_until_they_are_replaced() {
    let mut decider = decider(&[policy("sshd")]);
    ban(&mut decider, "sshd", "192.0.2.1");
    let effects = decider.set_changing_ignores(&jail("sshd"), ignore(&["192.0.2.1"]), at(1));
    assert_eq!(shown(&effects), ["unban 192.0.2.1 Ignored"]);
    assert_eq!(decider.reload(vec![policy("sshd")], at(2)), []);
    let next = decider.handle(failures("sshd", &[("192.0.2.1", 2)]), at(2));
    assert_eq!(shown(&next), ["ignored 192.0.2.1 by ip"]);
    let effects = decider.set_changing_ignores(&jail("sshd"), ignore(&[]), at(3));
    assert_eq!(shown(&effects), [""; 0]);
    let next = decider.handle(failures("sshd", &[("192.0.2.1", 3)]), at(3));
    assert_eq!(shown(&next), ["found 192.0.2.1 1"]);
    let effects = decider.set_changing_ignores(&jail("web"), ignore(&[]), at(3));
    assert_eq!(shown(&effects), ["unknown jail web"]);
}

#[test]
fn who_the_operators_program_spares_is_not_counted() {
    let mut decider = decider(&[JailPolicy {
        ignore: ignore(&["192.0.2.7"]),
        ..policy("sshd")
    }]);
    ban(&mut decider, "sshd", "2001:db8::/64");
    let asked = [
        ("192.0.2.1", 700),
        ("192.0.2.7", 700),
        ("2001:db8::1", 700),
        ("192.0.2.1", 99),
        ("127.0.0.1", 700),
        ("10.0.0.0/8", 700),
    ];
    let Event::Failures(batch) = failures("sshd", &asked) else {
        panic!("failures are failures");
    };
    let open = decider.would_count(&batch, at(700));
    assert_eq!(open, [true, false, false, false, false, false]);
    let Event::Failures(gone) = failures("gone", &asked) else {
        panic!("failures are failures");
    };
    assert!(!decider.would_count(&gone, at(700)).contains(&true));

    let Event::Failures(spared) = failures("sshd", &[("192.0.2.1", 700), ("192.0.2.1", 700)])
    else {
        panic!("failures are failures");
    };
    let effects = decider.handle(Event::Spared(spared), at(700));
    assert_eq!(shown(&effects), ["ignored 192.0.2.1 by command"]);
    let status = &decider.status(at(700))[0];
    assert_eq!((status.total_ignored, status.currently_failing), (2, 0));
}

#[test]
fn after_a_restart_only_bans_that_still_hold_come_back() {
    let ignored = ignore(&["192.0.2.3"]);
    let mut decider = decider(&[JailPolicy {
        ignore: ignored,
        ..policy("sshd")
    }]);
    let bans = vec![
        stored_ban("sshd", "192.0.2.1", Some(500)),
        stored_ban("sshd", "192.0.2.2", Some(100)),
        stored_ban("sshd", "192.0.2.3", None),
        stored_ban("gone", "192.0.2.4", None),
        stored_ban("sshd", "192.0.2.5", None),
        stored_ban("sshd", "192.0.2.5", Some(900)),
    ];
    let effects = decider.restore(bans, vec![], vec![], at(100));
    let expected = [
        "restore 192.0.2.1 until 500",
        "unban 192.0.2.2 Expired",
        "unban 192.0.2.3 Ignored",
        "unban 192.0.2.4 JailStopped",
        "restore 192.0.2.5 until ever",
    ];
    assert_eq!(shown(&effects), expected);
    assert_eq!(decider.bans().count(), 2);
    assert_eq!(decider.status(at(100))[0].total_banned, 0);
    assert_eq!(decider.next_wakeup(), Some(at(500)));
}

#[test]
fn earlier_bans_are_remembered_over_a_restart() {
    let mut decider = decider(&[policy("sshd")]);
    let over = stored_ban("sshd", "192.0.2.1", Some(50));
    let earlier = vec![
        earlier("sshd", "192.0.2.2", 7),
        earlier("gone", "192.0.2.2", 9),
    ];
    assert_eq!(
        decider.restore(vec![over], vec![], earlier, at(100)).len(),
        1
    );
    let event = Event::Ban {
        jail: jail("sshd"),
        ids: vec![id("192.0.2.1"), id("192.0.2.2")],
    };
    let effects = decider.handle(event, at(100));
    let counts: Vec<u32> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ban { ban, .. } => Some(ban.bancount),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [3, 8]);
}

#[test]
fn attempts_go_on_counting_after_a_restart() {
    let mut decider = decider(&[policy("sshd")]);
    let stored = vec![
        attempts("sshd", "192.0.2.1", &[900]),
        attempts("sshd", "192.0.2.2", &[-300]),
        attempts("gone", "192.0.2.3", &[900]),
    ];
    assert_eq!(decider.restore(vec![], stored, vec![], at(1000)), []);
    // The store hears what is out of date, and nothing about what stays as it is.
    let expected = [
        attempts("gone", "192.0.2.3", &[]),
        attempts("sshd", "192.0.2.2", &[]),
    ];
    assert_eq!(decider.take_changed_attempts(), expected);
    let next = decider.handle(failures("sshd", &[("192.0.2.1", 890)]), at(1000));
    assert_eq!(shown(&next), ["found 192.0.2.1 2"]);
    let expected = [attempts("sshd", "192.0.2.1", &[890, 900])];
    assert_eq!(decider.take_changed_attempts(), expected[..]);
}

#[test]
fn a_ban_empties_the_attempts_that_led_to_it() {
    let mut decider = decider(&[policy("sshd")]);
    assert_eq!(
        decider
            .handle(failures("sshd", &[("192.0.2.1", 1); 2]), at(1))
            .len(),
        2
    );
    let expected = [attempts("sshd", "192.0.2.1", &[1, 1])];
    assert_eq!(decider.take_changed_attempts(), expected);
    assert_eq!(
        decider
            .handle(failures("sshd", &[("192.0.2.1", 2)]), at(2))
            .len(),
        2
    );
    assert_eq!(
        decider.take_changed_attempts(),
        [attempts("sshd", "192.0.2.1", &[])]
    );
    assert_eq!(decider.take_changed_attempts(), []);
}

#[test]
fn attempts_of_who_is_banned_or_ignored_are_not_taken_over() {
    let ignored = ignore(&["192.0.2.2"]);
    let mut decider = decider(&[JailPolicy {
        ignore: ignored,
        ..policy("sshd")
    }]);
    let bans = vec![stored_ban("sshd", "192.0.2.1", None)];
    let stored = vec![
        attempts("sshd", "192.0.2.1", &[100]),
        attempts("sshd", "192.0.2.2", &[100]),
    ];
    assert_eq!(decider.restore(bans, stored, vec![], at(100)).len(), 1);
    assert_eq!(decider.status(at(100))[0].currently_failing, 0);
    assert_eq!(decider.take_changed_attempts().len(), 2);
}

#[test]
fn a_ban_of_a_time_beyond_all_clocks_never_ends() {
    let mut decider = decider(&[policy("sshd")]);
    let ban = Ban {
        until: Some(Timestamp::MAX),
        ..stored_ban("sshd", "192.0.2.1", None)
    };
    assert_eq!(decider.restore(vec![ban], vec![], vec![], at(100)).len(), 1);
    assert_eq!(decider.handle(Event::Timer, at(4_000_000_000)), []);
    assert_eq!(decider.next_wakeup(), None);
}
