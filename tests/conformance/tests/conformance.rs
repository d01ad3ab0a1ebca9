//! Every filter of Debian's fail2ban finds in its samples what they say; and a run can fail.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fs;
use std::path::{Path, PathBuf};

use stockade_conformance::{
    Engine, MUST_RUN, NOW, Oracle, Ours, PACKAGE, Report, Setup, Subject, Subjects, ZONE, check,
    zone,
};
use tempfile::TempDir;

const FILTERS: &str = "/etc/fail2ban";

/// Where Debian's samples lie; `None` where they are not installed.
fn samples() -> Option<PathBuf> {
    let samples = Path::new(PACKAGE).join("tests/files/logs");
    if samples.exists() && Path::new(FILTERS).exists() {
        return Some(samples);
    }
    let must = std::env::var_os(MUST_RUN).is_some();
    assert!(!must, "install Debian's fail2ban");
    None
}

fn run<E: Engine>(engine: &mut E, subjects: &[Subject], samples: &Path) -> Report {
    let mut report = Report::default();
    for subject in subjects {
        check(engine, subject, samples, &mut report);
    }
    report
}

#[test]
fn every_filter_of_debian_finds_what_its_samples_say_and_no_sample_is_passed_over() {
    let Some(samples) = samples() else { return };
    let subjects = Subjects::find(Path::new(FILTERS), &samples).unwrap();
    let ours = run(&mut Ours::new(NOW, zone()), &subjects.list, &samples);
    assert!(ours.failures.is_empty(), "{ours}");

    let setup = Setup {
        now: NOW,
        zone: ZONE.to_owned(),
        tree: None,
    };
    let mut oracle = Oracle::start(&setup).unwrap();
    let theirs = run(&mut oracle, &subjects.list, &samples);
    assert!(theirs.failures.is_empty(), "{theirs}");
    let counts = |report: &Report| (report.matched, report.missed, report.patterns);
    assert_eq!(counts(&ours), counts(&theirs));
    assert!(ours.matched > 1000, "{ours}");
}

/// One filter of Debian with a copy of its samples, to be spoilt.
struct Spoilt {
    place: TempDir,
    filter: &'static str,
}

impl Spoilt {
    /// `filter` with its samples as `edit` leaves them.
    fn new(filter: &'static str, edit: impl FnOnce(String) -> String) -> Option<Self> {
        let samples = samples()?;
        let place = TempDir::new().unwrap();
        let text = fs::read_to_string(samples.join(filter)).unwrap();
        fs::write(place.path().join(filter), edit(text)).unwrap();
        let filters = place.path().join("filter.d");
        fs::create_dir(&filters).unwrap();
        for entry in fs::read_dir(Path::new(FILTERS).join("filter.d")).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                fs::copy(entry.path(), filters.join(entry.file_name())).unwrap();
            }
        }
        Some(Self { place, filter })
    }

    fn report(&self) -> Report {
        let subject = Subject {
            dir: self.place.path().to_owned(),
            name: self.filter.to_owned(),
        };
        run(&mut Ours::new(NOW, zone()), &[subject], self.place.path())
    }

    /// The one failure: its line, what was expected and what was got.
    #[track_caller]
    fn failure(&self) -> (usize, String, String) {
        let report = self.report();
        assert_eq!(report.failures.len(), 1, "{report}");
        assert!(
            report.to_string().ends_with(" passed, 1 failed"),
            "{report}"
        );
        let failure = report.failures.into_iter().next().unwrap();
        (failure.line, failure.expected, failure.got)
    }
}

const FILTER: &str = "dropbear";

#[test]
fn samples_that_nobody_has_spoilt_pass() {
    let Some(spoilt) = Spoilt::new(FILTER, |text| text) else {
        return;
    };
    let report = spoilt.report();
    assert!(report.failures.is_empty(), "{report}");
    assert!(report.matched > 0 && report.patterns > 0);
}

/// The text after the first `before` with everything up to the next quote replaced.
fn replaced(text: &str, before: &str, value: &str) -> String {
    let (head, tail) = text.split_once(before).unwrap();
    let (_, tail) = tail.split_once('"').unwrap();
    format!("{head}{before}{value}\"{tail}")
}

