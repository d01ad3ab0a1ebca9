//! Writes to stockade's own log. Grant: `log`.
//!
//! The host marks each line with the plugin's name, escapes control characters, keeps the first
//! 1,024 bytes, and past 50 lines a second counts lines instead of writing them.

pub use crate::bindings::host::stockade::log::log::Level;

/// For the plugin's author.
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, message.as_ref());
}

/// Something was done.
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, message.as_ref());
}

/// Odd, but nothing is lost.
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, message.as_ref());
}

/// An operator has to act.
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, message.as_ref());
}

/// Writes one line. Never fails and never blocks.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::host::stockade::log::log::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    crate::double::with(|host| host.logged.push((level, message.to_owned())));
}
