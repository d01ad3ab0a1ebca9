//! stockade, reading fail2ban's configuration and judging by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;
use stockade_config::fail2ban::{ResolvedFilter, Tree, Written};
use stockade_config::{Diagnostic, Located};
use stockade_core::Timestamp;
use stockade_detect::{DatePattern, Dialect, Filter, FilterRun, FilterSource, Finding, HostNames};

use crate::engine::{Engine, Opened};
use crate::verdict::Verdict;

/// stockade at a fixed time in a fixed zone.
#[derive(Debug)]
pub struct Ours {
    zone: TimeZone,
    now: Timestamp,
    trees: BTreeMap<PathBuf, Tree>,
}

/// A filter of ours and what it remembers.
#[derive(Debug)]
pub struct OurFilter {
    filter: Arc<Filter>,
    run: FilterRun,
}

impl Ours {
    /// stockade that takes `now` for now and dates without a zone for those of `zone`.
    #[must_use]
    pub fn new(now: Timestamp, zone: TimeZone) -> Self {
        Self {
            zone,
            now,
            trees: BTreeMap::new(),
        }
    }

    /// The zone of dates without one.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Reads a filter of the configuration folder `dir` with options as in brackets.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    pub fn compile(
        &mut self,
        dir: &Path,
        name: &str,
        options: &[(String, String)],
        host_names: HostNames,
    ) -> Result<Arc<Filter>, String> {
        let tree = self.trees.entry(dir.to_owned());
        let tree = tree.or_insert_with(|| Tree::read(dir));
        let resolved = tree.filter(name, options).map_err(|faults| told(&faults))?;
        let filter = Filter::compile(&source(&resolved, host_names)).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
        Ok(Arc::new(filter))
    }

    /// Forgets all lines that `filter` has judged.
    pub fn forget(&self, filter: &mut OurFilter) {
        filter.run = FilterRun::new(Arc::clone(&filter.filter), self.zone.clone());
    }
}

impl Engine for Ours {
    type Filter = OurFilter;

    fn open(
        &mut self,
        dir: &Path,
        name: &str,
        options: &[(String, String)],
    ) -> Result<Opened<OurFilter>, String> {
        // Host names are ids of their own, as in fail2ban's tests.
        let filter = self.compile(dir, name, options, HostNames::Raw)?;
        let run = FilterRun::new(Arc::clone(&filter), self.zone.clone());
        let patterns = filter.source().failregex.clone();
        Ok(Opened {
            filter: OurFilter { filter, run },
            patterns,
        })
    }

    fn judge(
        &mut self,
        filter: &mut OurFilter,
        line: &[u8],
        journal: bool,
    ) -> Result<Vec<Verdict>, String> {
        let found = filter.run.line(line, journal.then_some(self.now), self.now);
        if filter.run.gave_up() {
            return Err("a pattern gave up".to_owned());
        }
        Ok(found.into_iter().map(Verdict::from).collect())
    }
}

/// What detection is given for a filter.
fn source(resolved: &ResolvedFilter, host_names: HostNames) -> FilterSource {
    let texts = |all: &[Written]| all.iter().map(|one| one.as_str().to_owned()).collect();
    let templates = match resolved.datepattern.as_deref() {
        None | Some([]) => vec!["{DEFAULT}".to_owned()],
        Some(templates) => texts(templates),
    };
    FilterSource {
        prefregex: resolved
            .prefregex
            .as_ref()
            .map(|one| one.as_str().to_owned()),
        failregex: texts(&resolved.failregex),
        ignoreregex: texts(&resolved.ignoreregex),
        datepattern: DatePattern::Templates(templates),
        dialect: Dialect::Fail2ban,
        maxlines: match resolved.maxlines {
            Some(Located { value, .. }) => value,
            None => 1,
        },
        host_names,
        ..FilterSource::default()
    }
}

impl From<Finding> for Verdict {
    fn from(finding: Finding) -> Self {
        let mut captures: BTreeMap<String, Value> = finding
            .captures
            .into_iter()
            .map(|(name, text)| (name, text.into()))
            .collect();
        if !finding.users.is_empty() {
            captures.insert("users".to_owned(), finding.users.into());
        }
        Self {
            pattern: finding.pattern,
            id: finding.id,
            at: finding.dated.then(|| finding.at.as_micros()),
            nofail: finding.nofail,
            attempts: finding.attempts,
            captures,
        }
    }
}

fn told(faults: &[Diagnostic]) -> String {
    let lines: Vec<String> = faults.iter().map(Diagnostic::render).collect();
    lines.join("\n")
}
