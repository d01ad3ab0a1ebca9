//! Scheme, host and port: what an operator grants and what is compared.

use std::fmt;

use ureq::http::Uri;

/// Where a plugin may send requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrantedOrigin {
    /// Compared exactly.
    pub origin: Origin,
    /// Whether its addresses may be loopback, private or link-local ones.
    pub private: bool,
}

/// Scheme, host and port of a URL (RFC 6454). Two are equal when all three are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    /// In lower case.
    host: String,
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// Reads an origin as it is written in a grant, such as `https://hooks.example.com`.
    ///
    /// # Errors
    /// Where it is no `http` or `https` URL, or has more than scheme, host and port.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError::NotUrl)?;
        let origin = Self::of(&uri)?;
        if uri.path() != "/" || uri.query().is_some() || text.ends_with('/') || text.contains('#') {
            return Err(OriginError::MoreThanOrigin);
        }
        Ok(origin)
    }

    /// The origin of an absolute URL.
    ///
    /// # Errors
    /// As for [`Origin::parse`], but for a path and a query.
    pub(crate) fn of(uri: &Uri) -> Result<Self, OriginError> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(OriginError::NotUrl),
        };
        let authority = uri.authority().ok_or(OriginError::NotUrl)?;
        if authority.as_str().contains('@') {
            return Err(OriginError::UserInformation);
        }
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() || host.contains('*') {
            return Err(OriginError::Wildcard);
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            // `http://host:` and `http://host:99999` have an authority, but no port in it.
            None if authority.as_str().len() != authority.host().len() => {
                return Err(OriginError::NotUrl);
            }
            None => scheme.default_port(),
        };
        Ok(Self { scheme, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Why a text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not an absolute URL with `http` or `https`.
    #[error("not an http or https URL; write it as in \"https://hooks.example.com\"")]
    NotUrl,
    /// A path, a query or a fragment.
    #[error("has more than scheme, host and port; write it as in \"https://hooks.example.com\"")]
    MoreThanOrigin,
    /// `user:password@`.
    #[error("user information is not allowed in a URL")]
    UserInformation,
    /// No host, or a pattern of hosts.
    #[error("names no single host; wildcards are not allowed")]
    Wildcard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_ports_and_case_do_not_matter_and_all_else_does() {
        let origin = |text: &str| Origin::parse(text).unwrap();
        assert_eq!(
            origin("https://Hooks.Example.com"),
            origin("https://hooks.example.com:443")
        );
        assert_eq!(origin("http://[::1]:8080").to_string(), "http://[::1]:8080");
        for other in [
            "http://hooks.example.com",
            "https://hooks.example.com:8443",
            "https://hooks.example.com.",
            "https://x.hooks.example.com",
        ] {
            assert_ne!(origin("https://hooks.example.com"), origin(other));
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        let refused = |text: &str| Origin::parse(text).unwrap_err();
        assert_eq!(refused("hooks.example.com"), OriginError::NotUrl);
        assert_eq!(refused("ftp://hooks.example.com"), OriginError::NotUrl);
        assert_eq!(refused("https://a.example/"), OriginError::MoreThanOrigin);
        assert_eq!(
            refused("https://a.example/hook"),
            OriginError::MoreThanOrigin
        );
        assert_eq!(refused("https://a.example?x"), OriginError::MoreThanOrigin);
        assert_eq!(
            refused("https://me@a.example"),
            OriginError::UserInformation
        );
        assert_eq!(refused("https://*.example.com"), OriginError::Wildcard);
        assert!(Origin::parse("https://a.example:99999").is_err());
        assert!(Origin::parse("https://a.example:").is_err());
    }
}
