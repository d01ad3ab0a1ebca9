//! The journal: real journal files, and a journalctl that dies as told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it is skipped"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use stockade_core::{Checkpoint, LineTimes, Timestamp};
use stockade_ingest::{Journal, JournalOptions, JournalSpec, Notice, journal_available};

/// Debian's package systemd-journal-remote.
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

struct Follow {
    journal: Journal,
    lines: Vec<String>,
    times: Vec<Timestamp>,
    cursor: Option<String>,
    notices: Vec<String>,
}

impl Follow {
    fn new(spec: JournalSpec, resume: Option<String>, program: &Path) -> Self {
        let options = JournalOptions {
            program: program.to_owned(),
            retry_min: Duration::from_millis(5),
            line_len_max: 10_000,
            ..JournalOptions::default()
        };
        Self {
            journal: Journal::new(spec, resume.clone(), options).unwrap(),
            lines: Vec::new(),
            times: Vec::new(),
            cursor: resume,
            notices: Vec::new(),
        }
    }

    fn poll(&mut self, timeout: Duration) {
        let (lines, times, last) = (&mut self.lines, &mut self.times, &mut self.cursor);
        let notices = self.journal.poll(timeout, &mut |chunk| {
            let LineTimes::Given(given) = chunk.times else {
                panic!("the journal knows the times");
            };
            let before = lines.len();
            for line in chunk.text.split_inclusive(|&b| b == b'\n') {
                let line = line.strip_suffix(b"\n").unwrap();
                lines.push(String::from_utf8_lossy(line).into_owned());
            }
            assert_eq!(lines.len() - before, given.len());
            times.extend(given);
            let Checkpoint::Journal { cursor } = chunk.checkpoint else {
                panic!("a journal has a cursor");
            };
            *last = Some(cursor);
        });
        self.notices.extend(notices.iter().map(Notice::to_string));
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        // A poll also ends early with a few bytes; only waits for nothing take their time.
        for _ in 0..20_000 {
            if done(self) {
                return;
            }
            self.poll(Duration::from_millis(20));
        }
        panic!("never {what}; {:?}, {:#?}", self.lines, self.notices);
    }

    fn expect(&mut self, lines: &[&str]) {
        self.until("all lines", |follow| follow.lines.len() >= lines.len());
        assert_eq!(self.lines, lines, "{:#?}", self.notices);
    }
}

fn entry(n: u64, fields: &str) -> String {
    format!(
        "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={n}\n\
         _BOOT_ID=00112233445566778899aabbccddeeff\n_HOSTNAME=host\n\
         SYSLOG_IDENTIFIER=sshd\n_PID={n}\n{fields}\n\n",
        1_700_000_000_000_000 + n * 1_000_000,
    )
}

/// Is everything there that a real journal needs?
fn real_journal() -> bool {
    let missing = !Path::new(REMOTE).exists() || !Path::new("/usr/bin/journalctl").exists();
    if missing {
        let must = std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_some();
        assert!(!must, "journalctl or systemd-journal-remote is missing");
        eprintln!("skipped: journalctl or systemd-journal-remote is missing");
    }
    !missing
}

#[expect(
    clippy::disallowed_methods,
    reason = "a real journal is written by a real program"
)]
fn write_journal(file: &Path, entries: &str) {
    let mut remote = std::process::Command::new(REMOTE)
        .arg("-o")
        .arg(file)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = remote.stdin.take().unwrap();
    stdin.write_all(entries.as_bytes()).unwrap();
    drop(stdin);
    assert!(remote.wait().unwrap().success());
}

fn spec(dir: &Path) -> JournalSpec {
    JournalSpec {
        extra_args: vec![format!("--directory={}", dir.display())],
        ..JournalSpec::default()
    }
}

