//! What the daemon writes: one batch, one transaction.

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use stockade_core::{
    Attempts, Ban, Checkpoint, FailureId, JailName, SourceName, Timestamp, UnbanReason,
};

use crate::StoreError;
use crate::open::{self, Check, FileIdentity, Opened};
use crate::row::{self, CheckpointColumns, IdKey};
use crate::schema;

/// Statements that stay compiled: all of this crate's, with room.
const STATEMENTS_CACHED: usize = 32;

/// Ends the running ban of an id that begins anew, so that history keeps both.
const REPLACE: &str = "UPDATE bans SET ended = ?4, reason = ?5 \
    WHERE jail = ?1 AND kind = ?2 AND id = ?3 AND ended IS NULL AND at <> ?4";
const BAN: &str = "INSERT INTO bans (jail, kind, id, at, until, failures, bancount) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
    ON CONFLICT (jail, kind, id, at) DO UPDATE SET until = excluded.until, \
    failures = excluded.failures, bancount = excluded.bancount, ended = NULL, reason = NULL";
const UNBAN: &str = "UPDATE bans SET ended = ?4, reason = ?5 \
    WHERE jail = ?1 AND kind = ?2 AND id = ?3 AND ended IS NULL";
/// What an operator lifts makes no later ban longer, nor does what was before.
const PARDON: &str = "UPDATE bans SET bancount = 0 WHERE jail = ?1 AND kind = ?2 AND id = ?3";
const REMEMBER: &str = "INSERT INTO attempts (jail, kind, id, times, newest) \
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (jail, kind, id) \
    DO UPDATE SET times = excluded.times, newest = excluded.newest";
const FORGET: &str = "DELETE FROM attempts WHERE jail = ?1 AND kind = ?2 AND id = ?3";
const CHECKPOINT: &str = "INSERT OR REPLACE INTO checkpoints (source, kind, path, device, inode, \
    position, print_len, print_hash, cursor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// The beginning or the end of a ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanChange {
    /// A ban began, or the one that began at this time now ends at another.
    Ban(Ban),
    /// A ban ended.
    Unban {
        /// The jail it was in.
        jail: JailName,
        /// Who was banned.
        id: FailureId,
        /// Why it ended.
        reason: UnbanReason,
        /// When it ended.
        at: Timestamp,
    },
}

/// What is stored together or not at all.
///
/// The lists belong to one moment: the attempts and bans that follow from the lines before the
/// checkpoints. Committing the same batch twice is the same as committing it once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the order in which they were decided: of a ban and an unban of one id, the later stands.
    pub changes: Vec<BanChange>,
    /// Replaces what was stored for the same jail and id; forgotten where no time is left.
    pub attempts: Vec<Attempts>,
    /// Replaces what was stored for the same source.
    pub checkpoints: Vec<(SourceName, Checkpoint)>,
}

impl Batch {
    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.attempts.is_empty() && self.checkpoints.is_empty()
    }

    /// Adds a ban.
    pub fn ban(&mut self, ban: Ban) {
        self.changes.push(BanChange::Ban(ban));
    }

    /// Adds the end of a ban.
    pub fn unban(&mut self, jail: JailName, id: FailureId, reason: UnbanReason, at: Timestamp) {
        self.changes.push(BanChange::Unban {
            jail,
            id,
            reason,
            at,
        });
    }
}

/// The database of bans, their history, attempts and checkpoints.
pub struct Store {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    /// A read or a write met damage. A later check may miss what it met, so this is remembered.
    corrupt: Cell<bool>,
    /// The file that `connection` has open.
    identity: Option<FileIdentity>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database at `path`; makes it, and its folder, where there is none. A damaged one is
    /// renamed with the date of `now` and a new one is begun; nothing is ever overwritten.
    ///
    /// Take a [`crate::StateLock`] first: SQLite lets two daemons write one file, by turns.
    ///
    /// # Errors
    /// Where the file cannot be opened, is of a newer stockade or of another program.
    pub fn open(path: &Path, now: Timestamp) -> Result<(Self, Opened), StoreError> {
        Self::begin(path, Check::Quick, now)
    }

    /// Opens the file again, as is needed after [`StoreError::needs_reopen`]. One that proved to be
    /// damaged is kept aside and a new one is begun. The caller commits all that it holds in memory.
    ///
    /// # Errors
    /// As [`Store::open`], which is also how to try again.
    pub fn reopen(self, now: Timestamp) -> Result<(Self, Opened), StoreError> {
        let Self {
            connection,
            path,
            corrupt,
            identity: _,
        } = self;
        let check = if corrupt.get() {
            Check::KnownCorrupt
        } else {
            Check::Quick
        };
        if check == Check::KnownCorrupt {
            // What is kept aside stays as it was found. Where this fails, so does the closing.
            let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            drop(kept);
        }
        drop(connection);
        Self::begin(&path, check, now)
    }

    fn begin(path: &Path, check: Check, now: Timestamp) -> Result<(Self, Opened), StoreError> {
        let (connection, opened) = open::open(path, &schema::BANS, check, now)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        let store = Self {
            connection,
            path: path.to_path_buf(),
            corrupt: Cell::new(false),
            identity: FileIdentity::at(path),
        };
        Ok((store, opened))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores `batch` as a whole. When this returns, it is on the disk; an empty batch costs nothing.
    ///
    /// # Errors
    /// Where the disk is full, read-only or fails, or the file is locked, damaged or gone. Nothing of
    /// the batch is stored then; commit it again later.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        // SQLite goes on writing into a file that has no name any more.
        if FileIdentity::at(&self.path) != self.identity {
            return Err(StoreError::Vanished {
                path: self.path.clone(),
            });
        }
        let result = write(&mut self.connection, batch);
        result.map_err(|e| self.failed("store bans", e))
    }

