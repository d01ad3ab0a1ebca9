//! Replies of the daemon as text for people.

use stockade_control::{
    BackendStatus, BanEntry, BannedReply, Check, ControlReply, Diagnostic, Finding, FirewallStatus,
    Growth, HeldStatus, Increment, ItemResult, Outcome, PluginState, ProtectedStatus, ReloadReply,
    State, StatusReply, Time,
};

use super::table::Table;

/// A reply as text. `in_detail` shows everything of the jails in a status.
pub(super) fn reply(reply: &ControlReply, in_detail: bool) -> String {
    match reply {
        ControlReply::Ping {} => "pong\n".to_owned(),
        ControlReply::Version(version) => format!("stockade {}\n", version.version),
        ControlReply::Status(status) => self::status(status, in_detail),
        ControlReply::Banned(banned) => self::banned(banned),
        ControlReply::Ban(ban) => items(&ban.results),
        ControlReply::Unban(unban) if unban.results.is_empty() => {
            format!("{} unbanned\n", unban.unbanned)
        }
        ControlReply::Unban(unban) => items(&unban.results),
        ControlReply::Confirm(confirm) => {
            format!("{} bans were held, {} are made\n", confirm.held, confirm.banned)
        }
        ControlReply::Reload(reload) => self::reload(reload),
        ControlReply::Doctor(doctor) => doctor.checks.iter().map(check).collect(),
        ControlReply::Stop(stop) if stop.flushed => "stopping; the firewall is cleared, and bans that have not run out come back at the next start\n".to_owned(),
        ControlReply::Stop(stop) => {
            format!("stopping; {} bans stay in the firewall\n", stop.bans_left)
        }
        _ => String::new(),
    }
}

fn check(check: &Check) -> String {
    let word = match check.finding {
        Finding::Good => "ok",
        Finding::Bad => "PROBLEM",
        Finding::Unknown => "unknown",
    };
    let mut text = format!("{word:<9}{}\n", check.message);
    if let Some(hint) = &check.hint {
        text.push_str(&format!("{:<9}{hint}\n", ""));
    }
    text
}

fn status(status: &StatusReply, in_detail: bool) -> String {
    let firewall = &status.firewall;
    let mut text = format!(
        "stockade {}, up {}, firewall {}",
        status.version,
        duration(status.uptime_s),
        backends(firewall),
    );
    let messages = [
        &firewall.message,
        &status.store.message,
        &status.protected.message,
    ];
    for message in messages.into_iter().flatten() {
        text.push_str(&format!("\n  {message}"));
    }
    text.push_str("\n\n");
    held(&status.held, &mut text);
    text.push_str(&jails(status).to_string());
    if !status.absent.is_empty() {
        let names: Vec<_> = status
            .absent
            .iter()
            .map(|jail| jail.name.as_str())
            .collect();
        text.push_str(&format!(
            "\noff, as this host has nothing for them ('stockade check' says what was looked for): {}\n",
            names.join(", ")
        ));
    }
    troubles(status, &mut text);
    if in_detail {
        details(status, &mut text);
    }
    protected(&status.protected, &mut text);
    text
}

/// Who is never banned, and why.
fn protected(protected: &ProtectedStatus, text: &mut String) {
    let kinds = [
        ("gateway", &protected.gateways),
        ("name server", &protected.resolvers),
        ("ssh", &protected.ssh_sessions),
    ];
    let named = |(why, addrs): (&str, &Vec<String>)| -> Vec<String> {
        addrs.iter().map(|addr| format!("{addr} ({why})")).collect()
    };
    let all = kinds.map(named).concat();
    if !all.is_empty() {
        text.push_str(&format!(
            "\nnever banned at the moment: {}\n",
            all.join(", ")
        ));
    }
}

/// Bans that wait for the operator stand above all else.
fn held(held: &HeldStatus, text: &mut String) {
    if held.waiting > 0 {
        let max = held.bans_per_minute.unwrap_or_default();
        let since = held.since.map(|since| format!(" SINCE {}", time(since)));
        let since = since.unwrap_or_default();
        text.push_str(&format!(
            "{} BANS ARE HELD{since}: there were more than {max} within a minute.\n\
             'stockade confirm' makes them, 'stockade confirm --discard' forgets them.\n\n",
            held.waiting
        ));
    }
    if held.dropped > 0 {
        text.push_str(&format!(
            "{} bans were neither made nor held since the start, as too many were held.\n\n",
            held.dropped
        ));
    }
}

