//! The options of a jail, with their types.

use std::time::Duration;

use stockade_core::{BanFormula, BanTime};

use super::filter::FILTER_OPTIONS;
use super::merged::Options;
use super::values::{self, Backend, Faults, IgnoreAddress, IgnoreCache, LogPath, UseHostNames};
use super::written::Written;
use crate::source::{Located, Origin};

/// The options of a jail that mean something by themselves, without those of its filter.
pub(crate) const JAIL_OPTIONS: &[&str] = &[
    "enabled",
    "backend",
    "maxretry",
    "maxmatches",
    "findtime",
    "bantime",
    "bantime.increment",
    "bantime.factor",
    "bantime.formula",
    "bantime.multipliers",
    "bantime.maxtime",
    "bantime.rndtime",
    "bantime.overalljails",
    "ignorecommand",
    "ignoreself",
    "ignoreip",
    "ignorecache",
    "filter",
    "logtimezone",
    "logencoding",
    "logpath",
    "action",
    "skip_if_nologs",
    "systemd_if_nologs",
];

/// What stock files name in actions and filters; a jail may set them although nothing names them.
pub(crate) const CUSTOMARY: &[&str] = &[
    "mode",
    "port",
    "protocol",
    "chain",
    "banaction",
    "banaction_allports",
    "destemail",
    "sender",
    "mta",
    "fail2ban_agent",
];

/// Options that are true or false.
const BOOLEANS: &[&str] = &[
    "enabled",
    "bantime.increment",
    "bantime.overalljails",
    "ignoreself",
    "skip_if_nologs",
    "systemd_if_nologs",
];

/// Options that are whole numbers.
const NUMBERS: &[&str] = &["maxretry", "maxmatches", "maxlines"];

/// The options of a jail; `None` where nobody wrote one. An empty value of an option that is no text
/// counts as none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JailOptions {
    /// How logs are watched; without it [`super::BackendKind::Auto`].
    pub backend: Option<Located<Backend>>,
    /// How many failures make a ban; without it 3.
    pub maxretry: Option<Located<u32>>,
    /// How many matched lines are kept for each id; without it 5.
    pub maxmatches: Option<Located<u32>>,
    /// How far back failures count; without it ten minutes.
    pub findtime: Option<Located<Duration>>,
    /// How long a ban lasts; without it ten minutes.
    pub bantime: Option<Located<BanTime>>,
    /// How bans grow.
    pub increment: IncrementOptions,
    /// A command that says whether an id is ignored.
    pub ignorecommand: Option<Located<String>>,
    /// Whether this host's own addresses are never banned; without it they are not.
    pub ignoreself: Option<Located<bool>>,
    /// Who is never banned.
    pub ignoreip: Vec<Located<IgnoreAddress>>,
    /// How long answers of `ignorecommand` are remembered.
    pub ignorecache: Option<Located<IgnoreCache>>,
    /// The time zone of dates that name none.
    pub logtimezone: Option<Located<String>>,
    /// The encoding of the logs; without it as the host's.
    pub logencoding: Option<Located<String>>,
    /// The logs. Not looked at where the backend is the journal.
    pub logpath: Vec<LogPath>,
    /// What host names in a line stand for, from the jail or its filter; without it `warn`.
    pub usedns: Option<Located<UseHostNames>>,
    /// Whether a jail without a log is left out rather than an error (since 1.1.1).
    pub skip_if_nologs: Option<Located<bool>>,
    /// Whether a jail without a log reads the journal (since 1.1.1).
    pub systemd_if_nologs: Option<Located<bool>>,
}

/// `bantime.increment` and its family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncrementOptions {
    /// Whether bans grow at all.
    pub enabled: Option<Located<bool>>,
    /// What the growth is multiplied by; without it 1.
    pub factor: Option<Located<f64>>,
    /// How the time follows from the number of bans before.
    pub formula: Option<Located<BanFormula>>,
    /// What the time is multiplied by, by the number of bans before; instead of the formula.
    pub multipliers: Option<Located<Vec<u32>>>,
    /// The longest time.
    pub maxtime: Option<Located<Duration>>,
    /// Up to how much is added by chance.
    pub rndtime: Option<Located<Duration>>,
    /// Whether bans by other jails count.
    pub overalljails: Option<Located<bool>>,
}

/// Every name that is an option of a jail.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    JAIL_OPTIONS.iter().chain(FILTER_OPTIONS).copied()
}

