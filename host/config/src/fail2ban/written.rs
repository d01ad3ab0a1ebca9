//! A value that was put together from several places, and every one of these places.

use std::ops::Range;

use super::ini::is_space;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Located, Origin, Sources};

/// A text of the configuration, with everything in it replaced that fail2ban replaces, and where
/// each part of it was written: a `failregex` may come from five lines of three files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    value: String,
    /// In the order of the value, without gaps; none is empty.
    pieces: Vec<Piece>,
}

/// A part of a value that was written in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// Where in the value it begins; it ends where the next one begins.
    start: usize,
    /// Where it was written. As long as the part where it was taken over as it is; otherwise (a
    /// predefined name) the place as a whole is meant.
    origin: Origin,
}

impl Written {
    /// `value` as it is written at `origin`, or known without being written and asked for there.
    pub(crate) fn new(value: impl Into<String>, origin: Origin) -> Self {
        let value = value.into();
        // An empty value has a place as well: that of its absence.
        let pieces = vec![Piece { start: 0, origin }];
        Self { value, pieces }
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// The text with the place that most of it comes from.
    #[must_use]
    pub fn located(&self) -> Located<String> {
        Located {
            value: self.value.clone(),
            origin: self.origin(),
        }
    }

    /// The place of its longest part: of a pattern that begins with `%(__prefix_line)s` that is the
    /// line of the pattern, not the include that the prefix comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let mut best: Option<(usize, Origin)> = None;
        for (range, piece) in self.parts() {
            if best.is_none_or(|(len, _)| range.len() > len) {
                best = Some((range.len(), piece.origin));
            }
        }
        best.map_or(Origin::NOWHERE, |(_, origin)| origin)
    }

    /// Where byte `offset` of the text was written; an offset past the end is the end.
    #[must_use]
    pub fn place(&self, offset: usize) -> Origin {
        let at = self.pieces.partition_point(|piece| piece.start <= offset);
        let Some(piece) = self.pieces.get(at.saturating_sub(1)) else {
            return Origin::NOWHERE;
        };
        let end = self
            .pieces
            .get(at)
            .map_or(self.value.len(), |next| next.start);
        piece.place(offset, end)
    }

    /// An error at byte `offset` of the text, shown where that byte was written; `None` marks the
    /// whole.
    #[must_use]
    pub fn fault(
        &self,
        sources: &Sources,
        offset: Option<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Diagnostic {
        let origin = offset.map_or_else(|| self.origin(), |offset| self.place(offset));
        Diagnostic::new(sources, Severity::Error, origin, message.into(), hint)
    }

    /// Appends all of `other`.
    pub(crate) fn push(&mut self, other: &Self) {
        self.push_part(other, 0..other.value.len());
    }

    /// Appends the bytes `range` of `other`, with their places.
    pub(crate) fn push_part(&mut self, other: &Self, range: Range<usize>) {
        let Some(text) = other.value.get(range.clone()) else {
            return;
        };
        let base = self.value.len();
        if base == 0 {
            // The place of an empty text gives way to that of a text.
            self.pieces.clear();
        }
        let first = other
            .pieces
            .partition_point(|piece| piece.start <= range.start);
        let touched = other.pieces.get(first.saturating_sub(1)..);
        for (index, piece) in touched.unwrap_or_default().iter().enumerate() {
            if index > 0 && piece.start >= range.end {
                break;
            }
            let next = other.pieces.get(first.saturating_sub(1) + index + 1);
            let end = next.map_or(other.value.len(), |next| next.start);
            let start = piece.start.max(range.start);
            let cut = piece.cut(start, end.min(range.end), end);
            self.pieces.push(Piece {
                start: base + start - range.start,
                origin: cut,
            });
        }
        self.value.push_str(text);
    }

    /// Appends `text`, which is written at `origin`.
    pub(crate) fn push_str(&mut self, text: &str, origin: Origin) {
        if !text.is_empty() {
            self.push(&Self::new(text, origin));
        }
    }

    /// The bytes `range`, with their places.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        let mut part = Self::default();
        part.push_part(self, range);
        part
    }

    /// The lines, with their places.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Self> + '_ {
        self.split(|c| c == '\n')
    }

    /// What stands between the characters that `separates` picks, with their places.
    pub(crate) fn split<'w>(
        &'w self,
        separates: impl Fn(char) -> bool + 'w,
    ) -> impl Iterator<Item = Self> + 'w {
        let mut start = 0;
        let cuts = self.value.match_indices(separates);
        let cuts = cuts.map(|(at, found)| (at, at + found.len()));
        let end = self.value.len();
        cuts.chain(std::iter::once((end, end)))
            .map(move |(at, next)| {
                let part = self.part(start..at);
                start = next;
                part
            })
    }

    /// Without the spaces around it.
    pub(crate) fn trimmed(&self) -> Self {
        let start = self.value.len() - self.value.trim_start_matches(is_space).len();
        let end = self.value.trim_end_matches(is_space).len();
        if start >= end {
            // Only spaces: the place is where they begin.
            return self.part(0..0);
        }
        self.part(start..end)
    }

    /// With every `from` replaced by `to`.
    pub(crate) fn replaced(&self, from: &str, to: &Self) -> Self {
        let mut replaced = Self::default();
        let mut start = 0;
        for (at, found) in self.value.match_indices(from) {
            replaced.push_part(self, start..at);
            replaced.push(to);
            start = at + found.len();
        }
        replaced.push_part(self, start..self.value.len());
        replaced
    }

    /// With every part shown at `origin`: for a text that is known without being written.
    pub(crate) fn moved(&self, origin: Origin) -> Self {
        Self::new(self.value.clone(), origin)
    }

    /// Whether it was written nowhere.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.pieces
            .iter()
            .all(|piece| piece.origin == Origin::NOWHERE)
    }

    /// The parts that were written in one place each.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, Origin)> {
        self.parts().map(|(range, piece)| {
            let text = self.value.get(range).unwrap_or_default();
            (text, piece.origin)
        })
    }

    fn parts(&self) -> impl Iterator<Item = (Range<usize>, &Piece)> {
        let ends = self.pieces.iter().skip(1).map(|next| next.start);
        let ends = ends.chain(std::iter::once(self.value.len()));
        self.pieces
            .iter()
            .zip(ends)
            .map(|(piece, end)| (piece.start..end, piece))
    }
}

