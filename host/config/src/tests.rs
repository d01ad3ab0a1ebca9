//! What holds for every configuration, whatever its bytes.

use std::time::Duration;

use proptest::prelude::*;
use stockade_core::{BanTime, BanTimeIncrement, Factor, Growth};

use crate::load::{ConfigFile, ConfigFiles, load, read_all};
use crate::reading::Reading;
use crate::reference::{KEYS, Section, keys_of};
use crate::{Diagnostic, FilterChoice, LogBackend, LogLevel, LogTarget, Protocol, load_filter};

/// A configuration in which every table occurs.
const FULL: &str = include_str!("../../../tests/config/valid/everything.toml");

fn file(path: &str, bytes: &[u8]) -> ConfigFile {
    ConfigFile {
        path: path.to_owned(),
        bytes: bytes.to_vec(),
    }
}

fn files(main: &[u8]) -> ConfigFiles {
    ConfigFiles {
        main: Some(file("stockade.toml", main)),
        ..ConfigFiles::default()
    }
}

#[test]
fn the_reader_asks_for_the_keys_of_the_reference_and_no_others() {
    let mut reading = Reading::default();
    let _read = read_all(&files(FULL.as_bytes()), &mut reading);
    assert!(!reading.diagnostics.failed());
    let listed: std::collections::BTreeSet<_> = KEYS
        .iter()
        .map(|key| key.section)
        .flat_map(|section| keys_of(section).map(move |name| (section, name)))
        .collect();
    assert_eq!(reading.asked, listed);
}

#[test]
fn the_defaults_of_the_reference_are_those_that_hold() {
    let bare = load(&ConfigFiles::default()).settings.unwrap();
    let mut text = String::new();
    for (section, header) in [
        (Section::Daemon, "[daemon]"),
        (Section::Firewall, "[firewall]"),
        (Section::Defaults, "[defaults]"),
        (
            Section::Jail,
            "[jails.extra]\nfilter = \"sshd\"\nlogpath = \"/x\"",
        ),
    ] {
        text.push_str(&format!("{header}\n"));
        let given = KEYS
            .iter()
            .filter(|key| key.section == section && !key.default.is_empty());
        for key in given {
            text.push_str(&format!("{} = {}\n", key.name, key.default));
        }
    }
    let loaded = load(&files(text.as_bytes()));
    assert_eq!(loaded.diagnostics, []);
    let shown = loaded.settings.unwrap();
    if !cfg!(target_os = "freebsd") {
        assert_eq!(shown.daemon, bare.daemon);
    }
    assert_eq!(shown.firewall, bare.firewall);
    assert_eq!(shown.jails.len(), 2);
    for jail in &shown.jails {
        assert_eq!(jail.rules, bare.jails[0].rules);
    }
    assert_eq!(shown.jails[0].port, crate::Ports::All);
}

#[test]
fn every_value_arrives_as_its_type() {
    let settings = load(&files(FULL.as_bytes())).settings.unwrap();
    let daemon = &settings.daemon;
    assert_eq!(daemon.socket_group.as_ref().unwrap().value, "adm");
    assert_eq!(
        daemon.log_target,
        LogTarget::File("/var/log/stockade.log".into())
    );
    assert_eq!(daemon.log_level, LogLevel::Debug);
    assert_eq!(daemon.db_purge_age, Duration::from_secs(14 * 24 * 3_600));

    let names: Vec<_> = settings
        .jails
        .iter()
        .map(|jail| jail.name.as_str())
        .collect();
    assert_eq!(names, ["pipe", "sshd", "web"]);
    assert!(settings.disabled.iter().any(|name| name.as_str() == "off"));
    let [pipe, sshd, web] = &settings.jails[..] else {
        panic!("three jails");
    };
    assert_eq!(pipe.rules.backend, LogBackend::Stdin);
    assert_eq!(sshd.rules.bantime, BanTime::Forever);
    assert_eq!(sshd.rules.findtime, Duration::from_secs(5_400));
    assert_eq!(sshd.rules.ignoreip.len(), 6);
    assert_eq!(
        sshd.rules.ignorecommand,
        ["/usr/local/bin/is-friend", "<ip>"]
    );
    let cache = sshd.rules.ignorecache.as_ref().unwrap();
    assert_eq!(
        (cache.key.as_str(), cache.max_count),
        ("<F-USER>@<ip>", 1000)
    );
    assert_eq!(cache.max_time, Duration::from_secs(3600));
    assert_eq!(pipe.rules.ignorecommand, Vec::<String>::new());
    assert_eq!(pipe.rules.ignorecache, None);
    let shown = format!("{:?}", sshd.port);
    assert_eq!(shown.matches("PortRange").count(), 3, "{shown}");
    assert_eq!(sshd.protocol, [Protocol::Tcp]);
    assert_eq!(web.protocol, [Protocol::Tcp, Protocol::Udp]);
    assert_eq!(
        web.filter,
        FilterChoice::Plugin(stockade_core::PluginName::try_new("web").unwrap())
    );
    assert_eq!(web.rules.actions, []);
    assert_eq!(web.logpath[0].value, "/var/log/web/*.log");

    let webhook = &settings.plugins["webhook"];
    assert_eq!(webhook.path.to_str(), Some("/opt/plugins/webhook.wasm"));
    assert_eq!(settings.plugins["web"].path.to_str(), Some("/opt/web.wasm"));
    assert_eq!(
        webhook.grant.http[0].origin.to_string(),
        "https://hooks.example.com:8443"
    );
    assert!(webhook.grant.http[1].private && !webhook.grant.http[0].private);
    assert_eq!(webhook.settings["retries"], "3");
    assert_eq!(webhook.settings["verbose"], "false");
    assert_eq!(webhook.settings["header.X-Api-Key"], "secret");
    assert_eq!(webhook.limits.memory, Some(64 << 20));
}

