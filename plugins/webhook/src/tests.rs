use stockade_sdk::http::{Error as HttpError, Request, Response};
use stockade_sdk::log::Level;
use stockade_sdk::test::{self, Host};
use stockade_sdk::{Error, ErrorKind, Settings};

use super::*;

fn webhook(more: &[(&str, &str)]) -> Webhook {
    let mut settings = vec![("url", "https://hooks.example.com/secret")];
    settings.extend_from_slice(more);
    Webhook::configure(&Settings::from(&settings[..])).unwrap()
}

fn kind_for(status: u16) -> Result<(), ErrorKind> {
    Host::fresh().answer(move |_| Ok(Response::new(status)));
    let outcome = webhook(&[]).apply(&test::decision("192.0.2.1"));
    outcome.map_err(|error| error.kind())
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut headers = request.headers.iter();
    headers.find_map(|(key, value)| (key == name).then_some(value.as_str()))
}

#[test]
fn a_status_says_whether_to_try_again() {
    for status in [200, 201, 202, 204] {
        assert_eq!(kind_for(status), Ok(()), "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504] {
        assert_eq!(kind_for(status), Err(ErrorKind::Unavailable), "{status}");
    }
    for status in [301, 308, 401, 403, 404, 405, 410] {
        assert_eq!(kind_for(status), Err(ErrorKind::Denied), "{status}");
    }
    for status in [400, 413, 422] {
        assert_eq!(kind_for(status), Err(ErrorKind::Invalid), "{status}");
    }
}

#[test]
fn a_failed_connection_is_tried_again_and_a_missing_grant_is_not() {
    for (error, kind) in [
        (HttpError::Timeout, ErrorKind::Unavailable),
        (
            HttpError::Unavailable("connection refused".into()),
            ErrorKind::Unavailable,
        ),
        (HttpError::Denied("not granted".into()), ErrorKind::Denied),
        (HttpError::Invalid("bad url".into()), ErrorKind::Invalid),
        (HttpError::TooLarge, ErrorKind::Other),
    ] {
        Host::fresh().answer(move |_| Err(error.clone()));
        let mut webhook = webhook(&[]);
        let outcome = webhook.revoke(&test::decision("192.0.2.1"));
        assert_eq!(outcome.unwrap_err().kind(), kind);
        assert_eq!(webhook.probe().unwrap_err().kind(), kind);
    }
}

#[test]
fn a_post_carries_the_operators_headers_and_one_key_for_each_document() {
    let host = Host::fresh();
    host.answer(|_| Ok(Response::new(204)));
    let mut webhook = webhook(&[("authorization", "Bearer t"), ("header.X-Site", "a")]);
    let decision = test::decision("ev\r\nil");
    for _ in 0..2 {
        assert_eq!(webhook.apply(&decision), Ok(()));
    }
    assert_eq!(webhook.revoke(&decision), Ok(()));

    let requests = host.requests();
    let [first, second, third] = &requests[..] else {
        panic!("{requests:?}");
    };
    assert_eq!(first, second);
    assert_eq!(first.method, "POST");
    assert_eq!(first.url, "https://hooks.example.com/secret");
    assert_eq!(header(first, "Authorization"), Some("Bearer t"));
    assert_eq!(header(first, "X-Site"), Some("a"));
    assert_eq!(header(first, "Content-Type"), Some("application/json"));
    let key = |request| header(request, "Idempotency-Key");
    assert_eq!(key(first), Some("ban:test:ev%0D%0Ail"));
    assert_eq!(key(third), Some("unban:test:ev%0D%0Ail"));
}

#[test]
fn one_that_fails_does_not_keep_the_others_back() {
    let host = Host::fresh();
    host.answer(|request| {
        let refused = request.body.windows(9).any(|part| part == b"192.0.2.2");
        Ok(Response::new(if refused { 500 } else { 200 }))
    });
    let decisions = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(test::decision);
    let outcomes = webhook(&[]).apply_all(&decisions);
    assert_eq!(
        outcomes,
        [
            Ok(()),
            Err(Error::unavailable("https://hooks.example.com answered 500")),
            Ok(())
        ]
    );
    assert_eq!(host.requests().len(), 3);
}

#[test]
fn a_batch_is_one_post_and_one_outcome_for_all() {
    let host = Host::fresh();
    host.answer(|_| Ok(Response::new(503)));
    let decisions = ["192.0.2.1", "192.0.2.2"].map(test::decision);
    let mut webhook = webhook(&[("batch", "true")]);
    let outcomes = webhook.apply_all(&decisions);
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(Result::is_err));
    assert!(webhook.revoke_all(&[]).is_empty());
    assert_eq!(host.requests().len(), 1);
}

#[test]
fn reconcile_tells_all_bans_even_none() {
    let host = Host::fresh();
    host.answer(|_| Ok(Response::new(200)));
    let decisions = ["192.0.2.1", "2001:db8::1"].map(test::decision);
    assert_eq!(webhook(&[]).reconcile(&decisions), [Ok(()), Ok(())]);
    assert!(webhook(&[]).reconcile(&[]).is_empty());
    let requests = host.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests[0]
            .body
            .starts_with(br#"{"event":"reconcile","part":1,"parts":1,"#)
    );
    assert!(requests[1].body.ends_with(br#""bans":[]}"#));
    assert!(host.logged().is_empty());

    host.answer(|_| Ok(Response::new(500)));
    assert!(
        webhook(&[])
            .reconcile(&decisions)
            .iter()
            .all(Result::is_err)
    );
    webhook(&[]).reconcile(&[]);
    let logged = host.logged();
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0].0, Level::Warn);
}

#[test]
fn a_probe_has_no_effect_and_takes_any_answer() {
    let host = Host::fresh();
    host.answer(|_| Ok(Response::new(405)));
    assert_eq!(webhook(&[]).probe(), Ok(()));
    assert_eq!(host.requests()[0].method, "HEAD");
    assert!(host.requests()[0].body.is_empty());
}

#[test]
fn no_message_shows_the_secret_part_of_the_url() {
    for status in [301, 400, 403, 500] {
        Host::fresh().answer(move |_| Ok(Response::new(status)));
        let outcome = webhook(&[]).apply(&test::decision("192.0.2.1"));
        let message = outcome.unwrap_err().to_string();
        assert!(!message.contains("secret"), "{message}");
        assert!(message.contains("https://hooks.example.com"), "{message}");
    }
}

#[test]
fn a_setting_that_is_missing_misspelt_or_wrong_is_named() {
    for (settings, expected) in [
        (&[][..], "the setting 'url' is missing"),
        (&[("url", "x"), ("ulr", "x")], "there is no setting 'ulr'"),
        (
            &[("url", "https://a.example/"), ("batch", "yes")],
            "cannot read the setting 'batch'",
        ),
        (&[("url", "a.example")], "the setting 'url' must begin with"),
    ] {
        let error = Webhook::configure(&Settings::from(settings)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().starts_with(expected), "{error}");
    }
}
