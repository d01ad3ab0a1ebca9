//! Every way in which logs are rotated: no line is lost and none is read twice.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod follow;

use std::fs::{File, copy, remove_file, rename};
use std::io::{Seek, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use stockade_ingest::{FileOptions, LogBackend};
use tempfile::TempDir;

use crate::follow::{Follow, append, only_events, options, writer};

fn each_backend() -> [FileOptions; 2] {
    [only_events(), options(LogBackend::Polling)]
}

fn log() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("a.log"), dir.path().join("a.log.1"));
    (dir, path, old)
}

#[test]
fn by_rename_while_the_writer_goes_on_with_the_old_file() {
    for options in each_backend() {
        let (_dir, path, old) = log();
        let mut late = writer(&path);
        late.write_all(b"1\n2\n").unwrap();
        let mut follow = Follow::open(&[&path], options);
        follow.expect(&["1", "2"]);
        late.write_all(b"3\n").unwrap();
        rename(&path, &old).unwrap();
        append(&path, "5\n");
        // The program has not been told to reopen its log yet.
        late.write_all(b"4\n").unwrap();
        follow.until("late line", |follow| follow.lines.len() >= 4);
        drop(late);
        follow.expect(&["1", "2", "3", "4", "5"]);
    }
}

#[test]
fn late_lines_are_read_also_after_the_new_file_was_begun() {
    for options in each_backend() {
        let (_dir, path, old) = log();
        let mut late = writer(&path);
        late.write_all(b"1\n").unwrap();
        let mut follow = Follow::open(&[&path], options.clone());
        follow.expect(&["1"]);
        rename(&path, &old).unwrap();
        append(&path, "2\n");
        follow.expect(&["1", "2"]);
        late.write_all(b"late\n").unwrap();
        follow.expect(&["1", "2", "late"]);
        // The checkpoint stays that of the new file.
        append(&path, "3\n");
        let mut follow = follow.restart(&[&path], options);
        follow.expect(&["1", "2", "late", "3"]);
    }
}

#[test]
fn the_last_line_of_a_closed_file_needs_no_newline() {
    let (_dir, path, old) = log();
    let mut last = writer(&path);
    last.write_all(b"1\nunfinished").unwrap();
    let mut follow = Follow::open(&[&path], only_events());
    follow.expect(&["1"]);
    drop(last);
    rename(&path, &old).unwrap();
    append(&path, "2\n");
    follow.expect(&["1", "unfinished", "2"]);
}

#[test]
fn by_replacing_the_file_with_a_new_one() {
    for options in each_backend() {
        let (dir, path, _) = log();
        append(&path, "1\n");
        let mut follow = Follow::open(&[&path], options);
        follow.expect(&["1"]);
        append(&path, "2\n");
        let new = dir.path().join("new");
        append(&new, "3\n");
        rename(&new, &path).unwrap();
        append(&path, "4\n");
        follow.expect(&["1", "2", "3", "4"]);
    }
}

#[test]
fn a_replacement_that_begins_with_the_old_text_is_read_on() {
    for options in each_backend() {
        let (dir, path, _) = log();
        append(&path, "1\n2\n");
        let mut follow = Follow::open(&[&path], options);
        follow.expect(&["1", "2"]);
        let new = dir.path().join("new");
        append(&new, "1\n2\n3\n");
        rename(&new, &path).unwrap();
        follow.expect(&["1", "2", "3"]);
    }
}

#[test]
fn by_deleting_the_file_and_making_a_new_one() {
    for options in each_backend() {
        let (_dir, path, _) = log();
        append(&path, "1\n");
        let mut follow = Follow::open(&[&path], options);
        follow.expect(&["1"]);
        append(&path, "2\n");
        remove_file(&path).unwrap();
        append(&path, "3\n");
        follow.expect(&["1", "2", "3"]);
    }
}

#[test]
fn by_copying_and_truncating() {
    for options in each_backend() {
        let (_dir, path, old) = log();
        append(&path, "1\n2\n");
        let mut follow = Follow::open(&[&path], options);
        follow.expect(&["1", "2"]);
        // Nothing was read of this before the truncation: it is in the copy.
        append(&path, "3\n");
        copy(&path, &old).unwrap();
        File::create(&path).unwrap();
        append(&path, "4\n");
        follow.expect(&["1", "2", "3", "4"]);
    }
}

