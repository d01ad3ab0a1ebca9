//! The sample files of fail2ban's own tests: log lines, each with what is expected of it.
//!
//! An annotation is a comment with JSON in it. `failJSON` is about the next line, `filterOptions` about
//! all lines that follow up to the next one, `fileOptions` about every `filterOptions` after it, and
//! `addFILE` names another file to be read after this one with the same filter.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// A sample file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// It cannot be read.
    #[error("cannot read '{path}'")]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// An annotation is none.
    #[error("{path}:{line}: {message}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line of the annotation, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
}

/// A sample file, taken apart.
#[derive(Debug)]
pub(crate) struct SampleFile {
    pub(crate) path: PathBuf,
    pub(crate) steps: Vec<Step>,
}

/// What a sample file says next.
#[derive(Debug)]
pub(crate) enum Step {
    FileOptions(Map<String, Value>),
    FilterOptions(Vec<Map<String, Value>>),
    AddFile(String),
    Line(SampleLine),
}

/// A line of a log and what is expected of it.
#[derive(Debug)]
pub(crate) struct SampleLine {
    /// Counted from 1.
    pub(crate) number: usize,
    /// Without its end.
    pub(crate) text: Vec<u8>,
    pub(crate) expected: Expected,
}

/// What is expected of a line: nothing found, unless it says otherwise.
#[derive(Debug, Default)]
pub(crate) struct Expected(Map<String, Value>);

/// Words of `failJSON` that are not the name of a capture.
const OWN_WORDS: [&str; 4] = ["time", "match", "desc", "constraint"];

impl Expected {
    pub(crate) fn is_match(&self) -> bool {
        self.0
            .get("match")
            .is_some_and(|value| *value == Value::Bool(true))
    }

    /// Local time, without a zone.
    pub(crate) fn time(&self) -> Option<&str> {
        self.0.get("time")?.as_str()
    }

    /// When the expectation holds at all.
    pub(crate) fn constraint(&self) -> Option<&str> {
        self.0.get("constraint")?.as_str()
    }

    pub(crate) fn captures(&self) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.0.iter().map(|(name, value)| (name.as_str(), value));
        all.filter(|(name, _)| !OWN_WORDS.contains(name))
    }
}

impl SampleFile {
    pub(crate) fn read(path: &Path) -> Result<Self, SampleError> {
        let bytes = fs::read(path).map_err(|cause| SampleError::Unread {
            path: path.to_owned(),
            cause,
        })?;
        let malformed = |(line, message)| SampleError::Malformed {
            path: path.to_owned(),
            line,
            message,
        };
        Ok(Self {
            path: path.to_owned(),
            steps: steps(&bytes).map_err(malformed)?,
        })
    }
}

fn steps(bytes: &[u8]) -> Result<Vec<Step>, (usize, String)> {
    let mut steps = Vec::new();
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .map(without_end)
        .enumerate()
        .map(|(i, line)| (i + 1, line));
    while let Some((number, line)) = lines.next() {
        let text = String::from_utf8_lossy(line);
        let Some((word, json)) = annotation(&text) else {
            if !text.starts_with('#') && !text.trim().is_empty() {
                steps.push(sample(number, line, Map::new()));
            }
            continue;
        };
        let value: Value = serde_json::from_str(json).map_err(|e| (number, e.to_string()))?;
        let wrong = |what: &str| (number, format!("{word} must be {what}"));
        match (word, value) {
            ("failJSON", Value::Object(expected)) => {
                // Whatever comes next is the line, even if it looks like a comment.
                let next = lines.next().ok_or_else(|| wrong("followed by a line"))?;
                steps.push(sample(next.0, next.1, expected));
            }
            ("fileOptions", Value::Object(options)) => steps.push(Step::FileOptions(options)),
            ("filterOptions", Value::Object(options)) => {
                steps.push(Step::FilterOptions(vec![options]));
            }
            ("filterOptions", Value::Array(several)) => {
                let options = several.into_iter().map(|options| match options {
                    Value::Object(options) => Ok(options),
                    _ => Err(wrong("a list of objects")),
                });
                steps.push(Step::FilterOptions(options.collect::<Result<_, _>>()?));
            }
            ("addFILE", Value::String(name)) => steps.push(Step::AddFile(name)),
            ("addFILE", _) => return Err(wrong("the name of a file")),
            _ => return Err(wrong("an object")),
        }
    }
    Ok(steps)
}

fn sample(number: usize, line: &[u8], expected: Map<String, Value>) -> Step {
    Step::Line(SampleLine {
        number,
        text: line.to_owned(),
        expected: Expected(expected),
    })
}

fn without_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r'] = line {
        line = rest;
    }
    line
}

/// The word and the JSON of `# word: JSON`.
fn annotation(line: &str) -> Option<(&str, &str)> {
    let text = line.strip_prefix('#')?.trim_start_matches('#');
    let (word, json) = text.strip_prefix(' ').unwrap_or(text).split_once(':')?;
    let known = ["failJSON", "fileOptions", "filterOptions", "addFILE"].contains(&word);
    (known && !json.is_empty()).then_some((word, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_about_the_next_line_whatever_that_is() {
        let text = b"# failJSON: {\"match\": true, \"host\": \"192.0.2.1\"}\n# no comment\n# comment\n\nplain\r\n";
        let steps = steps(text).unwrap();
        let [Step::Line(first), Step::Line(second)] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert_eq!((first.number, &*first.text), (2, &b"# no comment"[..]));
        assert!(first.expected.is_match());
        assert_eq!((second.number, &*second.text), (5, &b"plain"[..]));
        assert!(!second.expected.is_match());
    }

    #[test]
    fn a_word_in_the_middle_of_a_comment_is_no_annotation() {
        assert_eq!(annotation("# so # filterOptions: {}"), None);
        assert_eq!(annotation("## fileOptions:{}"), Some(("fileOptions", "{}")));
        assert_eq!(annotation("#failJSON: 1"), Some(("failJSON", " 1")));
    }

    #[test]
    fn broken_json_is_an_error_with_its_line() {
        let (line, message) = steps(b"\n# filterOptions: {\n").unwrap_err();
        assert_eq!(line, 2);
        assert!(message.contains("EOF"), "{message}");
        assert_eq!(steps(b"# failJSON: {}").unwrap_err().0, 1);
        assert_eq!(steps(b"# filterOptions: [1]\n").unwrap_err().0, 1);
    }
}
