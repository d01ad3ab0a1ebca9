//! From a chunk to its failures: patterns here, or a filter plugin.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use stockade_core::{Chunk, Failure, Failures, JailName, Span};
use stockade_detect::{Detector, HostNameFailures, Matcher, Scan, ScanCounts, Survivor, Survivors};
use stockade_plugins::{Evaluation, FilterBatch, FilterPlugin, Pushed, State};

use super::{Judged, Unclear};
use crate::clock;

/// A jail as a reader knows it.
#[derive(Clone, Debug)]
pub(in crate::run) struct JudgedJail {
    pub(in crate::run) name: JailName,
    pub(in crate::run) matcher: Matcher,
    pub(in crate::run) zone: TimeZone,
}

/// Judges the lines of one reader.
#[derive(Debug)]
pub(in crate::run) struct Judge {
    jails: Vec<JudgedJail>,
    /// Which jails want what matches the n-th glob.
    wanted_by: Vec<Vec<usize>>,
    /// A detector for each set of jails that some file has had, and for each zone among them.
    detectors: BTreeMap<Vec<usize>, Vec<Detector>>,
    plugin: Option<FilterPlugin>,
    quarantined: bool,
    /// Jails that want to be told of each host name that counts.
    warn_of_names: BTreeSet<JailName>,
}

impl Judge {
    /// `wanted_by` lists, for each glob of the reader, the indexes of the jails that want it. `plugin`
    /// judges what a [`Matcher::Plan`] lets through.
    pub(in crate::run) fn new(
        jails: Vec<JudgedJail>,
        wanted_by: Vec<Vec<usize>>,
        plugin: Option<FilterPlugin>,
        warn_of_names: BTreeSet<JailName>,
    ) -> Self {
        Self {
            jails,
            wanted_by,
            detectors: BTreeMap::new(),
            plugin,
            quarantined: false,
            warn_of_names,
        }
    }

    pub(super) fn warn_of_names(&self) -> &BTreeSet<JailName> {
        &self.warn_of_names
    }

    /// The jails that it judges for.
    pub(in crate::run) fn jail_names(&self) -> Vec<JailName> {
        self.jails.iter().map(|jail| jail.name.clone()).collect()
    }

    /// Judges a chunk that the globs with these numbers match; failures of host names come beside the
    /// verdict, since their addresses are still to be looked up.
    pub(in crate::run) fn chunk(
        &mut self,
        reader: &str,
        globs: &[usize],
        chunk: &Chunk,
    ) -> (Judged, Vec<HostNameFailures>) {
        let mut wanting: Vec<usize> = globs
            .iter()
            .filter_map(|glob| self.wanted_by.get(*glob))
            .flatten()
            .copied()
            .collect();
        wanting.sort_unstable();
        wanting.dedup();
        let jails = &self.jails;
        let detectors = self
            .detectors
            .entry(wanting)
            .or_insert_with_key(|wanting| detectors(jails, wanting));
        let mut failures = Vec::new();
        let mut named = Vec::new();
        let mut unclear = Vec::new();
        let mut counts = ScanCounts::default();
        let now = clock::now();
        for detector in detectors {
            let scan = detector.scan(chunk, now);
            tell_ambiguous(chunk, &scan);
            tell_gave_up(chunk, &scan);
            counts = sum(counts, scan.counts);
            unclear.extend(unclear_of(&scan));
            failures.extend(scan.failures);
            named.extend(scan.host_names);
            if let Some(plugin) = &mut self.plugin {
                let judged = scan
                    .survivors
                    .iter()
                    .filter_map(|lines| ask(plugin, lines, &mut self.quarantined));
                failures.extend(judged);
            }
        }
        let judged = Judged {
            reader: reader.to_owned(),
            source: chunk.source.clone(),
            checkpoint: chunk.checkpoint.clone(),
            failures,
            spared: Vec::new(),
            counts,
            unclear,
        };
        (judged, named)
    }
}

/// One detector for each zone among the jails.
fn detectors(jails: &[JudgedJail], wanting: &[usize]) -> Vec<Detector> {
    let mut zones: Vec<(TimeZone, Vec<(JailName, Matcher)>)> = Vec::new();
    for jail in wanting.iter().filter_map(|index| jails.get(*index)) {
        let entry = (jail.name.clone(), jail.matcher.clone());
        match zones.iter_mut().find(|(zone, _)| *zone == jail.zone) {
            Some((_, entries)) => entries.push(entry),
            None => zones.push((jail.zone.clone(), vec![entry])),
        }
    }
    zones
        .into_iter()
        .map(|(zone, jails)| Detector::new(jails, zone))
        .collect()
}

fn tell_ambiguous(chunk: &Chunk, scan: &Scan) {
    for ambiguous in &scan.ambiguous {
        let line = stockade_core::Escaped(ambiguous.line.of(&chunk.text));
        let readings: Vec<String> = ambiguous.readings.iter().map(ToString::to_string).collect();
        tracing::warn!(
            "[{}] not counted, failregex {} can be read with different addresses ({}): {line}",
            ambiguous.jail,
            ambiguous.pattern + 1,
            match readings.as_slice() {
                [] => "too many to look at".to_owned(),
                some => some.join(" or "),
            }
        );
    }
}

