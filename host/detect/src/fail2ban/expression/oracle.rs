//! Python itself as the judge of what a pattern means: every pattern of Debian's fail2ban, over every
//! one of its sample lines and over damaged ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::*;

/// The seed of the damaged lines.
const SEED: &str = "20261124";

#[derive(Deserialize)]
struct Asked {
    pattern: String,
    names: String,
    filter: String,
    lines: Vec<(String, Option<BTreeMap<String, String>>)>,
}

#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn asked() -> Option<Vec<Asked>> {
    if !Path::new("/usr/bin/fail2ban-client").exists() {
        let must = std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_some();
        assert!(!must, "install Debian's fail2ban");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/patterns.py");
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

fn ours(
    expression: &Expression,
    subject: &str,
) -> Result<Option<BTreeMap<String, String>>, GaveUp> {
    let mut groups = Groups::default();
    let subject = format!("{subject}\n");
    if !expression.find(&subject, &mut groups)? {
        return Ok(None);
    }
    let named = expression.names().filter_map(|(name, number)| {
        let (start, end) = groups.span(number)?;
        Some((name.to_owned(), subject.get(start..end)?.to_owned()))
    });
    Ok(Some(named.collect()))
}

#[test]
fn every_stock_pattern_means_what_it_means_to_python() {
    let Some(asked) = asked() else { return };
    let (mut compared, mut matched, mut linear) = (0, 0, 0);
    let mut different = Vec::new();
    for asked in &asked {
        let host_names = match asked.names.as_str() {
            "no" => HostNames::Refuse,
            _ => HostNames::Resolve,
        };
        let options = ExpressionOptions {
            host_names,
            multiline: false,
        };
        let expression = match Expression::compile(&asked.pattern, options) {
            Ok(expression) => expression,
            Err(fault) => {
                different.push(format!("[{}] {}: {fault:?}", asked.filter, asked.pattern));
                continue;
            }
        };
        linear += usize::from(expression.is_linear());
        for (subject, theirs) in &asked.lines {
            let ours = ours(&expression, subject);
            compared += 1;
            matched += usize::from(theirs.is_some());
            if ours.as_ref() != Ok(theirs) {
                different.push(format!(
                    "[{}] {}\n  {subject:?}\n  ours   {ours:?}\n  theirs {theirs:?}",
                    asked.filter, asked.pattern
                ));
            }
        }
    }
    let first: Vec<_> = different.iter().take(10).collect();
    assert!(
        different.is_empty(),
        "{} of {compared} differ ({matched} match, {linear} of {} patterns are linear)\n{}",
        different.len(),
        asked.len(),
        first
            .iter()
            .map(|text| format!("{text}\n"))
            .collect::<String>()
    );
    assert!(compared > 50_000 && matched > 1_000, "{compared} {matched}");
}
