//! The name of a jail.

use std::fmt;
use std::sync::Arc;

/// Name of a jail: 1 to [`JailName::LEN_MAX`] of `A-Z a-z 0-9 _ - .`, not beginning with `-` or `.`.
///
/// The name becomes part of nftables set names, log lines and file names, so nothing else is let
/// through. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JailName(Arc<str>);

impl JailName {
    /// ipset names end at 31 bytes, and a backend puts up to five in front of the jail's name.
    pub const LEN_MAX: usize = 26;

    /// Checks `name` and takes it.
    ///
    /// # Errors
    /// Where `name` is empty, too long, or has a character that is not allowed.
    pub fn try_new(name: &str) -> Result<Self, JailNameError> {
        if name.is_empty() {
            return Err(JailNameError::Empty);
        }
        if name.len() > Self::LEN_MAX {
            return Err(JailNameError::TooLong { len: name.len() });
        }
        if name.starts_with(['-', '.']) {
            return Err(JailNameError::BadStart);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        match name.chars().find(|c| !allowed(*c)) {
            Some(found) => Err(JailNameError::BadCharacter { found }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::borrow::Borrow<str> for JailName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a jail's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JailNameError {
    /// No character at all.
    #[error("a jail needs a name")]
    Empty,
    /// More than [`JailName::LEN_MAX`] bytes.
    #[error("a jail's name has at most {max} characters, this one has {len}", max = JailName::LEN_MAX)]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
    /// First character is `-` or `.`.
    #[error("a jail's name may not begin with '-' or '.'")]
    BadStart,
    /// A character that is not allowed.
    #[error(
        "a jail's name may not contain {found:?}; allowed are letters, digits, '_', '-' and '.'"
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
    fn names_of_stock_jails_are_accepted() {
        for name in [
            "sshd",
            "nginx-http-auth",
            "3proxy",
            "a.b_c",
            &"x".repeat(26),
        ] {
            assert_eq!(JailName::try_new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_could_break_out_are_refused() {
        for name in [
            "",
            "-rf",
            ".hidden",
            "a/b",
            "a b",
            "a;b",
            "a\n",
            "é",
            &"x".repeat(27),
        ] {
            assert!(JailName::try_new(name).is_err(), "{name:?} was accepted");
        }
    }
}
