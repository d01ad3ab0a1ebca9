//! Files that are damaged, of somebody else or from the future, and disks that are full or
//! read-only.
#![cfg(test)]

mod support;

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use stockade_core::{Ban, FailureId, JailName, Timestamp};
use stockade_store::{Batch, Opened, Store, StoreError};

fn ban(n: u32) -> Ban {
    Ban {
        jail: JailName::try_new("sshd").unwrap(),
        id: FailureId::from_addr(std::net::Ipv4Addr::from_bits(n).into()),
        at: Timestamp::from_secs(1),
        until: None,
        failures: 5,
        bancount: 1,
    }
}

fn batch(bans: std::ops::Range<u32>) -> Batch {
    let mut batch = Batch::default();
    bans.for_each(|n| batch.ban(ban(n)));
    batch
}

fn open(path: &Path) -> Result<(Store, Opened), StoreError> {
    // 2026-03-04T05:06:07Z.
    Store::open(path, Timestamp::from_secs(1_772_600_767))
}

/// A database of some pages with bans in it, closed.
fn make(path: &Path) {
    let (mut store, _) = open(path).unwrap();
    store.commit(&batch(0..2_000)).unwrap();
}

/// Opens what was damaged; it must be kept aside as it is, and the new one must work.
fn check_kept_aside(path: &Path) -> PathBuf {
    let damaged = fs::read(path).unwrap();
    let (mut store, opened) = open(path).unwrap();
    let Opened::CorruptKeptAside { path: aside } = opened else {
        panic!("{opened:?}")
    };
    assert_eq!(
        aside.to_str().unwrap(),
        format!("{}.corrupt-20260304T050607Z", path.display())
    );
    assert!(
        fs::read(&aside).unwrap() == damaged,
        "what was kept aside was changed"
    );
    assert!(store.load().unwrap().bans.is_empty());
    store.commit(&batch(0..1)).unwrap();
    drop(store);
    let (store, opened) = open(path).unwrap();
    assert_eq!(opened, Opened::Existing);
    assert_eq!(store.load().unwrap().bans, vec![ban(0)]);
    aside
}

fn overwrite(path: &Path, from: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_kept_aside() {
    for text in ["x", "not a database\n", &"long ".repeat(10_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bans.sqlite3");
        fs::write(&path, text).unwrap();
        check_kept_aside(&path);
    }
}

#[test]
fn a_truncated_file_is_kept_aside() {
    for keep in [1, 99, 100, 1_000, 4_096, 10_000, 50_000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bans.sqlite3");
        make(&path);
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(keep)
            .unwrap();
        check_kept_aside(&path);
    }
}

#[test]
fn a_file_with_overwritten_pages_is_kept_aside() {
    for page in [0, 1, 2, 5, 9] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bans.sqlite3");
        make(&path);
        overwrite(&path, page * 4096, &[0xa5; 4096]);
        check_kept_aside(&path);
    }
}

#[test]
fn a_database_that_lost_a_table_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bans.sqlite3");
    make(&path);
    let outside = rusqlite::Connection::open(&path).unwrap();
    outside.execute_batch("DROP TABLE attempts").unwrap();
    drop(outside);
    check_kept_aside(&path);
}

#[test]
fn the_log_of_a_damaged_file_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bans.sqlite3");
    make(&path);
    let wal = folder.path().join("bans.sqlite3-wal");
    fs::write(&wal, b"some log").unwrap();
    overwrite(&path, 0, &[0xa5; 4096]);
    let aside = check_kept_aside(&path);
    let kept = fs::read(format!("{}-wal", aside.display())).unwrap();
    assert_eq!(kept, b"some log");
}

#[test]
fn damage_met_at_run_time_is_told_and_reopen_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bans.sqlite3");
    make(&path);
    let (mut store, opened) = open(&path).unwrap();
    assert_eq!(opened, Opened::Existing);
    // Behind the store's back, all pages but the first.
    let len = fs::metadata(&path).unwrap().len();
    overwrite(
        &path,
        4096,
        &vec![0xa5; usize::try_from(len - 4096).unwrap()],
    );
    // The store may have the pages in its cache until another connection writes.
    let error = (0..50u32)
        .find_map(|n| {
            let written = store.commit(&batch(n * 5_000..(n + 1) * 5_000));
            written.and_then(|()| store.load().map(drop)).err()
        })
        .expect("no damage was noticed");
    assert!(error.needs_reopen(), "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string().split(" (").next().unwrap(),
        format!("database '{}' is damaged", path.display())
    );
    let (mut store, opened) = store.reopen(Timestamp::EPOCH).unwrap();
    assert!(
        matches!(opened, Opened::CorruptKeptAside { .. }),
        "{opened:?}"
    );
    store.commit(&batch(0..3)).unwrap();
    assert_eq!(store.load().unwrap().bans.len(), 3);
}

