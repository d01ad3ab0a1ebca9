mod actions;

use std::time::Duration;

use stockade_core::{Factor, Growth};

use super::super::{ResolvedFilter, UseHostNames};
use super::*;
use crate::load::load;

/// A host with every program, and engines that take everything but a bracket that is not closed.
#[derive(Debug)]
struct AnyHost;

impl ImportHost for AnyHost {
    fn program(&self, name: &str) -> Option<String> {
        (name != "nothing").then(|| format!("/usr/bin/{name}"))
    }

    fn services(&self) -> String {
        "unusual 4711/tcp\n".to_owned()
    }

    fn zone(&self, zone: &str) -> Option<i32> {
        match zone {
            "CET" => Some(60),
            "UTC-0330" => Some(-210),
            "Z" => Some(0),
            _ => None,
        }
    }

    fn encoding(&self, name: &str) -> Result<(), String> {
        match name {
            "utf-16" => Err("lines of it cannot be told apart".to_owned()),
            _ => Ok(()),
        }
    }

    fn pattern_faults(&self, filter: &ResolvedFilter, _: UseHostNames) -> Vec<PatternFault> {
        let patterns = filter.failregex.iter().enumerate();
        let broken = patterns.filter_map(|(at, pattern)| Some((at, pattern.as_str().find("(((")?)));
        broken
            .map(|(at, offset)| PatternFault {
                pattern: PatternOf::Failregex(at),
                offset: Some(offset),
                message: "the bracket is not closed".to_owned(),
                hint: None,
            })
            .collect()
    }
}

fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(name, text)| ConfigFile {
        path: format!("/etc/fail2ban/{name}"),
        bytes: text.as_bytes().to_vec(),
    });
    Tree::from_files("/etc/fail2ban", files.collect(), Vec::new())
}

const FILTER: &str = "[Definition]\nfailregex = ^bad <HOST>$\n  ^worse <F-USER>\\S+</F-USER> <HOST>$\n\
                      journalmatch = _SYSTEMD_UNIT=x.service + _COMM=x\n";
const NFTABLES: &str = "[Definition]\nactionban = nft add <ip>\n[Init]\nport = ssh\nprotocol = tcp\n\
                        blocktype = drop\n";
const JAIL: &str = "[x]\nenabled = true\nfilter = x\nlogpath = /var/log/x.log\n\
                    action = nftables[port=\"22,80\"]\n  page\nbantime = 1h\nignoreip = 192.0.2.0/24\n\
                    ignorecommand = /bin/x\n[off]\nfilter = x\n";
const PAGE: &str = "[Definition]\nactionstart = echo\nactionban = /bin/page <ip> <name>\n";

fn imported(jail: &str) -> Import {
    imported_with(jail, &[])
}

fn imported_with(jail: &str, more: &[(&str, &str)]) -> Import {
    let files = [
        ("jail.conf", jail),
        ("filter.d/x.conf", FILTER),
        ("action.d/nftables.conf", NFTABLES),
        ("action.d/page.conf", PAGE),
    ];
    import(&tree(&[&files, more].concat()), &AnyHost)
}

#[test]
fn what_is_written_is_what_loads() {
    let import = imported(JAIL);
    let loaded = load(&import.files("/imported", String::new()));
    let told: Vec<String> = loaded.diagnostics.iter().map(Diagnostic::render).collect();
    let settings = loaded.settings.unwrap_or_else(|| panic!("{told:#?}"));
    let [jail] = settings.jails.as_slice() else {
        panic!("{:?}", settings.jails);
    };
    assert_eq!(jail.name.as_str(), "x");
    assert_eq!(jail.logpath[0].value, "/var/log/x.log");
    assert_eq!(jail.rules.maxretry.get(), 3);
    assert_eq!(jail.rules.ipv6_prefix, 128);
    assert_eq!(settings.exec.len(), 1);
}

