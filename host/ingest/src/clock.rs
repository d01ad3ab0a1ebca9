//! The one place of this crate that reads a clock; everything else is handed an `Instant`.

use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "sources wait for files and processes: they are the shell, and this is its clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
