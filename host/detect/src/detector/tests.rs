use proptest::prelude::*;
use stockade_core::{Checkpoint, FailureId, Span};

use super::*;
use crate::lines::LINE_LEN_MAX;
use crate::source::{DatePattern, Dialect, FilterSource};

/// 2026-11-23 12:00 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_795_435_200);

fn jail(name: &str) -> JailName {
    JailName::try_new(name).unwrap()
}

fn filter(failregex: &[&str]) -> Arc<Filter> {
    with(&FilterSource {
        failregex: failregex.iter().map(|&text| text.to_owned()).collect(),
        ..FilterSource::default()
    })
}

fn with(source: &FilterSource) -> Arc<Filter> {
    Arc::new(Filter::compile(source).unwrap())
}

fn detector(filters: &[&Arc<Filter>]) -> Detector {
    let jails = filters
        .iter()
        .enumerate()
        .map(|(i, filter)| (jail(&format!("j{i}")), Matcher::Plain(Arc::clone(filter))))
        .collect();
    Detector::new(jails, TimeZone::UTC)
}

fn chunk(text: &[u8]) -> Chunk {
    Chunk {
        source: SourceName::new("log"),
        text: text.into(),
        times: LineTimes::InText,
        checkpoint: Checkpoint::None,
    }
}

fn scan(filters: &[&Arc<Filter>], text: &[u8]) -> Scan {
    detector(filters).scan(&chunk(text), NOW)
}

/// Jail, id and line of each failure.
fn found(scan: &Scan) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for failures in &scan.failures {
        for item in failures.items.iter() {
            let line = String::from_utf8_lossy(item.line.of(&failures.text)).into_owned();
            found.push((failures.jail.to_string(), item.id.to_string(), line));
        }
    }
    found
}

fn ids(scan: &Scan) -> Vec<String> {
    found(scan).into_iter().map(|(_, id, _)| id).collect()
}

#[test]
fn each_jail_gets_the_failures_of_its_filter() {
    let bad = filter(&["bad <ADDR>$"]);
    let evil = filter(&["^evil <ADDR>", "^very evil <ADDR>"]);
    let same_as_bad = filter(&["bad <ADDR>$"]);
    let text = b"bad 192.0.2.1\nother\r\nvery evil 192.0.2.2 x\r\n\nevil bad 192.0.2.3\n";
    let scan = scan(&[&bad, &evil, &same_as_bad], text);
    let line = |jail: &str, id: &str, line: &str| (jail.into(), id.into(), line.into());
    assert_eq!(
        found(&scan),
        [
            line("j0", "192.0.2.1", "bad 192.0.2.1"),
            line("j0", "192.0.2.3", "evil bad 192.0.2.3"),
            line("j2", "192.0.2.1", "bad 192.0.2.1"),
            line("j2", "192.0.2.3", "evil bad 192.0.2.3"),
            line("j1", "192.0.2.2", "very evil 192.0.2.2 x"),
        ]
    );
    assert_eq!((scan.counts.lines, scan.counts.candidates), (5, 3));
    assert_eq!(scan.counts.undated, 3);
}

#[test]
fn equal_filters_run_once_for_any_number_of_jails() {
    let filters: Vec<_> = (0..100).map(|_| filter(&["bad <ADDR>$"])).collect();
    let mut detector = detector(&filters.iter().collect::<Vec<_>>());
    assert_eq!(detector.groups.len(), 1);
    let scan = detector.scan(&chunk(b"bad 192.0.2.1\n"), NOW);
    assert_eq!(scan.failures.len(), 100);
}

