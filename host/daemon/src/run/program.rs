//! Running one program to its end: no shell, a bounded time, a bounded answer.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use stockade_core::{Escaped, FailureId};

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
    format!(": {}", Escaped(said))
}

/// Runs `argv` with `input` on its standard input, at most [`INPUT_BYTES_MAX`] bytes, and waits for
/// its end. It gets no environment but a path.
pub(super) fn run(argv: &[String], input: &[u8], timeout: Duration) -> Result<(), ProgramError> {
    match finish(argv, input, timeout, || false)? {
        Some(ended) if ended.status.success() => Ok(()),
        Some(ended) => Err(ended.into_error(argv)),
        // Nobody stops it.
        None => Ok(()),
    }
}

/// What a program says by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 0
    Yes,
    /// 1
    No,
    /// It was stopped before it said anything.
    Stopped,
}

/// Runs `argv` as [`run`] does, for its answer; any other exit code is an error. It is killed when
/// `is_stopped` says so.
pub(super) fn ask(
    argv: &[String],
    input: &[u8],
    timeout: Duration,
    is_stopped: impl Fn() -> bool,
) -> Result<Answer, ProgramError> {
    let Some(ended) = finish(argv, input, timeout, is_stopped)? else {
        return Ok(Answer::Stopped);
    };
    match ended.status.code() {
        Some(0) => Ok(Answer::Yes),
        Some(1) => Ok(Answer::No),
        _ => Err(ended.into_error(argv)),
    }
}

/// How a program ended, and the beginning of what it said.
struct Ended {
    status: ExitStatus,
    said: Vec<u8>,
}

impl Ended {
    fn into_error(self, argv: &[String]) -> ProgramError {
        ProgramError::Failed {
            program: argv.first().cloned().unwrap_or_default(),
            status: self.status,
            said: self.said,
        }
    }
}

/// Runs a program to its end; `None` where it was stopped.
fn finish(
    argv: &[String],
    input: &[u8],
    timeout: Duration,
    is_stopped: impl Fn() -> bool,
) -> Result<Option<Ended>, ProgramError> {
    let program = argv.first().cloned().unwrap_or_default();
    let (mut child, mut output) = start(argv, input).map_err(|source| ProgramError::Start {
        program: program.clone(),
        source,
    })?;
    let mut said = Vec::new();
    let deadline = clock::instant() + timeout;
    match wait(&mut child, &mut output, &mut said, deadline, is_stopped) {
        Ok(Waited::Ended(status)) => Ok(Some(Ended { status, said })),
        Ok(Waited::Stopped) => {
            kill(&mut child);
            Ok(None)
        }
        Ok(Waited::TooLong) => {
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

/// What ended a wait.
enum Waited {
    Ended(ExitStatus),
    Stopped,
    TooLong,
}

/// Waits for the end, or for `deadline`, or until it is stopped.
fn wait(
    child: &mut Child,
    output: &mut PipeReader,
    said: &mut Vec<u8>,
    deadline: Instant,
    is_stopped: impl Fn() -> bool,
) -> io::Result<Waited> {
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
            return Ok(Waited::Ended(status));
        }
        if is_stopped() {
            return Ok(Waited::Stopped);
        }
        if left.is_zero() {
            return Ok(Waited::TooLong);
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

/// Replaces tags in one pass, so that a value with a tag in it stays as it is.
pub(super) fn filled(word: &str, tags: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match tags.iter().find(|(tag, _)| from.starts_with(tag)) {
            Some((tag, value)) => {
                out.push_str(value);
                rest = from.get(tag.len()..).unwrap_or_default();
            }
            None => {
                out.push('<');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

/// fail2ban's words for the families.
pub(super) fn family(id: &FailureId) -> &'static str {
    match id {
        FailureId::Addr(addr) if addr.is_ipv4() => "inet4",
        FailureId::Subnet(net) if net.addr().is_ipv4() => "inet4",
        FailureId::Addr(_) | FailureId::Subnet(_) => "inet6",
        FailureId::Text(_) => "text",
    }
}

/// Whether an id can be an argument: one that a log line chose may look like an option.
pub(super) fn check_id(id: &FailureId) -> Result<(), String> {
    match id {
        FailureId::Text(text) if text.starts_with('-') => Err(format!(
            "the id {} would be read as an option",
            Escaped(text.as_bytes())
        )),
        _ => Ok(()),
    }
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
        let stat = format!("/proc/{}/stat", pid.trim());
        // The signal is sent, and takes the process at its next step.
        let is_gone = || {
            let state = std::fs::read_to_string(&stat);
            state.map_or(true, |stat| stat.contains(") Z"))
        };
        for _ in 0..3000 {
            if is_gone() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        panic!("{stat} is still there");
    }

    #[test]
    fn a_program_that_leaves_a_child_behind_has_ended() {
        sh("sleep 1000 & echo $!", b"", Duration::from_secs(600)).unwrap();
    }

    #[test]
    fn a_program_answers_by_its_exit_code() {
        let ask = |script: &str, stopped: bool| {
            let argv = ["/bin/sh", "-c", script].map(str::to_owned);
            ask(&argv, b"", Duration::from_secs(600), || stopped)
        };
        assert_eq!(ask("exit 0", false).unwrap(), Answer::Yes);
        assert_eq!(ask("exit 1", false).unwrap(), Answer::No);
        let error = ask("echo broken; exit 2", false).unwrap_err().to_string();
        assert!(error.ends_with("exit status: 2: broken"), "{error}");
        assert_eq!(ask("sleep 1000", true).unwrap(), Answer::Stopped);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&["/nonexistent/x".to_owned()], b"", Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "cannot start '/nonexistent/x'");
    }
}
