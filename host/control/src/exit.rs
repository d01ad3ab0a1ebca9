//! How the command line tells scripts what happened.

use crate::{
    Check, ClientError, ControlReply, Diagnostic, ErrorKind, Finding, ItemResult, Severity,
};

/// Exit codes of `stockade`: those of sysexits.h (FreeBSD sysexits(3)) where it has one that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// What was asked is done.
    Ok = 0,
    /// The request was refused, or something that it named was not found.
    Refused = 1,
    /// Wrong arguments (`EX_USAGE`).
    Usage = 64,
    /// The daemon cannot be reached, or is stopping (`EX_UNAVAILABLE`).
    Unreachable = 69,
    /// A fault of stockade (`EX_SOFTWARE`).
    Bug = 70,
    /// The user or the daemon may not do it (`EX_NOPERM`).
    NotPermitted = 77,
    /// The configuration is wrong (`EX_CONFIG`).
    Config = 78,
}

impl ExitCode {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

impl From<ErrorKind> for ExitCode {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::UnknownJail
            | ErrorKind::Firewall
            | ErrorKind::Store
            | ErrorKind::ReplyTooLong
            | ErrorKind::Unknown => Self::Refused,
            ErrorKind::BadRequest | ErrorKind::UnknownCommand | ErrorKind::RequestTooLong => {
                Self::Usage
            }
            ErrorKind::Stopping => Self::Unreachable,
            ErrorKind::Internal => Self::Bug,
            ErrorKind::NotPermitted => Self::NotPermitted,
            ErrorKind::Config => Self::Config,
        }
    }
}

impl From<&ControlReply> for ExitCode {
    /// A ban or unban is [`ExitCode::Ok`] only where it is so for every id, a reload and a look at the
    /// firewall only where nothing was wrong.
    fn from(reply: &ControlReply) -> Self {
        let items = |results: &[ItemResult]| {
            if results.iter().all(|item| item.outcome.is_success()) {
                Self::Ok
            } else {
                Self::Refused
            }
        };
        match reply {
            ControlReply::Error(error) => error.kind.into(),
            ControlReply::Ban(ban) => items(&ban.results),
            ControlReply::Unban(unban) => items(&unban.results),
            ControlReply::Reload(reload) if has_error(&reload.diagnostics) => Self::Config,
            ControlReply::Doctor(doctor) if is_bad(&doctor.checks) => Self::Refused,
            _ => Self::Ok,
        }
    }
}

fn is_bad(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.finding == Finding::Bad)
}

fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|found| found.severity == Severity::Error)
}

impl From<&ClientError> for ExitCode {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::NotReachable { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Closed { .. }
            | ClientError::Io { .. } => Self::Unreachable,
            ClientError::NotPermitted { .. } => Self::NotPermitted,
            ClientError::RequestTooLong { .. } => Self::Usage,
            ClientError::BadReply { .. } => Self::Bug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BanReply, Outcome};

    #[test]
    fn one_id_that_failed_makes_the_whole_request_fail() {
        let of = |outcomes: &[Outcome]| {
            let results = outcomes.iter().map(|o| ItemResult::new("192.0.2.1", *o));
            let reply = BanReply {
                banned: 0,
                results: results.collect(),
            };
            ExitCode::from(&ControlReply::Ban(reply))
        };
        assert_eq!(of(&[]), ExitCode::Ok);
        assert_eq!(of(&[Outcome::Banned, Outcome::AlreadyBanned]), ExitCode::Ok);
        assert_eq!(of(&[Outcome::Banned, Outcome::Ignored]), ExitCode::Refused);
    }

    #[test]
    fn errors_have_the_documented_codes() {
        let of = |kind| ExitCode::from(&ControlReply::error(kind, "")).code();
        assert_eq!(of(ErrorKind::UnknownJail), 1);
        assert_eq!(of(ErrorKind::BadRequest), 64);
        assert_eq!(of(ErrorKind::Stopping), 69);
        assert_eq!(of(ErrorKind::Internal), 70);
        assert_eq!(of(ErrorKind::NotPermitted), 77);
        assert_eq!(of(ErrorKind::Config), 78);
    }
}
