//! Where the lines of a buffer begin and end.

use memchr::{memchr, memchr_iter, memrchr};

/// Longest line that is looked at, in bytes; journald cuts messages at 48 KiB (`LineMax=`), web
/// servers refuse requests beyond 32 KiB by default, so what is longer was made to be a burden.
/// Such a line is skipped whole: cutting it would let patterns with `$` match where no line ends.
pub const LINE_LEN_MAX: usize = 64 * 1024;

/// A line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) start: usize,
    /// One past the last byte, before `\n` or `\r\n`.
    pub(crate) end: usize,
    /// Where the next line begins.
    pub(crate) next: usize,
}

/// The line that holds the byte at `at`; no line begins before `floor`.
pub(crate) fn around(text: &[u8], floor: usize, at: usize) -> Line {
    let before = text.get(floor..at).unwrap_or_default();
    let start = memrchr(b'\n', before).map_or(floor, |place| floor + place + 1);
    let rest = text.get(at..).unwrap_or_default();
    let stop = memchr(b'\n', rest).map(|place| at + place);
    let mut end = stop.unwrap_or(text.len());
    if end > start && text.get(end - 1) == Some(&b'\r') {
        end -= 1;
    }
    Line {
        start,
        end,
        next: stop.map_or(text.len(), |stop| stop + 1),
    }
}

/// How many lines `text` has; a last one without an end counts.
pub(crate) fn count(text: &[u8]) -> u64 {
    let ends = memchr_iter(b'\n', text).count();
    let open = text.last().is_some_and(|&b| b != b'\n');
    (ends + usize::from(open)).try_into().unwrap_or(u64::MAX)
}

/// How many lines are longer than [`LINE_LEN_MAX`], found without looking at every line.
pub(crate) fn count_overlong(text: &[u8]) -> u64 {
    let mut overlong = 0;
    let mut start = 0;
    while let Some(window) = text.get(start..start + LINE_LEN_MAX + 1) {
        if let Some(end) = memrchr(b'\n', window) {
            start += end + 1;
            continue;
        }
        // Too long, unless the last byte of the window is the carriage return of its end.
        let line = around(text, start, start);
        overlong += u64::from(is_overlong(line));
        start = line.next;
    }
    overlong
}

pub(crate) fn is_overlong(line: Line) -> bool {
    line.end - line.start > LINE_LEN_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_carriage_return_belongs_to_the_line_end() {
        let line = around(b"ab\r\ncd\n", 0, 1);
        assert_eq!((line.start, line.end, line.next), (0, 2, 4));
        let line = around(b"ab\r\ncd\n", 0, 5);
        assert_eq!((line.start, line.end, line.next), (4, 6, 7));
        let line = around(b"\r\n", 0, 0);
        assert_eq!((line.start, line.end, line.next), (0, 0, 2));
        assert_eq!(around(b"open", 0, 2).end, 4);
    }

    proptest! {
        #[test]
        fn overlong_lines_are_counted_without_looking_at_each(
            lens in prop::collection::vec(
                (prop::sample::select(vec![0, 1, 100, 30_000, LINE_LEN_MAX - 1, LINE_LEN_MAX,
                    LINE_LEN_MAX + 1, LINE_LEN_MAX + 2, 200_000]), any::<bool>()), 0..8),
        ) {
            let mut text = Vec::new();
            for (len, carriage) in &lens {
                text.extend(std::iter::repeat_n(b'x', *len));
                text.extend_from_slice(if *carriage { b"\r\n" } else { b"\n" });
            }
            let expected = lens.iter().filter(|(len, _)| *len > LINE_LEN_MAX).count();
            prop_assert_eq!(count_overlong(&text), u64::try_from(expected).unwrap());
            prop_assert_eq!(count(&text), u64::try_from(lens.len()).unwrap());
        }
    }
}
