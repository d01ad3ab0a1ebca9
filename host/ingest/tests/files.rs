//! Following real files: what is found, what is read, what is not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod follow;

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use stockade_core::FileCheckpoint;
use stockade_ingest::{FileOptions, FileSpec, Files, LogBackend, OpenError, Start};

use crate::follow::{Follow, append, only_events, options, writer};

const BOTH: [LogBackend; 2] = [LogBackend::Auto, LogBackend::Polling];

#[test]
fn lines_are_read_once_for_all_specs_that_match() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.log"), dir.path().join("b.log"));
    append(&a, "a1\n");
    append(&b, "b1\n");
    let mut follow = Follow::open(&[&dir.path().join("*.log"), &a], only_events());
    follow.expect(&["a1", "b1"]);
    assert_eq!(follow.lines[0].0, [0, 1]);
    assert_eq!(follow.lines[1].0, [0]);
    append(&a, "a2\n");
    follow.expect(&["a1", "b1", "a2"]);
}

#[test]
fn a_second_name_of_a_file_is_not_read_again() {
    for backend in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let (a, link) = (dir.path().join("a.log"), dir.path().join("current"));
        append(&a, "1\n");
        symlink("a.log", &link).unwrap();
        let mut follow = Follow::open(&[&a, &link], options(backend));
        follow.expect(&["1"]);
        append(&a, "2\n");
        follow.expect(&["1", "2"]);
        assert_eq!(follow.lines[1].0, [0, 1]);
    }
}

#[test]
fn files_and_directories_are_found_when_they_appear() {
    for options in [only_events(), options(LogBackend::Polling)] {
        let dir = tempfile::tempdir().unwrap();
        let glob = dir.path().join("log/*/access.log");
        let mut follow = Follow::open(&[&glob], options);
        follow.expect_notice("no file matches");
        for (at, name) in ["a", "b"].iter().enumerate() {
            let vhost = dir.path().join("log").join(name);
            std::fs::create_dir_all(&vhost).unwrap();
            follow.poll(Duration::from_millis(1));
            append(&vhost.join("access.log"), "line\n");
            follow.until("found", |follow| follow.lines.len() == at + 1);
        }
        append(&dir.path().join("log/a/access.log"), "more\n");
        follow.expect(&["line", "line", "more"]);
    }
}

#[test]
fn a_directory_that_is_replaced_is_found_again() {
    for options in [only_events(), options(LogBackend::Polling)] {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        append(&logs.join("a.log"), "old\n");
        let glob = logs.join("*.log");
        let mut follow = Follow::open(&[&glob], options);
        follow.expect(&["old"]);
        std::fs::rename(&logs, dir.path().join("gone")).unwrap();
        follow.poll(Duration::from_millis(50));
        std::fs::create_dir(&logs).unwrap();
        append(&logs.join("a.log"), "new\n");
        follow.expect(&["old", "new"]);
    }
}

#[test]
fn an_unfinished_line_is_held_until_its_end_comes() {
    for backend in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        append(&path, "one\ntw");
        let mut follow = Follow::open(&[&path], options(backend));
        follow.expect(&["one"]);
        assert_eq!(follow.checkpoints[&path].position, 4);
        let mut follow = follow.restart(&[&path], options(backend));
        append(&path, "o\n");
        follow.expect(&["one", "two"]);
    }
}

#[test]
fn bytes_that_are_not_text_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let text = b"\0nul\0\n\xff\xfe\n\r\n\n";
    std::fs::write(&path, text).unwrap();
    let spec = FileSpec {
        glob: path.to_str().unwrap().into(),
        start: Start::Head,
    };
    let mut files = Files::open(vec![spec], vec![], FileOptions::default()).unwrap();
    let mut got = Vec::new();
    files.poll(Duration::ZERO, &mut |_, chunk| {
        got.extend_from_slice(&chunk.text)
    });
    assert_eq!(got, text);
}

#[test]
fn a_line_of_ten_megabytes_is_skipped_and_reported_and_survives_a_restart() {
    for backend in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        append(&path, "before\n");
        append(&path, &"x".repeat(6 << 20));
        let mut follow = Follow::open(&[&path], options(backend));
        follow.expect(&["before"]);
        assert_eq!(follow.checkpoints[&path].position, 7);
        let mut follow = follow.restart(&[&path], options(backend));
        append(&path, &"x".repeat(4 << 20));
        for _ in 0..5 {
            follow.poll(Duration::from_millis(1));
        }
        append(&path, "\nafter\n");
        follow.expect(&["before", "after"]);
        follow.expect_notice("skipped 1 over-long lines (10485760 bytes)");
        let mut follow = follow.restart(&[&path], options(backend));
        append(&path, "last\n");
        follow.expect(&["before", "after", "last"]);
    }
}

#[test]
fn a_file_bigger_than_one_chunk_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let lines: Vec<String> = (0..200_000).map(|n| format!("line number {n}")).collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let mut follow = Follow::open(&[&path], only_events());
    follow.until("all read", |follow| follow.lines.len() == lines.len());
    assert_eq!(follow.text(), lines);
}

