//! Filters that can be tricked are found, those that cannot are left alone, and ours cannot.
//!
//! The weak patterns are ours, written from the descriptions of what was wrong with others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop where it stands"
)]

#[path = "stock_filters/fields.rs"]
mod fields;

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde::Deserialize;
use stockade_core::Timestamp;
use stockade_detect::injection::{Examination, Trick, examine};
use stockade_detect::{Condition, Dialect, Expected, Filter, FilterSource, JsonFields, Outcome};

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

/// The same patterns in the dialect of fail2ban.
fn fail2ban(failregex: &[&str]) -> FilterSource {
    FilterSource {
        failregex: failregex
            .iter()
            .map(|text| text.replace("<ADDR>", "<HOST>"))
            .collect(),
        dialect: Dialect::Fail2ban,
        ..FilterSource::default()
    }
}

/// The patterns in each dialect that can have them: in fail2ban's there is one address in each.
fn both(patterns: &[&str]) -> Vec<FilterSource> {
    let mut all = vec![source(None, patterns)];
    if patterns
        .iter()
        .all(|text| text.matches("<ADDR>").count() == 1)
    {
        all.push(fail2ban(patterns));
    }
    all
}

/// A line deceives the patterns, in either dialect, and does what is said of it: asked of the filter
/// once more, as anybody could.
#[track_caller]
fn weak(patterns: &[&str], samples: &[&str]) {
    for source in both(patterns) {
        let found = of(&source, samples);
        assert!(!found.weaknesses.is_empty(), "{patterns:?}");
        let filter = Filter::compile(&source).unwrap();
        for weakness in &found.weaknesses {
            let judged = filter.explain(&weakness.line, Timestamp::EPOCH, &TimeZone::UTC);
            match (&weakness.banned, judged.outcome) {
                (Some(banned), Outcome::Matched { id, .. }) => assert_eq!(*banned, id),
                (None, Outcome::Ambiguous { .. }) => {}
                (_, other) => panic!("{weakness:?}: {other:?}"),
            }
        }
    }
}

