//! The endpoint: checks what the operator wrote, posts to it, and says what a response means.

use stockade_sdk::http::{self, Request, Response};
use stockade_sdk::{Error, Settings};

/// The contract's limit of a URL.
const URL_LEN_MAX: usize = 8 * 1024;

/// So much of a redirect's target is shown.
const LOCATION_LEN_MAX: usize = 200;

/// Headers that are the host's or ours.
const TAKEN_HEADERS: [&str; 7] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "transfer-encoding",
];

/// Where to post to, and with which headers.
#[derive(Debug)]
pub(crate) struct Target {
    url: String,
    /// Scheme and authority of the URL. Messages show no more of it: a path is often a secret.
    origin: String,
    headers: Vec<(String, String)>,
}

impl Target {
    /// The endpoint that the settings name.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Error> {
        let url = settings.required("url")?;
        let origin = origin(url)?;
        let mut headers = Vec::new();
        if let Some(value) = settings.get("authorization") {
            check_value("authorization", value)?;
            headers.push(("Authorization".to_owned(), value.to_owned()));
        }
        for (name, value) in settings.with_prefix("header.") {
            check_name(name)?;
            check_value(&format!("header.{name}"), value)?;
            headers.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self {
            url: url.to_owned(),
            origin: origin.to_owned(),
            headers,
        })
    }

    /// Posts a document.
    pub(crate) fn post(&self, body: Vec<u8>, idempotency_key: Option<&str>) -> Result<(), Error> {
        let mut request = self
            .request("POST")
            .header("Content-Type", "application/json")
            .body(body);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", &header_safe(key));
        }
        self.outcome(&http::send(&request)?)
    }

    /// Whether there is a server that answers. `HEAD` has no effect (RFC 9110, 9.2.1), and what it
    /// answers does not matter: many endpoints take nothing but `POST`.
    pub(crate) fn reach(&self) -> Result<(), Error> {
        http::send(&self.request("HEAD"))?;
        Ok(())
    }

    fn request(&self, method: &str) -> Request {
        let request = Request::new(method, &self.url);
        self.headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    }

    fn outcome(&self, response: &Response) -> Result<(), Error> {
        let (origin, status) = (&self.origin, response.status);
        match status {
            200..=299 => Ok(()),
            // Too slow, too early, too many, or broken on their side: RFC 9110 and 8470.
            408 | 425 | 429 | 500..=599 => {
                Err(Error::unavailable(format!("{origin} answered {status}")))
            }
            300..=399 => {
                let location: String = response
                    .header("location")
                    .unwrap_or("elsewhere")
                    .chars()
                    .take(LOCATION_LEN_MAX)
                    .collect();
                Err(Error::denied(format!(
                    "{origin} answered {status} and points to {location}: set that as 'url'"
                )))
            }
            400 | 413 | 422 => Err(Error::invalid(format!(
                "{origin} answered {status}: it does not take this document"
            ))),
            _ => Err(Error::denied(format!("{origin} answered {status}"))),
        }
    }
}

/// Scheme and authority of a URL that the host would take.
fn origin(url: &str) -> Result<&str, Error> {
    let refused = |why: &str| Error::invalid(format!("the setting 'url' {why}"));
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or_else(|| refused("must begin with 'https://' or 'http://'"))?;
    if url.len() > URL_LEN_MAX {
        return Err(refused("is longer than 8 KiB"));
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("may not contain spaces or characters beyond ASCII"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(refused(
            "may not contain a user or password: write them as 'authorization'",
        ));
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err(refused("names no host"));
    }
    let len = url.len() - rest.len() + authority.len();
    Ok(url.get(..len).unwrap_or(url))
}

/// A header's name is a token: RFC 9110, 5.6.2.
fn check_name(name: &str) -> Result<(), Error> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Error::invalid(format!("{name:?} is no name of a header")));
    }
    if TAKEN_HEADERS
        .iter()
        .any(|taken| name.eq_ignore_ascii_case(taken))
    {
        return Err(Error::invalid(format!(
            "the header '{name}' cannot be set by 'header.{name}'"
        )));
    }
    Ok(())
}

fn check_value(setting: &str, value: &str) -> Result<(), Error> {
    if value.chars().any(char::is_control) {
        // Not shown: it may be a secret.
        return Err(Error::invalid(format!(
            "the setting '{setting}' contains a control character"
        )));
    }
    Ok(())
}

/// `key` with everything but visible ASCII percent-encoded: the name in it may be an attacker's.
fn header_safe(key: &str) -> String {
    let mut safe = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_origin_of_a_url_is_shown() {
        for (url, expected) in [
            (
                "https://hooks.example.com/T0/secret",
                "https://hooks.example.com",
            ),
            (
                "http://[2001:db8::1]:8080?token=1",
                "http://[2001:db8::1]:8080",
            ),
            ("https://example.com", "https://example.com"),
        ] {
            assert_eq!(origin(url), Ok(expected));
        }
    }

    #[test]
    fn a_url_that_the_host_would_refuse_is_refused_at_once() {
        for url in [
            "",
            "hooks.example.com",
            "ftp://example.com/",
            "https://",
            "https:///path",
            "https://:443/",
            "https://user:password@example.com/",
            "https://example.com/a b",
            "https://example.com/\n",
            &format!("https://example.com/{}", "x".repeat(URL_LEN_MAX)),
        ] {
            assert!(origin(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn names_of_headers_are_tokens_and_not_the_hosts() {
        assert_eq!(check_name("X-Token"), Ok(()));
        for name in ["", "X Token", "X:", "é", "Host", "content-type"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_value("authorization", "Bearer a\r\nX: y").is_err());
    }

    proptest! {
        #[test]
        fn a_key_becomes_a_header_that_no_name_can_break_out_of(key: String, other: String) {
            let safe = header_safe(&key);
            prop_assert!(safe.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(key == other, safe == header_safe(&other));
        }
    }
}
