//! The value of a field, as it is written and as it is meant.

use std::borrow::Cow;

use serde::de::{Deserializer, Error, Visitor};

/// A value as it is written in an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    /// A whole JSON value, without blanks around it.
    pub(super) raw: &'a str,
    /// Where it begins in the line.
    pub(super) at: usize,
}

impl<'a> Value<'a> {
    /// What a condition looks at: the text of a string, and a number, `true` or `false` as it is
    /// written. `None` for an object, an array and `null`.
    pub(super) fn text(self) -> Option<Cow<'a, [u8]>> {
        match self.raw.as_bytes().first()? {
            b'{' | b'[' | b'n' => None,
            b'"' if self.raw.contains('\\') => Some(Cow::Owned(decoded(self.raw)?)),
            b'"' => Some(Cow::Borrowed(self.inside().as_bytes())),
            _ => Some(Cow::Borrowed(self.raw.as_bytes())),
        }
    }

    pub(super) fn is_null(self) -> bool {
        self.raw == "null"
    }

    pub(super) fn is_string(self) -> bool {
        self.raw.starts_with('"')
    }

    /// What stands between the quotes of a string; the whole of anything else.
    pub(super) fn inside(self) -> &'a str {
        let quoted = self.raw.strip_prefix('"');
        let inside = quoted.and_then(|rest| rest.strip_suffix('"'));
        inside.unwrap_or(self.raw)
    }

    /// Where the text of a string begins in the line, and any other value itself.
    fn inside_at(self) -> usize {
        self.at + usize::from(self.is_string())
    }

    /// All of the text as a place in the line.
    pub(super) fn place(self) -> (usize, usize) {
        let start = self.inside_at();
        (start, start + self.inside().len())
    }

    /// A part of [`Self::text`] as a place in the line, where it may be written with escapes.
    pub(super) fn place_of(self, (start, end): (usize, usize)) -> (usize, usize) {
        let inside = self.inside().as_bytes();
        let from = self.inside_at();
        (
            from + raw_place(inside, start),
            from + raw_place(inside, end),
        )
    }

    /// Whether both mean the same; objects and arrays do where they are written alike.
    pub(super) fn same(self, other: Self) -> bool {
        let strings = self.is_string() && other.is_string();
        self.raw == other.raw || (strings && self.text() == other.text())
    }
}

/// The text of a string with escapes. Half of a surrogate pair is kept as it is, so that nobody can
/// make an entry unreadable with one.
fn decoded(raw: &str) -> Option<Vec<u8>> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
    serde_json::Deserializer::from_str(raw)
        .deserialize_bytes(Bytes)
        .ok()
}

/// Where byte `wanted` of the text is written in `inside`, the string with its escapes.
fn raw_place(inside: &[u8], wanted: usize) -> usize {
    let (mut raw, mut text) = (0, 0);
    while text < wanted && raw < inside.len() {
        let (written, meant) = match inside.get(raw..) {
            Some([b'\\', b'u', rest @ ..]) => escape(rest),
            Some([b'\\', ..]) => (2, 1),
            _ => (1, 1),
        };
        raw += written;
        text += meant;
    }
    raw.min(inside.len())
}

/// Bytes of an escape whose digits begin `rest`, as it is written and in UTF-8.
fn escape(rest: &[u8]) -> (usize, usize) {
    let unit = |at: usize| {
        let digits = rest.get(at..at + 4)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match unit(0) {
        Some(0..0x80) => (6, 1),
        Some(0x80..0x800) => (6, 2),
        Some(0xd800..0xdc00)
            if rest.get(4..6) == Some(br"\u") && matches!(unit(6), Some(0xdc00..0xe000)) =>
        {
            (12, 4)
        }
        _ => (6, 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_of_a_surrogate_pair_does_not_make_a_text_unreadable() {
        let value = Value {
            raw: r#""a\ud800b""#,
            at: 0,
        };
        let text = value.text().unwrap();
        assert!(text.starts_with(b"a") && text.ends_with(b"b"));
        assert_eq!(value.place_of((0, 1)), (1, 2));
        assert_eq!(value.place_of((4, 5)), (8, 9));
    }

    proptest! {
        #[test]
        fn each_part_of_a_text_is_found_where_it_is_written(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    ("a", "a"), ("é", "é"), (r"\u00e9", "é"), (r#"\""#, "\""), (r"\n", "\n"),
                    (r"\/", "/"), (r"\u0041", "A"), (r"\ud83d\ude00", "😀"), ("😀", "😀"),
                    (r"\u20ac", "€"), (r"\\", "\\"),
                ]), 0..12),
            part in any::<prop::sample::Index>(),
        ) {
            let raw: String = pieces.iter().map(|(raw, _)| *raw).collect();
            let raw = format!("\"{raw}\"");
            let value = Value { raw: &raw, at: 7 };
            let text: String = pieces.iter().map(|(_, text)| *text).collect();
            prop_assert_eq!(&*value.text().unwrap(), text.as_bytes());
            if !pieces.is_empty() {
                let which = part.index(pieces.len());
                let before = |of: fn(&(&str, &str)) -> usize| -> usize {
                    pieces[..which].iter().map(of).sum()
                };
                let (raw, text) = pieces[which];
                let start = before(|(_, text)| text.len());
                let written = 8 + before(|(raw, _)| raw.len());
                let found = value.place_of((start, start + text.len()));
                prop_assert_eq!(found, (written, written + raw.len()));
            }
        }
    }
}
