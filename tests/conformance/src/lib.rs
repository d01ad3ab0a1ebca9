//! Whether stockade means by fail2ban's filters what fail2ban means.
//!
//! Two judges: the annotated sample lines that fail2ban's own tests use, and fail2ban itself in a
//! Python process. Both are read where they are installed; nothing of them is kept here.

mod check;
mod compare;
mod condition;
mod differential;
mod engine;
mod oracle;
mod ours;
mod report;
mod samples;
mod subjects;
mod verdict;

pub use check::{NOW, ZONE, check, zone};
pub use differential::{
    Chosen, Comparison, Differential, Known, Line, Said, Unexplained, Way, known,
};
pub use engine::{Engine, Opened};
pub use oracle::{
    Judged, MUST_RUN, Oracle, OracleError, PACKAGE, Patterns, Question, Setup, TheirDate,
    TheirFilter,
};
pub use ours::{OurFilter, Ours};
pub use report::{Failure, Report};
pub use samples::SampleError;
pub use subjects::{Subject, Subjects};
pub use verdict::Verdict;
