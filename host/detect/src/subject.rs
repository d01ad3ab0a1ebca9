//! A line without its date, and the way back from places in it to places in the chunk.

use stockade_core::Span;

use crate::dates::Found;
use crate::lines::Line;

/// What patterns get to see of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the line begins in the chunk.
    line_start: usize,
    /// Bytes before the date.
    before: usize,
    /// Bytes of the date.
    cut: usize,
}

impl<'a> Subject<'a> {
    /// The line as it is.
    pub(crate) fn whole(text: &'a [u8], line: Line) -> Self {
        Self {
            bytes: text.get(line.start..line.end).unwrap_or_default(),
            line_start: line.start,
            before: 0,
            cut: 0,
        }
    }

    /// The line without `date`; `joined` is space for the parts around it.
    pub(crate) fn without(
        text: &'a [u8],
        line: Line,
        date: Option<Found>,
        joined: &'a mut Vec<u8>,
    ) -> Self {
        let whole = Self::whole(text, line);
        let Some(date) = date else {
            return whole;
        };
        let after = whole.bytes.get(date.end..).unwrap_or_default();
        let bytes = if date.start == 0 {
            after
        } else {
            joined.clear();
            joined.extend_from_slice(whole.bytes.get(..date.start).unwrap_or_default());
            joined.extend_from_slice(after);
            joined
        };
        Self {
            bytes,
            before: date.start,
            cut: date.end - date.start,
            ..whole
        }
    }

    /// The same part in the chunk; `None` if the date was cut out of the middle of it.
    pub(crate) fn in_chunk(&self, (start, end): (usize, usize)) -> Option<Span> {
        if start < self.before && end > self.before && self.cut > 0 {
            return None;
        }
        let shift = |place: usize, cut: bool| {
            let cut = if cut { self.cut } else { 0 };
            u32::try_from(self.line_start + place + cut).ok()
        };
        let behind = start >= self.before;
        Some(Span {
            start: shift(start, behind)?,
            end: shift(end, behind)?,
        })
    }
}

/// A part of the chunk; chunks are shorter than 4 GiB.
pub(crate) fn span(start: usize, end: usize) -> Span {
    let clip = |place| u32::try_from(place).unwrap_or(u32::MAX);
    Span {
        start: clip(start),
        end: clip(end),
    }
}
