//! Runs pfctl(8): an argument list, a text on standard input, a bounded time and a bounded answer.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::FirewallError;
use crate::pf::commands::Command;
use crate::pf::failure::{failure, is_missing};

/// How long one call may take. The kernel works on a full batch for milliseconds; who takes longer waits
/// for something that will not come, such as a name server.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer is read. A million connections are listed in less than 150 MiB, and there are
/// 100,000 by default.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What pfctl finds its own programs in, and English messages; nothing else of our environment is its
/// business.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/sbin:/bin:/usr/sbin:/usr/bin"), ("LC_ALL", "C")];

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Pfctl {
    path: PathBuf,
    timeout: Duration,
}

/// What it wrote, where it succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Pfctl {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            timeout: CALL_TIMEOUT,
        }
    }

    /// Asks, where it is an error if something is not there.
    pub(super) fn ask(&self, command: &Command) -> Result<Answer, FirewallError> {
        let Ended { status, answer } = self.run(command)?;
        if status.success() {
            Ok(answer)
        } else {
            Err(failed(command, status, &answer))
        }
    }

    /// Asks about something that may not be there: `None` then.
    pub(super) fn ask_about(&self, command: &Command) -> Result<Option<Answer>, FirewallError> {
        let Ended { status, answer } = self.run(command)?;
        if status.success() {
            Ok(Some(answer))
        } else if is_missing(&answer.stderr) {
            Ok(None)
        } else {
            Err(failed(command, status, &answer))
        }
    }

    fn run(&self, command: &Command) -> Result<Ended, FirewallError> {
        let child = self
            .start(command)
            .map_err(|error| self.not_started(command, &error))?;
        finish(child, &command.stdin, self.timeout).map_err(|error| FirewallError::Failed {
            act: command.act.clone(),
            reason: format!("pfctl: {error}"),
        })
    }

    fn start(&self, command: &Command) -> io::Result<Child> {
        #[expect(
            clippy::disallowed_methods,
            reason = "pfctl is how pf is changed; its arguments are a list"
        )]
        let mut process = std::process::Command::new(&self.path);
        process
            .args(&command.args)
            .env_clear()
            .envs(ENVIRONMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    fn not_started(&self, command: &Command, error: &io::Error) -> FirewallError {
        let path = self.path.display();
        if error.kind() == io::ErrorKind::NotFound {
            return FirewallError::Unavailable {
                backend: super::NAME,
                what: format!("there is no program '{path}'"),
                hint: None,
            };
        }
        FirewallError::Failed {
            act: command.act.clone(),
            reason: format!("cannot start '{path}': {error}"),
        }
    }
}

fn failed(command: &Command, status: ExitStatus, answer: &Answer) -> FirewallError {
    failure(
        &command.act,
        &format!("ended with {status}"),
        &answer.stderr,
    )
}

/// How it ended, and what it wrote.
struct Ended {
    status: ExitStatus,
    answer: Answer,
}

/// Writes, reads and waits, each in a thread of its own, so that nothing waits for something that waits for
/// it; kills the program when the time is over.
fn finish(mut child: Child, stdin: &str, timeout: Duration) -> io::Result<Ended> {
    let (Some(mut input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe));
    };
    let (done, both) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Where it does not read to the end, it says why itself.
            drop(input.write_all(stdin.as_bytes()));
        });
        let (of_output, of_errors) = (done.clone(), done);
        scope.spawn(move || drop(of_output.send((true, read(output)))));
        scope.spawn(move || drop(of_errors.send((false, read(errors)))));
        let mut answer = Answer::default();
        for _ in 0..2 {
            let Ok((is_output, text)) = both.recv_timeout(timeout) else {
                // Its ends of the pipes close with it, and so the threads end.
                child.kill()?;
                child.wait()?;
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            };
            match (is_output, text) {
                (true, Ok(text)) => answer.stdout = text,
                (false, Ok(text)) => answer.stderr = text,
                (_, Err(error)) => {
                    child.kill()?;
                    child.wait()?;
                    return Err(error);
                }
            }
        }
        let status = child.wait()?;
        Ok(Ended { status, answer })
    })
}

/// All that comes; an error where it is too much.
fn read(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    // One more, to see that there is more.
    let limit = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > ANSWER_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn command(args: &[&str], stdin: &str) -> Command {
        Command {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            stdin: stdin.to_owned(),
            act: "try".to_owned(),
        }
    }

    #[test]
    fn who_takes_too_long_is_killed() {
        let sleeper = Pfctl {
            path: "/bin/sleep".into(),
            timeout: Duration::from_millis(10),
        };
        let error = sleeper
            .ask(&command(&["3600"], ""))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "cannot try: pfctl: timed out");
    }

    #[test]
    fn more_than_a_pipe_holds_goes_in_and_comes_out() {
        let text = "192.0.2.1\n".repeat(200_000);
        let cat = Pfctl::new("/bin/cat".into());
        let answer = cat.ask(&command(&[], &text)).unwrap();
        assert_eq!(answer.stdout, text);
        // Who reads nothing is not waited for.
        let deaf = Pfctl::new("/bin/true".into());
        assert_eq!(deaf.ask(&command(&[], &text)).unwrap(), Answer::default());
    }

    #[test]
    fn who_fails_silently_is_said_to_have_ended_so() {
        let wrong = Pfctl::new("/bin/false".into());
        let error = wrong.ask(&command(&[], "")).unwrap_err().to_string();
        assert_eq!(error, "cannot try: pfctl ended with exit status: 1");
    }
}