#[test]
fn a_pattern_error_is_shown_where_the_pattern_is_written() {
    let text = "failregex = [\n  'ok <HOST>',\n  \"bad \\\\( (<HOST>\",\n]\n";
    let loaded = load_filter(&file("filters/web.toml", text.as_bytes()));
    let filter = loaded.filter.unwrap();
    assert_eq!(filter.name, "web");
    let pattern = &filter.failregex[1];
    assert_eq!(pattern.value, r"bad \( (<HOST>");
    let within = pattern.value.rfind('(');
    let found = Diagnostic::at(
        &loaded.sources,
        pattern.origin,
        within,
        "unclosed group",
        None,
    );
    let expected = "filters/web.toml:3:12: unclosed group\n  3 |   \"bad \\\\( (<HOST>\",\n    |            ^\n";
    assert_eq!(found.render(), expected);
    let whole = Diagnostic::at(&loaded.sources, pattern.origin, None, "too large", None);
    assert_eq!(
        whole.excerpt.unwrap().mark_len,
        r#""bad \\( (<HOST>""#.len()
    );
}

#[test]
fn a_filter_file_replaces_the_built_in_one_as_a_whole() {
    let mut own = ConfigFiles::default();
    own.filters
        .push(file("filters/sshd.toml", b"failregex = 'mine <HOST>'"));
    let settings = load(&own).settings.unwrap();
    let FilterChoice::Plain(filter) = &settings.jails[0].filter else {
        panic!("the jail uses a plugin");
    };
    assert_eq!(filter.failregex.len(), 1);
    assert_eq!(filter.prefregex, None);
}

#[test]
fn later_files_win_key_by_key() {
    let mut own = files(b"[defaults]\nmaxretry = 3\nfindtime = 60\n[jails.sshd]\nbantime = 70");
    own.jails
        .push(file("jails/sshd.toml", b"port = 2222\nbantime = 80"));
    own.dropins
        .push(file("stockade.d/a.toml", b"[defaults]\nmaxretry = 4"));
    own.dropins
        .push(file("stockade.d/b.toml", b"[jails.sshd]\nmaxmatches = 9"));
    let loaded = load(&own);
    let jail = &loaded.settings.unwrap().jails[0];
    assert_eq!(jail.rules.maxretry.get(), 4);
    assert_eq!(jail.rules.findtime.as_secs(), 60);
    assert_eq!(jail.rules.bantime.to_string(), "70");
    assert_eq!(jail.rules.maxmatches, 9);
    assert_eq!(
        jail.port,
        crate::Ports::Some(vec![crate::PortRange {
            first: 2222,
            last: 2222
        }])
    );
    // The stock jail's keys that nobody changed stay.
    assert!(!jail.logpath.is_empty());
    assert_eq!(loaded.diagnostics.len(), 1, "bantime is set in two places");
}

#[test]
fn a_jails_own_table_of_growing_bans_changes_what_it_names() {
    let text = b"[defaults]\nbantime_increment = { factor = 1.5, maxtime = '5w' }\n\
        [jails.sshd]\nenabled = true\nbantime_increment = { multipliers = [1, 2], rndtime = 60 }";
    let settings = load(&files(text)).settings.unwrap();
    let growing = settings.jails[0].rules.bantime_increment.clone();
    let expected = BanTimeIncrement {
        growth: Growth::Multipliers([1, 2].map(Factor::from).into()),
        factor: Factor::try_new(1.5).unwrap(),
        maxtime: Some(Duration::from_secs(5 * 7 * 24 * 3_600)),
        rndtime: Duration::from_secs(60),
        overalljails: false,
    };
    assert_eq!(growing, Some(expected));
}

