//! Small trees: what is wrong in them, told with its place, and what can be used beside it.

use super::*;
use crate::diagnostic::{Diagnostic, Severity};
use crate::load::{ConfigFile, ReadProblem, ReadWhat};

const FILTER: (&str, &str) = ("filter.d/app.conf", "[Definition]\nfailregex = ^<HOST>$\n");

fn tree(files: &[(&str, &str)]) -> Tree {
    let files = [&[FILTER], files].concat();
    let files = files.into_iter().map(|(path, text)| ConfigFile {
        path: format!("etc/{path}"),
        bytes: text.as_bytes().to_vec(),
    });
    Tree::from_files("etc", files.collect(), Vec::new())
}

fn rendered(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::render).collect()
}

fn names(jails: &[ResolvedJail]) -> Vec<&str> {
    jails.iter().map(|jail| jail.name.as_str()).collect()
}

fn broken(jails: &Jails) -> Vec<&str> {
    jails.broken.iter().map(|jail| jail.name.as_str()).collect()
}

/// `good` of two jails can be used, `bad` cannot, and this is said.
#[track_caller]
fn check_bad(files: &[(&str, &str)], expected: &str) {
    let jails = tree(files).jails(Selection::All);
    assert_eq!(rendered(&jails.diagnostics), expected);
    assert_eq!(names(&jails.jails), ["good"]);
    assert_eq!(broken(&jails), ["bad"]);
}

/// Both jails can be used, and this is said.
#[track_caller]
fn check_odd(files: &[(&str, &str)], expected: &str) {
    let jails = tree(files).jails(Selection::All);
    assert_eq!(rendered(&jails.diagnostics), expected);
    assert_eq!(jails.broken, []);
}

#[track_caller]
fn check_bad_jail(bad: &str, expected: &str) {
    let text = format!("[good]\nfilter = app\n[bad]\nfilter = app\n{bad}\n");
    check_bad(&[("jail.conf", &text)], expected);
}

#[test]
fn a_value_that_cannot_be_read_is_shown_with_its_place() {
    check_bad_jail(
        "maxretry = many",
        "etc/jail.conf:5:12: 'maxretry' must be a whole number from 1 on, found 'many'\n  \
         5 | maxretry = many\n    |            ^^^^\n",
    );
    check_bad_jail(
        "bantime = 1d + 2x",
        "etc/jail.conf:5:17: 'bantime' cannot be read: \"x\" is no unit of time; units are s, m, h, \
         d, w, mo and y\n  5 | bantime = 1d + 2x\n    |                 ^\n",
    );
    check_bad_jail(
        "findtime = -5",
        "etc/jail.conf:5:12: 'findtime' cannot be negative\n  5 | findtime = -5\n    |            ^^\n",
    );
    check_bad_jail(
        "backend = poling",
        "etc/jail.conf:5:11: there is no backend 'poling'\n  5 | backend = poling\n    |           \
         ^^^^^^\n  hint: did you mean 'polling'?\n",
    );
}

#[test]
fn a_formula_that_is_a_program_is_refused_where_it_becomes_one() {
    check_bad_jail(
        "bantime.formula = ban.Time * open(1)",
        "etc/jail.conf:5:30: 'bantime.formula' cannot be read: \"open\" is not known here; known are \
         ban.Time, ban.Count, banFactor, min, max, abs, int, float, round and the usual functions \
         of math\n  5 | bantime.formula = ban.Time * open(1)\n    |                              ^\n",
    );
}

#[test]
fn wrong_brackets_are_shown_where_they_go_wrong() {
    check_bad(
        &[(
            "jail.conf",
            "[good]\nfilter = app\n[bad]\nfilter = app[mode\n",
        )],
        "etc/jail.conf:4:14: this is not 'option=value': 'mode'\n  4 | filter = app[mode\n    |       \
        \u{20}      ^\n  hint: a value with a comma or a bracket is put into quotes\n",
    );
    check_bad_jail(
        "action = a[x=1\n   y=2]",
        "etc/jail.conf:5:10: there is no action 'a'\n  5 | action = a[x=1\n    |          ^\n",
    );
}

