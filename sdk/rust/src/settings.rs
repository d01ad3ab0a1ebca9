//! What the operator wrote for this plugin.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The settings of this plugin from the operator's configuration: keys and values as they were
/// written, each key at most once, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// The value of `key`, where it was written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::invalid`] where it was not written.
    pub fn required(&self, key: &str) -> Result<&str, Error> {
        self.get(key)
            .ok_or_else(|| Error::invalid(format!("the setting '{key}' is missing")))
    }

    /// The value of `key` read as a `T` (a number, `true` or `false`, …), where it was written.
    ///
    /// # Errors
    /// [`Error::invalid`] where the value cannot be read as a `T`.
    pub fn parse<T: FromStr<Err: fmt::Display>>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|cause| {
            Error::invalid(format!(
                "cannot read the setting '{key}' ({value:?}): {cause}"
            ))
        })
    }

    /// The settings whose key begins with `prefix`, which is taken off.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter()
            .filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    }

    /// Makes sure that no key was written but `known`, so that a misspelt one does not pass silently.
    /// A known key that ends in `.` stands for all that begin with it.
    ///
    /// # Errors
    /// [`Error::invalid`] that names the first unknown key and the known ones.
    pub fn only(&self, known: &[&str]) -> Result<(), Error> {
        let is_known = |key: &str| {
            known
                .iter()
                .any(|name| key == *name || (name.ends_with('.') && key.starts_with(name)))
        };
        let Some((key, _)) = self.iter().find(|(key, _)| !is_known(key)) else {
            return Ok(());
        };
        Err(Error::invalid(if known.is_empty() {
            format!("there is no setting '{key}': this plugin has none")
        } else {
            format!("there is no setting '{key}', only {}", known.join(", "))
        }))
    }

    /// All keys and values, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl From<Vec<(String, String)>> for Settings {
    fn from(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }
}

impl From<&[(&str, &str)]> for Settings {
    fn from(pairs: &[(&str, &str)]) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self(pairs.iter().map(owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::from(&[("port", "22"), ("header.X-A", "1"), ("header.X-B", "2")][..])
    }

    #[test]
    fn a_value_is_read_as_the_type_that_is_asked_for() {
        assert_eq!(settings().parse::<u16>("port"), Ok(Some(22)));
        assert_eq!(settings().parse::<u16>("absent"), Ok(None));
        let error = settings().parse::<bool>("port").unwrap_err();
        assert_eq!(
            error.message(),
            "cannot read the setting 'port' (\"22\"): provided string was not `true` or `false`"
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_the_known_ones() {
        assert_eq!(settings().only(&["port", "header."]), Ok(()));
        let error = settings().only(&["port", "url"]).unwrap_err();
        assert_eq!(
            error.message(),
            "there is no setting 'header.X-A', only port, url"
        );
        assert!(settings().only(&[]).is_err());
    }

    #[test]
    fn settings_of_one_prefix_lose_it() {
        let settings = settings();
        let headers: Vec<_> = settings.with_prefix("header.").collect();
        assert_eq!(headers, [("X-A", "1"), ("X-B", "2")]);
    }

    #[test]
    fn a_missing_setting_is_an_error_that_names_it() {
        let error = settings().required("url").unwrap_err();
        assert_eq!(error, Error::invalid("the setting 'url' is missing"));
    }
}