#[test]
fn growing_bans_are_translated_option_by_option() {
    let of = |lines: &str| {
        let import = imported(&JAIL.replace("[off]", &format!("{lines}[off]")));
        let loaded = load(&import.files("/imported", String::new()));
        let settings = loaded.settings.unwrap();
        (
            settings.jails[0].rules.bantime_increment.clone(),
            import.report.to_string(),
        )
    };
    let (growing, report) = of(
        "bantime.increment = true\nbantime.factor = 2.0 / 2.885385\n\
        bantime.formula = ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)\n\
        bantime.maxtime = 5w\nbantime.rndtime = 8m\nbantime.overalljails = yes\n",
    );
    let growing = growing.unwrap();
    assert_eq!(growing.factor.get(), 2.0 / 2.885385);
    assert!(matches!(growing.growth, Growth::Formula(_)), "{growing:?}");
    assert_eq!(growing.maxtime, Some(Duration::from_secs(5 * 7 * 86_400)));
    assert_eq!(growing.rndtime, Duration::from_secs(480));
    assert!(growing.overalljails);
    for name in [
        "increment",
        "factor",
        "formula",
        "maxtime",
        "rndtime",
        "overalljails",
    ] {
        let told = format!("bantime.{name}");
        assert!(!report.contains(&format!("{told}:")), "{report}");
        assert!(report.contains(&told), "{told}\n{report}");
    }

    let (growing, report) = of("bantime.increment = true\nbantime.multipliers = 1 5 30\n\
        bantime.formula = ban.Time\nbantime.maxtime = 0\n");
    let growing = growing.unwrap();
    let expected = [1, 5, 30].map(Factor::from).to_vec();
    assert_eq!(growing.growth, Growth::Multipliers(expected));
    assert_eq!(growing.maxtime, Some(Duration::from_secs(1)));
    let left = "left out    bantime.formula: the multipliers count, also for fail2ban";
    assert!(report.contains(left), "{report}");

    let (growing, report) = of("bantime.maxtime = 5w\n");
    assert_eq!(growing, None);
    let left = "left out    bantime.maxtime: bantime.increment is off";
    assert!(report.contains(left), "{report}");
}

/// What becomes of the jail with these lines added: its settings, and the report.
fn with(lines: &str) -> (crate::settings::JailSettings, String) {
    let import = imported(&JAIL.replace("[off]", &format!("{lines}[off]")));
    let loaded = load(&import.files("/imported", String::new()));
    let told: Vec<String> = loaded.diagnostics.iter().map(Diagnostic::render).collect();
    let settings = loaded.settings.unwrap();
    let [jail] = settings.jails.as_slice() else {
        panic!("{told:#?}");
    };
    (jail.clone(), import.report.to_string())
}

#[test]
fn who_is_asked_and_what_stands_in_files_is_translated() {
    let (jail, report) = with(
        "ignorecache = key=\"<F-USER>@<ip>\", max-count=7, max-time=1h\n\
        ignoreself = yes\n",
    );
    assert_eq!(jail.rules.ignorecommand, ["/bin/x"]);
    let cache = jail.rules.ignorecache.unwrap();
    assert_eq!(cache.key, "<F-USER>@<ip>");
    assert_eq!(
        (cache.max_count, cache.max_time),
        (7, Duration::from_secs(3600))
    );
    assert!(report.contains("ignorecommand, ignorecache"), "{report}");
    assert!(jail.rules.ignoreself);

    for (command, why) in [
        ("/bin/x <ip> | grep a", "it needs a shell, for '|'"),
        ("/bin/x <matches>", "<matches> is text that attackers write"),
    ] {
        let jail = JAIL.replace(
            "ignorecommand = /bin/x",
            &format!("ignorecommand = {command}"),
        );
        let report = imported(&jail).report.to_string();
        assert!(
            report.contains(&format!("left out    ignorecommand: {why}")),
            "{report}"
        );
    }
    let (jail, report) = with("ignorecache = key=\"<F-X>\"\n");
    assert_eq!(jail.rules.ignorecache, None);
    assert!(
        report.contains("ignorecache: the tag <F-X> cannot stand in the key"),
        "{report}"
    );

    let import = imported(&JAIL.replace("192.0.2.0/24", "file:/etc/friends"));
    assert!(
        import.jails["x"].contains("\"file:/etc/friends\""),
        "{}",
        import.jails["x"]
    );
}

#[test]
fn a_jail_without_a_translation_is_broken_and_says_why() {
    let jails = format!(
        "{JAIL}[lost]\nenabled = true\nfilter = nothing\n[none]\nenabled = true\nfilter =\n"
    );
    let import = imported(&jails);
    assert!(!import.unknown);
    let broken: Vec<String> = import
        .broken
        .iter()
        .map(|jail| format!("{}: {}", jail.name, jail.why.message))
        .collect();
    assert_eq!(
        broken,
        [
            "lost: there is no filter 'nothing'",
            "none: it has no filter"
        ]
    );
    assert!(imported(&format!("[INCLUDES]\nbefore = jail.conf\n{JAIL}")).unknown);
}

