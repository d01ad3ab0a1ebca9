//! Texts into values: numbers, times, addresses, paths.

use std::time::Duration;

use stockade_core::{BanFormula, BanTime, FormulaError, parse_number, parse_time_arithmetic};

use super::arguments::parse_arguments;
use super::fault::Fault;
use super::ini::is_space;
use super::written::Written;
use crate::diagnostic::quoted;
use crate::network::{IgnoreEntry, parse_ignore};
use crate::source::Located;
use crate::suggest;

/// Collects what is wrong while values are read, so that reading goes on.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn push(&mut self, fault: Fault) {
        self.list.push(fault);
    }

    /// The value, or nothing and the fault is kept.
    pub(crate) fn take<T>(&mut self, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.push(fault)).ok()
    }

    pub(crate) fn failed(&self) -> bool {
        let mut severities = self.list.iter().map(|fault| fault.severity);
        severities.any(|severity| severity == crate::Severity::Error)
    }
}

/// What host names in a log line stand for (`usedns`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseHostNames {
    /// Their addresses.
    Yes,
    /// Their addresses, and a warning: whoever controls a name decides who is banned.
    Warn,
    /// Nothing: only addresses count.
    No,
    /// Themselves: any text is an id.
    Raw,
}

/// Where reading of a log begins that was not read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// At its first line.
    Head,
    /// Behind its last line.
    Tail,
}

/// One of the paths of `logpath`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPath {
    /// With `*`, `?` and `[…]` as in a shell.
    pub glob: Located<String>,
    /// Where reading begins.
    pub start: LogStart,
}

/// Who is never banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IgnoreAddress {
    /// An address, a network, a host name or an id of text.
    Entry(IgnoreEntry),
    /// A file with more of them (`file:PATH`).
    File(String),
}

/// How long what `ignorecommand` said is remembered (`ignorecache`).
#[derive(Clone, Debug, PartialEq)]
pub struct IgnoreCache {
    /// What it is remembered by, with tags.
    pub key: String,
    /// How many answers are remembered.
    pub max_count: u32,
    /// For how long.
    pub max_time: Duration,
}

/// How logs are watched (`backend`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The kind.
    pub kind: BackendKind,
    /// The arguments in brackets: `journalpath`, `journalfiles`, `journalflags`, `namespace`.
    pub arguments: Vec<(String, Located<String>)>,
}

/// How logs are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// As well as the host allows.
    Auto,
    /// Files, by inotify(7).
    Pyinotify,
    /// Files, by gamin, which fail2ban had until 1.0.
    Gamin,
    /// Files, by looking again and again.
    Polling,
    /// The systemd journal.
    Systemd,
}

const BACKENDS: [(&str, BackendKind); 5] = [
    ("auto", BackendKind::Auto),
    ("pyinotify", BackendKind::Pyinotify),
    ("gamin", BackendKind::Gamin),
    ("polling", BackendKind::Polling),
    ("systemd", BackendKind::Systemd),
];

/// `true` for the words that fail2ban knows, and `false` for all others, with a warning where the
/// word is not one for that.
pub(crate) fn boolean(value: &Written, option: &str, faults: &mut Faults) -> bool {
    match value.as_str().to_lowercase().as_str() {
        "1" | "on" | "true" | "yes" => true,
        "0" | "off" | "false" | "no" | "" => false,
        _ => {
            let message = format!(
                "{} of {} is neither true nor false, and counts as false",
                quoted(value.as_str()),
                quoted(option)
            );
            faults.push(Fault::warning(value.origin(), message));
            false
        }
    }
}

/// A whole number from `least` on.
pub(crate) fn whole_number(
    value: &Written,
    option: &str,
    least: u32,
) -> Result<Located<u32>, Fault> {
    let number = value.as_str().trim().parse::<u32>().ok();
    match number.filter(|number| *number >= least) {
        Some(number) => Ok(located(number, value)),
        None => {
            let message = format!(
                "{} must be a whole number from {least} on, found {}",
                quoted(option),
                quoted(value.as_str())
            );
            Err(Fault::error(value.origin(), message))
        }
    }
}

pub(crate) fn at_least_one(value: &Written, option: &str) -> Result<Located<u32>, Fault> {
    whole_number(value, option, 1)
}

