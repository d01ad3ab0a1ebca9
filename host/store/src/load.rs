//! What the daemon reads at its start.

use rusqlite::Row;
use stockade_core::{Attempts, Ban, Checkpoint, EarlierBans, SourceName};

use crate::row::{self, Unreadable};
use crate::{Store, StoreError, UnreadableRow};

/// Ids whose number of earlier bans is loaded, those first that are remembered longest. A flood of
/// addresses can fill history with millions; these cost some 10 MB. The others begin anew.
pub const PRIOR_MAX: usize = 100_000;

/// Rows that are described; beyond, somebody has edited more than a log should repeat.
const UNREADABLE_MAX: usize = 100;

const BANS: &str = "SELECT jail, kind, id, at, until, failures, bancount FROM bans \
    WHERE ended IS NULL";
const ATTEMPTS: &str = "SELECT jail, kind, id, times FROM attempts";
const CHECKPOINTS: &str = "SELECT source, kind, path, device, inode, position, print_len, \
    print_hash, cursor FROM checkpoints";
/// Of each id the last ban: with one `max`, the other columns are of its row (SQLite, "Bare columns
/// in an aggregate query"). A ban that was replaced goes on in a row of its own.
const PRIOR: &str = "SELECT jail, kind, id, max(at), until, failures, bancount FROM bans \
    WHERE reason IS NOT 4 GROUP BY jail, kind, id \
    ORDER BY relevant_until IS NOT NULL, relevant_until DESC LIMIT ?1";

/// Everything that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bans that nobody ended. Some may have run out while the daemon was not running.
    pub bans: Vec<Ban>,
    /// Attempts that still counted.
    pub attempts: Vec<Attempts>,
    /// How far each source was read.
    pub checkpoints: Vec<(SourceName, Checkpoint)>,
    /// The last ban that an id has had in a jail, running ones included, of at most [`PRIOR_MAX`]
    /// ids. A number of 0 is one that an operator made forgotten.
    pub earlier: Vec<EarlierBans>,
    /// Rows that were left out, the first 100. To be reported loudly: each may be a lost ban.
    pub unreadable: Vec<UnreadableRow>,
}

impl Store {
    /// Reads everything that is remembered, as of one moment.
    ///
    /// # Errors
    /// Where the file is damaged or cannot be read. A row that makes no sense is not an error but
    /// listed in [`Stored::unreadable`].
    pub fn load(&self) -> Result<Stored, StoreError> {
        self.read().map_err(|e| self.failed("read bans", e))
    }

    fn read(&self) -> rusqlite::Result<Stored> {
        let snapshot = self.connection.unchecked_transaction()?;
        let mut unreadable = Vec::new();
        let bans = self.rows("bans", BANS, None, &mut unreadable, row::ban)?;
        let attempts = self.rows("attempts", ATTEMPTS, None, &mut unreadable, |row| {
            let (jail, id) = row::who(row, 0)?;
            let times = row::times(row, 3)?;
            Ok(Attempts { jail, id, times })
        })?;
        let checkpoints = self.rows("checkpoints", CHECKPOINTS, None, &mut unreadable, |row| {
            let source = SourceName::new(row::text(row, 0, "source")?);
            Ok((source, row::checkpoint(row, 1)?))
        })?;
        // Whatever is unreadable in a running ban was reported above, and in one that is over does
        // not matter.
        let prior = self.rows("bans", PRIOR, Some(PRIOR_MAX), &mut Vec::new(), row::ban)?;
        snapshot.finish()?;
        Ok(Stored {
            bans,
            attempts,
            checkpoints,
            earlier: prior.into_iter().map(EarlierBans::from).collect(),
            unreadable,
        })
    }

    fn rows<T>(
        &self,
        table: &'static str,
        sql: &str,
        limit: Option<usize>,
        unreadable: &mut Vec<UnreadableRow>,
        read: impl Fn(&Row<'_>) -> Result<T, Unreadable>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = match limit {
            Some(limit) => statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?,
            None => statement.query(())?,
        };
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            match read(row) {
                Ok(item) => found.push(item),
                Err(reason) if unreadable.len() < UNREADABLE_MAX => {
                    unreadable.push(UnreadableRow { table, reason });
                }
                Err(_) => {}
            }
        }
        Ok(found)
    }
}
