//! Reads the annotated lines of `tests/conformance/samples`; their form is explained in
//! docs/writing-a-filter.md.

use stockade_core::{FailureId, Timestamp};

/// A line of a log and what has to be made of it.
pub(crate) struct Sample {
    /// Number of the line in its file, from 1.
    pub(crate) number: usize,
    pub(crate) line: String,
    /// It comes from the journal: the time is not part of its text.
    pub(crate) journal: bool,
    pub(crate) verdict: Verdict,
}

/// What has to be made of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Match {
        id: FailureId,
        /// `None`: the annotation says nothing about the time.
        at: Option<Timestamp>,
        user: Option<String>,
    },
    /// No failure.
    Miss,
    /// It names different addresses, depending on how it is read, so it counts for nobody.
    Ambiguous,
}

/// Reads a sample file.
///
/// # Errors
/// The first line that is not as it must be, with its number.
pub(crate) fn read(text: &str) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    let mut annotation = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let wrong = |what: &str| format!("{number}: {what}: {line}");
        let comment = line.strip_prefix("# ").map(read_annotation);
        if let Some(next) = comment.transpose().map_err(|what| wrong(&what))?.flatten() {
            if annotation.replace(next).is_some() {
                return Err(wrong("the annotation before this one has no line"));
            }
        } else if line.is_empty() || line.starts_with('#') {
            if annotation.is_some() {
                return Err(wrong("a line of a log must follow the annotation at once"));
            }
        } else {
            let (journal, verdict) = annotation
                .take()
                .ok_or_else(|| wrong("no annotation stands before it"))?;
            samples.push(Sample {
                number,
                line: line.to_owned(),
                journal,
                verdict,
            });
        }
    }
    match annotation {
        Some(_) => Err("the last annotation has no line".to_owned()),
        None => Ok(samples),
    }
}

/// `None` for a comment that is no annotation; else whether the line is of the journal, and the
/// verdict.
fn read_annotation(comment: &str) -> Result<Option<(bool, Verdict)>, String> {
    let (word, rest) = comment.split_once(' ').unwrap_or((comment, ""));
    let (journal, rest) = match rest.strip_prefix("journal") {
        Some("") => (true, ""),
        Some(after) if after.starts_with(' ') => (true, after.trim_start()),
        _ => (false, rest),
    };
    let verdict = match word {
        "match" => read_match(rest)?,
        "miss" if rest.is_empty() => return Err("say why it is none: # miss REASON".to_owned()),
        "miss" => Verdict::Miss,
        "ambiguous" => Verdict::Ambiguous,
        _ => return Ok(None),
    };
    Ok(Some((journal, verdict)))
}

/// `ID [time=TIME] [user=NAME up to the end of the line]`
fn read_match(text: &str) -> Result<Verdict, String> {
    let (head, user) = match text.split_once(" user=") {
        Some((head, user)) => (head, Some(user.to_owned())),
        None => (text, None),
    };
    let mut words = head.split(' ');
    let id = words
        .next()
        .filter(|id| !id.is_empty())
        .ok_or("say whom it counts for: # match 192.0.2.1")?;
    let at = match words.next() {
        None => None,
        Some(word) => Some(read_time(word)?),
    };
    match words.next() {
        Some(extra) => Err(format!("cannot make sense of '{extra}'")),
        None => Ok(Verdict::Match {
            id: FailureId::parse(id),
            at,
            user,
        }),
    }
}

fn read_time(word: &str) -> Result<Timestamp, String> {
    let time = word
        .strip_prefix("time=")
        .ok_or_else(|| format!("'{word}' is neither time=… nor user=…"))?;
    let time: jiff::Timestamp = time.parse().map_err(|fault| format!("{fault}"))?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}
