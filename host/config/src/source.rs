//! The texts that were read, and places in them.

/// Index of a file in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIndex(pub(crate) u32);

/// A place in one of the files: byte offsets, end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file.
    pub file: FileIndex,
    /// First byte.
    pub start: usize,
    /// One past the last byte; never less than `start`.
    pub end: usize,
}

impl Origin {
    /// The place of what is written nowhere. It lies in no file, so that nothing is shown of it.
    pub(crate) const NOWHERE: Self = Self {
        file: FileIndex(u32::MAX),
        start: 0,
        end: 0,
    };
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its token in the file; for a string that is with its quotes.
    pub origin: Origin,
}

/// A line and column as people count: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub col: usize,
}

/// Every file that was read, so that a place in it can be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<SourceFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SourceFile {
    path: String,
    text: String,
}

impl Sources {
    /// Takes the text of a file in and returns its index.
    pub(crate) fn add(&mut self, path: String, text: String) -> FileIndex {
        // The number of files is bounded when they are read, far below 2^32.
        let index = FileIndex(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile { path, text });
        index
    }

    /// The path of a file as it is shown to people; empty for an index of other sources.
    #[must_use]
    pub fn path(&self, file: FileIndex) -> &str {
        self.file(file).map_or("", |file| file.path.as_str())
    }

    /// Whether the file is one of those that come with stockade.
    #[must_use]
    pub fn is_built_in(&self, file: FileIndex) -> bool {
        self.path(file).starts_with(crate::stock::PATH_PREFIX)
    }

    /// The whole text of a file; empty for an index of other sources.
    #[must_use]
    pub fn text(&self, file: FileIndex) -> &str {
        self.file(file).map_or("", |file| file.text.as_str())
    }

    /// The text at `origin`; empty where it does not fit.
    #[must_use]
    pub fn text_at(&self, origin: Origin) -> &str {
        self.text(origin.file)
            .get(origin.start..origin.end)
            .unwrap_or_default()
    }

