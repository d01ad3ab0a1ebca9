//! Running one program to its end: no shell, a bounded time, a bounded answer.

mod running;

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use stockade_core::Escaped;

use self::running::{Running, Waited};

/// How much of what a program says is kept for the log: the beginning.
pub const SAID_BYTES_MAX: usize = 1024;

/// A program that is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The program and its arguments; never through a shell.
    pub argv: &'a [String],
    /// Its environment, apart from a `PATH`.
    pub environment: &'a [(&'static str, String)],
    /// What it may read from its standard input.
    pub input: &'a [u8],
    /// After this time it is killed, with what it has started.
    pub timeout: Duration,
    /// How much of its standard output is kept; what is beyond is read and thrown away.
    pub answer_bytes_max: usize,
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// The beginning of its standard output.
    pub answer: Vec<u8>,
    /// Whether there was more of it than was to be kept.
    pub is_cut: bool,
    /// The beginning of its standard error, at most [`SAID_BYTES_MAX`].
    pub errors: Vec<u8>,
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there, or may not be run.
    #[error("cannot start '{program}'")]
    Start {
        /// Its path.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// It took too long.
    #[error("'{program}' was killed after {} seconds", timeout.as_secs_f64())]
    TimedOut {
        /// Its path.
        program: String,
        /// The time that it had.
        timeout: Duration,
    },
    /// It said that it failed, by its exit code.
    #[error("'{program}' ended with {status}{}", told(said))]
    Failed {
        /// Its path.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The beginning of its standard error, or else of its output; not escaped yet.
        said: Vec<u8>,
    },
    /// The system does not tell of it.
    #[error("cannot wait for '{program}'")]
    Wait {
        /// Its path.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
}

fn told(said: &[u8]) -> String {
    let said = said.trim_ascii();
    if said.is_empty() {
        return String::new();
    }
    format!(": {}", Escaped(said))
}

impl Call<'_> {
    /// Runs it and waits for its end.
    ///
    /// # Errors
    /// Where it cannot be started, or takes too long. What it says by its exit code is no error here.
    pub fn run(&self) -> Result<Ended, ProgramError> {
        // Nobody stops it.
        let ended = self.run_until(|| false)?;
        ended.ok_or_else(|| ProgramError::TimedOut {
            program: self.program(),
            timeout: self.timeout,
        })
    }

    /// The same, killed when `is_stopped` says so: `None` then.
    ///
    /// # Errors
    /// As [`Call::run`].
    pub fn run_until(&self, is_stopped: impl Fn() -> bool) -> Result<Option<Ended>, ProgramError> {
        let deadline = now() + self.timeout;
        let mut running = Running::start(self).map_err(|source| ProgramError::Start {
            program: self.program(),
            source,
        })?;
        let waited = running.wait(self, deadline, is_stopped);
        if !matches!(waited, Ok(Waited::Ended(_))) {
            running.kill();
        }
        match waited {
            Ok(Waited::Ended(status)) => Ok(Some(Ended {
                status,
                answer: running.answer,
                is_cut: running.is_cut,
                errors: running.errors,
            })),
            Ok(Waited::Stopped) => Ok(None),
            Ok(Waited::TooLong) => Err(ProgramError::TimedOut {
                program: self.program(),
                timeout: self.timeout,
            }),
            Err(source) => Err(ProgramError::Wait {
                program: self.program(),
                source,
            }),
        }
    }

    /// Its path.
    #[must_use]
    pub fn program(&self) -> String {
        self.argv.first().cloned().unwrap_or_default()
    }
}

impl Ended {
    /// The error that an exit code other than 0 is.
    ///
    /// # Errors
    /// [`ProgramError::Failed`] for any but 0.
    pub fn success(self, program: String) -> Result<Self, ProgramError> {
        if self.status.success() {
            return Ok(self);
        }
        Err(self.into_error(program))
    }

    /// How it ended, as an error.
    #[must_use]
    pub fn into_error(self, program: String) -> ProgramError {
        let mut said = self.errors;
        if said.trim_ascii().is_empty() {
            said = self.answer;
            said.truncate(SAID_BYTES_MAX);
        }
        ProgramError::Failed {
            program,
            status: self.status,
            said,
        }
    }
}

fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a deadline for a program that another process runs"
    )]
    Instant::now()
}

