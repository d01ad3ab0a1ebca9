//! Each tag and option of a filter means to ours what it means to fail2ban, asked itself. The stock
//! filters do not use all of them.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::path::Path;
use std::sync::Arc;

use jiff::tz::{Offset, TimeZone};
use stockade_conformance::{
    MUST_RUN, NOW, Oracle, PACKAGE, Patterns, Question, Setup, Verdict, ZONE, zone,
};
use stockade_detect::{
    DatePattern, Dialect, Filter, FilterRun, FilterSource, HostNames, LogEncoding, minutes_east,
};

fn oracle() -> Option<Oracle> {
    if !Path::new(PACKAGE).exists() {
        let must = std::env::var_os(MUST_RUN).is_some();
        assert!(!must, "install Debian's fail2ban");
        return None;
    }
    let setup = Setup {
        now: NOW,
        zone: ZONE.to_owned(),
        tree: None,
    };
    Some(Oracle::start(&setup).unwrap())
}

fn source(patterns: &Patterns) -> FilterSource {
    let dates = patterns.datepattern.as_deref().unwrap_or("{DEFAULT}");
    FilterSource {
        prefregex: patterns.prefregex.clone(),
        failregex: patterns.failregex.clone(),
        ignoreregex: patterns.ignoreregex.clone(),
        datepattern: DatePattern::Templates(dates.lines().map(str::to_owned).collect()),
        dialect: Dialect::Fail2ban,
        maxlines: patterns.maxlines.unwrap_or(1),
        host_names: match patterns.usedns.as_deref() {
            Some("no") => HostNames::Refuse,
            _ => HostNames::Raw,
        },
        ..FilterSource::default()
    }
}

fn ours(patterns: &Patterns, lines: &[&str], zone: TimeZone) -> Vec<Vec<Verdict>> {
    let filter = Arc::new(Filter::compile(&source(patterns)).unwrap());
    let mut run = FilterRun::new(filter, zone);
    let judged = lines.iter().map(|line| {
        let found = run.line(line.as_bytes(), None, NOW).into_iter();
        found.map(Verdict::from).collect()
    });
    judged.collect()
}

fn theirs(oracle: &mut Oracle, patterns: &Patterns, lines: &[&str]) -> Vec<Vec<Verdict>> {
    let names = patterns.usedns.as_deref() != Some("no");
    let filter = oracle.make(patterns, names).unwrap();
    let question = Question {
        every: true,
        ..Question::default()
    };
    let judged = oracle.judge(&filter, lines, &question).unwrap();
    judged.into_iter().map(Result::unwrap).collect()
}

/// Both find the same, and in as many lines as `found` says.
#[track_caller]
fn check(patterns: &Patterns, lines: &[&str], found: usize) {
    let Some(mut oracle) = oracle() else { return };
    let told = theirs(&mut oracle, patterns, lines);
    for (line, (ours, theirs)) in lines
        .iter()
        .zip(ours(patterns, lines, zone()).iter().zip(&told))
    {
        assert_eq!(ours, theirs, "{line}");
    }
    let lines = told.iter().filter(|found| !found.is_empty()).count();
    assert_eq!(lines, found, "{told:#?}");
}

fn of(failregex: &[&str]) -> Patterns {
    Patterns {
        failregex: failregex.iter().map(|&text| text.to_owned()).collect(),
        ..Patterns::default()
    }
}

const ADDRESSES: [&str; 12] = [
    "by 192.0.2.1.",
    "by [192.0.2.1].",
    "by ::ffff:192.0.2.1.",
    "by 2001:DB8::1.",
    "by [2001:db8:0:0::1].",
    "by fe80::1.",
    "by 1:2:3:4:5:6:7:8.",
    "by 999.0.2.1.",
    "by host.example.com.",
    "by 192.0.2.77/24.",
    "by [2001:db8::77/32].",
    "by -.",
];

#[test]
fn the_tags_for_addresses_take_the_same() {
    for (tag, found) in [
        ("<HOST>", 9),
        ("<ADDR>", 8),
        ("<IP4>", 3),
        ("<IP6>", 3),
        ("<DNS>", 3),
        ("<SUBNET>", 10),
        ("<ADDR>/<CIDR>", 1),
        ("<F-ADDR/>", 8),
        ("<F-IP4/>", 3),
        ("<F-IP6/>", 3),
        ("<F-DNS/>", 3),
        ("<F-SUBNET/>", 10),
    ] {
        check(&of(&[&format!("^by {tag}\\.$")]), &ADDRESSES, found);
    }
}

#[test]
fn without_names_a_host_is_an_address() {
    let patterns = Patterns {
        usedns: Some("no".to_owned()),
        ..of(&["^by <HOST>\\.$"])
    };
    check(&patterns, &ADDRESSES, 8);
}

