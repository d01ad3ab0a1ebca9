use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use stockade_core::{Checkpoint, Chunk, JailName, LineTimes, SourceName};

use super::*;
use crate::source::Expected;
use crate::{Detector, Filter, Matcher, Outcome};

/// 2026-11-23 05:57:00 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_795_413_420);

fn all_of(conditions: &[(&str, Expected)]) -> Vec<Condition> {
    let conditions = conditions.iter().map(|(field, expected)| Condition {
        field: (*field).to_owned(),
        any: vec![expected.clone()],
    });
    conditions.collect()
}

fn text(text: &str) -> Expected {
    Expected::Text(text.to_owned())
}

fn pattern(text: &str) -> Expected {
    Expected::Pattern(text.to_owned())
}

/// `status` 401 of the logger `access`, with the address in `request.ip` and no time.
fn access() -> FilterSource {
    FilterSource {
        datepattern: DatePattern::None,
        json: Some(JsonFields {
            id: vec!["request.ip".to_owned()],
            user: Some("user".to_owned()),
            time: Some("ts".to_owned()),
            failure: vec![all_of(&[
                ("logger", text("access")),
                ("status", Expected::Number(401)),
            ])],
            ignore: vec![all_of(&[("request.uri", text("/health"))])],
        }),
        ..FilterSource::default()
    }
}

fn failing(conditions: &[(&str, Expected)]) -> FilterSource {
    let mut source = access();
    let json = source.json.as_mut().unwrap();
    json.failure = vec![all_of(conditions)];
    source
}

fn outcome(source: &FilterSource, line: &str) -> Outcome {
    let filter = Filter::compile(source).unwrap();
    filter.explain(line.as_bytes(), NOW, &TimeZone::UTC).outcome
}

/// The address and user that a line is a failure of.
fn found(source: &FilterSource, line: &str) -> Option<(String, Option<String>)> {
    match outcome(source, line) {
        Outcome::Matched { id, user, .. } => {
            let user = user.map(|user| String::from_utf8_lossy(user.of(line.as_bytes())).into());
            Some((id.to_string(), user))
        }
        _ => None,
    }
}

#[track_caller]
fn counts(source: &FilterSource, line: &str, id: &str) {
    let found = found(source, line).map(|(id, _)| id);
    assert_eq!(found.as_deref(), Some(id), "{line}");
}

#[track_caller]
fn counts_for_nobody(source: &FilterSource, line: &str) {
    assert_eq!(outcome(source, line), Outcome::Missed, "{line}");
}

#[test]
fn an_entry_is_a_failure_of_the_address_in_its_field() {
    let line =
        r#"{"logger":"access","request":{"ip":"192.0.2.1","uri":"/"},"user":"a b","status":401}"#;
    let expected = ("192.0.2.1".to_owned(), Some("a b".to_owned()));
    assert_eq!(found(&access(), line), Some(expected));
    // The order of the fields, blanks and a carriage return at the end mean nothing.
    let line = " { \"status\" : 401 , \"request\" : { \"x\" : [ { } ] , \"ip\" : \"2001:db8::1\" } , \"logger\" : \"access\" }\r";
    counts(&access(), line, "2001:db8::1");
}

#[test]
fn text_in_one_field_cannot_stand_for_another() {
    for line in [
        r#"{"logger":"access","request":{"ip":"192.0.2.1","uri":"\",\"ip\":\"203.0.113.9"},"status":401}"#,
        r#"{"logger":"access","request":{"uri":"{\"ip\":\"203.0.113.9\"}","ip":"192.0.2.1"},"status":401}"#,
        r#"{"logger":"access","ip":"203.0.113.9","x":{"request":{"ip":"203.0.113.9"}},"request":{"ip":"192.0.2.1"},"status":401}"#,
        r#"{"logger":"access","request.ip":"203.0.113.9","request":{"ip":"192.0.2.1"},"status":401}"#,
    ] {
        counts(&access(), line, "192.0.2.1");
    }
    let line = r#"{"logger":"other","request":{"ip":"192.0.2.1","uri":"\"logger\":\"access\",\"status\":401"},"status":200}"#;
    counts_for_nobody(&access(), line);
}