/// A length of time, with arithmetic.
pub(crate) fn duration(value: &Written, option: &str) -> Result<Located<Duration>, Fault> {
    match bantime(value, option)?.value {
        BanTime::For(length) => Ok(located(length, value)),
        BanTime::Forever => {
            let message = format!("{} cannot be negative", quoted(option));
            Err(Fault::error(value.origin(), message))
        }
    }
}

/// A length of time, or for ever where it is negative.
pub(crate) fn bantime(value: &Written, option: &str) -> Result<Located<BanTime>, Fault> {
    let secs =
        parse_time_arithmetic(value.as_str()).map_err(|error| arithmetic(value, option, &error))?;
    if secs < 0.0 {
        return Ok(located(BanTime::Forever, value));
    }
    let length = Duration::try_from_secs_f64(secs)
        .ok()
        .filter(|length| *length <= LONGEST);
    match length {
        Some(length) => Ok(located(BanTime::For(length), value)),
        None => {
            let message = format!("{} is longer than 292,000 years", quoted(option));
            Err(Fault::error(value.origin(), message))
        }
    }
}

/// What a point in time can hold (`stockade_core::Timestamp`).
const LONGEST: Duration = Duration::from_micros(i64::MAX.unsigned_abs());

/// A number, with arithmetic.
pub(crate) fn number(value: &Written, option: &str) -> Result<Located<f64>, Fault> {
    let number = parse_number(value.as_str()).map_err(|error| arithmetic(value, option, &error))?;
    Ok(located(number, value))
}

pub(crate) fn formula(value: &Written, option: &str) -> Result<Located<BanFormula>, Fault> {
    let formula =
        BanFormula::parse(value.as_str()).map_err(|error| arithmetic(value, option, &error))?;
    Ok(located(formula, value))
}

fn arithmetic(value: &Written, option: &str, error: &FormulaError) -> Fault {
    let message = format!("{} cannot be read: {}", quoted(option), error.message);
    Fault::error(value.place(error.offset), message)
}

/// `bantime.multipliers`: whole numbers with spaces between them.
pub(crate) fn multipliers(value: &Written, option: &str) -> Result<Located<Vec<u32>>, Fault> {
    let mut numbers = Vec::new();
    for word in words(value) {
        numbers.push(whole_number(&word, option, 0)?.value);
    }
    Ok(located(numbers, value))
}

/// `ignoreip`: addresses, networks, names, ids and files, with spaces or commas between them.
pub(crate) fn ignore_addresses(
    value: &Written,
    faults: &mut Faults,
) -> Vec<Located<IgnoreAddress>> {
    let mut addresses = Vec::new();
    let entries = value.split(|c| c == ',' || is_space(c));
    for entry in entries.filter(|entry| !entry.as_str().is_empty()) {
        let text = entry.as_str();
        let address = match text.strip_prefix("file:") {
            Some(path) => IgnoreAddress::File(path.trim_start_matches("//").to_owned()),
            // What stockade's own files write for an id is an id as a whole here.
            None if text.starts_with("id:") => {
                IgnoreAddress::Entry(IgnoreEntry::Text(text.to_owned()))
            }
            None => match parse_ignore(text) {
                Some((entry_value, odd)) => {
                    let warning = odd.map(|odd| Fault::warning(entry.origin(), odd));
                    faults.list.extend(warning);
                    IgnoreAddress::Entry(entry_value)
                }
                None => IgnoreAddress::Entry(IgnoreEntry::Text(text.to_owned())),
            },
        };
        addresses.push(located(address, &entry));
    }
    addresses
}

/// `ignorecache`: `key="<F-USER>", max-count=100, max-time=5m`; nothing for an empty text.
pub(crate) fn ignore_cache(value: &Written) -> Result<Option<Located<IgnoreCache>>, Fault> {
    /// fail2ban's defaults.
    const COUNT: u32 = 100;
    const TIME: Duration = Duration::from_secs(300);
    if value.as_str().trim().is_empty() {
        return Ok(None);
    }
    let call = parse_arguments(value)?;
    let argument = |name: &str| call.arguments.get(name);
    let key = argument("key").ok_or_else(|| {
        Fault::error(value.origin(), "'ignorecache' has no 'key'")
            .hint("write for example: key=\"<ip>\", max-count=100, max-time=5m")
    })?;
    let max_count = argument("max-count")
        .map(|count| at_least_one(count, "max-count"))
        .transpose()?;
    let max_time = argument("max-time")
        .map(|time| duration(time, "max-time"))
        .transpose()?;
    let cache = IgnoreCache {
        key: key.as_str().to_owned(),
        max_count: max_count.map_or(COUNT, |count| count.value),
        max_time: max_time.map_or(TIME, |time| time.value),
    };
    Ok(Some(located(cache, value)))
}

