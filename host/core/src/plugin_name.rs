//! The name of a plugin.

use std::fmt;
use std::sync::Arc;

/// Name of a plugin in the configuration (`[plugins.NAME]`): 1 to [`PluginName::LEN_MAX`] of
/// `A-Z a-z 0-9 _ - .`, not beginning with `-` or `.`.
///
/// The name becomes part of keys in the store and of log lines. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName(Arc<str>);

impl PluginName {
    /// Long enough for a vendor and a product, short enough for a column of a table.
    pub const LEN_MAX: usize = 64;

    /// Checks `name` and takes it.
    ///
    /// # Errors
    /// Where `name` is empty, too long, or has a character that is not allowed.
    pub fn try_new(name: &str) -> Result<Self, PluginNameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() {
            return Err(PluginNameError::Empty);
        }
        if name.len() > Self::LEN_MAX {
            return Err(PluginNameError::TooLong { len: name.len() });
        }
        if name.starts_with(['-', '.']) {
            return Err(PluginNameError::BadStart);
        }
        match name.chars().find(|c| !allowed(*c)) {
            Some(found) => Err(PluginNameError::BadCharacter { found }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for PluginName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Why a text is not a plugin's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginNameError {
    /// No character at all.
    #[error("a plugin needs a name")]
    Empty,
    /// More than [`PluginName::LEN_MAX`] bytes.
    #[error("a plugin's name has at most {max} characters, this one has {len}", max = PluginName::LEN_MAX)]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
    /// First character is `-` or `.`.
    #[error("a plugin's name may not begin with '-' or '.'")]
    BadStart,
    /// A character that is not allowed.
    #[error(
        "a plugin's name may not contain {found:?}; allowed are letters, digits, '_', '-' and '.'"
    )]
    BadCharacter {
        /// The first such character.
        found: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_break_out_are_refused() {
        for name in ["sshd", "acme.geo", "a_b-c", &"x".repeat(64)] {
            assert_eq!(PluginName::try_new(name).unwrap().as_str(), name);
        }
        for name in ["", "-x", ".x", "a/b", "a b", "a\n", "é", &"x".repeat(65)] {
            assert!(PluginName::try_new(name).is_err(), "{name:?} was accepted");
        }
    }
}
