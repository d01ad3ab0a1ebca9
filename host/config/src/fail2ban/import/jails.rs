//! Jails: every option that stockade has, and a word about every other.

use std::collections::BTreeMap;
use std::time::Duration;

use stockade_core::{BanTime, BanTimePolicy, JailName, TimeWords};

use super::super::{BackendKind, IgnoreAddress, IncrementOptions, ResolvedJail, UseHostNames};
use super::actions::{self, Asked};
use super::filters::{self, Filters};
use super::report::Scribe;
use super::toml::{Body, quoted};
use crate::source::Origin;

/// What fail2ban takes where nobody wrote anything.
const MAXRETRY: u32 = 3;
const MAXMATCHES: u32 = 5;
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The text of the jail's file; `None` where it cannot be one.
pub(super) fn translate(
    jail: &ResolvedJail,
    filters: &mut Filters,
    programs: &mut BTreeMap<String, Body>,
    scribe: &mut Scribe<'_>,
) -> Option<String> {
    if let Err(error) = JailName::try_new(&jail.name) {
        scribe.left("the jail", Some(jail.origin), error.to_string());
        return None;
    }
    let Some(filter) = &jail.filter else {
        scribe.left("the jail", Some(jail.origin), "it has no filter");
        return None;
    };
    let mut body = Body::default();
    if let Some(place) = scribe.place(jail.origin) {
        body.comment(&format!("Translated from {place}."));
        body.gap();
    }
    // A built-in jail of this name may switch itself on or off.
    body.truth("enabled", true);
    body.text("filter", &filters.add(filter, &jail.name));
    scribe.translated("filter");
    sources(jail, &mut body, scribe);
    rules(jail, &mut body, scribe);
    increment(jail, &mut body, scribe);
    ignored(jail, &mut body, scribe);
    let asked = actions::translate(jail, programs, scribe);
    closed(&asked, &mut body, scribe);
    Some(body.into_text())
}

fn sources(jail: &ResolvedJail, body: &mut Body, scribe: &mut Scribe<'_>) {
    let options = &jail.options;
    let kind = options
        .backend
        .as_ref()
        .map_or(BackendKind::Auto, |backend| backend.value.kind);
    let journal = kind == BackendKind::Systemd;
    body.text("backend", if journal { "journal" } else { "file" });
    if journal {
        let matches = jail
            .filter
            .as_ref()
            .map(filters::journalmatch)
            .unwrap_or_default();
        body.lists("journalmatch", &matches);
        scribe.translated("journalmatch");
    } else {
        let paths: Vec<String> = options
            .logpath
            .iter()
            .map(|path| path.glob.value.clone())
            .collect();
        body.list("logpath", &paths);
        scribe.translated("logpath");
    }
    if let Some(backend) = &options.backend {
        match kind {
            BackendKind::Polling | BackendKind::Gamin => {
                let why = "files are watched by inotify, and polled only where that fails";
                scribe.different("backend", Some(backend.origin), why);
            }
            _ => scribe.translated("backend"),
        }
        for (name, value) in &backend.value.arguments {
            let what = format!("{name} of backend");
            scribe.left(&what, Some(value.origin), "the host's own journal is read");
        }
    }
    if let Some(encoding) = &options.logencoding {
        let name = encoding.value.to_ascii_lowercase();
        if name.starts_with("utf-16") || name.starts_with("utf_16") || name.starts_with("utf-32") {
            let why = "lines of this encoding cannot be told apart; logs are read as UTF-8";
            scribe.left("logencoding", Some(encoding.origin), why);
        } else {
            body.text("logencoding", &name);
            scribe.translated("logencoding");
        }
    }
    if let Some(zone) = &options.logtimezone {
        body.text("logtimezone", &zone.value);
        scribe.translated("logtimezone");
    }
    for (name, option) in [
        ("skip_if_nologs", &options.skip_if_nologs),
        ("systemd_if_nologs", &options.systemd_if_nologs),
    ] {
        if let Some(option) = option {
            scribe.left(
                name,
                Some(option.origin),
                "a log need not exist yet: the jail waits for it",
            );
        }
    }
}

fn rules(jail: &ResolvedJail, body: &mut Body, scribe: &mut Scribe<'_>) {
    let options = &jail.options;
    let number = |option: &Option<crate::Located<u32>>, default| {
        option.as_ref().map_or(default, |option| option.value)
    };
    body.gap();
    body.number("maxretry", number(&options.maxretry, MAXRETRY));
    let findtime = options
        .findtime
        .as_ref()
        .map_or(TEN_MINUTES, |time| time.value);
    body.time("findtime", findtime);
    match options
        .bantime
        .as_ref()
        .map_or(BanTime::For(TEN_MINUTES), |time| time.value)
    {
        BanTime::For(time) => body.time("bantime", time),
        BanTime::Forever => body.number("bantime", -1),
    }
    body.number("maxmatches", number(&options.maxmatches, MAXMATCHES));
    for what in ["maxretry", "findtime", "bantime", "maxmatches"] {
        scribe.translated(what);
    }
    // Without the option fail2ban looks names up and warns.
    let names = options.usedns.as_ref();
    let word = match names.map(|names| names.value) {
        Some(UseHostNames::No) => "no",
        Some(UseHostNames::Yes) => "yes",
        Some(UseHostNames::Raw) => "raw",
        Some(UseHostNames::Warn) | None => "warn",
    };
    body.text("usedns", word);
    scribe.translated("usedns");
    body.comment("fail2ban counts each IPv6 address by itself; 64 would count networks.");
    body.number("ipv6_prefix", 128);
}

