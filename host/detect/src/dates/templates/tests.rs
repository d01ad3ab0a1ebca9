use std::sync::Arc;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;

use super::*;

/// 2005-08-14 12:00:00 in Berlin.
const NOW: i64 = 1_124_013_600;

fn detector(patterns: &[&str]) -> DateDetector {
    let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
    let templates = Arc::new(Templates::compile(&patterns).unwrap());
    DateDetector::new(templates, TimeZone::get("Europe/Berlin").unwrap())
}

fn find(patterns: &[&str], line: &str) -> Option<(i64, String)> {
    let found = detector(patterns).find(line, Timestamp::from_secs(NOW))?;
    let text = line.get(found.start..found.end).unwrap().to_owned();
    Some((found.at.unwrap().as_micros(), text))
}

#[track_caller]
fn is_now(patterns: &[&str], line: &str, text: &str) {
    let expected = Some((NOW * 1_000_000, text.to_owned()));
    assert_eq!(find(patterns, line), expected, "{line}");
}

#[test]
fn dates_of_every_kind_are_found() {
    for (line, date) in [
        ("2005-08-14T12:00:00.981 x", "2005-08-14T12:00:00.981"),
        ("2005-08-14 10:00:00Z x", "2005-08-14 10:00:00Z"),
        ("2005/08/14 12:00:00 x", "2005/08/14 12:00:00"),
        ("Aug 14 12:00:00 host x", "Aug 14 12:00:00"),
        ("Sun Aug 14 12:00:00 2005 x", "Sun Aug 14 12:00:00 2005"),
        ("Sun Aug 14 2005 12:00:00 x", "Sun Aug 14 2005 12:00:00"),
        ("14/08/2005 12:00:00 x", "14/08/2005 12:00:00"),
        ("14/08/05 12:00:00 x", "14/08/05 12:00:00"),
        (
            "[14/Aug/2005:10:00:00 +0000] x",
            "14/Aug/2005:10:00:00 +0000",
        ),
        ("14-Aug-2005 12:00:00.252 x", "14-Aug-2005 12:00:00.252"),
        ("08/14/2005:12:00:00 x", "08/14/2005:12:00:00"),
        ("08-14-2005 12:00:00.252 x", "08-14-2005 12:00:00.252"),
        ("1124013600 x", "1124013600"),
        ("[1124013600] x", "1124013600"),
        ("type=X msg=audit(1124013600:99): x", "1124013600"),
        ("<08/14/05@12:00:00> x", "<08/14/05@12:00:00>"),
        ("050814 12:00:00 x", "050814 12:00:00"),
        ("Aug 14, 2005 12:00:00 PM x", "Aug 14, 2005 12:00:00 PM"),
        ("Aug-14-05 12:00:00 x", "Aug-14-05 12:00:00"),
        ("20050814T120000 x", "20050814T120000"),
        ("[CEST Aug 14 12:00:00] x", "CEST Aug 14 12:00:00"),
        ("@4000000042ff162000000000 x", "@4000000042ff162000000000"),
    ] {
        is_now(&[], line, date);
    }
    assert_eq!(find(&[], "no date 12345 here"), None);
}

#[test]
fn patterns_of_ones_own_are_read() {
    is_now(&["^%Y %m %d %H"], "2005 08 14 12 x", "2005 08 14 12");
    is_now(
        &[r"\[%d %b %Y %H:%M\]"],
        "x [14 Aug 2005 12:00] y",
        "[14 Aug 2005 12:00]",
    );
    is_now(
        &[r"^x \[{DATE}\]"],
        "x [2005-08-14 12:00:00] y",
        "x [2005-08-14 12:00:00]",
    );
    is_now(&[r"t={LEPOCH}"], "a t=1124013600000 b", "t=1124013600000");
    is_now(&["{NONE}"], "2001-01-01 00:00:00", "");
    is_now(&["**%Y%m%dT%H**"], "a20050814T12b", "20050814T12");
    assert_eq!(find(&["%Y%m%dT%H"], "a20050814T12b"), None);
    is_now(
        &["x", "{DEFAULT}"],
        "2005-08-14 12:00:00",
        "2005-08-14 12:00:00",
    );
}

#[test]
fn a_date_that_is_none_is_found_and_has_no_time() {
    let found = detector(&[]).find("2005-02-30 12:00:00 x", Timestamp::from_secs(NOW));
    assert_eq!(found.map(|found| found.at), Some(None));
}

#[test]
fn a_date_in_the_message_is_not_taken_for_that_of_the_line() {
    let mut detector = detector(&[]);
    let mut find = |line: &str| {
        let found = detector.find(line, Timestamp::from_secs(NOW))?;
        line.get(found.start..found.end).map(str::to_owned)
    };
    let line = "14/Aug/2005:10:00:00 +0000 said 2005-08-14 12:00:00";
    for _ in 0..3 {
        assert_eq!(find(line).as_deref(), Some("14/Aug/2005:10:00:00 +0000"));
    }
    assert_eq!(
        find("x 2005-08-14 12:00:00").as_deref(),
        Some("2005-08-14 12:00:00")
    );
    assert_eq!(find(line).as_deref(), Some("14/Aug/2005:10:00:00 +0000"));
}

