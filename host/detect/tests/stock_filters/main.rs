//! The filters we install, held to the annotated lines in `tests/conformance/samples`, and to what
//! an installed fail2ban marks as a failure in its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop where it stands"
)]

mod fail2ban;
mod fields;
mod hash;
mod samples;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize;
use stockade_core::{
    Checkpoint, Chunk, FailureId, JailName, LineTimes, SourceName, Span, Timestamp,
};
use stockade_detect::{
    DatePattern, Detector, Filter, FilterSource, JsonFields, Matcher, Outcome, Scan,
};

use samples::{Sample, Verdict};

/// 2026-11-23 05:57:00 UTC, a little after the lines of the samples.
const NOW: Timestamp = Timestamp::from_secs(1_795_413_420);

/// Who in the samples is innocent: an attacker wants to see somebody of these networks banned.
const INNOCENT: [&str; 2] = ["203.0.113.", "2001:db8:bad:"];

/// `config/filters/NAME.toml`, as far as it matters here.
#[derive(Deserialize)]
struct Stock {
    description: String,
    prefregex: Option<String>,
    #[serde(default)]
    failregex: Vec<String>,
    #[serde(default)]
    ignoreregex: Vec<String>,
    #[serde(default)]
    journalmatch: Vec<Vec<String>>,
    #[serde(skip)]
    json: Option<JsonFields>,
}

impl Stock {
    fn source(&self) -> FilterSource {
        FilterSource {
            prefregex: self.prefregex.clone(),
            failregex: self.failregex.clone(),
            ignoreregex: self.ignoreregex.clone(),
            json: self.json.clone(),
            ..FilterSource::default()
        }
    }

    /// What a failure is, one text for each pattern or alternative.
    fn patterns(&self) -> Vec<String> {
        match &self.json {
            Some(json) => json.failure.iter().map(|all| format!("{all:?}")).collect(),
            None => self.failregex.clone(),
        }
    }
}

/// A stock filter with its samples.
struct Case {
    name: String,
    stock: Stock,
    filter: Filter,
    /// The same, for lines whose time is not part of their text.
    undated: Filter,
    samples: Vec<Sample>,
}

