//! The filters and jails that are built in, so that a host is protected without any file.

/// Name and text of every stock filter; a file of the same name in `filters/` replaces it.
pub(crate) const FILTERS: &[(&str, &str)] =
    &[("sshd", include_str!("../../../config/filters/sshd.toml"))];

/// Name and text of every stock jail; a file of the same name in `jails/` and `[jails.NAME]`
/// change it key by key.
pub(crate) const JAILS: &[(&str, &str)] =
    &[("sshd", include_str!("../../../config/jails/sshd.toml"))];

/// What stands before the path of a built-in file in messages.
pub(crate) const PATH_PREFIX: &str = "(built in)/";
