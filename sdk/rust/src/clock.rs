//! Tells the time. Grant: `clock`. In a test or a replay the host decides what time it is.

use std::time::Duration;

use crate::Timestamp;

/// The time of day. It can jump, also backwards.
#[must_use]
pub fn now() -> Timestamp {
    #[cfg(target_family = "wasm")]
    let micros = crate::bindings::host::stockade::clock::clock::now();
    #[cfg(not(target_family = "wasm"))]
    let micros = crate::double::with(|host| host.now.as_micros());
    Timestamp::from_micros(micros)
}

/// The time since an arbitrary point; never goes backwards. Its zero is lost when the instance is
/// replaced.
#[must_use]
pub fn monotonic() -> Duration {
    #[cfg(target_family = "wasm")]
    return Duration::from_nanos(crate::bindings::host::stockade::clock::clock::monotonic());
    #[cfg(not(target_family = "wasm"))]
    crate::double::with(|host| host.monotonic)
}
