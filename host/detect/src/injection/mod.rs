//! Whether somebody who only chooses texts in a log can choose who is banned.
//!
//! Three ways are looked for, and a line counts only when the filter, asked as a detector asks it,
//! bans the wrong address for it:
//!
//! - **two readings**: one line that two patterns, or one pattern twice, can read with different
//!   addresses. Decided on automata: the lines of one reading and those of the other are intersected.
//! - **a forged message**: a whole message that matches, inside a message of another kind.
//! - **a forged field**: a sample of the filter whose user name holds the rest of a message.
//!
//! A line that is ambiguous at run time bans nobody and so is no weakness.

mod language;
mod reading;
mod samples;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::tz::TimeZone;
use stockade_core::{FailureId, Timestamp};

use crate::explain::Outcome;
use crate::filter::Filter;
use crate::source::Dialect;
use language::{Language, TooLarge};
use reading::{Reading, Readings, Wrapping};

/// A line that bans an address which a remote client could choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// Index of the failregex that bans it.
    pub pattern: usize,
    /// The line, without its end; any bytes but a line feed.
    pub line: Vec<u8>,
    /// Who is banned for it.
    pub banned: FailureId,
    /// Why that is wrong.
    pub trick: Trick,
}

/// How a line deceives a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trick {
    /// It can as well be read with another address, and nothing tells which of them is true.
    TwoReadings {
        /// The failregex that reads it so.
        pattern: usize,
        /// The other address.
        other: IpAddr,
    },
    /// It is of another kind of message, and the text in it that matches can be a client's.
    ForgedMessage,
    /// It is a sample in which the user name holds what looks like the rest of a message.
    ForgedField,
}

/// What is known about a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// Lines that deceive it, at most one for each pair of patterns and kind of trick.
    pub weaknesses: Vec<Weakness>,
    /// Indexes of failregexes for which nothing could be decided on automata, because they are too
    /// large or not linear; for them only the samples were tried.
    pub unproved: Vec<usize>,
}

/// Addresses of the documentation ranges (RFC 5737, RFC 3849): who is meant, and whom a text names.
/// The forged IPv6 address goes on where the honest one ends, as a text that follows it could.
const ADDRESSES: [(IpAddr, IpAddr); 4] = [
    (HONEST_V4, FORGED_V4),
    (HONEST_V6, FORGED_V6),
    (HONEST_V4, FORGED_V6),
    (HONEST_V6, FORGED_V4),
];
const HONEST_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const FORGED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
const HONEST_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
const FORGED_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 8, 9, 0xa, 0xb));

/// Looks for lines that deceive `filter`. `samples` are honest lines of its log, without line ends.
/// The answer depends on nothing else.
#[must_use]
pub fn examine(filter: &Filter, samples: &[Vec<u8>]) -> Examination {
    let mut found = Found {
        filter,
        examination: Examination::default(),
    };
    let source = filter.source();
    if source.dialect == Dialect::Native {
        let (readings, unproved) = reading::all(source);
        found.examination.unproved = unproved;
        match Wrapping::of(source) {
            Ok(wrapping) => {
                found.two_readings(&readings, &wrapping);
                found.forged_messages(&readings, &wrapping);
            }
            Err(TooLarge) => {
                found.examination.unproved = (0..source.failregex.len()).collect();
            }
        }
    } else {
        found.examination.unproved = (0..source.failregex.len()).collect();
    }
    for sample in samples {
        found.forged_fields(sample);
    }
    found.examination.unproved.sort_unstable();
    found.examination.unproved.dedup();
    found.examination
}

/// What stands around a forged message.
const BEFORE: &[u8] = b"a message of another kind from 198.51.100.7 about ";
const AFTER: &[u8] = b" and the end of it";

struct Found<'a> {
    filter: &'a Filter,
    examination: Examination,
}

