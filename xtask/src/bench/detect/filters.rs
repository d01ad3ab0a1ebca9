//! The same patterns for everybody: as our filters, as fail2ban's, and as plain regular expressions.

use std::fs;

use super::logs::Kind;
use crate::{Failure, workspace};

/// Applications that the jails beside the first one watch, each with a filter of its own.
pub(super) const APPS: usize = 99;

/// The date at the beginning of a line, as `rg` has to match what others cut out.
const SYSLOG_DATE: &str = r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}";

/// What `rg` needs in place of `<ADDR>`.
pub(super) const ADDRESS: &str = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[?[0-9A-Fa-f:.]+\]?)";

/// Four patterns of sshd's failures, as somebody would type them.
pub(super) const TYPED: [&str; 4] = [
    r"Failed password for .* from \S+ port \d+",
    r"Invalid user .* from \S+ port \d+",
    r"Connection closed by authenticating user .* \S+ port \d+ \[preauth\]",
    r"maximum authentication attempts exceeded for .* from \S+ port \d+",
];

/// Who fails at an application in a log.
pub(super) fn app_failure(app: usize, date: &str, id: &str) -> String {
    format!("{date} server app{app}[77]: login of root refused, client {id}\n")
}

/// A jail that watches a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jail {
    Sshd,
    Web,
    App(usize),
}

/// The jails of a log of this kind, `count` of them.
pub(super) fn jails(kind: Kind, count: usize) -> Vec<Jail> {
    let first = match kind {
        Kind::Web => Jail::Web,
        _ => Jail::Sshd,
    };
    std::iter::once(first)
        .chain((0..APPS).map(Jail::App))
        .take(count)
        .collect()
}

impl Jail {
    pub(super) fn name(self) -> String {
        match self {
            Self::Sshd => "sshd".to_owned(),
            Self::Web => "web".to_owned(),
            Self::App(number) => format!("app{number}"),
        }
    }

    /// Our filter as a file, where it is none of the stock ones.
    pub(super) fn native(self) -> Option<String> {
        let patterns = self.patterns()?;
        let quoted = patterns.iter().map(|text| format!("    '{text}',\n"));
        Some(format!("failregex = [\n{}]\n", quoted.collect::<String>()))
    }

    /// The patterns of a filter of the bench's own, in our dialect.
    fn patterns(self) -> Option<Vec<String>> {
        match self {
            Self::Sshd | Self::Web => None,
            Self::App(number) => Some(vec![
                format!(
                    r"^\s*\S+ app{number}\[\d+\]: login of <F-USER>.*</F-USER> refused, client <ADDR>$"
                ),
                format!(r"^\s*\S+ app{number}\[\d+\]: unknown request of <ADDR>$"),
            ]),
        }
    }

    /// fail2ban's filter: the name of one of its own.
    pub(super) fn fail2ban(self) -> String {
        match self {
            Self::Sshd => "sshd".to_owned(),
            Self::Web => "nginx-botsearch".to_owned(),
            Self::App(number) => format!("bench-app{number}"),
        }
    }

    /// The same as a file, where it is none of fail2ban's own.
    pub(super) fn fail2ban_file(self) -> Option<String> {
        match self {
            Self::Sshd | Self::Web => None,
            Self::App(_) => {
                let patterns = self.patterns()?.join("\n            ");
                let patterns = patterns.replace("<ADDR>", "<HOST>");
                Some(format!("[Definition]\nfailregex = {patterns}\n"))
            }
        }
    }

    /// What our filter matches, as regular expressions over the whole line.
    pub(super) fn plain(self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Sshd => stock_plain("sshd", SYSLOG_DATE),
            // Its date stands within the line, where its patterns have room for one.
            Self::Web => stock_plain("nginx-probes", ""),
            Self::App(_) => {
                let patterns = self.patterns().unwrap_or_default();
                let whole = patterns.iter().filter_map(|text| text.strip_prefix('^'));
                Ok(whole
                    .map(|text| untagged(&format!("^{SYSLOG_DATE}{text}")))
                    .collect())
            }
        }
    }
}

/// Every failregex of a stock filter of ours inside of its prefregex, behind a date.
fn stock_plain(name: &str, date: &str) -> Result<Vec<String>, Failure> {
    let path = workspace::root().join(format!("config/filters/{name}.toml"));
    let filter: toml::Table = fs::read_to_string(path)?.parse()?;
    let prefix = filter.get("prefregex").and_then(toml::Value::as_str);
    let prefix = prefix.and_then(|text| text.strip_prefix('^'));
    let prefix = prefix.and_then(|text| text.split_once("<F-CONTENT>"));
    let (prefix, _) =
        prefix.ok_or_else(|| format!("filter {name} has no prefregex with a content"))?;
    let patterns = filter.get("failregex").and_then(toml::Value::as_array);
    let patterns = patterns
        .ok_or_else(|| format!("filter {name} has no failregex"))?
        .iter();
    let whole = patterns.map(|pattern| {
        let text = pattern.as_str().and_then(|text| text.strip_prefix('^'));
        let text = text.ok_or_else(|| format!("a failregex of {name} is not anchored"))?;
        Ok(untagged(&format!("^{date}{prefix}{text}")))
    });
    whole.collect()
}

fn untagged(pattern: &str) -> String {
    pattern
        .replace("<F-USER>", "(?:")
        .replace("</F-USER>", ")")
        .replace("<ADDR>", ADDRESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_stock_filter_becomes_one_without_tags() {
        let plain = Jail::Sshd.plain().unwrap();
        assert!(plain.len() > 10);
        let web = Jail::Web.plain().unwrap();
        assert!(web.len() > 3);
        for pattern in plain.iter().chain(&Jail::App(3).plain().unwrap()) {
            assert!(pattern.starts_with(&format!("^{SYSLOG_DATE}")), "{pattern}");
        }
        for pattern in plain.iter().chain(&web) {
            assert!(pattern.ends_with('$'), "{pattern}");
            assert!(
                !pattern.contains("<F-") && !pattern.contains("<ADDR"),
                "{pattern}"
            );
        }
    }

    #[test]
    fn the_first_jail_is_that_of_the_log_and_all_are_different() {
        let jails = jails(Kind::Web, 100);
        assert_eq!(jails.first(), Some(&Jail::Web));
        let mut names: Vec<_> = jails.iter().map(|jail| jail.name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 100);
    }
}
