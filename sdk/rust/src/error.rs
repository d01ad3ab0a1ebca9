//! Why a call did not do what was asked.

use std::fmt;

use crate::bindings::host::stockade::types::types as wit;

/// Why a call did not do what was asked: what the host does about it, and one line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::error_impl_error,
    reason = "authors read it as `stockade_sdk::Error`, the name that the contract gives it"
)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What the host does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is wrong and stays wrong, such as a setting that cannot be parsed. Not retried.
    Invalid,
    /// The other side refuses for good, such as a rejected token. Not retried; shown as an error.
    Denied,
    /// It cannot be done now. Retried later, with growing delays.
    Unavailable,
    /// Anything else. Not retried.
    Other,
}

impl Error {
    /// The input is wrong and stays wrong. `message` is lower case and says the thing and the act.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The other side refuses for good.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// It cannot be done now; the host tries again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Anything else.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Other, message)
    }

    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What the host does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The line for the operator.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Invalid => wit::ErrorKind::Invalid,
            ErrorKind::Denied => wit::ErrorKind::Denied,
            ErrorKind::Unavailable => wit::ErrorKind::Unavailable,
            ErrorKind::Other => wit::ErrorKind::Other,
        };
        Self {
            kind,
            message: error.message,
        }
    }
}
