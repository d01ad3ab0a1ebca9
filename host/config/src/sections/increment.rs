//! `bantime_increment`: longer bans for who comes again.

use std::ops::RangeInclusive;
use std::time::Duration;

use stockade_core::{BanFormula, BanTimeIncrement, BanTimePolicy, Factor, Growth};

use crate::reading::{self, Found, Keys, Reading};
use crate::reference::Section;
use crate::source::Origin;
use crate::tree::{Node, Value};

/// Further multipliers say nothing: by then even the shortest ban is for years.
const MULTIPLIERS_MAX: usize = 1_000;

/// A formula is tried for as many earlier bans, so that one which has no value says so now and not to
/// the third attacker.
const COUNTS_TRIED: u32 = 100;

/// A first ban for which it is tried, in seconds; fail2ban's and ours.
const TRIED_SECS: f64 = 600.0;

const LONGEST: RangeInclusive<Duration> = Duration::from_secs(1)..=BanTimePolicy::LONGEST;
const RANDOM: RangeInclusive<Duration> = Duration::ZERO..=BanTimePolicy::LONGEST;

/// What is said about growing bans, whether they grow or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct IncrementRules {
    enabled: bool,
    increment: BanTimeIncrement,
    /// Where the table says `maxtime` that is read last.
    pub(crate) maxtime_at: Option<Origin>,
}

impl IncrementRules {
    /// The growth, where there is one.
    pub(crate) fn chosen(&self) -> Option<BanTimeIncrement> {
        self.enabled.then(|| self.increment.clone())
    }

    /// Reads `true`, `false` or a table; what is not given there is taken from `self`.
    pub(crate) fn read(&self, reading: &mut Reading, found: &Found) -> Option<Self> {
        match &found.node.value {
            Value::Boolean(enabled) => Some(Self {
                enabled: *enabled,
                maxtime_at: None,
                increment: self.increment.clone(),
            }),
            Value::Table(table) => {
                let mut keys = Keys::new(Section::Increment, table.clone(), reading);
                let rules = self.of_table(&mut keys);
                keys.finish();
                Some(rules)
            }
            other => {
                let message = format!(
                    "'{}' must be true, false or a table, found {}",
                    found.name,
                    other.kind()
                );
                let hint = "write true, or { factor = 2, maxtime = \"5w\" }";
                reading.error(found.at(), message, Some(hint.to_owned()));
                None
            }
        }
    }

    fn of_table(&self, keys: &mut Keys<'_>) -> Self {
        let from = &self.increment;
        let enabled = keys.get("enabled", reading::boolean).unwrap_or(true);
        let factor = keys.get("factor", factor).unwrap_or(from.factor);
        let growth = growth(keys, factor).unwrap_or_else(|| from.growth.clone());
        let maxtime = keys.take("maxtime");
        let rndtime = keys.get("rndtime", |reading, found| {
            reading::duration(reading, found, RANDOM)
        });
        let read = |found: &Found| reading::duration(keys.reading, found, LONGEST);
        let maxtime_read = maxtime.as_ref().and_then(read);
        let increment = BanTimeIncrement {
            growth,
            factor,
            maxtime: maxtime_read.or(from.maxtime),
            rndtime: rndtime.unwrap_or(from.rndtime),
            overalljails: keys
                .get("overalljails", reading::boolean)
                .unwrap_or(from.overalljails),
        };
        Self {
            enabled,
            increment,
            maxtime_at: maxtime.map(|found| found.at()),
        }
    }
}

/// What the length follows from, where the table says it.
fn growth(keys: &mut Keys<'_>, factor: Factor) -> Option<Growth> {
    let formula = keys.take("formula");
    let multipliers = keys.take("multipliers");
    if let (Some(_), Some(multipliers)) = (&formula, &multipliers) {
        let hint = "leave one of them out; fail2ban takes the multipliers";
        keys.reading.error(
            multipliers.key,
            "'multipliers' and 'formula' exclude each other",
            Some(hint.to_owned()),
        );
        return None;
    }
    if let Some(found) = formula {
        return self::formula(keys.reading, &found, factor).map(Growth::Formula);
    }
    let list = reading::list(
        keys.reading,
        &multipliers?,
        MULTIPLIERS_MAX,
        |reading, node| number(reading, "multipliers", node),
    )?;
    Some(match list.is_empty() {
        true => Growth::Doubling,
        false => Growth::Multipliers(list),
    })
}

fn formula(reading: &mut Reading, found: &Found, factor: Factor) -> Option<BanFormula> {
    let text = reading::word(reading, found)?;
    let told = |message: String| format!("'formula' cannot be used: {message}");
    let formula = match BanFormula::parse(&text.value) {
        Ok(formula) => formula,
        Err(error) => {
            let before = text.value.get(..error.offset).unwrap_or_default();
            let place = format!("at character {}", before.chars().count() + 1);
            let message = told(format!("{} ({place})", error.message));
            reading.error(found.at(), message, None);
            return None;
        }
    };
    let faults = |count| formula.eval(TRIED_SECS, count, factor.get()).err();
    let fault = (1..=COUNTS_TRIED).find_map(|count| Some((count, faults(count)?)));
    if let Some((count, error)) = fault {
        let message = told(format!(
            "it has no value where ban.Count is {count}: {}",
            error.message
        ));
        reading.error(found.at(), message, None);
        return None;
    }
    Some(formula)
}

fn factor(reading: &mut Reading, found: &Found) -> Option<Factor> {
    number(reading, found.name, &found.node)
}

/// Reads a number that is not negative, whole or not.
fn number(reading: &mut Reading, name: &str, node: &Node) -> Option<Factor> {
    let value = match &node.value {
        Value::Integer(Some(whole)) => u32::try_from(*whole).ok().map(Factor::from),
        Value::Float(number) => Factor::try_new(*number),
        Value::Integer(None) => None,
        other => {
            let message = format!("'{name}' must be a number, found {}", other.kind());
            reading.error(node.origin, message, None);
            return None;
        }
    };
    if value.is_none() {
        let written = reading.sources.text_at(node.origin).to_owned();
        let message = format!(
            "'{name}' must be a number from 0 to {}, found {written}",
            u32::MAX
        );
        reading.error(node.origin, message, None);
    }
    value
}
