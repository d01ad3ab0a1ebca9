//! What is wrong in the configuration, told so that a person can mend it.

use std::fmt;

use crate::source::{FileIndex, Origin, Position, Sources};

/// How many diagnostics are kept: more than a person reads at once, and a bound on the memory that
/// a file full of rubbish can take.
const DIAGNOSTICS_MAX: usize = 100;

/// The part of a source line that is shown, in characters: one row of a wide terminal.
const EXCERPT_CHARS_MAX: usize = 120;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but probably says what was not meant.
    Warning,
}

/// One thing that is wrong, and where.
///
/// Complete in itself: nothing else is needed to show it or to turn it into JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file, as it is shown to people.
    pub path: String,
    /// Line and column; `None` where the file as a whole is meant.
    pub position: Option<Position>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
    /// The source line and what is marked in it.
    pub excerpt: Option<Excerpt>,
}

/// A source line, made safe to print, and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line or, of a very long one, the part around the mark; control characters replaced.
    pub text: String,
    /// Characters of `text` before the mark.
    pub mark_start: usize,
    /// Characters marked, at least one.
    pub mark_len: usize,
}

impl Diagnostic {
    /// An error at byte `offset_within` of the string at `origin`; `None` marks the whole value.
    ///
    /// This is how an error in a pattern, found after the configuration was read, is shown in the
    /// file that it came from.
    #[must_use]
    pub fn at(
        sources: &Sources,
        origin: Origin,
        offset_within: Option<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let (start, end) = match offset_within {
            Some(within) => {
                let start = sources.offset_in_string(origin, within);
                (start, start + 1)
            }
            None => (origin.start, origin.end),
        };
        let place = Origin {
            file: origin.file,
            start,
            end,
        };
        Self::new(sources, Severity::Error, place, message.into(), hint)
    }

    /// A warning about what is written at `origin`.
    #[must_use]
    pub fn warning_at(
        sources: &Sources,
        origin: Origin,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        Self::new(sources, Severity::Warning, origin, message.into(), hint)
    }

    pub(crate) fn new(
        sources: &Sources,
        severity: Severity,
        origin: Origin,
        message: String,
        hint: Option<String>,
    ) -> Self {
        Self {
            severity,
            path: sources.path(origin.file).to_owned(),
            position: Some(sources.position(origin.file, origin.start)),
            message,
            hint,
            excerpt: excerpt(sources, origin),
        }
    }

    /// What is wrong with a file as a whole.
    #[must_use]
    pub fn of_file(severity: Severity, path: &str, message: String) -> Self {
        Self {
            severity,
            path: path.to_owned(),
            position: None,
            message,
            hint: None,
            excerpt: None,
        }
    }

    /// Whether the configuration cannot be used because of it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The whole text for people, ended by a line end: `path:line:col: message`, the source line
    /// with a mark under it, and the hint.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("{self}\n");
        if let (Some(excerpt), Some(position)) = (&self.excerpt, self.position) {
            let number = position.line.to_string();
            let gutter = " ".repeat(number.len());
            let before = " ".repeat(excerpt.mark_start);
            let mark = "^".repeat(excerpt.mark_len);
            text.push_str(&format!("  {number} | {}\n", excerpt.text));
            text.push_str(&format!("  {gutter} | {before}{mark}\n"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        text
    }
}

impl fmt::Display for Diagnostic {
    /// The first line only: `path:line:col: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        if let Some(Position { line, col }) = self.position {
            write!(f, "{line}:{col}:")?;
        }
        match self.severity {
            Severity::Error => write!(f, " {}", self.message),
            Severity::Warning => write!(f, " warning: {}", self.message),
        }
    }
}

/// Cuts the line of `origin` out, with a window around the mark where the line is long.
fn excerpt(sources: &Sources, origin: Origin) -> Option<Excerpt> {
    let (line_start, line) = sources.line_at(origin.file, origin.start);
    if line.trim().is_empty() {
        return None;
    }
    let chars_before = |offset: usize| {
        let within = offset.saturating_sub(line_start);
        line.char_indices()
            .take_while(|(at, _)| *at < within)
            .count()
    };
    let start = chars_before(origin.start);
    let end = chars_before(origin.end);
    // Half of the window stays in front of the mark, so that one sees what it belongs to.
    let skipped = if line.chars().count() > EXCERPT_CHARS_MAX {
        start.saturating_sub(EXCERPT_CHARS_MAX / 2)
    } else {
        0
    };
    let text: String = line
        .chars()
        .skip(skipped)
        .take(EXCERPT_CHARS_MAX)
        .map(printable)
        .collect();
    let room = (EXCERPT_CHARS_MAX + skipped).saturating_sub(start).max(1);
    Some(Excerpt {
        mark_start: start - skipped,
        mark_len: end.saturating_sub(start).clamp(1, room),
        text: text.trim_end().to_owned(),
    })
}

