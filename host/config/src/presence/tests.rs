use std::sync::Arc;

use super::Presence;
use crate::load::{ConfigFile, ConfigFiles, Loaded, load};

/// A host with one log file and one unit.
#[derive(Debug)]
struct Host {
    glob: &'static str,
    unit: &'static str,
}

impl Presence for Host {
    fn file(&self, glob: &str) -> bool {
        glob == self.glob
    }

    fn unit(&self, name: &str) -> bool {
        name == self.unit
    }
}

fn load_on(host: Option<Host>, jail: &str) -> Loaded {
    let main = format!(
        "[jails.sshd]\nenabled = false\n[jails.web]\nfilter = 'sshd'\nenabled = 'auto'\n{jail}"
    );
    let mut files = ConfigFiles {
        main: Some(ConfigFile {
            path: "stockade.toml".to_owned(),
            bytes: main.into_bytes(),
        }),
        ..ConfigFiles::default()
    };
    files.host = host.map(|host| Arc::new(host) as Arc<dyn Presence>);
    load(&files)
}

/// Why the jail `web` is off; `None` where it is on.
fn why_off(host: Option<Host>, jail: &str) -> Option<String> {
    let settings = load_on(host, jail).settings.unwrap();
    let on = settings
        .jails
        .iter()
        .any(|jail| jail.name.as_str() == "web");
    let off = settings
        .absent
        .into_iter()
        .find(|jail| jail.name.as_str() == "web");
    assert_ne!(on, off.is_some(), "a jail is either on or off");
    off.map(|jail| jail.why)
}

fn host(glob: &'static str, unit: &'static str) -> Option<Host> {
    Some(Host { glob, unit })
}

const BOTH: &str =
    "logpath = ['/a.log', '/b/*.log']\njournalmatch = [['_SYSTEMD_UNIT=a.service', '_UID=0']]";

#[test]
fn a_jail_is_on_where_one_of_its_logs_or_units_is_there() {
    assert_eq!(why_off(host("/b/*.log", ""), BOTH), None);
    assert_eq!(why_off(host("", "a.service"), BOTH), None);
}

#[test]
fn a_jail_of_which_nothing_is_there_is_off_and_says_what_was_looked_for() {
    let why = "no file /a.log, /b/*.log and no unit a.service";
    assert_eq!(why_off(host("/c.log", "b.service"), BOTH).unwrap(), why);
    assert_eq!(why_off(None, BOTH).unwrap(), why);
}

#[test]
fn only_what_the_backend_reads_is_looked_for() {
    let file = format!("backend = 'file'\n{BOTH}");
    assert_eq!(
        why_off(host("", "a.service"), &file).unwrap(),
        "no file /a.log, /b/*.log"
    );
    let journal = format!("backend = 'journal'\n{BOTH}");
    assert_eq!(
        why_off(host("/a.log", ""), &journal).unwrap(),
        "no unit a.service"
    );
}

#[test]
fn a_jail_that_can_never_be_found_is_a_mistake() {
    for jail in [
        "journalmatch = [['_COMM=web']]\nbackend = 'journal'",
        "backend = 'stdin'",
    ] {
        let loaded = load_on(host("", ""), jail);
        let settings = loaded.settings.unwrap();
        assert_eq!(settings.broken[0].name, "web");
        assert_eq!(settings.jails, []);
        assert!(
            loaded.diagnostics[0].message.contains("\"auto\""),
            "{}",
            loaded.diagnostics[0].message
        );
    }
}

#[test]
fn mistakes_in_a_jail_that_is_off_are_found_too() {
    let loaded = load_on(None, "logpath = '/a.log'\nfilter = 'none'");
    assert!(loaded.settings.is_none());
}

#[test]
fn a_host_without_any_jail_of_its_own_is_warned_that_nothing_is_protected() {
    let loaded = load_on(None, BOTH);
    assert!(
        loaded
            .diagnostics
            .iter()
            .any(|found| found.message.contains("nothing is protected"))
    );
}
