//! Dates as logs write them, and where one stands in a line.

use std::sync::LazyLock;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use regex::bytes::Regex;

use super::random::Random;

/// Forms in the order of fail2ban's own list, then forms that none of its patterns is for.
const FORMS: [&str; 32] = [
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S,123",
    "%Y-%m-%dT%H:%M:%S.123456+0230",
    "%Y/%m/%d %H:%M:%S",
    "%Y.%m.%d  %H:%M:%S -0330",
    "%b %e %H:%M:%S",
    "%b %d %H:%M:%S.5",
    "%a %b %d %H:%M:%S.123 %Y",
    "%a %b %e %Y %k:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%d-%m-%y %k:%M:%S",
    "%d/%b/%Y:%H:%M:%S +0000",
    "%d-%b-%Y %H:%M:%S.123",
    "%m/%d/%Y:%H:%M:%S",
    "%m-%d-%Y %H:%M:%S",
    "%s",
    "%s.25",
    "[%s.123456]",
    "audit(%s.123:99)",
    "%H:%M:%S",
    "<%m/%d/%y@%H:%M:%S>",
    "%y%m%d %k:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%b-%d-%y %H:%M:%S",
    "%Y%m%dT%H%M%S",
    "%Y%m%d %H%M%S.9Z",
    "CET %b %d %H:%M:%S",
    "UTC %a %b %d %H:%M:%S %Y",
    "+0100 %b %d %H:%M:%S",
    "%Y%m%d-%H:%M:%S",
    "%H:%M",
    "%d.%m.%Y %H:%M:%S",
];

/// What a date looks like, for taking it out of a line; it need not be exact.
static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let text = concat!(
        r"(?-u)(?:[A-Z][a-z]{2} +)?[A-Z][a-z]{2} +\d+,? (?:\d{4} )?\d+:\d\d:\d\d(?:[.]\d+)?(?: \d{4})?",
        r"|\d{4}[-/.]?\d\d[-/.]?\d\d[T ]+\d\d:?\d\d:?\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?",
        r"|\d\d[/-](?:[A-Z][a-z]{2}|\d\d)[/-]\d{2,4}[: ]\d\d:\d\d:\d\d(?: [+-]\d{4})?",
        r"|@4[0-9a-f]{15,23}",
        r"|\b\d{10}(?:\.\d+)?\b",
        r"|\d\d:\d\d:\d\d"
    );
    Regex::new(text).ok()
});

/// Where the first date stands in `line`.
pub(super) fn first(line: &[u8]) -> Option<(usize, usize)> {
    let found = DATE.as_ref()?.find(line)?;
    Some((found.start(), found.end()))
}

/// A date near `now`, at the edges of years and zones, or far away.
pub(super) fn written(now: i64, zone: &TimeZone, random: &mut Random) -> String {
    let at = moment(now, zone, random);
    if random.percent(4) {
        return format!("@4{:015x}0{:07x}", at.max(0), random.below(1 << 28));
    }
    let form = random.pick(&FORMS);
    let at = Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH);
    strtime::format(form, &at.to_zoned(zone.clone())).unwrap_or_default()
}

fn moment(now: i64, zone: &TimeZone, random: &mut Random) -> i64 {
    const NEAR: [i64; 14] = [
        0, 0, -1, -30, -59, -60, -61, 1, 60, 3600, 86_399, 86_400, 86_401, -172_800,
    ];
    const DAY: usize = 86_400;
    let small = |number: usize| i64::try_from(number).unwrap_or(0);
    match random.below(10) {
        0..=4 => now + NEAR.get(random.below(NEAR.len())).copied().unwrap_or(0),
        5..=6 => now - small(random.below(400 * DAY)),
        7 => now + small(random.below(800 * DAY)),
        8 => step(now, zone, random) + small(random.below(4 * 3600)) - 2 * 3600,
        // From 1970 to 2036.
        _ => small(random.below(66 * 365 * DAY)),
    }
}

/// A step of the zone within a year of `now`.
fn step(now: i64, zone: &TimeZone, random: &mut Random) -> i64 {
    let from = Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let from = from.checked_sub((366 * 24).hours()).unwrap_or(from);
    let step = zone.following(from).nth(random.below(4));
    step.map_or(now, |step| step.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::zone;

    #[test]
    fn a_date_is_found_in_each_form_that_has_a_time_of_day_or_is_a_number() {
        let mut random = Random::new(1);
        let mut found = 0;
        for _ in 0..1000 {
            let line = format!("x {} y", written(1_124_013_600, &zone(), &mut random));
            found += usize::from(first(line.as_bytes()).is_some());
        }
        assert!(found > 900, "{found}");
    }

    #[test]
    fn every_form_can_be_written() {
        let at = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        for form in FORMS {
            assert_ne!(strtime::format(form, &at).unwrap(), "", "{form}");
        }
    }
}
