//! Everything that is stored comes back as it was.
#![cfg(test)]

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use stockade_core::{
    Attempts, Ban, Checkpoint, EarlierBans, FailureId, FileCheckpoint, Fingerprint, IpNet,
    JailName, SourceName, Timestamp,
};
use stockade_store::{Batch, Store};

fn addr() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        any::<u32>().prop_map(|v4| IpAddr::V6(Ipv4Addr::from_bits(v4).to_ipv6_mapped())),
    ]
}

fn id() -> impl Strategy<Value = FailureId> {
    prop_oneof![
        addr().prop_map(FailureId::from_addr),
        (addr(), 0..=32u8).prop_map(|(a, len)| FailureId::from_net(IpNet::new(a, len).unwrap())),
        any::<String>().prop_map(|text| FailureId::Text(text.into())),
        addr().prop_map(|a| FailureId::Text(a.to_string().into())),
        addr().prop_map(|a| FailureId::Text(format!("{a}/8").into())),
    ]
}

fn jail() -> impl Strategy<Value = JailName> {
    "[A-Za-z0-9_][A-Za-z0-9_.-]{0,25}".prop_map(|name| JailName::try_new(&name).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        any::<i64>(),
        Just(i64::MAX),
        Just(i64::MIN),
        0..2_000_000_000_000_000i64
    ]
    .prop_map(Timestamp::from_micros)
}

fn bans() -> impl Strategy<Value = Vec<Ban>> {
    let rest = (
        time(),
        proptest::option::of(time()),
        any::<u32>(),
        any::<u32>(),
    );
    btree_map((jail(), id()), rest, 0..20).prop_map(|bans| {
        let ban = |((jail, id), (at, until, failures, bancount))| Ban {
            jail,
            id,
            at,
            until,
            failures,
            bancount,
        };
        bans.into_iter().map(ban).collect()
    })
}

fn attempts() -> impl Strategy<Value = Vec<Attempts>> {
    btree_map((jail(), id()), vec(time(), 1..9), 0..20).prop_map(|attempts| {
        let item = |((jail, id), times)| Attempts { jail, id, times };
        attempts.into_iter().map(item).collect()
    })
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    let path = vec(any::<u8>(), 0..40);
    let numbers = (
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        any::<u32>(),
        any::<u64>(),
    );
    prop_oneof![
        (path, numbers).prop_map(|(path, (device, inode, position, len, hash))| {
            Checkpoint::File(FileCheckpoint {
                path: OsString::from_vec(path).into(),
                device,
                inode,
                position,
                fingerprint: Fingerprint { len, hash },
            })
        }),
        any::<String>().prop_map(|cursor| Checkpoint::Journal { cursor }),
        Just(Checkpoint::None),
    ]
}

fn checkpoints() -> impl Strategy<Value = Vec<(SourceName, Checkpoint)>> {
    btree_map(
        any::<String>().prop_map(|n| SourceName::new(&n)),
        checkpoint(),
        0..10,
    )
    .prop_map(|all| all.into_iter().collect())
}

proptest! {
    // A file of its own for each case; 64 cases take some seconds on a slow disk.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_committed_is_loaded_after_a_restart(
        bans in bans(), attempts in attempts(), checkpoints in checkpoints()
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bans.sqlite3");
        let mut batch = Batch { attempts, checkpoints, ..Batch::default() };
        bans.iter().cloned().for_each(|ban| batch.ban(ban));
        let (mut store, _) = Store::open(&path, Timestamp::EPOCH).unwrap();
        store.commit(&batch).unwrap();
        // The first answer may have been lost: the same again changes nothing.
        store.commit(&batch).unwrap();
        drop(store);
        let (store, _) = Store::open(&path, Timestamp::EPOCH).unwrap();
        let mut stored = store.load().unwrap();
        stored.bans.sort_by_key(|b| (b.jail.clone(), b.id.clone()));
        stored.attempts.sort_by_key(|a| (a.jail.clone(), a.id.clone()));
        stored.checkpoints.sort_by_key(|c| c.0.clone());
        prop_assert_eq!(&stored.bans, &bans);
        prop_assert_eq!(&stored.attempts, &batch.attempts);
        prop_assert_eq!(&stored.checkpoints, &batch.checkpoints);
        prop_assert_eq!(&stored.unreadable, &vec![]);
        stored.earlier.sort_by_key(|e| (e.jail.clone(), e.id.clone()));
        let expected: Vec<_> = bans.iter().cloned().map(EarlierBans::from).collect();
        prop_assert_eq!(&stored.earlier, &expected);
    }
}
