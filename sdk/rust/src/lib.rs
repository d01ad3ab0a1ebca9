//! Write filters and actions for stockade as WebAssembly components.
//!
//! A *filter* recognises failures in log lines; an *action* carries bans to something that is not the
//! local firewall. Each is a type, a trait and one line of [`export!`]. This is a whole filter:
//!
//! ```
//! use stockade_sdk::filter::{Filter, Findings, Line, LogText, Plan};
//! use stockade_sdk::{Error, Settings};
//!
//! /// Counts `wiki: login of NAME failed from ADDRESS`.
//! struct Wiki;
//!
//! impl Filter for Wiki {
//!     fn configure(settings: &Settings) -> Result<(Self, Plan), Error> {
//!         settings.only(&[])?;
//!         Ok((Self, Plan::new().literal("wiki: login of ")))
//!     }
//!
//!     fn judge(&mut self, line: Line<'_>, found: &mut Findings) {
//!         let Some(rest) = line.text.after("wiki: login of ") else { return };
//!         // From the end: whoever logs in chooses the name, and it may contain " failed from ".
//!         let Some((user, addr)) = rest.rsplit_around(" failed from ") else { return };
//!         if let Some(addr) = addr.addr() {
//!             found.add(&line, addr, Some(user));
//!         }
//!     }
//! }
//!
//! stockade_sdk::export!(Wiki as filter);
//!
//! // And its test, run natively:
//! let mut wiki = stockade_sdk::test::filter::<Wiki>(&[]).unwrap();
//! let found = wiki.judge("wiki: login of root failed from 203.0.113.9\nwiki: all is well\n");
//! assert_eq!(found.len(), 1);
//! assert_eq!(found[0].subject.to_string(), "203.0.113.9");
//! assert_eq!(found[0].user.as_deref(), Some(&b"root"[..]));
//! ```
//!
//! What the host lends is in [`log`], [`clock`], [`kv`] and [`http`]. A component imports only what
//! its code calls, and the operator has to grant each of these. In native builds a double stands in
//! for the host, which tests read and script through [`test::Host`].

#[expect(
    missing_docs,
    clippy::error_impl_error,
    reason = "made by wit-bindgen from wit/, where each item is documented"
)]
mod bindings;

pub mod action;
mod addr;
pub mod clock;
mod error;
pub mod filter;
pub mod http;
pub mod kv;
pub mod log;
mod settings;
mod text;
mod time;

#[cfg(not(target_family = "wasm"))]
mod double;
mod export;
#[cfg(not(target_family = "wasm"))]
pub mod test;

pub use addr::parse_addr;
pub use error::{Error, ErrorKind};
pub use settings::Settings;
pub use time::Timestamp;

/// For the code that [`export!`] expands to; no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::{action, filter};
    pub use crate::export::{ActionCell, FilterCell};
}
