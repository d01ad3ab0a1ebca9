//! One file of fail2ban's: sections, keys and values, as Python's `configparser` reads them.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::written::Written;
use crate::diagnostic::quoted;
use crate::source::{FileIndex, Origin, Sources};

/// The section whose options every other section has.
pub(crate) const DEFAULT: &str = "DEFAULT";

/// A file that was read, as far as it could be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IniFile {
    /// In the order of the file; [`DEFAULT`] may occur more than once.
    pub(crate) sections: Vec<IniSection>,
    /// Lines that could not be read.
    pub(crate) faults: Vec<IniFault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IniSection {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) entries: Vec<IniEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IniEntry {
    /// In lower case: fail2ban knows no other.
    pub(crate) key: String,
    pub(crate) key_origin: Origin,
    pub(crate) value: Written,
}

/// A line that could not be read, and the section that it stands in; `None` before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IniFault {
    pub(crate) section: Option<String>,
    pub(crate) fault: Fault,
}

/// Reads the text of `file`.
pub(crate) fn parse(sources: &Sources, file: FileIndex) -> IniFile {
    let mut reader = Reader {
        file,
        parsed: IniFile::default(),
        seen_sections: BTreeSet::new(),
        seen_keys: BTreeSet::new(),
        indent: 0,
        value: None,
        in_section: false,
    };
    let text = sources.text(file);
    let mut start = 0;
    for raw in text.split_inclusive('\n') {
        let line = raw.strip_suffix('\n').unwrap_or(raw);
        reader.line(line.strip_suffix('\r').unwrap_or(line), start);
        start += raw.len();
    }
    reader.end_value();
    reader.parsed
}

struct Reader {
    file: FileIndex,
    parsed: IniFile,
    seen_sections: BTreeSet<String>,
    seen_keys: BTreeSet<(String, String)>,
    /// How far the key or section that was read last is indented; what is further belongs to it.
    indent: usize,
    /// The key whose value goes on while lines are indented.
    value: Option<OpenValue>,
    in_section: bool,
}

/// A value that may go on in the next line.
struct OpenValue {
    key: String,
    key_origin: Origin,
    value: Written,
    /// Lines that are empty so far; they count only where another line follows.
    empty_lines: usize,
    /// Where the last line of the value ends.
    end: usize,
}

impl Reader {
    fn line(&mut self, line: &str, line_start: usize) {
        let kept = without_comment(line);
        let text = kept.unwrap_or(line).trim_matches(is_space);
        if text.is_empty() {
            // A comment is no empty line: it leaves no gap in the value around it.
            if let (None, Some(open)) = (kept, self.value.as_mut()) {
                open.empty_lines += 1;
            }
            return;
        }
        let indent = line.chars().take_while(|c| is_space(*c)).count();
        let indent_bytes = line.len() - line.trim_start_matches(is_space).len();
        let start = line_start + indent_bytes;
        if self.in_section
            && indent > self.indent
            && let Some(open) = self.value.as_mut()
        {
            open.go_on(text, self.file, start);
            return;
        }
        self.indent = indent;
        self.end_value();
        match section_name(text) {
            Some(name) => self.section(name, start),
            None if !self.in_section => {
                let fault = Fault::error(
                    self.at(start, text.len()),
                    "this stands in no section; a file begins with a line such as '[Definition]'",
                );
                self.fault(None, fault);
            }
            None => self.option(text, start),
        }
    }

    fn section(&mut self, name: &str, start: usize) {
        let origin = self.at(start, name.len() + 2);
        self.in_section = true;
        if !self.seen_sections.insert(name.to_owned()) && name != DEFAULT {
            let message = format!("section {} stands twice in this file", quoted(name));
            let fault =
                Fault::error(origin, message).hint("join the two; fail2ban refuses the whole file");
            self.fault(Some(name.to_owned()), fault);
        }
        self.parsed.sections.push(IniSection {
            name: name.to_owned(),
            origin,
            entries: Vec::new(),
        });
    }

    fn option(&mut self, text: &str, start: usize) {
        let Some((key, value)) = text.split_once(['=', ':']) else {
            let fault = Fault::error(
                self.at(start, text.len()),
                "this is neither a section nor 'option = value'",
            )
            .hint("a line that goes on with a value is indented");
            return self.fault_here(fault);
        };
        let written = key.trim_end_matches(is_space);
        let key_origin = self.at(start, written.len());
        if written.is_empty() {
            let fault = Fault::error(
                self.at(start, text.len()),
                "the name of an option is missing",
            );
            return self.fault_here(fault);
        }
        let name = written.to_lowercase();
        if let Some(section) = self.parsed.sections.last()
            && !self.seen_keys.insert((section.name.clone(), name.clone()))
        {
            let message = format!("option {} stands twice in this section", quoted(&name));
            let fault = Fault::error(key_origin, message).hint("fail2ban refuses the whole file");
            self.fault_here(fault);
        }
        let trimmed = value.trim_start_matches(is_space);
        let value_start = start + text.len() - trimmed.len();
        let end = value_start + trimmed.len();
        self.value = Some(OpenValue {
            key: name,
            key_origin,
            value: Written::new(trimmed, self.at(value_start, trimmed.len())),
            empty_lines: 0,
            end,
        });
    }

    fn end_value(&mut self) {
        if let (Some(open), Some(section)) = (self.value.take(), self.parsed.sections.last_mut()) {
            section.entries.push(IniEntry {
                key: open.key,
                key_origin: open.key_origin,
                value: open.value,
            });
        }
    }

    fn fault_here(&mut self, fault: Fault) {
        let section = self.parsed.sections.last().map(|last| last.name.clone());
        self.fault(section, fault);
    }

    fn fault(&mut self, section: Option<String>, fault: Fault) {
        self.parsed.faults.push(IniFault { section, fault });
    }

    fn at(&self, start: usize, len: usize) -> Origin {
        Origin {
            file: self.file,
            start,
            end: start + len,
        }
    }
}

impl OpenValue {
    fn go_on(&mut self, text: &str, file: FileIndex, start: usize) {
        let line_end = Origin {
            file,
            start: self.end,
            end: self.end + 1,
        };
        let breaks = "\n".repeat(self.empty_lines + 1);
        self.value.push_str(&breaks, line_end);
        let end = start + text.len();
        self.value.push_str(text, Origin { file, start, end });
        self.empty_lines = 0;
        self.end = end;
    }
}

/// The line without its comment, or `None` where it has none.
///
/// A line that begins with `#` or `;` is a comment as a whole; elsewhere only a `;` behind a space
/// begins one.
fn without_comment(line: &str) -> Option<&str> {
    if line.trim_start_matches(is_space).starts_with(['#', ';']) {
        return Some("");
    }
    let at = line.match_indices(';').map(|(at, _)| at).find(|at| {
        let before = line.get(..*at).unwrap_or_default();
        before.chars().next_back().is_none_or(is_space)
    })?;
    line.get(..at)
}

/// The name in `[name]`. It reaches to the last bracket of the line.
fn section_name(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name)
}

/// What Python's `str.strip` takes away: it counts the separators of ASCII as spaces, too.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