/// Options that have a value where nobody writes one.
const DEFAULTS: &[(&str, &str)] = &[
    ("enabled", "False"),
    ("backend", "auto"),
    ("filter", ""),
    ("action", ""),
];

/// What filters and actions see of those options of their jail that are `asked` for: numbers and
/// truths as Python writes them, and nothing where they are none.
pub(crate) fn seen_from_outside(written: &Options, asked: &[&str]) -> Options {
    let mut ignored = Faults::default();
    let defaults = DEFAULTS.iter().filter(|(name, _)| asked.contains(name));
    let mut seen: Options = defaults
        .map(|(name, value)| ((*name).to_owned(), Written::new(*value, Origin::NOWHERE)))
        .collect();
    for (name, value) in written {
        let value = if BOOLEANS.contains(&name.as_str()) {
            let truth = values::boolean(value, name, &mut ignored);
            Some(respelled(value, if truth { "True" } else { "False" }))
        } else if NUMBERS.contains(&name.as_str()) {
            let number = value.as_str().trim().parse::<i64>().ok();
            number.map(|number| respelled(value, &number.to_string()))
        } else {
            Some(value.clone())
        };
        seen.extend(value.map(|value| (name.clone(), value)));
    }
    seen
}

fn respelled(value: &Written, spelling: &str) -> Written {
    if value.as_str() == spelling {
        return value.clone();
    }
    Written::new(spelling, value.origin())
}

/// Gives the options their types. `usedns` is the one that holds, of the jail or of its filter.
pub(crate) fn read(
    written: &Options,
    usedns: Option<&Written>,
    faults: &mut Faults,
) -> JailOptions {
    let mut reader = Reader { written, faults };
    let mut options = JailOptions {
        backend: reader.with("backend", |value, _| values::backend(value)),
        maxretry: reader.with("maxretry", values::at_least_one),
        maxmatches: reader.with("maxmatches", |value, option| {
            values::whole_number(value, option, 0)
        }),
        findtime: reader.with("findtime", values::duration),
        bantime: reader.with("bantime", values::bantime),
        increment: increment(&mut reader),
        ignorecommand: reader.text("ignorecommand"),
        ignoreself: reader.boolean("ignoreself"),
        logtimezone: reader.text("logtimezone"),
        logencoding: reader.text("logencoding"),
        skip_if_nologs: reader.boolean("skip_if_nologs"),
        systemd_if_nologs: reader.boolean("systemd_if_nologs"),
        ..JailOptions::default()
    };
    let cache = reader.with("ignorecache", |value, _| values::ignore_cache(value));
    options.ignorecache = cache.flatten();
    options.usedns = usedns.map(|value| values::host_names(value, faults));
    if let Some(value) = written.get("ignoreip") {
        options.ignoreip = values::ignore_addresses(value, faults);
    }
    if let Some(value) = written.get("logpath") {
        options.logpath = values::log_paths(value, faults);
    }
    options
}

fn increment(reader: &mut Reader<'_>) -> IncrementOptions {
    IncrementOptions {
        enabled: reader.boolean("bantime.increment"),
        factor: reader.with("bantime.factor", values::number),
        formula: reader.with("bantime.formula", values::formula),
        multipliers: reader.with("bantime.multipliers", values::multipliers),
        maxtime: reader.with("bantime.maxtime", values::duration),
        rndtime: reader.with("bantime.rndtime", values::duration),
        overalljails: reader.boolean("bantime.overalljails"),
    }
}

struct Reader<'o> {
    written: &'o Options,
    faults: &'o mut Faults,
}

impl Reader<'_> {
    fn value(&self, option: &str) -> Option<&Written> {
        let value = self.written.get(option);
        value.filter(|value| !value.as_str().trim().is_empty())
    }

    fn with<T>(
        &mut self,
        option: &str,
        read: impl FnOnce(&Written, &str) -> Result<T, super::fault::Fault>,
    ) -> Option<T> {
        let read = read(self.value(option)?, option);
        self.faults.take(read)
    }

    fn text(&self, option: &str) -> Option<Located<String>> {
        self.value(option).map(Written::located)
    }

    fn boolean(&mut self, option: &str) -> Option<Located<bool>> {
        let written = self.value(option)?.clone();
        Some(Located {
            value: values::boolean(&written, option, self.faults),
            origin: written.origin(),
        })
    }
}