#[test]
fn a_file_begun_at_its_tail_goes_on_after_the_last_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    append(&path, "old\nhal");
    let mut follow = Follow::start(&[&path], Start::Tail, vec![], only_events());
    follow.poll(Duration::ZERO);
    append(&path, "f\n");
    follow.expect(&["half"]);
    // Its checkpoint comes before its first line.
    let mut follow = Follow::start(&[&path], Start::Tail, vec![], only_events());
    follow.poll(Duration::ZERO);
    let checkpoints: Vec<FileCheckpoint> = follow.checkpoints.into_values().collect();
    assert_eq!(checkpoints.len(), 1);
    append(&path, "while away\n");
    let mut follow = Follow::start(&[&path], Start::Tail, checkpoints, only_events());
    follow.expect(&["while away"]);
    // A file that appears later is read from its head.
    let new = dir.path().join("new.log");
    let mut follow = Follow::start(&[&new], Start::Tail, vec![], only_events());
    append(&new, "first\n");
    follow.expect(&["first"]);
}

#[test]
fn what_is_not_a_log_is_left_alone_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo.log");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    std::fs::create_dir(dir.path().join("dir.log")).unwrap();
    symlink("/dev/null", dir.path().join("null.log")).unwrap();
    std::fs::write(dir.path().join("a.log.2.gz"), "\x1f").unwrap();
    append(&dir.path().join("a.log"), "line\n");
    let mut follow = Follow::open(&[&dir.path().join("*.log*")], only_events());
    follow.expect(&["line"]);
    for what in [
        "fifo.log': it is a named pipe",
        "dir.log': it is a directory",
    ] {
        follow.expect_notice(what);
    }
    follow.expect_notice("null.log': it is a device");
    follow.expect_notice("a.log.2.gz': it is compressed");
}

/// Root may read everything, so a loop of links stands for what cannot be read.
#[test]
fn a_file_that_cannot_be_read_is_reported_once_and_tried_again() {
    for backend in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.log"), dir.path().join("b.log"));
        symlink("a.log", &a).unwrap();
        append(&b, "b\n");
        let mut follow = Follow::open(&[&a, &b], options(backend));
        follow.expect(&["b"]);
        follow.expect_notice("cannot read");
        for _ in 0..50 {
            follow.poll(Duration::from_millis(2));
        }
        let said = follow.notices.iter().filter(|n| n.contains("cannot read"));
        assert_eq!(said.count(), 1, "{:?}", follow.notices);
        std::fs::remove_file(&a).unwrap();
        append(&a, "a\n");
        follow.expect(&["b", "a"]);
    }
}

#[test]
fn a_directory_that_cannot_be_listed_stops_no_other_file() {
    let dir = tempfile::tempdir().unwrap();
    let a = dir.path().join("a.log");
    append(&a, "a\n");
    let name = "x".repeat(300);
    let bad = dir.path().join(name).join("*.log");
    let mut follow = Follow::open(&[&bad, &a], options(LogBackend::Auto));
    follow.expect(&["a"]);
}

#[test]
fn a_file_that_vanishes_is_reported_and_read_again_when_it_is_back() {
    for options in [only_events(), options(LogBackend::Polling)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        append(&path, "1\n");
        let mut follow = Follow::open(&[&path], options);
        follow.expect(&["1"]);
        std::fs::remove_file(&path).unwrap();
        follow.expect_notice("vanished");
        append(&path, "2\n");
        follow.expect(&["1", "2"]);
    }
}

#[test]
fn a_deleted_file_is_closed_after_a_while_so_that_its_space_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let mut log = writer(&path);
    log.write_all(b"1\n").unwrap();
    let options = FileOptions {
        linger: Duration::from_millis(100),
        ..options(LogBackend::Auto)
    };
    let mut follow = Follow::open(&[&path], options);
    follow.expect(&["1"]);
    std::fs::remove_file(&path).unwrap();
    log.write_all(b"2").unwrap();
    // The line without newline is final with the file.
    follow.expect(&["1", "2"]);
    follow.until("closed", |_| !is_open(&path));
}

fn is_open(path: &Path) -> bool {
    let deleted = format!("{} (deleted)", path.display());
    let mut fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    // Our own writer keeps the file open too: only descriptors for reading count.
    fds.any(|fd| {
        std::fs::read_link(fd.path()).is_ok_and(|target| target.to_str() == Some(&deleted))
            && std::fs::read_to_string(format!(
                "/proc/self/fdinfo/{}",
                fd.file_name().to_str().unwrap()
            ))
            .is_ok_and(|info| {
                let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).unwrap();
                u32::from_str_radix(flags.trim(), 8).unwrap() & 3 == 0
            })
    })
}

#[test]
fn a_waker_ends_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut follow = Follow::open(&[&dir.path().join("a.log")], only_events());
    follow.poll(Duration::ZERO);
    let waker = follow.files.waker();
    let woken = std::thread::spawn(move || waker.wake());
    follow.poll(Duration::from_secs(3600));
    woken.join().unwrap();
}

#[test]
fn a_malformed_glob_is_an_error_that_names_it() {
    let spec = FileSpec {
        glob: "/var/log/[".into(),
        start: Start::Head,
    };
    let error = Files::open(vec![spec], vec![], FileOptions::default()).unwrap_err();
    assert!(matches!(error, OpenError::Glob { .. }));
    assert_eq!(error.to_string(), "cannot understand the glob '/var/log/['");
}

#[test]
fn a_thousand_logs_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..1000 {
        append(&dir.path().join(format!("{n}.log")), "first\n");
    }
    let mut options = only_events();
    // 1024 descriptors are the usual limit, and the test binary has some of its own.
    options.line_len_max = 100;
    let mut follow = Follow::open(&[&dir.path().join("[0-8]*.log")], options);
    follow.until("all read", |follow| follow.lines.len() == 889);
    append(&dir.path().join("777.log"), "second\n");
    follow.until("one more", |follow| follow.lines.len() == 890);
    assert_eq!(follow.lines[889].1, "second");
}
