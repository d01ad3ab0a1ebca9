//! Each difference that `docs/fail2ban-differences.md` has really is one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop where it stands"
)]

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stockade_conformance::{
    Judged, MUST_RUN, NOW, Oracle, PACKAGE, Patterns, Question, Setup, ZONE, known, zone,
};
use stockade_core::{
    BanTime, Checkpoint, Chunk, Decider, Effect, Event, Failure, FailureId, Failures, IgnoreSet,
    JailName, JailPolicy, Limits, LineTimes, SourceName, Span, Timestamp,
};
use stockade_detect::{
    DatePattern, Detector, Dialect, Filter, FilterRun, FilterSource, Finding, HostNames,
    LINE_LEN_MAX, LogEncoding, Matcher, Scan,
};

fn oracle() -> Option<Oracle> {
    if !Path::new(PACKAGE).exists() {
        let must = std::env::var_os(MUST_RUN).is_some();
        assert!(!must, "install Debian's fail2ban");
        return None;
    }
    let setup = Setup {
        now: NOW,
        zone: ZONE.to_owned(),
        tree: None,
    };
    Some(Oracle::start(&setup).unwrap())
}

/// An example for a heading.
type Example = fn(&mut Oracle);

/// In the order of the page.
const EXAMPLES: [(&str, Example); 23] = [
    ("What looks like an address and is none", no_address),
    ("An address with a single colon at its end", single_colon),
    ("Ids of several parts", several_parts),
    ("An id beside an address", beside_an_address),
    ("Ambiguous lines", ambiguous),
    ("What the prefregex found", found_by_the_prefregex),
    ("Turkish letters without regard to case", turkish),
    ("Dates far from now", far_from_now),
    (
        "Lines without a date behind lines of no interest",
        behind_idle_lines,
    ),
    ("An hour that the clock shows twice", twice),
    ("Times before 1970", long_ago),
    ("Digits of other scripts in dates", other_scripts),
    ("Dates without marks", without_marks),
    ("Groups around EPOCH", around_epoch),
    ("The default patterns after others", default_after_others),
    ("A sliding window", sliding_window),
    (
        "Sessions end later, and there is room for more",
        many_sessions,
    ),
    ("One line of a session is kept", one_line),
    ("Lines over which fail2ban stumbles", stumbles),
    ("Lines that cost fail2ban too much", too_costly),
    ("Patterns that give up", gives_up),
    ("Overlong lines", overlong),
    ("Bytes that an encoding leaves undefined", undefined_bytes),
];

fn page() -> String {
    let page = "../../docs/fail2ban-differences.md";
    let page: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    std::fs::read_to_string(page).unwrap()
}

fn headings(page: &str) -> Vec<&str> {
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    headings.collect()
}

#[test]
fn whatever_explains_a_difference_stands_on_the_page() {
    let page = page();
    let headings: BTreeSet<&str> = headings(&page).into_iter().collect();
    for known in known() {
        assert!(headings.contains(known.heading), "{}", known.heading);
    }
}

#[test]
fn every_heading_of_the_page_has_an_example_that_differs() {
    let page = page();
    assert_eq!(headings(&page), EXAMPLES.map(|(heading, _)| heading));
    let Some(mut oracle) = oracle() else { return };
    for (_, example) in EXAMPLES {
        example(&mut oracle);
    }
}

/// What fail2ban finds in lines by `patterns`, trying every failregex.
fn theirs(oracle: &mut Oracle, patterns: &Patterns, lines: &[&str]) -> Vec<Judged> {
    let question = Question {
        every: true,
        forget: true,
        ..Question::default()
    };
    let filter = oracle.make(patterns, true).unwrap();
    oracle.judge(&filter, lines, &question).unwrap()
}

