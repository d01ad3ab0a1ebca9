//! Detection: from the lines of a log to failures.
//!
//! A [`Detector`] is given whole chunks of a log and the filters of all jails that watch it. It
//! searches the chunk once for texts that some filter requires, and only the lines that have one are
//! looked at further: the date is read and cut out, the patterns run, the id is read.
//!
//! The crate does no I/O and reads no clock; time is an argument. It trusts nothing in a line: bytes
//! are any bytes, matching takes time linear in the line, and a line longer than [`LINE_LEN_MAX`]
//! is skipped and counted.
//!
//! **Invariant:** the prefilter and the short cuts around captures never change a result; property
//! tests compare with and without.

mod address;
mod automaton;
mod context;
mod dates;
mod dating;
mod detector;
mod encoding;
mod error;
mod explain;
mod fail2ban;
mod filter;
pub mod injection;
mod json;
mod lines;
mod literals;
mod native;
mod pattern;
mod plan;
mod prefilter;
mod readings;
mod run;
mod scan;
mod shape;
mod source;
mod subject;
mod tags;
mod text;

pub use dates::templates::zones::minutes_east;
pub use detector::{Detector, Matcher};
pub use encoding::{EncodingError, LogEncoding, NamedEncoding};
pub use error::{FieldPlace, PatternError, PatternPlace, RulePlace};
pub use explain::{Explanation, Outcome};
pub use filter::Filter;
pub use lines::LINE_LEN_MAX;
pub use plan::{
    PLAN_LITERAL_LEN_MAX, PLAN_LITERALS_MAX, PLAN_PATTERN_LEN_MAX, PLAN_PATTERNS_MAX, PatternSet,
    PlanFilter,
};
pub use run::{FilterRun, Finding};
pub use scan::{
    AMBIGUOUS_SHOWN_MAX, AmbiguousLine, GAVE_UP_SHOWN_MAX, GaveUpLine, HostNameFailure,
    HostNameFailures, Scan, ScanCounts, Survivor, Survivors,
};
pub use source::{Condition, DatePattern, Dialect, Expected, FilterSource, HostNames, JsonFields};