#[test]
fn bans_grow_where_a_jail_or_the_defaults_say_so() {
    let growing = |text: &str| {
        let settings = load(&files(text.as_bytes())).settings.unwrap();
        settings.jails[0].rules.bantime_increment.clone()
    };
    let doubling = Some(BanTimeIncrement::default());
    assert_eq!(growing("[jails.sshd]\nenabled = true"), None);
    let on = "[defaults]\nbantime_increment = true\n[jails.sshd]\nenabled = true\n";
    assert_eq!(growing(on), doubling);
    assert_eq!(growing(&format!("{on}bantime_increment = false")), None);
    assert_eq!(
        growing("[jails.sshd]\nenabled = true\nbantime_increment = {}"),
        doubling
    );
    let off = format!("{on}bantime_increment = {{ enabled = false, factor = 3 }}");
    assert_eq!(growing(&off), None);
}

#[test]
fn matches_kept_follow_maxretry_unless_they_are_set() {
    let jail = |text: &[u8]| {
        load(&files(text)).settings.unwrap().jails[0]
            .rules
            .maxmatches
    };
    assert_eq!(jail(b"[jails.sshd]\nmaxretry = 9"), 9);
    assert_eq!(
        jail(b"[defaults]\nmaxmatches = 2\n[jails.sshd]\nmaxretry = 9"),
        2
    );
}

#[test]
fn protocols_follow_the_ports_unless_they_are_set() {
    let protocol = |text: &[u8]| {
        load(&files(text)).settings.unwrap().jails[0]
            .protocol
            .clone()
    };
    assert_eq!(protocol(b"[jails.sshd]\nport = \"ssh\""), [Protocol::Tcp]);
    assert_eq!(protocol(b"[jails.sshd]\nport = \"all\""), []);
    assert_eq!(
        protocol(b"[jails.sshd]\nprotocol = [\"udp\", \"tcp\", \"udp\"]").len(),
        2
    );
    assert_eq!(protocol(b"[jails.sshd]\nprotocol = \"all\""), []);
}

#[test]
fn a_file_full_of_mistakes_is_told_in_bounded_space() {
    let text: String = (0..20_000)
        .map(|number| format!("key{number} = \n"))
        .collect();
    let loaded = load(&files(text.as_bytes()));
    assert!(loaded.settings.is_none());
    assert!(loaded.diagnostics.len() <= 101);
    let rendered: usize = loaded
        .diagnostics
        .iter()
        .map(|found| found.render().len())
        .sum();
    assert!(rendered < 100_000);
}

#[test]
fn more_jails_and_plugins_than_a_host_can_bear_are_refused() {
    let jails: String = (0..1_001)
        .map(|number| format!("[jails.j{number}]\nenabled = false\n"))
        .collect();
    let loaded = load(&files(jails.as_bytes()));
    assert_eq!(
        loaded.diagnostics[0].message,
        "there are 1001 jails, at most 1000 are allowed"
    );
    let plugins: String = (0..257)
        .map(|number| format!("[plugins.p{number}]\npath = 'x'\n"))
        .collect();
    let loaded = load(&files(plugins.as_bytes()));
    assert_eq!(
        loaded.diagnostics[0].message,
        "there are 257 plugins, at most 256 are allowed"
    );
}

#[test]
fn a_pattern_of_a_megabyte_breaks_the_jails_of_its_filter_only() {
    let jail = |name: &str| format!("filter = '{name}'\nlogpath = '/x.log'\n").into_bytes();
    let pattern = "x".repeat((1 << 20) - 100);
    let text = format!("failregex = ['^a <HOST>$', '{pattern}']\n");
    let loaded = load(&ConfigFiles {
        jails: vec![
            file("jails/a.toml", &jail("long")),
            file("jails/b.toml", &jail("sshd")),
        ],
        filters: vec![file("filters/long.toml", text.as_bytes())],
        ..ConfigFiles::default()
    });
    let settings = loaded.settings.unwrap();
    let broken = &settings.broken[0];
    assert_eq!(
        broken.why.to_string(),
        format!(
            "filters/long.toml:1:28: a pattern has at most 16384 bytes, this one has {}",
            pattern.len()
        )
    );
    assert_eq!((broken.name.as_str(), settings.broken.len()), ("a", 1));
    assert!(settings.jails.iter().any(|jail| jail.name.as_str() == "b"));
    // A whole megabyte is more than a file may have.
    let text = format!("failregex = ['{}']\n", "x".repeat(1 << 20));
    let loaded = load_filter(&file("filters/long.toml", text.as_bytes()));
    assert_eq!(
        loaded.diagnostics[0].message,
        "the file is larger than 1024 KiB"
    );
}

