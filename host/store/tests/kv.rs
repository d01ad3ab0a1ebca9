//! The memory of plugins: what `wit/kv` promises.
#![cfg(test)]

use std::path::Path;
use std::time::Duration;

use stockade_core::Timestamp;
use stockade_store::{KvError, Opened, PluginKv, Store, StoreError};

const NOW: Timestamp = Timestamp::from_secs(1_000);
const MINUTE: Duration = Duration::from_secs(60);

fn open(path: &Path) -> PluginKv {
    PluginKv::open(path, NOW).unwrap().0
}

fn later(secs: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(secs))
}

fn get(kv: &PluginKv, key: &str, now: Timestamp) -> Option<String> {
    let value = kv.get("geo", key, now).unwrap();
    value.map(|v| String::from_utf8(v).unwrap())
}

#[test]
fn values_survive_a_restart_and_each_plugin_sees_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.sqlite3");
    let mut kv = open(&path);
    kv.set("geo", "a", b"geo's", None, NOW).unwrap();
    kv.set("webhook", "a", &[0, 255, 10], None, NOW).unwrap();
    drop(kv);
    let (mut kv, opened) = PluginKv::open(&path, NOW).unwrap();
    assert_eq!(opened, Opened::Existing);
    assert_eq!(get(&kv, "a", NOW).unwrap(), "geo's");
    assert_eq!(kv.get("webhook", "a", NOW).unwrap().unwrap(), [0, 255, 10]);
    assert!(kv.delete("webhook", "a").unwrap());
    assert!(!kv.delete("webhook", "a").unwrap());
    assert_eq!(get(&kv, "a", NOW).unwrap(), "geo's");
    kv.forget("geo").unwrap();
    assert_eq!(get(&kv, "a", NOW), None);
}

#[test]
fn a_value_runs_out_and_setting_it_again_replaces_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut kv = open(&folder.path().join("db"));
    kv.set("geo", "a", b"1", Some(MINUTE), NOW).unwrap();
    assert_eq!(get(&kv, "a", later(59)).unwrap(), "1");
    assert_eq!(get(&kv, "a", later(60)), None);
    assert_eq!(
        kv.keys("geo", "", None, 9, later(60)).unwrap(),
        Vec::<String>::new()
    );
    kv.set("geo", "a", b"2", None, NOW).unwrap();
    assert_eq!(get(&kv, "a", later(1_000_000)).unwrap(), "2");
    kv.set("geo", "b", b"3", Some(MINUTE), NOW).unwrap();
    assert_eq!(kv.purge(later(60)).unwrap(), 1);
    assert_eq!(get(&kv, "a", NOW).unwrap(), "2");
    assert_eq!(get(&kv, "b", NOW), None);
}

#[test]
fn increment_counts_from_nothing_and_its_time_from_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut kv = open(&folder.path().join("db"));
    assert_eq!(kv.increment("geo", "n", 2, Some(MINUTE), NOW).unwrap(), 2);
    assert_eq!(
        kv.increment("geo", "n", 3, Some(MINUTE), later(59))
            .unwrap(),
        5
    );
    assert_eq!(get(&kv, "n", later(59)).unwrap(), "5");
    assert_eq!(kv.increment("geo", "n", -1, None, later(60)).unwrap(), -1);
    kv.set("geo", "n", i64::MAX.to_string().as_bytes(), None, NOW)
        .unwrap();
    assert_eq!(kv.increment("geo", "n", 7, None, NOW).unwrap(), i64::MAX);
    for no_number in [&b"seven"[..], b"", b"1.5", b"\xff", b"99999999999999999999"] {
        kv.set("geo", "n", no_number, None, NOW).unwrap();
        let error = kv.increment("geo", "n", 1, None, NOW).unwrap_err();
        assert!(matches!(error, KvError::NotANumber), "{error:?}");
        assert_eq!(kv.get("geo", "n", NOW).unwrap().unwrap(), no_number);
    }
}

#[test]
fn keys_are_listed_by_prefix_in_byte_order_and_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let mut kv = open(&folder.path().join("db"));
    for key in [
        "b",
        "a%1",
        "a%2",
        "a_1",
        "ab",
        "a",
        "A",
        "a\u{10ffff}",
        "a%",
        "a\0b",
    ] {
        kv.set("geo", key, b"", None, NOW).unwrap();
    }
    let list = |prefix, after, limit| kv.keys("geo", prefix, after, limit, NOW).unwrap();
    assert_eq!(list("a%", None, 9), ["a%", "a%1", "a%2"]);
    assert_eq!(list("a%", Some("a%"), 1), ["a%1"]);
    assert_eq!(list("a%", Some("b"), 9), Vec::<String>::new());
    assert_eq!(list("a_", None, 9), ["a_1"]);
    let all = [
        "A",
        "a",
        "a\0b",
        "a%",
        "a%1",
        "a%2",
        "a_1",
        "ab",
        "a\u{10ffff}",
        "b",
    ];
    assert_eq!(list("", None, u32::MAX), all);
    assert_eq!(list("", None, 0), Vec::<String>::new());
    assert_eq!(
        kv.keys("other", "", None, 9, NOW).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn a_listing_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut kv = open(&folder.path().join("db"));
    for n in 0..=PluginKv::LISTED_MAX {
        kv.set("geo", &format!("{n:06}"), b"", None, NOW).unwrap();
    }
    let first = kv.keys("geo", "", None, u32::MAX, NOW).unwrap();
    assert_eq!(first.len(), PluginKv::LISTED_MAX as usize);
    let rest = kv
        .keys("geo", "", first.last().map(String::as_str), u32::MAX, NOW)
        .unwrap();
    assert_eq!(rest, [format!("{:06}", PluginKv::LISTED_MAX)]);
}

