//! Whether somebody who only chooses texts in a log can choose who is banned.
//!
//! Three ways are looked for, and a line counts only when the filter, asked as a detector asks it,
//! bans the wrong address for it:
//!
//! - **two readings**: one line that two patterns, or one pattern twice, can read with different
//!   addresses. Decided on automata: the lines of one reading and those of the other are intersected.
//! - **a forged message**: a line that begins as a message of another kind and still matches.
//! - **a forged field**: a sample of which one field holds what looks like the rest of a message, or a
//!   whole one. Where there is no sample of a pattern, lines are made of the pattern itself.
//!
//! A line that is ambiguous at run time bans nobody: whoever can write it can hide, and no more. It is
//! told as well, with nobody banned.
//!
//! In an entry of JSON a field is a field: there only the text of one field can be read in two ways, and
//! an id can be taken from a header that the client writes. Hostile text is put into each field of the
//! samples all the same.
//!
//! A pattern of fail2ban's dialect that is not linear is looked at without its look-around and
//! back-references. It matches no more lines then, so that what is proved of the rest holds for it; what
//! is found must be confirmed by the filter itself, and where it is not, nothing is decided.

mod attack;
mod entries;
mod fields;
mod language;
mod patterns;
mod reading;
mod samples;
mod typical;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::tz::TimeZone;
use stockade_core::{FailureId, Timestamp};

use crate::explain::{Explanation, Outcome};
use crate::filter::Filter;
use attack::Attack;

/// A line by which a remote client could choose who is banned, or that nobody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// Index of the failregex that matches it.
    pub pattern: usize,
    /// The line, without its end; any bytes but a line feed. Of an entry of JSON it may be the text of
    /// the field only.
    pub line: Vec<u8>,
    /// Who is banned for it; nobody where the filter notices that it can be read in two ways.
    pub banned: Option<FailureId>,
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
    /// It is a sample in which a field holds what looks like a message or the rest of one.
    ForgedField {
        /// What the field held before.
        honest: Vec<u8>,
    },
    /// It is the part of an entry of JSON that a request's header goes into, which any client can send.
    ClientHeader {
        /// The path of the field that the filter takes for the id.
        field: String,
    },
}

/// What is known about a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// Lines that deceive it, at most one for each pair of patterns and kind of trick.
    pub weaknesses: Vec<Weakness>,
    /// Indexes of failregexes for which not everything was decided on automata, because they are too
    /// large, not linear or about several lines; for these the samples were tried.
    pub unproved: Vec<usize>,
}

/// Looks for lines that deceive `filter`. `samples` are honest lines of its log, without line ends.
/// The answer depends on nothing else.
#[must_use]
pub fn examine(filter: &Filter, samples: &[Vec<u8>]) -> Examination {
    if let Some(json) = &filter.source().json {
        return entries::examine(filter, json, samples);
    }
    let mut attack = Attack::on(filter);
    attack.by_readings();
    attack.by_samples(samples);
    attack.done()
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

/// Only dates without a year depend on it, and no verdict does.
const NOW: Timestamp = Timestamp::from_secs(1_795_413_420);

/// What a filter makes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Banned(usize, FailureId),
    Ambiguous(usize, Vec<IpAddr>),
    /// It is no failure, or not known to be one.
    Nothing,
}

fn judge(filter: &Filter, line: &[u8]) -> Verdict {
    match explain(filter, line).outcome {
        Outcome::Matched { pattern, id, .. } => Verdict::Banned(pattern, id),
        Outcome::Ambiguous { pattern, readings } => Verdict::Ambiguous(pattern, readings),
        _ => Verdict::Nothing,
    }
}

fn explain(filter: &Filter, line: &[u8]) -> Explanation {
    filter.explain(line, NOW, &TimeZone::UTC)
}
