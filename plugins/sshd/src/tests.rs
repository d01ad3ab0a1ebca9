//! The corpus that the plain filter is held to as well, and what no attacker may achieve.

use proptest::prelude::*;
use stockade_sdk::test::{self, Found};

use super::*;

fn judge(text: impl AsRef<[u8]>) -> Vec<Found> {
    test::filter::<Sshd>(&[]).unwrap().judge(text)
}

/// What one line is found to be: its address and user.
fn verdict(line: impl AsRef<[u8]>) -> Option<(String, Option<Vec<u8>>)> {
    let mut found = judge(line);
    assert!(found.len() <= 1, "{found:?}");
    found
        .pop()
        .map(|found| (found.subject.to_string(), found.user))
}

/// The line as a filter gets it: the host cuts the date out.
fn without_date(line: &str) -> &str {
    let date_len = match line.as_bytes() {
        [b'A'..=b'Z', _, _, b' ', ..] => "Nov 23 05:54:13".len(),
        [b'0'..=b'9', ..] if line.as_bytes()[10] == b'T' => line.find(' ').unwrap(),
        [b'0'..=b'9', ..] => "2026-11-23 05:54:14".len(),
        _ => 0,
    };
    line.split_at(date_len).1
}

/// What a comment says of the line after it, without the time and the reason, which are not a
/// plugin's matter.
fn annotation(comment: &str) -> Option<String> {
    let verdict = comment.strip_prefix("# ")?;
    if verdict.starts_with("miss ") {
        return Some("miss".to_owned());
    }
    let words = verdict.strip_prefix("match ")?.splitn(3, ' ');
    let words: Vec<&str> = words.filter(|word| !word.starts_with("time=")).collect();
    Some(format!("match {}", words.join(" ")))
}