#[test]
fn a_database_deleted_while_in_use_is_noticed_before_the_next_ban_is_announced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bans.sqlite3");
    let (mut store, _) = open(&path).unwrap();
    store.commit(&batch(0..1)).unwrap();
    fs::remove_file(&path).unwrap();
    let error = store.commit(&batch(1..2)).unwrap_err();
    assert!(matches!(error, StoreError::Vanished { .. }), "{error:?}");
    assert!(error.needs_reopen());
    // Its log was left behind and belongs to nothing now.
    let (mut store, opened) = store.reopen(Timestamp::EPOCH).unwrap();
    assert!(
        matches!(opened, Opened::CorruptKeptAside { .. }),
        "{opened:?}"
    );
    store.commit(&batch(0..2)).unwrap();
    drop(store);
    assert_eq!(open(&path).unwrap().0.load().unwrap().bans.len(), 2);
}

#[test]
fn an_empty_file_is_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bans.sqlite3");
    fs::write(&path, b"").unwrap();
    assert_eq!(open(&path).unwrap().1, Opened::Created);
}

#[test]
fn a_database_of_a_newer_stockade_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bans.sqlite3");
    make(&path);
    let outside = rusqlite::Connection::open(&path).unwrap();
    outside.pragma_update(None, "user_version", 99).unwrap();
    drop(outside);
    let before = fs::read(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "'{}' has schema version 99, this stockade knows up to 2; run the newer stockade, or \
             move the file away to begin anew",
            path.display()
        )
    );
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fail2ban.sqlite3");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE bips (ip TEXT); INSERT INTO bips VALUES ('x')")
        .unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn a_path_that_cannot_be_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot open '{}'", folder.path().display())
    );
    assert!(error.source().is_some());
    let below_file = folder.path().join("file/bans.sqlite3");
    fs::write(folder.path().join("file"), b"").unwrap();
    let error = open(&below_file).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot create folder '"),
        "{error}"
    );
}

#[test]
fn a_file_emptied_beside_its_log_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bans.sqlite3");
    make(&path);
    fs::write(&path, b"").unwrap();
    fs::write(folder.path().join("bans.sqlite3-wal"), b"some log").unwrap();
    let aside = check_kept_aside(&path);
    let kept = fs::read(format!("{}-wal", aside.display())).unwrap();
    assert_eq!(kept, b"some log");
}

/// Runs the ignored test `name` with a file system of `size` bytes, of its own, mounted on the folder
/// of its database. Says so and passes where the machine allows no namespaces.
fn in_mounted(size: &str, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size={size} none \"$0\" && exec \"$@\"");
    let place = folder.path().to_str().unwrap();
    let wrapper = ["unshare", "-rm", "sh", "-c", &mount, place];
    let path = folder.path().join("bans.sqlite3");
    let output = support::start_child(&wrapper, name, &path)
        .wait_with_output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("unshare:") || errors.contains("mount:") {
        writeln!(std::io::stderr(), "skipped: cannot mount here: {errors}").unwrap();
        return;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

#[test]
fn a_full_disk_takes_no_part_of_a_batch_and_all_of_it_once_there_is_room() {
    in_mounted("512k", "on_a_full_disk");
}

#[test]
#[ignore = "needs the small file system of the test above"]
fn on_a_full_disk() {
    let Some(path) = support::path_of_child() else {
        return;
    };
    let (mut store, _) = open(&path).unwrap();
    store.commit(&batch(0..10)).unwrap();
    let filler = path.with_file_name("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    // Far more than the log has room for.
    for _ in 0..3 {
        let error = store.commit(&batch(10..5_000)).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert!(error.is_retryable());
        assert!(
            error.to_string().starts_with("no space left for '"),
            "{error}"
        );
        assert_eq!(store.load().unwrap().bans.len(), 10);
    }
    fs::remove_file(&filler).unwrap();
    store.commit(&batch(10..1_000)).unwrap();
    assert_eq!(store.load().unwrap().bans.len(), 1_000);
    drop(store);
    assert_eq!(open(&path).unwrap().0.load().unwrap().bans.len(), 1_000);
}

#[test]
fn a_disk_that_is_full_from_the_start_is_an_error_and_destroys_nothing() {
    in_mounted("64k", "on_a_disk_full_from_the_start");
}

#[test]
#[ignore = "needs the small file system of the test above"]
fn on_a_disk_full_from_the_start() {
    let Some(path) = support::path_of_child() else {
        return;
    };
    let filler = path.with_file_name("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let names: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("corrupt"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_disk_that_became_read_only_is_told_and_reading_goes_on() {
    in_mounted("1m", "on_a_read_only_disk");
}

#[test]
#[ignore = "needs the file system of the test above"]
#[expect(
    clippy::disallowed_methods,
    reason = "remounts the test's own file system"
)]
fn on_a_read_only_disk() {
    let Some(path) = support::path_of_child() else {
        return;
    };
    make(&path);
    let folder = path.parent().unwrap();
    let remount = |mode: &str| {
        let done = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{mode}")])
            .arg(folder)
            .status();
        assert!(done.unwrap().success());
    };
    remount("ro");
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("cannot open '{}'", path.display())
    );
    assert!(
        format!("{:?}", error.source()).contains("ReadOnlyFilesystem"),
        "{error:?}"
    );
    let new = folder.join("other.sqlite3");
    assert!(matches!(open(&new).unwrap_err(), StoreError::Open { .. }));
    remount("rw");
    assert_eq!(open(&path).unwrap().0.load().unwrap().bans.len(), 2_000);
}