#[test]
fn a_real_journal_is_followed_and_read_on_after_its_cursor() {
    if !real_journal() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.journal");
    let program = Path::new("journalctl");
    assert!(!journal_available(program, &spec(dir.path()).extra_args));
    write_journal(&file, &(entry(1, "MESSAGE=one") + &entry(2, "MESSAGE=two")));
    assert!(journal_available(program, &spec(dir.path()).extra_args));
    let mut follow = Follow::new(spec(dir.path()), None, program);
    follow.expect(&["host sshd[1]: one", "host sshd[2]: two"]);
    assert_eq!(follow.times[1], Timestamp::from_secs(1_700_000_002));
    let binary = "MESSAGE\n\u{9}\0\0\0\0\0\0\0three\nbis";
    write_journal(&file, &entry(3, binary));
    follow.until("three", |follow| follow.lines.len() == 3);
    assert_eq!(follow.lines[2], "host sshd[3]: three\\nbis");
    let cursor = follow.cursor.clone();
    drop(follow);
    write_journal(&file, &entry(4, "MESSAGE=four"));
    let mut follow = Follow::new(spec(dir.path()), cursor.clone(), program);
    follow.expect(&["host sshd[4]: four"]);
    assert_ne!(follow.cursor, cursor);
    assert_eq!(follow.notices, Vec::<String>::new());
}

#[test]
fn matches_are_alternatives_of_all() {
    if !real_journal() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let entries = [
        entry(1, "MESSAGE=a\n_COMM=sshd\n_UID=0"),
        entry(2, "MESSAGE=b\n_COMM=sshd\n_UID=1"),
        entry(3, "MESSAGE=c\n_COMM=dovecot\n_UID=5"),
        entry(4, "MESSAGE=d\n_COMM=other\n_UID=0"),
    ];
    write_journal(&dir.path().join("test.journal"), &entries.concat());
    let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let spec = JournalSpec {
        matches: vec![all(&["_COMM=sshd", "_UID=0"]), all(&["_COMM=dovecot"])],
        ..spec(dir.path())
    };
    let mut follow = Follow::new(spec.clone(), None, Path::new("journalctl"));
    follow.expect(&["host sshd[1]: a", "host sshd[3]: c"]);
    assert_eq!(
        follow.journal.source().as_str(),
        "journal:_COMM=sshd _UID=0 + _COMM=dovecot"
    );
    let late = JournalSpec {
        since: Some(Timestamp::from_secs(1_700_000_002)),
        ..spec
    };
    let mut follow = Follow::new(late, None, Path::new("journalctl"));
    follow.expect(&["host sshd[3]: c"]);
}

#[test]
fn a_cursor_that_the_journal_does_not_know_does_not_stall() {
    if !real_journal() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_journal(&dir.path().join("test.journal"), &entry(1, "MESSAGE=one"));
    let removed = "s=0123456789abcdef0123456789abcdef;i=5;b=10112233445566778899aabbccddeeff;\
                   m=1;t=50a24181e4000;x=abc";
    for cursor in [removed, "nonsense"] {
        let program = Path::new("journalctl");
        let mut follow = Follow::new(spec(dir.path()), Some(cursor.into()), program);
        follow.expect(&["host sshd[1]: one"]);
        let said = "'journal:' no longer knows the stored cursor; reading all it has since then";
        assert!(
            follow.notices.iter().any(|n| n == said),
            "{:?}",
            follow.notices
        );
    }
}

/// A journalctl that does what `script` says; `$run` is the number of its run.
fn fake(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("journalctl");
    let dir = dir.display();
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {dir}/args\nrun=$(wc -l < {dir}/args)\n\
         entry() {{ printf '__CURSOR=%s\\n__REALTIME_TIMESTAMP=1\\nMESSAGE=%s\\n\\n' $1 $1; }}\n\
         {script}\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_journalctl_that_dies_is_started_again_at_the_last_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let script = "case $run in
        1) entry a; printf '__CURSOR=b\\n__REALTIME_TIMESTAMP=2\\nMESS'
           printf 'it broke\\033[2J\\n' >&2; exit 3;;
        2) kill -9 $$;;
        *) entry a; entry b; exec sleep 1000;;
    esac";
    let program = fake(dir.path(), script);
    let mut follow = Follow::new(JournalSpec::default(), None, &program);
    follow.expect(&["localhost unknown: a", "localhost unknown: b"]);
    let args = fs::read_to_string(dir.path().join("args")).unwrap();
    let cursors: Vec<bool> = args
        .lines()
        .map(|line| line.contains("--cursor=a"))
        .collect();
    assert_eq!(cursors, [false, true, true]);
    let said = |part: &str| follow.notices.iter().any(|notice| notice.contains(part));
    assert!(
        said("cannot follow 'journal:': journalctl "),
        "{:?}",
        follow.notices
    );
    assert!(
        said(": it broke\\u{1b}[2J; trying again in "),
        "{:?}",
        follow.notices
    );
    assert!(!said("no longer knows"), "{:?}", follow.notices);
}