#[test]
fn the_report_tells_what_became_of_everything() {
    let report = imported(JAIL).report.to_string();
    for line in [
        "  translated  enabled, logpath, bantime, ignoreip, ignorecommand, actionban of action page, port,",
        "  different   action nftables: bans are in stockade's own nftables table instead of fail2ban's nftables table (/etc/fail2ban/jail.conf:5)",
        "  different   action page: [exec.page] runs it, without a shell and without fail2ban's environment; \
         the ban comes as JSON on standard input (/etc/fail2ban/jail.conf:6)",
        "  left out    actionstart of action page: it is not run: what it prepares must be there before \
         stockade starts (/etc/fail2ban/action.d/page.conf:2)",
        "Not enabled, and so not translated:\n  off",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn a_broken_jail_is_named_and_the_others_are_translated() {
    let import = imported(&format!(
        "{JAIL}[broken]\nenabled = true\nfilter = nothing\n"
    ));
    assert_eq!(import.jails.keys().collect::<Vec<_>>(), ["x"]);
    let report = import.report.to_string();
    assert!(
        report.contains("[broken]\n  left out    the jail"),
        "{report}"
    );
    assert!(report.contains("there is no filter 'nothing'"), "{report}");
}

#[test]
fn jails_with_other_patterns_have_filters_of_their_own() {
    let jails =
        format!("{JAIL}[y]\nenabled = true\nfilter = x\nfailregex = ^y <HOST>$\nlogpath = /y\n");
    let import = imported(&jails);
    assert_eq!(import.filters.keys().collect::<Vec<_>>(), ["x", "x-y"]);
    assert!(
        import.jails["y"].contains("filter = \"x-y\""),
        "{}",
        import.jails["y"]
    );
}

/// The lines of the report about a jail.
fn told(import: &Import, jail: &str) -> String {
    let report = import.report.to_string();
    let parts = report.split("\n\n");
    let head = format!("[{jail}]\n");
    let part = parts.filter_map(|part| part.strip_prefix(&*head)).next();
    part.unwrap_or_else(|| panic!("nothing of {jail} in\n{report}"))
        .to_owned()
}

/// What comes of one jail with these lines, loaded.
#[track_caller]
fn loaded(import: &Import) -> crate::Settings {
    let loaded = load(&import.files("/imported", String::new()));
    let told: Vec<String> = loaded.diagnostics.iter().map(Diagnostic::render).collect();
    loaded.settings.unwrap_or_else(|| panic!("{told:#?}"))
}

const PLAIN: &str = "[x]\nenabled = true\nfilter = x\nlogpath = /x\n";

#[test]
fn what_all_jails_share_stands_in_defaults_and_what_is_built_in_nowhere() {
    let import = imported(
        "[DEFAULT]\nfindtime = 1h\nbantime = 10m\nmaxretry = 4\nmaxmatches = %(maxretry)s\nignoreip = 192.0.2.0/24\n\
         logpath = /x\nfilter = x\nenabled = true\naction = nftables[port=22]\n\
         [a]\n[b]\nmaxretry = 9\nfindtime = 2h\nlogtimezone = CET\n[c]\nmaxmatches = 7\nbackend = systemd\n",
    );
    let defaults = import.main.split("[defaults]\n").nth(1).unwrap();
    let defaults = defaults.split("\n\n").next().unwrap();
    assert_eq!(
        defaults,
        "maxretry = 4\nfindtime = \"1h\"\nignoreip = [\"192.0.2.0/24\"]\n\
         # fail2ban counts each IPv6 address by itself; 64 would count networks.\nipv6_prefix = 128\n\
         usedns = \"warn\"\nbackend = \"file\""
    );
    let file = |name: &str| import.jails[name].as_str();
    assert_eq!(
        file("a"),
        "# From /etc/fail2ban/jail.conf:11.\n\nenabled = true\nfilter = \"x\"\nlogpath = [\"/x\"]\n\nport = [\"22\"]\n"
    );
    for line in [
        "maxretry = 9\n",
        "findtime = \"2h\"\n",
        "logtimezone = \"+01:00\"\n",
    ] {
        assert!(file("b").contains(line), "{}", file("b"));
    }
    assert!(!file("b").contains("maxmatches"), "{}", file("b"));
    assert!(file("c").contains("maxmatches = 7\n"), "{}", file("c"));
    assert!(
        file("c").contains("backend = \"journal\"\n"),
        "{}",
        file("c")
    );
    let settings = loaded(&import);
    let of = |name: &str| {
        let jail = settings
            .jails
            .iter()
            .find(|jail| jail.name.as_str() == name);
        &jail.unwrap().rules
    };
    assert_eq!((of("b").maxmatches, of("c").maxmatches), (9, 7));
    assert_eq!((of("a").maxretry.get(), of("c").maxretry.get()), (4, 4));
}

#[test]
fn a_built_in_jail_of_the_same_name_changes_nothing() {
    let (name, text) = stock::JAILS[0];
    let jails = format!(
        "[DEFAULT]\nlogpath = /x\nfilter = x\nenabled = true\naction = nftables[port=22]\n[{name}]\n[other]\n"
    );
    let import = imported(&jails);
    let settings = loaded(&import);
    let [ours, other] = ["other", name].map(|name| {
        let jail = settings
            .jails
            .iter()
            .find(|jail| jail.name.as_str() == name);
        jail.unwrap()
    });
    assert!(text.contains("logpath"), "{text}");
    assert_eq!(ours.rules, other.rules);
    assert_eq!((&ours.port, &ours.protocol), (&other.port, &other.protocol));
    assert_eq!(ours.logpath.len(), other.logpath.len());
}

#[test]
fn built_in_jails_that_are_not_enabled_in_fail2ban_are_off() {
    let import = imported(PLAIN);
    let settings = loaded(&import);
    let on: Vec<&str> = settings
        .jails
        .iter()
        .map(|jail| jail.name.as_str())
        .collect();
    assert_eq!(on, ["x"]);
    assert_eq!(settings.absent, []);
    assert_eq!(settings.disabled.len(), stock::JAILS.len());
}

#[test]
fn values_that_stockade_does_not_take_are_cut_and_told() {
    let import = imported(&format!(
        "{PLAIN}action = nftables\nmaxretry = 5000\nmaxmatches = 1000000\nfindtime = 0.5\nbantime = 200 years\n\
         logencoding = utf-16\nlogtimezone = Mars\n"
    ));
    let rules = &loaded(&import).jails[0].rules;
    assert_eq!((rules.maxretry.get(), rules.maxmatches), (1000, 1000));
    assert_eq!(rules.findtime, Duration::from_secs(1));
    let said = told(&import, "x");
    for line in [
        "different   maxretry: 1000 is the most that stockade takes (/etc/fail2ban/jail.conf:6)",
        "different   maxmatches: 1000 is the most",
        "different   findtime: 1s here: whole seconds",
        "different   bantime: 5200w here",
        "left out    logencoding: lines of it cannot be told apart; logs are read as UTF-8 (/etc/fail2ban/jail.conf:10)",
        "left out    logtimezone: it is no zone that fail2ban knows",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}

#[test]
fn what_fail2ban_does_without_a_log_is_said_to_be_another_thing_here() {
    let import = imported(&format!(
        "{PLAIN}action = nftables\nskip_if_nologs = true\nsystemd_if_nologs = no\n"
    ));
    let said = told(&import, "x");
    for option in ["skip_if_nologs", "systemd_if_nologs"] {
        let line = format!("left out    {option}: a log need not exist yet: the jail waits for it");
        assert!(said.contains(&line), "{line}\n{said}");
    }
}

#[test]
fn where_lines_come_from_is_translated_or_the_jail_is_left_out() {
    let of = |lines: &str| {
        imported(&format!(
            "[x]\nenabled = true\nfilter = x\naction = nftables\n{lines}"
        ))
    };
    let import = of("logpath = /a/*.log\n  /b tail\nbackend = polling\n");
    assert!(import.jails["x"].contains("logpath = [\"/a/*.log\", \"/b\"]"));
    let said = told(&import, "x");
    assert!(
        said.contains("different   logpath: '/b' is read from its beginning where it is new"),
        "{said}"
    );
    assert!(
        said.contains("different   backend: files are watched by inotify"),
        "{said}"
    );

    let import = of("logpath = /x\nbackend = systemd[journalpath=/y, namespace=z]\n");
    assert!(
        import.jails["x"].contains("journalmatch = [[\"_SYSTEMD_UNIT=x.service\"], [\"_COMM=x\"]]")
    );
    let said = told(&import, "x");
    for line in [
        "left out    logpath: the jail reads the journal",
        "left out    namespace of backend",
        "left out    journalpath of backend",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }

    let silent = "[Definition]\nfailregex = ^<HOST>$\n";
    let import = imported_with(
        &format!("{PLAIN}backend = systemd\n"),
        &[("filter.d/x.conf", silent)],
    );
    assert!(
        import.jails["x"].contains("# The whole journal, which fail2ban reads"),
        "{}",
        import.jails["x"]
    );
    assert_eq!(loaded(&import).jails[0].journalmatch.len(), 6);

    for (lines, why) in [
        ("", "the jail: it reads files and has no logpath"),
        (
            "logpath = x.log\n",
            "the jail: its logpath 'x.log' is not absolute",
        ),
        (
            "backend = systemd\njournalmatch = x\n",
            "the jail: its journalmatch cannot be used",
        ),
    ] {
        let import = of(lines);
        assert!(import.jails.is_empty(), "{lines}");
        assert!(
            told(&import, "x").contains(why),
            "{why}\n{}",
            told(&import, "x")
        );
    }
}

#[test]
fn a_pattern_that_cannot_be_used_is_told_with_its_place_and_leaves_out_its_jail_alone() {
    let jails = format!("{PLAIN}[y]\nenabled = true\nfilter = y\nlogpath = /y\n");
    let broken = "[Definition]\nfailregex = ^good <HOST>$\n  ^bad ((( <HOST>$\n";
    let import = imported_with(&jails, &[("filter.d/y.conf", broken)]);
    assert_eq!(import.jails.keys().collect::<Vec<_>>(), ["x"]);
    assert_eq!(import.filters.keys().collect::<Vec<_>>(), ["x"]);
    loaded(&import);
    let report = import.report.to_string();
    let expected = "/etc/fail2ban/filter.d/y.conf:3:8: the bracket is not closed\n  3 |   ^bad ((( <HOST>$\n    |        ^";
    assert!(report.contains(expected), "{report}");
    assert!(
        told(&import, "y").contains(
            "the jail: a pattern of its filter cannot be used: the bracket is not closed"
        )
    );
}

#[test]
fn a_jail_that_stockade_would_refuse_does_not_keep_the_others_from_running() {
    let huge = "x".repeat(20_000);
    let jails = format!(
        "{PLAIN}[y]\nenabled = true\nfilter = y\nlogpath = /y\n[z]\nenabled = true\nfilter = x\nlogpath = /{}\n",
        "z".repeat(5_000)
    );
    let filter = format!("[Definition]\nfailregex = ^{huge} <HOST>$\n");
    let import = imported_with(&jails, &[("filter.d/y.conf", &filter)]);
    assert_eq!(import.jails.keys().collect::<Vec<_>>(), ["x"]);
    loaded(&import);
    let said = told(&import, "y");
    assert!(
        said.contains(
            "left out    the jail: stockade refuses what it comes to: a pattern has at most"
        ),
        "{said}"
    );
    let said = told(&import, "z");
    assert!(
        said.contains("stockade refuses what it comes to: 'logpath' is too long"),
        "{said}"
    );
}

#[test]
fn what_nobody_has_said_a_word_about_is_reported() {
    let tree = tree(&[("jail.conf", "[x]\n")]);
    let mut scribe = Scribe::new(&tree);
    let parts = ["a", "b", "c of a"].map(|part| (part.to_owned(), None));
    scribe.begin("x", parts.into());
    scribe.translated("a");
    scribe.end();
    let notes = scribe.into_notes();
    let told: Vec<(&str, Verdict)> = notes.iter().map(|it| (&*it.what, it.verdict)).collect();
    assert_eq!(
        told,
        [
            ("a", Verdict::Translated),
            ("b", Verdict::Left),
            ("c of a", Verdict::Left)
        ]
    );
}

#[test]
fn the_daemons_own_options_are_told() {
    let conf = "[Definition]\nloglevel = NOTICE\nlogtarget = SYSLOG\nsocket = /s\npidfile = /p\ndbfile = None\n\
                dbpurgeage = 2d\ndbmaxmatches = 3\nallowipv6 = no\nsyslogsocket = auto\n[Thread]\nstacksize = 64\n";
    let import = imported_with(PLAIN, &[("fail2ban.conf", conf)]);
    assert!(
        import
            .main
            .contains("[daemon]\nlog_level = \"info\"\ndb_purge_age = \"2d\"\n"),
        "{}",
        import.main
    );
    let report = import.report.to_string();
    for line in [
        "different   loglevel: it is 'info' here",
        "different   dbfile: stockade keeps bans in a database of its own, always",
        "different   dbmaxmatches: as many lines of a ban are stored",
        "left out    allowipv6: IPv6 is always understood (/etc/fail2ban/fail2ban.conf:9)",
        "left out    stacksize",
        "different   logtarget",
        "different   socket",
        "different   pidfile",
        "different   syslogsocket",
        "translated  dbpurgeage",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    assert!(!report.contains("stockade knows nothing"), "{report}");
}
