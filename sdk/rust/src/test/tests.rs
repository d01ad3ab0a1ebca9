use super::*;
use crate::filter::Line;
use crate::{clock, http, log};

/// Counts every line that it is given, for the index of its pattern.
struct All;

impl Filter for All {
    fn configure(settings: &Settings) -> Result<(Self, Plan), Error> {
        let literals = settings.with_prefix("literal.").map(|(_, text)| text);
        let plan = Plan::new().literals(literals);
        let patterns = settings.with_prefix("pattern.");
        Ok((
            Self,
            patterns.fold(plan, |plan, (_, regex)| plan.pattern(regex)),
        ))
    }

    fn judge(&mut self, line: Line<'_>, found: &mut Findings) {
        found.add(&line, line.pattern.to_string(), Some(line.text));
    }
}

fn lines(settings: &[(&str, &str)], text: &[u8]) -> Vec<(usize, String)> {
    let found = filter::<All>(settings).unwrap().judge(text);
    found
        .into_iter()
        .map(|one| (one.line, one.subject.to_string()))
        .collect()
}

#[test]
fn an_empty_plan_drops_nothing() {
    let found = lines(&[], b"a\n\xff\x00\n\nb");
    let numbers: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

#[test]
fn a_line_needs_a_literal_and_a_pattern() {
    let settings = [
        ("literal.1", "fail"),
        ("literal.2", "refus"),
        ("pattern.1", "^sshd"),
        ("pattern.2", "ed$"),
    ];
    let text = b"sshd: failed\nhttpd: refused\nhttpd: failure\nsshd: ok\n";
    assert_eq!(lines(&settings, text), [(0, "0".into()), (1, "1".into())]);
}

#[test]
fn more_lines_than_a_batch_keep_their_numbers() {
    let text = "hit\nmiss\n".repeat(BATCH_LINES_MAX + 1);
    let found = lines(&[("literal.1", "hit")], text.as_bytes());
    assert_eq!(found.len(), BATCH_LINES_MAX + 1);
    assert_eq!(found.last().unwrap().0, 2 * BATCH_LINES_MAX);
}

#[test]
fn a_plan_that_the_host_would_refuse_is_an_error() {
    let long = "x".repeat(257);
    for (key, value) in [("literal.1", ""), ("literal.1", &long), ("pattern.1", "(")] {
        assert!(filter::<All>(&[(key, value)]).is_err(), "{key} {value}");
    }
}

#[test]
fn the_double_keeps_time_and_forgets_what_has_run_out() {
    let host = Host::fresh();
    host.set_now(Timestamp::from_secs(100));
    assert_eq!(clock::now(), Timestamp::from_secs(100));
    assert_eq!(clock::monotonic(), Duration::from_secs(100));

    kv::set("a", b"1", Some(Duration::from_millis(9_500))).unwrap();
    assert_eq!(kv::increment("a", 2, None), Ok(3));
    assert_eq!(kv::increment("b", i64::MAX, None), Ok(i64::MAX));
    assert_eq!(kv::increment("b", 1, None), Ok(i64::MAX));
    assert_eq!(kv::keys("", None, 10), Ok(vec!["a".into(), "b".into()]));
    host.set_now(Timestamp::from_secs(110));
    assert_eq!(kv::keys("", Some("a"), 10), Ok(vec!["b".into()]));
    assert_eq!(kv::get("a"), Ok(None));

    host.set_now(Timestamp::from_secs(50));
    assert_eq!(clock::monotonic(), Duration::from_secs(110));
    kv::delete("b").unwrap();
    assert_eq!(host.stored("b"), None);
}

#[test]
fn the_double_holds_the_limits_of_the_store() {
    let _host = Host::fresh();
    assert_eq!(kv::set("", b"", None), Err(kv::Error::TooLarge));
    assert_eq!(kv::set("k", &[0; 65_537], None), Err(kv::Error::TooLarge));
    kv::set("k", b"text", None).unwrap();
    assert_eq!(kv::increment("k", 1, None), Err(kv::Error::NotANumber));
    for key in 0..63 {
        kv::set(&key.to_string(), &[0; 65_536], None).unwrap();
    }
    assert_eq!(kv::set("last", &[0; 65_536], None), Err(kv::Error::Quota));
}

#[test]
fn the_double_answers_requests_as_it_was_told() {
    let host = Host::fresh();
    let request = Request::new("GET", "https://example.com/").header("A", "b");
    assert!(matches!(http::send(&request), Err(HttpError::Denied(_))));
    host.answer(|request| {
        log::info(&request.url);
        Ok(Response::new(204))
    });
    assert_eq!(http::send(&request).unwrap().status, 204);
    assert_eq!(http::send(&request).unwrap().status, 204);
    assert_eq!(host.requests().len(), 3);
    assert_eq!(
        host.logged(),
        vec![(Level::Info, "https://example.com/".to_owned()); 2]
    );
}
