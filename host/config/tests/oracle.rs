//! fail2ban itself as the judge of what its configuration means: Debian's complete `/etc/fail2ban`,
//! with every jail switched on, and trees of our own that use what Debian's does not.

#![cfg(test)]
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use stockade_config::fail2ban::{
    Jails, ResolvedAction, ResolvedFilter, ResolvedJail, Selection, Tree,
};
use stockade_core::BanTime;

#[path = "oracle/formulas.rs"]
mod formulas;
#[path = "oracle/own_trees.rs"]
mod own_trees;
#[path = "oracle/random_trees.rs"]
mod random_trees;

/// Options that fail2ban writes without leading zeros.
const NUMBERS: [&str; 3] = ["maxretry", "maxmatches", "maxlines"];

const DEBIAN: &str = "/etc/fail2ban";

/// Whether there is a fail2ban to ask; where tests must run, there must be.
fn is_installed() -> bool {
    let installed = Path::new("/usr/bin/fail2ban-client").exists();
    let must = std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_some();
    assert!(installed || !must, "install Debian's fail2ban");
    installed
}

/// What fail2ban makes of a directory, of filters with options, and of times; `None` where it is not
/// installed.
#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn asked(dir: &Path, filters: &[(&str, Vec<(&str, &str)>)], times: &[&str]) -> Option<Value> {
    if !is_installed() {
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/configuration.py");
    let filters: Vec<Value> = filters
        .iter()
        .map(|(name, options)| json!([name, BTreeMap::from_iter(options.iter().copied())]))
        .collect();
    let mut python = Command::new("/usr/bin/python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let request = json!({ "dir": dir, "filters": filters, "times": times });
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(request.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "fail2ban cannot read {dir:?}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Our reading of a directory, and fail2ban's.
fn both(dir: &Path, filters: &[(&str, Vec<(&str, &str)>)]) -> Option<(Tree, Value)> {
    let theirs = asked(dir, filters, &[])?;
    let version = theirs["version"].as_str().unwrap();
    Some((Tree::read(dir).with_version(version), theirs))
}

/// Every jail of a directory, with everything in it, is what fail2ban makes of it.
fn check_jails(tree: &Tree, theirs: &Value) -> usize {
    let jails = tree.jails(Selection::All);
    let said: Vec<String> = jails.diagnostics.iter().map(|it| it.render()).collect();
    assert_eq!(jails.broken, [], "{said:#?}");
    let theirs = theirs["jails"].as_object().unwrap();
    let names: Vec<&str> = jails.jails.iter().map(|jail| jail.name.as_str()).collect();
    assert_eq!(names.len(), theirs.len(), "{names:?}");
    for jail in &jails.jails {
        check_jail(jail, &theirs[&jail.name]);
    }
    names.len()
}

fn check_jail(jail: &ResolvedJail, theirs: &Value) {
    let name = &jail.name;
    assert_eq!(theirs["errors"], json!([]), "{name}");
    assert_eq!(options(jail), theirs["written"], "options of {name}");
    let mut their_filter = theirs["filter"].clone();
    if their_filter["prefregex"] == json!("") {
        // An empty one is none.
        their_filter["prefregex"] = Value::Null;
    }
    let our_filter = filter(jail.filter.as_ref().unwrap());
    assert_eq!(our_filter, their_filter, "filter of {name}");
    assert_eq!(seconds(jail), theirs["seconds"], "times of {name}");
    let actions = jail.actions.iter().map(action);
    let actions: serde_json::Map<String, Value> = actions.collect();
    assert_eq!(
        Value::Object(actions),
        theirs["actions"],
        "actions of {name}"
    );
}

/// The options as text, with truths and numbers as Python writes them, and with those that fail2ban
/// sets where nobody wrote them.
fn options(jail: &ResolvedJail) -> Value {
    let truths = [
        "enabled",
        "ignoreself",
        "bantime.increment",
        "bantime.overalljails",
    ];
    let mut options: BTreeMap<&str, String> = [
        ("enabled", "False"),
        ("backend", "auto"),
        ("filter", ""),
        ("action", ""),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    for (name, value) in &jail.written {
        let text = value.as_str();
        let shown = match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" if truths.contains(&name.as_str()) => "True",
            _ if truths.contains(&name.as_str()) => "False",
            _ if NUMBERS.contains(&name.as_str()) => text.trim_start_matches('0'),
            _ => text,
        };
        options.insert(name, shown.to_owned());
    }
    json!(options)
}

fn seconds(jail: &ResolvedJail) -> Value {
    let mut seconds: BTreeMap<&str, f64> = BTreeMap::new();
    let options = &jail.options;
    let lengths = [
        ("findtime", options.findtime.as_ref()),
        ("bantime.maxtime", options.increment.maxtime.as_ref()),
        ("bantime.rndtime", options.increment.rndtime.as_ref()),
    ];
    for (name, length) in lengths {
        seconds.extend(length.map(|length| (name, length.value.as_secs_f64())));
    }
    if let Some(bantime) = &options.bantime {
        seconds.insert(
            "bantime",
            match bantime.value {
                BanTime::For(length) => length.as_secs_f64(),
                BanTime::Forever => -1.0,
            },
        );
    }
    json!(seconds)
}

fn filter(filter: &ResolvedFilter) -> Value {
    let texts = |patterns: &[stockade_config::fail2ban::Written]| {
        let texts = patterns.iter().map(|pattern| pattern.as_str().to_owned());
        texts.collect::<Vec<_>>()
    };
    let datepattern = filter
        .datepattern
        .as_ref()
        .map(|lines| texts(lines).join("\n"));
    let journalmatch = filter.journalmatch.iter().map(|line| &line.value);
    json!({
        "prefregex": filter.prefregex.as_ref().map(|pattern| pattern.as_str()),
        "failregex": texts(&filter.failregex),
        "ignoreregex": texts(&filter.ignoreregex),
        "maxlines": filter.maxlines.as_ref().map(|lines| lines.value.to_string()),
        "datepattern": datepattern,
        "journalmatch": journalmatch.collect::<Vec<_>>(),
        "usedns": filter.usedns.as_ref().map(|value| value.as_str()),
    })
}

fn action(action: &ResolvedAction) -> (String, Value) {
    let commands = action.commands.iter();
    let commands = commands.map(|(name, value)| {
        let text = match name.as_str() {
            "actionstart_on_demand" | "actionrepair_on_unban" | "norestored" => {
                let truth = ["1", "on", "true", "yes"].contains(&&*value.as_str().to_lowercase());
                if truth { "True" } else { "False" }
            }
            _ => value.as_str(),
        };
        (name.clone(), text.to_owned())
    });
    let parameters = action.parameters.iter();
    let parameters =
        parameters.map(|(name, parameter)| (name.clone(), parameter.written.as_str().to_owned()));
    let all: BTreeMap<String, String> = commands.chain(parameters).collect();
    (action.name.clone(), json!(all))
}

fn check_filters(tree: &Tree, theirs: &Value, asked: &[(&str, Vec<(&str, &str)>)]) {
    for ((name, options), theirs) in asked.iter().zip(theirs["filters"].as_array().unwrap()) {
        let given: Vec<(String, String)> = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let ours = tree.filter(name, &given);
        let ours = ours.unwrap_or_else(|said| panic!("{name}{options:?}: {said:#?}"));
        assert_eq!(filter(&ours), *theirs, "{name}{options:?}");
    }
}

#[test]
fn every_jail_of_debian_is_what_fail2ban_makes_of_it() {
    let Some((tree, theirs)) = both(Path::new(DEBIAN), &[]) else {
        return;
    };
    let jails = check_jails(&tree, &theirs);
    assert!(jails >= 90, "only {jails} jails were compared");
    let (globals, said) = tree.globals();
    assert_eq!(said, []);
    let ours: BTreeMap<&String, &str> = globals
        .written
        .iter()
        .map(|(name, value)| (name, value.as_str()))
        .collect();
    let mut theirs = theirs["globals"].as_object().unwrap().clone();
    // Nobody wrote it: a value that fail2ban has by itself.
    theirs.remove("allowipv6");
    assert_eq!(json!(ours), Value::Object(theirs));
}

#[test]
fn debians_own_configuration_has_nothing_to_complain_of() {
    if !is_installed() {
        return;
    }
    let jails = Tree::read(Path::new(DEBIAN)).jails(Selection::All);
    let said: String = jails.diagnostics.iter().map(|it| it.render()).collect();
    assert_eq!(said, "");
    let enabled = Tree::read(Path::new(DEBIAN)).jails(Selection::Enabled);
    assert_eq!(enabled.jails.len(), 1);
    assert_eq!(enabled.jails[0].name, "sshd");
    assert!(enabled.disabled.len() > 80);
}

#[test]
fn every_filter_of_debian_in_every_mode_is_what_fail2ban_makes_of_it() {
    let tree = Tree::read(Path::new(DEBIAN));
    let names: Vec<String> = tree.filter_names().map(str::to_owned).collect();
    let mut wanted: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for name in &names {
        // Some files are there to be included only; the comparison holds for them all the same.
        let is_filter = tree.filter(name, &[]).is_ok();
        if !is_filter {
            continue;
        }
        wanted.push((name, Vec::new()));
        for mode in [
            "normal",
            "ddos",
            "extra",
            "aggressive",
            "auth",
            "more",
            "rbl",
            "errors",
            "fallback",
            "unknown",
        ] {
            wanted.push((name, vec![("mode", mode)]));
            wanted.push((name, vec![("mode", mode), ("logtype", "journal")]));
        }
        for logtype in ["file", "short", "journal", "rfc5424"] {
            wanted.push((name, vec![("logtype", logtype)]));
        }
    }
    for publickey in ["nofail", "invalid", "any", "ignore"] {
        wanted.push((
            "sshd",
            vec![("publickey", publickey), ("mode", "aggressive")],
        ));
    }
    wanted.push(("recidive", vec![("_jailname", "me"), ("maxlines", "3")]));
    wanted.push(("apache-auth", vec![("__prefix_line", "x<HOST>%%y")]));
    let Some((tree, theirs)) = both(Path::new(DEBIAN), &wanted) else {
        return;
    };
    check_filters(&tree, &theirs, &wanted);
    assert!(wanted.len() > 1_500, "only {} were compared", wanted.len());
}

#[test]
fn times_have_fail2bans_length() {
    let times = [
        "600",
        "10m",
        "1h 30",
        "1d12h",
        "1year-6mo",
        "60*60*24",
        "1hour+30min",
        "0d 1h 30m",
        "6 months",
        "1M",
        "2/1h",
        "1.5h",
        "3 yea 2mon",
        "1w2d3h4m5s",
        "2*(1h+5m)",
        "1 WEEK",
        "-1",
        "7 da",
        "1mo",
        "1 m 1 mo",
        "90 - 30",
        "100 // 7",
        "2**10",
        "1ye",
        "(1+2) h",
        "5 mi 3 se",
    ];
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("jail.conf"), "").unwrap();
    std::fs::write(empty.path().join("fail2ban.conf"), "").unwrap();
    let Some(theirs) = asked(empty.path(), &[], &times) else {
        return;
    };
    for (text, theirs) in times.iter().zip(theirs["seconds"].as_array().unwrap()) {
        let ours = stockade_core::parse_time_arithmetic(text).unwrap();
        let theirs = theirs.as_f64().unwrap();
        assert!((ours - theirs).abs() < 1e-6, "{text}: {ours}, not {theirs}");
        assert!(ours < Duration::MAX.as_secs_f64());
    }
}