    /// Line and column of a byte offset; an offset past the end is the end.
    #[must_use]
    pub fn position(&self, file: FileIndex, offset: usize) -> Position {
        let text = self.text(file);
        let before = text.get(..floor_boundary(text, offset)).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            col: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    /// The line that holds a byte offset, without its line end, and where it begins.
    #[must_use]
    pub(crate) fn line_at(&self, file: FileIndex, offset: usize) -> (usize, &str) {
        let text = self.text(file);
        let offset = floor_boundary(text, offset);
        let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = offset + after.find('\n').unwrap_or(after.len());
        let line = text.get(start..end).unwrap_or_default();
        (start, line.strip_suffix('\r').unwrap_or(line))
    }

    /// The place in the file of byte `within` of the string whose token is at `origin`.
    ///
    /// Every form of TOML string is followed exactly, escapes included. An offset past the end of
    /// the string is its end.
    #[must_use]
    pub fn offset_in_string(&self, origin: Origin, within: usize) -> usize {
        origin.start + raw_offset(self.text_at(origin), within)
    }

    fn file(&self, index: FileIndex) -> Option<&SourceFile> {
        self.files.get(usize::try_from(index.0).ok()?)
    }
}

/// The greatest character boundary of `text` that is not after `offset`.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// How a TOML string is quoted (TOML 1.1, "String").
enum Quotes {
    /// `'` or `'''`: what is written is what it is.
    Literal { len: usize },
    /// `"` or `"""`: with escapes.
    Basic { len: usize },
}

/// Offset in the token `raw` of byte `within` of the string that it means.
fn raw_offset(raw: &str, within: usize) -> usize {
    let quotes = match raw {
        _ if raw.starts_with("'''") => Quotes::Literal { len: 3 },
        _ if raw.starts_with("\"\"\"") => Quotes::Basic { len: 3 },
        _ if raw.starts_with('\'') => Quotes::Literal { len: 1 },
        _ if raw.starts_with('"') => Quotes::Basic { len: 1 },
        // A bare key: no quotes at all.
        _ => Quotes::Literal { len: 0 },
    };
    let (len, escapes) = match quotes {
        Quotes::Literal { len } => (len, false),
        Quotes::Basic { len } => (len, true),
    };
    let mut start = len;
    if len == 3 {
        // A line end right after the opening quotes does not belong to the string.
        let body = raw.get(start..).unwrap_or_default();
        start += match body {
            _ if body.starts_with("\r\n") => 2,
            _ if body.starts_with('\n') => 1,
            _ => 0,
        };
    }
    let end = raw.len().saturating_sub(len).max(start);
    let body = raw.get(start..end).unwrap_or_default();
    start
        + if escapes {
            escaped_offset(body, within)
        } else {
            within.min(body.len())
        }
}

/// Offset in `body`, the inside of a basic string, of byte `within` of what it means.
fn escaped_offset(body: &str, within: usize) -> usize {
    let mut meant = 0;
    let mut rest = body;
    while let Some(first) = rest.chars().next() {
        let (written, means) = if first == '\\' {
            escape(rest)
        } else {
            (first.len_utf8(), first.len_utf8())
        };
        // An escape that means nothing (a line continuation) is never the place itself.
        if meant + means > within {
            let inside = if written == means { within - meant } else { 0 };
            return body.len() - rest.len() + inside;
        }
        meant += means;
        rest = rest.get(written..).unwrap_or_default();
    }
    body.len()
}

/// Bytes written and bytes meant by the escape that `rest` begins with.
fn escape(rest: &str) -> (usize, usize) {
    let hex = |digits: usize| {
        let value = rest.get(2..2 + digits);
        let value = value.and_then(|text| u32::from_str_radix(text, 16).ok());
        let means = value.and_then(char::from_u32).map_or(1, char::len_utf8);
        ((2 + digits).min(rest.len()), means)
    };
    match rest.chars().nth(1) {
        Some('x') => hex(2),
        Some('u') => hex(4),
        Some('U') => hex(8),
        Some(space) if space.is_ascii_whitespace() => {
            let after = rest.get(1..).unwrap_or_default().trim_ascii_start();
            (rest.len() - after.len(), 0)
        }
        Some(other) => (1 + other.len_utf8(), 1),
        None => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where `marked` stands in the value of the string token `raw`, found through the token.
    fn check(raw: &str, marked: &str, expected: &str) {
        let value = toml::de::DeValue::parse(raw).unwrap();
        let value = value.get_ref().as_str().unwrap().to_owned();
        let within = value.find(marked).unwrap();
        let offset = raw_offset(raw, within);
        assert!(
            raw.get(offset..).unwrap().starts_with(expected),
            "{marked:?} of {value:?} was placed at {:?}",
            raw.get(offset..)
        );
    }

    #[test]
    fn places_inside_every_form_of_string_are_found() {
        check("'a(b'", "(", "(b'");
        check("'''\na(b'''", "(", "(b'");
        check("'''\r\na(b'''", "(", "(b'");
        check(r#""a\\d(b""#, "(", "(b");
        check(r#""\u00e9\x41\U0001F600(b""#, "(", "(b");
        check("\"\"\"\na\\\n   é(b\"\"\"", "(", "(b");
        check(r#""tab\there""#, "\t", r"\there");
    }

    #[test]
    fn a_place_past_the_end_is_the_end() {
        assert_eq!(raw_offset("'ab'", 2), 3);
        assert_eq!(raw_offset("'ab'", 99), 3);
        assert_eq!(raw_offset("\"\"", 0), 1);
    }

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add("f".to_owned(), "é = 1\r\nb\n".to_owned());
        assert_eq!(sources.position(file, 0), Position { line: 1, col: 1 });
        assert_eq!(sources.position(file, 5), Position { line: 1, col: 5 });
        assert_eq!(sources.position(file, 8), Position { line: 2, col: 1 });
        assert_eq!(sources.position(file, 99), Position { line: 3, col: 1 });
        assert_eq!(sources.line_at(file, 1), (0, "é = 1"));
        assert_eq!(sources.line_at(file, 8), (8, "b"));
    }

    proptest! {
        #[test]
        fn any_token_and_offset_gives_a_place_inside_the_token(raw in "\\PC*", within in 0_usize..80) {
            prop_assert!(raw_offset(&raw, within) <= raw.len().max(3));
        }

        #[test]
        fn characters_of_an_escaped_string_are_found(text in "[a-z\"\\\\é\t]{0,20}") {
            let raw = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t"));
            for (within, found) in text.char_indices() {
                let written = match found {
                    '\\' => "\\\\".to_owned(),
                    '"' => "\\\"".to_owned(),
                    '\t' => "\\t".to_owned(),
                    other => other.to_string(),
                };
                let rest = raw.get(raw_offset(&raw, within)..).unwrap();
                prop_assert!(rest.starts_with(&written));
            }
        }
    }
}
