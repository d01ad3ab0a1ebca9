//! Random lines through every filter of a fail2ban, by fail2ban itself and by us.
//!
//! The lines are the filter's own samples, damaged, and texts that its patterns describe. They are
//! judged one after the other with whatever is remembered from line to line. What is different must
//! be one of the differences that `docs/fail2ban-differences.md` has; each of these is recognised by
//! a test of its own, in [`known()`].

mod case;
mod corpus;
mod damage;
mod dates;
mod judges;
mod known;
mod random;
mod report;
mod shrink;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::tz::TimeZone;

use crate::oracle::{Oracle, OracleError, Setup};
use crate::ours::Ours;
use crate::subjects::Subject;

pub use case::{Chosen, Line, Way};
pub use judges::Said;
pub use known::{Known, known};
pub use report::{Comparison, Unexplained};

use corpus::Corpus;
use damage::Damage;
use judges::{Judges, Unopened};
use random::Random;

/// What is compared.
#[derive(Debug)]
pub struct Differential {
    /// The filters.
    pub subjects: Vec<Subject>,
    /// Where their samples lie.
    pub samples: PathBuf,
    /// Lines to judge; a few more are, so that each filter has its turn.
    pub lines: usize,
    /// What decides about the lines: the same seed is the same lines.
    pub seed: u64,
    /// What both take for now, in seconds since the epoch.
    pub now: i64,
}

/// Most differences of one filter and way that are reduced and shown; more tell nothing new.
const SHOWN_OF_ONE_MAX: usize = 4;
/// Lines of one log; enough for sessions to mix, and few enough that one is soon judged again.
const LOG_LEN: usize = 25;
/// Texts that are made up for each filter, damaged like samples.
const INVENTED: usize = 60;
/// How far the clock may go during one log: sessions do not end by themselves in it.
const LOG_SECONDS_MAX: i64 = 280;

