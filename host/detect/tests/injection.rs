//! Filters that can be tricked are found, those that cannot are left alone, and ours cannot.
//!
//! The weak patterns are ours, written from the descriptions of what was wrong with others.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::path::{Path, PathBuf};

use serde::Deserialize;
use stockade_detect::injection::{Examination, Trick, examine};
use stockade_detect::{Filter, FilterSource};

fn source(prefregex: Option<&str>, failregex: &[&str]) -> FilterSource {
    FilterSource {
        prefregex: prefregex.map(str::to_owned),
        failregex: failregex.iter().map(|&text| text.to_owned()).collect(),
        ..FilterSource::default()
    }
}

fn of(source: &FilterSource, samples: &[&str]) -> Examination {
    let filter = Filter::compile(source).unwrap();
    let samples: Vec<Vec<u8>> = samples.iter().map(|s| s.as_bytes().to_vec()).collect();
    examine(&filter, &samples)
}

/// The shown line bans the shown address: asked of the filter once more, as anybody could.
#[track_caller]
fn weak(patterns: &[&str], samples: &[&str]) {
    let found = of(&source(None, patterns), samples);
    assert!(!found.weaknesses.is_empty(), "{patterns:?}");
}

#[track_caller]
fn strong(patterns: &[&str], samples: &[&str]) {
    let found = of(&source(None, patterns), samples);
    assert_eq!(found.weaknesses, [], "{patterns:?}");
    assert_eq!(found.unproved, Vec::<usize>::new(), "{patterns:?}");
}

#[test]
fn a_user_name_that_holds_the_rest_of_the_message_is_found() {
    // CVE-2006-6302: user names in the log of sshd.
    weak(&["Illegal user .* from <ADDR>"], &[]);
    weak(&["^Illegal user .*? from <ADDR>.*"], &[]);
    strong(&["^Illegal user .* from <ADDR>$"], &[]);
    strong(&[r"^Illegal user .* from <ADDR> port \d+$"], &[]);
}

#[test]
fn a_version_text_of_the_client_that_holds_an_address_is_found() {
    // CVE-2007-4321: the version string of an SSH client.
    weak(&["Bad protocol version .* from <ADDR>"], &[]);
    weak(&["Did not receive identification string from <ADDR>"], &[]);
    strong(&["^Bad protocol version '.*' from <ADDR>$"], &[]);
}

#[test]
fn a_host_name_in_front_of_the_address_is_found() {
    // CVE-2009-0362: reverse names in the log of an FTP server.
    weak(&[r"failed login from \S+ \[<ADDR>\]"], &[]);
    strong(&[r"^failed login from \S+ \[<ADDR>\]$"], &[]);
}

#[test]
fn a_path_that_holds_a_whole_message_is_found() {
    // CVE-2013-2178: paths and referers in the error log of Apache.
    weak(&[r"\[client <ADDR>\] user .* not found"], &[]);
    weak(&[r"^.*\[client <ADDR>\] user .* not found$"], &[]);
    strong(&[r"^\[error\] \[client <ADDR>\] user .* not found$"], &[]);
}

#[test]
fn a_mail_address_that_holds_an_address_is_found() {
    // CVE-2013-7176: mail addresses in the log of Postfix.
    weak(&[r"reject: RCPT from .*\[<ADDR>\]: 550 .*$"], &[]);
    strong(
        &[r"^NOQUEUE: reject: RCPT from [^\s\[]*\[<ADDR>\]: 550 .*$"],
        &[],
    );
}

#[test]
fn a_mailbox_name_that_holds_an_address_is_found() {
    // CVE-2013-7177: login names in the log of Cyrus IMAP.
    weak(&[r"badlogin: .*\[<ADDR>\] plaintext .*SASL"], &[]);
    strong(&[r"^badlogin: [^\s\[]* ?\[<ADDR>\] plaintext .*$"], &[]);
}

#[test]
fn a_user_name_that_names_a_host_is_found_in_a_sample() {
    // The class of pam: a field that the pattern takes for a word holds blanks.
    let sample = "authentication failure; user=root rhost=198.51.100.77";
    weak(
        &[r"^authentication failure; user=<F-USER>\S*</F-USER> rhost=<ADDR>(?: .*)?$"],
        &[sample],
    );
    strong(
        &["^authentication failure; user=<F-USER>.*</F-USER> rhost=<ADDR>$"],
        &[sample],
    );
}

