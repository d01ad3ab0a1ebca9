//! A writer is killed while it commits; what it had acknowledged is there, and no batch in part.
#![cfg(test)]

mod support;

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use stockade_core::{
    Attempts, Ban, Checkpoint, FailureId, FileCheckpoint, Fingerprint, JailName, SourceName,
    Timestamp, UnbanReason,
};
use stockade_store::{Batch, Store, Stored};

/// Bans of one batch: several pages of the log, so that a kill can come between two.
const BANS: u64 = 40;
const ROUNDS: u32 = 40;
/// Acknowledgements before the kill, at most; over all rounds the log is written back many times.
const ACKS_MAX: u64 = 25;

fn jail() -> JailName {
    JailName::try_new("sshd").unwrap()
}

fn source() -> SourceName {
    SourceName::new("/var/log/auth.log")
}

fn ban(batch: u64, n: u64) -> Ban {
    Ban {
        jail: jail(),
        id: FailureId::parse(&format!("2001:db8:{batch:x}::{n:x}")),
        at: Timestamp::from_secs(i64::try_from(batch).unwrap()),
        until: None,
        failures: u32::try_from(batch).unwrap(),
        bancount: 1,
    }
}

/// Batch `n` lifts the bans of batch `n - 1`, so that exactly one batch's bans run at any time.
fn batch(n: u64) -> Batch {
    let mut batch = Batch::default();
    for k in 0..BANS {
        let before = ban(n - 1, k);
        let at = ban(n, k).at;
        batch.unban(before.jail, before.id, UnbanReason::Manual, at);
        batch.ban(ban(n, k));
    }
    batch.attempts = (0..BANS).map(|k| attempts(n, k)).collect();
    batch.checkpoints = vec![(source(), checkpoint(n))];
    batch
}

fn attempts(batch: u64, n: u64) -> Attempts {
    Attempts {
        jail: jail(),
        id: FailureId::Text(format!("user-{n}").into()),
        times: vec![ban(batch, n).at; 3],
    }
}

fn checkpoint(n: u64) -> Checkpoint {
    Checkpoint::File(FileCheckpoint {
        path: "/var/log/auth.log".into(),
        device: 1,
        inode: 2,
        position: n,
        fingerprint: Fingerprint { len: 3, hash: 4 },
    })
}

/// The batch whose state the database holds, as its checkpoint says.
fn last(stored: &Stored) -> u64 {
    match stored.checkpoints.as_slice() {
        [] => 0,
        [(_, Checkpoint::File(file))] => file.position,
        other => panic!("{other:?}"),
    }
}

/// Exactly the state after `batch(last)`, nothing before or after it.
fn check_whole(stored: &Stored, last: u64) {
    if last == 0 {
        assert_eq!(*stored, Stored::default());
        return;
    }
    let mut bans = stored.bans.clone();
    bans.sort_by_key(|b| b.id.clone());
    let expected: Vec<Ban> = (0..BANS).map(|k| ban(last, k)).collect();
    assert_eq!(bans, expected);
    let mut found = stored.attempts.clone();
    found.sort_by_key(|a| a.id.clone());
    let mut expected: Vec<Attempts> = (0..BANS).map(|k| attempts(last, k)).collect();
    expected.sort_by_key(|a| a.id.clone());
    assert_eq!(found, expected);
    assert_eq!(stored.checkpoints, vec![(source(), checkpoint(last))]);
    assert_eq!(stored.earlier.len() as u64, last * BANS);
    assert!(stored.unreadable.is_empty());
}

#[test]
#[ignore = "the child that the test below kills"]
fn writes_batches_until_it_is_killed() {
    let Some(path) = support::path_of_child() else {
        return;
    };
    let (mut store, _) = Store::open(&path, Timestamp::EPOCH).unwrap();
    let first = last(&store.load().unwrap()) + 1;
    for n in first.. {
        store.commit(&batch(n)).unwrap();
        // One write, which a pipe takes whole or not at all (pipe(7)): no kill leaves half a line.
        let ack = format!("ack {n}\n");
        std::io::stderr().write_all(ack.as_bytes()).unwrap();
    }
}

/// Starts the writer, kills it after `acks` acknowledgements and `spins` more turns, and returns the
/// last one it gave, or 0.
fn write_and_kill(path: &Path, acks: u64, spins: u64) -> u64 {
    let mut child = support::start_child(&[], "writes_batches_until_it_is_killed", path);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ack = |line: std::io::Result<String>| {
        let line = line.unwrap();
        let number = line.strip_prefix("ack ");
        number
            .unwrap_or_else(|| panic!("the writer failed: {line}"))
            .parse::<u64>()
            .unwrap()
    };
    let mut last = 0;
    for _ in 0..acks {
        last = ack(lines.next().expect("the writer ended by itself"));
    }
    for _ in 0..spins {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.map(ack).last().unwrap_or(last)
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing_acknowledged_and_leaves_no_half_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bans.sqlite3");
    let random = RandomState::new();
    for round in 0..ROUNDS {
        let acks = random.hash_one((round, "acks")) % ACKS_MAX;
        let spins = random.hash_one((round, "spins")) % 200_000;
        let acknowledged = write_and_kill(&path, acks, spins);
        let (store, _opened) = Store::open(&path, Timestamp::EPOCH).unwrap();
        let stored = store.load().unwrap();
        let last = last(&stored);
        let context = format!("round {round}, {acks} acks, {spins} spins");
        assert!(
            last >= acknowledged,
            "{context}: {acknowledged} was acknowledged, {last} is there"
        );
        assert!(
            acks == 0 || last <= acknowledged + 1,
            "{context}: {last} > {acknowledged}"
        );
        check_whole(&stored, last);
    }
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|e| {
                let name = e.as_ref().unwrap().file_name();
                name.to_string_lossy().contains("corrupt")
            })
            .count(),
        0
    );
    let (store, _) = Store::open(&path, Timestamp::EPOCH).unwrap();
    assert!(
        last(&store.load().unwrap()) > u64::from(ROUNDS),
        "hardly anything was written"
    );
}