impl Differential {
    /// Compares, with a process of fail2ban's for each processor.
    ///
    /// # Errors
    /// Where fail2ban cannot be started, or ends.
    pub fn run(&self, setup: &Setup, zone: &TimeZone) -> Result<Comparison, OracleError> {
        let corpora = self.subjects.iter();
        let corpora: Vec<Corpus> = corpora.map(|one| Corpus::of(one, &self.samples)).collect();
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut oracle = Oracle::start(setup)?;
            let mut ours = Ours::new(setup.now, zone.clone());
            let mut done = BTreeMap::new();
            while let Some((number, corpus)) = {
                let number = next.fetch_add(1, Ordering::Relaxed);
                corpora.get(number).map(|corpus| (number, corpus))
            } {
                let share = self.share(&corpora);
                done.insert(number, self.compare(&mut oracle, &mut ours, corpus, share)?);
            }
            Ok(done)
        };
        let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let done: Result<Vec<BTreeMap<usize, Comparison>>, OracleError> = thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            let joined = workers.into_iter().map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect()
        });
        // In the order of the filters, whoever was done first.
        let done: BTreeMap<usize, Comparison> = done?.into_iter().flatten().collect();
        let mut comparison = Comparison::default();
        done.into_values().for_each(|one| comparison.add(one));
        Ok(comparison)
    }

    /// How many lines each filter with options judges in each way.
    fn share(&self, corpora: &[Corpus]) -> usize {
        let filters: usize = corpora.iter().map(|corpus| corpus.chosen.len()).sum();
        self.lines.div_ceil(filters.max(1) * Way::ALL.len())
    }

    /// Compares one filter with all its options.
    fn compare(
        &self,
        oracle: &mut Oracle,
        ours: &mut Ours,
        corpus: &Corpus,
        share: usize,
    ) -> Result<Comparison, OracleError> {
        let mut comparison = Comparison::default();
        for (place, chosen) in corpus.chosen.iter().enumerate() {
            let judges = match Judges::open(oracle, ours, chosen.clone()) {
                Ok(judges) => judges,
                Err(Unopened::ByBoth) => continue,
                Err(Unopened::Silent(fault)) => return Err(fault),
                Err(Unopened::ByOne(why)) => {
                    comparison.unopened.push((chosen.clone(), why));
                    continue;
                }
            };
            comparison.filters += 1;
            Comparing {
                judges,
                samples: &corpus.lines,
                random: Random::new(self.seed_of(&chosen.subject.name, place)),
                now: self.now,
                comparison: &mut comparison,
            }
            .run(share)?;
        }
        Ok(comparison)
    }

    /// The lines of a filter do not depend on which others are compared.
    fn seed_of(&self, name: &str, place: usize) -> u64 {
        let salt = name.bytes().chain([u8::try_from(place).unwrap_or(0)]);
        salt.fold(self.seed, |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// One filter with its options, being compared.
struct Comparing<'a> {
    judges: Judges<'a>,
    samples: &'a [Vec<u8>],
    random: Random,
    now: i64,
    comparison: &'a mut Comparison,
}

impl Comparing<'_> {
    /// Judges `share` lines in each way.
    fn run(mut self, share: usize) -> Result<(), OracleError> {
        let invented = self.judges.invent(self.random.next(), INVENTED)?;
        let all: Vec<Vec<u8>> = self.samples.iter().chain(&invented).cloned().collect();
        for way in Way::ALL {
            let (mut judged, shown) = (0, self.comparison.unexplained.len());
            while judged < share && !all.is_empty() {
                let log = self.log(&all, LOG_LEN.min(share - judged));
                judged += log.len();
                if self.comparison.unexplained.len() >= shown + SHOWN_OF_ONE_MAX {
                    break;
                }
                self.compare(way, log)?;
            }
        }
        Ok(())
    }

    /// The lines of a log: some in their order, some in any, and most of them damaged.
    fn log(&mut self, all: &[Vec<u8>], len: usize) -> Vec<Line> {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let in_order = self.random.percent(50) && !self.samples.is_empty();
        let from = self.random.below(self.samples.len().max(1));
        while texts.len() < len {
            let chosen = match in_order {
                true => self.samples.get((from + texts.len()) % self.samples.len()),
                false => all.get(self.random.below(all.len())),
            };
            texts.push(chosen.cloned().unwrap_or_default());
        }
        if self.random.percent(30) {
            self.random.shuffle(&mut texts);
        }
        // Sessions are told apart by the number of a process; few of them, and they meet.
        if self.random.percent(40) {
            for text in &mut texts {
                *text = damage::of_process(text, self.random.below(3));
            }
        }
        let mut now = self.now;
        texts
            .into_iter()
            .map(|text| {
                now = self.later(now);
                let text = self.damaged(text, all, now);
                Line { text, now }
            })
            .collect()
    }

    fn later(&mut self, now: i64) -> i64 {
        const STEPS: [i64; 5] = [1, 2, 59, 60, 61];
        let step = STEPS.get(self.random.below(STEPS.len())).copied();
        let later = now + step.unwrap_or(1);
        match self.random.percent(10) && later - self.now < LOG_SECONDS_MAX {
            true => later,
            false => now,
        }
    }

    fn damaged(&mut self, mut text: Vec<u8>, all: &[Vec<u8>], now: i64) -> Vec<u8> {
        let times = [0, 1, 1, 1, 2, 3]
            .get(self.random.below(6))
            .copied()
            .unwrap_or(1);
        for _ in 0..times {
            let mut damage = Damage {
                random: &mut self.random,
                now,
                zone: self.judges.zone(),
                others: all,
            };
            text = damage.once(&text);
        }
        text
    }

    /// Judges the lines of one log. Behind a difference both begin anew, so that it is no reason for
    /// the next one.
    fn compare(&mut self, way: Way, mut log: Vec<Line>) -> Result<(), OracleError> {
        while !log.is_empty() {
            let said = self.judges.ask(way, &log)?;
            let different = said.iter().position(|said| !said.is_same());
            let end = different.map_or(said.len(), |at| at + 1);
            let judged = said.get(..end).unwrap_or_default();
            self.comparison.lines += judged.len();
            let finds = |said: &&Said| said.theirs.as_ref().is_ok_and(|found| !found.is_empty());
            self.comparison.found += judged.iter().filter(finds).count();
            let rest = log.split_off(end.min(log.len()));
            if let (Some(_), Some(said)) = (different, judged.last()) {
                self.explain(way, log, said.clone())?;
            }
            log = rest;
        }
        Ok(())
    }

    /// The last of `lines` is judged differently.
    fn explain(&mut self, way: Way, lines: Vec<Line>, said: Said) -> Result<(), OracleError> {
        if let Some(known) = self.known(way, &lines, &said) {
            *self.comparison.explained.entry(known.heading).or_default() += 1;
            return Ok(());
        }
        let mut last = said;
        let lines = shrink::shrink(lines, |fewer| {
            let said = self.judges.ask(way, fewer)?.pop();
            let Some(said) = said.filter(|said| !said.is_same()) else {
                return Ok(false);
            };
            if self.known(way, fewer, &said).is_some() {
                return Ok(false);
            }
            last = said;
            Ok(true)
        })?;
        self.comparison.unexplained.push(Unexplained {
            chosen: self.judges.chosen.clone(),
            way,
            lines,
            said: last,
        });
        Ok(())
    }

    fn known(&self, way: Way, lines: &[Line], said: &Said) -> Option<&'static Known> {
        let divergence = known::Divergence {
            way,
            lines,
            said,
            judges: &self.judges,
        };
        known().iter().find(|known| known.explains(divergence))
    }
}
