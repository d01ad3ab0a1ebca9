//! Jails: every option that stockade has, and a word about every other.

use std::collections::{BTreeMap, BTreeSet};

use stockade_core::JailName;

use super::super::{BackendKind, LogStart, ResolvedJail, UseHostNames};
use super::actions::{self, Asked, Block, Closure, Programs};
use super::filters::{self, Filters};
use super::host::{ImportHost, PatternOf};
use super::report::Scribe;
use super::rules;
use super::toml::Body;
use crate::diagnostic::{Diagnostic, quoted};
use crate::network::parse_ports;
use crate::reference::{Section, keys_of};
use crate::source::Origin;

/// What is made while jails are translated.
pub(super) struct Making<'a> {
    pub(super) host: &'a dyn ImportHost,
    /// The text of `/etc/services`.
    pub(super) services: &'a str,
    pub(super) filters: Filters,
    pub(super) programs: Programs,
    /// Patterns that cannot be used.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// All that has to be told of a jail, and where it is written.
pub(super) fn parts(jail: &ResolvedJail) -> BTreeMap<String, Option<Origin>> {
    let has_value = |text: &str| !text.trim().is_empty();
    let written = jail.written.iter();
    let mut parts: BTreeMap<String, Option<Origin>> = written
        .filter(|(_, value)| has_value(value.as_str()))
        .map(|(name, value)| (name.clone(), Some(value.origin())))
        .collect();
    // What names the actions is told by what becomes of each.
    parts.remove("action");
    for action in &jail.actions {
        let what = format!("action {}", action.name);
        for (name, command) in &action.commands {
            if has_value(command.as_str()) {
                parts.insert(format!("{name} of {what}"), Some(command.origin()));
            }
        }
        for (name, parameter) in action.parameters.iter().filter(|(_, it)| it.given) {
            let at = parameter.written.origin();
            parts.insert(format!("{name} of {what}"), Some(at));
        }
        parts.insert(what, Some(action.origin));
    }
    parts
}

/// The keys of the jail's file; `None` where it cannot be one, which is told.
pub(super) fn translate(
    jail: &ResolvedJail,
    making: &mut Making<'_>,
    scribe: &mut Scribe<'_>,
) -> Option<Body> {
    let body = whole(jail, making, scribe).map_err(|why| {
        scribe.leave_jail(Some(jail.origin), why);
    });
    body.ok()
}

/// The keys of the jail's file, or why it cannot be one.
fn whole(
    jail: &ResolvedJail,
    making: &mut Making<'_>,
    scribe: &mut Scribe<'_>,
) -> Result<Body, String> {
    JailName::try_new(&jail.name).map_err(|error| error.to_string())?;
    let filter = jail.filter.as_ref().ok_or("it has no filter")?;
    if filter.failregex.is_empty() {
        return Err("its filter has no failregex, so that it finds nothing".to_owned());
    }
    check_patterns(jail, making, scribe)?;
    let mut body = Body::default();
    // A built-in jail of this name may switch itself on or off.
    body.truth("enabled", true);
    scribe.translated("enabled");
    sources(jail, making.host, &mut body, scribe)?;
    rules::of_jail(jail, making.host, &mut body, scribe);
    let asked =
        actions::translate(jail, &mut making.programs, making.host, scribe).map_err(|what| {
            format!("it lets in who is 'banned' ({what}), which stockade does not do")
        })?;
    closed(&asked, making.services, &mut body, scribe);
    body.list("actions", &asked.programs);
    body.text("filter", &making.filters.add(filter, &jail.name));
    body.first("filter");
    body.first("enabled");
    for part in [
        "filter",
        "prefregex",
        "failregex",
        "ignoreregex",
        "maxlines",
        "datepattern",
    ] {
        if part == "filter" || jail.written.contains_key(part) {
            scribe.translated(part);
        }
    }
    Ok(body)
}