/// `nftables: ok, route: FAILED`
fn backends(firewall: &FirewallStatus) -> String {
    let dry_run = if firewall.dry_run { " (dry run)" } else { "" };
    let shown = |backend: &BackendStatus| {
        let state = word(backend.state);
        format!("{}{dry_run}: {state}", backend.name)
    };
    match firewall.backends.as_slice() {
        [] => "none: no jail wants one".to_owned(),
        some => some.iter().map(shown).collect::<Vec<_>>().join(", "),
    }
}

fn jails(status: &StatusReply) -> Table {
    let mut table = Table::new(&[
        "JAIL", "STATE", "FILTER", "FAILING", "FAILED", "BANNED", "BANS",
    ]);
    for jail in &status.jails {
        table.row([
            jail.name.clone(),
            word(jail.state).to_owned(),
            jail.filter.clone(),
            jail.currently_failing.to_string(),
            jail.total_failed.to_string(),
            jail.currently_banned.to_string(),
            jail.total_banned.to_string(),
        ]);
    }
    table
}

/// What is not as it should be, so that nobody has to ask in detail to learn it.
fn troubles(status: &StatusReply, text: &mut String) {
    for jail in &status.jails {
        if let Some(message) = &jail.message {
            text.push_str(&format!("\n{}: {message}\n", jail.name));
        }
        let unclear = [
            (jail.total_ambiguous, "can be read with different addresses"),
            (
                jail.total_gave_up,
                "take too many steps to tell whether a pattern matches",
            ),
        ];
        for (lines, why) in unclear.into_iter().filter(|(lines, _)| *lines > 0) {
            let name = &jail.name;
            text.push_str(&format!(
                "\n{name}: {lines} lines not counted, as they {why}; see the log\n"
            ));
        }
    }
    for source in status
        .sources
        .iter()
        .filter(|source| source.state == State::Failed)
    {
        if let Some(message) = &source.message {
            text.push_str(&format!("\n{}: {message}\n", source.name));
        }
    }
    for plugin in status
        .plugins
        .iter()
        .filter(|plugin| plugin.state != PluginState::Running)
    {
        let message = plugin.message.as_deref().unwrap_or("not running");
        text.push_str(&format!("\nplugin {}: {message}\n", plugin.name));
    }
}

fn details(status: &StatusReply, text: &mut String) {
    for jail in &status.jails {
        let bantime = jail
            .bantime_s
            .map_or_else(|| "for ever".to_owned(), duration);
        text.push_str(&format!("\n{}\n", jail.name));
        let limits = format!(
            "{} failures in {}, ban {bantime}{}",
            jail.maxretry,
            duration(jail.findtime_s),
            jail.bantime_increment
                .as_ref()
                .map(growth)
                .unwrap_or_default()
        );
        let mut facts = vec![("limits", limits), ("logs", jail.sources.join(", "))];
        if !jail.firewall.is_empty() {
            facts.push(("firewall", jail.firewall.join(", ")));
        }
        if let Some(stopped) = jail.stopped {
            let counted = format!("{} packets, {} bytes", stopped.packets, stopped.bytes);
            facts.push(("stopped", counted));
        }
        if !jail.actions.is_empty() {
            facts.push(("actions", jail.actions.join(", ")));
        }
        if jail.banned_again > 0 {
            let longest = jail
                .longest_ban_s
                .map_or_else(|| "for ever".to_owned(), duration);
            let again = format!("{}, longest ban {longest}", jail.banned_again);
            facts.push(("banned again", again));
        }
        facts.push(("remembered", jail.remembered.to_string()));
        facts.push(("ignored", jail.total_ignored.to_string()));
        facts.push(("too old", jail.total_too_old.to_string()));
        facts.push(("while banned", jail.total_while_banned.to_string()));
        facts.push(("ambiguous", jail.total_ambiguous.to_string()));
        facts.push(("gave up", jail.total_gave_up.to_string()));
        for (name, value) in facts {
            text.push_str(&format!("  {name:<13}{value}\n"));
        }
    }
    for backend in &status.firewall.backends {
        let name = &backend.name;
        let bans = backend.bans.unwrap_or_default();
        text.push_str(&format!("\nfirewall {name}: {bans} bans"));
        match &backend.because {
            Some(because) => text.push_str(&format!("; chosen since {because}\n")),
            None => text.push('\n'),
        }
    }
    for plugin in &status.plugins {
        text.push_str(&format!(
            "\nplugin {}: {} faults, {} lines skipped, {} queued\n",
            plugin.name, plugin.faults, plugin.skipped_lines, plugin.queue
        ));
    }
}