#[test]
fn the_first_matching_failregex_wins_and_ignoreregex_takes_back() {
    let source = FilterSource {
        prefregex: Some("^app: <F-CONTENT>.+</F-CONTENT>$".into()),
        failregex: vec![
            "^fail <F-USER>x+</F-USER> <ADDR>".into(),
            "^fail .* <IP4>".into(),
        ],
        ignoreregex: vec![
            "192\\.0\\.2\\.7".into(),
            "^app: fail y".into(),
            "^fail z".into(),
        ],
        ..FilterSource::default()
    };
    let filter = with(&source);
    let explain = |line: &str| filter.explain(line.as_bytes(), NOW, &TimeZone::UTC).outcome;
    use crate::Outcome::{Ignored, Matched, Missed};
    let matched = |pattern, user: Option<Span>| Matched {
        pattern,
        id: FailureId::parse("192.0.2.1"),
        user,
    };
    assert_eq!(
        explain("app: fail xx 192.0.2.1"),
        matched(0, Some(Span { start: 10, end: 12 }))
    );
    assert_eq!(explain("app: fail ab 192.0.2.1"), matched(1, None));
    assert_eq!(explain("fail ab 192.0.2.1"), Missed);
    assert_eq!(explain("app: "), Missed);
    assert_eq!(explain("app: fail ab 192.0.2.7"), Ignored { pattern: 0 });
    assert_eq!(explain("app: fail y 192.0.2.1"), Ignored { pattern: 1 });
    assert_eq!(explain("app: fail z 192.0.2.1"), Ignored { pattern: 2 });
    let scan = scan(
        &[&filter],
        b"app: fail ab 192.0.2.7\napp: fail ab 192.0.2.1\n",
    );
    assert_eq!(ids(&scan), ["192.0.2.1"]);
    assert_eq!(scan.counts.ignored, 1);
}

#[test]
fn ids_need_not_be_addresses() {
    let text = filter(&["^session <F-ID>\\S+</F-ID> by <ADDR>$"]);
    assert_eq!(
        ids(&scan(&[&text], b"session 4711 by 192.0.2.1\n")),
        ["4711"]
    );
    let subnet = filter(&["^net <SUBNET>$"]);
    let text = b"net 192.0.2.77/24\nnet 2001:db8::1\nnet [2001:db8::5]\nnet ::ffff:192.0.2.1/120\n";
    let expected = ["192.0.2.0/24", "2001:db8::1", "2001:db8::5", "192.0.2.0/24"];
    assert_eq!(ids(&scan(&[&subnet], text)), expected);
    assert_eq!(
        ids(&scan(&[&subnet], b"net 192.0.2.1/33\nnet 192.0.2.1/0\n")),
        ["0.0.0.0/0"]
    );
    let source = FilterSource {
        prefregex: Some("^<ADDR>: <F-CONTENT>.+</F-CONTENT>$".into()),
        failregex: vec!["^denied".into()],
        ..FilterSource::default()
    };
    assert_eq!(
        ids(&scan(&[&with(&source)], b"192.0.2.1: denied\nx: denied\n")),
        ["192.0.2.1"]
    );
}

#[test]
fn a_line_that_names_different_addresses_is_no_failure_and_is_shown() {
    let sloppy = filter(&["^login of .* from <ADDR>.*$"]);
    let forged = "login of x from 203.0.113.9 from 192.0.2.1";
    let text = format!("{forged}\nlogin of x from 192.0.2.1\n");
    let scan = scan(&[&sloppy], text.as_bytes());
    assert_eq!(ids(&scan), ["192.0.2.1"]);
    assert_eq!(scan.counts.ambiguous, 1);
    let [shown] = scan.ambiguous.as_slice() else {
        panic!("one line is shown");
    };
    assert_eq!(shown.line.of(text.as_bytes()), forged.as_bytes());
    let addrs: Vec<String> = shown.readings.iter().map(ToString::to_string).collect();
    assert_eq!(addrs, ["203.0.113.9", "192.0.2.1"]);
    assert_eq!(scan.ambiguous_of.iter().map(|(_, n)| n).sum::<u64>(), 1);
    let outcome = sloppy
        .explain(forged.as_bytes(), NOW, &TimeZone::UTC)
        .outcome;
    let readings = shown.readings.clone();
    assert_eq!(
        outcome,
        crate::Outcome::Ambiguous {
            pattern: 0,
            readings
        }
    );
}

