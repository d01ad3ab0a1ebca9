//! What the filter for sshd counts for a whole connection, whose lines it judges one by one.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize;
use stockade_core::{Checkpoint, Chunk, JailName, LineTimes, SourceName, Timestamp};
use stockade_detect::{Detector, Filter, FilterSource, Matcher, Scan};

/// 2026-11-23 05:57:00 UTC, a little after the lines of the corpus.
const NOW: Timestamp = Timestamp::from_secs(1_795_413_420);

#[derive(Deserialize)]
struct Stock {
    prefregex: Option<String>,
    failregex: Vec<String>,
    ignoreregex: Vec<String>,
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
