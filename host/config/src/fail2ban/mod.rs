//! A user's fail2ban configuration: `/etc/fail2ban` as it is.
//!
//! [`Tree::read`] reads the files, and [`Tree::jails`], [`Tree::filter`] and [`Tree::globals`] say
//! what they mean: laid over each other (`merged`, `includes`), with `%(x)s` (`interpolate`) and
//! `<tag>` (`tags`) replaced, filters and actions with their arguments (`definition`), and values
//! with their types (`values`). What comes out is what fail2ban's own client tells its server; a test
//! compares the two. Where each part of a value was written is kept through all of it ([`Written`]).
//!
//! Nothing is evaluated: arithmetic is read by `stockade_core::parse_time_arithmetic` and
//! `stockade_core::BanFormula`. Patterns are not compiled, and commands not understood, here.

mod action;
mod arguments;
mod definition;
mod fault;
mod filter;
mod globals;
mod import;
mod includes;
mod ini;
mod interpolate;
mod jail;
mod merged;
mod options;
mod read;
mod tags;
mod tree;
mod values;
mod written;

#[cfg(test)]
mod tests;

pub use action::{Parameter, ResolvedAction};
pub use filter::ResolvedFilter;
pub use globals::GlobalOptions;
pub use import::{Import, ImportHost, Note, PatternFault, PatternOf, Report, Verdict, import};
pub use jail::ResolvedJail;
pub use options::{IncrementOptions, JailOptions};
pub use tree::{Jails, Selection, Tree};
pub use values::{
    Backend, BackendKind, IgnoreAddress, IgnoreCache, LogPath, LogStart, UseHostNames,
};
pub use written::Written;