#[test]
fn no_trick_makes_a_line_with_two_addresses_count_for_one_of_them() {
    let sloppy = filter(&["^login of .* from <ADDR>.*$"]);
    let many = "from 203.0.113.9 ".repeat(3000);
    let same = "from 192.0.2.1x ".repeat(3000);
    for forged in [
        "login of x from 203.0.113.9%a from 192.0.2.1".to_owned(),
        "login of x from 203.0.113.9 from 192.0.2.1%a".to_owned(),
        "login of x from 2001:db8::9%a from 192.0.2.1".to_owned(),
        "login of x from [203.0.113.9%a] from 192.0.2.1".to_owned(),
        "login of x from fe80::1%a from fe80::2%a".to_owned(),
        format!("login of x {many}from 192.0.2.1"),
        format!("login of x from 192.0.2.1 {same} from 203.0.113.9"),
    ] {
        let scan = scan(&[&sloppy], format!("{forged}\n").as_bytes());
        assert_eq!(ids(&scan), Vec::<String>::new(), "{:.60}", forged);
        assert_eq!(scan.counts.ambiguous, 1, "{:.60}", forged);
    }
}

#[test]
fn what_only_looks_like_a_second_address_leaves_a_line_clear() {
    let sloppy = filter(&["^login of .* from <ADDR>.*$"]);
    for line in [
        "login of x from 10:20:30 from 192.0.2.1",
        "login of x from 192.0.2.1%a",
        "login of x from fe80::1%a from fe80::1%b",
    ] {
        let scan = scan(&[&sloppy], format!("{line}\n").as_bytes());
        assert_eq!(scan.counts.ambiguous, 0, "{line}");
    }
}

#[test]
fn a_line_with_two_readings_bans_nobody_whatever_the_pattern_is_like() {
    let cases = [
        // Open at an end.
        (vec!["from <ADDR>"], "from 192.0.2.1 not from 203.0.113.9"),
        // The address in an alternative, in a group that may be missing, in one that is repeated.
        (
            vec!["^(?:from <ADDR> .*|.* from <ADDR>)$"],
            "from 192.0.2.1 from 203.0.113.9",
        ),
        (
            vec!["^login .*?from (?:<ADDR>)? failed.*$"],
            "login from 192.0.2.1 failed from 203.0.113.9 failed",
        ),
        // A network, and an id that is an address.
        (
            vec!["^login .*net <SUBNET>.*$"],
            "login net 192.0.2.0/24 net 203.0.113.0/24",
        ),
        (
            vec![r"^login .*from <F-ID>\S+</F-ID>.*$"],
            "login from 192.0.2.1 from 203.0.113.9",
        ),
    ];
    for (patterns, line) in cases {
        let filter = filter(&patterns);
        let scan = scan(&[&filter], format!("{line}\n").as_bytes());
        assert_eq!(ids(&scan), Vec::<String>::new(), "{line}");
        assert_eq!(scan.counts.ambiguous, 1, "{line}");
        assert_eq!(scan.ambiguous[0].readings.len(), 2, "{line}");
    }
}

fn fail2ban(prefregex: Option<&str>, failregex: &[&str]) -> Arc<Filter> {
    let source = FilterSource {
        prefregex: prefregex.map(str::to_owned),
        failregex: failregex.iter().map(|&text| text.to_owned()).collect(),
        dialect: Dialect::Fail2ban,
        ..FilterSource::default()
    };
    Arc::new(Filter::compile(&source).unwrap())
}

#[test]
fn a_line_with_two_readings_bans_nobody_in_the_dialect_of_fail2ban_either() {
    let two = "login of x from 203.0.113.9 from 192.0.2.1 failed";
    for (pattern, line) in [
        ("^login of .* from <HOST>", two),
        ("^login of .*? from <HOST> .*$", two),
        ("login of <F-USER>.*</F-USER> from <ADDR>", two),
        (r"^login of \S+(?: from \S+)* from <F-ID>\S+</F-ID> ", two),
        // Not linear, and not of ASCII.
        ("^login of (?!root).* from <HOST>", two),
        (
            r"^login of \w+(?: from \S+)* from <HOST>",
            "login of é from 203.0.113.9 from 192.0.2.1 failed",
        ),
    ] {
        let scan = scan(
            &[&fail2ban(None, &[pattern])],
            format!("{line}\n").as_bytes(),
        );
        assert_eq!(ids(&scan), Vec::<String>::new(), "{pattern}");
        assert_eq!(scan.counts.ambiguous, 1, "{pattern}");
        assert_eq!(scan.ambiguous_of.len(), 1, "{pattern}");
        assert_eq!(scan.ambiguous[0].readings.len(), 2, "{pattern}");
    }
    let named = fail2ban(
        Some("^.*from <HOST>: <F-CONTENT>.+</F-CONTENT>$"),
        &["denied"],
    );
    let line = "from 192.0.2.1: denied from 203.0.113.9: denied";
    let scan = scan(&[&named], format!("{line}\n").as_bytes());
    assert_eq!((ids(&scan).len(), scan.counts.ambiguous), (0, 1));
}

