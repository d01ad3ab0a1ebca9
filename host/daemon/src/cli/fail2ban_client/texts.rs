//! What fail2ban-client prints: its words and its drawing, since scripts read them.

use stockade_control::{JailStatus, LogStatus, RulesReply, StoreStatus};

/// A list as Python shows it.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(", "))
}

/// A text as Python shows it in a list.
pub(super) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// `|- a`, `|- b`, `` `- c `` below a heading.
pub(super) fn branches(heading: &str, items: &[String]) -> String {
    let last = items.len().saturating_sub(1);
    let lines = items.iter().enumerate().map(|(i, item)| {
        let branch = if i == last { "`-" } else { "|-" };
        format!("\n{branch} {item}")
    });
    format!("{heading}{}", lines.collect::<String>())
}

pub(super) fn status(jails: &[JailStatus]) -> String {
    let mut names: Vec<&str> = jails.iter().map(|jail| jail.name.as_str()).collect();
    names.sort_unstable();
    format!(
        "Status\n|- Number of jail:\t{}\n`- Jail list:\t{}",
        names.len(),
        names.join(", ")
    )
}

/// The flavour `short` is without the banned ids.
pub(super) fn jail_status(
    jail: &JailStatus,
    rules: &RulesReply,
    banned: Option<&Vec<String>>,
) -> String {
    let (kind, sources) = if reads_journal(jail) {
        ("Journal matches:", journal_match(rules))
    } else {
        ("File list:", jail.sources.join(" "))
    };
    let branch = if banned.is_some() { '|' } else { '`' };
    let mut text = format!(
        "Status for the jail: {}\n|- Filter\n|  |- Currently failed:\t{}\n|  |- Total failed:\t{}\n\
         |  `- {kind}\t{sources}\n`- Actions\n   |- Currently banned:\t{}\n   {branch}- Total banned:\t{}",
        jail.name,
        jail.currently_failing,
        jail.total_failed,
        jail.currently_banned,
        jail.total_banned,
    );
    if let Some(banned) = banned {
        text.push_str(&format!("\n   `- Banned IP list:\t{}", banned.join(" ")));
    }
    text
}

/// Whether the jail follows the journal, and not files.
pub(super) fn reads_journal(jail: &JailStatus) -> bool {
    let mut sources = jail.sources.iter();
    sources.any(|name| name.starts_with("journal:"))
}

/// As journalctl(1) reads it.
pub(super) fn journal_match(rules: &RulesReply) -> String {
    let all = rules.journalmatch.iter().map(|all| all.join(" "));
    all.collect::<Vec<_>>().join(" + ")
}

pub(super) fn ignoreip(rules: &RulesReply) -> String {
    if rules.ignoreip.is_empty() {
        return "No IP address/network is ignored".to_owned();
    }
    branches("These IP addresses/networks are ignored:", &rules.ignoreip)
}

pub(super) fn patterns(patterns: &[String]) -> String {
    if patterns.is_empty() {
        return "No regular expression is defined".to_owned();
    }
    let numbered = patterns.iter().enumerate();
    let numbered: Vec<String> = numbered.map(|(i, text)| format!("[{i}]: {text}")).collect();
    branches("The following regular expression are defined:", &numbered)
}

pub(super) fn logpath(files: &[String]) -> String {
    if files.is_empty() {
        return "No file is currently monitored".to_owned();
    }
    branches("Current monitored log file(s):", files)
}

pub(super) fn actions(jail: &str, actions: &[String]) -> String {
    if actions.is_empty() {
        return format!("No actions for jail {jail}");
    }
    format!(
        "The jail {jail} has the following actions:\n{}",
        actions.join(", ")
    )
}

/// fail2ban's names of our levels.
pub(super) fn log_level(log: &LogStatus) -> String {
    let level = match log.level.as_str() {
        "warn" => "WARNING",
        "trace" => "TRACEDEBUG",
        other => &other.to_uppercase(),
    };
    format!("Current logging level is {}", quoted(level))
}

pub(super) fn log_target(log: &LogStatus) -> String {
    let target = match log.target.as_str() {
        "stderr" => "STDERR",
        "journal" => "SYSTEMD-JOURNAL",
        path => path,
    };
    branches("Current logging target is:", &[target.to_owned()])
}

pub(super) fn purge_age(store: &StoreStatus) -> String {
    let age = format!("{}seconds", store.purge_age_s);
    branches("Current database purge age is:", &[age])
}

pub(super) fn encoding(rules: &RulesReply) -> String {
    let name = match rules.logencoding.as_str() {
        "auto" => "UTF-8",
        name => name,
    };
    format!("Current log encoding is set to:\n{name}")
}

pub(super) fn date_pattern(rules: &RulesReply) -> String {
    let patterns = rules.datepattern.join("\n");
    let shown = match patterns.as_str() {
        "default" | "{DEFAULT}" => "Default Detectors",
        "none" => "None",
        patterns => patterns,
    };
    format!("Current date pattern set to: {shown}")
}

/// The zone of this host is none of the jail's own.
pub(super) fn zone(rules: &RulesReply) -> String {
    match rules.logtimezone.as_str() {
        "local" => "None".to_owned(),
        zone => zone.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_as_python_does() {
        assert_eq!(quoted("a"), "'a'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("'\"\\\n\u{1b}"), r#"'\'"\\\n\x1b'"#);
        assert_eq!(list([quoted("a"), quoted("b")]), "['a', 'b']");
    }

    #[test]
    fn the_last_branch_bends() {
        let items = ["a".to_owned(), "b".to_owned()];
        assert_eq!(branches("x:", &items), "x:\n|- a\n`- b");
    }
}
