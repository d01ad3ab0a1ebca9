//! The children that some tests need: this test binary again, running one ignored test.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Tells the child where its database is.
const PATH: &str = "STOCKADE_STORE_TEST_PATH";

/// The database of this process, where it is such a child.
pub(crate) fn path_of_child() -> Option<std::path::PathBuf> {
    std::env::var_os(PATH).map(Into::into)
}

/// Runs the ignored test `name` of this binary, inside `wrapper` where it is not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the test starts itself as another process"
)]
pub(crate) fn start_child(wrapper: &[&str], name: &str, path: &Path) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&this);
            command
        }
    };
    command
        .args([
            "--ignored",
            "--exact",
            name,
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PATH, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
