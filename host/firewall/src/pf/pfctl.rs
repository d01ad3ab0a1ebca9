//! Runs pfctl(8).

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::FirewallError;
use crate::pf::commands::Command;
use crate::pf::failure::{failure, is_missing};
use crate::program::{Call, ProgramError};

/// How long one call may take. The kernel works on a full batch for milliseconds; who takes longer waits
/// for something that will not come, such as a name server.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer is read. A million connections are listed in less than 150 MiB, and there are
/// 100,000 by default.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Pfctl {
    path: PathBuf,
}

/// What it wrote. Of its standard error the beginning; it writes no more than a few lines there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Pfctl {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Asks, where it is an error if something is not there.
    pub(super) fn ask(&self, command: &Command) -> Result<Answer, FirewallError> {
        let (status, answer) = self.run(command)?;
        if status.success() {
            Ok(answer)
        } else {
            Err(failed(command, status, &answer))
        }
    }

    /// Asks about something that may not be there: `None` then.
    pub(super) fn ask_about(&self, command: &Command) -> Result<Option<Answer>, FirewallError> {
        let (status, answer) = self.run(command)?;
        if status.success() {
            Ok(Some(answer))
        } else if is_missing(&answer.stderr) {
            Ok(None)
        } else {
            Err(failed(command, status, &answer))
        }
    }

    fn run(&self, command: &Command) -> Result<(ExitStatus, Answer), FirewallError> {
        let program = self.path.to_string_lossy().into_owned();
        let argv: Vec<String> = [program]
            .into_iter()
            .chain(command.args.iter().cloned())
            .collect();
        let call = Call {
            argv: &argv,
            // Its messages are read: in English.
            environment: &[("LC_ALL", "C".to_owned())],
            input: command.stdin.as_bytes(),
            timeout: CALL_TIMEOUT,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let ended = call.run().map_err(|error| did_not_run(command, &error))?;
        if ended.is_cut {
            return Err(FirewallError::Malformed {
                act: command.act.clone(),
                reason: format!("it is longer than {ANSWER_BYTES_MAX} bytes"),
            });
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let answer = Answer {
            stdout: text(&ended.answer),
            stderr: text(&ended.errors),
        };
        Ok((ended.status, answer))
    }
}

fn did_not_run(command: &Command, error: &ProgramError) -> FirewallError {
    let reason = match error {
        ProgramError::Start { program, source } if source.kind() == io::ErrorKind::NotFound => {
            return FirewallError::Unavailable {
                backend: super::NAME,
                what: format!("there is no program '{program}'"),
                hint: None,
            };
        }
        ProgramError::Start { source, .. } | ProgramError::Wait { source, .. } => {
            format!("{error}: {source}")
        }
        ProgramError::TimedOut { .. } | ProgramError::Failed { .. } => error.to_string(),
    };
    FirewallError::Failed {
        act: command.act.clone(),
        reason,
    }
}

fn failed(command: &Command, status: ExitStatus, answer: &Answer) -> FirewallError {
    failure(
        &command.act,
        &format!("ended with {status}"),
        &answer.stderr,
    )
}
