//! The tables, by version.
//!
//! A version that was released is never edited; a change is a further step at the end of its list.

/// What a kind of database of ours looks like.
#[derive(Debug)]
pub(crate) struct Schema {
    /// `PRAGMA application_id`: tells our file from that of another program, also to file(1).
    pub(crate) application_id: i32,
    /// The step to version 1, to version 2, and so on. Their number is the newest version.
    pub(crate) steps: &'static [&'static str],
    /// Statements that must compile against the tables; a file where they do not is damaged.
    pub(crate) probes: &'static [&'static str],
    /// `PRAGMA synchronous`.
    pub(crate) synchronous: &'static str,
}

impl Schema {
    /// The version that [`Schema::steps`] lead to.
    pub(crate) fn version(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }
}

/// Bans, attempts and checkpoints.
///
/// `FULL`: in WAL mode only this syncs the log at every commit. With `NORMAL` a power cut could
/// take back a ban that was already announced, and with it lines that were already counted.
pub(crate) const BANS: Schema = Schema {
    application_id: 0x5354_4b42, // "STKB"
    steps: &[BANS_1, BANS_2],
    probes: &[
        "SELECT jail, kind, id, at, until, failures, bancount, ended, reason, relevant_until \
         FROM bans",
        "SELECT jail, kind, id, times, newest FROM attempts",
        "SELECT source, kind, path, device, inode, position, print_len, print_hash, cursor, \
         settled FROM checkpoints",
    ],
    synchronous: "FULL",
};

/// Times are microseconds since the epoch. `kind` is 0 for an address, 1 for a network, 2 for a
/// text, because a text may look like an address. A ban is named by jail, id and beginning, so that
/// committing a batch again (its first answer was lost) changes nothing. `ended` is NULL while it
/// runs; the second index holds that an id has one running ban in a jail at most.
///
/// `settled` of a checkpoint is the time of the first purge that found it unchanged.
const BANS_1: &str = "
CREATE TABLE bans (
    jail     TEXT    NOT NULL,
    kind     INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    until    INTEGER,
    failures INTEGER NOT NULL,
    bancount INTEGER NOT NULL,
    ended    INTEGER,
    reason   INTEGER,
    PRIMARY KEY (jail, kind, id, at)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX bans_running ON bans (jail, kind, id) WHERE ended IS NULL;
CREATE INDEX bans_over ON bans (coalesce(ended, until)) WHERE coalesce(ended, until) IS NOT NULL;
CREATE TABLE attempts (
    jail   TEXT    NOT NULL,
    kind   INTEGER NOT NULL,
    id     TEXT    NOT NULL,
    times  BLOB    NOT NULL,
    newest INTEGER NOT NULL,
    PRIMARY KEY (jail, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_newest ON attempts (newest);
CREATE TABLE checkpoints (
    source     TEXT    NOT NULL PRIMARY KEY,
    kind       INTEGER NOT NULL,
    path       BLOB,
    device     INTEGER,
    inode      INTEGER,
    position   INTEGER,
    print_len  INTEGER,
    print_hash INTEGER,
    cursor     TEXT,
    settled    INTEGER
) STRICT, WITHOUT ROWID;
";

/// Bans are kept for as long as they make the next one longer. `relevant_until` is
/// `Ban::relevant_until` of the core, and not before the ban was over; NULL for one that never ends
/// and was not lifted. The cast holds for times that no clock shows, whose sum is no integer. A
/// `bancount` of 0 says that an operator has lifted that ban or a later one of its id, and that it
/// counts no more.
const BANS_2: &str = "
ALTER TABLE bans ADD COLUMN relevant_until INTEGER GENERATED ALWAYS AS (
    CASE WHEN until IS NULL THEN ended
    ELSE CAST(max(coalesce(ended, until), until + 2 * (until - at)) AS INTEGER) END
) VIRTUAL;
DROP INDEX bans_over;
CREATE INDEX bans_relevant ON bans (relevant_until) WHERE relevant_until IS NOT NULL;
";

/// Key-values of plugins.
///
/// `NORMAL`: a call survives the death of the daemon, and the file is sound after a power cut, which
/// may take back the last writes. A sync per call would cost milliseconds, and plugins remember
/// what they can find out again.
pub(crate) const KEY_VALUES: Schema = Schema {
    application_id: 0x5354_4b4b, // "STKK"
    steps: &[KEY_VALUES_1],
    probes: &["SELECT plugin, key, value, expires FROM key_values"],
    synchronous: "NORMAL",
};

const KEY_VALUES_1: &str = "
CREATE TABLE key_values (
    plugin  TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   BLOB NOT NULL,
    expires INTEGER,
    PRIMARY KEY (plugin, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_values_expires ON key_values (plugin, expires) WHERE expires IS NOT NULL;
";
