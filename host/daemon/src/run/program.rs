//! The operator's programs: what they are told, and what their exit codes say.

use std::time::Duration;

use stockade_core::{Escaped, FailureId};
use stockade_firewall::program::{Call, ProgramError, SAID_BYTES_MAX};

pub(super) use stockade_firewall::program::filled;

/// How long what a program reads of a ban or a failure may be. It is text that an attacker chose.
pub(super) const INPUT_BYTES_MAX: usize = 4096;

/// Runs `argv` with `input` on its standard input and waits for its end. It gets no environment but a path.
pub(super) fn run(argv: &[String], input: &[u8], timeout: Duration) -> Result<(), ProgramError> {
    let call = call(argv, input, timeout);
    call.run()?.success(call.program())?;
    Ok(())
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
    let call = call(argv, input, timeout);
    let Some(ended) = call.run_until(is_stopped)? else {
        return Ok(Answer::Stopped);
    };
    match ended.status.code() {
        Some(0) => Ok(Answer::Yes),
        Some(1) => Ok(Answer::No),
        _ => Err(ended.into_error(call.program())),
    }
}

fn call<'a>(argv: &'a [String], input: &'a [u8], timeout: Duration) -> Call<'a> {
    Call {
        argv,
        environment: &[],
        input,
        timeout,
        answer_bytes_max: SAID_BYTES_MAX,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> [String; 3] {
        ["/bin/sh", "-c", script].map(str::to_owned)
    }

    #[test]
    fn a_program_succeeds_by_its_exit_code() {
        let run = |script: &str| run(&sh(script), b"hello", Duration::from_secs(600));
        run("test $(cat) = hello").unwrap();
        let error = run("echo broken; exit 3").unwrap_err().to_string();
        assert_eq!(error, "'/bin/sh' ended with exit status: 3: broken");
    }

    #[test]
    fn a_program_answers_by_its_exit_code() {
        let ask = |script: &str, stopped: bool| {
            ask(&sh(script), b"", Duration::from_secs(600), || stopped)
        };
        assert_eq!(ask("exit 0", false).unwrap(), Answer::Yes);
        assert_eq!(ask("exit 1", false).unwrap(), Answer::No);
        let error = ask("echo broken; exit 2", false).unwrap_err().to_string();
        assert!(error.ends_with("exit status: 2: broken"), "{error}");
        assert_eq!(ask("sleep 1000", true).unwrap(), Answer::Stopped);
    }
}