fn ignored(jail: &ResolvedJail, body: &mut Body, scribe: &mut Scribe<'_>) {
    let options = &jail.options;
    let mut entries = Vec::new();
    for entry in &options.ignoreip {
        match &entry.value {
            IgnoreAddress::Entry(known) => entries.push(known.to_string()),
            IgnoreAddress::File(path) => {
                let why = format!("addresses are not read from files; copy those of '{path}'");
                scribe.left("ignoreip", Some(entry.origin), why);
            }
        }
    }
    body.list("ignoreip", &entries);
    body.truth(
        "ignoreself",
        options.ignoreself.as_ref().is_some_and(|own| own.value),
    );
    scribe.translated("ignoreip");
    scribe.translated("ignoreself");
    let command = options.ignorecommand.as_ref();
    if let Some(command) = command.filter(|command| !command.value.trim().is_empty()) {
        scribe.left(
            "ignorecommand",
            Some(command.origin),
            "no program is asked before a ban",
        );
    }
    if let Some(cache) = &options.ignorecache {
        scribe.left(
            "ignorecache",
            Some(cache.origin),
            "it belongs to ignorecommand",
        );
    }
}

/// What the firewall closes for who is banned.
fn closed(asked: &Asked, body: &mut Body, scribe: &mut Scribe<'_>) {
    body.gap();
    let ports: Vec<String> = asked
        .ports
        .iter()
        .flat_map(|ports| ports.split(','))
        .map(|port| port.trim().to_owned())
        .collect();
    let all = ports
        .iter()
        .any(|port| matches!(port.as_str(), "0:65535" | "0-65535" | "any" | "all"));
    if ports.is_empty() || all {
        body.text("port", "all");
    } else {
        body.list("port", &ports);
    }
    match asked.protocol.as_deref() {
        Some(protocol @ ("tcp" | "udp")) => body.list("protocol", &[protocol.to_owned()]),
        _ => body.text("protocol", "all"),
    }
    body.text("blocktype", if asked.reject { "reject" } else { "drop" });
    if asked.firewall {
        scribe.translated("port");
        scribe.translated("protocol");
    } else {
        let why = "no action of it fills a firewall; here who is banned is dropped on all ports";
        scribe.different("the jail", None, why);
    }
    body.list("actions", &asked.programs);
}

/// The family of `bantime.increment`.
fn increment(jail: &ResolvedJail, body: &mut Body, scribe: &mut Scribe<'_>) {
    let options = &jail.options.increment;
    let enabled = options.enabled.as_ref().is_some_and(|on| on.value);
    if options.enabled.is_some() {
        scribe.translated("bantime.increment");
    }
    let mut items = Vec::new();
    for (name, origin, value) in growth(options) {
        let option = format!("bantime.{name}");
        if !enabled {
            scribe.left(&option, Some(origin), "bantime.increment is off");
        } else if let Some(value) = value {
            items.push(format!("{name} = {value}"));
            scribe.translated(&option);
        } else {
            let why = "the multipliers count, also for fail2ban";
            scribe.left(&option, Some(origin), why);
        }
    }
    if enabled {
        body.inline("bantime_increment", &items);
    }
}

/// The options that are given: name, place, and the value as TOML; none for a formula beside
/// multipliers.
fn growth(options: &IncrementOptions) -> Vec<(&'static str, Origin, Option<String>)> {
    let mut given = Vec::new();
    if let Some(factor) = &options.factor {
        // A negative one makes fail2ban's bans end before they begin, where there are multipliers.
        let value = format!("{:?}", factor.value.max(0.0));
        given.push(("factor", factor.origin, Some(value)));
    }
    let multipliers = options.multipliers.as_ref();
    let multipliers = multipliers.filter(|list| !list.value.is_empty());
    if let Some(formula) = &options.formula {
        let value = multipliers
            .is_none()
            .then(|| quoted(formula.value.source()));
        given.push(("formula", formula.origin, value));
    }
    if let Some(list) = multipliers {
        let value = format!("{:?}", list.value);
        given.push(("multipliers", list.origin, Some(value)));
    }
    let words = |time: Duration| quoted(&TimeWords(time).to_string());
    if let Some(maxtime) = &options.maxtime {
        // Zero bans for the shortest time, here as there.
        let time = maxtime
            .value
            .clamp(BanTimePolicy::SHORTEST, BanTimePolicy::LONGEST);
        given.push(("maxtime", maxtime.origin, Some(words(time))));
    }
    if let Some(rndtime) = &options.rndtime {
        let time = rndtime.value.min(BanTimePolicy::LONGEST);
        given.push(("rndtime", rndtime.origin, Some(words(time))));
    }
    if let Some(all) = &options.overalljails {
        given.push(("overalljails", all.origin, Some(all.value.to_string())));
    }
    given
}
