//! A folder with a program that stands in for pfctl.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

/// What it is; see there. It keeps its files beside the name that it is called by.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pf/pfctl.sh");

pub(crate) struct Fake(TempDir);

impl Fake {
    /// One of a host whose pf is on and asks us.
    pub(crate) fn new() -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        // Not a copy: a program that was just written may not be started while another thread forks.
        symlink(PROGRAM, fake.program()).unwrap();
        fake.write(
            "status",
            "Status: Enabled for 0 days 02:11:09           Debug: Urgent\n",
        );
        fake.write(
            "main",
            "block drop in all\nanchor \"stockade\" all\npass in quick all flags S/SA keep state\n",
        );
        for empty in ["nat", "states", "interfaces", "calls"] {
            fake.write(empty, "");
        }
        fake
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.0.path().join("pfctl")
    }

    /// How it was called since [`Self::forget_calls`].
    pub(crate) fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    pub(crate) fn forget_calls(&self) {
        self.write("calls", "");
    }

    /// Lets it fail with `message` from now on where it is called with `argument`.
    pub(crate) fn refuse(&self, argument: &str, message: &str) {
        self.write("refuse", argument);
        self.write("refusal", message);
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.path().join(name).exists()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        // It may be gone already.
        drop(fs::remove_file(self.0.path().join(name)));
    }
}
