//! URLs of requests and of redirects. Pure.

use ureq::http::Uri;

/// Longer ones are refused by most servers.
const URL_BYTES_MAX: usize = 8 << 10;

/// Reads the URL of a request.
pub(crate) fn parse(text: &str) -> Result<Uri, &'static str> {
    if text.len() > URL_BYTES_MAX {
        return Err("the URL is longer than 8 KiB");
    }
    // A fragment is for the client only (RFC 9110 4.2.5).
    let text = text.split('#').next().unwrap_or_default();
    text.parse().map_err(|_| "the URL is not well-formed")
}

/// Where a `Location` leads that was the answer for `base` (RFC 3986 5.2, but for dot segments, which
/// servers resolve themselves).
pub(crate) fn join(base: &Uri, location: &str) -> Result<Uri, &'static str> {
    let scheme = base.scheme_str().unwrap_or_default();
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let path = base.path();
    let absolute = if has_scheme(location) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.is_empty() || location.starts_with(['?', '#']) {
        format!("{scheme}://{authority}{path}{location}")
    } else {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    parse(&absolute)
}

/// RFC 3986 3.1: a letter, then letters, digits, `+`, `-` and `.`, then a colon.
fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_against_the_request() {
        let base = parse("http://a.example:8080/x/y?q=1").unwrap();
        let check = |location: &str, expected: &str| {
            assert_eq!(
                join(&base, location).unwrap().to_string(),
                expected,
                "{location}"
            );
        };
        check("https://b.example/z", "https://b.example/z");
        check("//b.example/z", "http://b.example/z");
        check("/z?r", "http://a.example:8080/z?r");
        check("z", "http://a.example:8080/x/z");
        check("?r", "http://a.example:8080/x/y?r");
        check("/z#part", "http://a.example:8080/z");
        check("z:80", "z:80");
    }

    #[test]
    fn long_and_broken_urls_are_refused() {
        assert!(parse(&format!("http://a.example/{}", "x".repeat(9000))).is_err());
        assert!(parse("http://a b/").is_err());
    }
}
