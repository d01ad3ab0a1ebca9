//! The only place that reads a clock, and the only one that asks for chance.

use std::hash::{BuildHasher, RandomState};
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

/// A number that nobody outside can guess: the keys of the standard library's hash maps are drawn from
/// the system's random numbers.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one("stockade")
}

/// How long from `now` until `at`; zero where it has passed.
pub(crate) fn until(at: Timestamp, now: Timestamp) -> Duration {
    at.saturating_since(now)
}
