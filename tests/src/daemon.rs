//! A running daemon, and what one command of the command line told.

use std::process::{Child, Command, ExitStatus, Output};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::Place;
use crate::wait::wait_for;

/// So much of a daemon's log is shown when a test fails.
const LOG_SHOWN: usize = 6_000;

/// A running daemon. It is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon<'a> {
    place: &'a Place,
    child: Child,
}

impl<'a> Daemon<'a> {
    pub(crate) fn new(place: &'a Place, child: Child) -> Self {
        Self { place, child }
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Where it is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it as a crash or the kernel's memory killer would.
    pub fn kill(mut self) {
        self.end();
    }

    /// Ends it by the command line, and returns its exit code.
    pub fn stop(self, arguments: &[&str]) -> i32 {
        let told = self.place.stockade(&[&["stop"], arguments].concat());
        told.assert_code(0);
        self.wait()
    }

    /// Waits for its end and returns its exit code.
    ///
    /// # Panics
    /// Where it does not end, or by a signal.
    #[must_use]
    pub fn wait(mut self) -> i32 {
        let status: ExitStatus =
            wait_for("the daemon has ended", || self.child.try_wait().unwrap());
        status.code().unwrap()
    }

    /// Fails where it has ended.
    pub(crate) fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the daemon has ended: {status}");
        }
    }

    fn end(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["stderr", "stockade.log"] {
                let text = std::fs::read(self.place.path(name)).unwrap_or_default();
                let shown = String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_SHOWN)..])
                    .into_owned();
                crate::namespace::tell(&format!("--- {name}\n{shown}"));
            }
        }
        self.end();
    }
}

/// What a command told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Told {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        Self {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Fails where the exit code is another one.
    ///
    /// # Panics
    /// Where it is.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Standard output as the one JSON object that `--json` promises.
    ///
    /// # Panics
    /// Where it is anything else.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(
            self.out.lines().count(),
            1,
            "not one line: {}\n{}",
            self.out,
            self.err
        );
        serde_json::from_str(&self.out).unwrap()
    }
}