#[test]
fn years_beyond_the_decade_of_three_years_ahead_are_none_of_this_century() {
    let find = |line: &str, now| {
        let found = detector(&[]).find(line, Timestamp::from_secs(now))?;
        line.get(found.start..found.end).map(str::to_owned)
    };
    let (in_2026, in_2027) = (1_795_413_420, 1_826_949_420);
    let line = "2030-06-05 04:03:02 x";
    assert_eq!(find(line, in_2026), None);
    assert_eq!(find(line, in_2027).as_deref(), Some("2030-06-05 04:03:02"));
    // A pattern whose year may be left out finds the rest of the date.
    let line = "Jun 05 04:03:02 2030 x";
    assert_eq!(find(line, in_2026).as_deref(), Some("Jun 05 04:03:02"));
    // A log that is played back with an old clock is read as today.
    let line = "2029-06-05 04:03:02 x";
    assert_eq!(find(line, NOW).as_deref(), Some("2029-06-05 04:03:02"));
}

#[test]
fn seconds_since_1970_and_labels_are_dates_at_the_beginning() {
    for pattern in ["^{DATE}", "{^LN-BEG}{DATE}"] {
        is_now(&[pattern], "1124013600 x", "1124013600");
        let label = "@4000000042ff162000000000";
        is_now(&[pattern], &format!("{label} x"), label);
        assert_eq!(find(&[pattern], "xyz 1124013600 x"), None);
    }
}

#[test]
fn a_match_in_a_part_of_the_line_is_kept_while_a_better_one_is_looked_for() {
    let mut detector = detector(&["%b %d %H:%M:%S(?: %Y)?", "no other"]);
    let mut find = |line: &str| {
        let found = detector.find(line, Timestamp::from_secs(NOW))?;
        line.get(found.start..found.end).map(str::to_owned)
    };
    assert_eq!(
        find("Aug 14 12:00:00 x").as_deref(),
        Some("Aug 14 12:00:00")
    );
    assert_eq!(
        find("[Aug 14 2:00:00 2005]").as_deref(),
        Some("Aug 14 2:00:00")
    );
}

#[test]
fn what_is_no_pattern_is_refused() {
    let fault = |pattern: &str| Templates::compile(&[pattern.to_owned()]).unwrap_err();
    assert_eq!(fault("%Y %Q").offset, Some(3));
    assert!(fault("(%Y").message.contains("not closed"));
    let twice = ["%Y".to_owned(), "%Y".to_owned()];
    assert!(Templates::compile(&twice).is_err());
}

const SEVERAL: [&[&str]; 6] = [
    &[],
    &["{^LN-BEG}"],
    &[r"^[^\[]*\[({DATE})", "{^LN-BEG}"],
    &["^%Y-%m-%d"],
    &["{NONE}"],
    &["^EPOCH", "%H:%M:%S$"],
];

/// Compiled once: fail2ban's own list takes a while.
fn compiled(patterns: usize) -> Arc<Templates> {
    static ALL: std::sync::LazyLock<Vec<Arc<Templates>>> = std::sync::LazyLock::new(|| {
        let compile = |patterns: &&[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
            Arc::new(Templates::compile(&patterns).unwrap())
        };
        SEVERAL.iter().map(compile).collect()
    });
    Arc::clone(&ALL[patterns])
}

proptest::proptest! {
    #[test]
    fn remembering_the_last_date_changes_nothing(
        lines in proptest::collection::vec(
            (
                proptest::sample::select(vec![
                    "Aug 14 12:00:00", "Aug 14 12:00:01", "Aug 14 12:00:00 2005", "Feb 30 12:00:00",
                    "2005-08-14 12:00:00", "2005-08-14 12:00:00 +0200", "2005-08-14T12:00:00.12",
                    "[14/Aug/2005:10:00:00 +0000]", "1124013600", "1124013600.123", "", "[", "x ",
                    "host 2005-08-14 12:00:00", "2095-08-14 12:00:00",
                ]),
                proptest::sample::select(vec![
                    "", " ", " host", " host 20", " 2004", ".5", ",123 x", "Z", " +01", "é", " é", "0", ":",
                ]),
                0..3_i64,
            ),
            0..24,
        ),
        patterns in 0..SEVERAL.len(),
    ) {
        let templates = compiled(patterns);
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let mut remembers = DateDetector::new(Arc::clone(&templates), zone.clone());
        let mut forgets = DateDetector::new(templates, zone);
        for (date, rest, later_s) in lines {
            let now = Timestamp::from_secs(NOW + later_s);
            let line = format!("{date}{rest}");
            // Twice, as it is remembered only then.
            for _ in 0..2 {
                forgets.forget_the_last_date();
                proptest::prop_assert_eq!(
                    remembers.find(&line, now),
                    forgets.find(&line, now),
                    "{}", line
                );
            }
        }
    }
}
