//! The last lines of a log, which patterns see at once where `maxlines` is above 1.

use std::sync::Arc;

use super::expression::Groups;

/// Most lines that patterns can see at once; fail2ban's own filters need ten. Each of them is read
/// again with every line that comes.
pub(super) const WINDOW_LINES_MAX: u32 = 100;
/// Most bytes of these lines; when there are more, the oldest go. Two lines of the greatest length.
const WINDOW_BYTES_MAX: usize = 128 * 1024;

/// The last lines, without their dates and ends.
#[derive(Debug, Default)]
pub(super) struct Window(Vec<Arc<str>>);

impl Window {
    /// Adds a line and returns what is to be seen now, at most `max` lines.
    pub(super) fn push(&mut self, line: &str, max: usize) -> Vec<Arc<str>> {
        self.0.push(line.into());
        let mut bytes = 0;
        let fit = self.0.iter().rev().take(max).take_while(|line| {
            bytes += line.len() + 1;
            bytes <= WINDOW_BYTES_MAX
        });
        let keep = fit.count().max(1);
        self.0.drain(..self.0.len().saturating_sub(keep));
        self.0.clone()
    }

    pub(super) fn replace(&mut self, lines: Vec<Arc<str>>) {
        self.0 = lines;
    }
}

/// `lines` as one text in which every line has its end.
pub(super) fn joined(lines: &[Arc<str>]) -> String {
    if lines.is_empty() {
        // As fail2ban: no line is one empty line.
        return "\n".to_owned();
    }
    lines
        .iter()
        .flat_map(|line| [&**line, "\n"])
        .collect::<String>()
}

/// The lines of the window after a match.
#[derive(Debug)]
pub(super) struct Spent {
    /// Those that the match is about.
    pub(super) matched: Vec<Arc<str>>,
    /// Those that stay, `<SKIPLINES>` among them.
    pub(super) left: Vec<Arc<str>>,
}

impl Spent {
    /// Tells the lines of `window` apart by a match in `text`, in which `skipped` are the groups of
    /// `<SKIPLINES>`. `text` is the window, or less where a prefregex or an earlier match left less;
    /// like fail2ban, lines are told by their number then, too.
    pub(super) fn new(window: &[Arc<str>], text: &str, groups: &Groups, skipped: &[usize]) -> Self {
        if window.len() <= 1 {
            return Self {
                matched: window.to_vec(),
                left: Vec::new(),
            };
        }
        let (start, end) = groups.whole();
        let bytes = text.as_bytes();
        let head = bytes.get(..=start).unwrap_or(bytes);
        let first = memchr::memrchr(b'\n', head).map_or(0, |at| at + 1);
        // Of an empty match at the very beginning fail2ban searches the end from the back.
        let from = end.checked_sub(1).unwrap_or(bytes.len().saturating_sub(1));
        let tail = bytes.get(from..).unwrap_or_default();
        let last = memchr::memchr(b'\n', tail).map_or(bytes.len(), |at| from + at + 1);
        let lines_before = |at| {
            let before = bytes.get(..at).unwrap_or_default();
            memchr::memchr_iter(b'\n', before).count()
        };
        let (first, last) = (lines_before(first), lines_before(last));
        let part = |from: usize, to: usize| {
            let to = to.min(window.len());
            window.get(from.min(to)..to).unwrap_or_default().to_vec()
        };
        let mut spent = Self {
            matched: part(first, last),
            left: part(0, first),
        };
        spent.leave_skipped(text, groups, skipped);
        spent.left.extend(part(last, window.len()));
        spent
    }

    fn leave_skipped(&mut self, text: &str, groups: &Groups, skipped: &[usize]) {
        let skipped: String = skipped
            .iter()
            .filter_map(|group| groups.span(*group))
            .filter_map(|(start, end)| text.get(start..end))
            .collect();
        let mut from = 0;
        for line in python_lines(&skipped) {
            let rest = self.matched.get(from..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|own| **own == *line) {
                let line = self.matched.remove(from + at);
                self.left.push(line);
                from += at;
            }
        }
    }
}

/// The lines of `text` as Python's `splitlines` tells them apart.
fn python_lines(text: &str) -> Vec<&str> {
    let is_end = |c| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((line, end)) = rest.char_indices().find(|(_, c)| is_end(*c)) else {
            lines.push(rest);
            break;
        };
        let both = rest
            .get(line..)
            .is_some_and(|rest| rest.starts_with("\r\n"));
        let len = if both { 2 } else { end.len_utf8() };
        lines.push(rest.get(..line).unwrap_or_default());
        rest = rest.get(line + len..).unwrap_or_default();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_python_ends_them() {
        let lines = python_lines("a\r\nb\u{2028}\nc\u{b}d");
        assert_eq!(lines, ["a", "b", "", "c", "d"]);
        assert!(python_lines("").is_empty());
        assert_eq!(python_lines("a\n"), ["a"]);
    }

    #[test]
    fn the_window_keeps_the_last_lines_within_its_limits() {
        let mut window = Window::default();
        for line in ["a", "b"] {
            window.push(line, 2);
        }
        let texts = window.push("c", 2);
        assert_eq!(joined(&texts), "b\nc\n");
        let long = "x".repeat(100_000);
        window.push(&long, 2);
        assert_eq!(window.push(&long, 2).len(), 1);
    }
}