#[test]
fn another_host_is_seen() {
    let Some(spoilt) = Spoilt::new(FILTER, |text| {
        replaced(&text, "\"host\": \"", "203.0.113.77")
    }) else {
        return;
    };
    let (line, expected, got) = spoilt.failure();
    assert!(line > 1);
    assert_eq!(expected, "host \"203.0.113.77\"");
    assert!(got.contains('.') && !got.contains("203.0.113.77"), "{got}");
}

#[test]
fn another_time_is_seen() {
    let Some(spoilt) = Spoilt::new(FILTER, |text| {
        replaced(&text, "\"time\": \"", "2005-08-14T12:00:00.5")
    }) else {
        return;
    };
    let (_, expected, got) = spoilt.failure();
    assert_eq!(expected, "time 2005-08-14T12:00:00.5 (1124013600.500000)");
    assert!(got.starts_with("11"), "{got}");
}

#[test]
fn a_match_where_there_must_be_none_is_seen() {
    let Some(spoilt) = Spoilt::new(FILTER, |text| {
        text.replacen("\"match\": true", "\"match\": false", 1)
    }) else {
        return;
    };
    let (_, expected, got) = spoilt.failure();
    assert_eq!(expected, "no match");
    assert!(
        got.starts_with("failregex ") && got.contains(" finds "),
        "{got}"
    );
}

#[test]
fn a_match_that_is_missing_is_seen() {
    let more = "# failJSON: { \"match\": true, \"host\": \"192.0.2.1\" }\nnothing of interest\n";
    let Some(spoilt) = Spoilt::new(FILTER, |text| text + more) else {
        return;
    };
    let (_, expected, got) = spoilt.failure();
    assert_eq!(expected, "match");
    assert!(got.starts_with("no match"), "{got}");
}

#[test]
fn a_line_that_two_failregexes_match_is_seen() {
    let Some(spoilt) = Spoilt::new(FILTER, |text| text) else {
        return;
    };
    add_failregex(&spoilt, "<HOST>");
    let report = spoilt.report();
    let got = |failure: &stockade_conformance::Failure| failure.got.contains("failregexes 1, ");
    assert!(report.failures.iter().any(got), "{report}");
}

#[test]
fn a_failregex_that_no_sample_uses_is_seen() {
    let Some(spoilt) = Spoilt::new(FILTER, |text| text) else {
        return;
    };
    add_failregex(&spoilt, "^never <HOST>$");
    let (_, expected, got) = spoilt.failure();
    assert!(expected.starts_with("a line for failregex "), "{expected}");
    assert_eq!(got, "none for ^never <HOST>$");
}

fn add_failregex(spoilt: &Spoilt, pattern: &str) {
    let local = spoilt.place.path().join("filter.d/dropbear.local");
    let text = format!("[Definition]\nfailregex = %(known/failregex)s\n    {pattern}\n");
    fs::write(local, text).unwrap();
}

#[test]
fn a_filter_that_cannot_be_compiled_is_seen() {
    let Some(spoilt) = Spoilt::new(FILTER, |text| text) else {
        return;
    };
    add_failregex(&spoilt, "^(never <HOST>$");
    let report = spoilt.report();
    assert_eq!(report.passed(), 0, "{report}");
    let first = report.failures.first().unwrap();
    assert!(first.expected.contains("can be used"), "{first}");
}

#[test]
fn a_filter_without_samples_is_seen() {
    let Some(spoilt) = Spoilt::new(FILTER, |text| text) else {
        return;
    };
    fs::remove_file(spoilt.place.path().join(FILTER)).unwrap();
    let (_, expected, got) = spoilt.failure();
    assert_eq!(expected, "a sample file");
    assert!(got.contains("cannot read"), "{got}");
}

#[test]
fn a_condition_that_nobody_understands_is_seen() {
    let head = "# filterOptions: {\"test.condition\": \"__import__('os')\"}\n";
    let Some(spoilt) = Spoilt::new(FILTER, |text| head.to_owned() + &text) else {
        return;
    };
    let (_, expected, got) = spoilt.failure();
    assert!(expected.contains("__import__"), "{expected}");
    assert_eq!(got, "'__import__' is not known");
}
