//! Lines, damaged in the ways in which logs and attackers do it.

use std::sync::LazyLock;

use jiff::tz::TimeZone;
use regex::bytes::{NoExpand, Regex};

use super::dates;
use super::random::Random;

/// What is put into a line: marks of patterns, white space of every kind, letters whose small and
/// large forms are special, digits of other scripts, and bytes that are no text.
const INSERTS: [&[u8]; 34] = [
    b"\t",
    b"\"",
    b"'",
    b"<",
    b">",
    b"[",
    b"]",
    b"(",
    b")",
    b"%",
    b":",
    b";",
    b"=",
    b",",
    b"\\",
    b"\r",
    b"\0",
    b"\x0b",
    b"\x1c",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    "é".as_bytes(),
    "\u{a0}".as_bytes(),
    "\u{85}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{3000}".as_bytes(),
    "\u{661}".as_bytes(),
    "\u{130}".as_bytes(),
    "\u{17f}".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{1f600}".as_bytes(),
];

/// What stands where an address stood.
const ADDRESSES: [&str; 24] = [
    "192.0.2.200",
    "2001:db8::7",
    "2001:DB8:0:0:0:0:0:7",
    "[2001:db8::7]",
    "[192.0.2.200]",
    "::ffff:192.0.2.9",
    "::ffff:c000:209",
    "::",
    "::1",
    "1:2:3:4:5:6:7:8",
    "fe80::1%eth0",
    "999.1.1.1",
    "1.2.3",
    "01.02.03.04",
    "0.0.0.0",
    "255.255.255.255",
    "192.0.2.0/24",
    "0.0.0.0/0",
    "2001:db8::/32",
    "host.example.com",
    "-",
    "unknown",
    "192.0.2.1.example.net",
    "\u{661}92.0.2.1",
];

static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let text = concat!(
        r"(?-u)\d+\.\d+\.\d+\.\d+",
        r"|(?:[0-9A-Fa-f]{1,4}::?|::){2,7}[0-9A-Fa-f]{0,4}",
        r"|[\w.-]+\.(?:com|net|org)\b"
    );
    Regex::new(text).ok()
});

static PROCESS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)\[\d+\]").ok());

/// The longest run of one character that is put in: patterns of fail2ban's may go back and forth over
/// it, and it waits for them as long as they take.
const RUN_MAX: usize = 200;

/// Damages lines.
#[derive(Debug)]
pub(super) struct Damage<'a> {
    pub(super) random: &'a mut Random,
    /// What fail2ban takes for now, in seconds.
    pub(super) now: i64,
    pub(super) zone: &'a TimeZone,
    /// Lines of which parts are taken.
    pub(super) others: &'a [Vec<u8>],
}