fn compiled(patterns: &Patterns) -> Arc<Filter> {
    let dates = patterns.datepattern.as_deref().unwrap_or("{DEFAULT}");
    let source = FilterSource {
        prefregex: patterns.prefregex.clone(),
        failregex: patterns.failregex.clone(),
        datepattern: DatePattern::Templates(dates.lines().map(str::to_owned).collect()),
        dialect: Dialect::Fail2ban,
        host_names: HostNames::Raw,
        ..FilterSource::default()
    };
    Arc::new(Filter::compile(&source).unwrap())
}

/// What stockade finds, trying every failregex.
fn ours(patterns: &Patterns, lines: &[&str]) -> Vec<Vec<Finding>> {
    let mut run = FilterRun::new(compiled(patterns), zone());
    let lines = lines.iter();
    lines
        .map(|line| run.line(line.as_bytes(), None, NOW))
        .collect()
}

/// What stockade's daemon finds in a chunk.
fn scanned(patterns: &Patterns, text: &str) -> Scan {
    let matcher = Matcher::Plain(compiled(patterns));
    let jail = JailName::try_new("jail").unwrap();
    let chunk = Chunk {
        source: SourceName::new("log"),
        text: text.as_bytes().into(),
        times: LineTimes::InText,
        checkpoint: Checkpoint::None,
    };
    Detector::new(vec![(jail, matcher)], zone()).scan(&chunk, NOW)
}

fn of(failregex: &str) -> Patterns {
    Patterns {
        failregex: vec![failregex.to_owned()],
        ..Patterns::default()
    }
}

/// An ordinary filter.
fn bad() -> Patterns {
    of("^ bad <ADDR>$")
}

/// The id and the time of the only thing that fail2ban finds.
#[track_caller]
fn only(judged: Option<&Judged>) -> (Option<&str>, Option<i64>) {
    match judged {
        Some(Ok(found)) if found.len() == 1 => (found[0].id.as_deref(), found[0].at),
        other => panic!("{other:?}"),
    }
}

/// The same of what stockade finds.
#[track_caller]
fn only_ours(found: Option<&Vec<Finding>>) -> (Option<&str>, Option<i64>) {
    match found.map(Vec::as_slice) {
        Some([one]) => (one.id.as_deref(), one.dated.then(|| one.at.as_micros())),
        other => panic!("{other:?}"),
    }
}

fn no_address(oracle: &mut Oracle) {
    let line = "Aug 14 11:59:59 bad 999.1.1.1";
    let told = theirs(oracle, &bad(), &[line]);
    assert_eq!(only(told.first()).0, Some("999.1.1.1"));
    assert!(scanned(&bad(), line).failures.is_empty());
}

fn single_colon(oracle: &mut Oracle) {
    let line = "Aug 14 11:59:59 bad ::";
    assert!(ours(&bad(), &[line])[0].is_empty());
    if oracle.is_since([1, 1, 1]) {
        assert_eq!(only(theirs(oracle, &bad(), &[line]).first()).0, Some("::"));
    }
}

fn several_parts(oracle: &mut Oracle) {
    let patterns = of("^ <F-ID>\\S+</F-ID> by <F-TUPLE_ID>\\S+</F-TUPLE_ID>$");
    let lines = ["Aug 14 11:59:59 a by b"];
    let told = theirs(oracle, &patterns, &lines);
    assert_eq!(only(told.first()).0, Some("('a', 'b')"));
    assert_eq!(only_ours(ours(&patterns, &lines).first()).0, Some("a, b"));
}

fn beside_an_address(oracle: &mut Oracle) {
    let patterns = of("^ <F-ID>\\w+</F-ID> at <ADDR>$");
    let lines = ["Aug 14 11:59:59 joe at 192.0.2.1"];
    let told = theirs(oracle, &patterns, &lines);
    let captures = &told[0].as_ref().unwrap()[0].captures;
    assert_eq!(
        (only(told.first()).0, &captures["ip"]),
        (Some("joe"), &"192.0.2.1".into())
    );
    let scan = scanned(&patterns, lines[0]);
    assert_eq!(scan.failures[0].items[0].id, FailureId::parse("joe"));
}

