//! Random configurations, which fail2ban reads beside us.

use super::*;

/// The seeds; one that showed a difference stays.
const SEEDS: [u64; 3] = [1, 2, 20_261_124];

/// How many configurations for each seed.
const TREES: usize = 60;

#[test]
fn random_configurations_mean_what_fail2ban_makes_of_them() {
    let mut compared = 0;
    let mut refused = 0;
    let mut differences = Vec::new();
    for seed in SEEDS {
        let root = tempfile::tempdir().unwrap();
        for theirs in written_and_read(seed, root.path()).unwrap_or_default() {
            let Some(jails) = theirs["jails"].as_object() else {
                continue;
            };
            let dir = root.path().join(theirs["dir"].as_str().unwrap());
            let version = theirs["version"].as_str().unwrap();
            let ours = Tree::read(&dir).with_version(version).jails(Selection::All);
            for (name, theirs) in jails {
                match theirs["error"].is_string() {
                    true => refused += 1,
                    false => compared += 1,
                }
                if let Some(difference) = difference(&ours, name, theirs) {
                    let number = dir.file_name().unwrap().display();
                    differences.push(format!("seed {seed}, {number}, jail {name}: {difference}"));
                }
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences, the first: {:#?}",
        differences.len(),
        differences.iter().take(5).collect::<Vec<_>>()
    );
    if is_installed() {
        assert!(compared > 250 && refused > 30, "{compared} and {refused}");
    }
}

fn difference(ours: &Jails, name: &String, theirs: &Value) -> Option<String> {
    let said = || -> String { ours.diagnostics.iter().map(|it| it.render()).collect() };
    let jail = ours.jails.iter().find(|jail| jail.name == *name);
    match (jail, theirs["error"].as_str()) {
        (None, Some(_)) => None,
        (Some(_), Some(error)) if is_lenient(error) => None,
        (Some(_), Some(error)) => Some(format!("only fail2ban refuses it: {error}")),
        (None, None) => Some(format!("only we refuse it: {}", said())),
        (Some(jail), None) => different_part(jail, theirs),
    }
}

/// What fail2ban refuses, or falls over, and we read.
fn is_lenient(error: &str) -> bool {
    // A number of a filter that the jail names: Python's types get in its way.
    error.starts_with("TypeError: argument of type 'int'")
}

fn different_part(jail: &ResolvedJail, theirs: &Value) -> Option<String> {
    let mut their_filter = theirs["filter"].clone();
    if their_filter["prefregex"] == json!("") {
        their_filter["prefregex"] = Value::Null;
    }
    if let Some(pattern) = theirs["filter"]["datepattern"].as_str() {
        // Its server takes the lines apart, as we do.
        let lines = pattern.split('\n').map(str::trim);
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        their_filter["datepattern"] = json!(lines.join("\n"));
    }
    let actions: serde_json::Map<String, Value> = jail.actions.iter().map(action).collect();
    let parts = [
        ("options", options(jail), &theirs["written"]),
        (
            "filter",
            filter(jail.filter.as_ref().unwrap()),
            &their_filter,
        ),
        ("actions", Value::Object(actions), &theirs["actions"]),
    ];
    let mut different = parts
        .into_iter()
        .filter(|(_, ours, theirs)| ours != *theirs);
    different
        .next()
        .map(|(part, ours, theirs)| format!("{part}: ours {ours}\ntheirs {theirs}"))
}

/// The trees of a seed, written to `root`, as fail2ban reads them.
#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn written_and_read(seed: u64, root: &Path) -> Option<Vec<Value>> {
    if !is_installed() {
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/random_trees.py");
    let output = Command::new("/usr/bin/python3")
        .args([script, &seed.to_string(), &TREES.to_string()])
        .arg(root)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(lines.collect())
}
