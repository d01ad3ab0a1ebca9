//! The filters and jails that are built in, so that a host is protected without any file.
//!
//! `FILTERS` and `JAILS` hold the name and the text of each file in `config/filters` and
//! `config/jails`; the build script lists them. A file of the same name in `filters/` replaces a filter;
//! one in `jails/`, and `[jails.NAME]`, change a jail key by key.

use crate::source::{Origin, Sources};

include!(concat!(env!("OUT_DIR"), "/stock.rs"));

/// What stands before the path of a built-in file in messages.
pub(crate) const PATH_PREFIX: &str = "(built in)/";

/// Whether a place lies in a built-in file.
pub(crate) fn holds(place: Origin, sources: &Sources) -> bool {
    sources.path(place.file).starts_with(PATH_PREFIX)
}