/// Loads bytes as every kind of file. Nothing is refused or left out without an error, and what is
/// broken is not used.
fn load_as_everything(bytes: &[u8]) -> Result<(), TestCaseError> {
    let all = ConfigFiles {
        main: Some(file("stockade.toml", bytes)),
        dropins: vec![file("stockade.d/x.toml", bytes)],
        jails: vec![file("jails/x.toml", bytes)],
        filters: vec![file("filters/x.toml", bytes)],
        services: String::from_utf8_lossy(bytes).into_owned(),
        ..ConfigFiles::default()
    };
    for loaded in [load(&all), load(&files(bytes))] {
        let errors = loaded
            .diagnostics
            .iter()
            .filter(|found| found.is_error())
            .count();
        let Some(settings) = &loaded.settings else {
            prop_assert!(errors > 0);
            continue;
        };
        prop_assert!(errors > 0 || settings.broken.is_empty());
        for jail in &settings.jails {
            prop_assert!(
                settings
                    .broken
                    .iter()
                    .all(|broken| broken.name != jail.name.as_str())
            );
        }
        for found in &loaded.diagnostics {
            prop_assert!(!found.render().is_empty());
        }
    }
    let loaded = load_filter(&file("x.toml", bytes));
    let failed = loaded.diagnostics.iter().any(Diagnostic::is_error);
    prop_assert_eq!(loaded.filter.is_none(), failed);
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        load_as_everything(&bytes)?;
    }

    #[test]
    fn any_text_that_looks_like_toml_is_read_without_a_panic(
        text in "([a-z]{1,3}|[\\[\\]{}=,.\"'#\n\\\\ ]|\"\"\"|'''|true|-1|[0-9]{1,20}|é|\u{202e}){0,80}",
    ) {
        load_as_everything(text.as_bytes())?;
    }

    #[test]
    fn a_damaged_configuration_is_read_without_a_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..12),
    ) {
        let mut bytes = FULL.as_bytes().to_vec();
        for (place, byte, kind) in changes {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        load_as_everything(&bytes)?;
    }

    #[test]
    fn a_cut_configuration_is_read_without_a_panic(end in any::<prop::sample::Index>()) {
        load_as_everything(&FULL.as_bytes()[..end.index(FULL.len())])?;
    }

    #[test]
    fn values_of_a_wrong_kind_are_errors_and_no_panic(
        which in any::<prop::sample::Index>(),
        value in prop::sample::select(vec!["1", "-1", "1.5", "true", "'x'", "''", "[]", "{}", "1979-05-27", "[[]]", "[1, 'a']"]),
    ) {
        let key = &KEYS[which.index(KEYS.len())];
        let text = match key.section {
            Section::Root => format!("{} = {value}", key.name),
            Section::Daemon => format!("[daemon]\n{} = {value}", key.name),
            Section::Firewall => format!("[firewall]\n{} = {value}", key.name),
            Section::Defaults => format!("[defaults]\n{} = {value}", key.name),
            Section::Jail => format!("[jails.x]\n{} = {value}", key.name),
            Section::Increment => format!("[defaults.bantime_increment]\n{} = {value}", key.name),
            Section::IgnoreCache => format!("[defaults.ignorecache]\n{} = {value}", key.name),
            Section::JailFilter => format!("[jails.x]\nfilter = {{ {} = {value} }}", key.name),
            Section::Plugin => format!("[plugins.x]\n{} = {value}", key.name),
            Section::Grant => format!("[plugins.x.grant]\n{} = {value}", key.name),
            Section::HttpGrant => format!("[plugins.x]\ngrant.http = [{{ {} = {value} }}]", key.name),
            Section::Limits => format!("[plugins.x.limits]\n{} = {value}", key.name),
            Section::ExecFirewall => format!("[firewall.exec.x]\n{} = {value}", key.name),
            Section::Exec => format!("[exec.x]\n{} = {value}", key.name),
            Section::Filter => format!("{} = {value}", key.name),
        };
        load_as_everything(text.as_bytes())?;
    }
}