#[test]
fn every_verdict_of_the_corpus_is_ours() {
    let corpus = include_str!("../../../tests/conformance/samples/sshd.log");
    let mut expected = None;
    let (mut judged, mut wrong) = (0, Vec::new());
    for line in corpus.lines() {
        if let Some(annotation) = annotation(line) {
            expected = Some(annotation);
        } else if !line.is_empty() && !line.starts_with('#') {
            let expected = expected.take().expect("each line has its verdict");
            let found = match verdict(without_date(line)) {
                None => "miss".to_owned(),
                Some((id, None)) => format!("match {id}"),
                Some((id, Some(user))) => {
                    format!("match {id} user={}", String::from_utf8(user).unwrap())
                }
            };
            judged += 1;
            if found != expected {
                wrong.push(format!("{line}\n  expected {expected}\n  found    {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(judged > 100, "the corpus has only {judged} lines");
}

#[test]
fn there_are_no_settings() {
    assert!(test::filter::<Sshd>(&[("mode", "aggressive")]).is_err());
}

#[test]
fn a_certificate_whose_identity_looks_like_an_address_bans_nobody() {
    let line = "h sshd[1]: Failed publickey for invalid user x from 198.51.100.7 port 1 ssh2: \
                RSA-CERT SHA256:ab ID x from 203.0.113.9 port 2 ssh2 (serial 0) CA RSA SHA256:cd";
    assert_eq!(verdict(line), None);
}

#[test]
fn a_method_of_the_clients_choice_bans_nobody_else() {
    let line = "h sshd[1]: Failed password for x from 203.0.113.9 port 22 ssh2 for root \
                from 198.51.100.7 port 1 ssh2";
    assert_eq!(verdict(line).unwrap().0, "198.51.100.7");
    let line = "h sshd[1]: Failed x for root from 198.51.100.7 port 1 ssh2";
    assert_eq!(verdict(line), None);
}

/// Texts of which hostile names are made.
const PIECES: [&str; 22] = [
    " from ",
    "203.0.113.9",
    " port 22",
    " port ",
    " ssh2",
    " [preauth]",
    "invalid user ",
    "x",
    " ",
    ": ",
    "RSA SHA256:ab",
    "'",
    "Failed password for ",
    "Invalid user ",
    "sshd[1]: ",
    "2001:db8::9",
    " not allowed because ",
    "authenticating user ",
    " to ",
    ", pid = 1",
    "Connection closed by ",
    "",
];

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => "[^\n]{0,4}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Messages with `{}` where the attacker's text stands, and whether it is the user.
const TEMPLATES: [(&str, bool); 15] = [
    ("Invalid user {} from 198.51.100.7 port 5", true),
    ("Invalid user {} from 198.51.100.7", true),
    (
        "Failed password for invalid user {} from 198.51.100.7 port 5 ssh2",
        true,
    ),
    (
        "Failed publickey for invalid user {} from 198.51.100.7 port 5 ssh2: RSA SHA256:ab",
        true,
    ),
    (
        "Failed password for {} from 198.51.100.7 port 5 ssh2",
        false,
    ),
    (
        "error: PAM: Authentication failure for illegal user {} from 198.51.100.7",
        true,
    ),
    (
        "error: maximum authentication attempts exceeded for invalid user {} from 198.51.100.7 \
         port 5 ssh2 [preauth]",
        true,
    ),
    (
        "Connection closed by authenticating user {} 198.51.100.7 port 5 [preauth]",
        true,
    ),
    (
        "Disconnected from authenticating user {} 198.51.100.7 port 5 [preauth]",
        true,
    ),
    (
        "ssh_dispatch_run_fatal: Connection from authenticating user {} 198.51.100.7 port 5: \
         Connection corrupted [preauth]",
        true,
    ),
    (
        "User {} from 198.51.100.7 not allowed because listed in DenyUsers",
        true,
    ),
    (
        "Bad protocol version identification '{}' from 198.51.100.7 port 5",
        false,
    ),
    (
        "Unable to negotiate with 198.51.100.7 port 5: no matching cipher found. Their offer: {}",
        false,
    ),
    (
        "Protocol major versions differ for 198.51.100.7 port 5: SSH-2.0-x vs. {}",
        false,
    ),
    (
        "Timeout before authentication for 198.51.100.7 port 5",
        false,
    ),
];

/// Messages that do not count, with the attacker's text in them.
const SILENT: [&str; 6] = [
    "Received disconnect from 198.51.100.7 port 5:11: {} [preauth]",
    "Received disconnect from 198.51.100.7 port 5:11: {}",
    "Failed none for {} from 198.51.100.7 port 5 ssh2",
    "Connection closed by invalid user {} 198.51.100.7 port 5 [preauth]",
    "Disconnecting invalid user {} 198.51.100.7 port 5: Change of username or service not allowed",
    "error: kex_exchange_identification: client sent invalid protocol identifier \"{}\"",
];

proptest! {
    #[test]
    fn hostile_text_never_changes_whom_a_failure_counts_for(
        text in hostile(),
        (template, is_user) in prop::sample::select(&TEMPLATES[..]),
    ) {
        let line = format!("host sshd[1]: {}", template.replace("{}", &text));
        let Some((id, user)) = verdict(&line) else {
            return Err(TestCaseError::fail(format!("not found: {line:?}")));
        };
        prop_assert_eq!(id, "198.51.100.7", "{:?}", &line);
        if is_user {
            prop_assert_eq!(user.unwrap_or_default(), text.into_bytes());
        }
    }

    #[test]
    fn hostile_text_makes_no_failure_of_what_is_none(
        text in hostile(),
        template in prop::sample::select(&SILENT[..]),
    ) {
        let line = format!("host sshd[1]: {}", template.replace("{}", &text));
        prop_assert_eq!(verdict(&line), None);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(
        prefix in prop::sample::select(vec!["", "host sshd[1]: ", "sshd: Failed password for "]),
        bytes: Vec<u8>,
    ) {
        let mut line = prefix.as_bytes().to_vec();
        line.extend(bytes.iter().filter(|byte| **byte != b'\n'));
        judge(&line);
    }

    #[test]
    fn only_what_sshd_wrote_counts(text in hostile()) {
        let line = format!("host app[1]: {text}");
        prop_assert_eq!(verdict(&line), None);
    }
}
