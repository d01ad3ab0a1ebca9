//! Runs every filter of a fail2ban over its own annotated samples.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use stockade_core::Timestamp;

use crate::compare::differences;
use crate::condition::{self, Facts};
use crate::engine::Engine;
use crate::report::{Failure, Report};
use crate::samples::{SampleFile, SampleLine, Step};
use crate::subjects::Subject;
use crate::verdict::Verdict;

/// What fail2ban's tests take for now: 2005-08-14 12:00:00 in [`ZONE`].
pub const NOW: Timestamp = Timestamp::from_secs(1_124_013_600);

/// The zone of fail2ban's tests.
pub const ZONE: &str = "CET-01CEST-02,M3.5.0,M10.5.0";

/// [`ZONE`].
///
/// # Panics
/// Never: it is a zone.
#[must_use]
pub fn zone() -> TimeZone {
    TimeZone::posix(ZONE).unwrap_or(TimeZone::UTC)
}

/// Lets `engine` judge the samples of `subject` and writes to `report` what came out.
pub fn check<E: Engine>(engine: &mut E, subject: &Subject, samples: &Path, report: &mut Report) {
    Check {
        engine,
        subject,
        report,
        file: PathBuf::new(),
        opened: BTreeMap::new(),
        used: BTreeSet::new(),
        common: Map::new(),
        variants: Vec::new(),
        blocked: false,
    }
    .run(samples);
}

/// A filter on its way through its sample files.
struct Check<'a, E: Engine> {
    engine: &'a mut E,
    subject: &'a Subject,
    report: &'a mut Report,
    /// The sample file that is being read.
    file: PathBuf,
    /// By their names; `None` for one that cannot be used.
    opened: BTreeMap<String, Option<Instance<E::Filter>>>,
    /// Patterns that some line used, as text: what one set of options shows, holds for all.
    used: BTreeSet<String>,
    /// `fileOptions`, which hold for files to come as well.
    common: Map<String, Value>,
    /// The filters that judge the next line.
    variants: Vec<Variant>,
    /// Whether lines are passed over until the next `filterOptions`.
    blocked: bool,
}

/// A filter with one set of options, and what it remembers.
struct Instance<F> {
    filter: F,
    patterns: Vec<String>,
    used: BTreeSet<usize>,
}

/// One set of options under which lines are judged.
#[derive(Clone)]
struct Variant {
    /// The key of its instance.
    name: String,
    /// As the file gives them.
    options: Map<String, Value>,
}

/// Options that are for the test and not for the filter begin with this.
const FOR_TEST: &str = "test.";

