//! What the store keeps, counts and forgets.
#![cfg(test)]

use std::path::Path;
use std::time::Duration;

use stockade_core::{
    Attempts, Ban, Checkpoint, EarlierBans, FailureId, JailName, SourceName, Timestamp, UnbanReason,
};
use stockade_store::{Batch, CHECKPOINT_AGE_MIN, Opened, PURGE_ROWS_MAX, Store, StoreError};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn jail(name: &str) -> JailName {
    JailName::try_new(name).unwrap()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn ban(id: &str, secs: i64, until: Option<i64>) -> Ban {
    Ban {
        jail: jail("sshd"),
        id: FailureId::parse(id),
        at: at(secs),
        until: until.map(at),
        failures: 5,
        bancount: 1,
    }
}

fn open(path: &Path) -> Store {
    Store::open(path, at(0)).unwrap().0
}

fn commit_bans(store: &mut Store, bans: impl IntoIterator<Item = Ban>) {
    let mut batch = Batch::default();
    bans.into_iter().for_each(|ban| batch.ban(ban));
    store.commit(&batch).unwrap();
}

fn unban(batch: &mut Batch, id: &str, secs: i64) {
    let id = FailureId::parse(id);
    batch.unban(jail("sshd"), id, UnbanReason::Manual, at(secs));
}

/// A connection beside the store, as sqlite3(1) is one.
fn outside(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

#[test]
fn the_later_of_a_ban_and_an_unban_in_one_batch_stands() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("db"));
    commit_bans(
        &mut store,
        [ban("192.0.2.1", 10, None), ban("192.0.2.2", 10, None)],
    );
    let mut batch = Batch::default();
    // Both at one moment: only their order tells which comes last.
    unban(&mut batch, "192.0.2.1", 20);
    batch.ban(ban("192.0.2.1", 20, None));
    batch.ban(ban("192.0.2.2", 20, None));
    unban(&mut batch, "192.0.2.2", 20);
    store.commit(&batch).unwrap();
    assert_eq!(store.load().unwrap().bans, vec![ban("192.0.2.1", 20, None)]);
}

#[test]
fn a_longer_end_of_the_same_ban_is_not_another_ban() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("db"));
    commit_bans(&mut store, [ban("192.0.2.1", 10, Some(20))]);
    commit_bans(&mut store, [ban("192.0.2.1", 10, Some(90))]);
    let stored = store.load().unwrap();
    assert_eq!(stored.bans, vec![ban("192.0.2.1", 10, Some(90))]);
    assert_eq!(
        stored.earlier,
        vec![EarlierBans::from(ban("192.0.2.1", 10, Some(90)))]
    );
}

/// The number of the last ban of each id that is remembered.
fn counts(store: &Store) -> Vec<(String, u32)> {
    let earlier = store.load().unwrap().earlier;
    let mut counts: Vec<_> = earlier
        .iter()
        .map(|earlier| (format!("{} {}", earlier.jail, earlier.id), earlier.bancount))
        .collect();
    counts.sort();
    counts
}

#[test]
fn the_number_of_the_last_ban_of_an_id_in_a_jail_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    for n in 1..=3 {
        let mut store = open(&path);
        let mut batch = Batch::default();
        let from = i64::from(n) * 100;
        batch.ban(Ban {
            bancount: n,
            ..ban("192.0.2.1", from, Some(from + 10))
        });
        let id = FailureId::parse("192.0.2.1");
        batch.unban(jail("sshd"), id, UnbanReason::Expired, at(from + 10));
        store.commit(&batch).unwrap();
    }
    let mut store = open(&path);
    assert_eq!(counts(&store), [("sshd 192.0.2.1".to_owned(), 3)]);
    commit_bans(
        &mut store,
        [Ban {
            jail: jail("web"),
            ..ban("192.0.2.1", 5, None)
        }],
    );
    let expected = [
        ("sshd 192.0.2.1".to_owned(), 3),
        ("web 192.0.2.1".into(), 1),
    ];
    assert_eq!(counts(&store), expected);
}

#[test]
fn an_unban_by_an_operator_makes_earlier_bans_count_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("db"));
    let mut batch = Batch::default();
    batch.ban(Ban {
        bancount: 4,
        ..ban("192.0.2.1", 0, Some(1000))
    });
    let id = FailureId::parse("192.0.2.1");
    batch.unban(jail("sshd"), id, UnbanReason::Expired, at(1000));
    batch.ban(Ban {
        bancount: 5,
        ..ban("192.0.2.1", 2000, Some(2010))
    });
    unban(&mut batch, "192.0.2.1", 2005);
    store.commit(&batch).unwrap();
    assert_eq!(counts(&store), [("sshd 192.0.2.1".to_owned(), 0)]);
    // Also when the lifted one is forgotten, and the one before it is not.
    store.purge(at(2500), Duration::ZERO).unwrap();
    assert_eq!(counts(&store), [("sshd 192.0.2.1".to_owned(), 0)]);
    commit_bans(&mut store, [ban("192.0.2.1", 3000, Some(3010))]);
    assert_eq!(counts(&store), [("sshd 192.0.2.1".to_owned(), 1)]);
}

