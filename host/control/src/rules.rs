//! The rules by which a jail decides, as they hold now.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use stockade_core::{BanTimeIncrement, Factor, Growth as CoreGrowth};

/// The answer to `rules` and `tune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesReply {
    /// The jail.
    pub jail: String,
    /// The filter, or the plugin that is its filter.
    pub filter: String,
    /// Globs of its log files.
    pub logpath: Vec<String>,
    /// Alternatives of conditions on journal entries.
    pub journalmatch: Vec<Vec<String>>,
    /// Failures that lead to a ban.
    pub maxretry: u32,
    /// Seconds within which they must happen.
    pub findtime_s: u64,
    /// Seconds a first ban lasts; `null` for ever.
    pub bantime_s: Option<u64>,
    /// How further bans of an id grow; `null` where they do not.
    pub bantime_increment: Option<Increment>,
    /// Matched lines that are kept.
    pub maxmatches: u32,
    /// Who is never banned, as in the configuration.
    pub ignoreip: Vec<String>,
    /// Whether this host's own addresses are never banned.
    pub ignoreself: bool,
    /// What every line must match first; `null` for nothing.
    pub prefregex: Option<String>,
    /// What a failure looks like; empty where a plugin is the filter.
    pub failregex: Vec<String>,
    /// What is no failure nevertheless.
    pub ignoreregex: Vec<String>,
    /// How the date of a line is found: `default`, `none`, or patterns in fail2ban's language.
    pub datepattern: Vec<String>,
    /// How many lines a pattern gets to see at once.
    pub maxlines: u32,
    /// What host names in a line count for: `no`, `warn`, `yes` or `raw`.
    pub usedns: String,
    /// How the bytes of a line become text; `auto` is UTF-8.
    pub logencoding: String,
    /// The zone of dates that name none; `local` is this host's.
    pub logtimezone: String,
    /// Who is told of bans besides the firewall.
    pub actions: Vec<String>,
}

/// How further bans of an id grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Increment {
    /// What the time follows from.
    pub growth: Growth,
    /// What it is multiplied by.
    pub factor: Number,
    /// The formula; for `formula` only.
    pub formula: Option<String>,
    /// What the first time is multiplied by, by the number of earlier bans counted from 0; for
    /// `multipliers` only.
    pub multipliers: Vec<Number>,
    /// Seconds that the time is cut to.
    pub maxtime_s: Option<u64>,
    /// Seconds of which a random part is added.
    pub rndtime_s: u64,
    /// Whether the bans of all jails count.
    pub overalljails: bool,
}

impl Default for Increment {
    fn default() -> Self {
        Self::from(&BanTimeIncrement::default())
    }
}

/// What the time of a further ban follows from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// Each ban is twice as long as the one before.
    Doubling,
    /// A formula.
    Formula,
    /// A list of multipliers.
    Multipliers,
    /// A word of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

impl From<&BanTimeIncrement> for Increment {
    fn from(increment: &BanTimeIncrement) -> Self {
        let (growth, formula, multipliers) = match &increment.growth {
            CoreGrowth::Doubling => (Growth::Doubling, None, &[][..]),
            CoreGrowth::Formula(formula) => {
                (Growth::Formula, Some(formula.source().to_owned()), &[][..])
            }
            CoreGrowth::Multipliers(list) => (Growth::Multipliers, None, &list[..]),
        };
        Self {
            growth,
            factor: number(increment.factor),
            formula,
            multipliers: multipliers.iter().copied().map(number).collect(),
            maxtime_s: increment.maxtime.map(|time| time.as_secs()),
            rndtime_s: increment.rndtime.as_secs(),
            overalljails: increment.overalljails,
        }
    }
}

fn number(factor: Factor) -> Number {
    // A factor is finite, so JSON has it.
    Number::from_f64(factor.get()).unwrap_or_else(|| Number::from(0))
}