#[test]
fn keys_and_values_that_are_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut kv = open(&folder.path().join("db"));
    let value = vec![b'x'; PluginKv::VALUE_BYTES_MAX + 1];
    let error = kv.set("geo", "a", &value, None, NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "value has 65537 bytes, allowed are 0 to 65536"
    );
    kv.set("geo", "a", &value[1..], None, NOW).unwrap();
    for key in ["", &"k".repeat(257)] {
        let refused = [
            kv.set("geo", key, b"", None, NOW).unwrap_err(),
            kv.get("geo", key, NOW).unwrap_err(),
            kv.delete("geo", key).unwrap_err(),
            kv.increment("geo", key, 1, None, NOW).unwrap_err(),
        ];
        for error in refused {
            assert!(
                matches!(error, KvError::TooLarge { what: "key", .. }),
                "{error:?}"
            );
        }
    }
    kv.set("geo", &"k".repeat(256), b"", None, NOW).unwrap();
}

#[test]
fn a_plugin_that_fills_its_memory_is_stopped_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut kv = open(&path);
    let value = vec![b'x'; PluginKv::VALUE_BYTES_MAX];
    // The keys take a share too, so the 64th value of 64 KiB is one too many for 4 MiB.
    for n in 0..63 {
        kv.set("geo", &format!("{n:02}"), &value, Some(MINUTE), NOW)
            .unwrap();
    }
    let error = kv.set("geo", "63", &value, None, NOW).unwrap_err();
    assert!(matches!(error, KvError::Quota), "{error:?}");
    assert_eq!(get(&kv, "63", NOW), None);
    kv.set("webhook", "63", &value, None, NOW).unwrap();
    // Replacing one of its own is no growth.
    kv.set("geo", "62", &value, Some(MINUTE), NOW).unwrap();
    // The count is the same after a restart.
    drop(kv);
    let mut kv = open(&path);
    assert!(matches!(
        kv.set("geo", "63", &value, None, NOW),
        Err(KvError::Quota)
    ));
    assert!(kv.delete("geo", "00").unwrap());
    kv.set("geo", "63", &value, None, NOW).unwrap();
    assert!(matches!(
        kv.set("geo", "00", &value, None, NOW),
        Err(KvError::Quota)
    ));
    // Those whose time is over make room by themselves.
    kv.set("geo", "00", &value, None, later(60)).unwrap();
}

#[test]
fn the_number_of_keys_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(open(&path));
    // Filled in one transaction: 10,000 calls would be slow on a slow disk.
    let outside = rusqlite::Connection::open(&path).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) \
        INSERT INTO key_values SELECT 'geo', 'key ' || i, x'00', NULL FROM n";
    assert_eq!(outside.execute(fill, ()).unwrap(), PluginKv::KEYS_MAX);
    drop(outside);
    let mut kv = open(&path);
    assert!(matches!(
        kv.increment("geo", "n", 1, None, NOW),
        Err(KvError::Quota)
    ));
    kv.set("geo", "key 1", b"changed", None, NOW).unwrap();
    kv.delete("geo", "key 1").unwrap();
    assert_eq!(kv.increment("geo", "n", 1, None, NOW).unwrap(), 1);
}

#[test]
fn a_damaged_file_is_kept_aside_and_the_bans_file_is_not_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    std::fs::write(&path, "no database ".repeat(1_000)).unwrap();
    let (mut kv, opened) = PluginKv::open(&path, NOW).unwrap();
    assert!(
        matches!(opened, Opened::CorruptKeptAside { .. }),
        "{opened:?}"
    );
    kv.set("geo", "a", b"1", None, NOW).unwrap();
    let (kv, opened) = kv.begin_anew(NOW).unwrap();
    let Opened::CorruptKeptAside { path: aside } = opened else {
        panic!("{opened:?}")
    };
    assert_eq!(get(&kv, "a", NOW), None);
    assert_eq!(get(&open(&aside), "a", NOW).unwrap(), "1");
    let error = Store::open(&path, NOW).unwrap_err();
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
}
