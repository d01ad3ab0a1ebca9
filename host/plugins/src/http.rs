//! Requests of plugins: only to granted origins, only to addresses they may reach, bounded in size,
//! time and redirects.
//!
//! Each request has a connection of its own, so no state is carried from one to the next. No proxy is
//! taken from the environment, there are no cookies, and redirects are followed by hand.

mod address;
mod origin;
mod resolver;
mod url;

use std::time::Duration;

use ureq::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

pub use origin::{GrantedOrigin, Origin, OriginError};

use crate::bindings::stockade::http::http as wit;
use crate::clock;
use resolver::{AddressDenied, CheckedResolver};

/// Bounds of a request; the defaults are what `wit/http` promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// From begin to end, redirects included.
    pub timeout: Duration,
    /// Bytes of a request's body.
    pub sent_bytes_max: usize,
    /// Bytes of a response's body.
    pub received_bytes_max: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            sent_bytes_max: 1 << 20,
            received_bytes_max: 4 << 20,
        }
    }
}

/// As many as browsers of old followed; more is a loop.
const REDIRECTS_MAX: usize = 5;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Names and values of all headers, of a request and of a response.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Headers that belong to the connection or that the host writes (RFC 9110 7.6.1), without
/// `proxy-*`.
const HOST_HEADERS: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "user-agent",
];

/// Sends requests for one plugin.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    granted: Vec<GrantedOrigin>,
    limits: HttpLimits,
}

impl Client {
    pub(crate) fn new(granted: &[GrantedOrigin], limits: HttpLimits) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_response_header_size(HEADER_BYTES_MAX)
            .max_idle_connections(0)
            .user_agent(concat!("stockade/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .build();
        let resolver = CheckedResolver::new(granted.to_vec());
        Self {
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            granted: granted.to_vec(),
            limits,
        }
    }

    /// Sends `request` and waits for the response, no longer than `time_left`.
    pub(crate) fn send(
        &self,
        request: wit::Request,
        time_left: Duration,
    ) -> Result<wit::Response, wit::Error> {
        let until = clock::now() + self.limits.timeout.min(time_left);
        let method = method(&request.method)?;
        let mut headers = headers(&request.headers)?;
        if request.body.len() > self.limits.sent_bytes_max {
            return Err(invalid("the body is longer than 1 MiB"));
        }
        let follows = method == Method::GET || method == Method::HEAD;
        if follows && !request.body.is_empty() {
            return Err(invalid("GET and HEAD have no body"));
        }
        let mut uri = url::parse(&request.url).map_err(invalid)?;
        self.check(&uri)?;
        for _ in 0..=REDIRECTS_MAX {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                return Err(wit::Error::Timeout);
            }
            let response = self.exchange(&method, &uri, &headers, &request.body, left)?;
            let Some(location) = redirect(&response).filter(|_| follows) else {
                return self.receive(response);
            };
            let next = url::join(&uri, location).map_err(invalid)?;
            self.check(&next)?;
            if Origin::of(&next) != Origin::of(&uri) {
                headers.remove(header::AUTHORIZATION);
                headers.remove(header::COOKIE);
            }
            uri = next;
        }
        Err(wit::Error::Unavailable(format!(
            "more than {REDIRECTS_MAX} redirects"
        )))
    }

    /// Whether the operator granted the origin of `uri`.
    fn check(&self, uri: &Uri) -> Result<(), wit::Error> {
        let origin = Origin::of(uri).map_err(|error| invalid(&error.to_string()))?;
        if self.granted.iter().any(|granted| granted.origin == origin) {
            return Ok(());
        }
        Err(wit::Error::Denied(format!(
            "'{origin}' is not granted; add it to http under [plugins.NAME.grant]"
        )))
    }

    fn exchange(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        left: Duration,
    ) -> Result<Response<Body>, wit::Error> {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(to) = request.headers_mut() {
            to.clone_from(headers);
        }
        let built = if body.is_empty() && !sends_body(method) {
            let request = request
                .body(())
                .map_err(|error| invalid(&error.to_string()))?;
            let request = self
                .agent
                .configure_request(request)
                .timeout_global(Some(left))
                .build();
            self.agent.run(request)
        } else {
            let request = request
                .body(body)
                .map_err(|error| invalid(&error.to_string()))?;
            let request = self
                .agent
                .configure_request(request)
                .timeout_global(Some(left))
                .build();
            self.agent.run(request)
        };
        built.map_err(failure)
    }

    fn receive(&self, response: Response<Body>) -> Result<wit::Response, wit::Error> {
        let (parts, body) = response.into_parts();
        let headers = parts
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let value = std::str::from_utf8(value.as_bytes()).ok()?;
                Some((name.as_str().to_owned(), value.to_owned()))
            })
            .collect();
        let body = body
            .into_with_config()
            .limit(self.limits.received_bytes_max)
            .read_to_vec()
            .map_err(failure)?;
        Ok(wit::Response {
            status: parts.status.as_u16(),
            headers,
            body,
        })
    }
}

fn invalid(text: &str) -> wit::Error {
    wit::Error::Invalid(text.to_owned())
}

fn method(text: &str) -> Result<Method, wit::Error> {
    const METHODS: [Method; 6] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    METHODS
        .into_iter()
        .find(|method| method.as_str() == text)
        .ok_or_else(|| invalid("the method is none of GET, HEAD, POST, PUT, PATCH and DELETE"))
}

/// Whether a request of this method carries a body even where that is empty.
fn sends_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn headers(list: &[(String, String)]) -> Result<HeaderMap, wit::Error> {
    let bytes: usize = list
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .sum();
    if list.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(invalid("there are more than 64 headers or 16 KiB of them"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("the name of a header is not well-formed"))?;
        if HOST_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
            return Err(wit::Error::Invalid(format!(
                "the header '{name}' is the host's"
            )));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            wit::Error::Invalid(format!("the value of header '{name}' is not well-formed"))
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Where a redirect leads, if the response is one that can be followed.
fn redirect(response: &Response<Body>) -> Option<&str> {
    const FOLLOWED: [StatusCode; 5] = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !FOLLOWED.contains(&response.status()) {
        return None;
    }
    response.headers().get(header::LOCATION)?.to_str().ok()
}

fn failure(error: ureq::Error) -> wit::Error {
    match error {
        ureq::Error::Timeout(_) => wit::Error::Timeout,
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
            wit::Error::TooLarge
        }
        ureq::Error::Other(cause) if cause.is::<AddressDenied>() => {
            wit::Error::Denied(cause.to_string())
        }
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => invalid(&error.to_string()),
        error => wit::Error::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