#[test]
fn a_second_address_that_a_pattern_of_fail2ban_cannot_mean_changes_nothing() {
    for (pattern, line) in [
        (
            "^login of .* from <HOST> failed$",
            "login of x from 203.0.113.9 from 192.0.2.1 failed",
        ),
        (
            "^login of (?:(?! from ).)* from <HOST>",
            "login of x from 192.0.2.1 via 203.0.113.9",
        ),
        ("^REFUSED FROM <HOST>", "REFUSED FROM ::ffff:192.0.2.1"),
        ("^from <HOST>", "from 192.0.2.1 to 203.0.113.9"),
    ] {
        let scan = scan(
            &[&fail2ban(None, &[pattern])],
            format!("{line}\n").as_bytes(),
        );
        assert_eq!(ids(&scan), ["192.0.2.1"], "{pattern}");
        assert_eq!(scan.counts.ambiguous, 0, "{pattern}");
    }
}

#[test]
fn an_address_of_the_prefregex_with_two_readings_bans_nobody() {
    let source = FilterSource {
        prefregex: Some("^.*from <ADDR>: <F-CONTENT>.+</F-CONTENT>$".to_owned()),
        failregex: vec!["^denied".to_owned(), "denied$".to_owned()],
        ..FilterSource::default()
    };
    let filter = Arc::new(Filter::compile(&source).unwrap());
    let one = scan(&[&filter], b"from 192.0.2.1: denied\n");
    assert_eq!(ids(&one), ["192.0.2.1"]);
    let two = scan(
        &[&filter],
        b"from 192.0.2.1: denied from 203.0.113.9: denied\n",
    );
    assert_eq!(ids(&two), Vec::<String>::new());
    assert_eq!(two.counts.ambiguous, 1);
}

#[test]
fn lines_that_are_too_long_are_skipped_and_never_cut() {
    let bad = filter(&["bad <ADDR>$"]);
    let fits = format!("{}bad 192.0.2.1", "x".repeat(LINE_LEN_MAX - 13));
    let long = format!("{}bad 192.0.2.2", "x".repeat(LINE_LEN_MAX - 12));
    let huge = format!("bad 192.0.2.3{}\nbad 192.0.2.4", "x".repeat(10_000_000));
    let text = format!("{fits}\n{long}\n{huge}\n");
    let result = scan(&[&bad], text.as_bytes());
    assert_eq!(ids(&result), ["192.0.2.1", "192.0.2.4"]);
    assert_eq!(result.counts.overlong, 2);
    let every = filter(&["d <ADDR>$"]);
    assert!(every.sees_every_line());
    let result = scan(&[&every], text.as_bytes());
    assert_eq!(ids(&result), ["192.0.2.1", "192.0.2.4"]);
    let outcome = bad.explain(long.as_bytes(), NOW, &TimeZone::UTC).outcome;
    assert_eq!(outcome, crate::Outcome::Overlong);
}

#[test]
fn any_bytes_may_stand_in_a_line() {
    let bad = filter(&["^user <F-USER>.*</F-USER> bad <ADDR>$"]);
    let text = b"user \xff\x00\xfe bad 192.0.2.1\n\x00\n\xff\nuser \xc3 bad 2001:db8::1\n";
    let scan = scan(&[&bad], text);
    assert_eq!(ids(&scan), ["192.0.2.1", "2001:db8::1"]);
    let user = scan.failures[0].items[0].user.unwrap();
    assert_eq!(user.of(text), b"\xff\x00\xfe");
}