#[test]
fn a_filter_or_an_action_that_is_not_there_is_named() {
    check_bad(
        &[
            (
                "jail.conf",
                "[good]\nfilter = app\n[bad]\nfilter = ap\naction = blok\n",
            ),
            ("action.d/block.conf", "[Definition]\n"),
        ],
        "etc/jail.conf:4:10: there is no filter 'ap'\n  4 | filter = ap\n    |          ^^\n  hint: did \
         you mean 'app'?\netc/jail.conf:5:10: there is no action 'blok'\n  5 | action = blok\n    |  \
        \u{20}       ^^^^\n  hint: did you mean 'block'?\n",
    );
}

#[test]
fn a_name_that_nobody_defines_and_a_lone_percent_sign_are_shown() {
    check_bad_jail(
        "logpath = /var/%(nothing)s\n          /var/100%",
        "etc/jail.conf:5:16: there is no option 'nothing'\n  5 | logpath = /var/%(nothing)s\n    |     \
        \u{20}          ^^^^^^^^^^^\n",
    );
    check_bad_jail(
        "logpath = /var/100%",
        "etc/jail.conf:5:19: '%' must be followed by '%' or '(name)s'\n  5 | logpath = /var/100%\n    | \
        \u{20}                 ^\n  hint: write '%%' for a percent sign\n",
    );
}

#[test]
fn values_that_name_each_other_in_a_circle_are_an_error() {
    let text = "[good]\nfilter = app\n[bad]\nfilter = app\nport = %(x)s\nx = %(port)s\n\
                logpath = %(x)s\n";
    let jails = tree(&[("jail.conf", text)]).jails(Selection::All);
    assert_eq!(broken(&jails), ["bad"]);
    let said = rendered(&jails.diagnostics);
    assert!(
        said.contains("values name each other in a circle, or too deep"),
        "{said}"
    );
}

#[test]
fn values_that_multiply_each_other_end_at_a_bound() {
    let mut text = "[good]\nfilter = app\n[bad]\nfilter = app\nlogpath = %(x0)s\nx9 =\n".to_owned();
    for level in 0..9 {
        let next = format!("%(x{})s", level + 1);
        text.push_str(&format!("x{level} = {}\n", next.repeat(9)));
    }
    let jails = tree(&[("jail.conf", &text)]).jails(Selection::All);
    assert_eq!(broken(&jails), ["bad"]);
}

#[test]
fn a_tag_that_leads_back_to_itself_breaks_the_filter_and_its_jails_only() {
    check_bad(
        &[
            ("jail.conf", "[good]\nfilter = app\n[bad]\nfilter = loop\n"),
            (
                "filter.d/loop.conf",
                "[Definition]\nfailregex = ^<a> <HOST>\na = <b>\nb = x<a>\n",
            ),
        ],
        "etc/filter.d/loop.conf:4:6: tag '<a>' leads back to itself, so that it cannot be \
         replaced\n  4 | b = x<a>\n    |      ^^^\n",
    );
}

#[test]
fn files_that_include_each_other_are_an_error_and_are_read_once() {
    check_bad(
        &[
            ("jail.conf", "[good]\nfilter = app\n[bad]\nfilter = round\n"),
            (
                "filter.d/round.conf",
                "[INCLUDES]\nbefore = other.conf\n[Definition]\nfailregex = ^<HOST>\n",
            ),
            (
                "filter.d/other.conf",
                "[INCLUDES]\nafter = ../filter.d/./round.conf\n",
            ),
        ],
        "etc/filter.d/other.conf:2:9: the file 'etc/filter.d/round.conf' includes itself, directly \
         or by another\n  2 | after = ../filter.d/./round.conf\n    |         \
         ^^^^^^^^^^^^^^^^^^^^^^^^\n",
    );
}

#[test]
fn includes_that_double_with_every_level_end_at_a_bound() {
    let mut files = vec![(
        "jail.conf".to_owned(),
        "[good]\nfilter = app\n[bad]\nfilter = f0\n".to_owned(),
    )];
    for level in 0..14 {
        let next = level + 1;
        let text = format!(
            "[INCLUDES]\nbefore = f{next}.conf\n  f{next}.conf\n[Definition]\nx{level} = 1\n"
        );
        files.push((format!("filter.d/f{level}.conf"), text));
    }
    files.push((
        "filter.d/f14.conf".to_owned(),
        "[Definition]\nfailregex = ^<HOST>\n".to_owned(),
    ));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let jails = tree(&files).jails(Selection::All);
    assert_eq!(broken(&jails), ["bad"]);
    assert!(rendered(&jails.diagnostics).contains("more than 1000 files are included here"));
}

