//! fail2ban itself as the judge of what its stock filters find: in its own sample lines and in
//! damaged ones, line after line, sessions and several lines at once included.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop where it stands"
)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize;
use stockade_core::Timestamp;
use stockade_detect::{
    DatePattern, Dialect, Filter, FilterRun, FilterSource, Finding, HostNames, Outcome,
};

/// The seed of the damaged lines.
const SEED: &str = "20261124";
/// The clock of fail2ban's own tests, and their zone.
const NOW: Timestamp = Timestamp::from_secs(1_124_013_600);
const ZONE: &str = "CET-01CEST-02,M3.5.0,M10.5.0";

/// A filter and what fail2ban finds by it.
#[derive(Deserialize)]
struct Told {
    filter: String,
    options: serde_json::Value,
    /// Whether all failregexes are tried.
    every: bool,
    prefregex: Option<String>,
    failregex: Vec<String>,
    ignoreregex: Vec<String>,
    datepattern: Option<String>,
    maxlines: u32,
    lines: Vec<(String, Option<Vec<Theirs>>)>,
}

#[derive(Deserialize, Debug)]
struct Theirs(
    usize,
    Option<String>,
    Option<f64>,
    bool,
    u32,
    BTreeMap<String, String>,
    Vec<String>,
);

#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn told() -> Option<Vec<Told>> {
    if !Path::new("/usr/bin/fail2ban-client").exists() {
        let must = std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_some();
        assert!(!must, "install Debian's fail2ban");
        return None;
    }
    let seed = std::env::var("STOCKADE_SEED").unwrap_or_else(|_| SEED.to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/judge.py");
    let output = Command::new("/usr/bin/python3")
        .args([script, &seed])
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

impl Told {
    fn compile(&self) -> Arc<Filter> {
        let dates = self.datepattern.as_deref().unwrap_or("{DEFAULT}");
        let source = FilterSource {
            prefregex: self.prefregex.clone(),
            failregex: self.failregex.clone(),
            ignoreregex: self.ignoreregex.clone(),
            datepattern: DatePattern::Templates(
                dates
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            dialect: Dialect::Fail2ban,
            maxlines: self.maxlines,
            host_names: HostNames::Raw,
            ..FilterSource::default()
        };
        match Filter::compile(&source) {
            Ok(filter) => Arc::new(filter),
            Err(errors) => panic!("[{}] {errors:?}", self.filter),
        }
    }
}

/// What is compared of a finding where all failregexes are tried.
fn shown(ours: &[Finding]) -> String {
    ours.iter().fold(String::new(), |mut text, f| {
        let at = f.dated.then_some(f.at.as_micros());
        write!(
            text,
            "{} {:?} {at:?} {} {} {:?} {:?}; ",
            f.pattern, f.id, f.nofail, f.attempts, f.captures, f.users
        )
        .unwrap();
        text
    })
}

fn theirs_shown(theirs: &[Theirs]) -> String {
    theirs.iter().fold(String::new(), |mut text, f| {
        #[expect(clippy::cast_possible_truncation, reason = "times of our century")]
        let at = f.2.map(|at| (at * 1e6).round() as i64);
        write!(
            text,
            "{} {:?} {at:?} {} {} {:?} {:?}; ",
            f.0, f.1, f.3, f.4, f.5, f.6
        )
        .unwrap();
        text
    })
}

/// The same where the first failregex wins, as a detector does: only whom it is about.
fn first(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Matched { pattern, id, .. } => format!("{pattern} {id}"),
        Outcome::Nobody { pattern } => format!("{pattern} nobody"),
        _ => String::new(),
    }
}

fn theirs_first(theirs: &[Theirs]) -> String {
    let shown = theirs.iter().map(|f| {
        let id = f.1.clone().unwrap_or_default();
        // What a tag for addresses matched and is none is banned by fail2ban, in vain.
        let tagged = |name| f.5.get(name) == Some(&id);
        match id.parse::<std::net::IpAddr>() {
            Ok(addr) => format!("{} {addr}", f.0),
            Err(_) if tagged("ip4") || tagged("ip6") => format!("{} nobody", f.0),
            Err(_) => format!("{} {id}", f.0),
        }
    });
    shown.collect()
}

#[test]
fn the_stock_filters_find_what_fail2ban_finds() {
    let Some(told) = told() else { return };
    let zone = TimeZone::posix(ZONE).unwrap();
    let (mut compared, mut found) = (0, 0);
    let mut different = Vec::new();
    for told in &told {
        let mut run = FilterRun::new(told.compile(), zone.clone());
        for (line, theirs) in &told.lines {
            let (ours, theirs) = match (told.every, theirs) {
                // It stumbled over the line.
                (_, None) => continue,
                (true, Some(theirs)) => {
                    let ours = run.line(line.as_bytes(), None, NOW);
                    (shown(&ours), theirs_shown(theirs))
                }
                (false, Some(theirs)) => {
                    let ours = run.explain(line.as_bytes(), NOW);
                    (first(&ours.outcome), theirs_first(theirs))
                }
            };
            compared += 1;
            found += usize::from(!theirs.is_empty());
            if ours != theirs {
                different.push(format!(
                    "[{} {} {}]\n  {line:?}\n  ours   {ours}\n  theirs {theirs}\n",
                    told.filter, told.options, told.every
                ));
            }
        }
    }
    let shown: String = different.iter().take(20).map(String::as_str).collect();
    let differ = different.len();
    assert_eq!(differ, 0, "of {compared} ({found} found)\n{shown}");
    assert!(compared > 5_000 && found > 2_000, "{compared} {found}");
}
