//! Debian's fail2ban brings annotated samples. Whatever it marks there as a failure of a service
//! ours must find too, but for the exceptions in `tests/conformance/fail2ban.toml`. Its files are
//! read where it is installed; none of them is part of our tree.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use stockade_core::{FailureId, parse_addr};

use crate::{Case, NOW, Outcome, case, hash, none, repository};

/// Where Debian's package has its samples.
const SAMPLES: &str = "/usr/lib/python3/dist-packages/fail2ban/tests/files/logs";

/// `tests/conformance/fail2ban.toml`: which of its sample files belong to a filter of ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    samples: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Lines that ours does not count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[expect(dead_code, reason = "for people")]
    why: String,
    /// `FILE:LINE:HASH`; the hash decides, the place is for people.
    lines: Vec<String>,
}

/// A line that fail2ban's samples mark as a failure.
struct Theirs {
    place: String,
    line: String,
    host: String,
    journal: bool,
}

/// What an annotation of fail2ban's says, as far as it matters here.
#[derive(Deserialize)]
struct FailJson {
    #[serde(rename = "match")]
    is_match: bool,
    #[serde(default)]
    host: Option<String>,
}

fn read_theirs(name: &str) -> Vec<Theirs> {
    let bytes = std::fs::read(Path::new(SAMPLES).join(name)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let (mut expected, mut journal) = (None, false);
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(options) = line.strip_prefix("# filterOptions:") {
            journal = options.contains(r#""logtype": "journal""#);
        } else if let Some(json) = line.strip_prefix("# failJSON:") {
            expected = serde_json::from_str::<FailJson>(json).ok();
        } else if !line.is_empty() && !line.starts_with('#') {
            let expected = expected.take().filter(|expected| expected.is_match);
            if let Some(host) = expected.and_then(|expected| expected.host) {
                found.push(Theirs {
                    place: format!("{name}:{}", index + 1),
                    line: line.to_owned(),
                    host,
                    journal,
                });
            }
        }
    }
    found
}

/// Whom ours counts the line for, in whatever way it finds somebody.
fn ours(case: &Case, theirs: &Theirs) -> Option<FailureId> {
    let filter = if theirs.journal {
        &case.undated
    } else {
        &case.filter
    };
    let zone = jiff::tz::TimeZone::UTC;
    match filter.explain(theirs.line.as_bytes(), NOW, &zone).outcome {
        Outcome::Matched { id, .. } => Some(id),
        _ => None,
    }
}

/// Compares one filter; the failures that ours leaves out and exceptions that are none.
fn compare(name: &str, service: &Service, problems: &mut Vec<String>) {
    let case = case(name);
    let mut excepted: BTreeMap<String, bool> = service
        .exceptions
        .iter()
        .flat_map(|exception| &exception.lines)
        .map(|line| {
            (
                line.rsplit(':').next().unwrap_or_default().to_owned(),
                false,
            )
        })
        .collect();
    for theirs in service.samples.iter().flat_map(|name| read_theirs(name)) {
        // Ours looks no names up, so a line with one counts for nobody.
        if parse_addr(theirs.host.as_bytes()).is_err() {
            continue;
        }
        let hash = hash::of(&theirs.line);
        let same = ours(&case, &theirs).is_some_and(|id| id == FailureId::parse(&theirs.host));
        let place = &theirs.place;
        match excepted.get_mut(&hash) {
            Some(_) if same => problems.push(format!("{name}: {place}:{hash} is no exception")),
            Some(met) => *met = true,
            None if same => {}
            None => problems.push(format!(
                "{name}: {place}:{hash} is {} for fail2ban: {}",
                theirs.host, theirs.line
            )),
        }
    }
    let unmet = excepted.iter().filter(|(_, met)| !**met);
    problems.extend(unmet.map(|(hash, _)| format!("{name}: no line has the hash {hash}")));
}

#[test]
fn what_fail2ban_marks_as_a_failure_is_one_for_ours() {
    if !Path::new(SAMPLES).is_dir() {
        assert!(
            std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_none(),
            "fail2ban with its samples is not installed"
        );
        return;
    }
    let text = std::fs::read_to_string(repository("tests/conformance/fail2ban.toml")).unwrap();
    let services: BTreeMap<String, Service> = toml::from_str(&text).unwrap();
    let mut problems = Vec::new();
    for (name, service) in &services {
        compare(name, service, &mut problems);
    }
    none(&problems);
}
