//! Waiting for a condition. Nothing here, and no test, waits for a time.

use std::time::{Duration, Instant};

/// Long enough for a machine with all its cores busy; a test that passes never waits for it.
const DEADLINE: Duration = Duration::from_secs(90);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(15);

/// Waits until `condition` holds.
///
/// # Panics
/// Where it does not within the deadline.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Waits until there is something, and returns it.
///
/// # Panics
/// Where there is nothing within the deadline.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "waited in vain until {what}");
        rest();
    }
}

/// Lets others run before the next look at something.
pub fn rest() {
    std::thread::park_timeout(PAUSE);
}
