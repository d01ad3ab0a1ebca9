//! Where the lines come from: the samples of a filter, and what its patterns describe.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::case::Chosen;
use crate::samples::{SampleFile, Step};
use crate::subjects::Subject;

/// What is known of a filter before it is run.
#[derive(Debug)]
pub(super) struct Corpus {
    /// The sets of options that its samples have, and the modes that its file has.
    pub(super) chosen: Vec<Chosen>,
    /// Its sample lines, in order.
    pub(super) lines: Vec<Vec<u8>>,
}

/// Ends of names by which filters offer modes: `mdre-aggressive`, `failregex-ddos`.
const MODES: [&str; 11] = [
    "normal",
    "aggressive",
    "ddos",
    "extra",
    "auth",
    "rbl",
    "more",
    "errors",
    "fallback",
    "basic",
    "all",
];

impl Corpus {
    pub(super) fn of(subject: &Subject, samples: &Path) -> Self {
        let mut corpus = Self {
            chosen: Vec::new(),
            lines: Vec::new(),
        };
        corpus.add(subject, Vec::new());
        let mut names = vec![subject.name.clone()];
        let mut next = 0;
        while let Some(name) = names.get(next).cloned() {
            next += 1;
            // A file that cannot be read is a failure of the conformance run.
            let steps = SampleFile::read(&samples.join(name)).map_or(Vec::new(), |file| file.steps);
            let mut common = Map::new();
            for step in steps {
                match step {
                    Step::Line(line) => corpus.lines.push(line.text),
                    Step::FileOptions(options) => common = options,
                    Step::FilterOptions(several) => {
                        for own in several {
                            let mut options = common.clone();
                            options.extend(own);
                            corpus.add(subject, plain(&options));
                        }
                    }
                    Step::AddFile(name) if names.contains(&name) => {}
                    Step::AddFile(name) => names.push(name),
                }
            }
        }
        let text = fs::read_to_string(file(subject)).unwrap_or_default();
        for mode in MODES.iter().filter(|mode| has_mode(&text, mode)) {
            corpus.add(subject, vec![("mode".to_owned(), (*mode).to_owned())]);
        }
        if text.contains("prefix_line") {
            for logtype in ["journal", "short", "rfc5424"] {
                corpus.add(subject, vec![("logtype".to_owned(), logtype.to_owned())]);
            }
        }
        corpus
    }

    fn add(&mut self, subject: &Subject, options: Vec<(String, String)>) {
        let chosen = Chosen {
            subject: subject.clone(),
            options,
        };
        if !self.chosen.contains(&chosen) {
            self.chosen.push(chosen);
        }
    }
}

fn file(subject: &Subject) -> PathBuf {
    let name = format!("{}.conf", subject.name);
    subject.dir.join("filter.d").join(name)
}

/// Options that are for the filter and not for the test.
fn plain(options: &Map<String, Value>) -> Vec<(String, String)> {
    let own = options
        .iter()
        .filter(|(name, _)| !name.starts_with("test."));
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    own.map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// Whether a filter defines something for the mode.
fn has_mode(text: &str, mode: &str) -> bool {
    text.lines().any(|line| {
        let name = line.split_once('=').map_or("", |(name, _)| name.trim_end());
        name.strip_suffix(mode)
            .is_some_and(|rest| rest.ends_with('-') && !rest.contains(' '))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_known_by_what_the_filter_defines_for_it() {
        let text = "mdre-ddos = x\n  mdre-extra = y\n# or mdre-auth = z\nmode = normal\n";
        assert!(has_mode(text, "ddos"));
        assert!(!has_mode(text, "auth") && !has_mode(text, "normal"));
    }
}