#[test]
fn unicode_is_used_where_a_pattern_asks_for_it() {
    let letters = filter(&[r"^\p{L}+ <ADDR>$"]);
    assert_eq!(
        ids(&scan(
            &[&letters],
            "é 192.0.2.1\n\u{2603} 192.0.2.2\n".as_bytes()
        )),
        ["192.0.2.1"]
    );
    let literal = filter(&["^échec <ADDR>$"]);
    assert_eq!(
        ids(&scan(&[&literal], "échec 192.0.2.1\n".as_bytes())),
        ["192.0.2.1"]
    );
}

#[test]
fn dates_are_cut_out_before_patterns_see_the_line() {
    let web = filter(&[r#"^<ADDR> - <F-USER>\S+</F-USER> \[\] "GET /wp-login"#]);
    assert!(!web.sees_every_line());
    let text = b"192.0.2.1 - joe [23/Nov/2026:11:00:00 +0000] \"GET /wp-login.php\n";
    let result = scan(&[&web], text);
    assert_eq!(ids(&result), ["192.0.2.1"]);
    let item = &result.failures[0].items[0];
    assert_eq!(item.at, Timestamp::from_secs(1_795_431_600));
    assert_eq!(item.user.unwrap().of(text), b"joe");
    let whole = with(&FilterSource {
        failregex: vec![r"^2026-11-23 11:00:00 bad <ADDR>$".into()],
        datepattern: DatePattern::None,
        ..FilterSource::default()
    });
    let result = scan(&[&whole], b"2026-11-23 11:00:00 bad 192.0.2.1\n");
    assert_eq!(result.failures[0].items[0].at, NOW);
}

#[test]
fn a_user_name_that_stands_around_the_date_is_left_out() {
    let around = filter(&["^<F-USER>.*</F-USER> bad <ADDR>$"]);
    let result = scan(
        &[&around],
        b"joe [23/Nov/2026:11:00:00 +0000] bad 192.0.2.1\n",
    );
    assert_eq!(result.failures[0].items[0].user, None);
}

#[test]
fn lines_without_a_date_take_the_last_one_for_a_minute() {
    let bad = filter(&["bad <ADDR>"]);
    let mut detector = detector(&[&bad]);
    let at = |scan: &Scan| {
        scan.failures[0]
            .items
            .iter()
            .map(|item| item.at)
            .collect::<Vec<_>>()
    };
    let dated = Timestamp::from_secs(NOW.as_secs() - 30);
    let scan = detector.scan(
        &chunk(b"bad 192.0.2.1\n2026-11-23 11:59:30 bad 192.0.2.1\nbad 192.0.2.1\n"),
        NOW,
    );
    assert_eq!(at(&scan), [NOW, dated, dated]);
    let soon = Timestamp::from_secs(NOW.as_secs() + 29);
    assert_eq!(
        at(&detector.scan(&chunk(b"bad 192.0.2.1\n"), soon)),
        [dated]
    );
    let later = Timestamp::from_secs(NOW.as_secs() + 30);
    assert_eq!(
        at(&detector.scan(&chunk(b"bad 192.0.2.1\n"), later)),
        [later]
    );
    let mut other = chunk(b"bad 192.0.2.1\n");
    other.source = SourceName::new("another log");
    assert_eq!(at(&detector.scan(&other, soon)), [soon]);
}

#[test]
fn times_that_the_source_gives_are_taken_and_nothing_is_cut() {
    let bad = filter(&["^2026-11-23 11:00:00 bad <ADDR>"]);
    let mut chunk =
        chunk(b"x\n2026-11-23 11:00:00 bad 192.0.2.1\nx\n2026-11-23 11:00:00 bad 192.0.2.2\n");
    chunk.times = LineTimes::Given((1..=3).map(Timestamp::from_secs).collect());
    let scan = detector(&[&bad]).scan(&chunk, NOW);
    let at: Vec<_> = scan.failures[0].items.iter().map(|item| item.at).collect();
    // The fourth is missing, which must not stop anything.
    assert_eq!(at, [Timestamp::from_secs(2), NOW]);
}

#[test]
fn plugins_get_the_lines_of_their_plan() {
    let texts = |list: &[&str]| list.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
    let plan = |literals: &[&str], patterns: &[&str]| {
        Matcher::Plan(Arc::new(
            PlanFilter::compile(&texts(literals), &texts(patterns)).unwrap(),
        ))
    };
    let jails = vec![
        (
            jail("patterns"),
            plan(&[], &["^ host bad", "^ host (?:bad|worse)"]),
        ),
        (jail("literals"), plan(&["worse"], &[])),
        (jail("all"), plan(&[], &[])),
        (jail("plain"), Matcher::Plain(filter(&["bad <ADDR>"]))),
    ];
    let text = b"Nov 23 11:00:00 host bad 192.0.2.1\nhost bad\n<1>Nov 23 11:00:00 host worse\n";
    let scan = Detector::new(jails, TimeZone::UTC).scan(&chunk(text), NOW);
    let names: Vec<_> = scan
        .survivors
        .iter()
        .map(|s| (s.jail.as_str(), s.lines.len()))
        .collect();
    assert_eq!(names, [("patterns", 1), ("literals", 1), ("all", 3)]);
    assert_eq!(ids(&scan), ["192.0.2.1"]);
    let line = scan.survivors[0].lines[0];
    assert_eq!(line.patterns.iter().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(line.at, Timestamp::from_secs(1_795_431_600));
    assert_eq!(line.content(text), (&b""[..], &b" host bad 192.0.2.1"[..]));
    assert_eq!(
        scan.survivors[1].lines[0].content(text),
        (&b"<1>"[..], &b" host worse"[..])
    );
    assert_eq!(
        scan.survivors[2].lines[1].content(text),
        (&b""[..], &b"host bad"[..])
    );
    assert_eq!(scan.counts.unfiltered, 1);
}

/// A filter like `filter`, but it also sees every line.
fn unfiltered(source: &FilterSource) -> Arc<Filter> {
    let mut source = source.clone();
    source.failregex.push("^(?:<ADDR>|x){40}$".into());
    let filter = with(&source);
    assert!(filter.sees_every_line());
    filter
}

const WORDS: &[&str] = &["bad", "badly", "from", "ad fr", "user", " ", "[", "]", "é"];

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(|word| word.replace(['[', ']'], r"\]")),
        2 => prop::sample::select(&[".*", " ", r"\S+", "(?:bad|user)", "(?i:from)", "(?:from )?", "[bu]"][..])
            .prop_map(str::to_owned),
    ];
    (
        prop::collection::vec(part, 1..5),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(parts, start, end)| {
            let start = if start { "^" } else { "" };
            let end = if end { "$" } else { "" };
            format!("{start}{}<ADDR>{end}", parts.concat())
        })
}

fn log() -> impl Strategy<Value = String> {
    const DATE: &str = "2026-11-23 11:00:00";
    let part = prop_oneof![
        6 => prop::sample::select(WORDS).prop_map(str::to_owned),
        2 => prop::sample::select(&["192.0.2.1", "192.0.2.2", "FROM", "\r", DATE][..])
            .prop_map(str::to_owned),
    ];
    let line = prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat() + "\n");
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn the_prefilter_changes_no_result(
        filters in prop::collection::vec(prop::collection::vec(pattern(), 1..4), 1..4),
        prefix in any::<bool>(),
        log in log(),
    ) {
        let sources: Vec<FilterSource> = filters
            .into_iter()
            .map(|failregex| FilterSource {
                prefregex: prefix.then(|| "^(?:user )?<F-CONTENT>.+</F-CONTENT>$".to_owned()),
                failregex,
                ..FilterSource::default()
            })
            .collect();
        let with_prefilter: Vec<_> = sources.iter().map(with).collect();
        let without: Vec<_> = sources.iter().map(unfiltered).collect();
        let got = scan(&with_prefilter.iter().collect::<Vec<_>>(), log.as_bytes());
        let mut expected = Vec::new();
        for (i, filter) in without.iter().enumerate() {
            let scan = scan(&[filter], log.as_bytes());
            let jail = format!("j{i}");
            expected.extend(found(&scan).into_iter().map(|(_, id, line)| (jail.clone(), id, line)));
        }
        let mut got = found(&got);
        got.sort();
        expected.sort();
        prop_assert_eq!(got, expected);
    }
}