#[test]
fn a_missing_include_is_told_unless_it_is_a_local_one() {
    check_odd(
        &[
            ("jail.conf", "[good]\nfilter = some\n"),
            (
                "filter.d/some.conf",
                "[INCLUDES]\nbefore = none.conf\nafter = none.local\n[Definition]\nfailregex = ^<HOST>\n",
            ),
        ],
        "etc/filter.d/some.conf:2:10: warning: the file 'etc/filter.d/none.conf' is not there\n  2 | \
         before = none.conf\n    |          ^^^^^^^^^\n  hint: fail2ban goes on without it, and so does \
         this\n",
    );
}

#[test]
fn an_unknown_option_is_told_and_one_that_is_named_is_not() {
    check_odd(
        &[(
            "jail.conf",
            "[DEFAULT]\nbantme = 5\nmine = 1\n[good]\nfilter = app\nmaxretries = 5\nsome = /x\nlogpath = %(some)s\n",
        )],
        "etc/jail.conf:2:1: warning: unknown option 'bantme', which nothing names\n  2 | bantme = 5\n    | \
         ^^^^^^\n  hint: did you mean 'bantime'?\netc/jail.conf:6:1: warning: unknown option \
         'maxretries', which nothing names\n  6 | maxretries = 5\n    | ^^^^^^^^^^\n  hint: did you mean \
         'maxretry'?\n",
    );
}

#[test]
fn what_fail2ban_silently_takes_otherwise_is_told() {
    check_odd(
        &[(
            "jail.conf",
            "[good]\nenabled = ture\nfilter = app\nlogpath = /a /b\nusedns = maybe\nignoreip = 10.0.0.1/8\n",
        )],
        "etc/jail.conf:2:11: warning: 'ture' of 'enabled' is neither true nor false, and counts as \
         false\n  2 | enabled = ture\n    |           ^^^^\n\
         etc/jail.conf:4:14: warning: fail2ban takes '/b' for 'head' or 'tail' and does not watch it\n  \
         4 | logpath = /a /b\n    |              ^^\n  hint: write each path in a line of its own\n\
         etc/jail.conf:5:10: warning: 'maybe' is none of 'yes', 'warn', 'no' and 'raw', and counts as \
         'no'\n  5 | usedns = maybe\n    |          ^^^^^\n\
         etc/jail.conf:6:12: warning: this means the whole network 10.0.0.0/8\n  6 | ignoreip = \
         10.0.0.1/8\n    |            ^^^^^^^^^^\n",
    );
}

#[test]
fn a_line_that_cannot_be_read_breaks_the_jail_that_it_stands_in() {
    check_bad(
        &[(
            "jail.conf",
            "[good]\nfilter = app\n[bad]\nfilter = app\nnonsense\n",
        )],
        "etc/jail.conf:5:1: this is neither a section nor 'option = value'\n  5 | nonsense\n    | \
         ^^^^^^^^\n  hint: a line that goes on with a value is indented\n",
    );
    check_bad_jail(
        "maxretry = 1\nmaxretry = 2",
        "etc/jail.conf:6:1: option 'maxretry' stands twice in this section\n  6 | maxretry = 2\n    | \
         ^^^^^^^^\n  hint: fail2ban refuses the whole file\n",
    );
}

#[test]
fn a_line_that_cannot_be_read_and_concerns_all_jails_breaks_them_all() {
    for text in [
        "[DEFAULT]\nignoreip\n[a]\nfilter = app\n",
        "ignoreip = 1\n[a]\nfilter = app\n",
        "[INCLUDES]\nbefor\n[a]\nfilter = app\n",
    ] {
        let jails = tree(&[("jail.conf", text)]).jails(Selection::All);
        assert_eq!(broken(&jails), ["a"], "{text}");
        assert_eq!(jails.diagnostics.len(), 1, "{text}");
    }
}

#[test]
fn a_huge_value_is_refused_with_a_message() {
    let value = "x".repeat(300 * 1024);
    check_bad(
        &[
            ("jail.conf", "[good]\nfilter = app\n[bad]\nfilter = huge\n"),
            (
                "filter.d/huge.conf",
                &format!("[Definition]\nfailregex = {value}\n"),
            ),
        ],
        &format!(
            "etc/filter.d/huge.conf:2:13: the value is longer than 256 KiB with everything in it \
             replaced\n  2 | {}{}\n    | {}^\n",
            "failregex = ",
            "x".repeat(108),
            " ".repeat(12)
        ),
    );
    let value = "x".repeat(1 << 20);
    check_bad(
        &[
            ("jail.conf", "[good]\nfilter = app\n[bad]\nfilter = huge\n"),
            (
                "filter.d/huge.conf",
                &format!("[Definition]\nfailregex = {value}\n"),
            ),
        ],
        "etc/filter.d/huge.conf:1:1: the file is larger than 1024 KiB\n",
    );
}