#[test]
fn a_ban_is_kept_for_as_long_as_it_makes_the_next_longer() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("db"));
    let ban = ban("192.0.2.1", 1000, Some(1600));
    let relevant_until = ban.relevant_until();
    assert_eq!(relevant_until, at(1000 + 3 * 600));
    commit_bans(&mut store, [ban]);
    let last = relevant_until.saturating_add(DAY);
    assert_eq!(store.purge(last, DAY).unwrap().bans, 0);
    let after = last.saturating_add(Duration::from_micros(1));
    assert_eq!(store.purge(after, DAY).unwrap().bans, 1);
}

#[test]
fn a_ban_that_follows_another_without_an_unban_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("db"));
    commit_bans(
        &mut store,
        [
            ban("192.0.2.1", 10, Some(20)),
            ban("192.0.2.1", 30, Some(40)),
        ],
    );
    let stored = store.load().unwrap();
    assert_eq!(stored.bans, vec![ban("192.0.2.1", 30, Some(40))]);
    let last = EarlierBans::from(ban("192.0.2.1", 30, Some(40)));
    assert_eq!(stored.earlier, vec![last]);
}

#[test]
fn attempts_are_replaced_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("db"));
    let attempts = |times: &[i64]| Attempts {
        jail: jail("sshd"),
        id: FailureId::parse("2001:db8::/64"),
        times: times.iter().copied().map(at).collect(),
    };
    for times in [&[1][..], &[1, 2, 3], &[2, 3]] {
        let batch = Batch {
            attempts: vec![attempts(times)],
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
        assert_eq!(store.load().unwrap().attempts, vec![attempts(times)]);
    }
    store
        .commit(&Batch {
            attempts: vec![attempts(&[])],
            ..Batch::default()
        })
        .unwrap();
    assert_eq!(store.load().unwrap().attempts, vec![]);
}

#[test]
fn an_empty_batch_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = open(&path);
    let watcher = outside(&path);
    let version = || {
        watcher
            .query_one("PRAGMA data_version", (), |r| r.get::<_, i64>(0))
            .unwrap()
    };
    let before = version();
    store.commit(&Batch::default()).unwrap();
    assert_eq!(version(), before);
    commit_bans(&mut store, [ban("192.0.2.1", 1, None)]);
    assert_ne!(version(), before);
}

#[test]
fn purge_forgets_what_is_over_and_keeps_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("db"));
    let mut batch = Batch::default();
    batch.ban(ban("192.0.2.1", 0, None));
    batch.ban(ban("192.0.2.2", 0, Some(10)));
    batch.ban(ban("192.0.2.3", 0, None));
    unban(&mut batch, "192.0.2.3", 20);
    batch.ban(ban("192.0.2.4", 0, Some(100_000)));
    let attempts = |id, secs| Attempts {
        jail: jail("sshd"),
        id: FailureId::parse(id),
        times: vec![at(0), at(secs)],
    };
    batch.attempts = vec![attempts("192.0.2.8", 5), attempts("192.0.2.9", 90_000)];
    store.commit(&batch).unwrap();
    let purged = store.purge(at(0).saturating_add(DAY + HOUR), DAY).unwrap();
    assert_eq!((purged.bans, purged.attempts, purged.more), (2, 1, false));
    let stored = store.load().unwrap();
    let left: Vec<String> = stored.bans.iter().map(|b| b.id.to_string()).collect();
    assert_eq!(left, ["192.0.2.1", "192.0.2.4"]);
    assert_eq!(stored.attempts, vec![attempts("192.0.2.9", 90_000)]);
    // Those of 3 hours' relevance and more.
    assert_eq!(stored.earlier.len(), 2);
}

#[test]
fn the_checkpoint_of_a_quiet_source_outlives_the_bans_but_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("db"));
    let commit = |store: &mut Store, name: &str, cursor: &str| {
        let checkpoint = Checkpoint::Journal {
            cursor: cursor.into(),
        };
        let checkpoints = vec![(SourceName::new(name), checkpoint)];
        store
            .commit(&Batch {
                checkpoints,
                ..Batch::default()
            })
            .unwrap();
    };
    let start = at(1_000_000);
    let step = CHECKPOINT_AGE_MIN - HOUR;
    commit(&mut store, "quiet", "a");
    commit(&mut store, "busy", "b");
    assert_eq!(store.purge(start, DAY).unwrap().checkpoints, 0);
    commit(&mut store, "busy", "c");
    assert_eq!(
        store
            .purge(start.saturating_add(step), DAY)
            .unwrap()
            .checkpoints,
        0
    );
    assert_eq!(store.load().unwrap().checkpoints.len(), 2);
    let end = start.saturating_add(CHECKPOINT_AGE_MIN + HOUR);
    assert_eq!(store.purge(end, DAY).unwrap().checkpoints, 1);
    let left = store.load().unwrap().checkpoints;
    assert_eq!(
        left,
        vec![(
            SourceName::new("busy"),
            Checkpoint::Journal { cursor: "c".into() }
        )]
    );
}

