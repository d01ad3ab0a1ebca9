//! fail2ban and stockade, asked the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use stockade_core::{Checkpoint, Chunk, JailName, LineTimes, SourceName, Timestamp};
use stockade_detect::{AMBIGUOUS_SHOWN_MAX, Detector, Filter, FilterRun, HostNames, Matcher};

use super::case::{Chosen, Line, Way};
use crate::oracle::{Judged, Oracle, OracleError, Question, TheirFilter};
use crate::ours::Ours;
use crate::verdict::Verdict;

/// Both, with one filter.
#[derive(Debug)]
pub(super) struct Judges<'a> {
    oracle: &'a mut Oracle,
    zone: TimeZone,
    pub(super) chosen: Chosen,
    theirs: [TheirFilter; 2],
    ours: [Arc<Filter>; 2],
}

/// Why a filter cannot be compared.
#[derive(Debug)]
pub(super) enum Unopened {
    /// Neither takes it: there is nothing to compare.
    ByBoth,
    /// Only one of them takes it; who does not, and why.
    ByOne(String),
    /// fail2ban's process has ended.
    Silent(OracleError),
}

/// What both say of one line.
#[derive(Clone, Debug)]
pub struct Said {
    /// What fail2ban says.
    pub theirs: Judged,
    /// What stockade says.
    pub ours: Judged,
}

impl Said {
    pub(super) fn is_same(&self) -> bool {
        self.theirs == self.ours
    }
}

impl<'a> Judges<'a> {
    /// Opens a filter on both sides, with names and without.
    pub(super) fn open(
        oracle: &'a mut Oracle,
        engine: &mut Ours,
        chosen: Chosen,
    ) -> Result<Self, Unopened> {
        let (dir, name) = (&chosen.subject.dir, &chosen.subject.name);
        let ours = |names| engine.compile(dir, name, &chosen.options, names);
        let ours: Result<Vec<_>, String> = [HostNames::Raw, HostNames::Refuse]
            .into_iter()
            .map(ours)
            .collect();
        let theirs: Result<Vec<_>, OracleError> = [true, false]
            .into_iter()
            .map(|names| oracle.read(dir, name, &chosen.options, names))
            .collect();
        let (theirs, ours) = match (theirs, ours) {
            (Err(silent @ OracleError::Silent(_)), _) => return Err(Unopened::Silent(silent)),
            (Err(_), Err(_)) => return Err(Unopened::ByBoth),
            (Err(theirs), Ok(_)) => return Err(Unopened::ByOne(format!("fail2ban: {theirs}"))),
            (Ok(_), Err(ours)) => return Err(Unopened::ByOne(format!("stockade: {ours}"))),
            (Ok(theirs), Ok(ours)) => (theirs.try_into(), ours.try_into()),
        };
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => Ok(Self {
                zone: engine.zone().clone(),
                oracle,
                chosen,
                theirs,
                ours,
            }),
            _ => Err(Unopened::ByBoth),
        }
    }

    /// Texts that the patterns describe.
    pub(super) fn invent(&mut self, seed: u64, count: usize) -> Result<Vec<Vec<u8>>, OracleError> {
        let [filter, _] = &self.theirs;
        self.oracle.invent(filter, seed, count)
    }

    /// Whether fail2ban is of this version or a later one.
    pub(super) fn is_since(&self, version: [u32; 3]) -> bool {
        self.oracle.is_since(version)
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Asks both about lines that follow each other in a log of which nothing was seen before.
    pub(super) fn ask(&mut self, way: Way, lines: &[Line]) -> Result<Vec<Said>, OracleError> {
        let theirs = self.ask_theirs(way, lines)?;
        let ours = match way {
            Way::Every => self.ask_every(way, lines),
            Way::First | Way::FirstWithoutNames => self.ask_first(way, lines),
        };
        let said = theirs.into_iter().zip(ours);
        Ok(said.map(|(theirs, ours)| Said { theirs, ours }).collect())
    }

    fn ask_theirs(&mut self, way: Way, lines: &[Line]) -> Result<Vec<Judged>, OracleError> {
        let [named, unnamed] = &self.theirs;
        let filter = if way.resolves() { named } else { unnamed };
        let question = Question {
            every: way == Way::Every,
            forget: true,
            journal: self.chosen.is_journal(),
            times: lines.iter().map(|line| line.now).collect(),
        };
        let texts = lines.iter().map(|line| &line.text);
        let judged = Oracle::judge(self.oracle, filter, texts, &question)?;
        if way == Way::Every {
            let spelled = judged.into_iter().map(|judged| {
                let found = judged?.into_iter();
                Ok(found
                    .map(|one| Verdict {
                        id: one.id.map(spelled),
                        ..one
                    })
                    .collect())
            });
            return Ok(spelled.collect());
        }
        let brief = judged.into_iter().zip(lines).map(|(judged, line)| {
            let found = judged?.into_iter();
            Ok(found
                .map(|one| {
                    brief(
                        one.id.unwrap_or_default(),
                        one.at.unwrap_or(line.now * MICROS),
                    )
                })
                .collect())
        });
        Ok(brief.collect())
    }

    fn ask_every(&self, way: Way, lines: &[Line]) -> Vec<Judged> {
        let mut run = FilterRun::new(Arc::clone(self.filter(way)), self.zone.clone());
        let journal = self.chosen.is_journal();
        let judged = lines.iter().map(|line| {
            let now = Timestamp::from_secs(line.now);
            let found = run.line(&line.text, journal.then_some(now), now);
            if run.gave_up() {
                return Err(GAVE_UP.to_owned());
            }
            Ok(found.into_iter().map(Verdict::from).collect())
        });
        judged.collect()
    }

    /// What ours says in a way where the first failregex wins, if it looks at every line.
    pub(super) fn looked_at(&self, way: Way, lines: &[Line]) -> Vec<Judged> {
        let every = self.ask_every(way, lines).into_iter().zip(lines);
        let first = every.map(|(judged, line)| {
            let mut found = judged?.into_iter().filter(|one| !one.nofail);
            let first = found.find_map(|one| Some((one.id?, one.at)));
            let first = first.map(|(id, at)| brief(id, at.unwrap_or(line.now * MICROS)));
            Ok(first.into_iter().collect())
        });
        first.collect()
    }

    fn filter(&self, way: Way) -> &Arc<Filter> {
        let [named, unnamed] = &self.ours;
        if way.resolves() { named } else { unnamed }
    }

    /// What ours says in a way where the first failregex wins.
    pub(super) fn ask_first(&self, way: Way, lines: &[Line]) -> Vec<Judged> {
        let matcher = Matcher::Plain(Arc::clone(self.filter(way)));
        let jails = JailName::try_new("jail").map(|jail| (jail, matcher));
        let mut detector = Detector::new(jails.into_iter().collect(), self.zone.clone());
        let mut all = Vec::new();
        // Lines that are read at the same time come in one chunk.
        for together in lines.chunk_by(|one, other| one.now == other.now) {
            let now = Timestamp::from_secs(together.first().map_or(0, |line| line.now));
            // No more than it names where all of them are ambiguous.
            for few in together.chunks(AMBIGUOUS_SHOWN_MAX) {
                all.extend(scan(&mut detector, few, now, self.chosen.is_journal()));
            }
        }
        all
    }
}