/// `logpath`: a path in each line, which may be followed by `head` or `tail`.
pub(crate) fn log_paths(value: &Written, faults: &mut Faults) -> Vec<LogPath> {
    let mut paths = Vec::new();
    for line in value.lines().filter(|line| !line.as_str().is_empty()) {
        let Some(space) = line.as_str().rfind(' ') else {
            paths.push(log_path(&line, LogStart::Head));
            continue;
        };
        let word = line.part(space + 1..line.as_str().len());
        let path = line.part(0..space);
        let start = match word.as_str().to_lowercase().as_str() {
            "tail" => LogStart::Tail,
            "head" => LogStart::Head,
            _ => {
                let message = format!(
                    "fail2ban takes {} for 'head' or 'tail' and does not watch it",
                    quoted(word.as_str())
                );
                let fault = Fault::warning(word.origin(), message);
                faults.push(fault.hint("write each path in a line of its own"));
                LogStart::Head
            }
        };
        paths.push(log_path(&path, start));
    }
    paths
}

fn log_path(path: &Written, start: LogStart) -> LogPath {
    let glob = path.located();
    LogPath { glob, start }
}

/// `usedns`.
pub(crate) fn host_names(value: &Written, faults: &mut Faults) -> Located<UseHostNames> {
    let names = match value.as_str().to_lowercase().as_str() {
        "yes" | "true" => UseHostNames::Yes,
        "warn" => UseHostNames::Warn,
        "no" | "false" => UseHostNames::No,
        "raw" => UseHostNames::Raw,
        _ => {
            let message = format!(
                "{} is none of 'yes', 'warn', 'no' and 'raw', and counts as 'no'",
                quoted(value.as_str())
            );
            faults.push(Fault::warning(value.origin(), message));
            UseHostNames::No
        }
    };
    located(names, value)
}

/// `backend`.
pub(crate) fn backend(value: &Written) -> Result<Located<Backend>, Fault> {
    let call = super::arguments::parse_call(value)?;
    let name = call.name.as_str().to_lowercase();
    let known = BACKENDS.iter().find(|(known, _)| *known == name);
    let Some((_, kind)) = known else {
        let message = format!("there is no backend {}", quoted(&name));
        let mut fault = Fault::error(call.name.origin(), message);
        fault.hint = suggest::hint(&name, BACKENDS.iter().map(|(known, _)| *known));
        return Err(fault);
    };
    let arguments = call.arguments.into_iter();
    let backend = Backend {
        kind: *kind,
        arguments: arguments
            .map(|(name, value)| (name, value.located()))
            .collect(),
    };
    Ok(located(backend, value))
}

/// The words of a line as a shell takes them apart: quotes and backslashes (sh(1), "Quoting").
pub(crate) fn words_of_shell(line: &Written) -> Result<Vec<String>, Fault> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut chars = line.as_str().char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some((open, _)), _) if c == open => quote = None,
            (Some(('"', _)), '\\') => {
                // Between double quotes it protects only what it must.
                let protected = chars.next_if(|(_, next)| matches!(next, '"' | '\\'));
                let c = protected.map_or('\\', |(_, next)| next);
                word.get_or_insert_default().push(c);
            }
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some((c, at));
                word.get_or_insert_default();
            }
            (None, '\\') => match chars.next() {
                Some((_, next)) => word.get_or_insert_default().push(next),
                None => {
                    return Err(Fault::error(
                        line.place(at),
                        "nothing follows the backslash",
                    ));
                }
            },
            (None, _) if is_space(c) => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if let Some((_, at)) = quote {
        return Err(Fault::error(line.place(at), "the quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

fn words(value: &Written) -> impl Iterator<Item = Written> + '_ {
    let words = value.split(is_space);
    words.filter(|word| !word.as_str().is_empty())
}

fn located<T>(value: T, written: &Written) -> Located<T> {
    Located {
        value,
        origin: written.origin(),
    }
}