#[test]
fn a_journalctl_that_only_talks_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let script = "entry a
        i=0; while [ $i -lt 5000 ]; do echo 'some words that nobody wants to read' >&2
        i=$((i+1)); done; exit 1";
    let program = fake(dir.path(), script);
    let mut follow = Follow::new(JournalSpec::default(), None, &program);
    follow.until("ended", |follow| {
        follow
            .notices
            .iter()
            .any(|notice| notice.contains("cannot follow"))
    });
    assert_eq!(follow.lines, ["localhost unknown: a"]);
    assert!(follow.notices.iter().all(|notice| notice.len() < 2000));
}

#[test]
fn bad_and_over_long_entries_are_counted_and_the_cursor_moves_past_them() {
    let dir = tempfile::tempdir().unwrap();
    let script = "printf '__CURSOR=a\\n__REALTIME_TIMESTAMP=soon\\nMESSAGE=m\\n\\n'
        printf '__CURSOR=b\\n__REALTIME_TIMESTAMP=1\\n\\n'
        printf '__CURSOR=c\\n__REALTIME_TIMESTAMP=1\\nMESSAGE='
        head -c 10485760 /dev/zero | tr '\\0' x; printf '\\n\\n'
        exec sleep 1000";
    let program = fake(dir.path(), script);
    let mut follow = Follow::new(JournalSpec::default(), None, &program);
    follow.until("c", |follow| follow.cursor.as_deref() == Some("c"));
    assert_eq!(follow.lines, Vec::<String>::new());
    let said = |part: &str| follow.notices.iter().any(|notice| notice.contains(part));
    assert!(
        said("malformed entries of 'journal:'"),
        "{:?}",
        follow.notices
    );
    assert!(
        said("skipped 1 over-long lines (10485760 bytes) of 'journal:'"),
        "{:?}",
        follow.notices
    );
}

#[test]
fn a_missing_journalctl_is_reported_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("journalctl");
    assert!(!journal_available(&program, &[]));
    let mut follow = Follow::new(JournalSpec::default(), None, &program);
    follow.until("said so", |follow| {
        follow
            .notices
            .iter()
            .any(|notice| notice.contains("cannot start journalctl"))
    });
    fake(dir.path(), "entry a; exec sleep 1000");
    follow.expect(&["localhost unknown: a"]);
}

#[test]
fn journalctl_is_ended_and_waited_for_with_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let script = format!("echo $$ > {}; entry a; exec sleep 1000", pid_file.display());
    let program = fake(dir.path(), &script);
    let mut follow = Follow::new(JournalSpec::default(), None, &program);
    follow.expect(&["localhost unknown: a"]);
    let pid = fs::read_to_string(pid_file).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    drop(follow);
    assert!(!process.exists(), "neither running nor a zombie");
}

#[test]
fn a_waker_ends_the_wait_with_and_without_a_journalctl() {
    let dir = tempfile::tempdir().unwrap();
    let program = fake(dir.path(), "entry a; exec sleep 1000");
    let mut follow = Follow::new(JournalSpec::default(), None, &program);
    follow.expect(&["localhost unknown: a"]);
    let options = JournalOptions {
        program: dir.path().join("missing"),
        retry_min: Duration::from_secs(3600),
        ..JournalOptions::default()
    };
    let mut idle = Journal::new(JournalSpec::default(), None, options).unwrap();
    assert_eq!(idle.poll(Duration::ZERO, &mut |_| {}).len(), 1);
    for journal in [&mut follow.journal, &mut idle] {
        let waker = journal.waker();
        let woken = std::thread::spawn(move || waker.wake());
        let notices = journal.poll(Duration::from_secs(3600), &mut |_| {});
        assert!(notices.is_empty());
        woken.join().unwrap();
    }
}
