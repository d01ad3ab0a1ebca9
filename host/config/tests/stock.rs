//! What we ship: the commented stock file and the built-in jail say what the code does.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

use stockade_config::{ConfigFile, ConfigFiles, FilterChoice, Loaded, Ports, Settings, load};

const STOCK: &str = include_str!("../../../config/stockade.toml");

fn load_main(text: &str) -> Loaded {
    let main = ConfigFile {
        path: "stockade.toml".to_owned(),
        bytes: text.as_bytes().to_vec(),
    };
    load(&ConfigFiles {
        main: Some(main),
        ..ConfigFiles::default()
    })
}

fn settings(loaded: &Loaded) -> &Settings {
    let said: String = loaded
        .diagnostics
        .iter()
        .map(|found| found.render())
        .collect();
    assert_eq!(said, "");
    loaded.settings.as_ref().unwrap()
}

/// Every line that shows a setting, its `#` removed.
fn uncommented() -> String {
    let lines = STOCK.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            setting
        }
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The parts of the stock file before its examples, uncommented, as one text for each table.
#[cfg(not(target_os = "freebsd"))]
fn defaults_of_stock_file() -> String {
    let text = uncommented();
    let (defaults, _) = text.split_once("# Jails ---").unwrap();
    // Shown for who looks for it, but not a default.
    defaults
        .replace("socket_group =", "#")
        .replace("maxmatches =", "#")
        .replace("protocol =", "#")
}

#[test]
fn a_host_without_a_file_is_protected() {
    let loaded = load(&ConfigFiles::default());
    let settings = settings(&loaded);
    assert_eq!(settings.jails.len(), 1);
    let sshd = &settings.jails[0];
    assert_eq!(sshd.name.as_str(), "sshd");
    assert!(matches!(&sshd.filter, FilterChoice::Plain(filter) if !filter.failregex.is_empty()));
    assert!(!sshd.logpath.is_empty() && !sshd.journalmatch.is_empty());
    assert!(matches!(&sshd.port, Ports::Some(ports) if ports[0].first == 22));
}

/// The settings without the numbers of files, which differ where there is one file more.
fn shown(loaded: &Loaded) -> String {
    let text = format!("{:?}", settings(loaded));
    let mut parts = text.split("FileIndex(");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        text + "FileIndex" + part.split_once(')').unwrap().1
    })
}

#[test]
fn the_stock_file_as_it_is_shipped_changes_nothing() {
    let bare = load(&ConfigFiles::default());
    let stock = load_main(STOCK);
    assert_eq!(shown(&stock), shown(&bare));
}

#[test]
fn every_setting_of_the_stock_file_is_valid() {
    let loaded = load_main(&uncommented());
    let settings = settings(&loaded);
    assert_eq!(settings.jails.len(), 3);
    assert_eq!(settings.plugins.len(), 2);
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn the_defaults_that_the_stock_file_shows_are_those_that_hold() {
    let bare = load(&ConfigFiles::default());
    let text = defaults_of_stock_file();
    let shown = load_main(&text);
    let (bare, shown) = (settings(&bare), settings(&shown));
    assert_eq!(shown.daemon, bare.daemon);
    // Programs are shown as an example.
    let mut firewall = shown.firewall.clone();
    firewall.exec.clear();
    assert_eq!(firewall, bare.firewall);
    let rules = |settings: &Settings| settings.jails[0].rules.clone();
    assert_eq!(rules(shown), rules(bare));
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn the_unit_file_gives_the_daemon_the_folders_of_its_defaults() {
    let unit = include_str!("../../../config/stockade.service");
    let value = |key: &str| {
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    let bare = load(&ConfigFiles::default());
    let daemon = &settings(&bare).daemon;
    let state = format!("/var/lib/{}", value("StateDirectory"));
    assert_eq!(daemon.state_dir.to_str(), Some(state.as_str()));
    let run = format!("/run/{}", value("RuntimeDirectory"));
    assert_eq!(daemon.socket.parent().unwrap().to_str(), Some(run.as_str()));
    // wasmtime makes memory executable after writing it.
    assert_eq!(value("MemoryDenyWriteExecute"), "");
    for needed in [
        "CAP_NET_ADMIN",
        "CAP_DAC_READ_SEARCH",
        "CAP_CHOWN",
        "CAP_SYS_PTRACE",
    ] {
        assert!(value("CapabilityBoundingSet").contains(needed), "{needed}");
    }
}
