//! What an operator can do.

use stockade_core::{Event, JailPolicy};

use super::fixture::{ignore, policy};
use super::{ban, check, decider, unban};

#[test]
fn an_operator_cannot_ban_who_is_never_banned() {
    let ignore = ignore(&["192.0.2.7", "2001:db8::/32"]);
    let mut decider = decider(JailPolicy {
        ignore,
        ..policy("sshd")
    });
    let event = ban(&["192.0.2.0/24", "2001:db8::1", "::/0", "192.0.3.1"]);
    let expected = [
        "refused 192.0.2.0/24 by ip",
        "refused 2001:db8::1 by ip",
        "refused ::/0 by ip",
        "ban 192.0.3.1 until 3600",
    ];
    check(&mut decider, event, 0, &expected);
}

#[test]
fn banning_again_moves_the_end_further_off() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        0,
        &["ban 192.0.2.1 until 3600"],
    );
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        0,
        &["already banned 192.0.2.1"],
    );
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        60,
        &["prolong 192.0.2.1 until 3660"],
    );
    check(&mut decider, Event::Timer, 3600, &[]);
    check(
        &mut decider,
        Event::Timer,
        3660,
        &["unban 192.0.2.1 Expired"],
    );
}

#[test]
fn an_address_in_a_banned_network_is_banned_by_itself_only_to_stay_longer() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        ban(&["192.0.2.0/24"]),
        0,
        &["ban 192.0.2.0/24 until 3600"],
    );
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        0,
        &["already banned 192.0.2.0/24"],
    );
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        60,
        &["ban 192.0.2.1 until 3660"],
    );
}

#[test]
fn unbanning_an_ipv6_address_lifts_the_network_it_was_counted_by() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        ban(&["2001:db8::/64"]),
        0,
        &["ban 2001:db8::/64 until 3600"],
    );
    check(
        &mut decider,
        unban(&["2001:db8::9"]),
        1,
        &["unban 2001:db8::/64 Manual"],
    );
    check(
        &mut decider,
        unban(&["2001:db8::9"]),
        1,
        &["not banned 2001:db8::9"],
    );
}

#[test]
fn unbanning_a_network_lifts_what_is_inside() {
    let mut decider = decider(policy("sshd"));
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
    check(
        &mut decider,
        ban(&["192.0.3.3"]),
        1,
        &["ban 192.0.3.3 until 3601"],
    );
    let expected = ["unban 192.0.2.1 Manual", "unban 192.0.2.2 Manual"];
    check(&mut decider, unban(&["192.0.2.0/24"]), 2, &expected);
}

#[test]
fn who_unbans_an_address_is_told_of_a_network_that_still_bans_it() {
    let mut decider = decider(policy("sshd"));
    check(
        &mut decider,
        ban(&["192.0.2.1"]),
        0,
        &["ban 192.0.2.1 until 3600"],
    );
    check(
        &mut decider,
        ban(&["192.0.2.0/24"]),
        0,
        &["ban 192.0.2.0/24 until 3600"],
    );
    let expected = ["unban 192.0.2.1 Manual", "192.0.2.1 in 192.0.2.0/24"];
    check(&mut decider, unban(&["192.0.2.1"]), 1, &expected);
}

#[test]
fn all_bans_can_be_lifted_at_once() {
    let mut decider = decider(policy("sshd"));
    check(&mut decider, ban(&["alice"]), 0, &["ban alice until 3600"]);
    check(
        &mut decider,
        Event::UnbanAll { jail: None },
        1,
        &["unban alice Manual"],
    );
    assert_eq!(decider.bans().count(), 0);
}
