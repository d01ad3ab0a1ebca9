//! The options that may stand in `[defaults]` as well as in a jail.

use std::time::Duration;

use stockade_core::{BanTime, BanTimePolicy, TimeWords};

use super::super::{
    BackendKind, IgnoreAddress, IgnoreCache, IncrementOptions, JailOptions, ResolvedJail,
    UseHostNames,
};
use super::actions::command::argv;
use super::host::ImportHost;
use super::report::Scribe;
use super::toml::{Body, quoted};
use crate::sections::rules::{FINDTIME_MAX, MAXMATCHES_MAX, MAXRETRY_MAX, TIME_MIN};
use crate::settings::{IGNORE_CACHE_TAGS, IGNORE_TAGS};
use crate::source::{Located, Origin};

/// What fail2ban takes where nobody wrote anything.
const MAXRETRY: u32 = 3;
const MAXMATCHES: u32 = 5;
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The longest time for which an answer is kept.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything but where lines come from and what is done with who is banned.
pub(super) fn of_jail(
    jail: &ResolvedJail,
    host: &dyn ImportHost,
    body: &mut Body,
    scribe: &mut Scribe<'_>,
) {
    rules(&jail.options, body, scribe);
    increment(jail, body, scribe);
    ignored(jail, host, body, scribe);
}