#[test]
fn an_extension_or_an_account_that_names_a_host_is_found() {
    // The classes of asterisk and roundcube.
    weak(&["Registration from '.*' failed for '<ADDR>'"], &[]);
    strong(
        &["^Registration from '[^']*' failed for '<ADDR>' - .*$"],
        &[],
    );
    weak(&[r"Login failed for .* from <ADDR>.*$"], &[]);
    strong(
        &[r"^Login failed for .* from <ADDR> in session [0-9a-f]+$"],
        &[],
    );
}

#[test]
fn two_patterns_that_disagree_about_a_line_are_found() {
    let patterns = [
        "^Login failed .* from <ADDR>$",
        "^Login failed .* client <ADDR>, agent .*$",
    ];
    let found = of(&source(None, &patterns), &[]);
    let trick = found.weaknesses.iter().map(|weakness| &weakness.trick);
    assert!(
        trick
            .clone()
            .any(|trick| matches!(trick, Trick::TwoReadings { pattern: 1, .. })),
        "{found:?}"
    );
    strong(&patterns[..1], &[]);
}

#[test]
fn addresses_in_alternatives_are_told_apart() {
    weak(&["^(?:from <ADDR> .*|.* from <ADDR>)$"], &[]);
    strong(&["^(?:login from <ADDR>|logout of <ADDR>)$"], &[]);
    strong(&["^from <ADDR> to <ADDR>$"], &[]);
}

#[test]
fn a_prefregex_that_anything_may_precede_is_found() {
    let failregex = ["^denied from <ADDR>$"];
    let found = of(
        &source(Some("sshd: <F-CONTENT>.+</F-CONTENT>$"), &failregex),
        &[],
    );
    assert_eq!(found.weaknesses.len(), 1, "{found:?}");
    let anchored = r"^\s*(?:\S+ )?sshd: <F-CONTENT>.+</F-CONTENT>$";
    let found = of(&source(Some(anchored), &failregex), &[]);
    assert_eq!(found, Examination::default());
    let found = of(&source(Some(anchored), &["denied from <ADDR>$"]), &[]);
    assert_eq!(found.weaknesses.len(), 1, "{found:?}");
}

#[test]
fn text_that_goes_on_after_an_address_is_found() {
    weak(&["^login of <ADDR>(?::<F-USER>.*</F-USER>)?$"], &[]);
    strong(&["^login of <ADDR> <F-USER>.*</F-USER>$"], &[]);
}

#[derive(Deserialize)]
struct Stock {
    prefregex: Option<String>,
    #[serde(default)]
    failregex: Vec<String>,
    #[serde(default)]
    ignoreregex: Vec<String>,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The lines of a sample file that are not comments.
fn lines(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read(path).unwrap_or_default();
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(<[u8]>::to_vec)
        .collect()
}

#[test]
fn no_filter_of_ours_can_be_tricked() {
    let mut examined = 0;
    for entry in std::fs::read_dir(repository("config/filters")).unwrap() {
        let path = entry.unwrap().path();
        let stock: Stock = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if stock.failregex.is_empty() {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let filter = Filter::compile(&FilterSource {
            prefregex: stock.prefregex,
            failregex: stock.failregex,
            ignoreregex: stock.ignoreregex,
            ..FilterSource::default()
        })
        .expect(&name);
        let mut samples = lines(&repository(&format!(
            "tests/conformance/samples/{name}.log"
        )));
        samples.extend(lines(&repository(&format!("tests/corpus/{name}.log"))));
        let found = examine(&filter, &samples);
        let shown: Vec<String> = found
            .weaknesses
            .iter()
            .map(|weak| format!("{:?}: {}", weak, String::from_utf8_lossy(&weak.line)))
            .collect();
        assert_eq!(shown, Vec::<String>::new(), "{name}");
        assert_eq!(found.unproved, Vec::<usize>::new(), "{name}");
        examined += 1;
    }
    assert!(examined > 0);
}
