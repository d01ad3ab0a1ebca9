//! Bytes -> a tree of values that know where they were written, and the laying of one tree over
//! another.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::reading::Reading;
use crate::source::{FileIndex, Origin};

/// The largest file that is read, in bytes. A list of ten thousand networks is a fifth of it.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;

/// How deep values may be nested. The deepest setting lies at five; the parser itself refuses 80,
/// and this keeps the recursion below small whatever its features are.
const NESTING_MAX: usize = 32;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    /// `None` where it does not fit into 64 bits.
    Integer(Option<i64>),
    Float(f64),
    Boolean(bool),
    Datetime,
    List(Vec<Node>),
    Table(Table),
}

/// A TOML table, its keys in the order of the alphabet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub(crate) BTreeMap<String, Entry>);

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where the key is written.
    pub(crate) key: Origin,
    pub(crate) node: Node,
}

impl Value {
    /// What it is, for "found …".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a decimal number",
            Self::Boolean(_) => "true or false",
            Self::Datetime => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Table {
    /// Lays `later` over this table: tables are joined key by key, everything else is replaced.
    pub(crate) fn overlay(&mut self, later: Self) {
        for (key, entry) in later.0 {
            match (self.0.get_mut(&key), entry) {
                (
                    Some(Entry {
                        node:
                            Node {
                                value: Value::Table(earlier),
                                ..
                            },
                        key,
                    }),
                    Entry {
                        node:
                            Node {
                                value: Value::Table(later),
                                ..
                            },
                        key: later_key,
                    },
                ) => {
                    *key = later_key;
                    earlier.overlay(later);
                }
                (_, entry) => {
                    self.0.insert(key, entry);
                }
            }
        }
    }
}

/// Reads the bytes of one file. What is wrong is reported; what could be read is returned.
pub(crate) fn parse(path: &str, bytes: &[u8], reading: &mut Reading) -> (FileIndex, Table) {
    if bytes.len() > FILE_BYTES_MAX {
        let file = reading.sources.add(path.to_owned(), String::new());
        let message = format!("the file is larger than {} KiB", FILE_BYTES_MAX >> 10);
        reading.set_incomplete();
        reading.error_in_file(path, message);
        return (file, Table::default());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            // The good part is kept as it is and the rest made readable, so that the place of the
            // first bad byte is right.
            let text = String::from_utf8_lossy(bytes).into_owned();
            let file = reading.sources.add(path.to_owned(), text);
            let start = error.valid_up_to();
            let end = start + '\u{fffd}'.len_utf8();
            reading.set_incomplete();
            let origin = Origin { file, start, end };
            let hint = "save the file as UTF-8";
            reading.error(origin, "this is not UTF-8", Some(hint.to_owned()));
            return (file, Table::default());
        }
    };
    let file = reading.sources.add(path.to_owned(), text.to_owned());
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut bad = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        reading.set_incomplete();
        let origin = Origin {
            file,
            start: span.start,
            end: span.end,
        };
        let (message, hint) = syntax_error(error.message(), text.get(span.clone()).unwrap_or(""));
        reading.error(origin, message, hint);
        bad.push(span);
    }
    bad.sort_by_key(|span| span.start);
    let mut tree = Tree { file, bad, reading };
    let table = tree.table(root.into_inner(), 0);
    (file, table)
}

/// The parser's words, or plainer ones for the slips that people make most; `written` is what
/// stands at the place.
fn syntax_error(message: &str, written: &str) -> (String, Option<String>) {
    if message.starts_with("string values must be quoted") {
        return if written.trim().is_empty() {
            ("there is no value behind '='".to_owned(), None)
        } else {
            let plain = written.len() < 60 && !written.contains(char::is_control);
            let hint = format!("write it in quotes: \"{}\"", written.trim().escape_debug());
            ("this is no value".to_owned(), Some(hint).filter(|_| plain))
        };
    }
    if message == "duplicate key" {
        return (
            "this key is set twice in the file".to_owned(),
            Some("remove one of them".to_owned()),
        );
    }
    (message.to_owned(), None)
}

/// The conversion of one file's tree.
struct Tree<'r> {
    file: FileIndex,
    /// Where the syntax was wrong, by start: the parser puts stand-ins there, which nobody wrote.
    bad: Vec<Range<usize>>,
    reading: &'r mut Reading,
}

impl Tree<'_> {
    fn origin(&self, span: &Range<usize>) -> Origin {
        Origin {
            file: self.file,
            start: span.start,
            end: span.end,
        }
    }

    fn table(&mut self, table: DeTable<'_>, depth: usize) -> Table {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let at = self.origin(&key.span());
            if let Some(node) = self.node(value, at, depth + 1) {
                entries.insert(key.into_inner().into_owned(), Entry { key: at, node });
            }
        }
        Table(entries)
    }

    /// `None` where the value was not written so, or must not be followed.
    fn node(
        &mut self,
        value: toml::Spanned<DeValue<'_>>,
        key: Origin,
        depth: usize,
    ) -> Option<Node> {
        let span = value.span();
        if depth > NESTING_MAX {
            let message = format!("values are nested deeper than {NESTING_MAX} levels");
            self.reading.error(key, message, None);
            return None;
        }
        let value = match value.into_inner() {
            DeValue::Table(table) => Value::Table(self.table(table, depth)),
            DeValue::Array(list) => {
                let nodes = list.into_iter().filter_map(|item| {
                    let at = self.origin(&item.span());
                    self.node(item, at, depth + 1)
                });
                Value::List(nodes.collect())
            }
            _ if span.is_empty() || self.is_bad(&span) => return None,
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            // What the parser takes as one is one for Rust, too.
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Datetime(_) => Value::Datetime,
        };
        // A table made by `[a.b]` has no place of its own.
        let origin = if span.is_empty() {
            key
        } else {
            self.origin(&span)
        };
        Some(Node { origin, value })
    }

    /// Whether the syntax was wrong inside or right at the ends of `span`.
    fn is_bad(&self, span: &Range<usize>) -> bool {
        // Errors are a few bytes long, so only the last ones that begin before the end of the value
        // can reach into it.
        const LAST: usize = 8;
        let after = self.bad.partition_point(|bad| bad.start <= span.end);
        let before = self.bad.get(..after).unwrap_or_default();
        before
            .iter()
            .rev()
            .take(LAST)
            .any(|bad| bad.end >= span.start)
    }
}
