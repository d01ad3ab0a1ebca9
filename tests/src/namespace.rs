//! A network and a mount table for one test alone.

use std::any::type_name_of_val;
use std::process::{Command, Stdio};

use crate::binary;

/// Set in the process that is already inside.
const INSIDE: &str = "STOCKADE_TEST_INSIDE_NAMESPACE";
/// Set where a test must not be skipped because a tool or a right is missing.
pub const MUST_RUN: &str = "STOCKADE_TESTS_MUST_RUN";

/// As root, and as anybody where the machine allows user namespaces.
const WAYS: [&[&str]; 2] = [
    &["--net", "--mount"],
    &["--user", "--map-root-user", "--net", "--mount"],
];

/// Runs the rest of a test in fresh network and mount namespaces: this test's binary once more, this
/// one test, inside. `body` must be a closure that is written in the test itself, since the test's
/// name is taken from it.
///
/// # Panics
/// Where `body` does, or where no namespace can be made and [`MUST_RUN`] is set.
pub fn in_namespace<F: FnOnce()>(body: F) {
    if std::env::var_os(INSIDE).is_some() {
        run(&["ip", "link", "set", "lo", "up"]);
        return body();
    }
    let works = |way: &&&[&str]| succeeds(Command::new("unshare").args(**way).arg("true"));
    let tools =
        succeeds(Command::new("nft").arg("--version")) && succeeds(Command::new("ip").arg("-V"));
    let Some(way) = WAYS.iter().find(works).filter(|_| tools) else {
        let needs = "needs unshare, ip, nft and permission to make namespaces";
        assert!(std::env::var_os(MUST_RUN).is_none(), "{needs}");
        tell(&format!("skipped: {needs}"));
        return;
    };
    let name = test_name(type_name_of_val(&body));
    let output = Command::new("unshare")
        .args(*way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        // Built out here, where cargo has a network.
        .env(binary::BIN, binary::stockade())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "inside:\n{said}\n{errors}");
    assert!(
        said.contains("1 passed"),
        "no test is called {name}: {said}"
    );
}

#[expect(clippy::print_stderr, reason = "read by whoever runs the tests")]
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}

/// `bans::some_test::{{closure}}` is the closure of `some_test` of the test binary `bans`.
fn test_name(closure: &str) -> &str {
    let path = closure.split_once("::").map_or(closure, |(_, path)| path);
    path.trim_end_matches("::{{closure}}")
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command that must succeed, and returns what it wrote.
#[track_caller]
pub(crate) fn run(command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_tells_the_name_of_its_test() {
        let closure = || ();
        let name = test_name(type_name_of_val(&closure));
        assert_eq!(
            name,
            "namespace::tests::a_closure_tells_the_name_of_its_test"
        );
    }
}