fn ambiguous(oracle: &mut Oracle) {
    let failregex = "^ user .* from <ADDR>(?: .*)?$";
    let line = "Aug 14 11:59:59 user x from 192.0.2.1 from 192.0.2.2";
    let told = theirs(oracle, &of(failregex), &[line]);
    assert_eq!(only(told.first()).0, Some("192.0.2.2"));
    let scan = scanned(&of(failregex), line);
    assert_eq!((scan.counts.ambiguous, scan.failures.len()), (1, 0));
}

fn found_by_the_prefregex(oracle: &mut Oracle) {
    let patterns = Patterns {
        prefregex: Some("^ <F-USER>\\w+</F-USER>: <F-CONTENT>.+</F-CONTENT>$".to_owned()),
        ..of("^bad <ADDR>(?: as <F-USER>\\S+</F-USER>)?$")
    };
    let lines = ["Aug 14 11:59:59 joe: bad 192.0.2.1"];
    let told = theirs(oracle, &patterns, &lines);
    let user = told[0].as_ref().unwrap()[0].captures.get("user");
    assert_eq!(user.is_some(), oracle.is_since([1, 1, 1]));
    assert_eq!(ours(&patterns, &lines)[0][0].captures["user"], "joe");
}

fn turkish(oracle: &mut Oracle) {
    let patterns = of("(?i)^ fail <ADDR>$");
    for line in [
        "Aug 14 11:59:59 fa\u{130}l 192.0.2.1",
        "Aug 14 11:59:59 fa\u{131}l 192.0.2.1",
    ] {
        let told = theirs(oracle, &patterns, &[line]);
        assert_eq!(only(told.first()).0, Some("192.0.2.1"));
        assert!(ours(&patterns, &[line])[0].is_empty());
    }
}

fn far_from_now(oracle: &mut Oracle) {
    let patterns = Patterns {
        operating: true,
        ..bad()
    };
    let lines = ["Aug 13 11:59:59 bad 192.0.2.1"];
    let told = theirs(oracle, &patterns, &lines);
    assert_eq!(only(told.first()).1, Some(NOW.as_micros()));
    let found = ours(&patterns, &lines);
    let a_day_ago = NOW.as_micros() - (86_400 + 1) * 1_000_000;
    assert_eq!(only_ours(found.first()).1, Some(a_day_ago));
}

fn behind_idle_lines(oracle: &mut Oracle) {
    let lines = ["Aug 14 11:59:30 idle", " bad 192.0.2.1"];
    let told = theirs(oracle, &bad(), &lines);
    let half_a_minute_ago = NOW.as_micros() - 30_000_000;
    assert_eq!(only(told.get(1)).1, Some(half_a_minute_ago));
    let scan = scanned(&bad(), &lines.join("\n"));
    assert_eq!(scan.failures[0].items[0].at, NOW);
}

fn twice(oracle: &mut Oracle) {
    let lines = [
        "2005-01-01 12:00:00 bad 192.0.2.1",
        "2004-10-31 01:30:00 bad 192.0.2.1",
    ];
    let told = theirs(oracle, &bad(), &lines);
    let found = ours(&bad(), &lines);
    let (told, found) = (only(told.get(1)).1.unwrap(), only_ours(found.get(1)).1);
    assert_eq!(found, Some(told - 3_600_000_000));
}

fn long_ago(oracle: &mut Oracle) {
    let patterns = Patterns {
        datepattern: Some("%Y-%m-%d %H:%M:%S".to_owned()),
        ..bad()
    };
    let lines = ["1914-07-02 09:08:07 bad 192.0.2.1"];
    let told = only(theirs(oracle, &patterns, &lines).first()).1.unwrap();
    let found = only_ours(ours(&patterns, &lines).first()).1;
    assert_eq!(found, Some(told - 3_600_000_000));
}

