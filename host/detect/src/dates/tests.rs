use proptest::prelude::*;

use super::*;

/// The microseconds of a date in UTC.
fn utc(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(at.as_microsecond())
}

fn finder(now: &str, zone: TimeZone) -> DateFinder {
    let mut finder = DateFinder::new(zone);
    finder.set_now(utc(now));
    finder
}

const NOW: &str = "2026-11-23T12:00:00Z";

fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

/// `rest` is what remains of the line without its date.
#[track_caller]
fn check(line: &str, at: &str, rest: &str) {
    check_bytes(line.as_bytes(), at, rest.as_bytes());
}

#[track_caller]
fn check_bytes(line: &[u8], at: &str, rest: &[u8]) {
    let shown = String::from_utf8_lossy(line);
    let found = finder(NOW, berlin())
        .find(line)
        .unwrap_or_else(|| panic!("no date: {shown}"));
    assert_eq!(found.at, utc(at), "{shown}");
    assert_eq!(
        [&line[..found.start], &line[found.end..]].concat(),
        rest,
        "{shown}"
    );
}

#[track_caller]
fn check_none(line: &str) {
    assert_eq!(finder(NOW, berlin()).find(line.as_bytes()), None, "{line}");
}

#[test]
fn syslog_dates_are_read() {
    let at = "2026-11-23T04:54:13Z";
    check("Nov 23 05:54:13 host x", at, " host x");
    check("Nov 23 05:54:13", at, "");
    check("Nov  3 05:54:13 host x", "2026-11-03T04:54:13Z", " host x");
    check("Nov 3 05:54:13 host x", "2026-11-03T04:54:13Z", " host x");
    check(
        "Nov 23 05:54:13.25 host",
        "2026-11-23T04:54:13.25Z",
        " host",
    );
    check("<34>Nov 23 05:54:13 host", at, "<34> host");
    check("Nov 23 2025 05:54:13 host", "2025-11-23T04:54:13Z", " host");
    check("Nov 23 05:54:13 2025 host", "2025-11-23T04:54:13Z", " host");
    check("Nov 23 05:54:13 2026-host x", at, " 2026-host x");
    check(
        "[Mon Nov 23 05:54:13.000125 2026] [x]",
        "2026-11-23T04:54:13.000125Z",
        "[] [x]",
    );
    check("Jul 23 05:54:60 host", "2026-07-23T03:54:59Z", " host");
}

#[test]
fn iso_dates_are_read() {
    let at = "2026-11-23T05:54:13Z";
    check("2026-11-23T05:54:13Z host x", at, " host x");
    check("2026-11-23t05:54:13z host x", at, " host x");
    check("2026-11-23 05:54:13 UTC [7]", at, " [7]");
    check("2026-11-23T06:54:13+01:00 host", at, " host");
    check("2026-11-23T00:24:13-05:30 host", at, " host");
    check("2026-11-23 06:54:13 +0100 host", at, " host");
    check("2026-11-23 06:54:13 host", at, " host");
    check(
        "2026-11-23 06:54:13,125 host",
        "2026-11-23T05:54:13.125Z",
        " host",
    );
    check(
        "2026-11-23T05:54:13.123456789Z x",
        "2026-11-23T05:54:13.123456Z",
        " x",
    );
    check("[2026-11-23 06:54:13] x", at, "[] x");
    check("2026-11-23  6:54:13 4 [x]", at, " 4 [x]");
    check("<34>1 2026-11-23T05:54:13Z host x", at, "<34>1  host x");
    check("  2026-11-23T05:54:13Z host", at, "   host");
    check("2026/11/23 06:54:13 [error] 7#7: x", at, " [error] 7#7: x");
    check("2026.11.23 06:54:13: x", at, ": x");
    check(
        "time=\"2026-11-23T05:54:13Z\" level=x",
        at,
        "time=\"\" level=x",
    );
}

