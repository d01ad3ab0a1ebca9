//! Cutting bytes into whole lines, without ever cutting a line.

use std::ops::Range;
use std::sync::Arc;

use memchr::{memchr, memrchr};

/// The longest line that is passed on, without its newline: 64 KiB. Syslog messages are at most
/// a few KiB (RFC 5424 asks for 2 KiB), web servers limit a request line to 8 KiB; longer text is
/// an accident or an attack, and would only cost time in every pattern.
pub const LINE_LEN_MAX: usize = 64 * 1024;

/// Lines that were left out because they were longer than the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) lines: u64,
    /// Their bytes without the newlines.
    pub(crate) bytes: u64,
}

impl Skipped {
    fn add(&mut self, bytes: u64) {
        self.lines += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.lines += other.lines;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// How a piece of text that begins at the beginning of a line is cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Whole lines, each ended by its newline.
    pub(crate) kept: Vec<Range<usize>>,
    /// What lies between them and is left out.
    pub(crate) skipped: Skipped,
    /// Where the first line begins that has not ended yet.
    pub(crate) consumed: usize,
    /// That line is longer than the limit already: only its end is of interest.
    pub(crate) overlong: bool,
}

impl Cut {
    /// The kept lines of `text` as one piece.
    pub(crate) fn text(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for range in &self.kept {
            out.extend_from_slice(text.get(range.clone()).unwrap_or_default());
        }
        out
    }

    /// The same to share, copied once in the ordinary case that nothing is left out.
    pub(crate) fn shared(&self, text: &[u8]) -> Arc<[u8]> {
        match &self.kept[..] {
            [only] => text.get(only.clone()).unwrap_or_default().into(),
            _ => self.text(text).into(),
        }
    }
}

/// Cuts `text`, which begins at the beginning of a line; lines longer than `line_len_max` bytes
/// are left out.
///
/// Looks at most once at each window of the limit's length, from behind: every line that ends
/// inside such a window and begins at or after its start is short enough, so ordinary lines cost
/// nothing each.
pub(crate) fn cut(text: &[u8], line_len_max: usize) -> Cut {
    let mut cut = Cut::default();
    let mut run_start = 0;
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let window_len = rest.len().min(line_len_max.saturating_add(1));
        let window = rest.get(..window_len).unwrap_or_default();
        if let Some(newline) = memrchr(b'\n', window) {
            at += newline + 1;
            continue;
        }
        if window.len() <= line_len_max {
            break;
        }
        if run_start < at {
            cut.kept.push(run_start..at);
        }
        let Some(len) = memchr(b'\n', rest) else {
            cut.overlong = true;
            cut.consumed = at;
            return cut;
        };
        cut.skipped.add(len as u64);
        at += len + 1;
        run_start = at;
    }
    if run_start < at {
        cut.kept.push(run_start..at);
    }
    cut.consumed = at;
    cut
}

/// Lines from a stream that cannot be read twice: holds the beginning of an unfinished line.
///
/// Never holds more than the limit: of a longer line only the length is kept.
#[derive(Debug)]
pub(crate) struct LineStream {
    line_len_max: usize,
    held: Vec<u8>,
    /// Bytes so far of an overlong line whose end has not come yet.
    skipping: Option<u64>,
}

impl LineStream {
    pub(crate) fn new(line_len_max: usize) -> Self {
        Self {
            line_len_max,
            held: Vec::new(),
            skipping: None,
        }
    }