impl Damage<'_> {
    /// `line`, damaged once.
    pub(super) fn once(&mut self, line: &[u8]) -> Vec<u8> {
        let at = self.random.below(line.len() + 1);
        let (before, after) = line.split_at(at);
        match self.random.below(17) {
            0 | 1 => [before, self.random.pick(&INSERTS), after].concat(),
            2 => {
                let end = after.len().min(1 + self.random.below(3));
                [before, after.get(end..).unwrap_or_default()].concat()
            }
            3 => self.spliced(before),
            4 => before.to_owned(),
            5 | 6 => self.with_other_words(line),
            7 | 8 => self.with_another_date(line),
            9 => self.with_a_date_more(line),
            10 | 11 => self.with_another_address(line),
            12 => self.with_other_space(line),
            13 => self.with_a_digit_changed(line),
            14 => self.with_a_long_word(before, after),
            15 => self.with_a_letter_changed(line),
            _ => self.of_another_process(line),
        }
    }

    fn other(&mut self) -> Vec<u8> {
        let at = self.random.below(self.others.len());
        self.others.get(at).cloned().unwrap_or_default()
    }

    fn spliced(&mut self, before: &[u8]) -> Vec<u8> {
        let other = self.other();
        let from = self.random.below(other.len() + 1);
        [before, other.get(from..).unwrap_or_default()].concat()
    }

    fn with_other_words(&mut self, line: &[u8]) -> Vec<u8> {
        let other = self.other();
        let mut words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let theirs: Vec<&[u8]> = other.split(|byte| *byte == b' ').collect();
        let (one, two) = (
            self.random.below(words.len()),
            self.random.below(words.len()),
        );
        match self.random.below(4) {
            0 => words.swap(one, two),
            1 => {
                words.remove(one);
            }
            2 => words.insert(one, words.get(two).copied().unwrap_or_default()),
            _ => {
                let from = self.random.below(theirs.len());
                let word = theirs.get(from).copied().unwrap_or_default();
                words.splice(one..=one, [word]);
            }
        }
        words.join(&b' ')
    }

    fn with_another_date(&mut self, line: &[u8]) -> Vec<u8> {
        let (start, end) = dates::first(line).unwrap_or((0, 0));
        let (before, after) = (&line.get(..start), line.get(end..).unwrap_or_default());
        let date = match self.random.below(5) {
            0 => String::new(),
            _ => self.date(),
        };
        [before.unwrap_or_default(), date.as_bytes(), after].concat()
    }

    fn with_a_date_more(&mut self, line: &[u8]) -> Vec<u8> {
        let place = match self.random.below(3) {
            0 => 0,
            1 => line.len(),
            _ => self.random.below(line.len() + 1),
        };
        let (before, after) = line.split_at(place);
        [before, b" ", self.date().as_bytes(), b" ", after].concat()
    }

    fn date(&mut self) -> String {
        dates::written(self.now, self.zone, self.random)
    }

    fn with_another_address(&mut self, line: &[u8]) -> Vec<u8> {
        let Some(address) = ADDRESS.as_ref() else {
            return line.to_owned();
        };
        let new = self.random.pick(&ADDRESSES);
        let count = self.random.below(2);
        let new = NoExpand(new.as_bytes());
        address.replacen(line, count, new).into_owned()
    }

    fn with_other_space(&mut self, line: &[u8]) -> Vec<u8> {
        const SPACES: [&str; 6] = ["  ", "\t", "", " \t ", "\u{a0}", "\r"];
        let space = self.random.pick(&SPACES).as_bytes();
        match self.random.below(4) {
            0 => [line, space].concat(),
            1 => [space, line].concat(),
            2 => line.trim_ascii_end().to_owned(),
            _ => {
                let spaces = line.iter().filter(|byte| **byte == b' ').count();
                let chosen = self.random.below(spaces);
                let mut seen = 0;
                let mut out = Vec::new();
                for byte in line {
                    if *byte == b' ' && seen == chosen {
                        out.extend_from_slice(space);
                    } else {
                        out.push(*byte);
                    }
                    seen += usize::from(*byte == b' ');
                }
                out
            }
        }
    }

    fn with_a_digit_changed(&mut self, line: &[u8]) -> Vec<u8> {
        let new = b"0123456789".get(self.random.below(10)).copied();
        self.with_one_changed(line, u8::is_ascii_digit, |_| new.unwrap_or(b'0'))
    }

    fn with_a_letter_changed(&mut self, line: &[u8]) -> Vec<u8> {
        self.with_one_changed(line, u8::is_ascii_alphabetic, |byte| byte ^ 0x20)
    }

    fn with_one_changed(
        &mut self,
        line: &[u8],
        wanted: impl Fn(&u8) -> bool,
        change: impl Fn(u8) -> u8,
    ) -> Vec<u8> {
        let mut line = line.to_owned();
        let count = line.iter().filter(|byte| wanted(byte)).count();
        let at = self.random.below(count);
        if let Some(byte) = line.iter_mut().filter(|byte| wanted(byte)).nth(at) {
            *byte = change(*byte);
        }
        line
    }

    fn with_a_long_word(&mut self, before: &[u8], after: &[u8]) -> Vec<u8> {
        let part = match self.random.below(3) {
            0 => before
                .last()
                .copied()
                .map_or(b"x".to_vec(), |byte| vec![byte]),
            1 => b"a.b ".to_vec(),
            _ => "é".as_bytes().to_vec(),
        };
        let long = part.repeat(1 + self.random.below(RUN_MAX / part.len()));
        [before, &long, after].concat()
    }

    fn of_another_process(&mut self, line: &[u8]) -> Vec<u8> {
        let number = self.random.below(3);
        of_process(line, number)
    }
}

/// `line` as another process would write it.
pub(super) fn of_process(line: &[u8], number: usize) -> Vec<u8> {
    let Some(process) = PROCESS.as_ref() else {
        return line.to_owned();
    };
    let new = format!("[{number}]");
    process
        .replacen(line, 1, NoExpand(new.as_bytes()))
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::zone;

    #[test]
    fn no_damage_makes_two_lines_of_one_and_most_makes_another_line() {
        let mut random = Random::new(5);
        let others = [b"other words of [77] 198.51.100.1".to_vec(), Vec::new()];
        let line = b"Aug 14 11:59:00 host app[12]: failed from 192.0.2.1 port 22";
        let zone = zone();
        let mut damage = Damage {
            random: &mut random,
            now: 1_124_013_600,
            zone: &zone,
            others: &others,
        };
        let mut changed = 0;
        for _ in 0..2000 {
            let damaged = damage.once(line);
            assert!(!damaged.contains(&b'\n'));
            changed += usize::from(damaged != line);
        }
        assert!(changed > 1800, "{changed}");
        assert_eq!(damage.once(b"").iter().filter(|b| **b == b'\n').count(), 0);
    }

    #[test]
    fn a_line_can_be_made_one_of_another_process() {
        assert_eq!(of_process(b"a[12]: [3]", 7), b"a[7]: [3]");
        assert_eq!(of_process(b"a: b", 7), b"a: b");
    }
}