#[test]
fn files_that_cannot_be_read_break_what_needs_them() {
    let file = |path: &str, bytes: &[u8]| ConfigFile {
        path: path.to_owned(),
        bytes: bytes.to_vec(),
    };
    let files = vec![
        file(
            "etc/jail.conf",
            b"[good]\nfilter = app\n[bad]\nfilter = app2\n[bad2]\nfilter = app3\n",
        ),
        file("etc/filter.d/app.conf", FILTER.1.as_bytes()),
        file(
            "etc/filter.d/app2.conf",
            b"[Definition]\nfailregex = \xff<HOST>\n",
        ),
    ];
    let problem = ReadProblem {
        path: "etc/filter.d/app3.conf".to_owned(),
        what: ReadWhat::Whole,
        message: "cannot be read: permission denied".to_owned(),
        severity: Severity::Error,
    };
    let jails = Tree::from_files("etc/", files, vec![problem]).jails(Selection::All);
    assert_eq!(names(&jails.jails), ["good"]);
    assert_eq!(
        rendered(&jails.diagnostics),
        "etc/filter.d/app2.conf:2:13: this is not UTF-8\n  2 | failregex = \u{fffd}<HOST>\n    |      \
        \u{20}      ^\netc/filter.d/app3.conf:1:1: cannot be read: permission denied\n"
    );
}

#[test]
fn a_directory_without_jails_says_so() {
    let jails = tree(&[]).jails(Selection::Enabled);
    let said = rendered(&jails.diagnostics);
    assert_eq!(
        said,
        "etc: there is neither jail.conf nor jail.local here\n"
    );
}

#[test]
fn only_jails_that_are_switched_on_are_looked_at_unless_all_are_asked_for() {
    let text = "[DEFAULT]\nfilter = app\n[on]\nenabled = yes\n[off]\nmaxretry = none\n";
    let tree = tree(&[("jail.conf", text)]);
    let jails = tree.jails(Selection::Enabled);
    assert_eq!((names(&jails.jails), jails.disabled.len()), (vec!["on"], 1));
    assert_eq!(jails.diagnostics, []);
    assert_eq!(broken(&tree.jails(Selection::All)), ["off"]);
}

#[test]
fn a_filter_that_is_asked_for_by_name_tells_what_is_wrong_with_it() {
    let tree = tree(&[("filter.d/empty.conf", "[Init]\nx = 1\n")]);
    let said = tree.filter("ap", &[]).unwrap_err();
    assert_eq!(
        rendered(&said),
        "etc: there is no filter 'ap'\n  hint: did you mean 'app'?\n"
    );
    let said = tree.filter("empty", &[]).unwrap_err();
    assert_eq!(said[0].message, "the filter 'empty' has no '[Definition]'");
    let options = [("failregex".to_owned(), "^x <HOST>".to_owned())];
    let filter = tree.filter("app", &options).unwrap();
    assert_eq!(filter.failregex[0].as_str(), "^x <HOST>");
}

#[test]
fn a_fault_in_a_pattern_is_shown_where_that_part_of_it_was_written() {
    let tree = tree(&[
        ("filter.d/common.conf", "[DEFAULT]\n__prefix = \\s*(\\[\n"),
        (
            "filter.d/two.conf",
            "[INCLUDES]\nbefore = common.conf\n[Definition]\nfailregex = ^a\n  %(__prefix)s<who> has failed\nwho = <HOST>(\n",
        ),
    ]);
    let filter = tree.filter("two", &[]).unwrap();
    let pattern = &filter.failregex[1];
    assert_eq!(pattern.as_str(), "\\s*(\\[<HOST>( has failed");
    let fault = |offset| {
        let fault = pattern.fault(tree.sources(), Some(offset), "unbalanced", None);
        fault.to_string()
    };
    assert_eq!(fault(3), "etc/filter.d/common.conf:2:15: unbalanced");
    assert_eq!(fault(12), "etc/filter.d/two.conf:6:13: unbalanced");
    assert_eq!(fault(14), "etc/filter.d/two.conf:5:21: unbalanced");
    let whole = pattern.fault(tree.sources(), None, "unused", None);
    assert_eq!(whole.to_string(), "etc/filter.d/two.conf:5:20: unused");
}

