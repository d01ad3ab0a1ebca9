//! Python itself as the judge of what a formula is worth.

use stockade_core::{BanFormula, FormulaError};

use super::*;

#[test]
#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn formulas_are_worth_what_python_makes_of_them() {
    if !is_installed() {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/formulas.py");
    let output = Command::new("/usr/bin/python3")
        .args([script, "20261124", "5000"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut compared = 0;
    for line in text.lines() {
        let theirs: Value = serde_json::from_str(line).unwrap();
        let text = theirs["text"].as_str().unwrap();
        let ours = BanFormula::parse(text).and_then(|formula| formula.eval(600.0, 3, 1.5));
        // Where Python has no value, ours may be the longest there is, or an error too.
        let Some(theirs) = theirs["value"].as_f64() else {
            continue;
        };
        if is_chained(&ours) {
            continue;
        }
        let ours = ours.unwrap_or_else(|error| panic!("{text} is {theirs}: {error:?}"));
        let near = (ours - theirs).abs() <= theirs.abs() * 1e-9;
        assert!(near, "{text} is {theirs}, not {ours}");
        compared += 1;
    }
    assert!(compared > 2_500, "only {compared} were compared");
}

/// `a < b < c` is left out of the grammar on purpose.
fn is_chained(ours: &Result<f64, FormulaError>) -> bool {
    let error = ours.as_ref().err();
    error.is_some_and(|error| error.message.contains("cannot be chained"))
}