/// How bans grow, after how long a first one lasts.
fn growth(increment: &Increment) -> String {
    let mut text = match increment.growth {
        Growth::Multipliers => {
            let list: Vec<_> = increment
                .multipliers
                .iter()
                .map(ToString::to_string)
                .collect();
            format!(", then times {}", list.join(" "))
        }
        Growth::Formula => {
            let formula = increment.formula.as_deref().unwrap_or_default();
            format!(", then {formula}")
        }
        Growth::Doubling | Growth::Unknown => ", then doubled each time".to_owned(),
    };
    if increment.factor.as_f64() != Some(1.0) {
        text.push_str(&format!(", factor {}", increment.factor));
    }
    if let Some(maxtime) = increment.maxtime_s {
        text.push_str(&format!(", at most {}", duration(maxtime)));
    }
    if increment.rndtime_s > 0 {
        text.push_str(&format!(
            ", and up to {} by chance",
            duration(increment.rndtime_s)
        ));
    }
    if increment.overalljails {
        text.push_str(", over all jails");
    }
    text
}

fn banned(banned: &BannedReply) -> String {
    let mut table = Table::new(&[
        "JAIL", "ID", "SINCE", "UNTIL", "TIME", "FAILURES", "COUNT", "FIREWALL",
    ]);
    for ban in &banned.bans {
        table.row([
            ban.jail.clone(),
            ban.id.clone(),
            time(ban.at),
            ban.until.map_or_else(|| "for ever".to_owned(), time),
            ban.bantime_s.map_or_else(|| "-".to_owned(), duration),
            ban.failures.to_string(),
            ban.bancount.to_string(),
            in_firewall(ban).to_owned(),
        ]);
    }
    if table.is_empty() {
        "nobody is banned\n".to_owned()
    } else {
        table.to_string()
    }
}

fn in_firewall(ban: &BanEntry) -> &'static str {
    match ban.in_firewall {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    }
}

fn items(results: &[ItemResult]) -> String {
    let mut text = String::new();
    for item in results {
        let outcome = match item.outcome {
            Outcome::Banned => "banned",
            Outcome::AlreadyBanned => "already banned",
            Outcome::Ignored => "not banned",
            Outcome::TableFull => "not banned: the jail is full",
            Outcome::Unbanned => "unbanned",
            Outcome::NotBanned => "was not banned",
            Outcome::NotAnAddress => "not an address or network",
            Outcome::Counted => "counted",
            Outcome::Held => "held",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown outcome",
        };
        let jail = item
            .jail
            .as_ref()
            .map(|jail| format!("[{jail}] "))
            .unwrap_or_default();
        let reason = item
            .reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        text.push_str(&format!("{jail}{} {outcome}{reason}\n", item.id));
    }
    text
}

fn reload(reload: &ReloadReply) -> String {
    diagnostics(&reload.diagnostics);
    let mut text = String::new();
    let lists = [
        ("added", &reload.added),
        ("removed", &reload.removed),
        ("changed", &reload.changed),
    ];
    for (word, jails) in lists.into_iter().filter(|(_, jails)| !jails.is_empty()) {
        text.push_str(&format!("{word}: {}\n", jails.join(", ")));
    }
    if text.is_empty() {
        text.push_str("no jail has changed\n");
    }
    for jail in &reload.broken {
        let how = if jail.kept {
            "keeps the settings that it had"
        } else {
            "does not run"
        };
        text.push_str(&format!("{} has errors and {how}\n", jail.name));
    }
    for key in &reload.restart_needed {
        text.push_str(&format!("{key} takes effect at the next start\n"));
    }
    text
}

/// Diagnostics go to standard error, as compilers do it.
pub(super) fn diagnostics(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        eprint!("{}", diagnostic_text(diagnostic));
    }
}

fn diagnostic_text(diagnostic: &Diagnostic) -> String {
    let place = match (diagnostic.line, diagnostic.column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", diagnostic.path),
        _ => diagnostic.path.clone(),
    };
    let mut text = format!("{place}: {}\n", diagnostic.message);
    if let Some(excerpt) = &diagnostic.excerpt {
        let count = |n: u64| usize::try_from(n).unwrap_or(0);
        let (start, len) = (count(excerpt.mark_start), count(excerpt.mark_len).max(1));
        text.push_str(&format!(
            "  {}\n  {}{}\n",
            excerpt.text,
            " ".repeat(start),
            "^".repeat(len)
        ));
    }
    if let Some(hint) = &diagnostic.hint {
        text.push_str(&format!("hint: {hint}\n"));
    }
    text
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Waiting => "waiting",
        State::Degraded => "degraded",
        State::Failed => "FAILED",
        State::Broken => "BROKEN",
        State::Unknown => "unknown",
    }
}

fn duration(secs: u64) -> String {
    stockade_core::TimeWords(std::time::Duration::from_secs(secs)).to_string()
}

fn time(time: Time) -> String {
    crate::log::Local(time.timestamp()).to_string()
}