/// The keys that a jail which says nothing itself would have, as far as they belong to no jail alone.
pub(super) fn rules_of(
    jail: &ResolvedJail,
    making: &Making<'_>,
    programs: &mut Programs,
    body: &mut Body,
    scribe: &mut Scribe<'_>,
) {
    rules::backend(jail, body, scribe);
    rules::reading(jail, making.host, body, scribe);
    rules::of_jail(jail, making.host, body, scribe);
    if let Ok(asked) = actions::translate(jail, programs, making.host, scribe)
        && !jail.actions.is_empty()
    {
        closed(&asked, making.services, body, scribe);
        body.list("actions", &asked.programs);
    }
    let shared: BTreeSet<&str> = keys_of(Section::Defaults).collect();
    body.retain(|name, _| shared.contains(name));
}

/// Whether the patterns of the filter can be used; tells where not.
fn check_patterns(
    jail: &ResolvedJail,
    making: &mut Making<'_>,
    scribe: &Scribe<'_>,
) -> Result<(), String> {
    let Some(filter) = &jail.filter else {
        return Ok(());
    };
    let usedns = jail.options.usedns.as_ref();
    let usedns = usedns.map_or(UseHostNames::Warn, |names| names.value);
    let faults = making.host.pattern_faults(filter, usedns);
    let Some(first) = faults.first() else {
        return Ok(());
    };
    let why = format!("a pattern of its filter cannot be used: {}", first.message);
    for fault in faults {
        let dates = filter.datepattern.as_deref().unwrap_or_default();
        let pattern = match fault.pattern {
            PatternOf::Prefregex => filter.prefregex.as_ref(),
            PatternOf::Failregex(at) => filter.failregex.get(at),
            PatternOf::Ignoreregex(at) => filter.ignoreregex.get(at),
            PatternOf::Datepattern(at) => dates.get(at),
        };
        let place = pattern.or_else(|| filter.failregex.first());
        making.diagnostics.extend(place.map(|pattern| {
            pattern.fault(scribe.sources(), fault.offset, fault.message, fault.hint)
        }));
    }
    Err(why)
}

/// Where lines are read from; an error where the jail has nothing to read.
fn sources(
    jail: &ResolvedJail,
    host: &dyn ImportHost,
    body: &mut Body,
    scribe: &mut Scribe<'_>,
) -> Result<(), String> {
    rules::backend(jail, body, scribe);
    rules::reading(jail, host, body, scribe);
    let backend = jail.options.backend.as_ref();
    if backend.is_some_and(|backend| backend.value.kind == BackendKind::Systemd) {
        return journal(jail, body, scribe);
    }
    let why = "it says what is read of the journal, and the jail reads files";
    if let Some(written) = jail.written.get("journalmatch") {
        scribe.left("journalmatch", Some(written.origin()), why);
    }
    let paths = &jail.options.logpath;
    if paths.is_empty() {
        return Err("it reads files and has no logpath".to_owned());
    }
    let globs: Vec<String> = paths.iter().map(|path| path.glob.value.clone()).collect();
    if let Some(path) = globs.iter().find(|path| !path.starts_with('/')) {
        return Err(format!("its logpath {} is not absolute", quoted(path)));
    }
    body.list("logpath", &globs);
    scribe.translated("logpath");
    for path in paths
        .iter()
        .filter(|path| path.glob.value.contains("fail2ban.log"))
    {
        scribe.different("logpath", Some(path.glob.origin), OF_FAIL2BAN);
    }
    for path in paths.iter().filter(|path| path.start == LogStart::Tail) {
        let why = format!(
            "{} is read from its beginning where it is new, not from its end ('tail')",
            quoted(&path.glob.value)
        );
        scribe.different("logpath", Some(path.glob.origin), why);
    }
    Ok(())
}

/// What becomes of a jail that bans again whom other jails have banned.
const OF_FAIL2BAN: &str = "this is fail2ban's own log, which stockade does not write, so that the jail finds none \
                           of its bans; stockade's own jail 'recidive' reads both logs, and bantime_increment bans \
                           who comes again for longer";

/// Every entry of the journal has one of these (systemd.journal-fields(7)).
const TRANSPORTS: [&str; 6] = ["audit", "driver", "journal", "kernel", "stdout", "syslog"];