    /// Sorts an error, and remembers damage.
    pub(crate) fn failed(&self, act: &'static str, source: rusqlite::Error) -> StoreError {
        let error = StoreError::of(act, &self.path, source);
        if matches!(error, StoreError::Corrupt { .. }) {
            self.corrupt.set(true);
        }
        error
    }
}

fn write(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    // Immediate: waiting for the write lock works at the beginning of a transaction only. Dropped
    // without a commit, it is rolled back.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for change in &batch.changes {
        write_change(&transaction, change)?;
    }
    for attempts in &batch.attempts {
        write_attempts(&transaction, attempts)?;
    }
    for (source, checkpoint) in &batch.checkpoints {
        let c = CheckpointColumns::of(checkpoint);
        transaction.prepare_cached(CHECKPOINT)?.execute(params![
            source.as_str(),
            c.kind,
            c.path,
            c.device,
            c.inode,
            c.position,
            c.print_len,
            c.print_hash,
            c.cursor
        ])?;
    }
    transaction.commit()
}

fn write_change(transaction: &Transaction<'_>, change: &BanChange) -> rusqlite::Result<()> {
    match change {
        BanChange::Ban(ban) => {
            let (jail, key) = (ban.jail.as_str(), IdKey::of(&ban.id));
            let at = ban.at.as_micros();
            transaction.prepare_cached(REPLACE)?.execute(params![
                jail,
                key.kind,
                key.text,
                at,
                row::REASON_REPLACED
            ])?;
            transaction.prepare_cached(BAN)?.execute(params![
                jail,
                key.kind,
                key.text,
                at,
                ban.until.map(Timestamp::as_micros),
                ban.failures,
                ban.bancount
            ])?;
        }
        BanChange::Unban {
            jail,
            id,
            reason,
            at,
        } => {
            let key = IdKey::of(id);
            transaction.prepare_cached(UNBAN)?.execute(params![
                jail.as_str(),
                key.kind,
                key.text,
                at.as_micros(),
                row::reason_code(*reason)
            ])?;
            if *reason == UnbanReason::Manual {
                transaction.prepare_cached(PARDON)?.execute(params![
                    jail.as_str(),
                    key.kind,
                    key.text
                ])?;
            }
        }
    }
    Ok(())
}

fn write_attempts(transaction: &Transaction<'_>, attempts: &Attempts) -> rusqlite::Result<()> {
    let (jail, key) = (attempts.jail.as_str(), IdKey::of(&attempts.id));
    match attempts.times.iter().max() {
        Some(newest) => transaction.prepare_cached(REMEMBER)?.execute(params![
            jail,
            key.kind,
            key.text,
            row::times_blob(&attempts.times),
            newest.as_micros()
        ])?,
        None => transaction
            .prepare_cached(FORGET)?
            .execute(params![jail, key.kind, key.text])?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(bans: std::ops::Range<u32>) -> Batch {
        let mut batch = Batch::default();
        for n in bans {
            batch.ban(Ban {
                jail: JailName::try_new("sshd").unwrap(),
                id: FailureId::from_addr(std::net::Ipv4Addr::from_bits(n).into()),
                at: Timestamp::EPOCH,
                until: None,
                failures: 1,
                bancount: 1,
            });
        }
        batch
    }

    /// SQLite's own limit stands in where no small file system can be mounted.
    #[test]
    fn a_full_database_takes_no_part_of_a_batch_and_all_of_it_later() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(&folder.path().join("db"), Timestamp::EPOCH).unwrap();
        store.commit(&batch(0..10)).unwrap();
        let limit = |store: &Store, pages: u32| {
            let limited =
                store
                    .connection
                    .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
            limited.unwrap();
        };
        limit(&store, 20);
        let error = store.commit(&batch(10..5_000)).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert!(error.is_retryable());
        assert_eq!(store.load().unwrap().bans.len(), 10);
        limit(&store, u32::MAX - 1);
        store.commit(&batch(10..5_000)).unwrap();
        assert_eq!(store.load().unwrap().bans.len(), 5_000);
    }

    #[test]
    fn a_database_of_the_first_version_keeps_its_bans_and_learns_to_count_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let first = schema::Schema {
            steps: schema::BANS.steps.get(..1).unwrap(),
            probes: &[],
            ..schema::BANS
        };
        let (connection, _) = open::open(&path, &first, Check::Quick, Timestamp::EPOCH).unwrap();
        let row =
            "INSERT INTO bans VALUES ('sshd', 0, '192.0.2.1', 1000000, 9000000, 5, 3, 9000000, 0)";
        connection.execute(row, ()).unwrap();
        drop(connection);
        let (store, _) = Store::open(&path, Timestamp::EPOCH).unwrap();
        let earlier = store.load().unwrap().earlier;
        assert_eq!(earlier.first().map(|earlier| earlier.bancount), Some(3));
        let ends = "SELECT relevant_until FROM bans";
        let until: i64 = store
            .connection
            .query_one(ends, (), |row| row.get(0))
            .unwrap();
        assert_eq!(until, 25_000_000);
    }
}