impl Found<'_> {
    /// Notes `line` if it bans `forged`; says whether it does.
    fn try_line(&mut self, line: Vec<u8>, forged: IpAddr, trick: &Trick) -> bool {
        let Some((pattern, banned)) = judge(self.filter, &line) else {
            return false;
        };
        if banned != FailureId::from_addr(forged) {
            return false;
        }
        let known = &mut self.examination.weaknesses;
        let same = |old: &Weakness| old.pattern == pattern && old.trick == *trick;
        if !known.iter().any(same) {
            known.push(Weakness {
                pattern,
                line,
                banned,
                trick: trick.clone(),
            });
        }
        true
    }

    fn two_readings(&mut self, readings: &Readings, wrapping: &Wrapping) {
        for (i, one) in readings.iter().enumerate() {
            self.pair(one, one, &[false], wrapping);
            for other in readings.iter().skip(i + 1) {
                // Most patterns have no line in common, whoever is named.
                if language::common(&one.lines, &other.lines) != Ok(None) {
                    self.pair(one, other, &[false, true], wrapping);
                }
            }
        }
    }

    /// Looks for lines that both read with different addresses.
    fn pair(&mut self, one: &Reading, other: &Reading, turns: &[bool], wrapping: &Wrapping) {
        for (honest, forged) in ADDRESSES {
            for turned in turns {
                let (a, b) = match turned {
                    false => (honest, forged),
                    true => (forged, honest),
                };
                let (Some(first), Some(second)) = (one.naming(a), other.naming(b)) else {
                    continue;
                };
                match language::common(first, second) {
                    Err(TooLarge) => self.examination.unproved.push(one.pattern),
                    Ok(None) => {}
                    Ok(Some(text)) => {
                        let line = wrapping.around(&text);
                        self.try_both(&line, (one.pattern, a), (other.pattern, b));
                    }
                }
            }
        }
    }

    /// Whichever of two addresses is banned, the other may have been meant.
    fn try_both(&mut self, line: &[u8], one: (usize, IpAddr), other: (usize, IpAddr)) {
        for (banned, meant) in [(other, one), (one, other)] {
            let trick = Trick::TwoReadings {
                pattern: meant.0,
                other: meant.1,
            };
            if self.try_line(line.to_vec(), banned.1, &trick) {
                return;
            }
        }
    }

    fn forged_messages(&mut self, readings: &Readings, wrapping: &Wrapping) {
        for reading in readings.iter() {
            for forged in [FORGED_V4, FORGED_V6] {
                let Some(message) = reading.naming(forged).and_then(Language::shortest) else {
                    continue;
                };
                let inside = [BEFORE, &message].concat();
                let lines = [
                    wrapping.around(&inside),
                    wrapping.around(&[&inside, AFTER].concat()),
                    [BEFORE, &wrapping.around(&message)].concat(),
                    [BEFORE, &wrapping.around(&message), AFTER].concat(),
                ];
                let mut lines = lines.into_iter();
                if lines.any(|line| self.try_line(line, forged, &Trick::ForgedMessage)) {
                    break;
                }
            }
        }
    }

    fn forged_fields(&mut self, sample: &[u8]) {
        let explained = self.filter.explain(sample, NOW, &TimeZone::UTC).outcome;
        let Outcome::Matched { id, user, .. } = explained else {
            return;
        };
        let Some(user) = user else {
            return;
        };
        for forged in [FORGED_V4, FORGED_V6] {
            for line in samples::forged(sample, &id, user, forged) {
                if self.try_line(line, forged, &Trick::ForgedField) {
                    return;
                }
            }
        }
    }
}

/// Only dates without a year depend on it, and no verdict does.
const NOW: Timestamp = Timestamp::from_secs(1_795_413_420);

/// The failregex that makes `line` a failure, and of whom.
fn judge(filter: &Filter, line: &[u8]) -> Option<(usize, FailureId)> {
    match filter.explain(line, NOW, &TimeZone::UTC).outcome {
        Outcome::Matched { pattern, id, .. } => Some((pattern, id)),
        _ => None,
    }
}
