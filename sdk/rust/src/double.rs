//! What stands in for the host in native builds. One for each thread, so that tests do not meet.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::http::{self, Request, Response};
use crate::log::Level;
use crate::{Timestamp, kv as api};

type Answer = dyn FnMut(&Request) -> Result<Response, http::Error>;

/// The state of the double.
#[derive(Default)]
pub(crate) struct Double {
    pub(crate) now: Timestamp,
    pub(crate) monotonic: Duration,
    pub(crate) logged: Vec<(Level, String)>,
    pub(crate) requests: Vec<Request>,
    pub(crate) answer: Option<Box<Answer>>,
    pub(crate) values: BTreeMap<String, Entry>,
}

/// A value and when it runs out.
pub(crate) struct Entry {
    value: Vec<u8>,
    until: Option<Timestamp>,
}

impl fmt::Debug for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Double")
            .field("now", &self.now)
            .field("logged", &self.logged)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

thread_local! {
    static HOST: RefCell<Double> = RefCell::default();
}

/// Uses this thread's double.
pub(crate) fn with<T>(use_it: impl FnOnce(&mut Double) -> T) -> T {
    HOST.with_borrow_mut(use_it)
}

/// Records a request and asks the test's script for the response.
pub(crate) fn send(request: &Request) -> Result<Response, http::Error> {
    // Out of the cell while it runs, so that the script may use the double as well.
    let script = with(|host| {
        host.requests.push(request.clone());
        host.answer.take()
    });
    let Some(mut script) = script else {
        return Err(http::Error::Denied(
            "the test granted nothing: call Host::answer".to_owned(),
        ));
    };
    let response = script(request);
    with(|host| {
        host.answer.get_or_insert(script);
    });
    response
}

/// The store, with the limits of the contract.
pub(crate) mod kv {
    use super::{Entry, Timestamp, api::Error, with};

    const KEY_LEN_MAX: usize = 256;
    const VALUE_LEN_MAX: usize = 64 * 1024;
    const KEYS_MAX: usize = 10_000;
    const BYTES_MAX: usize = 4 * 1024 * 1024;
    const LISTED_MAX: u32 = 1_000;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        check(key, &[])?;
        Ok(with(|host| {
            expire(host);
            host.values.get(key).map(|entry| entry.value.clone())
        }))
    }

    pub(crate) fn set(key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<(), Error> {
        check(key, value)?;
        with(|host| {
            expire(host);
            let others = host.values.iter().filter(|(name, _)| *name != key);
            let (count, bytes) = others.fold((0, 0), |(count, bytes), (name, entry)| {
                (count + 1, bytes + name.len() + entry.value.len())
            });
            if count >= KEYS_MAX || bytes + key.len() + value.len() > BYTES_MAX {
                return Err(Error::Quota);
            }
            let entry = Entry {
                value: value.to_vec(),
                until: ttl_seconds.map(|ttl| after(host.now, ttl)),
            };
            host.values.insert(key.to_owned(), entry);
            Ok(())
        })
    }

    pub(crate) fn delete(key: &str) -> Result<(), Error> {
        check(key, &[])?;
        with(|host| host.values.remove(key));
        Ok(())
    }

    pub(crate) fn increment(key: &str, by: i64, ttl_seconds: Option<u32>) -> Result<i64, Error> {
        let Some(held) = get(key)? else {
            set(key, by.to_string().as_bytes(), ttl_seconds)?;
            return Ok(by);
        };
        let held: i64 = str::from_utf8(&held)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Error::NotANumber)?;
        let sum = held.saturating_add(by);
        with(|host| {
            if let Some(entry) = host.values.get_mut(key) {
                entry.value = sum.to_string().into_bytes();
            }
        });
        Ok(sum)
    }

    pub(crate) fn keys(
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        let limit = usize::try_from(limit.min(LISTED_MAX)).unwrap_or(usize::MAX);
        Ok(with(|host| {
            expire(host);
            host.values
                .keys()
                .filter(|key| {
                    key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
                })
                .take(limit)
                .cloned()
                .collect()
        }))
    }

    fn check(key: &str, value: &[u8]) -> Result<(), Error> {
        if key.is_empty() || key.len() > KEY_LEN_MAX || value.len() > VALUE_LEN_MAX {
            return Err(Error::TooLarge);
        }
        Ok(())
    }

    fn after(now: Timestamp, seconds: u32) -> Timestamp {
        let micros = u64::from(seconds).saturating_mul(1_000_000);
        Timestamp::from_micros(now.as_micros().saturating_add(micros))
    }

    fn expire(host: &mut super::Double) {
        let now = host.now;
        host.values
            .retain(|_, entry| entry.until.is_none_or(|until| until > now));
    }
}
