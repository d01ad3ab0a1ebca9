//! Debian's complete fail2ban configuration, with every jail enabled and with what people lay over it,
//! translated and loaded.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stockade_config::fail2ban::{
    Import, ImportHost, PatternFault, ResolvedFilter, ResolvedJail, Selection, Tree, UseHostNames,
    Verdict, import,
};
use stockade_config::{BlockType, Diagnostic, JailSettings, Ports, Settings, load};

const DEBIAN: &str = "/etc/fail2ban";

/// A host with every program. Patterns are judged where they are compiled, in the daemon.
#[derive(Debug)]
struct AnyHost;

impl ImportHost for AnyHost {
    fn program(&self, name: &str) -> Option<String> {
        Some(format!("/usr/bin/{name}"))
    }

    fn services(&self) -> String {
        fs::read_to_string("/etc/services").unwrap_or_default()
    }

    fn zone(&self, _: &str) -> Option<i32> {
        None
    }

    fn encoding(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn pattern_faults(&self, _: &ResolvedFilter, _: UseHostNames) -> Vec<PatternFault> {
        Vec::new()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Debian's tree under this `jail.local`, or nothing where it is not installed and need not be.
fn debian(jail_local: &str) -> Option<(tempfile::TempDir, Tree)> {
    if !Path::new(DEBIAN).join("jail.conf").exists() {
        let must = std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_some();
        assert!(!must, "install Debian's fail2ban");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    copy(Path::new(DEBIAN), dir.path());
    fs::write(dir.path().join("jail.local"), jail_local).unwrap();
    let tree = Tree::read(dir.path());
    Some((dir, tree))
}

/// A `jail.local` that enables all of Debian's jails by name.
fn all_enabled() -> String {
    let names = Tree::read(Path::new(DEBIAN)).jails(Selection::All).jails;
    let jails = names
        .iter()
        .map(|jail| format!("[{}]\nenabled = true\n", jail.name));
    jails.collect()
}

/// What was translated, loaded without an error, and with each part of each jail told.
#[track_caller]
fn translated(tree: &Tree) -> (Import, Settings) {
    let import = import(tree, &AnyHost);
    let services = AnyHost.services();
    let loaded = load(&import.files("/imported", services));
    let told: String = loaded.diagnostics.iter().map(Diagnostic::render).collect();
    let Some(settings) = loaded.settings else {
        panic!("{told}");
    };
    assert_eq!(told, "");
    assert_eq!(settings.jails.len(), import.jails.len());
    for jail in &tree.jails(Selection::Enabled).jails {
        accounted(jail, &import);
    }
    (import, settings)
}

/// Every option that fail2ban knows of a jail, and every part of its actions, is in the report.
#[track_caller]
fn accounted(jail: &ResolvedJail, import: &Import) {
    let notes: Vec<_> = import
        .report
        .notes
        .iter()
        .filter(|note| note.jail == jail.name)
        .collect();
    let told: BTreeSet<&str> = notes.iter().map(|note| note.what.as_str()).collect();
    if told.contains("the jail") {
        assert!(!import.jails.contains_key(&jail.name), "{}", jail.name);
        return;
    }
    let unknown = "stockade knows nothing that does it";
    assert!(notes.iter().all(|note| note.why != unknown), "{notes:#?}");
    assert!(
        notes
            .iter()
            .all(|note| note.verdict == Verdict::Translated || !note.why.is_empty())
    );
    for (option, value) in &jail.written {
        if !value.as_str().trim().is_empty() && option != "action" {
            assert!(told.contains(option.as_str()), "[{}] {option}", jail.name);
        }
    }
    for action in &jail.actions {
        let action = format!("action {}", action.name);
        assert!(told.contains(action.as_str()), "[{}] {action}", jail.name);
    }
}

#[track_caller]
fn told(import: &Import, jail: &str, line: &str) {
    let report = import.report.to_string();
    let head = format!("[{jail}]\n");
    let part = report
        .split("\n\n")
        .find_map(|part| part.strip_prefix(&*head));
    assert!(
        part.is_some_and(|part| part.contains(line)),
        "[{jail}] {line}\n{part:?}"
    );
}

fn jail<'s>(settings: &'s Settings, name: &str) -> &'s JailSettings {
    let jail = settings
        .jails
        .iter()
        .find(|jail| jail.name.as_str() == name);
    jail.unwrap_or_else(|| panic!("no jail {name}"))
}

#[test]
fn all_jails_of_debian_are_translated_and_load_and_nothing_is_dropped_in_silence() {
    let Some((_dir, tree)) = debian(&all_enabled()) else {
        return;
    };
    let (import, settings) = translated(&tree);
    assert!(settings.jails.len() > 80, "{}", settings.jails.len());
    assert_eq!(import.report.disabled, Vec::<String>::new());
    let left = import
        .report
        .notes
        .iter()
        .filter(|note| note.what == "the jail");
    let left: Vec<&str> = left.map(|note| note.jail.as_str()).collect();
    // It opens ports to who has knocked.
    assert_eq!(left, ["pass2allow-ftp"]);
}

#[test]
fn a_jail_of_debian_says_only_what_is_its_own() {
    let Some((_dir, tree)) = debian(&all_enabled()) else {
        return;
    };
    let (import, settings) = translated(&tree);
    // None of ours has its name, whose keys would have to be taken back.
    let file = &import.jails["horde"];
    let keys: Vec<&str> = file
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    assert_eq!(keys, ["enabled", "filter", "logpath", "port"], "{file}");
    assert!(import.jails["recidive"].contains("bantime = \"1w\"\n"));
    assert_eq!(jail(&settings, "recidive").port, Ports::All);
    assert_eq!(jail(&settings, "asterisk").protocol.len(), 2);
    assert_eq!(jail(&settings, "asterisk").rules.maxmatches, 10);
    assert!(
        jail(&settings, "sshd").rules.ignoreself,
        "fail2ban's server has it on by itself"
    );
    assert_eq!(
        jail(&settings, "sshd").rules.enforcement.blocktype,
        BlockType::Reject
    );
}

/// What people write, with the actions of Debian's `jail.conf`.
fn with_action(name: &str) -> String {
    format!(
        "[DEFAULT]\naction = %({name})s\ncfemail = a@example.com\ncfapikey = secret\n\
         blocklist_de_apikey = secret\nbantime = 1h\nignoreip = 127.0.0.1/8 ::1 192.0.2.0/24\n\
         bantime.increment = true\nbantime.maxtime = 5w\n\
         [sshd]\nenabled = true\nport = 2222\n[recidive]\nenabled = true\n[nginx-http-auth]\nenabled = true\n"
    )
}

#[test]
fn debians_ready_made_actions_are_translated_as_far_as_they_can_be() {
    for (name, left) in [
        ("action_", None),
        (
            "action_mw",
            Some("action sendmail-whois: actionban: it needs a shell, for '`'"),
        ),
        (
            "action_mwl",
            Some("action sendmail-whois-lines: actionban: it needs a shell, for '('"),
        ),
        (
            "action_xarf",
            Some("action xarf-login-attack: actionban: it needs a shell, for '$'"),
        ),
        (
            "action_blocklist_de",
            Some("action blocklist_de: actionban: programs are not given <fq-hostname>"),
        ),
        (
            "action_abuseipdb",
            Some("action abuseipdb: actionban: it needs a shell, for '$'"),
        ),
        (
            "action_cf_mwl",
            Some("action cloudflare: actionban: <cftarget> differs with the family of the address"),
        ),
    ] {
        let Some((_dir, tree)) = debian(&with_action(name)) else {
            return;
        };
        let (import, settings) = translated(&tree);
        assert_eq!(settings.jails.len(), 3, "{name}");
        assert_eq!(settings.exec.len(), 0, "{name}");
        let sshd = jail(&settings, "sshd");
        let fills = ["action_", "action_mw", "action_mwl", "action_xarf"].contains(&name);
        if fills {
            assert_eq!(
                sshd.rules.enforcement.blocktype,
                BlockType::Reject,
                "{name}"
            );
        }
        assert_eq!(!sshd.rules.enforcement.firewall.is_empty(), fills, "{name}");
        if let Some(left) = left {
            told(&import, "sshd", left);
        }
    }
}

/// A ban action, what it bans by, the ports and protocols that it closes where the jail has `port = 2222`,
/// and what it does with packets.
const BAN_ACTIONS: &str = "
iptables | iptables | 2222 tcp | Reject
iptables-multiport | iptables | 2222 tcp | Reject
iptables-new | iptables | 2222 tcp | Reject
iptables-multiport-log | iptables | 2222 tcp | Reject
iptables-allports | iptables | all tcp | Reject
iptables-ipset-proto4 | iptables and ipset | 2222 tcp | Reject
iptables-ipset-proto6 | iptables and ipset | 2222 tcp | Reject
iptables-ipset-proto6-allports | iptables and ipset | all tcp | Reject
iptables-xt_recent-echo | iptables and xt_recent | all | Reject
nftables-multiport | fail2ban's nftables table | 2222 tcp | Reject
nftables[type=allports] | fail2ban's nftables table | all tcp | Reject
nftables-allports | fail2ban's nftables table | all tcp | Reject
firewallcmd-ipset | firewalld | 2222 tcp | Reject
firewallcmd-ipset[actiontype=<allports>] | firewalld | all tcp | Reject
firewallcmd-rich-rules | firewalld | 2222 tcp | Reject
firewallcmd-rich-logging | firewalld | 2222 tcp | Reject
firewallcmd-multiport | firewalld | 2222 tcp | Reject
firewallcmd-allports | firewalld | all | Reject
ufw | ufw | all | Reject
pf | pf | 2222 tcp | Drop
pf[actiontype=<allports>] | pf | all tcp | Drop
route | a route | all | Drop
hostsdeny | hosts.deny | all | Drop
shorewall | Shorewall | all | Reject
shorewall-ipset-proto6 | Shorewall and ipset | all | Drop
apf | APF | all | Drop
ipfw | ipfw | 2222 tcp | Reject
bsd-ipfw | ipfw | all | Reject
npf | npf | all | Drop
ipfilter | ipfilter | all | Reject
symbiosis-blacklist-allports | symbiosis and iptables | all | Drop
";

#[test]
fn every_ban_action_of_debian_closes_what_it_closed() {
    for line in BAN_ACTIONS.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.splitn(3, " | ");
        let (banaction, tool) = (fields.next().unwrap(), fields.next().unwrap());
        let local =
            format!("[DEFAULT]\nbanaction = {banaction}\n[sshd]\nenabled = true\nport = 2222\n");
        let Some((_dir, tree)) = debian(&local) else {
            return;
        };
        let (import, settings) = translated(&tree);
        let instead = format!("bans are in stockade's own nftables table instead of {tool}");
        told(&import, "sshd", &instead);
        let sshd = jail(&settings, "sshd");
        let ports = match &sshd.port {
            Ports::All => "all".to_owned(),
            Ports::Some(ranges) => ranges.iter().map(|it| it.first.to_string()).collect(),
        };
        let protocols = sshd
            .protocol
            .iter()
            .map(|it| format!("{it:?}").to_lowercase());
        let closed: Vec<String> = [ports].into_iter().chain(protocols).collect();
        let closed = format!(
            "{} | {:?}",
            closed.join(" "),
            sshd.rules.enforcement.blocktype
        );
        assert_eq!(Some(closed.as_str()), fields.next(), "{banaction}");
    }
}

#[test]
fn every_other_action_of_debian_is_left_out_with_the_reason() {
    let Some((_dir, tree)) = debian("") else {
        return;
    };
    let names: Vec<String> = tree.action_names().map(str::to_owned).collect();
    let mut left = 0;
    for name in names.iter().filter(|name| !name.ends_with("-common")) {
        let local = format!("[sshd]\nenabled = true\naction = {name}\n");
        let Some((_dir, tree)) = debian(&local) else {
            return;
        };
        let (import, settings) = translated(&tree);
        if settings.jails.is_empty() {
            panic!("{name}: {}", import.report);
        }
        let notes = import.report.notes.iter();
        let reason = notes.clone().find(|note| {
            note.verdict == Verdict::Left
                && note.what.starts_with("action ")
                && note.place.is_some()
        });
        let fills = !settings.jails[0].rules.enforcement.firewall.is_empty();
        let runs = !settings.exec.is_empty();
        assert_eq!(reason.is_none(), fills || runs, "{name}: {}", import.report);
        left += usize::from(reason.is_some());
    }
    assert!(left > 20, "only {left} of {names:?} were left out");
}

#[test]
fn a_jail_local_as_people_write_it_is_translated() {
    let local = "[DEFAULT]\nbackend = systemd\nbanaction = nftables\nbanaction_allports = nftables[type=allports]\n\
        destemail = admin@example.com\naction = %(action_mw)s\n         notify[level=high]\n\
        bantime.increment = true\nbantime.rndtime = 8m\nbantime.multipliers = 1 5 30 60 300 720 1440 2880\n\
        bantime.overalljails = true\nusedns = no\n\
        [sshd]\nenabled = true\nmode = aggressive\nport = ssh,2222\nmaxretry = 3\n\
        [recidive]\nenabled = true\nbackend = auto\nlogpath = /var/log/fail2ban.log\nbanaction = %(banaction_allports)s\n\
        [myapp]\nenabled = true\nbackend = auto\nport = http,https,8000:8010\nfilter = myapp[kind=web]\n\
        logpath = /var/log/myapp/*.log\n          /srv/*/log/error.log tail\n\
        failregex = %(known/failregex)s\n            ^extra <HOST>$\nlogtimezone = UTC\nfindtime = 1d\nbantime = -1\n\
        [wordpress]\nenabled = true\nbackend = auto\nport = http,https\nfilter = nginx-http-auth\nlogpath = /var/log/nginx/error.log\n\
        action = iptables-multiport[name=wp, port=\"http,https\", protocol=tcp]\n\
        [off]\nenabled = false\nfilter = myapp\n";
    let Some((dir, _)) = debian(local) else {
        return;
    };
    fs::write(
        dir.path().join("filter.d/myapp.conf"),
        "[Definition]\nprefregex = ^<F-CONTENT>.+</F-CONTENT>$\nfailregex = ^<kind> <F-USER>\\S+</F-USER> <ADDR>$\n\
         \x20           ^(?:<IP4>|<IP6>) <SUBNET>\nignoreregex = ^never\ndatepattern = ^%%Y-%%m-%%d\nmaxlines = 3\n",
    )
    .unwrap();
    fs::write(
        dir.path().join("action.d/notify.conf"),
        "[Definition]\nactionstart = notify start\nactionban = notify --level <level> --jail <name> \"<ip> after <failures>\"\n\
         actionunban = notify --gone <ip>\n",
    )
    .unwrap();
    let tree = Tree::read(dir.path());
    let (import, settings) = translated(&tree);
    let names: Vec<&str> = settings
        .jails
        .iter()
        .map(|jail| jail.name.as_str())
        .collect();
    assert_eq!(names, ["myapp", "recidive", "sshd", "wordpress"]);
    let exec: Vec<_> = settings.exec.values().map(|it| &it.value.ban).collect();
    let notify = [
        "/usr/bin/notify",
        "--level",
        "high",
        "--jail",
        "<jail>",
        "<ip> after <failures>",
    ];
    assert_eq!(exec, [&notify]);
    let myapp = jail(&settings, "myapp");
    assert_eq!(myapp.rules.bantime, stockade_core::BanTime::Forever);
    assert_eq!(myapp.rules.actions.len(), 1);
    assert_eq!(jail(&settings, "wordpress").rules.actions.len(), 0);
    told(&import, "myapp", "translated  enabled, backend,");
    told(
        &import,
        "myapp",
        "different   logpath: '/srv/*/log/error.log' is read from its beginning",
    );
    told(
        &import,
        "myapp",
        "left out    actionstart of action notify: it is not run",
    );
    told(
        &import,
        "sshd",
        "left out    logpath: the jail reads the journal",
    );
    assert!(import.report.disabled.contains(&"off".to_owned()));
    assert!(
        import
            .main
            .contains("bantime_increment = { multipliers = [1, 5, 30"),
        "{}",
        import.main
    );
}
