//! The JSON documents.

use serde::Serialize;
use stockade_sdk::action::{Decision, Subject};

/// Of the lines that led to a ban, so many bytes are sent at most, the newest first. Escaped they may
/// take six times as much, which still leaves room in a body of [`LIST_LEN_MAX`].
const MATCHES_LEN_MAX: usize = 16 * 1024;

/// A body has at most 1 MiB (`stockade:http`); the frame of a list needs less than the rest.
const LIST_LEN_MAX: usize = 1024 * 1024 - 256;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Ban,
    Unban,
    Reconcile,
}

impl Event {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Reconcile => "reconcile",
        }
    }
}

/// A list of bans as it is sent.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) body: Vec<u8>,
    /// How many decisions it has.
    pub(crate) len: usize,
}

#[derive(Serialize)]
struct Ban<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    key: &'a str,
    jail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    at: String,
    until: Option<String>,
    failures: u32,
    bancount: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<&'a [String]>,
}

/// The document of one decision.
pub(crate) fn single(event: Event, decision: &Decision) -> Vec<u8> {
    let matches = newest(&decision.matches);
    encode(&ban(decision, Some(event.as_str()), Some(matches)))
}

/// The documents of several decisions, as few as fit. At least one, also of none.
pub(crate) fn lists(event: Event, decisions: &[Decision]) -> Vec<List> {
    let mut parts: Vec<(Vec<u8>, usize)> = vec![(Vec::new(), 0)];
    for decision in decisions {
        let matches = (event != Event::Reconcile).then(|| newest(&decision.matches));
        let item = encode(&ban(decision, None, matches));
        match parts.last_mut() {
            Some((items, len)) if *len == 0 || items.len() + item.len() < LIST_LEN_MAX => {
                if *len > 0 {
                    items.push(b',');
                }
                items.extend_from_slice(&item);
                *len += 1;
            }
            _ => parts.push((item, 1)),
        }
    }
    let (event, count) = (event.as_str(), parts.len());
    let frame = |(index, (items, len)): (usize, (Vec<u8>, usize))| {
        let part = index + 1;
        let head = format!(r#"{{"event":"{event}","part":{part},"parts":{count},"bans":["#);
        let body = [head.as_bytes(), &items, b"]}"].concat();
        List { body, len }
    };
    parts.into_iter().enumerate().map(frame).collect()
}

fn ban<'a>(
    decision: &'a Decision,
    event: Option<&'static str>,
    matches: Option<&'a [String]>,
) -> Ban<'a> {
    let (ip, id) = match &decision.subject {
        Subject::Network(network) => (Some(network.to_string()), None),
        Subject::Text(text) => (None, Some(text.as_str())),
    };
    Ban {
        event,
        key: &decision.key,
        jail: &decision.jail,
        ip,
        id,
        at: decision.at.to_string(),
        until: decision.until.map(|until| until.to_string()),
        failures: decision.failures,
        bancount: decision.bancount,
        matches,
    }
}

/// The newest lines that have [`MATCHES_LEN_MAX`] bytes together. A longer line is left out rather
/// than cut: it would say something else.
fn newest(matches: &[String]) -> &[String] {
    let mut left = MATCHES_LEN_MAX;
    let fits = |line: &&String| match left.checked_sub(line.len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let count = matches.iter().rev().take_while(fits).count();
    matches.get(matches.len() - count..).unwrap_or_default()
}

fn encode(ban: &Ban<'_>) -> Vec<u8> {
    // Fails only for maps with odd keys and writers that fail; there are neither.
    serde_json::to_vec(ban).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use stockade_sdk::{Timestamp, test};

    use super::*;

    fn parsed(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn a_ban_is_one_flat_document() {
        let mut decision = test::decision("192.0.2.1");
        decision.until = Some(Timestamp::from_secs(600));
        decision.matches = vec!["a \"quoted\" line\0".to_owned()];
        assert_eq!(
            parsed(&single(Event::Ban, &decision)),
            json!({
                "event": "ban",
                "key": "test:192.0.2.1",
                "jail": "test",
                "ip": "192.0.2.1",
                "at": "1970-01-01T00:00:00Z",
                "until": "1970-01-01T00:10:00Z",
                "failures": 3,
                "bancount": 1,
                "matches": ["a \"quoted\" line\0"],
            })
        );
    }

    #[test]
    fn what_is_no_address_is_an_id_and_a_ban_for_ever_has_no_end() {
        let body = parsed(&single(Event::Unban, &test::decision("alice")));
        assert_eq!(body["event"], "unban");
        assert_eq!(body["id"], "alice");
        assert_eq!(body.get("ip"), None);
        assert_eq!(body.get("until"), Some(&Value::Null));
    }

    #[test]
    fn the_newest_lines_are_kept() {
        let lines: Vec<String> = (0..40)
            .map(|n| format!("{n}{}", "x".repeat(1_000)))
            .collect();
        let kept = newest(&lines);
        assert_eq!(kept.len(), 16);
        assert_eq!(kept.last(), lines.last());
        assert!(newest(&["x".repeat(MATCHES_LEN_MAX + 1)]).is_empty());
    }

    #[test]
    fn nothing_in_force_is_a_list_as_well() {
        let lists = lists(Event::Reconcile, &[]);
        let [List { body, len: 0 }] = &lists[..] else {
            panic!("{lists:?}");
        };
        assert_eq!(
            parsed(body),
            json!({"event": "reconcile", "part": 1, "parts": 1, "bans": []})
        );
    }

    #[test]
    fn a_list_that_would_be_too_large_has_parts() {
        let mut decision = test::decision("192.0.2.1");
        // Each character takes six bytes when escaped: the worst case.
        decision.matches = vec!["\u{1}".repeat(MATCHES_LEN_MAX)];
        let decisions = vec![decision; 25];
        let lists = lists(Event::Ban, &decisions);
        assert!(lists.len() > 1);
        assert_eq!(lists.iter().map(|list| list.len).sum::<usize>(), 25);
        for (index, list) in lists.iter().enumerate() {
            assert!(list.body.len() <= 1024 * 1024);
            let body = parsed(&list.body);
            assert_eq!(body["part"], index + 1);
            assert_eq!(body["parts"], lists.len());
            assert_eq!(body["bans"].as_array().unwrap().len(), list.len);
        }
    }

    #[test]
    fn reconcile_leaves_the_lines_out() {
        let mut decision = test::decision("192.0.2.1");
        decision.matches = vec!["line".to_owned()];
        let lists = lists(Event::Reconcile, &[decision]);
        assert_eq!(parsed(&lists[0].body)["bans"][0].get("matches"), None);
    }

    proptest! {
        #[test]
        fn hostile_text_stays_in_its_string(text: String, line: String) {
            let mut decision = test::decision("x");
            decision.subject = Subject::Text(text.clone());
            decision.matches = vec![line.clone()];
            let body = parsed(&single(Event::Ban, &decision));
            prop_assert_eq!(&body["id"], &Value::String(text));
            prop_assert_eq!(&body["matches"], &json!([line]));
        }
    }
}
