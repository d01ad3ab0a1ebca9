//! Running one program to its end: no shell, a bounded time, a bounded answer.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock;

/// What a program finds its own programs in; nothing else of our environment is its business.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of what it says is kept, for the log: the beginning.
const SAID_BYTES_MAX: usize = 1024;
/// What fits into a pipe on every system, so that writing it waits for nobody (pipe(7): 64 KiB on
/// Linux, where a user has not too many of them; 16 KiB on FreeBSD).
pub(super) const INPUT_BYTES_MAX: usize = 4096;
/// How long one waits for output before looking whether the program has ended: a child that it left
/// behind may hold its output open.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    #[error("cannot start '{program}'")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("'{program}' was killed after {} seconds", timeout.as_secs())]
    TimedOut { program: String, timeout: Duration },
    #[error("'{program}' ended with {status}{}", said_of(said))]
    Failed {
        program: String,
        status: ExitStatus,
        said: Vec<u8>,
    },
    #[error("cannot wait for '{program}'")]
    Wait {
        program: String,
        #[source]
        source: io::Error,
    },
}

fn said_of(said: &[u8]) -> String {
    let said = said.trim_ascii();
    if said.is_empty() {
        return String::new();
    }
    format!(": {}", stockade_core::Escaped(said))
}

/// Runs `argv` with `input` on its standard input, at most [`INPUT_BYTES_MAX`] bytes, and waits for
/// its end. It gets no environment but a path.
pub(super) fn run(argv: &[String], input: &[u8], timeout: Duration) -> Result<(), ProgramError> {
    let program = argv.first().cloned().unwrap_or_default();
    let (mut child, mut output) = start(argv, input).map_err(|source| ProgramError::Start {
        program: program.clone(),
        source,
    })?;
    let mut said = Vec::new();
    match wait(
        &mut child,
        &mut output,
        &mut said,
        clock::instant() + timeout,
    ) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(ProgramError::Failed {
            program,
            status,
            said,
        }),
        Ok(None) => {
            kill(&mut child);
            Err(ProgramError::TimedOut { program, timeout })
        }
        Err(source) => {
            kill(&mut child);
            Err(ProgramError::Wait { program, source })
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the operator named the program; its arguments are a list"
)]
fn start(argv: &[String], input: &[u8]) -> io::Result<(Child, PipeReader)> {
    let [program, arguments @ ..] = argv else {
        return Err(io::Error::other("there is no program"));
    };
    let (output, writer) = io::pipe()?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input has ended, or does not want it.
        drop(stdin.write_all(input));
    }
    Ok((child, output))
}

/// Waits for the end, or for `deadline`: then `None`.
fn wait(
    child: &mut Child,
    output: &mut PipeReader,
    said: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<Option<ExitStatus>> {
    let mut open = true;
    loop {
        let left = deadline.saturating_duration_since(clock::instant());
        if has_said(output, open, left.min(LOOK_EVERY)) {
            let mut buf = [0; 4096];
            let n = output.read(&mut buf)?;
            open = n > 0;
            let room = SAID_BYTES_MAX.saturating_sub(said.len());
            said.extend(buf.iter().take(n.min(room)));
        }
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if left.is_zero() {
            return Ok(None);
        }
    }
}

/// Waits for output; where it is closed, lets the time pass.
fn has_said(output: &PipeReader, open: bool, timeout: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
    let fds = if open { &mut fds[..] } else { &mut [] };
    let timeout = Timespec::try_from(timeout).ok();
    poll(fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Ends the program and what it has started.
fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Fails where all of them have ended, which is what is wanted.
        let _ended = kill_process_group(group, Signal::KILL);
    }
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8], timeout: Duration) -> Result<(), ProgramError> {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        run(&argv, input, timeout)
    }

    #[test]
    fn a_program_gets_its_input_and_nothing_of_our_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out");
        let script = format!("cat > {0}; env >> {0}", file.display());
        sh(&script, b"hello\n", Duration::from_secs(60)).unwrap();
        let written = std::fs::read_to_string(file).unwrap();
        assert!(written.starts_with("hello\n"), "{written}");
        assert!(!written.contains("CARGO"), "{written}");
    }

    #[test]
    fn what_a_program_says_when_it_fails_is_told_escaped_and_cut() {
        let script = "printf 'no\\033[2J\\n'; head -c 1000000 /dev/zero; exit 3";
        let error = sh(script, b"", Duration::from_secs(60)).unwrap_err();
        let told = error.to_string();
        assert!(
            told.starts_with("'/bin/sh' ended with exit status: 3: no\\u{1b}[2J"),
            "{told}"
        );
        assert!(told.len() < 8 * SAID_BYTES_MAX, "{}", told.len());
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let error = sh(&script, b"", Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, ProgramError::TimedOut { .. }), "{error}");
        let pid = std::fs::read_to_string(file).unwrap();
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        assert!(
            state.as_deref().map_or(true, |stat| stat.contains(") Z")),
            "{state:?}"
        );
    }

    #[test]
    fn a_program_that_leaves_a_child_behind_has_ended() {
        sh("sleep 1000 & echo $!", b"", Duration::from_secs(600)).unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&["/nonexistent/x".to_owned()], b"", Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "cannot start '/nonexistent/x'");
    }
}
