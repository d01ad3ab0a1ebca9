//! Random histories of a log, with restarts of the reader at any point.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod follow;

use std::fs::{File, copy, rename};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use stockade_ingest::{FileOptions, LogBackend};

use crate::follow::{Follow, options};

/// Something that happens to the log, or to its reader.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The program writes so many lines.
    Write(usize),
    /// The program writes a part of a line and is interrupted.
    WritePart,
    /// Renamed away; a new file is there at once or with the next line.
    Rename { create: bool },
    /// Renamed, and the program writes to the old file until it reopens its log.
    RenameLate(usize),
    /// Another file is renamed over it.
    Replace,
    /// Copied and truncated while the program does nothing.
    CopyTruncate,
    /// The reader reads what is there.
    Poll,
    /// The reader is killed, and goes on from the checkpoints of what it has passed on.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_usize..400).prop_map(Step::Write),
        2 => Just(Step::WritePart),
        2 => any::<bool>().prop_map(|create| Step::Rename { create }),
        2 => (1_usize..20).prop_map(Step::RenameLate),
        2 => Just(Step::Replace),
        2 => Just(Step::CopyTruncate),
        8 => Just(Step::Poll),
        4 => Just(Step::Restart),
    ]
}

/// A program with a log, and its rotation program; every line is numbered.
struct Program {
    dir: PathBuf,
    path: PathBuf,
    log: File,
    written: usize,
    part: bool,
}

impl Program {
    fn new(dir: &Path) -> Self {
        let path = dir.join("a.log");
        Self {
            dir: dir.to_owned(),
            log: follow::writer(&path),
            path,
            written: 0,
            part: false,
        }
    }

    fn write(&mut self, lines: usize) {
        for _ in 0..lines {
            if !self.part {
                write!(self.log, "line {}", self.written).unwrap();
            }
            writeln!(self.log, " of the log").unwrap();
            self.part = false;
            self.written += 1;
        }
    }

    fn write_part(&mut self) {
        if !self.part {
            write!(self.log, "line {}", self.written).unwrap();
            self.part = true;
        }
    }

    fn finish_part(&mut self) {
        if self.part {
            self.write(1);
        }
    }

    /// `a.log.1` becomes `a.log.2` and so on, and then the log `a.log.1`.
    fn rotate(&self) {
        let name = |n: usize| self.dir.join(format!("a.log.{n}"));
        let count = (1..).take_while(|n| name(*n).exists()).count();
        for n in (1..=count).rev() {
            rename(name(n), name(n + 1)).unwrap();
        }
    }

    fn rename(&mut self) {
        self.rotate();
        rename(&self.path, self.dir.join("a.log.1")).unwrap();
    }

    fn reopen(&mut self) {
        self.log = follow::writer(&self.path);
    }

    fn replace(&mut self) {
        let new = self.dir.join("new");
        File::create(&new).unwrap();
        // What was replaced is gone for good: keep its lines within reach of a restart, as a
        // rotation program does with a hard link.
        self.rotate();
        std::fs::hard_link(&self.path, self.dir.join("a.log.1")).unwrap();
        rename(new, &self.path).unwrap();
        self.reopen();
    }

    fn copy_truncate(&mut self) {
        self.rotate();
        copy(&self.path, self.dir.join("a.log.1")).unwrap();
        self.log.set_len(0).unwrap();
        self.let_time_pass();
    }

    /// Until a file that is written now gets a later time than the log has. Whoever only looks cannot
    /// tell a file that was truncated and has grown to the same size within one tick of that clock.
    fn let_time_pass(&self) {
        let modified = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
        let probe = self.dir.join("probe");
        let before = modified(&self.path);
        while {
            std::fs::write(&probe, "").unwrap();
            modified(&probe) <= before
        } {}
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(lines) => self.write(lines),
            Step::WritePart => self.write_part(),
            Step::Rename { create } => {
                self.finish_part();
                self.rename();
                if create {
                    self.reopen();
                } else {
                    // The next line makes it.
                    self.reopen();
                    self.write(1);
                }
            }
            Step::RenameLate(lines) => {
                self.rename();
                drop(File::options().append(true).create(true).open(&self.path));
                self.write(lines);
                self.reopen();
            }
            Step::Replace => {
                self.finish_part();
                self.replace();
            }
            Step::CopyTruncate => {
                self.finish_part();
                self.copy_truncate();
            }
            Step::Poll | Step::Restart => {}
        }
    }

    fn expected(&self) -> Vec<String> {
        (0..self.written)
            .map(|n| format!("line {n} of the log"))
            .collect()
    }
}

/// One thread: whatever the reader is doing, the steps come in between.
fn check(steps: &[Step], options: &FileOptions, wide: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::new(dir.path());
    let path = program.path.clone();
    let wide_glob = dir.path().join("a.log*");
    let globs: &[&Path] = if wide { &[&wide_glob] } else { &[&path] };
    // Before its first line the reader has no checkpoint to find a rotated file by.
    program.write(1);
    let mut follow = Follow::open(globs, options.clone());
    follow.poll(Duration::ZERO);
    for step in steps {
        if matches!(step, Step::CopyTruncate) {
            // A file that is truncated before anything of it was read cannot be told from one
            // that was just made; later lines are found in the copy.
            program.finish_part();
            program.write(1);
            let written = program.written;
            follow.until("caught up", |follow| follow.lines.len() >= written);
            program.write(3);
        }
        program.step(*step);
        match step {
            Step::Poll => follow.poll(Duration::ZERO),
            Step::Restart => follow = follow.restart(globs, options.clone()),
            _ => {}
        }
    }
    program.finish_part();
    check_complete(&mut follow, &program.expected(), wide);
}

