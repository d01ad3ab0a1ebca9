//! Whether stockade means by fail2ban's filters what fail2ban means.
//!
//! Two judges: the annotated sample lines that fail2ban's own tests use, and fail2ban itself in a
//! Python process. Both are read where they are installed; nothing of them is kept here.

mod oracle;
mod verdict;

pub use oracle::{
    Judged, MUST_RUN, Oracle, OracleError, PACKAGE, Patterns, Setup, TheirDate, TheirFilter,
};
pub use verdict::Verdict;