#[test]
fn an_id_is_any_text_and_is_preferred_to_an_address() {
    let lines = [
        "user a b at 192.0.2.1 port ssh",
        "user 192.0.2.9 at 192.0.2.1 port 22",
    ];
    check(
        &of(&["^user <F-ID>.+</F-ID> at \\S+ port <F-PORT/>$"]),
        &lines,
        2,
    );
    check(&of(&["at <F-ID/> port <F-PORT>\\d+</F-PORT>$"]), &lines, 1);
}

#[test]
fn an_alternative_fills_what_is_empty() {
    let failregex = "^(?:user=<F-USER>\\S*</F-USER> )?(?:as <F-ALT_USER>\\S+</F-ALT_USER> )?\
                     (?:or <F-ALT_USER_2>\\S+</F-ALT_USER_2> )?by <F-ALT_IP4_1>[\\d.]+</F-ALT_IP4_1>\
                     (?:, <IP4>)?$";
    let lines = [
        "user=a as b or c by 192.0.2.1",
        "user= as b or c by 192.0.2.1",
        "as b by 192.0.2.1, 192.0.2.2",
        "or c by 192.0.2.1",
        "by 192.0.2.1",
    ];
    check(&of(&[failregex]), &lines, 5);
}

#[test]
fn tags_of_ones_own_are_kept_and_keep_their_names() {
    let failregex = "^<F-ANY_THING>\\w+</F-ANY_THING> <F-X1>\\w+</F-X1>( nested <F-Y>(?:a<F-Z>b</F-Z>)+</F-Y>)? by <ADDR>$";
    check(
        &of(&[failregex]),
        &["a b by 192.0.2.1", "a b nested abab by 192.0.2.1"],
        2,
    );
}

fn session(failregex: &[&str]) -> Patterns {
    Patterns {
        prefregex: Some("^app\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-CONTENT>.+</F-CONTENT>$".to_owned()),
        ..of(failregex)
    }
}

#[test]
fn a_session_joins_its_lines() {
    let patterns = session(&[
        "^<F-NOFAIL>connect</F-NOFAIL> from <ADDR>$",
        "^wrong password for <F-USER>\\S+</F-USER>$",
        "^<F-MLFFORGET>disconnect</F-MLFFORGET>$",
        "^<F-MLFFORGET><F-NOFAIL>bye</F-NOFAIL></F-MLFFORGET>$",
        "^<F-MLFGAINED>welcome</F-MLFGAINED> <F-USER>\\S+</F-USER>$",
    ]);
    let lines = [
        "app[1]: connect from 192.0.2.1",
        "app[2]: wrong password for root",
        "app[1]: wrong password for root",
        "app[2]: connect from 192.0.2.2",
        "app[1]: wrong password for admin",
        "app[1]: welcome admin",
        "app[1]: disconnect",
        "app[3]: connect from 192.0.2.3",
        "app[3]: welcome joe",
        "app[3]: bye",
        "app[3]: wrong password for joe",
        "app[2]: bye",
        "app[4]: bye",
        "app[5]: welcome joe",
        "app[5]: connect from 192.0.2.5",
        "app[5]: disconnect",
    ];
    check(&patterns, &lines, lines.len());
}

#[test]
fn several_lines_at_once_are_matched_and_the_skipped_ones_stay() {
    let patterns = Patterns {
        maxlines: Some(4),
        ..of(&[
            "^begin <F-USER>\\S+</F-USER><SKIPLINES>^end <ADDR>$",
            "^alone <ADDR>$",
        ])
    };
    let lines = [
        "begin a",
        "begin b",
        "other",
        "end 192.0.2.1",
        "end 192.0.2.2",
        "end 192.0.2.3",
        "alone 192.0.2.4",
        "begin c",
        "1",
        "2",
        "3",
        "end 192.0.2.5",
        "begin d",
        "alone 192.0.2.6",
        "end 192.0.2.7",
    ];
    check(&patterns, &lines, 5);
}

#[test]
fn an_ignoreregex_takes_back_what_it_matches() {
    let patterns = Patterns {
        ignoreregex: vec!["from <HOST> port 22$".to_owned(), "user=good".to_owned()],
        ..of(&["^bad .*from <ADDR>", "^worse .*from <ADDR>"])
    };
    let lines = [
        "bad from 192.0.2.1 port 22",
        "bad from 192.0.2.1 port 222",
        "worse user=good from 192.0.2.1",
        "worse from 192.0.2.1",
    ];
    check(&patterns, &lines, 2);
}