/// What ours says where a line can be read with several addresses, and which.
pub(super) const AMBIGUOUS: &str = "ambiguous: ";

/// What ours says where it would take too many steps to tell.
pub(super) const GAVE_UP: &str = "a pattern gave up";

const MICROS: i64 = 1_000_000;

fn scan(detector: &mut Detector, lines: &[Line], now: Timestamp, journal: bool) -> Vec<Judged> {
    let mut text = Vec::new();
    let mut starts = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        starts.insert(text.len(), index);
        text.extend_from_slice(&line.text);
        text.push(b'\n');
    }
    let chunk = Chunk {
        source: SourceName::new("log"),
        text: text.into(),
        times: match journal {
            true => LineTimes::Given(vec![now; lines.len()]),
            false => LineTimes::InText,
        },
        checkpoint: Checkpoint::None,
    };
    let scan = detector.scan(&chunk, now);
    let mut said: Vec<Judged> = vec![Ok(Vec::new()); lines.len()];
    let index = |start: u32| {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        starts.range(..=start).next_back().map(|(_, index)| *index)
    };
    for failure in scan.failures.iter().flat_map(|failures| &*failures.items) {
        let at = index(failure.line.start).and_then(|index| said.get_mut(index));
        if let Some(Ok(found)) = at {
            found.push(brief(failure.id.to_string(), failure.at.as_micros()));
        }
    }
    for line in &scan.gave_up {
        if let Some(said) = index(line.line.start).and_then(|index| said.get_mut(index)) {
            *said = Err(GAVE_UP.to_owned());
        }
    }
    for line in &scan.ambiguous {
        if let Some(said) = index(line.line.start).and_then(|index| said.get_mut(index)) {
            let readings: Vec<String> = line.readings.iter().map(ToString::to_string).collect();
            *said = Err(format!("{AMBIGUOUS}{}", readings.join(" or ")));
        }
    }
    said
}

/// An address has many spellings; the system's functions do not write all of them as ours do.
fn spelled(id: String) -> String {
    match id.parse::<IpAddr>() {
        Ok(addr) => addr.to_string(),
        Err(_) => id,
    }
}

/// All that is compared of a failure where the first failregex wins.
fn brief(id: String, at: i64) -> Verdict {
    Verdict {
        pattern: 0,
        id: Some(spelled(id)),
        at: Some(at),
        nofail: false,
        attempts: 1,
        captures: BTreeMap::new(),
    }
}
