//! The small memory of each plugin, in a database file of its own.
//!
//! Its contract is `wit/kv`. A plugin is named by the caller, never by itself, and cannot reach the
//! keys of another.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use stockade_core::Timestamp;

use crate::open::{self, Check, Opened};
use crate::{StoreError, schema};

const GET: &str = "SELECT value, expires FROM key_values WHERE plugin = ?1 AND key = ?2 \
    AND (expires IS NULL OR expires > ?3)";
const SIZE: &str = "SELECT length(value) FROM key_values WHERE plugin = ?1 AND key = ?2";
const SET: &str = "INSERT OR REPLACE INTO key_values (plugin, key, value, expires) \
    VALUES (?1, ?2, ?3, ?4)";
const DELETE: &str = "DELETE FROM key_values WHERE plugin = ?1 AND key = ?2";
const EXPIRE: &str = "DELETE FROM key_values WHERE plugin = ?1 AND expires <= ?2";
const EXPIRE_ALL: &str = "DELETE FROM key_values WHERE expires <= ?1";
const FORGET: &str = "DELETE FROM key_values WHERE plugin = ?1";
const USAGE: &str = "SELECT count(*), coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) \
    FROM key_values WHERE plugin = ?1";
/// A prefix is compared byte by byte: `LIKE` and `GLOB` would see characters of their own in it.
const LIST: &str = "SELECT key FROM key_values WHERE plugin = ?1 AND key >= ?2 AND key > ?3 \
    AND (expires IS NULL OR expires > ?4) \
    AND substr(CAST(key AS BLOB), 1, ?5) = CAST(?2 AS BLOB) ORDER BY key LIMIT ?6";

/// Why a call of a plugin's failed; the cases of `error` in `wit/kv`.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The key is empty, or the key or the value is longer than allowed.
    #[error("{what} has {len} bytes, allowed are {min} to {max}")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The least that is allowed.
        min: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// The plugin has no room left.
    #[error(
        "plugin has used up its {} keys or {} bytes",
        PluginKv::KEYS_MAX,
        PluginKv::BYTES_MAX
    )]
    Quota,
    /// `increment` met a value that is not a decimal integer.
    #[error("the value is not an integer")]
    NotANumber,
    /// The database failed.
    #[error("plugin memory is not available")]
    Unavailable(#[source] StoreError),
}

/// What a plugin occupies, run-out keys included until they are swept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    keys: usize,
    bytes: usize,
}

/// The key-values of all plugins.
///
/// All calls are single statements, or a transaction where they must be one step.
pub struct PluginKv {
    connection: Connection,
    path: PathBuf,
    /// Counted once per plugin and kept up: counting 10,000 keys at each write would cost more than
    /// the write. This process is the only writer; see [`crate::StateLock`].
    usage: BTreeMap<String, Usage>,
}