fn journal(jail: &ResolvedJail, body: &mut Body, scribe: &mut Scribe<'_>) -> Result<(), String> {
    let filter = jail.filter.as_ref();
    let mut matches = filter.map(filters::journalmatch).unwrap_or_default();
    for word in matches.iter().flatten() {
        if let Err(problem) = crate::words::check_journal_match(word) {
            return Err(format!(
                "its journalmatch cannot be used: {problem}, found {}",
                quoted(word)
            ));
        }
    }
    if matches.is_empty() {
        let all = TRANSPORTS.iter();
        matches = all.map(|it| vec![format!("_TRANSPORT={it}")]).collect();
        body.comment("The whole journal, which fail2ban reads where there is no journalmatch.");
    }
    body.lists("journalmatch", &matches);
    scribe.translated("journalmatch");
    let lines = filter.into_iter().flat_map(|filter| &filter.journalmatch);
    for line in lines.filter(|line| line.value.iter().any(|word| word.contains("fail2ban"))) {
        scribe.different("journalmatch", Some(line.origin), OF_FAIL2BAN);
    }
    if let Some(path) = jail.written.get("logpath") {
        let why = "the jail reads the journal, also in fail2ban";
        scribe.left("logpath", Some(path.origin()), why);
    }
    Ok(())
}

/// What the firewall closes for who is banned.
fn closed(asked: &Asked, services: &str, body: &mut Body, scribe: &mut Scribe<'_>) {
    body.gap();
    let closures = &asked.closures;
    if closures.is_empty() {
        let why = match asked.programs.as_slice() {
            [] => "no action of it fills a firewall, and so a ban has no effect",
            _ => "no action of it fills a firewall, and so bans are told to its programs only",
        };
        scribe.different("firewall", None, why);
        body.text("port", "all");
        body.text("firewall", "none");
        return;
    }
    let ports = together(closures.iter().map(|closure| closure.ports.as_ref()));
    let protocols = together(closures.iter().map(|closure| closure.protocols.as_ref()));
    let same = |same: fn(&Closure, &Closure) -> bool| {
        let mut neighbours = closures.iter().zip(closures.iter().skip(1));
        neighbours.all(|(one, other)| same(one, other))
    };
    let same_ports = same(|one, other| one.ports == other.ports);
    let same_protocols = same(|one, other| one.protocols == other.protocols);
    if !same_ports && !same_protocols {
        let why = "each port of its actions is closed for all protocols of them";
        scribe.different("port", None, why);
    }
    ports_of(ports, services, body, scribe);
    match protocols {
        Some(mut protocols) => {
            protocols.sort_unstable();
            let protocols: Vec<String> = protocols.into_iter().map(str::to_owned).collect();
            body.list("protocol", &protocols);
        }
        None => body.text("protocol", "all"),
    }
    let mut blocks: Vec<Block> = closures.iter().map(|closure| closure.block).collect();
    blocks.sort_unstable();
    blocks.dedup();
    if blocks.len() > 1 {
        let why = "one of its actions drops packets and another rejects them: all are rejected";
        scribe.different("blocktype", None, why);
    }
    let reject = blocks.contains(&Block::Reject);
    body.text("blocktype", if reject { "reject" } else { "drop" });
    for what in ["port", "protocol", "blocktype"] {
        scribe.translated(what);
    }
}

/// All that any of them closes; `None` stands for everything.
fn together<'c, T: PartialEq + Clone + 'c, C: IntoIterator<Item = &'c T>>(
    each: impl Iterator<Item = Option<C>>,
) -> Option<Vec<T>> {
    let mut all: Vec<T> = Vec::new();
    for items in each {
        for item in items? {
            if !all.contains(item) {
                all.push(item.clone());
            }
        }
    }
    Some(all)
}

fn ports_of(ports: Option<Vec<String>>, services: &str, body: &mut Body, scribe: &mut Scribe<'_>) {
    let Some(ports) = ports else {
        return body.text("port", "all");
    };
    let (known, unknown): (Vec<String>, Vec<String>) = ports
        .into_iter()
        .partition(|port| parse_ports(port, services).is_ok());
    let shown: Vec<String> = unknown.iter().map(|port| quoted(port)).collect();
    let shown = shown.join(", ");
    if known.is_empty() {
        let why = format!("there is no port {shown}, so that all are closed");
        scribe.different("port", None, why);
        return body.text("port", "all");
    }
    if !unknown.is_empty() {
        scribe.left("port", None, format!("there is no port {shown}"));
    }
    body.list("port", &known);
}