#[test]
fn the_file_shrinks_after_a_flood_and_a_call_deletes_a_bounded_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = open(&path);
    let flood = PURGE_ROWS_MAX + 5_000;
    let of = |n: u32| {
        ban(
            &format!("{}", std::net::Ipv4Addr::from_bits(n)),
            0,
            Some(10),
        )
    };
    commit_bans(&mut store, (0..flood).map(of));
    let later = at(0).saturating_add(DAY + DAY);
    let first = store.purge(later, DAY).unwrap();
    assert_eq!((first.bans, first.more), (PURGE_ROWS_MAX as usize, true));
    let size = || std::fs::metadata(&path).unwrap().len();
    let full = size();
    let second = store.purge(later, DAY).unwrap();
    assert_eq!((second.bans, second.more), (5_000, false));
    assert!(size() < full / 2, "{full} bytes before, {} after", size());
    assert!(store.load().unwrap().bans.is_empty());
}

#[test]
fn a_row_edited_by_hand_is_left_out_and_reported_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = open(&path);
    let id = |n| format!("192.0.2.{n}");
    commit_bans(&mut store, (1..=8).map(|n| ban(&id(n), 10, None)));
    let name = SourceName::new("journal");
    let checkpoint = Checkpoint::Journal { cursor: "c".into() };
    let attempts = Attempts {
        jail: jail("sshd"),
        id: FailureId::parse("alice"),
        times: vec![at(1)],
    };
    let batch = Batch {
        attempts: vec![attempts],
        checkpoints: vec![(name, checkpoint)],
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    for edit in [
        "UPDATE bans SET jail = 'a b\n' WHERE id = '192.0.2.1'",
        "UPDATE bans SET id = 'not an address' WHERE id = '192.0.2.2'",
        "UPDATE bans SET failures = -1 WHERE id = '192.0.2.3'",
        "UPDATE bans SET bancount = 5000000000 WHERE id = '192.0.2.4'",
        "UPDATE bans SET kind = 1 WHERE id = '192.0.2.5'",
        "UPDATE bans SET id = '::ffff:192.0.2.6' WHERE id = '192.0.2.6'",
        "UPDATE bans SET id = CAST(x'ff0a1b' AS TEXT) WHERE id = '192.0.2.7'",
        "UPDATE attempts SET times = x'0102'",
        "UPDATE checkpoints SET kind = 9",
    ] {
        assert_eq!(outside(&path).execute(edit, ()).unwrap(), 1, "{edit}");
    }
    let stored = store.load().unwrap();
    assert_eq!(stored.bans, vec![ban("192.0.2.8", 10, None)]);
    let mut reasons: Vec<String> = stored
        .unreadable
        .iter()
        .map(|row| format!("{}: {}", row.table, row.reason))
        .collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "attempts: times are not whole numbers of 8 bytes",
            "bans: bancount 5000000000 is out of range",
            "bans: failures -1 is out of range",
            "bans: id \"192.0.2.5\" of jail 'sshd' is not of kind 1",
            "bans: id \"::ffff:192.0.2.6\" of jail 'sshd' is not of kind 0",
            "bans: id \"not an address\" of jail 'sshd' is not of kind 0",
            "bans: id is not UTF-8",
            "bans: jail \"a b\\n\": a jail's name may not contain ' '; allowed are letters, \
             digits, '_', '-' and '.'",
            "checkpoints: there is no checkpoint of kind 9",
        ]
    );
}

#[test]
fn a_lock_held_by_another_process_is_said_to_be_one_and_the_batch_can_be_committed_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = open(&path);
    let other = outside(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut batch = Batch::default();
    batch.ban(ban("192.0.2.1", 1, None));
    let error = store.commit(&batch).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    assert!(error.is_retryable());
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(&batch).unwrap();
    assert_eq!(store.load().unwrap().bans.len(), 1);
}

#[test]
fn a_database_can_be_closed_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let (mut store, opened) = Store::open(&path, at(0)).unwrap();
    assert_eq!(opened, Opened::Created);
    commit_bans(&mut store, [ban("192.0.2.1", 1, None)]);
    let (store, opened) = store.reopen(at(0)).unwrap();
    assert_eq!(opened, Opened::Existing);
    assert_eq!(store.load().unwrap().bans.len(), 1);
}
