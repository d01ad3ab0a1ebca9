//! What fail2ban finds by its stock filters, ours finds by them too: a small part of what `cargo xtask
//! conformance --differential` compares, with seeds that are kept.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use stockade_conformance::{
    Comparison, Differential, MUST_RUN, NOW, PACKAGE, Setup, Subject, Subjects, ZONE, zone,
};

const FILTERS: &str = "/etc/fail2ban";

/// A seed that once showed a difference is added here.
const SEEDS: [u64; 1] = [20_261_127];
const LINES: usize = 3000;

fn samples() -> Option<PathBuf> {
    let samples = Path::new(PACKAGE).join("tests/files/logs");
    if samples.exists() && Path::new(FILTERS).exists() {
        return Some(samples);
    }
    let must = std::env::var_os(MUST_RUN).is_some();
    assert!(!must, "install Debian's fail2ban");
    None
}

fn compare(
    subjects: Vec<Subject>,
    samples: PathBuf,
    (lines, seed): (usize, u64),
    zone: TimeZone,
) -> Comparison {
    let setup = Setup {
        now: NOW,
        zone: ZONE.to_owned(),
        tree: None,
    };
    let differential = Differential {
        subjects,
        samples,
        lines,
        seed,
        now: NOW.as_micros() / 1_000_000,
    };
    differential.run(&setup, &zone).unwrap()
}

#[test]
fn every_filter_finds_what_fail2ban_finds() {
    let Some(samples) = samples() else { return };
    let subjects = Subjects::find(Path::new(FILTERS), &samples).unwrap();
    for seed in SEEDS {
        let list = subjects.list.clone();
        let comparison = compare(list, samples.clone(), (LINES, seed), zone());
        assert!(comparison.is_clean(), "{comparison}");
        let (lines, found) = (comparison.lines, comparison.found);
        assert!(lines >= LINES && found > LINES / 5, "{comparison}");
    }
}

#[test]
fn a_difference_is_seen_and_reduced_to_one_short_line() {
    let Some(samples) = samples() else { return };
    let subject = Subject {
        dir: FILTERS.into(),
        name: "dropbear".to_owned(),
    };
    // Ours takes dates for those of another zone.
    let comparison = compare(vec![subject], samples, (200, 1), TimeZone::UTC);
    assert!(!comparison.is_clean());
    let text = comparison.to_string();
    let first = comparison.unexplained.first().unwrap();
    assert_eq!(first.lines.len(), 1, "{text}");
    assert!(first.lines[0].text.len() < 100, "{text}");
    assert!(text.contains("  expected: failregex 1 finds \""), "{text}");
    assert!(text.contains("       got: failregex 1 finds \""), "{text}");
    assert!(text.ends_with(&format!("{} failed", comparison.unexplained.len())));
}
