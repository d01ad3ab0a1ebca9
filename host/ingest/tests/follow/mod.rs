//! Follows files in a temporary directory and keeps what was passed on.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "shared by test binaries, of which none needs all of it"
)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stockade_core::{Checkpoint, FileCheckpoint};
use stockade_ingest::{FileOptions, FileSpec, Files, LogBackend, Notice, Start};

/// Polls until a condition holds give up after this many waits of at most `WAIT`.
const WAITS: usize = 3000;
const WAIT: Duration = Duration::from_millis(20);

pub fn options(backend: LogBackend) -> FileOptions {
    FileOptions {
        backend,
        poll_interval: Duration::from_millis(5),
        scan_interval: Duration::from_millis(100),
        drain_quiet: Duration::from_millis(200),
        ..FileOptions::default()
    }
}

/// Like `options`, but nothing is found by the safety scan: only what the kernel reports.
pub fn only_events() -> FileOptions {
    FileOptions {
        poll_interval: Duration::from_secs(3600),
        scan_interval: Duration::from_secs(3600),
        ..options(LogBackend::Auto)
    }
}

pub struct Follow {
    pub files: Files,
    /// Every line with the specs that it was passed on for.
    pub lines: Vec<(Vec<usize>, String)>,
    pub checkpoints: BTreeMap<PathBuf, FileCheckpoint>,
    pub notices: Vec<String>,
}

impl Follow {
    pub fn open(globs: &[&Path], options: FileOptions) -> Self {
        Self::resume(globs, Vec::new(), options)
    }

    pub fn resume(globs: &[&Path], resume: Vec<FileCheckpoint>, options: FileOptions) -> Self {
        Self::start(globs, Start::Head, resume, options)
    }

    pub fn start(
        globs: &[&Path],
        start: Start,
        resume: Vec<FileCheckpoint>,
        options: FileOptions,
    ) -> Self {
        let specs = globs.iter().map(|glob| FileSpec {
            glob: glob.to_str().unwrap().to_owned(),
            start,
        });
        let checkpoints = resume.iter().map(|c| (c.path.clone(), c.clone())).collect();
        Self {
            files: Files::open(specs.collect(), resume, options).unwrap(),
            lines: Vec::new(),
            checkpoints,
            notices: Vec::new(),
        }
    }

    pub fn poll(&mut self, timeout: Duration) {
        let (lines, checkpoints) = (&mut self.lines, &mut self.checkpoints);
        let notices = self.files.poll(timeout, &mut |specs, chunk| {
            assert!(chunk.text.is_empty() || chunk.text.ends_with(b"\n"));
            for line in chunk.text.split_inclusive(|&b| b == b'\n') {
                let line = String::from_utf8_lossy(&line[..line.len() - 1]);
                lines.push((specs.to_vec(), line.into_owned()));
            }
            let Checkpoint::File(checkpoint) = chunk.checkpoint else {
                panic!("a file has a file's checkpoint");
            };
            assert_eq!(checkpoint.path.to_str().unwrap(), chunk.source.as_str());
            checkpoints.insert(checkpoint.path.clone(), checkpoint);
        });
        self.notices.extend(notices.iter().map(Notice::to_string));
    }

    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..WAITS {
            if done(self) {
                return;
            }
            self.poll(WAIT);
        }
        panic!(
            "never {what}; {} lines, last {:?}, notices {:#?}",
            self.lines.len(),
            self.lines.last(),
            self.notices
        );
    }

    pub fn text(&self) -> Vec<&str> {
        self.lines.iter().map(|(_, line)| &**line).collect()
    }

    /// Waits for as many lines as expected, and a few rounds more that nothing follows.
    pub fn expect(&mut self, expected: &[&str]) {
        self.until(&format!("{} lines", expected.len()), |follow| {
            follow.lines.len() >= expected.len()
        });
        for _ in 0..5 {
            self.poll(Duration::from_millis(1));
        }
        assert_eq!(self.text(), expected, "notices {:#?}", self.notices);
    }

    pub fn expect_notice(&mut self, part: &str) {
        self.until(&format!("said {part:?}"), |follow| {
            follow.notices.iter().any(|notice| notice.contains(part))
        });
    }

    /// A new follower from the checkpoints that came with the lines; keeps the lines.
    pub fn restart(self, globs: &[&Path], options: FileOptions) -> Self {
        let resume = self.checkpoints.into_values().collect();
        drop(self.files);
        let next = Self::resume(globs, resume, options);
        Self {
            lines: self.lines,
            notices: self.notices,
            ..next
        }
    }
}

/// Appends to a file, which is made if it does not exist, and closes it.
pub fn append(path: &Path, text: &str) {
    writer(path).write_all(text.as_bytes()).unwrap();
}

/// A program that keeps its log open.
pub fn writer(path: &Path) -> File {
    let mut open = OpenOptions::new();
    open.append(true).create(true).open(path).unwrap()
}