#[test]
fn a_truncated_file_that_has_grown_past_the_old_position_is_read_anew() {
    for options in each_backend() {
        let (_dir, path, _) = log();
        append(&path, "1\n2\n");
        let mut follow = Follow::open(&[&path], options.clone());
        follow.expect(&["1", "2"]);
        std::fs::write(&path, "three\nfour\n").unwrap();
        follow.expect(&["1", "2", "three", "four"]);
        let follow = follow.restart(&[&path], options.clone());
        std::fs::write(&path, "something quite different\n").unwrap();
        let mut follow = follow.restart(&[&path], options);
        follow.expect(&["1", "2", "three", "four", "something quite different"]);
    }
}

#[test]
fn a_hole_that_truncation_leaves_is_no_line() {
    for options in each_backend() {
        let (_dir, path, _) = log();
        let mut log = File::create(&path).unwrap();
        let first = "x".repeat(5000);
        log.write_all(first.as_bytes()).unwrap();
        log.write_all(b"\n").unwrap();
        let mut follow = Follow::open(&[&path], options.clone());
        follow.expect(&[&first]);
        // Not in append mode, the program writes on at its old offset.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(0)
            .unwrap();
        assert_eq!(log.stream_position().unwrap(), 5001);
        log.write_all(b"2\n").unwrap();
        follow.expect(&[&first, "2"]);
        log.write_all(b"3\n").unwrap();
        let mut follow = follow.restart(&[&path], options);
        follow.expect(&[&first, "2", "3"]);
    }
}

#[test]
fn a_glob_that_matches_renamed_files_too_reads_them_on() {
    for options in each_backend() {
        let (dir, path, old) = log();
        let glob = dir.path().join("a.log*");
        let mut late = writer(&path);
        late.write_all(b"1\n").unwrap();
        let mut follow = Follow::open(&[&path, &glob], options.clone());
        follow.expect(&["1"]);
        for round in 0..3 {
            let older = dir.path().join("a.log.2");
            if old.exists() {
                rename(&old, older).unwrap();
            }
            rename(&path, &old).unwrap();
            let mut new = writer(&path);
            let read = follow.lines.len();
            late.write_all(format!("late {round}\n").as_bytes())
                .unwrap();
            new.write_all(format!("new {round}\n").as_bytes()).unwrap();
            late = new;
            follow.until("both", |follow| follow.lines.len() >= read + 2);
        }
        let mut follow = follow.restart(&[&path, &glob], options);
        late.write_all(b"last\n").unwrap();
        follow.until("last", |follow| follow.text().contains(&"last"));
        let mut text = follow.text();
        text.sort_unstable();
        let expected = [
            "1", "last", "late 0", "late 1", "late 2", "new 0", "new 1", "new 2",
        ];
        assert_eq!(text, expected, "{:#?}", follow.notices);
        assert!(follow.lines.iter().all(|(specs, _)| specs.contains(&1)));
    }
}

#[test]
fn a_glob_that_matches_copies_too_reads_nothing_twice() {
    for options in [options(LogBackend::Auto), options(LogBackend::Polling)] {
        let (dir, path, old) = log();
        let glob = dir.path().join("a.log*");
        append(&path, "1\n");
        let mut follow = Follow::open(&[&glob], options.clone());
        follow.expect(&["1"]);
        append(&path, "2\n");
        copy(&path, &old).unwrap();
        for _ in 0..20 {
            follow.poll(Duration::from_millis(5));
        }
        follow.expect(&["1", "2"]);
        File::create(&path).unwrap();
        follow.expect_notice("truncated");
        append(&path, "3\n");
        follow.expect(&["1", "2", "3"]);
        for _ in 0..20 {
            follow.poll(Duration::from_millis(5));
        }
        let mut follow = follow.restart(&[&glob], options);
        append(&path, "4\n");
        follow.expect(&["1", "2", "3", "4"]);
    }
}

