//! The journal export format, piece by piece as it comes.
//!
//! Described in <https://systemd.io/JOURNAL_EXPORT_FORMATS/>: a field is `NAME=value` and a
//! newline, or `NAME`, a newline, the length as 64 bits little-endian, that many bytes and a
//! newline; an empty line ends the entry.

use std::mem;

use memchr::memchr;

/// Longest line held that is not a message: names and identities are far shorter (journald allows
/// names of 64 bytes), only message text may be long.
const SHORT_LEN_MAX: usize = 1024;

/// What we want of an entry. Fields with a leading underscore come from journald and can be
/// trusted, the others from the program that logs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) cursor: Vec<u8>,
    /// Microseconds since 1970, as text: when journald got it.
    pub(super) realtime: Vec<u8>,
    /// The same, when it was sent.
    pub(super) source_realtime: Vec<u8>,
    pub(super) hostname: Vec<u8>,
    pub(super) identifier: Vec<u8>,
    pub(super) comm: Vec<u8>,
    pub(super) pid: Vec<u8>,
    pub(super) syslog_pid: Vec<u8>,
    pub(super) message: Option<Vec<u8>>,
    /// Length of the message where it is longer than the limit; it is not held then.
    pub(super) overlong: Option<u64>,
    /// There was something that is no field.
    pub(super) malformed: bool,
    /// There was at least one field.
    pub(super) any: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Cursor,
    Realtime,
    SourceRealtime,
    Hostname,
    Identifier,
    Comm,
    Pid,
    SyslogPid,
    Message,
    Other,
}

impl Field {
    fn of(name: &[u8]) -> Self {
        match name {
            b"__CURSOR" => Self::Cursor,
            b"__REALTIME_TIMESTAMP" => Self::Realtime,
            b"_SOURCE_REALTIME_TIMESTAMP" => Self::SourceRealtime,
            b"_HOSTNAME" => Self::Hostname,
            b"SYSLOG_IDENTIFIER" => Self::Identifier,
            b"_COMM" => Self::Comm,
            b"_PID" => Self::Pid,
            b"SYSLOG_PID" => Self::SyslogPid,
            b"MESSAGE" => Self::Message,
            _ => Self::Other,
        }
    }
}

impl Entry {
    fn set(&mut self, field: Field, value: Vec<u8>) {
        match field {
            Field::Cursor => self.cursor = value,
            Field::Realtime => self.realtime = value,
            Field::SourceRealtime => self.source_realtime = value,
            Field::Hostname => self.hostname = value,
            Field::Identifier => self.identifier = value,
            Field::Comm => self.comm = value,
            Field::Pid => self.pid = value,
            Field::SyslogPid => self.syslog_pid = value,
            Field::Message => self.message = Some(value),
            Field::Other => {}
        }
    }
}

/// Where in the format the next byte is.
#[derive(Debug)]
enum State {
    /// At a line. So much of it was left out already, because it is too long.
    Line { left_out: u64 },
    /// In the length of a binary field.
    Length { field: Field },
    /// In its bytes.
    Binary {
        field: Field,
        length: u64,
        left: u64,
    },
    /// At the newline after them.
    BinaryEnd,
}

/// Turns bytes into entries; holds one entry at most, and of that no more than is wanted.
#[derive(Debug)]
pub(super) struct Parser {
    state: State,
    held: Vec<u8>,
    entry: Entry,
    message_len_max: usize,
}

impl Parser {
    /// Messages longer than `message_len_max` bytes are not held.
    pub(super) fn new(message_len_max: usize) -> Self {
        Self {
            state: State::Line { left_out: 0 },
            held: Vec::new(),
            entry: Entry::default(),
            message_len_max,
        }
    }

