//! Longer bans for who comes again (`bantime.increment` of fail2ban).

use std::time::Duration;

use crate::{BanFormula, BanTime, BanTimePolicy};

/// The count of earlier bans beyond which doubling stops: fail2ban's, after which ten minutes are
/// twenty years.
const DOUBLINGS_MAX: u32 = 20;

/// How bans grow with the number of earlier ones of the same id, as fail2ban computes it.
///
/// A first ban is never touched: it lasts `bantime`, whatever `maxtime` and `rndtime` say. Bans for
/// ever stay so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BanTimeIncrement {
    /// What the length follows from.
    pub growth: Growth,
    /// `bantime.factor`: what each grown length is multiplied by; [`Growth::Formula`] knows it as
    /// `banFactor`.
    pub factor: Factor,
    /// `bantime.maxtime`: what `growth` gives is cut to this, also below `bantime`.
    pub maxtime: Option<Duration>,
    /// `bantime.rndtime`: a random time below this is added last, so that nobody can foresee the end
    /// of a ban. A ban can so last longer than `maxtime`.
    pub rndtime: Duration,
    /// `bantime.overalljails`: the bans of all jails count, not those of this one only.
    ///
    /// The number of a ban is one more than what was counted for it, and it is this number that
    /// later bans in any jail count: so they count the same ban several times, and lengths grow
    /// faster than there are bans. fail2ban's do.
    pub overalljails: bool,
}

/// What the length of a further ban follows from. `Time` is the jail's `bantime` and `Count` the
/// number of earlier bans, which is at least 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// `Time * 2^Count * factor`, with a count of 20 at most; never below `Time`.
    #[default]
    Doubling,
    /// `bantime.formula`; never below `Time`, which is also used where the formula has no value.
    Formula(BanFormula),
    /// `bantime.multipliers`: `Time * factor * multipliers[Count]`, or the last multiplier where
    /// there are fewer; it can be below `Time`. Doubling where the list is empty.
    Multipliers(Vec<Factor>),
}

/// What a length is multiplied by: a number that is finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Factor(f64);

impl Factor {
    /// Changes nothing.
    pub const ONE: Self = Self(1.0);

    /// Takes `value` where it is finite and not negative.
    #[must_use]
    pub fn try_new(value: f64) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Factor {
    fn default() -> Self {
        Self::ONE
    }
}

/// It is never NaN.
impl Eq for Factor {}

impl From<u32> for Factor {
    fn from(value: u32) -> Self {
        Self(f64::from(value))
    }
}

impl BanTimeIncrement {
    /// How long a ban lasts that follows `count` earlier ones, where a first one lasts `bantime`.
    /// `random` is a number from 0 up to, but not including, 1.
    #[must_use]
    pub fn length(&self, bantime: BanTime, count: u32, random: impl FnOnce() -> f64) -> BanTime {
        let BanTime::For(first) = bantime else {
            return bantime;
        };
        if count == 0 {
            return bantime;
        }
        let grown = self.grown(first.as_secs_f64(), count);
        let most = self.maxtime.map_or(f64::INFINITY, |max| max.as_secs_f64());
        let mut secs = grown.min(most);
        if !self.rndtime.is_zero() {
            secs += random() * self.rndtime.as_secs_f64();
        }
        BanTime::For(from_secs(secs))
    }

    fn grown(&self, time: f64, count: u32) -> f64 {
        let factor = self.factor.get();
        let doubled = || f64::from(1_u32 << count.min(DOUBLINGS_MAX)) * time * factor;
        match &self.growth {
            Growth::Doubling => doubled().max(time),
            Growth::Formula(formula) => formula
                .eval(time, count, factor)
                .map_or(time, |length| length.max(time)),
            Growth::Multipliers(list) => {
                let place = usize::try_from(count).unwrap_or(usize::MAX);
                match list.get(place).or(list.last()) {
                    Some(multiplier) => time * factor * multiplier.get(),
                    None => doubled().max(time),
                }
            }
        }
    }

    /// How many failures one failure counts for whose id was banned `count` times in this jail:
    /// 1, and then 2, 3, 5, 9 and so on, at most `maxretry`.
    #[must_use]
    pub fn weight(count: u32, maxretry: u32) -> u32 {
        match count {
            0 => 1,
            _ => ((1 << count.min(DOUBLINGS_MAX)) / 2 + 1).min(maxretry),
        }
    }
}

/// `secs` as a length that a firewall can hold. Not a number never comes here.
fn from_secs(secs: f64) -> Duration {
    let longest = BanTimePolicy::LONGEST;
    Duration::try_from_secs_f64(secs.clamp(0.0, longest.as_secs_f64())).unwrap_or(longest)
}

#[cfg(test)]
mod tests;
