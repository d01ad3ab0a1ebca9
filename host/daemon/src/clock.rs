//! The only place that reads a clock.

use std::time::{Duration, Instant};

use stockade_core::Timestamp;

/// The time of day.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

/// A point for measuring how long something takes.
#[expect(
    clippy::disallowed_methods,
    reason = "the shell's clock; everything below gets a time passed in"
)]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// How long from `now` until `at`; zero where it has passed.
pub(crate) fn until(at: Timestamp, now: Timestamp) -> Duration {
    at.saturating_since(now)
}