#[test]
fn web_server_and_epoch_dates_are_read() {
    let at = "2026-11-23T05:54:13Z";
    check(
        "192.0.2.1 - - [23/Nov/2026:06:54:13 +0100] \"GET\"",
        at,
        "192.0.2.1 - - [] \"GET\"",
    );
    check("23/Nov/2026:05:54:13 +0000 x", at, " x");
    check("3/Nov/2026:05:54:13 +0000 x", "2026-11-03T05:54:13Z", " x");
    check("23-Nov-2026 06:54:13.5 x", "2026-11-23T05:54:13.5Z", " x");
    check("1795413253 x", at, " x");
    check("1795413253.125 x", "2026-11-23T05:54:13.125Z", " x");
    check("1795413253125: x", "2026-11-23T05:54:13.125Z", ": x");
    check("[1795413253] x", at, "[] x");
    check(
        "type=A msg=audit(1795413253.125:47): x",
        "2026-11-23T05:54:13.125Z",
        "type=A msg=audit(:47): x",
    );
    check("audit(1795413253:47): x", at, "audit(:47): x");
}

#[test]
fn what_only_looks_like_a_date_is_none() {
    for line in [
        "",
        "x",
        "Nov",
        "Nov 23",
        "Nov 23 25:00:00 x",
        "Nov 32 05:54:13 x",
        "Nov 0 05:54:13 x",
        "2026-13-01 00:00:00",
        "2026-02-30 00:00:00 x",
        "2026-11-23 05:54:130",
        "2026-11/23 05:54:13",
        "Feb 30 00:00:00 x",
        "May I",
        "12345678901 x",
        "[   12.345678] kernel: x",
        "0795413253 x",
        "99/Nov/2026:05:54:13 +0000",
        "xNov 23 05:54:13",
        "call 1795413253 now",
        "2026-11-23T05:54:13Zx",
        "-2026-11-23 05:54:13",
    ] {
        check_none(line);
    }
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    check_bytes(
        b"Nov 23 05:54:13 \xff\x00",
        "2026-11-23T04:54:13Z",
        b" \xff\x00",
    );
    check_bytes(
        b"\xff\x00 [2026-11-23T05:54:13Z]",
        "2026-11-23T05:54:13Z",
        b"\xff\x00 []",
    );
}

#[test]
fn the_beginning_wins_over_what_an_attacker_wrote() {
    let line = "Nov 23 05:54:13 host sshd[1]: Invalid user [2001-01-01T00:00:00Z] from 192.0.2.1";
    let rest = " host sshd[1]: Invalid user [2001-01-01T00:00:00Z] from 192.0.2.1";
    check(line, "2026-11-23T04:54:13Z", rest);
    let mut finder = finder(NOW, TimeZone::UTC);
    // Nor does a format that was seen before make a later place better.
    let early = b"192.0.2.1 - - [23/Nov/2026:05:54:13 +0000] x";
    assert!(finder.find(early).is_some());
    let line = b"2026-11-23T11:00:00Z 192.0.2.1 - - [23/Nov/2001:05:54:13 +0000] x";
    assert_eq!(finder.find(line).unwrap().at, utc("2026-11-23T11:00:00Z"));
}

#[test]
fn of_dates_further_on_the_nearest_to_now_is_taken() {
    let line = "192.0.2.1 - [23/Nov/2001:05:54:13 +0000] [23/Nov/2026:11:59:59 +0000] \"GET\"";
    let rest = "192.0.2.1 - [23/Nov/2001:05:54:13 +0000] [] \"GET\"";
    check(line, "2026-11-23T11:59:59Z", rest);
    let line = "192.0.2.1 - u [23/Nov/2026:11:59:59 +0000] \"GET /[23/Nov/2001:05:54:13 +0000]";
    let rest = "192.0.2.1 - u [] \"GET /[23/Nov/2001:05:54:13 +0000]";
    check(line, "2026-11-23T11:59:59Z", rest);
}

#[track_caller]
fn check_year(now: &str, line: &str, at: &str) {
    let found = finder(now, TimeZone::UTC).find(line.as_bytes()).unwrap();
    assert_eq!(found.at, utc(at), "{line} at {now}");
}