#[track_caller]
fn strong(patterns: &[&str], samples: &[&str]) {
    for source in both(patterns) {
        let found = of(&source, samples);
        let dialect = source.dialect;
        assert_eq!(found.weaknesses, [], "{patterns:?} {dialect:?}");
        assert_eq!(
            found.unproved,
            Vec::<usize>::new(),
            "{patterns:?} {dialect:?}"
        );
    }
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
fn a_name_that_ends_as_messages_about_hosts_do_is_found() {
    // The class of sshd in 2013: names in messages that go on after the address.
    weak(&["^User .+ from <ADDR> not allowed because .*$"], &[]);
    weak(&["^refused connect from .*<ADDR>.*$"], &[]);
    strong(
        &["^User .+ from <ADDR> not allowed because [a-zA-Z ]+$"],
        &[],
    );
    strong(&[r"^refused connect from \S+ \(<ADDR>\)$"], &[]);
}

#[test]
fn a_lazy_field_and_an_optional_rest_are_found() {
    // As far as CVE-2026-109786 is described: failures of sshd that a client can put on somebody.
    weak(
        &[r"^Failed \S+ for <F-USER>(?:\S+|.*?)</F-USER> from <ADDR>(?: port \d+)?(?: .*)?$"],
        &[],
    );
    strong(
        &[r"^Failed \S+ for <F-USER>.*</F-USER> from <ADDR> port \d+(?: ssh\d)?$"],
        &[],
    );
}

#[test]
fn any_field_of_a_sample_can_hold_what_deceives() {
    // Nothing is kept of the agent, and it stands behind the address.
    let sample = r#"198.51.100.77 "GET /x" agent curl"#;
    weak(&[r#"<ADDR> "GET [^"]*" agent .*$"#], &[sample]);
    strong(&[r#"^<ADDR> "GET [^"]*" agent .*$"#], &[sample]);
    // The path is kept, and stands between quotes, which a server escapes.
    let path = r#"^"GET <F-USER>[^"]*</F-USER>" from <ADDR>(?: .*)?$"#;
    strong(&[path], &[r#""GET /" from 198.51.100.77 end"#]);
}

#[test]
fn lines_are_made_of_a_pattern_that_has_no_sample() {
    let pattern = r"^denied; user=<F-USER>\S*</F-USER> rhost=<ADDR>(?: .*)?$";
    let found = of(&source(None, &[pattern]), &[]);
    assert!(
        found
            .weaknesses
            .iter()
            .any(|weak| matches!(weak.trick, Trick::ForgedField { .. })),
        "{found:?}"
    );
}

#[test]
fn of_a_pattern_that_is_not_linear_it_is_said_what_is_not_decided() {
    // The look-ahead keeps a second address away, which no automaton is told.
    let found = of(
        &fail2ban(&["^(?!.*from.*from)login of .* from <HOST>.*$"]),
        &[],
    );
    assert_eq!(found.weaknesses, []);
    assert_eq!(found.unproved, [0]);
    // Here it keeps the honest address away, so that only the client's counts.
    let found = of(
        &fail2ban(&["^login of (?:(?! from ).)* from <HOST>.*$"]),
        &[],
    );
    assert!(found.weaknesses.iter().any(|weak| weak.banned.is_some()));
    // Whatever it does here, no line can be read in two ways.
    let found = of(&fail2ban(&["^login of (?!root).* from <HOST>$"]), &[]);
    assert_eq!(found, Examination::default());
    // It does not keep anything away.
    let found = of(&fail2ban(&["^login of (?!root).* from <HOST>.*$"]), &[]);
    assert!(!found.weaknesses.is_empty());
    // Several lines at once are not decided.
    let several = FilterSource {
        maxlines: 2,
        ..fail2ban(&[r"^login<SKIPLINES>^from <HOST>$"])
    };
    assert_eq!(of(&several, &[]).unproved, [0]);
}

#[test]
fn an_address_that_the_prefregex_names_is_looked_at() {
    let failregex = ["^denied$"];
    let weak = "^from <ADDR> (?:.* )?(?:from <ADDR>)?: <F-CONTENT>.+</F-CONTENT>$";
    let of = |prefregex| of(&source(Some(prefregex), &failregex), &[]);
    assert_eq!(
        of("^from <ADDR>: <F-CONTENT>.+</F-CONTENT>$"),
        Examination::default()
    );
    assert!(
        !of("^.*from <ADDR>.*: <F-CONTENT>.+</F-CONTENT>$")
            .weaknesses
            .is_empty()
    );
    assert_eq!(of(weak).unproved, Vec::<usize>::new());
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

/// A filter of entries whose field `message` is asked by this pattern.
fn of_entries(id: &str, message: &str) -> FilterSource {
    FilterSource {
        json: Some(JsonFields {
            id: (!id.is_empty())
                .then(|| id.to_owned())
                .into_iter()
                .collect(),
            failure: vec![vec![Condition {
                field: "message".to_owned(),
                any: vec![Expected::Pattern(message.to_owned())],
            }]],
            ..JsonFields::default()
        }),
        ..FilterSource::default()
    }
}

#[test]
fn an_id_that_a_client_writes_into_a_header_is_found() {
    for field in [
        "request.headers.X-Forwarded-For.0",
        "request_X-Real-Ip",
        "http_x_forwarded_for",
        "headers.forwarded",
    ] {
        let found = of(&of_entries(field, "^denied$"), &[]);
        let [weak] = found.weaknesses.as_slice() else {
            panic!("{field}: {found:?}");
        };
        assert!(matches!(&weak.trick, Trick::ClientHeader { field: own } if own == field));
        assert!(weak.banned.is_some());
    }
    for field in [
        "request.remote_ip",
        "client_ip",
        "ClientHost",
        "is_forwarded_by",
    ] {
        let found = of(&of_entries(field, "^denied$"), &[]);
        assert_eq!(found, Examination::default(), "{field}");
    }
}

#[test]
fn the_text_of_one_field_is_attacked_like_a_line() {
    let weak = of_entries("", "^login of .* from <ADDR>.*$");
    assert!(!of(&weak, &[]).weaknesses.is_empty());
    let strong = of_entries("", "^login of <F-USER>.*</F-USER> from <ADDR>$");
    assert_eq!(of(&strong, &[]), Examination::default());
}

#[test]
fn no_text_of_an_entry_can_stand_for_another_field() {
    let source = of_entries("ip", "^denied .*$");
    let sample = r#"{"ip":"198.51.100.7","message":"denied x","agent":["a",{"b/c":"d"}]}"#;
    assert_eq!(of(&source, &[sample]), Examination::default());
    // Whoever takes the id from a text that the client writes is told so.
    let mut source = source;
    source.json.as_mut().unwrap().failure[0][0].any = vec![Expected::Pattern(
        "^denied (?:<F-USER>.*</F-USER> )?from <ADDR>.*$".to_owned(),
    )];
    let sample = r#"{"ip":"198.51.100.7","message":"denied x from 198.51.100.7"}"#;
    assert!(!of(&source, &[sample]).weaknesses.is_empty());
}

#[test]
fn no_filter_of_ours_can_be_tricked() {
    let mut examined = 0;
    for entry in std::fs::read_dir(repository("config/filters")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let stock: Stock = toml::from_str(&text).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let filter = Filter::compile(&FilterSource {
            prefregex: stock.prefregex,
            failregex: stock.failregex,
            ignoreregex: stock.ignoreregex,
            json: fields::of(&name, &text),
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
            .map(|weak| {
                let (line, trick) = (String::from_utf8_lossy(&weak.line), &weak.trick);
                format!("{} bans {:?}, {trick:?}: {line}", weak.pattern, weak.banned)
            })
            .collect();
        assert_eq!(shown, Vec::<String>::new(), "{name}");
        assert_eq!(found.unproved, Vec::<usize>::new(), "{name}");
        examined += 1;
    }
    assert!(examined > 0);
}
