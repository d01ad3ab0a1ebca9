//! HTTP to the origins that the operator granted, and to no others. Grant: `http`, a list of origins
//! such as `https://hooks.example.com`.
//!
//! The host checks the origin of the URL and of each redirect, and connects only to an address that it
//! has checked. It adds `Host`, `User-Agent` and `Content-Length`, and never sends cookies.

pub use crate::bindings::host::stockade::http::http::{Error, Request, Response};

impl Request {
    /// A request without headers and body. `method` in capitals; `url` absolute, at most 8 KiB.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header; at most 64 and 16 KiB in all.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body; at most 1 MiB.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

impl Response {
    /// A response without headers and body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The first value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }
}

/// Sends a request and waits for the whole response. Follows at most 5 redirects, for `GET` and `HEAD`
/// only; other methods get the redirect as the response.
///
/// # Errors
/// Where there is no response. A status such as 404 or 503 is a response.
pub fn send(request: &Request) -> Result<Response, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::host::stockade::http::http::send(request);
    #[cfg(not(target_family = "wasm"))]
    crate::double::send(request)
}

impl From<Error> for crate::Error {
    /// Every kind becomes what the host should do about it: try again where that can help.
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(cause) => Self::invalid(format!("cannot send the request: {cause}")),
            Error::Denied(cause) => Self::denied(cause),
            Error::Timeout => Self::unavailable("no complete response within the time allowed"),
            Error::TooLarge => Self::other("the response is larger than allowed"),
            Error::Unavailable(cause) => Self::unavailable(cause),
        }
    }
}
