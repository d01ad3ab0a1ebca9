//! The clocks of the lab, read here and nowhere else.

use std::time::{Duration, Instant};

/// The clock that spans of time are measured with.
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the lab measures real programs")]
    Instant::now()
}

/// The local time as syslog writes it (RFC 3164, 4.1.2), such as `Nov 23 05:54:13`.
pub(crate) fn syslog_time() -> String {
    jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string()
}

/// Waits between two packets or two looks at a condition; never in place of one.
pub(crate) fn pause(time: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "packets are sent at a pace, and what cannot be waited for is looked at again"
    )]
    std::thread::sleep(time);
}

/// How often a condition is looked at that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Looks at `condition` until it holds or `limit` is over; whether it holds.
pub(crate) fn wait_for(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = now() + limit;
    loop {
        if condition() {
            return true;
        }
        if now() >= end {
            return false;
        }
        pause(LOOK_AGAIN);
    }
}
