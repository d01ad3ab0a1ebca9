//! Who works on this host by ssh, and from where: sessions, and past logins.

mod accounts;
mod connections;
mod logins;
mod processes;
mod sessions;

pub(crate) use accounts::name_of;
pub(crate) use connections::{client, without_zone};
pub(crate) use logins::{LOGINS, logins};
pub(crate) use processes::{Processes, environ};
pub(crate) use sessions::look;

/// The text of a file; empty where it cannot be read.
pub(crate) fn text(path: &str) -> String {
    let bytes = processes::read_file(std::path::Path::new(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
