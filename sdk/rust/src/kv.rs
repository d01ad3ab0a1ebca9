//! A small memory that survives restarts and the replacement of the instance. Grant: `kv`.
//!
//! Each plugin, by its name in the configuration, has a space of its own. A key has 1 to 256 bytes, a
//! value at most 64 KiB; a plugin has at most 10,000 keys and 4 MiB in all. Every call is durable when
//! it returns and takes some 10 microseconds; do not make one per line.

use std::time::Duration;

pub use crate::bindings::host::stockade::kv::kv::Error;

#[cfg(target_family = "wasm")]
use crate::bindings::host::stockade::kv::kv as host;
#[cfg(not(target_family = "wasm"))]
use crate::double::kv as host;

/// The value of a key, or nothing where it is absent or has run out.
///
/// # Errors
/// Only as [`Error::Unavailable`] or [`Error::TooLarge`].
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::get(key)
}

/// Sets a value until it is deleted or, with `ttl`, for so long (rounded up to seconds). Replaces both
/// the value and the time that the key had.
///
/// # Errors
/// Where the key or value is too large, the quota is used up, or the store cannot do it now.
pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), Error> {
    host::set(key, value, ttl.map(seconds))
}

/// Deletes a key; a success where it is absent.
///
/// # Errors
/// Where the key is too large or the store cannot do it now.
pub fn delete(key: &str) -> Result<(), Error> {
    host::delete(key)
}

/// Adds `by` to the decimal integer that the key holds (0 where absent) and returns the sum, in one
/// step. Saturates. `ttl` counts from the first increment only. Not idempotent.
///
/// # Errors
/// As [`set`], and [`Error::NotANumber`] where the value is no integer.
pub fn increment(key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Error> {
    host::increment(key, by, ttl.map(seconds))
}

/// The keys that begin with `prefix`, in byte order, at most `limit` and never more than 1,000,
/// beginning after the key `after` where it is given.
///
/// # Errors
/// Where the store cannot do it now.
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    host::keys(prefix, after, limit)
}

/// Rounded up, so that nothing runs out before its time.
fn seconds(ttl: Duration) -> u32 {
    let up = u64::from(ttl.subsec_nanos() > 0);
    u32::try_from(ttl.as_secs().saturating_add(up)).unwrap_or(u32::MAX)
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::TooLarge => Self::invalid("the key or the value is too large for the store"),
            Error::Quota => Self::unavailable("the plugin's store is full"),
            Error::NotANumber => Self::invalid("the stored value is not a number"),
            Error::Unavailable(cause) => {
                Self::unavailable(format!("cannot use the store: {cause}"))
            }
        }
    }
}