impl<E: Engine> Check<'_, E> {
    fn run(&mut self, samples: &Path) {
        let mut names = vec![self.subject.name.clone()];
        let mut next = 0;
        while let Some(name) = names.get(next).cloned() {
            next += 1;
            self.file = samples.join(&name);
            self.blocked = false;
            let file = match SampleFile::read(&self.file) {
                Ok(file) => file,
                Err(fault) => {
                    self.fail(0, b"", "a sample file", &with_cause(&fault));
                    continue;
                }
            };
            self.file.clone_from(&file.path);
            for step in file.steps {
                match step {
                    Step::FileOptions(options) => self.common = options,
                    Step::FilterOptions(several) => self.choose(several),
                    // A file that names itself is read once.
                    Step::AddFile(name) if names.contains(&name) => {}
                    Step::AddFile(name) => names.push(name),
                    Step::Line(line) => self.line(&line),
                }
            }
        }
        self.check_used();
    }

    /// Lines that follow are judged with each of `several` sets of options.
    fn choose(&mut self, several: Vec<Map<String, Value>>) {
        self.variants.clear();
        self.blocked = false;
        for own in several {
            let mut options = self.common.clone();
            options.extend(own);
            if let Some(condition) = options.get("test.condition").and_then(Value::as_str) {
                let holds = condition::holds(condition, self.facts(&options));
                let condition = condition.to_owned();
                self.blocked = !self.known(holds, &condition);
            }
            if !self.blocked {
                self.add_variant(options);
            }
        }
    }

    fn add_variant(&mut self, options: Map<String, Value>) {
        let own = options
            .iter()
            .filter(|(name, _)| !name.starts_with(FOR_TEST));
        let own: Vec<_> = own
            .map(|(name, value)| (name.clone(), as_text(value)))
            .collect();
        let name = match options.get("test.filter-name").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => shown(&self.subject.name, &own),
        };
        if !self.opened.contains_key(&name) {
            let opened = self
                .engine
                .open(&self.subject.dir, &self.subject.name, &own);
            let instance = opened.map(|opened| Instance {
                filter: opened.filter,
                patterns: opened.patterns,
                used: BTreeSet::new(),
            });
            if let Err(fault) = &instance {
                let expected = format!("{name} to be a filter that can be used");
                self.fail(0, b"", &expected, fault);
            }
            self.opened.insert(name.clone(), instance.ok());
        }
        self.variants.push(Variant { name, options });
    }

    fn line(&mut self, line: &SampleLine) {
        if self.blocked {
            return;
        }
        if self.variants.is_empty() {
            self.add_variant(Map::new());
        }
        for variant in self.variants.clone() {
            if let Some(constraint) = line.expected.constraint() {
                let holds = condition::holds(constraint, self.facts(&variant.options));
                if !self.known(holds, constraint) {
                    continue;
                }
            }
            self.judge(&variant, line);
        }
    }

    fn judge(&mut self, variant: &Variant, line: &SampleLine) {
        let Some(Some(instance)) = self.opened.get_mut(&variant.name) else {
            return self.fail(line.number, &line.text, "a judgement", "no filter");
        };
        let journal = variant.options.get("logtype").and_then(Value::as_str) == Some("journal");
        let mut text = Vec::new();
        if journal && let Some(prefix) = variant.options.get("test.prefix-line") {
            text.extend_from_slice(as_text(prefix).as_bytes());
        }
        text.extend_from_slice(&line.text);
        let found = match self.engine.judge(&mut instance.filter, &text, journal) {
            Ok(found) => found,
            Err(fault) => return self.fail(line.number, &text, "a judgement", &fault),
        };
        for verdict in &found {
            instance.used.insert(verdict.pattern);
            self.used
                .extend(instance.patterns.get(verdict.pattern).cloned());
        }
        let counted = |one: &&Verdict| one.id.is_some() && !one.nofail;
        let found: Vec<&Verdict> = found.iter().filter(counted).collect();
        let differences = differences(line, &found);
        if differences.is_empty() {
            let count = &mut self.report;
            *(if line.expected.is_match() {
                &mut count.matched
            } else {
                &mut count.missed
            }) += 1;
        }
        for (expected, got) in differences {
            let got = format!("{got} ({})", variant.name);
            self.fail(line.number, &text, &expected, &got);
        }
    }

    /// Every failregex of every set of options has to have matched some line.
    fn check_used(&mut self) {
        let mut unused = Vec::new();
        for (name, instance) in &self.opened {
            let Some(instance) = instance else { continue };
            for (i, pattern) in instance.patterns.iter().enumerate() {
                if instance.used.contains(&i) || self.used.contains(pattern) {
                    self.report.patterns += 1;
                } else {
                    unused.push((
                        format!("a line for failregex {} of {name}", i + 1),
                        pattern.clone(),
                    ));
                }
            }
        }
        for (expected, pattern) in unused {
            self.fail(0, b"", &expected, &format!("none for {pattern}"));
        }
    }

    fn facts<'o>(&'o self, options: &'o Map<String, Value>) -> Facts<'o> {
        Facts {
            name: &self.subject.name,
            options,
        }
    }

    /// A condition that cannot be read is a failure, and holds.
    fn known(&mut self, holds: Result<bool, String>, condition: &str) -> bool {
        holds.unwrap_or_else(|fault| {
            self.fail(0, b"", &format!("to understand \"{condition}\""), &fault);
            true
        })
    }

    fn fail(&mut self, line: usize, text: &[u8], expected: &str, got: &str) {
        self.report.failures.push(Failure {
            filter: self.subject.name.clone(),
            file: self.file.clone(),
            line,
            text: String::from_utf8_lossy(text).into_owned(),
            expected: expected.to_owned(),
            got: got.to_owned(),
        });
    }
}

fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A filter with options as a jail names it.
pub(crate) fn shown(name: &str, options: &[(String, String)]) -> String {
    if options.is_empty() {
        return name.to_owned();
    }
    let options: Vec<String> = options.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{name}[{}]", options.join(", "))
}

fn with_cause(fault: &dyn std::error::Error) -> String {
    match fault.source() {
        Some(cause) => format!("{fault}: {cause}"),
        None => fault.to_string(),
    }
}
