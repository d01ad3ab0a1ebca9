//! What was found in a sample line against what was expected.

use jiff::civil::DateTime;
use serde_json::{Value, json};

use crate::check::zone;
use crate::samples::SampleLine;
use crate::verdict::Verdict;

/// Where what was found in a line is not what is expected: expected, got.
pub(crate) fn differences(line: &SampleLine, found: &[&Verdict]) -> Vec<(String, String)> {
    let verdict = match (found, line.expected.is_match()) {
        ([], false) => return Vec::new(),
        ([], true) => return vec![("match".to_owned(), "no match".to_owned())],
        ([first, ..], false) => {
            let got = format!("failregex {} finds {}", first.pattern + 1, id_of(first));
            return vec![("no match".to_owned(), got)];
        }
        ([only], true) => only,
        (several, true) => {
            let which: Vec<String> = several
                .iter()
                .map(|v| (v.pattern + 1).to_string())
                .collect();
            let got = format!("failregexes {}", which.join(", "));
            return vec![("one failregex that matches".to_owned(), got)];
        }
    };
    let mut differences = Vec::new();
    for (name, expected) in line.expected.captures() {
        let got = captured(verdict, name);
        if !same(expected, &got) {
            differences.push((format!("{name} {expected}"), got.to_string()));
        }
    }
    if let Some(time) = line.expected.time() {
        let at = micros(time);
        if at.is_none() || verdict.at != at {
            let expected = format!("time {time} ({})", seconds(at));
            differences.push((expected, seconds(verdict.at)));
        }
    }
    differences
}

fn id_of(verdict: &Verdict) -> &str {
    verdict.id.as_deref().unwrap_or("nobody")
}

fn captured(verdict: &Verdict, name: &str) -> Value {
    match (verdict.captures.get(name), name) {
        (Some(value), _) => value.clone(),
        (None, "host") => json!(verdict.id),
        (None, "attempts") => json!(verdict.attempts),
        (None, _) => Value::Null,
    }
}

/// Addresses are the same however they are written, and lists in whatever order.
fn same(expected: &Value, got: &Value) -> bool {
    let addr = |value: &Value| value.as_str()?.parse::<std::net::IpAddr>().ok();
    match (expected, got) {
        (Value::Array(expected), Value::Array(got)) => sorted(expected) == sorted(got),
        _ if expected == got => true,
        _ => addr(expected).is_some_and(|expected| addr(got) == Some(expected)),
    }
}

fn sorted(list: &[Value]) -> Vec<String> {
    let mut list: Vec<String> = list.iter().map(ToString::to_string).collect();
    list.sort();
    list
}

/// Microseconds since the epoch of a local time in fail2ban's test zone. Numbers may lack their leading
/// zeros, as they may for Python.
fn micros(time: &str) -> Option<i64> {
    let (date, clock) = time.split_once('T')?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (clock, None),
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let nanos = match fraction {
        Some(fraction) if fraction.len() <= 6 => format!("{fraction:0<9}").parse().ok()?,
        Some(_) => return None,
        None => 0,
    };
    let small = |number: i16| i8::try_from(number).ok();
    let local = DateTime::new(
        year,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        nanos,
    );
    let zoned = local.ok()?.to_zoned(zone()).ok()?;
    Some(zoned.timestamp().as_microsecond())
}

fn numbers(text: &str, between: char) -> Option<[i16; 3]> {
    let numbers: Option<Vec<i16>> = text.split(between).map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

fn seconds(at: Option<i64>) -> String {
    match at {
        Some(at) => format!(
            "{}.{:06}",
            at.div_euclid(1_000_000),
            at.rem_euclid(1_000_000)
        ),
        None => "no time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_in_the_zone_of_the_samples() {
        assert_eq!(micros("2005-08-14T12:00:00"), Some(1_124_013_600_000_000));
        assert_eq!(micros("2005-01-7T1:0:0.25"), Some(1_105_056_000_250_000));
        assert_eq!(micros("2005-02-30T12:00:00"), None);
        assert_eq!(micros("yesterday"), None);
    }

    #[test]
    fn an_address_is_the_same_in_any_spelling_and_a_list_in_any_order() {
        assert!(same(&json!("2001:db8::1"), &json!("2001:0db8:0::1")));
        assert!(!same(&json!("2001:db8::1"), &json!("2001:db8::2")));
        assert!(same(&json!(["a", "b"]), &json!(["b", "a"])));
        assert!(!same(&json!(["a", "b"]), &json!(["a"])));
        assert!(!same(&json!("host"), &Value::Null));
    }
}