fn check_complete(follow: &mut Follow, expected: &[String], unordered: bool) {
    follow.until("complete", |follow| {
        let text = follow.text();
        let differs = text
            .iter()
            .zip(expected)
            .position(|(got, want)| got != want);
        text.len() >= expected.len() || (differs.is_some() && !unordered)
    });
    for _ in 0..3 {
        follow.poll(Duration::from_millis(1));
    }
    let mut text = follow.text();
    if unordered {
        let number = |line: &&str| line.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
        text.sort_by_key(number);
    }
    let differs = text
        .iter()
        .zip(expected)
        .position(|(got, want)| got != want);
    if let Some(at) = differs {
        let (got, want) = (text[at], &expected[at]);
        panic!("got {got:?} for {want:?}; {:#?}", follow.notices);
    }
    let extra = text.get(expected.len()..);
    assert_eq!(extra, Some(&[][..]), "{:#?}", follow.notices);
}

/// Quiet files are let go at once: here nothing is written late to a file once the program has
/// reopened its log.
fn fast(backend: LogBackend) -> FileOptions {
    FileOptions {
        drain_quiet: Duration::from_millis(2),
        poll_interval: Duration::from_millis(1),
        ..options(backend)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_line_comes_once_with_inotify(steps in prop::collection::vec(step(), 1..60)) {
        check(&steps, &fast(LogBackend::Auto), false);
    }

    #[test]
    fn every_line_comes_once_with_polling(steps in prop::collection::vec(step(), 1..60)) {
        check(&steps, &fast(LogBackend::Polling), false);
    }

    /// The order between files of their own is not kept, so only the set of lines is compared.
    #[test]
    fn every_line_comes_once_where_the_glob_matches_old_files(
        steps in prop::collection::vec(
            step().prop_filter("renames", |s| !matches!(s, Step::CopyTruncate | Step::Replace)),
            1..60,
        ),
    ) {
        check(&steps, &fast(LogBackend::Auto), true);
    }
}

/// Tells the writer when the reader is gone, also by a failed assertion.
struct GiveUp<'a>(&'a AtomicBool);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Two threads: the program writes and rotates as fast as it can, while the reader is killed
/// again and again.
fn race(backend: LogBackend) {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::new(dir.path());
    let path = program.path.clone();
    let options = FileOptions {
        drain_quiet: Duration::from_millis(300),
        poll_interval: Duration::from_millis(2),
        ..options(backend)
    };
    let done = AtomicBool::new(false);
    let written = AtomicUsize::new(0);
    let read = AtomicUsize::new(0);
    let given_up = AtomicBool::new(false);
    let mut rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut restarts = rng.clone();
    // Before its first line the reader has no checkpoint to find a rotated file by.
    program.write(1);
    let mut follow = Follow::open(&[&path], options.clone());
    follow.until("begun", |follow| follow.lines.len() == 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..12 {
                program.write(1 + (rng.next_u32() % 2000) as usize);
                match round % 4 {
                    0 => program.step(Step::Rename { create: true }),
                    1 => program.step(Step::RenameLate(50)),
                    2 => program.step(Step::Replace),
                    _ => {
                        // Lines between the copy and the truncation are lost by nature, and so
                        // are those of a copy that is rotated on before they were looked for.
                        written.store(program.written, Ordering::SeqCst);
                        while read.load(Ordering::SeqCst) < program.written {
                            if given_up.load(Ordering::SeqCst) {
                                return;
                            }
                            std::thread::yield_now();
                        }
                        program.copy_truncate();
                    }
                }
                program.write(1);
            }
            written.store(program.written, Ordering::SeqCst);
            done.store(true, Ordering::SeqCst);
        });
        let _guard = GiveUp(&given_up);
        let mut restart_at = 0;
        for round in 0.. {
            follow.poll(Duration::from_millis(5));
            read.store(follow.lines.len(), Ordering::SeqCst);
            let is_done = done.load(Ordering::SeqCst);
            if is_done && follow.lines.len() >= written.load(Ordering::SeqCst) {
                break;
            }
            // Most rounds end early, with the few lines that were just written.
            if round > 40_000 {
                let count = written.load(Ordering::SeqCst);
                let expected: Vec<_> = (0..count).map(|n| format!("line {n} of the log")).collect();
                check_complete(&mut follow, &expected, false);
            }
            // Progress is needed, or no file would ever be quiet for long enough.
            if follow.lines.len() > restart_at {
                restart_at = follow.lines.len() + restarts.next_u32() as usize % 2000;
                follow = follow.restart(&[&path], options.clone());
            }
        }
        let count = written.load(Ordering::SeqCst);
        let expected: Vec<_> = (0..count).map(|n| format!("line {n} of the log")).collect();
        check_complete(&mut follow, &expected, false);
    });
}

#[test]
fn every_line_comes_once_in_a_race_with_inotify() {
    race(LogBackend::Auto);
}

#[test]
fn every_line_comes_once_in_a_race_with_polling() {
    race(LogBackend::Polling);
}