#[test]
fn dates_without_a_year_are_of_the_nearest_past() {
    // December's last lines are read in January.
    check_year(
        "2027-01-01T00:00:05Z",
        "Dec 31 23:59:58 x",
        "2026-12-31T23:59:58Z",
    );
    // A writer whose clock is a little ahead is in January already.
    check_year(
        "2026-12-31T23:59:58Z",
        "Jan  1 00:00:01 x",
        "2027-01-01T00:00:01Z",
    );
    // Within a day ahead is this year, beyond it is last year.
    check_year(
        "2026-06-10T12:00:00Z",
        "Jun 11 11:59:59 x",
        "2026-06-11T11:59:59Z",
    );
    check_year(
        "2026-06-10T12:00:00Z",
        "Jun 11 12:00:01 x",
        "2025-06-11T12:00:01Z",
    );
    check_year(
        "2026-01-05T00:00:00Z",
        "Jan  5 00:00:00 x",
        "2026-01-05T00:00:00Z",
    );
    check_year(
        "2026-01-05T00:00:00Z",
        "Jan  7 00:00:00 x",
        "2025-01-07T00:00:00Z",
    );
}

#[test]
fn a_year_that_is_written_is_believed_however_far_from_now_it_is() {
    let now = "2026-06-10T12:00:00Z";
    for (line, at) in [
        ("1999-12-31T23:59:59Z x", "1999-12-31T23:59:59Z"),
        ("2031-01-01T00:00:00Z x", "2031-01-01T00:00:00Z"),
        ("01/Jan/2000:00:00:00 +0100 x", "1999-12-31T23:00:00Z"),
        ("1000000000 x", "2001-09-09T01:46:40Z"),
    ] {
        check_year(now, line, at);
    }
}

#[test]
fn the_29th_of_february_is_of_the_last_leap_year() {
    check_year(
        "2026-06-01T00:00:00Z",
        "Feb 29 01:00:00 x",
        "2024-02-29T01:00:00Z",
    );
    check_year(
        "2028-03-01T00:00:00Z",
        "Feb 29 01:00:00 x",
        "2028-02-29T01:00:00Z",
    );
    check_year(
        "2103-03-01T00:00:00Z",
        "Feb 29 01:00:00 x",
        "2096-02-29T01:00:00Z",
    );
}

#[test]
fn the_year_is_that_of_the_local_zone() {
    let zone = TimeZone::fixed(jiff::tz::offset(-10));
    // Here it is 2027, there still 31 December 2026.
    let mut finder = finder("2027-01-01T05:00:00Z", zone);
    let found = finder.find(b"Dec 31 19:00:00 x").unwrap();
    assert_eq!(found.at, utc("2027-01-01T05:00:00Z"));
}

#[test]
fn times_that_a_change_of_clocks_skips_or_repeats_are_read() {
    // 02:30 does not exist on the last Sunday of March and exists twice on that of October.
    check("2026-03-29 02:30:00 x", "2026-03-29T01:30:00Z", " x");
    check("2026-10-25 02:30:00 x", "2026-10-25T00:30:00Z", " x");
    check("Oct 25 02:30:00 x", "2026-10-25T00:30:00Z", " x");
}

#[test]
fn a_date_that_is_remembered_is_read_anew_when_time_moves_on() {
    let mut finder = finder("2026-12-31T23:59:59Z", TimeZone::UTC);
    let line = b"Jan  2 00:00:01 x";
    assert_eq!(finder.find(line).unwrap().at, utc("2026-01-02T00:00:01Z"));
    finder.set_now(utc("2027-01-02T00:00:02Z"));
    assert_eq!(finder.find(line).unwrap().at, utc("2027-01-02T00:00:01Z"));
}

proptest! {
    #[test]
    fn no_line_makes_the_finder_fail(
        line in prop::collection::vec(prop_oneof![
            Just(b"Nov 23 05:54:13".to_vec()),
            Just(b"2026-11-23T05:54:13".to_vec()),
            Just(b"23/Nov/2026:05:54:13 +0000".to_vec()),
            Just(b"audit(1795413253.1".to_vec()),
            Just(b"9999-12-31 23:59:59 -23:59".to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
        ], 0..5),
        now in any::<i64>(),
    ) {
        let line = line.concat();
        let mut finder = DateFinder::new(berlin());
        finder.set_now(Timestamp::from_micros(now));
        let first = finder.find(&line);
        // What is remembered from a line changes nothing for the same line.
        prop_assert_eq!(finder.find(&line), first);
        if let Some(found) = first {
            prop_assert!(found.start < found.end && found.end <= line.len());
        }
    }
}