/// What was unclear to each jail.
fn unclear_of(scan: &Scan) -> impl Iterator<Item = (JailName, Unclear)> {
    let ambiguous = scan.ambiguous_of.iter().map(|(jail, lines)| {
        let unclear = Unclear {
            ambiguous: *lines,
            ..Unclear::default()
        };
        (jail.clone(), unclear)
    });
    let gave_up = scan.gave_up_of.iter().map(|(jail, lines)| {
        let unclear = Unclear {
            gave_up: *lines,
            ..Unclear::default()
        };
        (jail.clone(), unclear)
    });
    ambiguous.chain(gave_up)
}

fn tell_gave_up(chunk: &Chunk, scan: &Scan) {
    for gave_up in &scan.gave_up {
        let line = stockade_core::Escaped(gave_up.line.of(&chunk.text));
        tracing::warn!(
            "[{}] {} takes too many steps to tell whether it matches: {line}",
            gave_up.jail,
            gave_up.which
        );
    }
}

/// All zones see the same lines; what was found is added up.
fn sum(a: ScanCounts, b: ScanCounts) -> ScanCounts {
    ScanCounts {
        lines: a.lines.max(b.lines),
        overlong: a.overlong.max(b.overlong),
        candidates: a.candidates + b.candidates,
        ambiguous: a.ambiguous + b.ambiguous,
        ignored: a.ignored + b.ignored,
        gave_up: a.gave_up + b.gave_up,
        undated: a.undated + b.undated,
        unfiltered: a.unfiltered + b.unfiltered,
    }
}

/// Lets the plugin judge the lines that its plan asked for.
fn ask(
    plugin: &mut FilterPlugin,
    survivors: &Survivors,
    quarantined: &mut bool,
) -> Option<Failures> {
    let mut items = Vec::new();
    let mut batch = FilterBatch::new();
    let mut lines: Vec<&Survivor> = Vec::new();
    let mut content = Vec::new();
    for survivor in &survivors.lines {
        let (before, after) = survivor.content(&survivors.text);
        content.clear();
        content.extend_from_slice(before);
        content.extend_from_slice(after);
        let pattern = survivor.patterns.first().unwrap_or(0);
        if batch.push(&content, survivor.at, pattern) == Pushed::Full {
            evaluate(plugin, &batch, &lines, &mut items, quarantined);
            batch.clear();
            lines.clear();
            // An empty batch takes any line.
            let Pushed::Taken = batch.push(&content, survivor.at, pattern) else {
                continue;
            };
        }
        lines.push(survivor);
    }
    evaluate(plugin, &batch, &lines, &mut items, quarantined);
    (!items.is_empty()).then(|| Failures {
        jail: survivors.jail.clone(),
        text: survivors.text.clone(),
        items: items.into(),
    })
}

fn evaluate(
    plugin: &mut FilterPlugin,
    batch: &FilterBatch,
    lines: &[&Survivor],
    items: &mut Vec<Failure>,
    quarantined: &mut bool,
) {
    if batch.is_empty() {
        return;
    }
    let evaluation = plugin.evaluate(batch);
    for finding in &evaluation.findings {
        let index = usize::try_from(finding.line).unwrap_or(usize::MAX);
        let Some(survivor) = lines.get(index) else {
            continue;
        };
        let user = finding
            .user
            .and_then(|user| in_chunk(user, batch.span(index), survivor));
        items.push(Failure {
            id: finding.subject.clone(),
            at: survivor.at,
            line: survivor.line,
            user,
        });
    }
    tell(plugin, &evaluation, quarantined);
}

/// A span of the batch as a span of the chunk, which has the date that the batch has not.
fn in_chunk(user: Span, line: Span, survivor: &Survivor) -> Option<Span> {
    let before = survivor.date.start.checked_sub(survivor.line.start)?;
    let start = user.start.checked_sub(line.start)?;
    let end = user.end.checked_sub(line.start)?;
    let shift = if end <= before {
        survivor.line.start
    } else if start >= before {
        survivor.date.end.checked_sub(before)?
    } else {
        return None;
    };
    Some(Span {
        start: start.checked_add(shift)?,
        end: end.checked_add(shift)?,
    })
}

fn tell(plugin: &FilterPlugin, evaluation: &Evaluation, quarantined: &mut bool) {
    let name = plugin.name();
    for poison in &evaluation.poison {
        tracing::error!(
            "plugin '{name}' failed on a line, which is skipped: {}; sha256 {}; line begins: {}",
            poison.fault.message,
            poison.sha256,
            poison.shown
        );
    }
    if let Some(message) = &evaluation.refused {
        tracing::warn!(
            "plugin '{name}' refused to judge {} lines: {message}",
            evaluation.skipped.len()
        );
    }
    let now = matches!(evaluation.state, Some(State::Quarantined { .. }));
    if now && !*quarantined {
        tracing::error!(
            "plugin '{name}' is in quarantine; until it is back its jails do not see failures"
        );
    } else if !now && *quarantined {
        tracing::info!("plugin '{name}' is back from quarantine");
    }
    *quarantined = now;
}
