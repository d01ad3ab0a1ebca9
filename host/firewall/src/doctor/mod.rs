//! Looking whether bans hold on this machine: with a real packet, and at what goes around our rules.

mod packet;
mod translation;
#[cfg(target_os = "linux")]
mod translations;

pub use self::packet::{TEST_ADDRESS, Tested, test_packet};
pub use self::translation::Translation;
#[cfg(target_os = "linux")]
pub use self::translations::translations;

/// Rules that translate the destination of packets. Here there are none that go around ours: pf filters
/// what it has translated.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub fn translations() -> Result<std::collections::BTreeSet<Translation>, crate::FirewallError> {
    Ok(std::collections::BTreeSet::new())
}
