//! The filters we install, held to the annotated lines in `tests/corpus`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop where it stands"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize;
use stockade_core::{
    Checkpoint, Chunk, FailureId, JailName, LineTimes, SourceName, Span, Timestamp,
};
use stockade_detect::{Detector, Filter, FilterSource, Matcher, Outcome, Scan};

/// 2026-11-23 05:57:00 UTC, a little after the lines of the corpus.
const NOW: Timestamp = Timestamp::from_secs(1_795_413_420);

#[derive(Deserialize)]
struct Stock {
    prefregex: Option<String>,
    failregex: Vec<String>,
    ignoreregex: Vec<String>,
    journalmatch: Vec<Vec<String>>,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn stock() -> Stock {
    let text = std::fs::read_to_string(repository("config/filters/sshd.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

fn sshd() -> Filter {
    let stock = stock();
    Filter::compile(&FilterSource {
        prefregex: stock.prefregex,
        failregex: stock.failregex,
        ignoreregex: stock.ignoreregex,
        ..FilterSource::default()
    })
    .unwrap()
}

/// What is expected of a line: the id and the user name, or nothing.
type Expected = Option<(FailureId, Option<String>)>;

fn corpus() -> Vec<(Expected, String)> {
    let text = std::fs::read_to_string(repository("tests/corpus/sshd.log")).unwrap();
    let mut expected = None;
    let mut cases = Vec::new();
    for line in text.lines() {
        if let Some(annotation) = line.strip_prefix("#? match=") {
            assert!(expected.is_none(), "two annotations: {line}");
            expected = Some(read_annotation(annotation));
        } else if !line.starts_with('#') && !line.is_empty() {
            cases.push((expected.take().expect(line), line.to_owned()));
        }
    }
    cases
}

fn read_annotation(text: &str) -> Expected {
    if text.starts_with("false why=") {
        return None;
    }
    let rest = text.strip_prefix("true id=").expect(text);
    let (id, user) = match rest.split_once(" user=") {
        Some((id, user)) => (id, Some(user.to_owned())),
        None => (rest, None),
    };
    Some((FailureId::parse(id), user))
}

fn scan(filter: Filter, text: &str) -> (Arc<[u8]>, Scan) {
    let jail = JailName::try_new("sshd").unwrap();
    let mut detector = Detector::new(
        vec![(jail, Matcher::Plain(Arc::new(filter)))],
        TimeZone::UTC,
    );
    let text: Arc<[u8]> = text.as_bytes().into();
    let chunk = Chunk {
        source: SourceName::new("test"),
        text: Arc::clone(&text),
        times: LineTimes::InText,
        checkpoint: Checkpoint::None,
    };
    let scan = detector.scan(&chunk, NOW);
    (text, scan)
}

fn text_of(span: Span, line: &[u8]) -> String {
    String::from_utf8(span.of(line).to_vec()).unwrap()
}

#[test]
fn every_line_of_the_corpus_is_judged_as_it_says() {
    let filter = sshd();
    let cases = corpus();
    assert!(cases.len() >= 80);
    for (expected, line) in cases {
        let line = line.as_bytes();
        let got = match filter.explain(line, NOW, &TimeZone::UTC).outcome {
            Outcome::Matched { id, user, .. } => Some((id, user.map(|user| text_of(user, line)))),
            Outcome::Missed => None,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(line)),
        };
        assert_eq!(got, expected, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn a_scan_finds_in_the_corpus_what_line_by_line_judging_finds() {
    let cases = corpus();
    let expected: Vec<_> = cases
        .iter()
        .filter_map(|(expected, _)| expected.clone())
        .collect();
    let log: String = cases
        .iter()
        .map(|(_, line)| format!("{line}\r\n"))
        .collect();
    let (text, scan) = scan(sshd(), &log);
    let [failures] = scan.failures.as_slice() else {
        panic!("one jail finds something");
    };
    let got: Vec<_> = failures
        .items
        .iter()
        .map(|item| (item.id.clone(), item.user.map(|user| text_of(user, &text))))
        .collect();
    assert_eq!(got, expected);
    assert_eq!(scan.counts.ambiguous, 0);
    assert_eq!(scan.counts.lines, u64::try_from(cases.len()).unwrap());
}

#[test]
fn every_pattern_is_needed_by_some_line() {
    let filter = sshd();
    let mut unused: Vec<usize> = (0..filter.source().failregex.len()).collect();
    for (_, line) in corpus() {
        let explanation = filter.explain(line.as_bytes(), NOW, &TimeZone::UTC);
        if let Outcome::Matched { pattern, .. } = explanation.outcome {
            unused.retain(|&index| index != pattern);
        }
    }
    assert_eq!(unused, Vec::<usize>::new());
}

#[test]
fn the_stock_filter_lets_the_prefilter_work_and_names_its_journal() {
    assert!(!sshd().sees_every_line());
    let stock = stock();
    assert!(
        stock
            .journalmatch
            .contains(&vec!["_SYSTEMD_UNIT=ssh.service".to_owned()])
    );
    assert!(
        stock
            .journalmatch
            .iter()
            .flatten()
            .all(|field| field.contains('='))
    );
}

/// How many failures the lines of one connection make; `@` stands for the client's address.
#[track_caller]
fn check_connection(lines: &[&str], expected: usize) {
    let log: String = lines
        .iter()
        .map(|line| format!("Nov 23 05:54:13 bastion sshd[77]: {line}\n"))
        .collect();
    let (_, scan) = scan(sshd(), &log.replace('@', "192.0.2.55"));
    let got = scan
        .failures
        .first()
        .map_or(0, |failures| failures.items.len());
    assert_eq!(got, expected, "{lines:#?}");
}

#[test]
fn a_login_by_key_counts_nothing() {
    check_connection(
        &[
            "Connection from @ port 50000 on 192.0.2.1 port 22",
            "Failed publickey for alice from @ port 50000 ssh2: RSA SHA256:abc",
            "Accepted publickey for alice from @ port 50000 ssh2: ED25519 SHA256:abc",
            "pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
            "Received disconnect from @ port 50000:11: disconnected by user",
            "Disconnected from user alice @ port 50000",
            "pam_unix(sshd:session): session closed for user alice",
        ],
        0,
    );
}

#[test]
fn a_login_after_one_mistyped_password_counts_one() {
    check_connection(
        &[
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.55  user=alice",
            "Failed password for alice from @ port 50000 ssh2",
            "Accepted password for alice from @ port 50000 ssh2",
            "pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
        ],
        1,
    );
    check_connection(
        &[
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.55  user=alice",
            "error: PAM: Authentication failure for alice from @",
            "Accepted keyboard-interactive/pam for alice from @ port 50000 ssh2",
        ],
        1,
    );
}

#[test]
fn a_connection_that_names_an_unknown_user_counts_at_most_two() {
    check_connection(
        &[
            "Invalid user admin from @ port 50000",
            "pam_unix(sshd:auth): check pass; user unknown",
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.55",
            "Failed password for invalid user admin from @ port 50000 ssh2",
            "Connection closed by invalid user admin @ port 50000 [preauth]",
        ],
        2,
    );
    check_connection(
        &[
            "Invalid user admin from @ port 50000",
            "Postponed keyboard-interactive for invalid user admin from @ port 50000 ssh2 [preauth]",
            "error: PAM: Authentication failure for illegal user admin from @",
            "Failed keyboard-interactive/pam for invalid user admin from @ port 50000 ssh2",
            "Connection closed by invalid user admin @ port 50000 [preauth]",
        ],
        2,
    );
    check_connection(
        &[
            "Invalid user bob from @ port 50000",
            "Connection closed by invalid user bob @ port 50000 [preauth]",
        ],
        1,
    );
}

#[test]
fn a_connection_without_a_user_counts_one() {
    check_connection(
        &[
            "error: kex_exchange_identification: read: Connection reset by peer",
            "Connection reset by @ port 50000",
        ],
        1,
    );
    check_connection(
        &[
            "error: kex_exchange_identification: client sent invalid protocol identifier \"GET / HTTP/1.1\"",
            "banner exchange: Connection from @ port 50000: invalid format",
        ],
        1,
    );
    check_connection(
        &[
            "Received disconnect from @ port 50000:11: Bye Bye [preauth]",
            "Disconnected from authenticating user root @ port 50000 [preauth]",
        ],
        1,
    );
}
