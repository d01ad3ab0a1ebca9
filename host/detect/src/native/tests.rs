use super::*;
use crate::error::PatternPlace::{Failregex, Ignoreregex, Prefregex};
use crate::filter::Filter;

fn source(failregex: &[&str]) -> FilterSource {
    FilterSource {
        failregex: failregex.iter().map(|&text| text.to_owned()).collect(),
        ..FilterSource::default()
    }
}

#[track_caller]
fn refused(source: &FilterSource) -> Vec<PatternError> {
    Filter::compile(source).expect_err("the filter was accepted")
}

#[test]
fn a_failregex_without_an_id_is_refused() {
    let errors = refused(&source(&["^<ADDR>", "user <F-USER>.*</F-USER>"]));
    let [error] = errors.as_slice() else {
        panic!("one error");
    };
    let expected = "failregex 2: failregex has no <HOST>, <ADDR> or <F-ID>";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.which, Failregex(1));
    assert!(error.hint.is_some());
}

#[test]
fn all_faults_of_a_filter_are_told_at_once_and_where_they_are() {
    let source = FilterSource {
        prefregex: Some("^(?:a <F-CONTENT>.*</F-CONTENT>".into()),
        failregex: vec![
            "^<ADDR> [z-a]".into(),
            "^<HOST>(?!x)".into(),
            "<ADDR> x)".into(),
        ],
        ignoreregex: vec!["a{2,1}".into()],
        ..FilterSource::default()
    };
    let errors = refused(&source);
    let places: Vec<_> = errors
        .iter()
        .map(|error| (error.which, error.offset))
        .collect();
    let expected = [
        (Prefregex, Some(1)),
        (Failregex(0), Some(9)),
        (Failregex(1), Some(7)),
        (Failregex(2), Some(8)),
        (Ignoreregex(0), Some(1)),
    ];
    assert_eq!(places, expected);
}

#[test]
fn a_pattern_that_would_need_too_much_memory_is_refused() {
    let errors = refused(&source(&["(?:(?:a{100}){100}){100} <ADDR>"]));
    assert!(errors[0].message.contains("1048576 bytes"), "{}", errors[0]);
    assert!(errors[0].hint.is_some());
    let long = format!("<ADDR>{}", "x".repeat(pattern::PATTERN_LEN_MAX));
    assert!(refused(&source(&[&long]))[0].message.contains("16384"));
    let deep = format!("{}x{} <ADDR>", "(".repeat(500), ")".repeat(500));
    assert!(!refused(&source(&[&deep])).is_empty());
}

#[test]
fn a_filter_without_failregex_is_refused() {
    assert_eq!(
        refused(&source(&[]))[0].message,
        "the filter has no failregex"
    );
    let many = vec!["<ADDR>"; PATTERNS_MAX + 1];
    assert!(refused(&source(&many))[0].message.contains("1024"));
}

#[test]
fn patterns_beyond_the_bits_of_a_word_are_tried() {
    let patterns: Vec<String> = (0..80).map(|i| format!("^word{i:02} <ADDR>$")).collect();
    let native = Native::compile(&FilterSource {
        failregex: patterns,
        ..FilterSource::default()
    })
    .unwrap();
    for i in [0, 62, 63, 64, 79] {
        let line = format!("word{i:02} 192.0.2.1");
        match native.judge(line.as_bytes(), bit(i), &mut Scratch::default()) {
            Verdict::Matched { pattern, .. } => assert_eq!(pattern, i),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_prefregex_is_read_as_captures_read_it() {
    // The quick way takes the preferred end of what stands before the content, these need care:
    // an optional part, a lazy one, an alternative that is a prefix of another.
    for (prefix, line, content) in [
        ("^a(?: b)?<F-CONTENT>.+</F-CONTENT>$", "a b", " b"),
        ("^a(?: b)?<F-CONTENT>.+</F-CONTENT>$", "a b c", " c"),
        ("^.*? <F-CONTENT>.*</F-CONTENT>$", "a b c", "b c"),
        ("^.* <F-CONTENT>.*</F-CONTENT>$", "a b c", "c"),
        ("^(?:x|xy)<F-CONTENT>.+</F-CONTENT>$", "xyz", "yz"),
        ("^(?:xy|x)<F-CONTENT>.+</F-CONTENT>$", "xyz", "z"),
        ("^(?:xy|x)<F-CONTENT>.+</F-CONTENT>$", "xy", "y"),
        ("b <F-CONTENT>.+</F-CONTENT>", "a b c", "c"),
        ("^<F-CONTENT>.+</F-CONTENT> b$", "a b", "a"),
    ] {
        let parsed = pattern::parse(prefix, true).unwrap();
        let compiled = Pattern::build(&parsed, false).unwrap();
        let mut scratch = Scratch::default();
        let captured = compiled
            .captures(line.as_bytes(), &mut scratch.slots)
            .unwrap();
        let prefix = Prefix::new(&parsed, compiled);
        let ((start, end), _) = prefix.content(line.as_bytes(), &mut scratch).unwrap();
        assert_eq!(line.get(start..end), Some(content), "{prefix:?}");
        assert_eq!(captured.content, Some((start, end)), "{line}");
    }
}