#[test]
fn what_is_no_entry_counts_for_nobody() {
    let good = r#"{"logger":"access","request":{"ip":"192.0.2.1"},"status":401}"#;
    counts(&access(), good, "192.0.2.1");
    for line in [
        String::new(),
        "401 access".to_owned(),
        format!("[{good}]"),
        format!("{good} and more"),
        format!("{good}{good}"),
        good.replace(":401}", ":401"),
        good.replace(":401}", ":401,}"),
        good.replace(":401}", ":0401}"),
        good.replace(r#""access""#, "'access'"),
        good.replace(r#""status":401"#, r#""x":"\q","status":401"#),
    ] {
        counts_for_nobody(&access(), &line);
    }
}

#[test]
fn a_value_of_another_type_counts_for_nobody() {
    let entry = |ip: &str, status: &str| {
        format!(r#"{{"logger":"access","request":{{"ip":{ip}}},"status":{status}}}"#)
    };
    counts(&access(), &entry(r#""192.0.2.1""#, r#""401""#), "192.0.2.1");
    for ip in [
        "null",
        "5",
        "true",
        "{}",
        r#"["192.0.2.1"]"#,
        r#""""#,
        r#""a.example.com""#,
        r#""192.0.2.1 ""#,
        r#""192.0.2.1:""#,
        r#""192.0.2.1:65536""#,
        r#""192.0.2.1:1:2""#,
        r#""192.0.2.1%eth0""#,
        r#""[192.0.2.1""#,
        r#""[2001:db8::1]x""#,
        r#""192.0.2.01""#,
        r#""203.0.113.9, 192.0.2.1""#,
        r#""192.0.2.0/24""#,
    ] {
        counts_for_nobody(&access(), &entry(ip, "401"));
    }
    for status in [
        "null",
        "401.0",
        "4.01e2",
        "-401",
        "[401]",
        r#"" 401""#,
        r#""\u0034\u0030\u0031""#,
    ] {
        counts_for_nobody(&access(), &entry(r#""192.0.2.1""#, status));
    }
    counts_for_nobody(
        &access(),
        r#"{"logger":"access","request":"192.0.2.1","status":401}"#,
    );
}

#[test]
fn an_address_may_have_a_port_brackets_and_a_zone() {
    for (written, id) in [
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[192.0.2.1]:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[fe80::1%eth0]:4711", "fe80::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        // The last group of an address, and no port.
        ("2001:db8::1:4711", "2001:db8::1:4711"),
    ] {
        let line = format!(r#"{{"logger":"access","request":{{"ip":"{written}"}},"status":401}}"#);
        counts(&access(), &line, id);
    }
}

#[test]
fn a_name_that_stands_twice_with_two_values_counts_for_nobody_and_is_told() {
    let twice = |line: &str, addresses: &[&str]| {
        let Outcome::Ambiguous { pattern, readings } = outcome(&access(), line) else {
            panic!("not ambiguous: {line}");
        };
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!((pattern, readings), (0, addresses), "{line}");
    };
    let both = ["192.0.2.1", "203.0.113.9"];
    twice(
        r#"{"logger":"access","request":{"ip":"192.0.2.1","ip":"203.0.113.9"},"status":401}"#,
        &both,
    );
    twice(
        r#"{"logger":"access","request":{"ip":"192.0.2.1"},"request":{"ip":"203.0.113.9"},"status":401}"#,
        &both,
    );
    twice(
        r#"{"logger":"access","request":{"ip":"192.0.2.1"},"status":200,"status":401}"#,
        &both[..1],
    );
    twice(
        r#"{"logger":"access","request":{"ip":"192.0.2.1"},"status":401,"user":"a","user":"b"}"#,
        &both[..1],
    );
    twice(
        r#"{"logger":"access","request":{"ip":"192.0.2.1"},"request":{},"status":401}"#,
        &both[..1],
    );
    twice(
        r#"{"logger":"access","request":{"ip":"192.0.2.1"},"request":7,"status":401}"#,
        &both[..1],
    );
    // Twice the same, or a field that nobody asks for.
    for line in [
        r#"{"logger":"access","request":{"ip":"192.0.2.1","ip":"192.0.2.\u0031"},"status":401}"#,
        r#"{"logger":"access","request":{"ip":"192.0.2.1","uri":"a","x":1,"x":2},"status":401}"#,
    ] {
        counts(&access(), line, "192.0.2.1");
    }
    counts_for_nobody(
        &access(),
        r#"{"logger":"access","request":{"ip":"a","ip":"b"},"status":401}"#,
    );
}

#[test]
fn an_entry_that_is_to_be_ignored_is_no_failure() {
    let line = r#"{"logger":"access","request":{"ip":"192.0.2.1","uri":"/health"},"status":401}"#;
    assert_eq!(outcome(&access(), line), Outcome::Ignored { pattern: 0 });
    // One of two readings is enough, so that nobody is banned who might be spared.
    let line = line.replace(r#""uri""#, r#""uri":"/","uri""#);
    assert_eq!(outcome(&access(), &line), Outcome::Ignored { pattern: 0 });
}

#[test]
fn bytes_that_are_no_text_and_halves_of_characters_hide_nothing() {
    let filter = Filter::compile(&access()).unwrap();
    let mut line =
        br#"{"logger":"access","\ud800":"\udc00","request":{"ip":"192.0.2.1"},"user":"~","status":401}"#
            .to_vec();
    let at = line.iter().position(|&b| b == b'~').unwrap();
    line[at] = 0xff;
    let found = filter.explain(&line, NOW, &TimeZone::UTC).outcome;
    assert!(matches!(found, Outcome::Matched { .. }), "{found:?}");
}

#[test]
fn an_entry_may_be_nested_as_deep_as_its_line_is_long() {
    let deep = format!("{}{}", "[".repeat(15_000), "]".repeat(15_000));
    let line = format!(
        r#"{{"logger":"access","request":{{"x":{deep},"ip":"192.0.2.1"}},"y":{deep},"status":401}}"#
    );
    let found = found(&access(), &line).map(|(id, _)| id);
    assert_eq!(found.as_deref(), Some("192.0.2.1"));
}

#[test]
fn the_time_is_that_of_the_field() {
    let filter = Filter::compile(&access()).unwrap();
    let time = |written: &str| {
        let line = format!(
            r#"{{"ts":{written},"logger":"access","request":{{"ip":"192.0.2.1"}},"status":401}}"#
        );
        let explained = filter.explain(line.as_bytes(), NOW, &TimeZone::UTC);
        explained.time.map(|(at, place)| {
            let written = String::from_utf8_lossy(place.of(line.as_bytes())).into_owned();
            (at.as_micros(), written)
        })
    };
    let second = 1_795_413_253_000_000;
    let some = |micros, text: &str| Some((micros, text.to_owned()));
    assert_eq!(time("1795413253.5"), some(second + 500_000, "1795413253.5"));
    for text in [
        "2026-11-23T05:54:13Z",
        "2026-11-23T06:54:13+01:00",
        "2026/11/23 05:54:13.000",
        "23/Nov/2026:05:54:13 +0000",
        "1795413253",
    ] {
        assert_eq!(time(&format!("\"{text}\"")), some(second, text), "{text}");
    }
    for text in [
        "\"2026-11-23T05:54:13Z x\"",
        "\"\"",
        "null",
        "{}",
        "\"soon\"",
    ] {
        assert_eq!(time(text), None, "{text}");
    }
}

#[test]
fn nothing_but_a_loggers_header_may_stand_before_the_object() {
    let entry = r#"{"logger":"access","request":{"ip":"192.0.2.1"},"status":401}"#;
    let mut source = access();
    source.datepattern = DatePattern::Default;
    for header in [
        "",
        "  ",
        "host web[7]: ",
        "web: ",
        "Nov 23 05:54:13 host web[7]: ",
    ] {
        counts(&source, &format!("{header}{entry}"), "192.0.2.1");
    }
    for before in [
        "host sshd[7]: Invalid user ",
        "host web[7]: x ",
        "x ",
        "\"",
        "host web[7]: {} ",
        "{",
    ] {
        counts_for_nobody(&source, &format!("{before}{entry}"));
    }
    let filter = Filter::compile(&source).unwrap();
    let line = format!("Nov 23 05:54:13 host web[7]: {entry}");
    let (at, _) = filter
        .explain(line.as_bytes(), NOW, &TimeZone::UTC)
        .time
        .unwrap();
    assert_eq!(at, Timestamp::from_secs(1_795_413_253));
}

#[test]
fn a_prefregex_says_what_stands_around_the_object() {
    let mut source = access();
    source.datepattern = DatePattern::Default;
    source.prefregex =
        Some(r"^\s*\S+ web\[\d+\]: @cee: <F-CONTENT>\{.*\}</F-CONTENT>;$".to_owned());
    let entry = r#"{"logger":"access","request":{"ip":"192.0.2.1"},"user":"al","status":401}"#;
    let line = format!("Nov 23 05:54:13 host web[7]: @cee: {entry};");
    let expected = ("192.0.2.1".to_owned(), Some("al".to_owned()));
    assert_eq!(found(&source, &line), Some(expected));
    counts_for_nobody(&source, entry);
    counts_for_nobody(
        &source,
        &format!("Nov 23 05:54:13 host db[7]: @cee: {entry};"),
    );
}

#[test]
fn a_pattern_is_about_the_whole_text_of_a_field() {
    let message = "^Login failed: <F-USER>.*</F-USER> \\(Remote IP: <ADDR>\\)$";
    let source = failing(&[("message", pattern(message))]);
    let entry =
        |message: &str| format!(r#"{{"request":{{"ip":"192.0.2.9"}},"message":"{message}"}}"#);
    let line = entry(r"Login failed: a\u0062\tc (Remote IP: 192.0.2.1)");
    // The address in the text goes before the field; the name is shown as it is written.
    let expected = ("192.0.2.1".to_owned(), Some(r"a\u0062\tc".to_owned()));
    assert_eq!(found(&source, &line), Some(expected));
    // A line end in the text hides nothing, and neither end gives way.
    counts(
        &source,
        &entry(r"Login failed: a\nb (Remote IP: 192.0.2.1)"),
        "192.0.2.1",
    );
    counts_for_nobody(&source, &entry("x Login failed: a (Remote IP: 192.0.2.1)"));
    counts_for_nobody(&source, &entry("Login failed: a (Remote IP: 192.0.2.1) "));
    let source = failing(&[("message", pattern("^a|b$"))]);
    counts(&source, &entry("b"), "192.0.2.9");
    counts_for_nobody(&source, &entry("ab"));
    counts_for_nobody(&source, &entry("b a"));
}

#[test]
fn a_text_that_can_be_read_with_two_addresses_counts_for_nobody() {
    let source = failing(&[("message", pattern("^from <ADDR>.*$"))]);
    counts(&source, r#"{"message":"from 192.0.2.1, x"}"#, "192.0.2.1");
    let source = failing(&[("message", pattern("^.*from <ADDR>.*$"))]);
    let line = r#"{"message":"x from 192.0.2.1 from 203.0.113.9"}"#;
    assert!(matches!(outcome(&source, line), Outcome::Ambiguous { .. }));
}

#[test]
fn a_condition_looks_at_numbers_ranges_and_places_in_arrays() {
    let entry = |rest: &str| format!(r#"{{"request":{{"ip":"192.0.2.1"}},{rest}}}"#);
    let source = failing(&[("status", Expected::Between(400, 499))]);
    for status in ["400", "499", "401.5", "4.1e2", "\"404\""] {
        counts(
            &source,
            &entry(&format!("\"status\":{status}")),
            "192.0.2.1",
        );
    }
    for status in ["399", "500", "-404", "null", "\"4o4\"", "\"\"", "\"nan\""] {
        counts_for_nobody(&source, &entry(&format!("\"status\":{status}")));
    }
    let source = failing(&[("h.Authorization.0", pattern("^.+$"))]);
    counts(
        &source,
        &entry(r#""h":{"Authorization":["Basic"]}"#),
        "192.0.2.1",
    );
    counts_for_nobody(&source, &entry(r#""h":{"Authorization":[]}"#));
    counts_for_nobody(&source, &entry(r#""h":{"Authorization":[""]}"#));
    let source = failing(&[(r"log\.level", Expected::Boolean(true))]);
    counts(&source, &entry(r#""log.level":true"#), "192.0.2.1");
    counts_for_nobody(&source, &entry(r#""log":{"level":true}"#));
    counts_for_nobody(&source, &entry(r#""log.level":"true""#));
}

#[test]
fn the_first_field_that_is_there_names_the_id() {
    let mut source = access();
    source.json.as_mut().unwrap().id = vec!["client_ip".into(), "request.ip".into()];
    let entry = |rest: &str| {
        format!(r#"{{"logger":"access","request":{{"ip":"192.0.2.1"}},"status":401{rest}}}"#)
    };
    counts(&source, &entry(""), "192.0.2.1");
    counts(&source, &entry(r#","client_ip":null"#), "192.0.2.1");
    counts(&source, &entry(r#","client_ip":"192.0.2.2""#), "192.0.2.2");
    counts_for_nobody(&source, &entry(r#","client_ip":"unknown""#));
}

#[track_caller]
fn refused(source: &FilterSource, expected: &[&str]) {
    let errors = Filter::compile(source).expect_err("the filter was accepted");
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected);
}

#[test]
fn a_filter_that_leaves_something_open_is_refused() {
    let mut source = access();
    source.json.as_mut().unwrap().id.clear();
    refused(&source, &["failure 1: nothing says who it was"]);
    source.json = Some(JsonFields::default());
    refused(
        &source,
        &["failure 1: the filter says nowhere what a failure is"],
    );
    refused(
        &failing(&[]),
        &["failure 1: an entry without a condition would match everything"],
    );
    refused(
        &failing(&[
            ("a..b", text("x")),
            ("c", pattern("^(x$")),
            ("d", pattern("^x")),
        ]),
        &[
            "failure 1: a part of the path is empty",
            "failure 1: unclosed group",
            "failure 1: the pattern does not end with $",
        ],
    );
    refused(
        &failing(&[("a", pattern("^<ADDR>$")), ("b", pattern("^<ADDR>$"))]),
        &["failure 1: the id is named by the patterns of two fields"],
    );
    let mut source = access();
    source.failregex = vec!["<HOST>".to_owned()];
    source.prefregex = Some("^<ADDR> <F-CONTENT>.*</F-CONTENT>$".to_owned());
    refused(
        &source,
        &[
            "failregex 1: entries of JSON are judged by their fields, not by a failregex",
            "prefregex: only <F-CONTENT> has a meaning in this prefregex",
        ],
    );
}

/// How `char` can be written in a string of JSON.
fn written(char: char, how: u8) -> String {
    match (how % 4, char) {
        (_, '"' | '\\') => format!("\\{char}"),
        (0, _) => format!("\\u{:04x}", u32::from(char)),
        (1, _) => format!("\\u{:04X}", u32::from(char)),
        (2, '/') => "\\/".to_owned(),
        _ => char.to_string(),
    }
}

fn string(text: &str, escapes: &[u8]) -> String {
    let mut how = escapes.iter().copied().cycle();
    let inside: String = text
        .chars()
        .map(|char| written(char, how.next().unwrap_or(3)))
        .collect();
    format!("\"{inside}\"")
}

/// Which of `lines` are failures in a scan of all of them, by their indexes.
fn scanned(source: &FilterSource, lines: &[String]) -> Vec<usize> {
    let filter = Arc::new(Filter::compile(source).unwrap());
    assert!(!filter.sees_every_line());
    let jail = JailName::try_new("web").unwrap();
    let mut detector = Detector::new(vec![(jail, Matcher::Plain(filter))], TimeZone::UTC);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let chunk = Chunk {
        source: SourceName::new("test"),
        text: text.as_bytes().into(),
        times: LineTimes::InText,
        checkpoint: Checkpoint::None,
    };
    let scan = detector.scan(&chunk, NOW);
    let failures = scan.failures.iter().flat_map(|found| found.items.iter());
    let line_of = |start: u32| {
        let before = &text.as_bytes()[..usize::try_from(start).unwrap()];
        before.iter().filter(|&&b| b == b'\n').count()
    };
    failures
        .map(|failure| line_of(failure.line.start))
        .collect()
}

proptest! {
    #[test]
    fn the_prefilter_loses_no_line_however_it_is_escaped(
        entries in prop::collection::vec((
            prop::sample::select(vec!["access", "acces", "Login failed/x", "Login failed?x", "é"]),
            prop::sample::select(vec!["401", "\"401\"", "403", "200", "4401"]),
            prop::sample::select(vec!["", " ", "\t", "\r"]),
            prop::collection::vec(any::<u8>(), 1..5),
        ), 1..12),
    ) {
        let mut source = access();
        let json = source.json.as_mut().unwrap();
        json.failure = vec![
            all_of(&[("logger", text("access")), ("status", Expected::Number(401))]),
            all_of(&[("logger", pattern("^Login (?:failed|denied)[/?]x$"))]),
            all_of(&[("logger", text("access")), ("status", Expected::Between(403, 403))]),
            all_of(&[("status", Expected::Between(200, 200)), ("logger", pattern("^é$"))]),
        ];
        let lines: Vec<String> = entries.iter().map(|(logger, status, blank, escapes)| {
            let (name, logger) = (string("logger", escapes), string(logger, escapes));
            let names = (string("status", escapes), string("ip", escapes));
            format!(
                "{{{name}{blank}:{blank}{logger},{}:{blank}{status},\"request\":{{{}:\"192.0.2.1\"}}}}",
                names.0, names.1,
            )
        }).collect();
        let expected: Vec<usize> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| found(&source, line).is_some())
            .map(|(i, _)| i)
            .collect();
        prop_assert_eq!(scanned(&source, &lines), expected);
    }

    #[test]
    fn any_bytes_behind_a_brace_are_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let filter = Filter::compile(&access()).unwrap();
        let line = [b"{\"request\":{\"ip\":".as_slice(), &bytes].concat();
        let explained = filter.explain(&line, NOW, &TimeZone::UTC);
        prop_assert_eq!(explained.outcome, Outcome::Missed);
    }
}