fn other_scripts(oracle: &mut Oracle) {
    let patterns = of("bad <ADDR>$");
    let lines = ["20\u{660}5-08-14 11:59:00 bad 192.0.2.1"];
    let told = theirs(oracle, &patterns, &lines);
    assert_eq!(only(told.first()).1, None);
    assert!(only_ours(ours(&patterns, &lines).first()).1.is_some());
}

fn without_marks(oracle: &mut Oracle) {
    let lines = ["20050814-11:59:00 bad 192.0.2.1"];
    let told = theirs(oracle, &bad(), &lines);
    assert_eq!(
        told[0].as_ref().unwrap().len(),
        usize::from(oracle.is_since([1, 1, 1]))
    );
    assert!(only_ours(ours(&bad(), &lines).first()).1.is_some());
}

fn around_epoch(oracle: &mut Oracle) {
    let patterns = Patterns {
        datepattern: Some("at=({EPOCH})".to_owned()),
        ..of("^at= bad <ADDR>$")
    };
    let lines = ["at=1124013540 bad 192.0.2.1"];
    let told = theirs(oracle, &patterns, &lines);
    assert_eq!(
        told[0].as_ref().unwrap().len(),
        usize::from(oracle.is_since([1, 1, 0]))
    );
    assert_eq!(
        only_ours(ours(&patterns, &lines).first()).1,
        Some(1_124_013_540_000_000)
    );
}

fn default_after_others(oracle: &mut Oracle) {
    let patterns = Patterns {
        datepattern: Some("d=%H\n{DEFAULT}".to_owned()),
        ..bad()
    };
    let lines = ["Aug 14 11:59:59 bad 192.0.2.1"];
    let told = theirs(oracle, &patterns, &lines);
    assert!(told[0].as_ref().unwrap().is_empty());
    assert!(only_ours(ours(&patterns, &lines).first()).1.is_some());
}

fn sliding_window(oracle: &mut Oracle) {
    let times = [0, 400, 800];
    assert_eq!(oracle.count(&times, 600).unwrap(), [1, 2, 3]);
    let jail = JailName::try_new("jail").unwrap();
    let mut decider = Decider::new(Limits::default());
    let policy = JailPolicy {
        name: jail.clone(),
        maxretry: NonZeroU32::new(10).unwrap(),
        findtime: Duration::from_secs(600),
        bantime: BanTime::Forever.into(),
        remember: Duration::from_secs(86_400),
        ipv6_prefix: 64,
        maxmatches: 1,
        ignore: IgnoreSet::default(),
        ignoreself: true,
    };
    assert_eq!(decider.reload(vec![policy], Timestamp::EPOCH), []);
    let counts = times.map(|time| {
        let at = Timestamp::from_secs(time);
        let failure = Failure {
            id: FailureId::parse("192.0.2.1"),
            at,
            line: Span { start: 0, end: 1 },
            user: None,
        };
        let batch = Failures {
            jail: jail.clone(),
            text: Arc::from(*b"x\n"),
            items: [failure].into(),
        };
        let effects = decider.handle(Event::Failures(batch), at);
        let count = effects.iter().find_map(|effect| match effect {
            Effect::Found { count, .. } => Some(*count),
            _ => None,
        });
        count.unwrap()
    });
    assert_eq!(counts, [1, 2, 2]);
}

/// A filter of sessions, told apart by a number.
fn sessions() -> Patterns {
    Patterns {
        prefregex: Some("^ <F-MLFID>\\d+</F-MLFID>: <F-CONTENT>.+</F-CONTENT>$".to_owned()),
        failregex: vec![
            "^bad$".to_owned(),
            "^<F-NOFAIL>by</F-NOFAIL> <ADDR>$".to_owned(),
        ],
        ..Patterns::default()
    }
}