/// `found`, or a stand-in of the same width where it would act on the terminal instead of showing:
/// control characters, and those that turn the direction of writing around.
fn printable(found: char) -> char {
    match found {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => '\u{fffd}',
        _ if found.is_control() => '\u{fffd}',
        _ => found,
    }
}

/// `text` in single quotes for a message: escaped, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    /// Enough to recognise a value by.
    const CHARS_MAX: usize = 60;
    let mut shown: String = text
        .chars()
        .take(CHARS_MAX)
        .flat_map(|found| match printable(found) {
            same if same == found => vec![found],
            _ => found.escape_debug().collect(),
        })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("'{shown}'")
}

/// Collects what is wrong while files are read.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    list: Vec<(Option<Origin>, Diagnostic)>,
    left_out: usize,
    failed: bool,
}

impl Diagnostics {
    /// Whether there is a place for one more; where not, it is counted, so that nobody has to find
    /// its place for nothing: a file can hold a mistake for every few bytes.
    pub(crate) fn has_room(&mut self, severity: Severity) -> bool {
        let room = self.list.len() < DIAGNOSTICS_MAX
            || severity == Severity::Error && self.list.iter().any(|(_, kept)| !kept.is_error());
        if !room {
            self.failed |= severity == Severity::Error;
            self.left_out += 1;
        }
        room
    }

    pub(crate) fn push(&mut self, origin: Option<Origin>, diagnostic: Diagnostic) {
        self.failed |= diagnostic.is_error();
        // Errors push warnings out, never the other way round.
        if self.list.len() >= DIAGNOSTICS_MAX {
            self.left_out += 1;
            let warning = self.list.iter().position(|(_, kept)| !kept.is_error());
            match warning {
                Some(at) if diagnostic.is_error() => drop(self.list.remove(at)),
                _ => return,
            }
        }
        self.list.push((origin, diagnostic));
    }

    /// Whether an error has been found, kept or not.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// All of them in the order of the files and of the places in them.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        // What belongs to no place stands first: mostly a file that could not be read at all.
        self.list.sort_by_key(|(origin, _)| {
            origin.map_or((FileIndex(0), 0, 0), |at| (at.file, at.start + 1, at.end))
        });
        let mut all: Vec<_> = self.list.into_iter().map(|(_, found)| found).collect();
        if let Some(last) = all.last().filter(|_| self.left_out > 0) {
            let message = format!("{} more are not shown", self.left_out);
            all.push(Diagnostic::of_file(
                Severity::Warning,
                &last.path.clone(),
                message,
            ));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, start: usize, end: usize) -> Diagnostic {
        let mut sources = Sources::default();
        let file = sources.add("f.toml".to_owned(), text.to_owned());
        let origin = Origin { file, start, end };
        Diagnostic::new(&sources, Severity::Error, origin, "bad".to_owned(), None)
    }

    #[test]
    fn the_mark_stands_under_what_is_meant() {
        let text = at("a = 1\nbé = 23\n", 12, 14).render();
        assert_eq!(text, "f.toml:2:6: bad\n  2 | bé = 23\n    |      ^^\n");
    }

    #[test]
    fn a_mark_over_several_lines_ends_with_the_first() {
        let text = at("a = [\n1,\n]\n", 4, 10).render();
        assert_eq!(text, "f.toml:1:5: bad\n  1 | a = [\n    |     ^\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let line = format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000));
        let excerpt = at(&line, 5_000, 5_001).excerpt.unwrap();
        assert_eq!(excerpt.text.chars().count(), EXCERPT_CHARS_MAX);
        assert_eq!(excerpt.text.chars().nth(excerpt.mark_start), Some('X'));
    }

    #[test]
    fn text_that_would_act_on_the_terminal_is_replaced() {
        let text = at("a = \u{1b}[2J\u{202e}\n", 0, 1).render();
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text:?}"
        );
        assert_eq!(quoted("a\u{1b}\n"), r"'a\u{1b}\n'");
        assert_eq!(quoted(&"x".repeat(99)), format!("'{}…'", "x".repeat(60)));
    }

    #[test]
    fn rubbish_without_end_gives_a_bounded_list_that_says_so() {
        let mut all = Diagnostics::default();
        for number in 0..1_000 {
            let found = Diagnostic::of_file(Severity::Warning, "f", format!("w{number}"));
            all.push(None, found);
        }
        all.push(
            None,
            Diagnostic::of_file(Severity::Error, "f", "the error".to_owned()),
        );
        assert!(all.failed());
        let all = all.into_sorted();
        assert_eq!(all.len(), DIAGNOSTICS_MAX + 1);
        assert!(all.iter().any(|found| found.message == "the error"));
        assert_eq!(all.last().unwrap().message, "901 more are not shown");
    }
}