/// Replaces tags in one pass, so that a value with a tag in it stays as it is.
#[must_use]
pub fn filled(word: &str, tags: &[(&str, String)]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn sh(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    fn run(argv: &[String], input: &[u8], timeout: Duration) -> Result<Ended, ProgramError> {
        let call = Call {
            argv,
            environment: &[("STOCKADE_X", "a b".to_owned())],
            input,
            timeout,
            answer_bytes_max: 200_000,
        };
        call.run()?.success(call.program())
    }

    #[test]
    fn a_program_gets_its_input_and_only_the_environment_that_is_meant_for_it() {
        let ended = run(&sh("cat; env; pwd"), b"hello\n", LONG).unwrap();
        let written = String::from_utf8(ended.answer).unwrap();
        assert!(written.starts_with("hello\n"), "{written}");
        assert!(written.contains("STOCKADE_X=a b\n"), "{written}");
        assert!(written.ends_with("\n/\n"), "{written}");
        assert!(!written.contains("CARGO"), "{written}");
    }

    #[test]
    fn more_than_fits_into_a_pipe_goes_in_and_comes_out() {
        let input = vec![b'x'; 5_000_000];
        let ended = run(&sh("cat"), &input, LONG).unwrap();
        assert_eq!(ended.answer.len(), 200_000);
        assert!(ended.is_cut);
        let ended = run(&sh("wc -c"), &input, LONG).unwrap();
        assert_eq!(ended.answer.trim_ascii(), b"5000000");
        assert!(!ended.is_cut);
        // Who does not read is not waited for.
        run(&sh("exit 0"), &input, LONG).unwrap();
    }

    #[test]
    fn what_a_program_says_when_it_fails_is_told_escaped_and_cut() {
        let script =
            "echo answer; printf 'no\\033[2J\\n' >&2; head -c 1000000 /dev/zero >&2; exit 3";
        let told = run(&sh(script), b"", LONG).unwrap_err().to_string();
        assert!(
            told.starts_with("'/bin/sh' ended with exit status: 3: no\\u{1b}[2J"),
            "{told}"
        );
        assert!(told.len() < 8 * SAID_BYTES_MAX, "{}", told.len());
        let told = run(&sh("echo so; exit 1"), b"", LONG).unwrap_err();
        assert!(told.to_string().ends_with("exit status: 1: so"), "{told}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let error = run(&sh(&script), b"", Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, ProgramError::TimedOut { .. }), "{error}");
        assert_eq!(error.to_string(), "'/bin/sh' was killed after 1 seconds");
        let pid = std::fs::read_to_string(file).unwrap();
        // The signal is on its way, and its parent is gone.
        wait_until_ended(pid.trim());
    }

    #[test]
    fn a_program_that_leaves_a_child_behind_has_ended() {
        let ended = run(&sh("sleep 1000 & echo $!"), b"", LONG).unwrap();
        let pid: i32 = str::from_utf8(&ended.answer)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        end(pid);
    }

    fn wait_until_ended(pid: &str) {
        for _ in 0..1500 {
            match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
                Ok(stat) if !stat.contains(") Z") => {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                _ => return,
            }
        }
        panic!("process {pid} lives on");
    }

    fn end(pid: i32) {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn a_program_is_stopped_when_it_shall_be() {
        let argv = sh("sleep 1000");
        let call = Call {
            argv: &argv,
            environment: &[],
            input: b"",
            timeout: LONG,
            answer_bytes_max: 0,
        };
        assert!(call.run_until(|| true).unwrap().is_none());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&["/nonexistent/x".to_owned()], b"", LONG).unwrap_err();
        assert_eq!(error.to_string(), "cannot start '/nonexistent/x'");
        let error = run(&[], b"", LONG).unwrap_err();
        assert!(matches!(error, ProgramError::Start { .. }), "{error}");
    }

    #[test]
    fn tags_are_filled_in_once_and_unknown_ones_stay() {
        let tags = [("<ip>", "<jail>".to_owned()), ("<jail>", "web".to_owned())];
        let words = ["<ip>/<jail>", "<<jail>>", "<x>", "a<b"].map(|word| filled(word, &tags));
        assert_eq!(words, ["<jail>/web", "<web>", "<x>", "a<b"]);
    }
}