impl Piece {
    /// Whether each byte has a place of its own, where the piece ends at `end` of the value.
    fn is_verbatim(&self, end: usize) -> bool {
        self.origin.end - self.origin.start == end - self.start
    }

    fn place(&self, offset: usize, end: usize) -> Origin {
        if !self.is_verbatim(end) {
            return self.origin;
        }
        let start = (self.origin.start + offset.saturating_sub(self.start)).min(self.origin.end);
        Origin {
            file: self.origin.file,
            start,
            end: (start + 1).min(self.origin.end.max(start)),
        }
    }

    /// The place of the bytes from `start` to `end` of the value, where the piece ends at `piece_end`.
    fn cut(&self, start: usize, end: usize, piece_end: usize) -> Origin {
        if !self.is_verbatim(piece_end) {
            return self.origin;
        }
        let from = self.origin.start + (start - self.start);
        Origin {
            file: self.origin.file,
            start: from,
            end: from + end.saturating_sub(start),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::FileIndex;

    fn at(file: u32, start: usize, end: usize) -> Origin {
        Origin {
            file: FileIndex(file),
            start,
            end,
        }
    }

    #[test]
    fn every_byte_keeps_its_place_through_replacing_and_cutting() {
        let outer = Written::new("^<x> failed", at(1, 100, 111));
        let inner = Written::new("sshd", at(2, 7, 11));
        let text = outer.replaced("<x>", &inner);
        assert_eq!(text.as_str(), "^sshd failed");
        assert_eq!(text.place(0), at(1, 100, 101));
        assert_eq!(text.place(1), at(2, 7, 8));
        assert_eq!(text.place(4), at(2, 10, 11));
        assert_eq!(text.place(5), at(1, 104, 105));
        assert_eq!(text.part(3..8).place(0), at(2, 9, 10));
        assert_eq!(text.part(3..8).place(2), at(1, 104, 105));
    }

    #[test]
    fn the_place_of_a_text_is_that_of_its_longest_part() {
        let outer = Written::new("<x> failed", at(1, 100, 110));
        let text = outer.replaced("<x>", &Written::new("sshd", at(2, 7, 11)));
        assert_eq!(text.origin(), at(1, 103, 110));
    }

    #[test]
    fn what_is_known_without_being_written_is_shown_where_it_is_asked_for() {
        let text = Written::new("%(__name__)s", at(1, 5, 17));
        let name = Written::new("sshd", at(1, 5, 17));
        let text = text.replaced("%(__name__)s", &name);
        assert_eq!(text.place(2), at(1, 5, 17));
    }

    #[test]
    fn an_empty_text_has_a_place() {
        let text = Written::new("", at(1, 5, 5));
        assert_eq!(text.origin(), at(1, 5, 5));
        assert_eq!(text.place(9), at(1, 5, 5));
        assert_eq!(text.trimmed(), text);
    }

    #[test]
    fn lines_and_trimmed_texts_keep_their_places() {
        let text = Written::new("é\n b \nc", at(3, 10, 18));
        let lines: Vec<_> = text.lines().collect();
        let shown: Vec<_> = lines.iter().map(Written::as_str).collect();
        assert_eq!(shown, ["é", " b ", "c"]);
        assert_eq!(lines[1].trimmed().origin(), at(3, 14, 15));
        assert_eq!(lines[2].origin(), at(3, 17, 18));
    }

    proptest! {
        #[test]
        fn a_replaced_text_is_what_str_makes_and_its_places_lead_back(
            outer in "[a-c<>x]{0,30}",
            inner in "[d-f]{0,5}",
        ) {
            let sources = [outer.clone(), inner.clone()];
            let text = Written::new(outer.clone(), at(0, 0, outer.len()))
                .replaced("<x>", &Written::new(inner.clone(), at(1, 0, inner.len())));
            prop_assert_eq!(text.as_str(), outer.replace("<x>", &inner));
            for (offset, byte) in text.as_str().bytes().enumerate() {
                let place = text.place(offset);
                let source = &sources[usize::try_from(place.file.0).unwrap()];
                prop_assert_eq!(source.as_bytes()[place.start], byte);
            }
        }
    }
}