#[test]
fn typed_options_are_read() {
    use std::time::Duration;

    let text = "[good]\nfilter = app\nbackend = systemd[journalflags=1, journalpath=\"/x, y\"]\n\
                logpath = /a\n  /b tail\n\n  /c head\nignoreip = ::1 example.com,file:/etc/x\n  a@b 10.0.0.0/8\n\
                ignorecache = key=\"<F-USER>@<ip>\", max-time=1m\nbantime = -5\nmaxmatches = 0\n\
                bantime.multipliers = 1 5  30\nbantime.factor = 1.0 / 4\nusedns = RAW\n";
    let jails = tree(&[("jail.conf", text)]).jails(Selection::All);
    assert_eq!(rendered(&jails.diagnostics), "");
    let options = &jails.jails[0].options;
    let backend = options.backend.as_ref().unwrap();
    assert_eq!(backend.value.kind, BackendKind::Systemd);
    assert_eq!(backend.value.arguments[1].1.value, "/x, y");
    let paths: Vec<_> = options
        .logpath
        .iter()
        .map(|path| (path.glob.value.as_str(), path.start))
        .collect();
    assert_eq!(
        paths,
        [
            ("/a", LogStart::Head),
            ("/b", LogStart::Tail),
            ("/c", LogStart::Head)
        ]
    );
    let ignored: Vec<String> = options
        .ignoreip
        .iter()
        .map(|it| format!("{:?}", it.value))
        .collect();
    assert_eq!(
        ignored,
        [
            "Entry(Net(::1/128))",
            "Entry(Name(\"example.com\"))",
            "File(\"/etc/x\")",
            "Entry(Text(\"a@b\"))",
            "Entry(Net(10.0.0.0/8))"
        ]
    );
    let cache = &options.ignorecache.as_ref().unwrap().value;
    assert_eq!(
        (cache.max_count, cache.max_time),
        (100, Duration::from_secs(60))
    );
    assert_eq!(
        options.bantime.as_ref().unwrap().value,
        stockade_core::BanTime::Forever
    );
    assert_eq!(options.maxmatches.as_ref().unwrap().value, 0);
    assert_eq!(
        options.increment.multipliers.as_ref().unwrap().value,
        [1, 5, 30]
    );
    assert_eq!(options.increment.factor.as_ref().unwrap().value, 0.25);
    assert_eq!(options.usedns.as_ref().unwrap().value, UseHostNames::Raw);
    assert_eq!(options.findtime, None);
}

#[test]
fn global_options_are_read_and_checked() {
    let text = "[DEFAULT]\nbase = /run/f2b\n[Definition]\nloglevel = LOUD\nsocket = %(base)s/x.sock\n\
                dbpurgeage = 2d\nlogtarge = x\n[Thread]\nstacksize = 64\n";
    let (globals, said) = tree(&[("fail2ban.conf", text)]).globals();
    assert_eq!(globals.socket.unwrap().value, "/run/f2b/x.sock");
    assert_eq!(globals.dbpurgeage.unwrap().value.as_secs(), 172_800);
    assert_eq!(globals.stacksize.unwrap().value, 64);
    let said: Vec<String> = said.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "etc/fail2ban.conf:4:12: there is no log level 'LOUD'",
            "etc/fail2ban.conf:7:1: warning: unknown option 'logtarge'",
        ]
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_panic(
        jail in "([\\[\\]=:;#%()<>a-c \\n'\"/?]|%\\(a\\)s|<a>|\\[a\\]\n|\na = ){0,60}",
        filter in "([\\[\\]=:;#%()<>a-c \\n'\"/?]|%\\(a\\)s|<a>|\\[Definition\\]\n|\na = ){0,60}",
    ) {
        let text = format!("[x]\nfilter = f\n{jail}");
        let tree = tree(&[("jail.conf", &text), ("filter.d/f.conf", &filter)]);
        let jails = tree.jails(Selection::All);
        proptest::prop_assert!(!jails.jails.is_empty() || !jails.broken.is_empty());
    }
}
