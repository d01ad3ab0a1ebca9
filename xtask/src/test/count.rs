//! Counts tests by what their runners say at the end.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::AddAssign;

use crate::Failure;
use crate::run::Run;

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    /// One that passed.
    pub(crate) const PASSED: Self = Self {
        passed: 1,
        failed: 0,
    };
    /// One that failed.
    pub(crate) const FAILED: Self = Self {
        passed: 0,
        failed: 1,
    };
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs cargo-nextest.
pub(crate) fn nextest(run: Run) -> Result<Count, Failure> {
    counted(run, of_nextest)
}

/// Runs `cargo test`, in which each test binary tells its result.
pub(crate) fn cargo_test(run: Run) -> Result<Count, Failure> {
    counted(run, of_cargo_test)
}

/// Shows what is written and adds up what `of_line` finds in it. A run that fails without a failed
/// test, such as one that does not compile, counts as one.
fn counted(run: Run, of_line: fn(&str) -> Option<Count>) -> Result<Count, Failure> {
    let mut child = run.start()?;
    drop(child.stdin.take());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut count = std::thread::scope(|scope| {
        let errors = scope.spawn(|| {
            stderr.map_or_else(Count::default, |text| {
                show(text, std::io::stderr(), of_line)
            })
        });
        let mut count = stdout.map_or_else(Count::default, |text| {
            show(text, std::io::stdout(), of_line)
        });
        // A thread that only copies does not panic; if it did, what it counted is lost.
        count += errors.join().unwrap_or(Count::FAILED);
        count
    });
    if !child.wait()?.success() && count.failed == 0 {
        count += Count::FAILED;
    }
    Ok(count)
}

fn show(text: impl Read, mut to: impl Write, of_line: fn(&str) -> Option<Count>) -> Count {
    let mut count = Count::default();
    let mut lines = BufReader::new(text);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
        // Whoever reads may have gone; the tests go on.
        drop(to.write_all(&line));
        if let Some(more) = of_line(&String::from_utf8_lossy(&line)) {
            count += more;
        }
        line.clear();
    }
    count
}

/// `     Summary [  12.3s] 345 tests run: 342 passed (2 slow), 2 failed, 1 timed out, 4 skipped`
fn of_nextest(line: &str) -> Option<Count> {
    let (_, results) = line
        .trim_start()
        .strip_prefix("Summary [")?
        .split_once("run: ")?;
    let mut count = Count::default();
    for result in results.split(", ") {
        let mut words = result.split_whitespace();
        let number: u64 = words.next()?.parse().ok()?;
        match words.next()? {
            "passed" => count.passed += number,
            "skipped" => {}
            // "failed", "exec failed", "timed out": none of them is a success.
            _ => count.failed += number,
        }
    }
    Some(count)
}

/// `test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn of_cargo_test(line: &str) -> Option<Count> {
    let (_, results) = line
        .trim_start()
        .strip_prefix("test result: ")?
        .split_once(". ")?;
    let number = |word: &str| {
        let mut parts = results.split("; ");
        parts.find_map(|part| part.strip_suffix(word)?.trim_end().parse().ok())
    };
    Some(Count {
        passed: number("passed")?,
        failed: number("failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextests_summary_is_understood() {
        let check = |line: &str, passed, failed| {
            assert_eq!(of_nextest(line), Some(Count { passed, failed }), "{line}");
        };
        check(
            "     Summary [   0.012s] 3 tests run: 3 passed, 0 skipped\n",
            3,
            0,
        );
        check(
            "     Summary [  61.2s] 9 tests run: 5 passed (1 slow), 3 failed, 1 timed out, 2 skipped",
            5,
            4,
        );
        check(
            "     Summary [  61.2s] 5/9 tests run: 4 passed, 1 exec failed, 0 skipped",
            4,
            1,
        );
        assert_eq!(
            of_nextest("        PASS [   0.005s] xtask run::tests::a"),
            None
        );
    }

    #[test]
    fn the_results_of_cargo_test_are_understood() {
        let line = "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(
            of_cargo_test(line),
            Some(Count {
                passed: 12,
                failed: 1
            })
        );
        assert_eq!(of_cargo_test("test a ... ok"), None);
    }

    #[test]
    fn a_run_that_fails_before_any_test_is_one_failure() {
        let failing = Run::cargo().arg("--no-such-flag");
        assert_eq!(cargo_test(failing).unwrap(), Count::FAILED);
        let good = Run::cargo().arg("--version");
        assert_eq!(nextest(good).unwrap(), Count::default());
    }
}