#[test]
fn a_zone_of_the_log_is_an_offset() {
    let Some(mut oracle) = oracle() else { return };
    let lines = [
        "2005-08-14 11:00:00 bad 192.0.2.1",
        "Aug 14 03:00:00 bad 192.0.2.1",
    ];
    for name in [
        "UTC",
        "GMT",
        "Z",
        "UTC+0200",
        "UTC-03:30",
        "+0530",
        "-11",
        "CET",
        "CEST",
        "PST",
        "NPT",
        "CET+0100",
        "A",
    ] {
        let patterns = Patterns {
            logtimezone: Some(name.to_owned()),
            ..of(&["^ bad <ADDR>$"])
        };
        let minutes = minutes_east(name).unwrap();
        let zone = TimeZone::fixed(Offset::from_seconds(minutes * 60).unwrap());
        let told = theirs(&mut oracle, &patterns, &lines);
        assert_eq!(ours(&patterns, &lines, zone), told, "{name}");
        assert!(told.iter().all(|found| found.len() == 1), "{name}");
    }
    for name in ["Europe/Berlin", "UTC+2", "XYZ", "local", "+2"] {
        let patterns = Patterns {
            logtimezone: Some(name.to_owned()),
            ..of(&["<ADDR>"])
        };
        assert!(oracle.make(&patterns, true).is_err(), "{name}");
        assert_eq!(minutes_east(name), None);
    }
}

/// Python's names of encodings in which a byte is a character, and of UTF-8.
const ENCODINGS: [&str; 36] = [
    "utf-8",
    "utf8",
    "UTF_8",
    "ascii",
    "us-ascii",
    "latin-1",
    "latin_1",
    "iso-8859-1",
    "iso8859_1",
    "L1",
    "cp1250",
    "windows-1250",
    "cp1251",
    "cp1252",
    "windows_1252",
    "cp1253",
    "cp1254",
    "cp1256",
    "cp1257",
    "cp1258",
    "iso8859-2",
    "iso8859_3",
    "iso8859-4",
    "iso8859-5",
    "iso8859-6",
    "iso8859-7",
    "iso8859_10",
    "iso8859-13",
    "iso8859_14",
    "iso8859-15",
    "iso8859-16",
    "latin2",
    "koi8-r",
    "koi8_r",
    "cp866",
    "mac_cyrillic",
];

#[test]
fn bytes_become_the_text_that_python_makes_of_them() {
    let Some(mut oracle) = oracle() else { return };
    let mut different = Vec::new();
    let patterns = of(&["^by <F-USER>[^!]*</F-USER>! <ADDR>$"]);
    for name in ENCODINGS {
        let Ok(encoding) = LogEncoding::named(name) else {
            different.push(format!("{name} is unknown"));
            continue;
        };
        let source = FilterSource {
            encoding,
            ..source(&patterns)
        };
        let filter = Arc::new(Filter::compile(&source).unwrap());
        let mut run = FilterRun::new(filter, zone());
        for byte in 0x80..=0xff {
            let line = [b"by ", &[byte][..], b"! 192.0.2.1"].concat();
            let theirs = oracle.decode(name, &line).unwrap().unwrap();
            let found = run.line(&line, None, NOW);
            let user = found.first().map(|one| one.captures["user"].clone());
            let expected = theirs
                .strip_prefix("by ")
                .and_then(|text| text.strip_suffix("! 192.0.2.1"));
            if user.as_deref() != expected {
                different.push(format!("{name} {byte:x}: {user:?} {expected:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}

#[test]
fn characters_of_several_bytes_are_those_of_python() {
    let Some(mut oracle) = oracle() else { return };
    for (name, bytes) in [
        ("shift_jis", &b"\x83\x41\x8a\xbf"[..]),
        ("cp932", b"\x83\x41\x8a\xbf"),
        ("euc_jp", b"\xa5\xa2\xb4\xc1"),
        ("euc-kr", b"\xc7\xd1"),
        ("gb2312", b"\xba\xba"),
        ("gbk", b"\xba\xba"),
        ("gb18030", b"\xba\xba\x81\x30\x81\x30"),
        ("big5", b"\xba\x7e"),
        ("koi8_u", b"\xa4\xc1"),
        ("tis-620", b"\xa1\xa2"),
        ("macroman", b"\x8e\x9a"),
        ("utf-8", b"\xe6\xbc\xa2\xff\xe2\x82"),
    ] {
        let patterns = of(&["^<F-USER>.+</F-USER>! <ADDR>$"]);
        let source = FilterSource {
            encoding: LogEncoding::named(name).unwrap(),
            ..source(&patterns)
        };
        let filter = Arc::new(Filter::compile(&source).unwrap());
        let line = [bytes, b"! 192.0.2.1"].concat();
        let found = FilterRun::new(filter, zone()).line(&line, None, NOW);
        let text = oracle.decode(name, bytes).unwrap().unwrap();
        assert_eq!(found[0].captures["user"], text, "{name}");
    }
}