/// Whether files or the journal are read.
pub(super) fn backend(jail: &ResolvedJail, body: &mut Body, scribe: &mut Scribe<'_>) {
    let backend = jail.options.backend.as_ref();
    let kind = backend.map_or(BackendKind::Auto, |backend| backend.value.kind);
    let journal = kind == BackendKind::Systemd;
    body.text("backend", if journal { "journal" } else { "file" });
    let Some(backend) = backend else {
        return;
    };
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

/// How lines are read.
pub(super) fn reading(
    jail: &ResolvedJail,
    host: &dyn ImportHost,
    body: &mut Body,
    scribe: &mut Scribe<'_>,
) {
    let options = &jail.options;
    encoding(options, host, body, scribe);
    zone(options, host, body, scribe);
    for (name, option) in [
        ("skip_if_nologs", &options.skip_if_nologs),
        ("systemd_if_nologs", &options.systemd_if_nologs),
    ] {
        if let Some(option) = option {
            let why = "a log need not exist yet: the jail waits for it";
            scribe.left(name, Some(option.origin), why);
        }
    }
}

fn encoding(
    options: &JailOptions,
    host: &dyn ImportHost,
    body: &mut Body,
    scribe: &mut Scribe<'_>,
) {
    let encoding = options.logencoding.as_ref();
    let name = encoding.map_or("auto".to_owned(), |it| it.value.to_ascii_lowercase());
    match (host.encoding(&name), encoding) {
        (Err(why), Some(encoding)) => {
            let why = format!("{why}; logs are read as UTF-8");
            scribe.left("logencoding", Some(encoding.origin), why);
            body.text("logencoding", "auto");
        }
        (_, given) => {
            body.text("logencoding", &name);
            if given.is_some() {
                scribe.translated("logencoding");
            }
        }
    }
}

fn zone(options: &JailOptions, host: &dyn ImportHost, body: &mut Body, scribe: &mut Scribe<'_>) {
    let Some(zone) = &options.logtimezone else {
        return body.text("logtimezone", "local");
    };
    match offset(&zone.value, host) {
        Some(offset) => {
            body.text("logtimezone", &offset);
            scribe.translated("logtimezone");
        }
        None => {
            let why = "it is no zone that fail2ban knows; the host's own is taken";
            scribe.left("logtimezone", Some(zone.origin), why);
            body.text("logtimezone", "local");
        }
    }
}

/// fail2ban's zones, `CET`, `+0100`, `UTC-03:30` and the like, as an offset: they never change with the
/// season there.
fn offset(zone: &str, host: &dyn ImportHost) -> Option<String> {
    let minutes = host.zone(zone)?;
    if minutes == 0 {
        return Some("UTC".to_owned());
    }
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.abs();
    Some(format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
}

fn rules(options: &JailOptions, body: &mut Body, scribe: &mut Scribe<'_>) {
    body.gap();
    let maxretry = number(
        "maxretry",
        &options.maxretry,
        MAXRETRY,
        1..=MAXRETRY_MAX,
        scribe,
    );
    body.number("maxretry", maxretry);
    let findtime = options.findtime.as_ref();
    let given = findtime.map(|time| time.origin);
    let time = findtime.map_or(TEN_MINUTES, |time| time.value);
    body.time(
        "findtime",
        time_within("findtime", time, given, FINDTIME_MAX, scribe),
    );
    let bantime = options.bantime.as_ref();
    let given = bantime.map(|time| time.origin);
    match bantime.map_or(BanTime::For(TEN_MINUTES), |time| time.value) {
        BanTime::For(time) => {
            let longest = BanTimePolicy::LONGEST;
            body.time(
                "bantime",
                time_within("bantime", time, given, longest, scribe),
            );
        }
        BanTime::Forever => {
            body.number("bantime", -1);
            scribe.translated("bantime");
        }
    }
    let range = 0..=MAXMATCHES_MAX;
    let maxmatches = number("maxmatches", &options.maxmatches, MAXMATCHES, range, scribe);
    body.number("maxmatches", maxmatches);
    // Without the option fail2ban looks names up and warns.
    let word = match options.usedns.as_ref().map(|names| names.value) {
        Some(UseHostNames::No) => "no",
        Some(UseHostNames::Yes) => "yes",
        Some(UseHostNames::Raw) => "raw",
        Some(UseHostNames::Warn) | None => "warn",
    };
    body.text("usedns", word);
    if options.usedns.is_some() {
        scribe.translated("usedns");
    }
    body.comment("fail2ban counts each IPv6 address by itself; 64 would count networks.");
    body.number("ipv6_prefix", 128);
}

/// A number, cut to what stockade takes.
fn number(
    name: &str,
    option: &Option<Located<u32>>,
    default: u32,
    range: std::ops::RangeInclusive<u32>,
    scribe: &mut Scribe<'_>,
) -> u32 {
    let Some(option) = option else {
        return default;
    };
    let value = option.value.clamp(*range.start(), *range.end());
    if value == option.value {
        scribe.translated(name);
    } else {
        let why = format!("{value} is the most that stockade takes");
        scribe.different(name, Some(option.origin), why);
    }
    value
}

/// A length of time in whole seconds, cut to what stockade takes.
fn time_within(
    name: &str,
    time: Duration,
    given: Option<Origin>,
    longest: Duration,
    scribe: &mut Scribe<'_>,
) -> Duration {
    let value = Duration::from_secs(time.as_secs()).clamp(TIME_MIN, longest);
    match given {
        Some(at) if value != time => {
            let why = format!(
                "{} here: whole seconds, at least one, at most {}",
                TimeWords(value),
                TimeWords(longest)
            );
            scribe.different(name, Some(at), why);
        }
        Some(_) => scribe.translated(name),
        None => {}
    }
    value
}

fn ignored(jail: &ResolvedJail, host: &dyn ImportHost, body: &mut Body, scribe: &mut Scribe<'_>) {
    let options = &jail.options;
    let mut entries = Vec::new();
    for entry in &options.ignoreip {
        match &entry.value {
            IgnoreAddress::Entry(known) => entries.push(known.to_string()),
            IgnoreAddress::File(path) if path.starts_with('/') => {
                entries.push(format!("file:{path}"));
            }
            IgnoreAddress::File(path) => {
                let why = format!("the path of the file '{path}' is not absolute");
                scribe.left("ignoreip", Some(entry.origin), why);
            }
        }
    }
    body.list("ignoreip", &entries);
    if !entries.is_empty() {
        scribe.translated("ignoreip");
    }
    // fail2ban's server has it on by itself.
    let own = options.ignoreself.as_ref();
    body.truth("ignoreself", own.is_none_or(|own| own.value));
    if own.is_some() {
        scribe.translated("ignoreself");
    }
    asked(options, host, body, scribe);
}

/// Who is asked whether somebody is ignored, and how long the answer holds.
fn asked(options: &JailOptions, host: &dyn ImportHost, body: &mut Body, scribe: &mut Scribe<'_>) {
    let command = options.ignorecommand.as_ref();
    let command = command.filter(|command| !command.value.trim().is_empty());
    let words = command.map(|command| {
        (
            command,
            argv(&command.value, &IGNORE_TAGS, &|name| host.program(name)),
        )
    });
    let is_asked = matches!(words, Some((_, Ok(_))));
    if !is_asked {
        body.list("ignorecommand", &[]);
    }
    match words {
        Some((_, Ok(words))) => {
            body.list("ignorecommand", &words);
            scribe.translated("ignorecommand");
        }
        Some((command, Err(why))) => scribe.left("ignorecommand", Some(command.origin), why),
        None => {}
    }
    let Some(cache) = &options.ignorecache else {
        return body.truth("ignorecache", false);
    };
    let IgnoreCache {
        key,
        max_count,
        max_time,
    } = &cache.value;
    let key = key.replace("<name>", "<jail>");
    if !is_asked {
        let why = "there is no ignorecommand whose answers it could keep";
        scribe.left("ignorecache", Some(cache.origin), why);
        body.truth("ignorecache", false);
    } else if let Some(tag) = unknown_tag(&key) {
        let why = format!("the tag <{tag}> cannot stand in the key, so no answer is kept");
        scribe.left("ignorecache", Some(cache.origin), why);
        body.truth("ignorecache", false);
    } else {
        let max_time = (*max_time).clamp(Duration::from_secs(1), DAY);
        let items = [
            format!("key = {}", quoted(&key)),
            format!("max_count = {}", (*max_count).clamp(1, 100_000)),
            format!("max_time = {}", quoted(&TimeWords(max_time).to_string())),
        ];
        body.inline("ignorecache", &items);
        if max_time == cache.value.max_time {
            scribe.translated("ignorecache");
        } else {
            let why = "an answer is kept for a second at least and a day at most";
            scribe.different("ignorecache", Some(cache.origin), why);
        }
    }
}

/// The first tag that cannot stand in the key of a cache.
fn unknown_tag(key: &str) -> Option<&str> {
    let mut tags = key.split('<').skip(1);
    tags.find_map(|rest| {
        let (tag, _) = rest.split_once('>')?;
        (!IGNORE_CACHE_TAGS.contains(&tag)).then_some(tag)
    })
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
    } else {
        body.truth("bantime_increment", false);
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
