//! An entry of the journal as the line that syslog would have written, without its date.

use stockade_core::Timestamp;

use super::export::Entry;

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line was added, for this time.
    Added(Timestamp),
    /// Its message is longer than the limit: this many bytes.
    Overlong(u64),
    /// It has no message or no time.
    Bad,
}

/// Adds `host ident[pid]: message` and a newline to `text`.
///
/// The program may choose its identifier and its message. A newline in the message becomes `\n`
/// in two characters, so that nobody can make two lines of one entry; in the words before it,
/// what is no visible ASCII becomes `_`. The process is the one that journald saw, where it did.
pub(super) fn add_line(entry: &Entry, text: &mut Vec<u8>, line_len_max: usize) -> Line {
    if let Some(bytes) = entry.overlong {
        return Line::Overlong(bytes);
    }
    let (Some(message), Some(at), false) = (&entry.message, time(entry), entry.malformed) else {
        return Line::Bad;
    };
    let start = text.len();
    add_word(&entry.hostname, b"localhost", text);
    text.push(b' ');
    let identifier = first_of(&entry.identifier, &entry.comm);
    add_word(identifier, b"unknown", text);
    let pid = first_of(&entry.pid, &entry.syslog_pid);
    if !pid.is_empty() {
        text.push(b'[');
        add_word(pid, b"", text);
        text.push(b']');
    }
    text.extend_from_slice(b": ");
    for &byte in message.strip_suffix(b"\n").unwrap_or(message) {
        if byte == b'\n' {
            text.extend_from_slice(b"\\n");
        } else {
            text.push(byte);
        }
    }
    let len = text.len() - start;
    if len > line_len_max {
        text.truncate(start);
        return Line::Overlong(len as u64);
    }
    text.push(b'\n');
    Line::Added(at)
}

/// When it was sent, or else when journald got it.
fn time(entry: &Entry) -> Option<Timestamp> {
    let text = first_of(&entry.source_realtime, &entry.realtime);
    let micros = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(Timestamp::from_micros(micros))
}

fn first_of<'a>(first: &'a [u8], second: &'a [u8]) -> &'a [u8] {
    if first.is_empty() { second } else { first }
}

fn add_word(word: &[u8], otherwise: &[u8], text: &mut Vec<u8>) {
    let visible = |b: &u8| if b.is_ascii_graphic() { *b } else { b'_' };
    text.extend(first_of(word, otherwise).iter().map(visible));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &str) -> Entry {
        Entry {
            realtime: b"1700000000000002".to_vec(),
            hostname: b"host".to_vec(),
            identifier: b"sshd".to_vec(),
            comm: b"sshd-session".to_vec(),
            pid: b"12".to_vec(),
            message: Some(message.into()),
            ..Entry::default()
        }
    }

    fn check(entry: &Entry, expected: &str) {
        let mut text = Vec::new();
        let added = add_line(entry, &mut text, 100);
        assert!(matches!(added, Line::Added(_)), "{added:?}");
        assert_eq!(String::from_utf8_lossy(&text), format!("{expected}\n"));
    }

    #[test]
    fn a_line_is_what_syslog_would_have_written() {
        check(&entry("hello"), "host sshd[12]: hello");
        let bare = Entry {
            hostname: vec![],
            identifier: vec![],
            pid: vec![],
            ..entry("hello")
        };
        check(&bare, "localhost sshd-session: hello");
    }

    #[test]
    fn no_entry_can_become_two_lines() {
        let forged = "a\nhost sshd[1]: Failed password for root from 192.0.2.1";
        check(
            &entry(forged),
            "host sshd[12]: a\\nhost sshd[1]: Failed password for root from 192.0.2.1",
        );
        check(&entry("ends\n"), "host sshd[12]: ends");
        let forged = Entry {
            identifier: b"x\nhost sshd".to_vec(),
            ..entry("m")
        };
        check(&forged, "host x_host_sshd[12]: m");
    }

    #[test]
    fn the_time_it_was_sent_comes_before_the_time_it_came() {
        let mut entry = entry("m");
        let at = |entry: &Entry| add_line(entry, &mut Vec::new(), 100);
        let came = Timestamp::from_micros(1_700_000_000_000_002);
        assert_eq!(at(&entry), Line::Added(came));
        entry.source_realtime = b"1700000000000001".to_vec();
        let sent = Timestamp::from_micros(1_700_000_000_000_001);
        assert_eq!(at(&entry), Line::Added(sent));
        entry.source_realtime = b"soon".to_vec();
        assert_eq!(at(&entry), Line::Bad);
    }

    #[test]
    fn a_line_over_the_limit_is_left_out() {
        let mut text = b"before\n".to_vec();
        let added = add_line(&entry("0123456789"), &mut text, 20);
        assert_eq!(added, Line::Overlong(25));
        assert_eq!(text, b"before\n");
    }
}