    /// Takes the next bytes of the stream; gives the lines that they complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> (Vec<u8>, Skipped) {
        let mut skipped = Skipped::default();
        if let Some(len) = self.skipping {
            let Some(newline) = memchr(b'\n', bytes) else {
                self.skipping = Some(len.saturating_add(bytes.len() as u64));
                return (Vec::new(), skipped);
            };
            skipped.add(len.saturating_add(newline as u64));
            self.skipping = None;
            bytes = bytes.get(newline + 1..).unwrap_or_default();
        }
        self.held.extend_from_slice(bytes);
        let cut = cut(&self.held, self.line_len_max);
        let text = cut.text(&self.held);
        skipped.join(cut.skipped);
        self.held.drain(..cut.consumed);
        if cut.overlong {
            self.skipping = Some(self.held.len() as u64);
            self.held = Vec::new();
        }
        (text, skipped)
    }

    /// The stream has ended: the last line, with a newline added where it had none.
    pub(crate) fn finish(&mut self) -> (Vec<u8>, Skipped) {
        let mut skipped = Skipped::default();
        if let Some(len) = self.skipping.take() {
            skipped.add(len);
        }
        let mut text = std::mem::take(&mut self.held);
        if !text.is_empty() {
            text.push(b'\n');
        }
        (text, skipped)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same in the plainest way.
    fn naive(text: &[u8], max: usize) -> (Vec<u8>, Skipped, usize) {
        let mut kept = Vec::new();
        let mut skipped = Skipped::default();
        let mut consumed = 0;
        for line in text.split_inclusive(|&b| b == b'\n') {
            if line.last() != Some(&b'\n') {
                break;
            }
            consumed += line.len();
            if line.len() - 1 <= max {
                kept.extend_from_slice(line);
            } else {
                skipped.add(line.len() as u64 - 1);
            }
        }
        (kept, skipped, consumed)
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(b'\n'), Just(0), any::<u8>()], 0..200)
    }

    #[test]
    fn a_line_at_the_limit_is_kept_and_one_byte_more_is_not() {
        assert_eq!(cut(b"abcd\n", 4).text(b"abcd\n"), b"abcd\n");
        let longer = cut(b"abcde\nx\n", 4);
        assert_eq!(longer.text(b"abcde\nx\n"), b"x\n");
        assert_eq!(longer.skipped, Skipped { lines: 1, bytes: 5 });
    }

    #[test]
    fn an_unfinished_line_is_overlong_only_past_the_limit() {
        assert!(!cut(b"abcd", 4).overlong);
        assert!(cut(b"abcde", 4).overlong);
    }

    #[test]
    fn a_stream_holds_no_more_than_the_limit_of_an_endless_line() {
        let mut stream = LineStream::new(1000);
        for _ in 0..10_000 {
            assert_eq!(stream.push(&[b'x'; 1024]).0, b"");
            assert!(stream.held.capacity() <= 4096);
        }
        let (text, skipped) = stream.push(b"\nnext\n");
        assert_eq!(text, b"next\n");
        assert_eq!((skipped.lines, skipped.bytes), (1, 10_240_000));
    }

    #[test]
    fn the_last_line_of_a_stream_needs_no_newline() {
        let mut stream = LineStream::new(100);
        assert_eq!(stream.push(b"a\nb").0, b"a\n");
        assert_eq!(stream.finish().0, b"b\n");
        assert_eq!(stream.finish().0, b"");
    }

    proptest! {
        #[test]
        fn cutting_gives_what_the_plain_way_gives(text in text(), max in 0_usize..20) {
            let cut = cut(&text, max);
            let (kept, skipped, consumed) = naive(&text, max);
            prop_assert_eq!(cut.text(&text), kept);
            prop_assert_eq!(cut.skipped, skipped);
            prop_assert_eq!(cut.consumed, consumed);
            prop_assert_eq!(cut.overlong, text.len() - consumed > max);
        }

        #[test]
        fn a_stream_in_pieces_gives_what_the_whole_gives(
            text in text(),
            max in 0_usize..20,
            pieces in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let mut stream = LineStream::new(max);
            let mut got = Vec::new();
            let mut skipped = Skipped::default();
            let mut rest = &text[..];
            for size in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                let (lines, more) = stream.push(piece);
                got.extend(lines);
                skipped.join(more);
                rest = after;
            }
            let (kept, expected, _) = naive(&text, max);
            prop_assert_eq!(got, kept);
            prop_assert_eq!(skipped, expected);
        }
    }
}
