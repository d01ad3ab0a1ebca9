//! fail2ban's process says what fail2ban says.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::path::Path;

use stockade_conformance::{MUST_RUN, Oracle, PACKAGE, Patterns, Question, Setup};
use stockade_core::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_124_013_600);

fn oracle() -> Option<Oracle> {
    if !Path::new(PACKAGE).exists() {
        let must = std::env::var_os(MUST_RUN).is_some();
        assert!(!must, "install Debian's fail2ban");
        return None;
    }
    let zone = "CET-01CEST-02,M3.5.0,M10.5.0".to_owned();
    let setup = Setup {
        now: NOW,
        zone,
        tree: None,
    };
    Some(Oracle::start(&setup).unwrap())
}

#[test]
fn a_filter_of_patterns_finds_who_and_when() {
    let Some(mut oracle) = oracle() else { return };
    let patterns = Patterns {
        failregex: vec!["^ no entry for <F-USER>\\S+</F-USER> from <HOST>$".to_owned()],
        ..Patterns::default()
    };
    let filter = oracle.make(&patterns, true).unwrap();
    let lines = ["Aug 14 11:59:00 no entry for joe from 192.0.2.1", "nothing"];
    let question = Question {
        forget: true,
        ..Question::default()
    };
    let judged = oracle.judge(&filter, lines, &question).unwrap();
    let [Ok(found), Ok(nothing)] = judged.as_slice() else {
        panic!("{judged:?}");
    };
    assert!(nothing.is_empty());
    assert_eq!(found[0].id.as_deref(), Some("192.0.2.1"));
    assert_eq!(found[0].at, Some(1_124_013_540_000_000));
    assert_eq!(found[0].captures["user"], "joe");
}

#[test]
fn a_filter_of_a_folder_is_read_with_its_options() {
    let Some(mut oracle) = oracle() else { return };
    let dir = Path::new("/etc/fail2ban");
    let plain = oracle.read(dir, "sshd", &[], true).unwrap();
    let mode = ("mode".to_owned(), "aggressive".to_owned());
    let aggressive = oracle.read(dir, "sshd", &[mode], true).unwrap();
    assert!(aggressive.failregex.len() > plain.failregex.len());
    assert!(oracle.read(dir, "no-such-filter", &[], true).is_err());
}

#[test]
fn a_date_is_found_where_it_stands() {
    let Some(mut oracle) = oracle() else { return };
    let dates = oracle
        .dates(&[], ["x 2005-08-14 12:00:00 y", "none"])
        .unwrap();
    assert_eq!(dates, [Some((2, 21, Some(NOW.as_micros()))), None]);
}

#[test]
fn a_line_that_fail2ban_would_go_back_and_forth_in_for_ever_is_given_up() {
    let Some(mut oracle) = oracle() else { return };
    let patterns = Patterns {
        failregex: vec!["^ (?:a+)+b <HOST>$".to_owned()],
        ..Patterns::default()
    };
    let filter = oracle.make(&patterns, true).unwrap();
    let lines = [format!(" {}", "a".repeat(64)), " ab 192.0.2.1".to_owned()];
    let judged = oracle.judge(&filter, lines, &Question::default()).unwrap();
    assert_eq!(judged[0], Err("TimeoutError: too costly".to_owned()));
    assert_eq!(judged[1].as_ref().unwrap().len(), 1);
}

#[test]
fn made_up_texts_are_what_the_patterns_describe() {
    let Some(mut oracle) = oracle() else { return };
    let patterns = Patterns {
        prefregex: Some("^ app\\[\\d+\\]: <F-CONTENT>.+</F-CONTENT>$".to_owned()),
        failregex: vec!["^(?:no|bad) (?P<x>[a-c]{2}) (?P=x) from <ADDR>$".to_owned()],
        ..Patterns::default()
    };
    let filter = oracle.make(&patterns, true).unwrap();
    let texts = oracle.invent(&filter, 1, 100).unwrap();
    assert_eq!(texts, oracle.invent(&filter, 1, 100).unwrap());
    assert_ne!(texts, oracle.invent(&filter, 2, 100).unwrap());
    let judged = oracle.judge(&filter, &texts, &Question::default()).unwrap();
    let found = judged
        .iter()
        .filter(|one| one.as_ref().is_ok_and(|found| !found.is_empty()));
    assert!(found.count() > 80);
}