impl Case {
    fn explain(&self, sample: &Sample) -> (Option<Timestamp>, Outcome) {
        let filter = if sample.journal {
            &self.undated
        } else {
            &self.filter
        };
        let found = filter.explain(sample.line.as_bytes(), NOW, &TimeZone::UTC);
        (found.time.map(|(at, _)| at), found.outcome)
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The names of the files with this ending in a folder, without the ending, sorted.
fn names(folder: &str, ending: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(repository(folder))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(ending).map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

fn compile(name: &str, source: &FilterSource) -> Filter {
    Filter::compile(source).unwrap_or_else(|errors| {
        let errors: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
        panic!("config/filters/{name}.toml: {}", errors.join("; "))
    })
}

fn case(name: &str) -> Case {
    let text = std::fs::read_to_string(repository(&format!("config/filters/{name}.toml"))).unwrap();
    let mut stock: Stock =
        toml::from_str(&text).unwrap_or_else(|fault| panic!("config/filters/{name}.toml: {fault}"));
    stock.json = fields::of(name, &text);
    let path = format!("tests/conformance/samples/{name}.log");
    let text = std::fs::read_to_string(repository(&path))
        .unwrap_or_else(|fault| panic!("{path}: {fault}"));
    let samples = samples::read(&text).unwrap_or_else(|fault| panic!("{path}:{fault}"));
    let source = stock.source();
    Case {
        name: name.to_owned(),
        filter: compile(name, &source),
        undated: compile(
            name,
            &FilterSource {
                datepattern: DatePattern::None,
                ..source
            },
        ),
        stock,
        samples,
    }
}

fn cases() -> Vec<Case> {
    let names = names("config/filters", ".toml");
    names.iter().map(|name| case(name)).collect()
}

fn text_of(span: Span, line: &[u8]) -> String {
    String::from_utf8(span.of(line).to_vec()).unwrap()
}

/// Fails with all of `problems` at once.
fn none(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} problems\n{}",
        problems.len(),
        problems.join("\n")
    );
}

fn names_an_innocent(text: &str) -> bool {
    INNOCENT.iter().any(|network| text.contains(network))
}

/// What is wrong with what the filter makes of `sample`.
fn difference(case: &Case, sample: &Sample) -> Option<String> {
    let (found_at, outcome) = case.explain(sample);
    let got = match outcome {
        Outcome::Matched { id, user, .. } => Verdict::Match {
            id,
            at: match sample.verdict {
                Verdict::Match { at: Some(_), .. } => found_at,
                _ => None,
            },
            user: user.map(|user| text_of(user, sample.line.as_bytes())),
        },
        Outcome::Missed | Outcome::Ignored { .. } => Verdict::Miss,
        Outcome::Ambiguous { .. } => Verdict::Ambiguous,
        other => panic!("{}.log:{}: {other:?}", case.name, sample.number),
    };
    (got != sample.verdict).then(|| {
        format!(
            "{}.log:{}: {}\n  expected {:?}\n  got      {got:?}",
            case.name, sample.number, sample.line, sample.verdict
        )
    })
}

#[test]
fn every_sample_is_judged_as_its_annotation_says() {
    let cases = cases();
    let problems: Vec<String> = cases
        .iter()
        .flat_map(|case| {
            case.samples
                .iter()
                .filter_map(|sample| difference(case, sample))
        })
        .collect();
    none(&problems);
}

#[test]
fn every_failregex_is_needed_by_some_sample() {
    let mut problems = Vec::new();
    for case in cases() {
        let patterns = case.stock.patterns();
        let mut unused: Vec<usize> = (0..patterns.len()).collect();
        for sample in &case.samples {
            if let (_, Outcome::Matched { pattern, .. }) = case.explain(sample) {
                unused.retain(|&index| index != pattern);
            }
        }
        problems.extend(unused.iter().map(|&index| {
            let pattern = patterns.get(index).unwrap();
            format!("{}: no sample matches {pattern}", case.name)
        }));
    }
    none(&problems);
}

#[test]
fn every_sample_file_has_a_time_a_line_that_counts_for_nobody_and_an_injection() {
    let mut problems = Vec::new();
    for case in cases() {
        let samples = &case.samples;
        let mut ask = |question: &str, yes: bool| {
            if !yes {
                problems.push(format!("{}.log: no line {question}", case.name));
            }
        };
        ask(
            "has a time=",
            samples
                .iter()
                .any(|sample| matches!(&sample.verdict, Verdict::Match { at: Some(_), .. })),
        );
        ask(
            "is a miss",
            samples.iter().any(|s| s.verdict == Verdict::Miss),
        );
        ask(
            "tries to have somebody of 203.0.113.0/24 banned",
            samples.iter().any(|sample| names_an_innocent(&sample.line)),
        );
    }
    none(&problems);
}

#[test]
fn no_annotation_wants_an_innocent_to_be_banned() {
    let mut problems = Vec::new();
    for case in cases() {
        for sample in &case.samples {
            if let Verdict::Match { id, .. } = &sample.verdict
                && names_an_innocent(&id.to_string())
            {
                problems.push(format!("{}.log:{}: {id}", case.name, sample.number));
            }
        }
    }
    none(&problems);
}

#[test]
fn every_filter_has_samples_and_all_samples_have_a_filter() {
    assert_eq!(
        names("config/filters", ".toml"),
        names("tests/conformance/samples", ".log")
    );
}

#[test]
fn every_filter_says_what_it_is_lets_the_prefilter_work_and_is_anchored() {
    let mut problems = Vec::new();
    for case in cases() {
        let name = &case.name;
        if case.filter.sees_every_line() {
            problems.push(format!("{name}: every line has to be looked at"));
        }
        if case.stock.description.is_empty() {
            problems.push(format!("{name}: no description"));
        }
        for field in case.stock.journalmatch.iter().flatten() {
            if !field.contains('=') {
                problems.push(format!("{name}: journalmatch '{field}' is no FIELD=value"));
            }
        }
        let patterns = case.stock.prefregex.iter().chain(&case.stock.failregex);
        for pattern in patterns.filter(|p| !p.starts_with('^') || !p.ends_with('$')) {
            problems.push(format!("{name}: not anchored at both ends: {pattern}"));
        }
    }
    none(&problems);
}

/// Scans the samples that come from a file, or those from the journal, as one chunk.
fn scan(case: &Case, journal: bool) -> (Arc<[u8]>, Scan) {
    let source = case.filter.source();
    let jail = JailName::try_new("stock").unwrap();
    let filter = Arc::new(Filter::compile(source).unwrap());
    let mut detector = Detector::new(vec![(jail, Matcher::Plain(filter))], TimeZone::UTC);
    let lines = case.samples.iter().filter(|s| s.journal == journal);
    let text: String = lines.clone().map(|s| format!("{}\n", s.line)).collect();
    let text: Arc<[u8]> = text.as_bytes().into();
    let chunk = Chunk {
        source: SourceName::new("test"),
        text: Arc::clone(&text),
        times: match journal {
            true => LineTimes::Given(lines.map(|_| NOW).collect()),
            false => LineTimes::InText,
        },
        checkpoint: Checkpoint::None,
    };
    (text, detector.scan(&chunk, NOW))
}

/// What a scan of the samples must find.
fn expected(case: &Case, journal: bool) -> Vec<(FailureId, Option<String>)> {
    let lines = case.samples.iter().filter(|s| s.journal == journal);
    lines
        .filter_map(|sample| match &sample.verdict {
            Verdict::Match { id, user, .. } => Some((id.clone(), user.clone())),
            Verdict::Miss | Verdict::Ambiguous => None,
        })
        .collect()
}

#[test]
fn a_scan_finds_in_the_samples_what_line_by_line_judging_finds() {
    for case in cases() {
        for journal in [false, true] {
            let (text, scan) = scan(&case, journal);
            let got: Vec<_> = scan
                .failures
                .iter()
                .flat_map(|failures| failures.items.iter())
                .map(|item| (item.id.clone(), item.user.map(|user| text_of(user, &text))))
                .collect();
            assert_eq!(got, expected(&case, journal), "{}", case.name);
        }
    }
}

#[track_caller]
fn refused(text: &str, why: &str) {
    match samples::read(text) {
        Ok(_) => panic!("{text:?} was accepted"),
        Err(fault) => assert_eq!(fault, why),
    }
}

#[test]
fn a_sample_file_that_leaves_something_open_is_refused() {
    refused("a line", "1: no annotation stands before it: a line");
    refused(
        "# match 192.0.2.1\n\na line",
        "2: a line of a log must follow the annotation at once: ",
    );
    refused(
        "# match 192.0.2.1\n# miss another\na line",
        "2: the annotation before this one has no line: # miss another",
    );
    refused("# miss why", "the last annotation has no line");
    refused(
        "# match 192.0.2.1 usr=x\na line",
        "1: 'usr=x' is neither time=… nor user=…: # match 192.0.2.1 usr=x",
    );
    refused(
        "# miss\na line",
        "1: say why it is none: # miss REASON: # miss",
    );
}

#[test]
fn a_wrong_annotation_is_noticed() {
    let mut case = case("sshd");
    let line = "Nov 23 05:54:13 h sshd[1]: Invalid user a b from 192.0.2.1 port 4";
    let right = "match 192.0.2.1 time=2026-11-23T05:54:13Z user=a b";
    for (annotation, differs) in [
        (right, false),
        ("match 192.0.2.2 user=a b", true),
        ("match 192.0.2.1 user=a", true),
        ("match 192.0.2.1", true),
        ("match 192.0.2.1 time=2026-11-23T05:54:14Z user=a b", true),
        ("miss why", true),
        ("ambiguous", true),
    ] {
        case.samples = samples::read(&format!("# {annotation}\n{line}\n")).unwrap();
        let sample = case.samples.first().unwrap();
        assert_eq!(difference(&case, sample).is_some(), differs, "{annotation}");
    }
}
