//! Lines for a filter: one buffer and flat lists, so that handing over costs nanoseconds a line.

use std::ops::Range;

use stockade_core::{Span, Timestamp};

use crate::bindings::exports::stockade::filter::filter as wit;

/// Lines for a filter, without line ends and without their dates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterBatch {
    text: Vec<u8>,
    ends: Vec<u32>,
    times: Vec<u64>,
    patterns: Vec<u32>,
}

/// What became of a line that was to be added.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the batch.
    Taken,
    /// The batch is full; evaluate it first.
    Full,
}

impl FilterBatch {
    /// Lines in a batch: past a hundred, more do not make a line cheaper, and a fault costs more.
    pub const LINES_MAX: usize = 256;
    /// Bytes in a batch, unless a single line is longer.
    pub const BYTES_MAX: usize = 64 << 10;
    /// Bytes in a line. Whoever reads logs skips far shorter ones already.
    pub const LINE_BYTES_MAX: usize = 1 << 20;

    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line: when it was written, and the index of the plan's first pattern that matches it (0
    /// where the plan has none). A line longer than [`FilterBatch::LINE_BYTES_MAX`] is cut there.
    pub fn push(&mut self, line: &[u8], at: Timestamp, pattern: u32) -> Pushed {
        let line = line.get(..Self::LINE_BYTES_MAX).unwrap_or(line);
        let len = self.text.len().saturating_add(line.len());
        if self.len() >= Self::LINES_MAX || (len > Self::BYTES_MAX && !self.is_empty()) {
            return Pushed::Full;
        }
        let Ok(end) = u32::try_from(len) else {
            return Pushed::Full;
        };
        self.text.extend_from_slice(line);
        self.ends.push(end);
        self.times.push(u64::try_from(at.as_micros()).unwrap_or(0));
        self.patterns.push(pattern);
        Pushed::Taken
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes all lines out and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.times.clear();
        self.patterns.clear();
    }

    /// All lines, one after another.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where line `index` is in [`FilterBatch::text`]; empty where there is none.
    #[must_use]
    pub fn span(&self, index: usize) -> Span {
        let Some(&end) = self.ends.get(index) else {
            return Span::default();
        };
        Span {
            start: self.begin(index),
            end,
        }
    }

    fn begin(&self, index: usize) -> u32 {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        before.copied().unwrap_or(0)
    }

    /// The lines of `range` as a batch of their own.
    pub(crate) fn part(&self, range: &Range<usize>) -> wit::Batch {
        let begin = self.begin(range.start);
        let ends = self.ends.get(range.clone()).unwrap_or_default();
        let end = ends.last().copied().unwrap_or(begin);
        wit::Batch {
            text: Span { start: begin, end }.of(&self.text).to_vec(),
            ends: ends.iter().map(|end| end.saturating_sub(begin)).collect(),
            times: self.times.get(range.clone()).unwrap_or_default().to_vec(),
            patterns: self
                .patterns
                .get(range.clone())
                .unwrap_or_default()
                .to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_batch_of_its_own() {
        let mut batch = FilterBatch::new();
        for (index, line) in ["one", "", "three", "four"].iter().enumerate() {
            let at = Timestamp::from_secs(i64::try_from(index).unwrap());
            let pattern = u32::try_from(index).unwrap();
            assert_eq!(batch.push(line.as_bytes(), at, pattern), Pushed::Taken);
        }
        let part = batch.part(&(1..3));
        assert_eq!(part.text, b"three");
        assert_eq!(part.ends, [0, 5]);
        assert_eq!(part.times, [1_000_000, 2_000_000]);
        assert_eq!(part.patterns, [1, 2]);
        assert_eq!(batch.span(2).of(batch.text()), b"three");
    }

    #[test]
    fn a_batch_is_full_at_256_lines_or_64_kib_but_takes_one_longer_line() {
        let mut batch = FilterBatch::new();
        let long = vec![b'x'; FilterBatch::BYTES_MAX + 1];
        assert_eq!(batch.push(&long, Timestamp::EPOCH, 0), Pushed::Taken);
        assert_eq!(batch.push(b"x", Timestamp::EPOCH, 0), Pushed::Full);
        batch.clear();
        for _ in 0..FilterBatch::LINES_MAX {
            assert_eq!(batch.push(b"x", Timestamp::EPOCH, 0), Pushed::Taken);
        }
        assert_eq!(batch.push(b"x", Timestamp::EPOCH, 0), Pushed::Full);
    }
}
