use std::sync::OnceLock;

use proptest::prelude::*;
use regex_automata::meta::Regex;
use stockade_core::{FailureId, parse_addr};

use super::*;
use crate::pattern::{self, Captured, Pattern};

fn compile(source: &str) -> Pattern {
    Pattern::build(&pattern::parse(source, false).unwrap(), true).unwrap()
}

/// What a capturing engine finds, if that names somebody.
fn by_captures(pattern: &Pattern, line: &[u8]) -> Option<(FailureId, Captured)> {
    let captured = pattern.captures(line, &mut Vec::new())?;
    Some((captured.id?.read(line)?, captured))
}

/// Holds the short cut to what captures say.
#[track_caller]
fn agrees(pattern: &Pattern, line: &[u8]) {
    let shape = pattern.shape.as_ref().expect("the pattern has the shape");
    let expected = by_captures(pattern, line);
    let shown = String::from_utf8_lossy(line);
    match shape.read(line, &mut Places::default()) {
        Reading::Miss => assert_eq!(expected, None, "{shown}"),
        Reading::One { addr, user } => {
            let (id, captured) = expected.unwrap_or_else(|| panic!("captures miss: {shown}"));
            assert_eq!(id, FailureId::Addr(addr), "{shown}");
            if let UserText::Known(user) = user {
                assert_eq!(user, captured.user, "{shown}");
            }
        }
        // Among several readings captures may prefer one that is no valid address.
        Reading::Several(..) | Reading::Unsure => {}
    }
}

#[test]
fn a_user_behind_the_address_is_not_what_stands_before_it() {
    let pattern = compile(r"^\([^()]*\[<ADDR>\]\): USER <F-USER>.*</F-USER> failed$");
    agrees(&pattern, b"(host[192.0.2.1]): USER bob failed");
}

const HEADS: &[&str] = &[
    "^from ",
    "^(?:a|ab|abc) from ",
    "^a <F-USER>.*</F-USER> from ",
    "^(?:a|a b) <F-USER>.*</F-USER> from ",
    "^a <F-USER>[^ ]+</F-USER> from ",
    r"^a <F-USER>\S*</F-USER>\s",
    "^.* from ",
    "^.*",
    "from ",
    "",
    "^a(?: b)? from ",
    "^a .*?from ",
    r"^(?:a |b )+",
    r"x\b.* ",
];
const TAILS: &[&str] = &[
    "$",
    " port \\d+$",
    " port \\d+(?: ssh\\d?)?$",
    "(?: port \\d+)?$",
    "",
    " port",
    ":\\d+$",
    "(?::\\d+)?",
    " .*$",
    ".*$",
    r"\b",
    "[^0-9]*$",
    "[^b]*b",
];
const FRAGMENTS: &[&str] = &[
    "a ",
    "a",
    "b ",
    "from ",
    " from ",
    "ab",
    "x",
    " ",
    " port 22",
    " port 1 ssh2",
    ":22",
    "[",
    "]",
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.300",
    "192.0.02.1",
    "2001:db8::1",
    "2001:db8::2",
    "::1",
    "::",
    "::ffff:192.0.2.1",
    "fe80::1%eth0",
    "1:2:3:4:5:6:7:8",
    "12345:",
    ".5",
    "%",
    "\u{e9}",
];

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(FRAGMENTS), 0..10)
        .prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn the_short_cut_finds_what_captures_find(
        head in prop::sample::select(HEADS),
        tail in prop::sample::select(TAILS),
        tag in prop::sample::select(&["<ADDR>", "<HOST>", "<IP4>", "<IP6>"][..]),
        lines in prop::collection::vec(line(), 20),
    ) {
        let pattern = compile(&format!("{head}{tag}{tail}"));
        for line in lines {
            agrees(&pattern, &line);
        }
    }

    #[test]
    fn the_short_cut_agrees_for_the_stock_filter(
        lines in prop::collection::vec(sshd_line(), 200),
    ) {
        for pattern in stock_patterns() {
            for line in &lines {
                agrees(pattern, line.as_bytes());
            }
        }
    }

    /// Of IPv4 addresses only, since a colon can end an IPv6 address in several places.
    #[test]
    fn lines_are_several_exactly_if_two_addresses_fit(
        head in prop::sample::select(
            &["^a <F-USER>.*</F-USER> from ", "^.* ", "^(?:a|b).* from ", "^.*"][..]),
        tail in prop::sample::select(&["$", "(?: port \\d+)?.*$", " .*$", " port \\d+.*$"][..]),
        parts in prop::collection::vec(prop::sample::select(
            &["a ", "from ", " from ", "192.0.2.1", "192.0.2.2", " port 22", " ", "5"][..]), 0..9),
    ) {
        let line = parts.concat();
        let pattern = compile(&format!("{head}<ADDR>{tail}"));
        let read = pattern.shape.as_ref().unwrap().read(line.as_bytes(), &mut Places::default());
        let mut addrs = fitting(head, tail, &line);
        addrs.sort();
        addrs.dedup();
        match addrs.as_slice() {
            [] => prop_assert_eq!(read, Reading::Miss),
            [only] => match read {
                Reading::One { addr, .. } => prop_assert_eq!(addr, *only),
                other => prop_assert!(false, "{:?} for {}", other, line),
            },
            _ => prop_assert!(matches!(read, Reading::Several(Some(_), Some(_))), "{:?}", read),
        }
    }
}

