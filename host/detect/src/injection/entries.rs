//! Filters of JSON entries under attack.

use std::net::IpAddr;

use serde_json::Value;
use stockade_core::FailureId;

use super::{Examination, FORGED_V4, FORGED_V6, Trick, Verdict, Weakness, explain, judge};
use crate::explain::Outcome;
use crate::filter::Filter;
use crate::json::{anchored, parse_path};
use crate::source::{Condition, DatePattern, Expected, FilterSource, JsonFields};

/// Headers in which proxies hand on an address, and in which any client can write one. Logs have them
/// with other signs between their words, and words before them.
const HEADERS: [&str; 9] = [
    "x-forwarded-for",
    "forwarded",
    "forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
];

pub(super) fn examine(filter: &Filter, json: &JsonFields, samples: &[Vec<u8>]) -> Examination {
    let mut found = Examination::default();
    found
        .weaknesses
        .extend(json.id.iter().filter_map(|id| by_header(id)));
    for (i, rule) in json.failure.iter().enumerate() {
        by_text(i, rule, &mut found);
    }
    for sample in samples {
        if let Some(weakness) = by_fields(filter, json, sample) {
            let same = |old: &Weakness| old.pattern == weakness.pattern;
            if !found.weaknesses.iter().any(same) {
                found.weaknesses.push(weakness);
            }
        }
    }
    found
}

/// The id is a header of the request.
fn by_header(id: &str) -> Option<Weakness> {
    let parts = parse_path(id).ok()?;
    let is_header = |part: &String| {
        let name = part.to_ascii_lowercase().replace('_', "-");
        HEADERS.iter().any(|header| {
            let before = name.strip_suffix(header);
            before.is_some_and(|before| before.is_empty() || before.ends_with(['-', '.']))
        })
    };
    if !parts.iter().any(is_header) {
        return None;
    }
    let value = Value::String(FORGED_V4.to_string());
    let entry = parts
        .iter()
        .rev()
        .fold(value, |value, part| match part.parse::<usize>() {
            Ok(_) => Value::Array(vec![value]),
            Err(_) => Value::Object([(part.clone(), value)].into_iter().collect()),
        });
    Some(Weakness {
        pattern: 0,
        line: entry.to_string().into_bytes(),
        banned: Some(FailureId::from_addr(FORGED_V4)),
        trick: Trick::ClientHeader {
            field: id.to_owned(),
        },
    })
}

/// The text of a field that names the id is like a line of a filter of text.
fn by_text(rule: usize, conditions: &[Condition], found: &mut Examination) {
    for condition in conditions {
        let patterns = condition.any.iter().filter_map(|expected| match expected {
            Expected::Pattern(text) => anchored(text),
            _ => None,
        });
        let source = FilterSource {
            failregex: patterns.collect(),
            datepattern: DatePattern::None,
            ..FilterSource::default()
        };
        // Patterns that name no id are refused, and are no concern here.
        let Ok(filter) = Filter::compile(&source) else {
            continue;
        };
        let own = super::examine(&filter, &[]);
        found
            .weaknesses
            .extend(own.weaknesses.into_iter().map(|weakness| Weakness {
                pattern: rule,
                ..weakness
            }));
        if !own.unproved.is_empty() {
            found.unproved.push(rule);
        }
    }
}

/// Puts hostile text into each text of a sample but the id.
fn by_fields(filter: &Filter, json: &JsonFields, sample: &[u8]) -> Option<Weakness> {
    let explained = explain(filter, sample).outcome;
    let Outcome::Matched { pattern, .. } = explained else {
        return None;
    };
    let open = sample.iter().position(|&byte| byte == b'{')?;
    let (before, entry) = sample.split_at_checked(open)?;
    let entry: Value = serde_json::from_slice(entry).ok()?;
    let mut texts = Vec::new();
    pointers(&entry, String::new(), &mut texts);
    let honest = ids(json, pattern);
    for (pointer, text) in texts
        .iter()
        .filter(|(pointer, _)| !honest.contains(pointer))
    {
        for forged in [FORGED_V4, FORGED_V6] {
            for payload in payloads(json, text, forged) {
                let mut entry = entry.clone();
                *entry.pointer_mut(pointer)? = Value::String(payload);
                let line = [before, entry.to_string().as_bytes()].concat();
                if let Verdict::Banned(pattern, id) = judge(filter, &line)
                    && id == FailureId::from_addr(forged)
                {
                    return Some(Weakness {
                        pattern,
                        line,
                        banned: Some(id),
                        trick: Trick::ForgedField {
                            honest: text.clone().into_bytes(),
                        },
                    });
                }
            }
        }
    }
    None
}

/// All texts of an entry, with their places as RFC 6901 has them.
fn pointers(value: &Value, at: String, texts: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => texts.push((at, text.clone())),
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                pointers(value, format!("{at}/{i}"), texts);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, format!("{at}/{}", escaped(name)), texts);
            }
        }
        _ => {}
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The places of the fields that name the id, which is no text that a client chooses; what a header
/// or a pattern could make of that is looked at elsewhere.
fn ids(json: &JsonFields, rule: usize) -> Vec<String> {
    let named = json.failure.get(rule).into_iter().flatten();
    let named = named.filter(|condition| {
        let tags = |text: &String| {
            ["<HOST>", "<ADDR>", "<F-"]
                .iter()
                .any(|tag| text.contains(tag))
        };
        condition
            .any
            .iter()
            .any(|expected| matches!(expected, Expected::Pattern(text) if tags(text)))
    });
    let paths = json
        .id
        .iter()
        .chain(named.map(|condition| &condition.field));
    paths
        .filter_map(|path| parse_path(path).ok())
        .map(|parts| {
            parts
                .iter()
                .map(|part| format!("/{}", escaped(part)))
                .collect()
        })
        .collect()
}

/// What a client could write into a field to have `forged` taken for the id.
fn payloads(json: &JsonFields, honest: &str, forged: IpAddr) -> Vec<String> {
    let ids = json.id.iter().filter_map(|id| parse_path(id).ok());
    let names: Vec<String> = ids.filter_map(|parts| parts.last().cloned()).collect();
    let mut payloads = vec![
        forged.to_string(),
        format!("{honest} from {forged}"),
        format!("{honest} (Remote IP: {forged})"),
    ];
    for name in names {
        payloads.push(format!("{honest}\",\"{name}\":\"{forged}"));
        payloads.push(format!("{honest}\"}},\"{name}\":\"{forged}\",{{\"x\":\""));
        payloads.push(format!("{{\"{name}\":\"{forged}\"}}"));
    }
    payloads
}
