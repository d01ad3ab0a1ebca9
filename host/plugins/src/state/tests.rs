use std::collections::BTreeMap;

use super::*;
use crate::clock::SystemClock;
use crate::grants::TracingSink;
use crate::limits::Limits;
use crate::role::Role;
use kv::Host as _;

/// A space that can hold three keys.
#[derive(Debug, Default)]
struct Space(Mutex<BTreeMap<String, Vec<u8>>>);

impl Kv for Space {
    fn get(&self, key: &str) -> std::result::Result<Option<Vec<u8>>, KvError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], _: Option<u32>) -> std::result::Result<(), KvError> {
        let mut space = self.0.lock().unwrap();
        if space.len() == 3 {
            return Err(KvError::Quota);
        }
        space.insert(key.into(), value.into());
        Ok(())
    }

    fn delete(&self, key: &str) -> std::result::Result<(), KvError> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }

    fn increment(&self, key: &str, by: i64, _: Option<u32>) -> std::result::Result<i64, KvError> {
        match self.get(key)? {
            None => Ok(by),
            Some(_) => Err(KvError::NotANumber),
        }
    }

    fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Vec<String>, KvError> {
        assert!(limit <= KEYS_LISTED_MAX, "{limit} keys were asked for");
        let space = self.0.lock().unwrap();
        let is_wanted = |key: &&String| {
            key.starts_with(prefix) && after.is_none_or(|after| after < key.as_str())
        };
        Ok(space
            .keys()
            .filter(is_wanted)
            .take(limit)
            .cloned()
            .collect())
    }
}

fn state(kv: Option<Arc<dyn Kv>>) -> HostState {
    HostState {
        plugin: PluginName::try_new("x").unwrap(),
        budget: Budget::begin(Limits::of(Role::Filter).call),
        meter: Meter::new(0),
        clock: Arc::new(SystemClock::new()),
        log: Arc::new(TracingSink),
        gate: Arc::default(),
        kv,
        http: None,
    }
}

#[test]
fn keys_and_values_have_lengths_and_the_spaces_errors_come_through() {
    let mut state = state(Some(Arc::new(Space::default())));
    assert!(state.set("a".into(), b"x".to_vec(), None).unwrap().is_ok());
    assert_eq!(state.get("a".into()).unwrap().unwrap(), Some(b"x".to_vec()));
    for key in [String::new(), "k".repeat(KEY_BYTES_MAX + 1)] {
        assert!(matches!(
            state.get(key.clone()).unwrap(),
            Err(kv::Error::TooLarge)
        ));
        assert!(matches!(
            state.delete(key).unwrap(),
            Err(kv::Error::TooLarge)
        ));
    }
    let large = vec![0; VALUE_BYTES_MAX + 1];
    assert!(matches!(
        state.set("b".into(), large, None).unwrap(),
        Err(kv::Error::TooLarge)
    ));
    let sum = state.increment("a".into(), 1, None).unwrap();
    assert!(matches!(sum, Err(kv::Error::NotANumber)), "{sum:?}");
    assert_eq!(state.increment("n".into(), 2, None).unwrap().unwrap(), 2);
    for key in ["b", "c"] {
        assert!(state.set(key.into(), Vec::new(), Some(60)).unwrap().is_ok());
    }
    assert!(matches!(
        state.set("d".into(), Vec::new(), None).unwrap(),
        Err(kv::Error::Quota)
    ));
    let keys = state
        .keys(String::new(), Some("a".into()), u32::MAX)
        .unwrap()
        .unwrap();
    assert_eq!(keys, ["b", "c"]);
    assert!(state.delete("b".into()).unwrap().is_ok());
    assert_eq!(state.get("b".into()).unwrap().unwrap(), None);
}

#[test]
fn without_a_grant_there_is_no_space_behind_the_functions_either() {
    let mut state = state(None);
    assert!(matches!(
        state.get("a".into()).unwrap(),
        Err(kv::Error::Unavailable(_))
    ));
    assert!(matches!(
        state.keys(String::new(), None, 1).unwrap(),
        Err(kv::Error::Unavailable(_))
    ));
}
