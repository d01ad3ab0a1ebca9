//! Starts processes: the only place of xtask that does.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Failure;

/// A process to be started. Arguments are a list; no shell is involved.
#[derive(Debug)]
pub(crate) struct Run(Command);

impl Run {
    /// `program`, found on `PATH` where it is a bare name.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the place where xtask starts processes"
        )]
        let command = Command::new(program);
        Self(command)
    }

    /// The cargo that runs this xtask.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    /// Adds several arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Sets the folder that it runs in.
    pub(crate) fn in_dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs it with our own input and output and waits for its end.
    ///
    /// Fails where it cannot be started or does not exit with 0.
    pub(crate) fn succeed(mut self) -> Result<(), Failure> {
        let status = self.0.status().map_err(|cause| self.not_started(&cause))?;
        if status.success() {
            return Ok(());
        }
        Err(format!("'{}' failed: {status}", self.shown()).into())
    }

    /// Runs it and returns what it wrote to standard output, without white space at the end.
    ///
    /// Fails where it cannot be started or does not exit with 0; then what it wrote to standard error
    /// is in the message.
    pub(crate) fn read(mut self) -> Result<String, Failure> {
        let output = self.0.output().map_err(|cause| self.not_started(&cause))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let (shown, status) = (self.shown(), output.status);
            return Err(format!("'{shown}' failed: {status}: {}", stderr.trim_end()).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// Starts it with pipes for its input and output, and does not wait.
    pub(crate) fn start(mut self) -> Result<Child, Failure> {
        let command = self
            .0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().map_err(|cause| self.not_started(&cause))
    }

    /// Runs it with our own output, waits for its end and returns whether it exited with 0. Its input is
    /// a pipe that ends when we do, and Ctrl-C does not reach it: it ends in its own way.
    #[cfg(unix)]
    pub(crate) fn succeed_apart(mut self) -> Result<bool, Failure> {
        use std::os::unix::process::CommandExt;
        let command = self.0.stdin(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|cause| self.not_started(&cause))?;
        // Waiting would close it.
        let input = child.stdin.take();
        let status = child.wait()?;
        drop(input);
        Ok(status.success())
    }

    fn not_started(&self, cause: &std::io::Error) -> Failure {
        format!("cannot start '{}': {cause}", self.shown()).into()
    }

    /// The command line, for messages only.
    fn shown(&self) -> String {
        let mut shown = self.0.get_program().to_string_lossy().into_owned();
        for arg in self.0.get_args() {
            shown.push(' ');
            shown.push_str(&arg.to_string_lossy());
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_keeps_what_it_complained_of() {
        let failure = Run::cargo().arg("--no-such-flag").read().unwrap_err();
        let text = failure.to_string();
        assert!(
            text.contains("--no-such-flag' failed: exit status: 1"),
            "{text}"
        );
        assert!(text.contains("unexpected argument"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = Run::new("/no/such/program").succeed().unwrap_err();
        let text = failure.to_string();
        assert!(
            text.starts_with("cannot start '/no/such/program': "),
            "{text}"
        );
    }
}
