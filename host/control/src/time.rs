//! Times as they are written on the wire.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stockade_core::Timestamp;

/// A point in time: RFC 3339 in UTC with exactly six digits after the second, such as
/// `2026-03-04T05:06:07.000000Z`, so that texts sort as the times do.
///
/// Times that RFC 3339's four digits of a year cannot hold become the nearest one that they can. Read
/// in any form of RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

impl Time {
    /// The point in time.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// The nearest time between the years 0 and 9999.
fn nearest(at: Timestamp) -> jiff::Timestamp {
    let first = jiff::Timestamp::from_second(-62_167_219_200).unwrap_or(jiff::Timestamp::MIN);
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => at.max(first),
        Err(_) if at < Timestamp::EPOCH => first,
        Err(_) => jiff::Timestamp::MAX,
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", nearest(self.0))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(Timestamp::from_micros(at.as_microsecond())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_form() {
        let shown = |micros| Time(Timestamp::from_micros(micros)).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(1_772_600_767_000_001), "2026-03-04T05:06:07.000001Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(shown(i64::MAX), "9999-12-30T22:00:00.999999Z");
        assert_eq!(shown(i64::MIN), "0000-01-01T00:00:00.000000Z");
    }

    #[test]
    fn every_time_that_is_written_is_read_as_itself() {
        for micros in [0, -1, 1_772_600_767_000_001, 253_370_764_799_999_999] {
            let time = Time(Timestamp::from_micros(micros));
            let json = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), time);
        }
        let other: Time = serde_json::from_str("\"2026-03-04T06:06:07+01:00\"").unwrap();
        assert_eq!(other.timestamp(), Timestamp::from_secs(1_772_600_767));
    }
}