/// The patterns that `config/filters/sshd.toml` has; all of them have the shape.
fn stock_patterns() -> &'static [Pattern] {
    static PATTERNS: OnceLock<Vec<Pattern>> = OnceLock::new();
    PATTERNS.get_or_init(|| {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../config/filters/sshd.toml"
        );
        let stock: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        let patterns = stock["failregex"].as_array().unwrap();
        patterns
            .iter()
            .map(|text| compile(text.as_str().unwrap()))
            .collect()
    })
}

/// Lines made of what sshd writes and of what attackers put between.
fn sshd_line() -> impl Strategy<Value = String> {
    const BEGINNINGS: &[&str] = &[
        "Failed password for ",
        "Failed password for invalid user ",
        "Failed publickey for invalid user ",
        "Invalid user ",
        "PAM: Authentication failure for ",
        "User ",
        "Connection closed by ",
        "Connection closed by authenticating user ",
        "Bad protocol version identification '",
        "maximum authentication attempts exceeded for ",
        "Unable to negotiate with ",
        "Timeout before authentication for connection from ",
        "Disconnected from ",
    ];
    const MIDDLES: &[&str] = &[
        "x",
        "root",
        "invalid user ",
        " from ",
        " ",
        "192.0.2.1",
        "203.0.113.9",
        "2001:db8::1",
        "[::1]",
        " port 22",
        " port 4711 ssh2",
        ": RSA SHA256:abc",
        "'",
        " to ",
        ", pid = 7",
        " [preauth]",
        " not allowed because not listed in AllowUsers",
        ": no matching cipher found. ",
        "::",
    ];
    const ENDS: &[&str] = &[
        " from 192.0.2.1 port 4711",
        " from 192.0.2.1 port 4711 ssh2",
        " 192.0.2.1 port 7 [preauth]",
        " from 2001:db8::2 port 4711 ssh2: RSA SHA256:abc",
        "' from 192.0.2.1 port 5",
        " from 192.0.2.1",
        "",
    ];
    let middle = prop::collection::vec(prop::sample::select(MIDDLES), 0..8);
    (
        prop::sample::select(BEGINNINGS),
        middle,
        prop::sample::select(ENDS),
    )
        .prop_map(|(beginning, middle, end)| format!("{beginning}{}{end}", middle.concat()))
}

/// All addresses between a head and a tail, by trying every part of the line.
fn fitting(head: &str, tail: &str, line: &str) -> Vec<IpAddr> {
    let head = head.replace("<F-USER>", "").replace("</F-USER>", "");
    let head = Regex::new(&format!("{head}$")).unwrap();
    let tail = Regex::new(&format!("^{tail}")).unwrap();
    let word = |at: Option<usize>| {
        at.and_then(|at| line.as_bytes().get(at))
            .is_some_and(u8::is_ascii_alphanumeric)
    };
    let mut addrs = Vec::new();
    for start in 0..line.len() {
        for end in start..=line.len() {
            if let Ok(addr) = parse_addr(&line.as_bytes()[start..end])
                && !word(start.checked_sub(1))
                && !word(Some(end))
                && head.is_match(&line.as_bytes()[..start])
                && tail.is_match(&line.as_bytes()[end..])
            {
                addrs.push(addr);
            }
        }
    }
    addrs
}

#[track_caller]
fn check(source: &str, line: &str, expected: Option<&str>) {
    let pattern = compile(source);
    agrees(&pattern, line.as_bytes());
    let read = pattern
        .shape
        .as_ref()
        .unwrap()
        .read(line.as_bytes(), &mut Places::default());
    let got = match read {
        Reading::One { addr, .. } => Some(addr.to_string()),
        Reading::Miss => None,
        other => Some(format!("{other:?}")),
    };
    assert_eq!(got.as_deref(), expected, "{line}");
}

#[test]
fn the_end_of_the_line_tells_which_address_is_meant() {
    let pattern = r"^Failed for <F-USER>.*</F-USER> from <ADDR> port \d+$";
    let forged = "Failed for x from 203.0.113.9 port 22 from 192.0.2.1 port 40000";
    check(pattern, forged, Some("192.0.2.1"));
    check(
        pattern,
        "Failed for x from 203.0.113.9 port 22 from host port 40000",
        None,
    );
}

#[test]
fn a_line_that_can_be_read_in_two_ways_is_several() {
    let open = "^Failed for <F-USER>.*</F-USER> from <ADDR> .*$";
    let line = "Failed for x from 203.0.113.9 port 22 from 192.0.2.1 port 40000";
    check(
        open,
        line,
        Some("Several(Some(203.0.113.9), Some(192.0.2.1))"),
    );
    let same = "Failed for x from 192.0.2.1 port 22 from 192.0.2.1 port 40000";
    check(open, same, Some("192.0.2.1"));
}

#[test]
fn a_long_hostile_line_takes_linear_time() {
    // A square of this length would be some ten thousand million steps.
    let pattern = compile("from <ADDR>.*never");
    let line = "from ::1 from 192.0.2.1 ".repeat(4000);
    agrees(&pattern, line.as_bytes());
    let pattern = compile("^<F-USER>[^\n\"]*</F-USER> from <ADDR> ended$");
    agrees(&pattern, line.as_bytes());
    let pattern = compile("^x<F-USER>[a-z0-9:. ]*</F-USER>from <ADDR>.*never$");
    agrees(&pattern, format!("x{line}").as_bytes());
}

#[test]
fn only_a_single_address_at_top_level_has_the_shape() {
    for source in [
        "(?:<ADDR>|x)",
        "<IP4> <IP6>",
        "<F-ID>x</F-ID>",
        "(<ADDR> )+",
        "<SUBNET>",
    ] {
        assert!(compile(source).shape.is_none(), "{source}");
    }
}
