//! The one place of this crate that starts a process: journalctl.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::wake::readable;
use stockade_core::Escaped;

/// How much of what journalctl says at its end is kept.
const STDERR_LEN_MAX: usize = 1024;

/// How often, and how long apart, one looks whether a journalctl has ended that closed its
/// output: together far longer than a process takes to exit, and short for a reader.
const END_LOOKS_MAX: u32 = 100;
const END_LOOK_EVERY: Duration = Duration::from_millis(2);

#[expect(
    clippy::disallowed_methods,
    reason = "journald has no other stable interface than its C library; arguments are a list"
)]
fn command(program: &Path, args: &[String]) -> Command {
    let mut command = Command::new(program);
    // Messages in English, so that they can be told apart.
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Can `program` (journalctl) be run, and has it any entry to show to us?
///
/// `extra_args` as in [`JournalSpec`](super::JournalSpec). A journal without a single entry is
/// none: nobody writes to it.
#[must_use]
pub fn journal_available(program: &Path, extra_args: &[String]) -> bool {
    let mut args = ["--quiet", "--no-pager", "--lines=1", "--output=export"]
        .map(String::from)
        .to_vec();
    args.extend_from_slice(extra_args);
    let output = command(program, &args).stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

/// A running journalctl; ended with this value.
#[derive(Debug)]
pub(super) struct Journalctl {
    child: Child,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// The end of what it has written to stderr.
    said: Vec<u8>,
}

impl Journalctl {
    pub(super) fn start(program: &Path, args: &[String]) -> io::Result<Self> {
        let mut child = command(program, args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => Ok(Self {
                child,
                stdout,
                stderr,
                said: Vec::new(),
            }),
            _ => Err(io::Error::other("no pipes to the process")),
        }
    }

    pub(super) fn stdout_fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }

    pub(super) fn stderr_fd(&self) -> BorrowedFd<'_> {
        self.stderr.as_fd()
    }

    /// What is there; waits if nothing is. Zero at its end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stdout.read(buf)
    }

    /// Takes what is there of stderr. False at its end.
    pub(super) fn listen(&mut self) -> bool {
        let mut buf = [0; STDERR_LEN_MAX];
        let n = self.stderr.read(&mut buf).unwrap_or(0);
        self.said
            .extend_from_slice(buf.get(..n).unwrap_or_default());
        let too_much = self.said.len().saturating_sub(STDERR_LEN_MAX);
        self.said.drain(..too_much);
        n > 0
    }

    /// How it ended. A process closes its output a moment before it can be waited for.
    fn ended(&mut self) -> Option<ExitStatus> {
        for _ in 0..END_LOOKS_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            // Nothing can be waited for that every system has, so this only lets time pass.
            drop(readable([], END_LOOK_EVERY));
        }
        None
    }

    /// Ends it if it has not ended, and says how it ended and what it said.
    pub(super) fn end(mut self) -> (String, Vec<u8>) {
        while matches!(readable([self.stderr_fd()], Duration::ZERO), Ok([true])) && self.listen() {}
        let status = self.ended().map_or_else(
            || "it closed its output".to_owned(),
            |status| format!("journalctl ended with {status}"),
        );
        let said = std::mem::take(&mut self.said);
        let text = String::from_utf8_lossy(said.trim_ascii());
        let reason = if text.is_empty() {
            status
        } else {
            format!("{status}: {}", Escaped(said.trim_ascii()))
        };
        (reason, said)
    }
}

impl Drop for Journalctl {
    fn drop(&mut self) {
        // Either may fail only because it has ended and been waited for.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