#[test]
fn behind_a_symbolic_link() {
    for options in [options(LogBackend::Auto), options(LogBackend::Polling)] {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        let (target, link) = (real.join("a.log"), dir.path().join("link.log"));
        append(&target, "1\n");
        symlink(&target, &link).unwrap();
        let mut follow = Follow::open(&[&link], options.clone());
        follow.expect(&["1"]);
        append(&target, "2\n");
        rename(&target, real.join("a.log.1")).unwrap();
        append(&target, "3\n");
        follow.expect(&["1", "2", "3"]);
        append(&target, "4\n");
        let other = real.join("b.log");
        append(&other, "5\n");
        remove_file(&link).unwrap();
        symlink(&other, &link).unwrap();
        follow.expect(&["1", "2", "3", "4", "5"]);
    }
}

#[test]
fn several_times_while_nobody_looked() {
    for suffixes in [["3", "2", "1"], ["20261121", "20261122", "20261123"]] {
        let (dir, path, _) = log();
        append(&path, "1\n");
        let mut follow = Follow::open(&[&path], only_events());
        follow.expect(&["1"]);
        append(&path, "2\n");
        let dash = if suffixes[0] == "3" { "." } else { "-" };
        for (round, suffix) in suffixes.iter().enumerate() {
            let old = dir.path().join(format!("a.log{dash}{suffix}"));
            rename(&path, old).unwrap();
            append(&path, &format!("{}\n", round + 3));
        }
        append(&dir.path().join("a.log.bak"), "not a rotated log\n");
        append(&dir.path().join("a.log-other"), "somebody else's log\n");
        let mut follow = follow.restart(&[&path], only_events());
        follow.expect(&["1", "2", "3", "4", "5"]);
        follow.expect_notice("rotated meanwhile; reading the rest from");
    }
}

#[test]
fn by_copying_and_truncating_while_nobody_looked() {
    let (_dir, path, old) = log();
    append(&path, "1\n");
    let mut follow = Follow::open(&[&path], only_events());
    follow.expect(&["1"]);
    append(&path, "2\n");
    copy(&path, &old).unwrap();
    File::create(&path).unwrap();
    append(&path, "3\n");
    let mut follow = follow.restart(&[&path], only_events());
    follow.expect(&["1", "2", "3"]);
}

#[test]
fn a_restart_amid_the_rest_of_an_old_file_goes_on_there() {
    let (_dir, path, old) = log();
    let mut late = writer(&path);
    late.write_all(b"1\n").unwrap();
    let mut follow = Follow::open(&[&path], only_events());
    follow.expect(&["1"]);
    rename(&path, &old).unwrap();
    append(&path, "4\n");
    late.write_all(b"2\n").unwrap();
    follow.until("2", |follow| follow.lines.len() == 2);
    let mut follow = follow.restart(&[&path], only_events());
    late.write_all(b"3\n").unwrap();
    follow.expect(&["1", "2", "3", "4"]);
}

#[test]
fn a_rest_that_is_gone_or_compressed_is_reported() {
    let (dir, path, _) = log();
    append(&path, "1\n");
    let mut follow = Follow::open(&[&path], only_events());
    follow.expect(&["1"]);
    std::fs::write(dir.path().join("a.log.1.gz"), "\x1f").unwrap();
    let new = dir.path().join("new");
    append(&new, "2\n");
    rename(&new, &path).unwrap();
    let mut follow = follow.restart(&[&path], only_events());
    follow.expect(&["1", "2"]);
    follow.expect_notice("cannot be found; compressed files are not read");
}

#[test]
fn a_reload_goes_on_without_repeating_or_losing_a_line() {
    let (dir, path, old) = log();
    append(&path, "1\n");
    let mut follow = Follow::open(&[&path], only_events());
    follow.expect(&["1"]);
    append(&path, "2\n");
    rename(&path, &old).unwrap();
    append(&path, "3\n");
    let checkpoints = follow.files.checkpoints();
    let other = dir.path().join("other.log");
    let mut follow = Follow::resume(&[&other, &path], checkpoints, only_events());
    follow.expect(&["2", "3"]);
    assert_eq!(follow.lines[0].0, [1]);
}
