//! Debian's fail2ban as the judge of dates: one detector of theirs and one of ours for each stock
//! filter, over the same lines: samples, damaged ones, and dates of every form.
//!
//! Of an hour that the zone has twice, and of times before 1970, only the place in the line is compared:
//! which of the two `mktime` takes depends on what it was asked before, and long ago glibc has no rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize;
use stockade_core::Timestamp;

use super::{DateDetector, Templates};

/// The seed of the damaged lines and the generated dates.
const SEED: &str = "20261124";

#[derive(Deserialize)]
struct Asked {
    filter: String,
    patterns: Vec<String>,
    zone: String,
    /// A line, when it was read, and what is found.
    lines: Vec<(String, i64, Option<Found>)>,
}

/// The span that is cut out, and the time in microseconds.
type Found = (usize, usize, Option<Theirs>);

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Theirs {
    At(i64),
    Either(String),
}

#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn asked() -> Option<Vec<Asked>> {
    if !Path::new("/usr/bin/fail2ban-client").exists() {
        let must = std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_some();
        assert!(!must, "install Debian's fail2ban");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/dates.py");
    let output = Command::new("/usr/bin/python3")
        .args([script, SEED])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

/// Compares what ours finds in one line; says what is different.
fn difference(
    detector: &mut DateDetector,
    line: &str,
    now: i64,
    theirs: Option<&Found>,
) -> Option<String> {
    let ours = detector.find(line, Timestamp::from_secs(now));
    let same = match (ours, theirs) {
        (None, None) => true,
        // What is cut out is nothing: the line has no date of its own.
        (Some(ours), Some((start, end, _))) if start == end => ours.start == ours.end,
        (Some(ours), Some((start, end, at))) => {
            let same_time = match at {
                Some(Theirs::At(micros)) => ours.at == Some(Timestamp::from_micros(*micros)),
                Some(Theirs::Either(_)) => ours.at.is_some(),
                None => ours.at.is_none(),
            };
            same_time && (ours.start, ours.end) == (*start, *end)
        }
        _ => false,
    };
    (!same).then(|| format!("  {line:?} at {now}\n  ours   {ours:?}\n  theirs {theirs:?}"))
}

#[test]
fn every_stock_filter_finds_the_dates_that_fail2ban_finds() {
    let Some(asked) = asked() else { return };
    let mut compiled: BTreeMap<&[String], Arc<Templates>> = BTreeMap::new();
    let (mut compared, mut dated) = (0, 0);
    let mut different = Vec::new();
    for asked in &asked {
        let templates = compiled
            .entry(&asked.patterns)
            .or_insert_with(|| Arc::new(Templates::compile(&asked.patterns).unwrap()));
        let zone = TimeZone::posix(&asked.zone).unwrap();
        let mut detector = DateDetector::new(Arc::clone(templates), zone);
        for (line, now, theirs) in &asked.lines {
            compared += 1;
            dated += usize::from(matches!(theirs, Some((_, _, Some(Theirs::At(_))))));
            if let Some(text) = difference(&mut detector, line, *now, theirs.as_ref()) {
                let of = format!("[{}] {:?} {}", asked.filter, asked.patterns, asked.zone);
                different.push(format!("{of}\n{text}\n"));
            }
        }
    }
    let first: String = different.iter().take(10).map(String::as_str).collect();
    assert!(
        different.is_empty(),
        "{} of {compared} differ\n{first}",
        different.len()
    );
    assert!(compared > 50_000 && dated > 20_000, "{compared} {dated}");
}
