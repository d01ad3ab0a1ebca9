//! Forgetting what is over, and giving its space back.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};
use stockade_core::Timestamp;

use crate::{Store, StoreError};

/// Rows of each table that one call deletes: some 50 ms, so that a flood's history is forgotten in
/// steps between which bans are stored.
pub const PURGE_ROWS_MAX: u32 = 10_000;

/// How long the checkpoint of a source is kept that is not read any further, at the least. A log
/// may be quiet for weeks and is still watched, so this is long; such rows are few and small.
pub const CHECKPOINT_AGE_MIN: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Pages of 4 KiB given back to the file system by one call, for the reason of [`PURGE_ROWS_MAX`].
const FREE_PAGES_MAX: u32 = 4_000;

/// A ban that ran out counts as over even if nobody said so: its jail may be gone. The condition is
/// that of the index.
const BANS: &str = "DELETE FROM bans WHERE (jail, kind, id, at) IN (SELECT jail, kind, id, at \
    FROM bans WHERE relevant_until < ?1 AND relevant_until IS NOT NULL LIMIT ?2)";
const ATTEMPTS: &str = "DELETE FROM attempts WHERE (jail, kind, id) IN \
    (SELECT jail, kind, id FROM attempts WHERE newest < ?1 LIMIT ?2)";
const SETTLE: &str = "UPDATE checkpoints SET settled = ?1 WHERE settled IS NULL";
const CHECKPOINTS: &str = "DELETE FROM checkpoints WHERE source IN \
    (SELECT source FROM checkpoints WHERE settled < ?1 LIMIT ?2)";

/// What a purge deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Bans that were over and said nothing any more.
    pub bans: usize,
    /// Ids whose attempts were too old.
    pub attempts: usize,
    /// Sources that are not read any more.
    pub checkpoints: usize,
    /// [`PURGE_ROWS_MAX`] was reached somewhere: call again soon.
    pub more: bool,
}

impl Store {
    /// Forgets bans that were over and said nothing any more ([`stockade_core::Ban::relevant_until`]),
    /// and attempts that were made, more than `age` before `now`, and checkpoints that have not moved for `age` or [`CHECKPOINT_AGE_MIN`], whichever is longer. Running
    /// bans stay. The file shrinks.
    ///
    /// `age` must not be shorter than the longest findtime, or attempts that still count are lost.
    ///
    /// # Errors
    /// As for [`Store::commit`]; nothing is deleted then.
    pub fn purge(&mut self, now: Timestamp, age: Duration) -> Result<Purged, StoreError> {
        let purged = delete(&mut self.connection, now, age).map_err(|e| self.failed("purge", e))?;
        shrink(&self.connection).map_err(|e| self.failed("shrink", e))?;
        Ok(purged)
    }
}

fn delete(connection: &mut Connection, now: Timestamp, age: Duration) -> rusqlite::Result<Purged> {
    let before = now.saturating_sub(age).as_micros();
    let settled_before = now.saturating_sub(age.max(CHECKPOINT_AGE_MIN)).as_micros();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let delete = |sql: &str, before: i64| {
        transaction
            .prepare_cached(sql)?
            .execute(params![before, PURGE_ROWS_MAX])
    };
    let bans = delete(BANS, before)?;
    let attempts = delete(ATTEMPTS, before)?;
    let checkpoints = delete(CHECKPOINTS, settled_before)?;
    transaction
        .prepare_cached(SETTLE)?
        .execute([now.as_micros()])?;
    transaction.commit()?;
    let most = bans.max(attempts).max(checkpoints);
    Ok(Purged {
        bans,
        attempts,
        checkpoints,
        more: u32::try_from(most).is_ok_and(|most| most >= PURGE_ROWS_MAX),
    })
}

/// Gives free pages back to the file system. Each step of the statement frees a page, so it is
/// stepped to its end.
fn shrink(connection: &Connection) -> rusqlite::Result<()> {
    let mut free = connection.prepare(&format!("PRAGMA incremental_vacuum({FREE_PAGES_MAX})"))?;
    let mut rows = free.query(())?;
    while rows.next()?.is_some() {}
    drop(rows);
    // The pages leave the file when the log is written back. Passive: if a reader is in the way, we
    // do not wait, and the next purge does it.
    connection.query_one("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
}
