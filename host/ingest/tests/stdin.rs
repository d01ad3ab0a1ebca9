//! A stream that is read once: a pipe in the place of standard input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use stockade_core::{Checkpoint, SourceName};
use stockade_ingest::{Lines, Notice};

const SOON: Duration = Duration::from_secs(20);

fn pipe() -> (File, Lines<File>) {
    let (read, write) = std::io::pipe().unwrap();
    let lines = Lines::new(
        File::from(OwnedFd::from(read)),
        SourceName::new("stdin"),
        1000,
    );
    (File::from(OwnedFd::from(write)), lines.unwrap())
}

fn poll(lines: &mut Lines<File>) -> (Vec<u8>, Vec<String>) {
    let mut text = Vec::new();
    let notices = lines.poll(SOON, &mut |chunk| {
        assert_eq!(chunk.checkpoint, Checkpoint::None);
        text.extend_from_slice(&chunk.text);
    });
    (text, notices.iter().map(Notice::to_string).collect())
}

#[test]
fn lines_are_passed_on_whole_and_the_last_needs_no_newline() {
    let (mut write, mut lines) = pipe();
    write.write_all(b"one\ntwo\xff\0\nthr").unwrap();
    assert_eq!(poll(&mut lines), (b"one\ntwo\xff\0\n".to_vec(), vec![]));
    write.write_all(b"ee").unwrap();
    drop(write);
    let mut text = Vec::new();
    let mut notices = Vec::new();
    while notices.is_empty() {
        let (more, said) = poll(&mut lines);
        text.extend(more);
        notices.extend(said);
    }
    assert_eq!(text, b"three\n");
    assert_eq!(notices, ["'stdin' has ended"]);
}

#[test]
fn an_over_long_line_is_skipped_and_reported() {
    let (mut write, mut lines) = pipe();
    let writer = std::thread::spawn(move || {
        let mut text = vec![b'x'; 10 << 20];
        text.extend_from_slice(b"\nafter\n");
        write.write_all(&text).unwrap();
    });
    let mut text = Vec::new();
    let mut notices = Vec::new();
    while !notices.iter().any(|n: &String| n.contains("ended")) {
        let (more, said) = poll(&mut lines);
        text.extend(more);
        notices.extend(said);
    }
    writer.join().unwrap();
    assert_eq!(text, b"after\n");
    assert_eq!(
        notices[0],
        "skipped 1 over-long lines (10485760 bytes) of 'stdin'"
    );
}

#[test]
fn a_waker_ends_the_wait_also_after_the_end() {
    let (write, mut lines) = pipe();
    lines.waker().wake();
    assert_eq!(poll(&mut lines), (vec![], vec![]));
    drop(write);
    assert_eq!(poll(&mut lines).1.len(), 1);
    lines.waker().wake();
    assert_eq!(poll(&mut lines), (vec![], vec![]));
}