fn many_sessions(oracle: &mut Oracle) {
    let date = "Aug 14 11:59:59";
    let mut lines = vec![format!("{date} 0: bad")];
    lines.extend((1..=100).map(|number| format!("{date} {number}: by 192.0.2.{number}")));
    lines.push(format!("{date} 0: by 198.51.100.1"));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let told = theirs(oracle, &sessions(), &lines);
    let last = told.last().unwrap().as_ref().unwrap();
    assert!(last[0].nofail, "{last:?}");
    let found = ours(&sessions(), &lines);
    assert!(!found.last().unwrap()[0].nofail, "{found:?}");
}

fn one_line(oracle: &mut Oracle) {
    let lines = ["Aug 14 11:59:59 7: by 192.0.2.1", "Aug 14 11:59:59 7: bad"];
    let told = theirs(oracle, &sessions(), &lines);
    assert_eq!(told[1].as_ref().unwrap()[0].attempts, 2);
    let scan = scanned(&sessions(), &lines.join("\n"));
    let failures = &scan.failures[0];
    let line = failures.items[0].line.of(&failures.text);
    assert_eq!((failures.items.len(), line), (1, lines[1].as_bytes()));
}

fn stumbles(oracle: &mut Oracle) {
    let patterns = of("bad <ADDR>$");
    let lines = ["x XYZ Aug 14 11:59:00 bad 192.0.2.1"];
    let told = theirs(oracle, &patterns, &lines);
    assert_eq!(told, [Err("KeyError: 'XYZ'".to_owned())]);
    assert_eq!(
        only_ours(ours(&patterns, &lines).first()).0,
        Some("192.0.2.1")
    );
}

fn too_costly(oracle: &mut Oracle) {
    let patterns = of("^ (?:a+)+b <ADDR>$");
    let line = format!("Aug 14 11:59:59 {}", "a".repeat(40));
    let told = theirs(oracle, &patterns, &[&line]);
    assert_eq!(told, [Err("TimeoutError: too costly".to_owned())]);
    assert!(ours(&patterns, &[&line])[0].is_empty());
}

fn gives_up(oracle: &mut Oracle) {
    let patterns = of("^ <ADDR> (?P<as>a)(?!(?P=as)*(?P=as)*(?P=as)*y)a*$");
    let line = format!("Aug 14 11:59:59 192.0.2.1 {}", "a".repeat(250));
    let told = theirs(oracle, &patterns, &[&line]);
    assert_eq!(only(told.first()).0, Some("192.0.2.1"));
    let scan = scanned(&patterns, &line);
    assert_eq!((scan.counts.gave_up, scan.failures.len()), (1, 0));
}

fn overlong(oracle: &mut Oracle) {
    let patterns = of("^ bad <ADDR> x+$");
    let line = format!("Aug 14 11:59:59 bad 192.0.2.1 {}", "x".repeat(LINE_LEN_MAX));
    let told = theirs(oracle, &patterns, &[&line]);
    assert_eq!(only(told.first()).0, Some("192.0.2.1"));
    let scan = scanned(&patterns, &line);
    assert_eq!((scan.counts.overlong, scan.failures.len()), (1, 0));
}

fn undefined_bytes(oracle: &mut Oracle) {
    let line = b"\xbe";
    let encoding = LogEncoding::named("koi8_u").unwrap();
    let source = FilterSource {
        encoding,
        failregex: vec!["^<F-USER>.</F-USER> <ADDR>$".to_owned()],
        dialect: Dialect::Fail2ban,
        ..FilterSource::default()
    };
    let filter = Arc::new(Filter::compile(&source).unwrap());
    let found =
        FilterRun::new(filter, zone()).line(&[line, &b" 192.0.2.1"[..]].concat(), None, NOW);
    let told = oracle.decode("koi8_u", line).unwrap();
    assert_ne!(found[0].captures.get("user"), told.as_ref());
}
