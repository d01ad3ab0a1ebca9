//! The last matched lines of one id, kept to be quoted when it is banned.

use crate::limits::MATCH_LINE_BYTES_MAX;

/// Lines in one buffer, each ended by `\n`: one allocation for an id instead of one for a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matches {
    text: Vec<u8>,
    lines: u32,
}

impl Matches {
    /// Adds `line`, cut where it is longer than [`MATCH_LINE_BYTES_MAX`], and drops the oldest
    /// lines beyond `maxmatches`.
    pub(crate) fn push(&mut self, line: &[u8], maxmatches: u32) {
        if maxmatches == 0 {
            return;
        }
        while self.lines >= maxmatches {
            self.drop_oldest();
        }
        let line = line.get(..MATCH_LINE_BYTES_MAX).unwrap_or(line);
        // A line cannot hold a line end; if one did, it would only be quoted as two.
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        self.lines += 1;
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The lines, oldest first.
    pub(crate) fn into_lines(self) -> Vec<Vec<u8>> {
        self.text
            .strip_suffix(b"\n")
            .map(|text| {
                text.split(|byte| *byte == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect()
            })
            .unwrap_or_default()
    }

    fn drop_oldest(&mut self) {
        let end = self.text.iter().position(|byte| *byte == b'\n');
        self.text
            .drain(..end.map_or(self.text.len(), |end| end + 1));
        self.lines = self.lines.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pushed: &[&str], maxmatches: u32) -> Vec<String> {
        let mut matches = Matches::default();
        for line in pushed {
            matches.push(line.as_bytes(), maxmatches);
        }
        let lines = matches.into_lines();
        lines
            .into_iter()
            .map(|line| String::from_utf8(line).unwrap())
            .collect()
    }

    #[test]
    fn the_last_lines_are_kept_oldest_first() {
        assert_eq!(lines(&["a", "bb", "", "c"], 3), ["bb", "", "c"]);
        assert_eq!(lines(&["a"], 3), ["a"]);
        assert_eq!(lines(&[], 3), [""; 0]);
    }

    #[test]
    fn no_line_is_kept_where_none_is_wanted() {
        assert_eq!(lines(&["a", "b"], 0), [""; 0]);
    }

    #[test]
    fn a_long_line_is_cut() {
        assert_eq!(
            lines(&[&"x".repeat(5000)], 1),
            ["x".repeat(MATCH_LINE_BYTES_MAX)]
        );
    }
}