    /// Takes the next bytes; gives each entry that they complete to `done`.
    pub(super) fn push(&mut self, mut bytes: &[u8], done: &mut dyn FnMut(Entry)) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Line { left_out } => self.line(bytes, left_out, done),
                State::Length { field } => self.length(bytes, field),
                State::Binary {
                    field,
                    length,
                    left,
                } => self.binary(bytes, field, length, left),
                State::BinaryEnd => {
                    self.entry.malformed |= bytes.first() != Some(&b'\n');
                    self.state = State::Line { left_out: 0 };
                    1
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    fn line_len_max(&self) -> usize {
        self.message_len_max
            .saturating_add("MESSAGE=".len())
            .max(SHORT_LEN_MAX)
    }

    fn line(&mut self, bytes: &[u8], left_out: u64, done: &mut dyn FnMut(Entry)) -> usize {
        let newline = memchr(b'\n', bytes);
        let piece = bytes.get(..newline.unwrap_or(bytes.len())).unwrap_or(bytes);
        let room = self.line_len_max().saturating_sub(self.held.len());
        let kept = piece.get(..room).unwrap_or(piece);
        self.held.extend_from_slice(kept);
        let left_out = left_out.saturating_add((piece.len() - kept.len()) as u64);
        self.state = State::Line { left_out };
        if newline.is_none() {
            return piece.len();
        }
        let line = mem::take(&mut self.held);
        self.state = State::Line { left_out: 0 };
        self.end_line(line, left_out, done);
        piece.len() + 1
    }

    fn end_line(&mut self, mut line: Vec<u8>, left_out: u64, done: &mut dyn FnMut(Entry)) {
        if line.is_empty() {
            let entry = mem::take(&mut self.entry);
            if entry.any {
                done(entry);
            }
            return;
        }
        self.entry.any = true;
        let Some(equals) = memchr(b'=', &line) else {
            let field = Field::of(&line);
            // A name that long is none: what follows cannot be told apart from lines.
            if left_out > 0 {
                self.entry.malformed = true;
            } else {
                self.state = State::Length { field };
            }
            return;
        };
        let field = Field::of(line.get(..equals).unwrap_or_default());
        line.drain(..=equals);
        let length = (line.len() as u64).saturating_add(left_out);
        self.value(field, line, length);
    }

    /// Takes a value of `length` bytes, of which the first ones were held.
    fn value(&mut self, field: Field, value: Vec<u8>, length: u64) {
        let max = match field {
            Field::Message => self.message_len_max,
            _ => SHORT_LEN_MAX,
        };
        if length <= max as u64 {
            self.entry.set(field, value);
        } else if field == Field::Message {
            self.entry.overlong = Some(length);
        } else {
            self.entry.malformed |= field != Field::Other;
        }
    }

    fn length(&mut self, bytes: &[u8], field: Field) -> usize {
        let missing = 8_usize.saturating_sub(self.held.len());
        let piece = bytes.get(..missing).unwrap_or(bytes);
        self.held.extend_from_slice(piece);
        if let Ok(length) = <[u8; 8]>::try_from(&*self.held) {
            self.held.clear();
            let length = u64::from_le_bytes(length);
            self.begin_binary(field, length);
        }
        piece.len()
    }

    fn begin_binary(&mut self, field: Field, length: u64) {
        self.state = State::Binary {
            field,
            length,
            left: length,
        };
        if length == 0 {
            self.end_binary(field, length);
        }
    }

    fn binary(&mut self, bytes: &[u8], field: Field, length: u64, left: u64) -> usize {
        let take = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = bytes.get(..take).unwrap_or(bytes);
        if length <= self.line_len_max() as u64 && field != Field::Other {
            self.held.extend_from_slice(piece);
        }
        let left = left - piece.len() as u64;
        self.state = State::Binary {
            field,
            length,
            left,
        };
        if left == 0 {
            self.end_binary(field, length);
        }
        piece.len()
    }

    fn end_binary(&mut self, field: Field, length: u64) {
        let value = mem::take(&mut self.held);
        self.value(field, value, length);
        self.state = State::BinaryEnd;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]], max: usize) -> Vec<Entry> {
        let mut parser = Parser::new(max);
        let mut entries = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut |entry| entries.push(entry));
            assert!(parser.held.len() <= parser.line_len_max());
        }
        entries
    }

    fn binary(name: &str, value: &[u8]) -> Vec<u8> {
        let mut field = format!("{name}\n").into_bytes();
        field.extend((value.len() as u64).to_le_bytes());
        field.extend(value);
        field.push(b'\n');
        field
    }

    #[test]
    fn text_and_binary_fields_are_read() {
        let mut text = b"__CURSOR=c1\n__REALTIME_TIMESTAMP=17\n_PID=5\n".to_vec();
        text.extend(binary("COREDUMP", b"\n\n__CURSOR=false\n\n"));
        text.extend(binary("MESSAGE", b"two\nlines\0\xff"));
        text.extend(b"\n__CURSOR=c2\nMESSAGE=a=b\n\n__CURSOR=c3\n");
        let entries = parse(&[&text], 100);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].cursor, b"c1");
        assert_eq!(entries[0].pid, b"5");
        assert_eq!(
            entries[0].message.as_deref(),
            Some(&b"two\nlines\0\xff"[..])
        );
        assert_eq!(entries[1].message.as_deref(), Some(&b"a=b"[..]));
        assert!(entries.iter().all(|entry| !entry.malformed));
    }

    #[test]
    fn an_over_long_message_is_measured_and_not_held() {
        let long = vec![b'x'; 100_000];
        let mut text = [b"MESSAGE=", &long[..], b"\n_PID=1\n\n"].concat();
        text.extend(binary("MESSAGE", &long));
        text.extend(b"\nMESSAGE=short\n\n");
        let pieces: Vec<&[u8]> = text.chunks(4096).collect();
        let entries = parse(&pieces, 10);
        assert_eq!(entries[0].overlong, Some(100_000));
        assert_eq!(entries[0].pid, b"1");
        assert_eq!(entries[1].overlong, Some(100_000));
        assert_eq!(entries[2].message.as_deref(), Some(&b"short"[..]));
    }

    fn entry() -> impl Strategy<Value = Vec<u8>> {
        let name = prop_oneof!["MESSAGE", "__CURSOR", "_PID", "[A-Z]{1,8}"];
        let value = prop::collection::vec(any::<u8>(), 0..40);
        prop::collection::vec((name, value, any::<bool>()), 1..6).prop_map(|fields| {
            let mut text = Vec::new();
            for (name, value, is_binary) in fields {
                if is_binary || value.contains(&b'\n') {
                    text.extend(binary(&name, &value));
                } else {
                    text.extend([name.as_bytes(), b"=", &value, b"\n"].concat());
                }
            }
            text.push(b'\n');
            text
        })
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_entries(
            entries in prop::collection::vec(entry(), 0..6),
            sizes in prop::collection::vec(1_usize..20, 1..10),
            max in 0_usize..40,
        ) {
            let text = entries.concat();
            let whole = parse(&[&text], max);
            prop_assert_eq!(whole.len(), entries.len());
            let mut pieces = Vec::new();
            let mut rest = &text[..];
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(parse(&pieces, max), whole);
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            parse(&pieces, 50);
        }
    }
}