impl fmt::Debug for PluginKv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginKv")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl PluginKv {
    /// Keys of one plugin. A memory of who was seen, not a database: a plugin fed by an attacker
    /// must come to an end before the disk does.
    pub const KEYS_MAX: usize = 10_000;
    /// Bytes of keys and values of one plugin: 100 plugins fit into less than half a gigabyte.
    pub const BYTES_MAX: usize = 4 * 1024 * 1024;
    /// Bytes of one value: a value is copied in and out of the plugin's memory at each call.
    pub const VALUE_BYTES_MAX: usize = 64 * 1024;
    /// Bytes of one key: room for any address, user name or file name with a prefix.
    pub const KEY_BYTES_MAX: usize = 256;
    /// Keys that [`PluginKv::keys`] returns at once: 256 KiB at the most.
    pub const LISTED_MAX: u32 = 1_000;

    /// Opens the file at `path`, as [`crate::Store::open`] does.
    ///
    /// # Errors
    /// Where the file cannot be opened, is of a newer stockade or of another program.
    pub fn open(path: &Path, now: Timestamp) -> Result<(Self, Opened), StoreError> {
        let (connection, opened) = open::open(path, &schema::KEY_VALUES, Check::Quick, now)?;
        let kv = Self {
            connection,
            path: path.to_path_buf(),
            usage: BTreeMap::new(),
        };
        Ok((kv, opened))
    }

    /// Keeps the file aside and begins a new one, after a [`StoreError::Corrupt`].
    ///
    /// # Errors
    /// As for [`PluginKv::open`], which is also how to try again.
    pub fn begin_anew(self, now: Timestamp) -> Result<(Self, Opened), StoreError> {
        let Self {
            connection, path, ..
        } = self;
        drop(connection);
        let (connection, opened) =
            open::open(&path, &schema::KEY_VALUES, Check::KnownCorrupt, now)?;
        let usage = BTreeMap::new();
        let kv = Self {
            connection,
            path,
            usage,
        };
        Ok((kv, opened))
    }

    /// The value of `key`, or `None` where it is absent or has run out.
    ///
    /// # Errors
    /// [`KvError::TooLarge`] for a key that cannot exist, [`KvError::Unavailable`].
    pub fn get(&self, plugin: &str, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>, KvError> {
        check_key(key)?;
        let found = self.find(plugin, key, now);
        Ok(found.map_err(|e| self.failed("get", e))?.map(|(v, _)| v))
    }

    /// Sets `key` to `value` for `ttl`, or until it is deleted; replaces both that it had.
    ///
    /// # Errors
    /// Any but [`KvError::NotANumber`]; nothing is changed then.
    pub fn set(
        &mut self,
        plugin: &str,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), KvError> {
        let expires = ttl.map(|ttl| now.saturating_add(ttl).as_micros());
        self.write(plugin, key, value, expires, now)
    }

    /// Deletes `key` and says whether it was there.
    ///
    /// # Errors
    /// [`KvError::TooLarge`] for a key that cannot exist, [`KvError::Unavailable`].
    pub fn delete(&mut self, plugin: &str, key: &str) -> Result<bool, KvError> {
        check_key(key)?;
        let done = self.size(plugin, key).and_then(|size| {
            let deleted = self
                .connection
                .prepare_cached(DELETE)?
                .execute(params![plugin, key])?;
            Ok((size, deleted > 0))
        });
        let (size, deleted) = done.map_err(|e| self.failed("delete", e))?;
        if let (Some(size), Some(usage)) = (size, self.usage.get_mut(plugin)) {
            usage.keys = usage.keys.saturating_sub(1);
            usage.bytes = usage.bytes.saturating_sub(key.len() + size);
        }
        Ok(deleted)
    }

    /// Adds `by` to the decimal integer in `key`, 0 where it is absent, and returns the sum, which
    /// stops at the ends of `i64`. `ttl` counts from the first increment only.
    ///
    /// # Errors
    /// Any; nothing is changed then.
    pub fn increment(
        &mut self,
        plugin: &str,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<i64, KvError> {
        check_key(key)?;
        // No other process or thread writes between this read and the write (`&mut self` and the
        // state lock), so the two are one step.
        let found = self.find(plugin, key, now);
        let (sum, expires) = match found.map_err(|e| self.failed("increment", e))? {
            Some((value, expires)) => {
                let text = std::str::from_utf8(&value).map_err(|_| KvError::NotANumber)?;
                let number: i64 = text.parse().map_err(|_| KvError::NotANumber)?;
                (number.saturating_add(by), expires)
            }
            None => (by, ttl.map(|ttl| now.saturating_add(ttl).as_micros())),
        };
        self.write(plugin, key, sum.to_string().as_bytes(), expires, now)?;
        Ok(sum)
    }

    /// The keys that begin with `prefix` and come after `after`, in byte order: at most `limit`, and
    /// never more than [`PluginKv::LISTED_MAX`].
    ///
    /// # Errors
    /// [`KvError::Unavailable`] only.
    pub fn keys(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<String>, KvError> {
        let list = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare_cached(LIST)?;
            let rows = statement.query_map(
                params![
                    plugin,
                    prefix,
                    after.unwrap_or(""),
                    now.as_micros(),
                    i64::try_from(prefix.len()).unwrap_or(i64::MAX),
                    limit.min(Self::LISTED_MAX)
                ],
                |row| row.get(0),
            )?;
            rows.collect()
        };
        list().map_err(|e| self.failed("list", e))
    }

    /// Deletes every key whose time is over, of all plugins; returns how many.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn purge(&mut self, now: Timestamp) -> Result<usize, StoreError> {
        let done = self.connection.execute(EXPIRE_ALL, [now.as_micros()]);
        let deleted = done.map_err(|e| StoreError::of("purge", &self.path, e))?;
        if deleted > 0 {
            self.usage.clear();
        }
        Ok(deleted)
    }

    /// Deletes everything of `plugin`, which is installed no more.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn forget(&mut self, plugin: &str) -> Result<(), StoreError> {
        let done = self.connection.execute(FORGET, [plugin]);
        done.map_err(|e| StoreError::of("forget plugin", &self.path, e))?;
        self.usage.remove(plugin);
        Ok(())
    }

    fn find(
        &self,
        plugin: &str,
        key: &str,
        now: Timestamp,
    ) -> rusqlite::Result<Option<(Vec<u8>, Option<i64>)>> {
        self.connection
            .prepare_cached(GET)?
            .query_one(params![plugin, key, now.as_micros()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
    }

    /// Bytes of the value of `key`, run out or not.
    fn size(&self, plugin: &str, key: &str) -> rusqlite::Result<Option<usize>> {
        let mut statement = self.connection.prepare_cached(SIZE)?;
        let size = statement.query_one(params![plugin, key], |row| row.get::<_, i64>(0));
        Ok(size
            .optional()?
            .map(|len| usize::try_from(len).unwrap_or(0)))
    }

    fn write(
        &mut self,
        plugin: &str,
        key: &str,
        value: &[u8],
        expires: Option<i64>,
        now: Timestamp,
    ) -> Result<(), KvError> {
        check_key(key)?;
        if value.len() > Self::VALUE_BYTES_MAX {
            return Err(KvError::TooLarge {
                what: "value",
                len: value.len(),
                min: 0,
                max: Self::VALUE_BYTES_MAX,
            });
        }
        let after = self
            .usage_after(plugin, key, value.len(), now)
            .map_err(|e| self.failed("count keys", e))?
            .ok_or(KvError::Quota)?;
        let set = || -> rusqlite::Result<usize> {
            self.connection
                .prepare_cached(SET)?
                .execute(params![plugin, key, value, expires])
        };
        set().map_err(|e| self.failed("set", e))?;
        self.usage.insert(plugin.to_owned(), after);
        Ok(())
    }

    /// What the plugin occupies once `key` has a value of `len` bytes, or `None` where that is more
    /// than it may, also after its run-out keys are swept.
    fn usage_after(
        &mut self,
        plugin: &str,
        key: &str,
        len: usize,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Usage>> {
        let before = match self.usage.get(plugin) {
            Some(usage) => *usage,
            None => self.count(plugin)?,
        };
        let after = grown(before, key, self.size(plugin, key)?, len);
        if allowed(after) {
            return Ok(Some(after));
        }
        self.connection
            .prepare_cached(EXPIRE)?
            .execute(params![plugin, now.as_micros()])?;
        let before = self.count(plugin)?;
        self.usage.insert(plugin.to_owned(), before);
        let after = grown(before, key, self.size(plugin, key)?, len);
        Ok(allowed(after).then_some(after))
    }

    fn count(&self, plugin: &str) -> rusqlite::Result<Usage> {
        self.connection
            .prepare_cached(USAGE)?
            .query_one([plugin], |row| {
                let number = |index| -> rusqlite::Result<usize> {
                    Ok(usize::try_from(row.get::<_, i64>(index)?).unwrap_or(usize::MAX))
                };
                Ok(Usage {
                    keys: number(0)?,
                    bytes: number(1)?,
                })
            })
    }

    fn failed(&self, act: &'static str, source: rusqlite::Error) -> KvError {
        KvError::Unavailable(StoreError::of(act, &self.path, source))
    }
}

fn grown(before: Usage, key: &str, old_len: Option<usize>, new_len: usize) -> Usage {
    match old_len {
        Some(old_len) => Usage {
            keys: before.keys,
            bytes: before.bytes.saturating_sub(old_len) + new_len,
        },
        None => Usage {
            keys: before.keys + 1,
            bytes: before.bytes + key.len() + new_len,
        },
    }
}

fn allowed(usage: Usage) -> bool {
    usage.keys <= PluginKv::KEYS_MAX && usage.bytes <= PluginKv::BYTES_MAX
}

fn check_key(key: &str) -> Result<(), KvError> {
    if key.is_empty() || key.len() > PluginKv::KEY_BYTES_MAX {
        return Err(KvError::TooLarge {
            what: "key",
            len: key.len(),
            min: 1,
            max: PluginKv::KEY_BYTES_MAX,
        });
    }
    Ok(())
}
