//! What can go wrong with a file of ours, in terms of what the operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store could not do what was asked. Nothing was changed: a failed transaction is rolled
/// back as a whole, and the caller still holds its batch.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or the file cannot be created or opened.
    #[error("cannot {act} '{}'", path.display())]
    Open {
        /// What was tried, such as `create folder`.
        act: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A newer stockade wrote the file; reading it with this one could lose what it does not know.
    #[error(
        "'{}' has schema version {found}, this stockade knows up to {supported}; \
         run the newer stockade, or move the file away to begin anew",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Version in the file (`PRAGMA user_version`).
        found: i64,
        /// Newest version that this build knows.
        supported: i64,
    },
    /// A sound SQLite database that another program made. It is left alone.
    #[error("'{}' is a database of another program; give stockade a path of its own", path.display())]
    NotOurs {
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged. `Store::reopen` keeps it aside and begins a new one.
    #[error("database '{}' is damaged (while trying to {act})", path.display())]
    Corrupt {
        /// What was tried.
        act: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite found.
        source: rusqlite::Error,
    },
    /// The file was deleted or replaced while it was open: what is written now, no restart will find.
    /// `Store::reopen` begins a new one.
    #[error("database '{}' was deleted or replaced while in use", path.display())]
    Vanished {
        /// Where the database was.
        path: PathBuf,
    },
    /// No space is left. The same call can succeed later.
    #[error("no space left for '{}' (while trying to {act})", path.display())]
    Full {
        /// What was tried.
        act: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file, its folder or its file system may not be written to.
    #[error("'{}' or its folder cannot be written to (while trying to {act})", path.display())]
    ReadOnly {
        /// What was tried.
        act: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Another process holds a lock on the file for longer than we wait.
    #[error("'{}' is locked by another process (while trying to {act})", path.display())]
    Busy {
        /// What was tried.
        act: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The disk failed to read or write.
    #[error("cannot {act} in '{}': the disk failed", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Anything else; a fault of ours.
    #[error("cannot {act} in '{}'", path.display())]
    Sqlite {
        /// What was tried.
        act: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts an error of SQLite by what can be done about it.
    pub(crate) fn of(act: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        let code = source.sqlite_error_code();
        match code {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { act, path, source }
            }
            Some(ErrorCode::DiskFull) => Self::Full { act, path, source },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { act, path, source }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { act, path, source }
            }
            // Growing the shared index of the WAL (`-shm`) on a full disk is an I/O error with this
            // extended code, not SQLITE_FULL.
            Some(ErrorCode::SystemIoFailure)
                if source.sqlite_error().map(|e| e.extended_code)
                    == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) =>
            {
                Self::Full { act, path, source }
            }
            Some(ErrorCode::SystemIoFailure) => Self::Io { act, path, source },
            _ => Self::Sqlite { act, path, source },
        }
    }

    /// Whether the same call may succeed later, when somebody has made room, released a lock or
    /// mended the disk.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::ReadOnly { .. }
                | Self::Busy { .. }
                | Self::Io { .. }
                | Self::Open { .. }
        )
    }

    /// Whether the file is damaged or gone, so that only `Store::reopen` helps, after which the caller
    /// commits all that it holds, not only what changed.
    #[must_use]
    pub fn needs_reopen(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Vanished { .. })
    }
}

/// A row that was left out because it cannot be read, such as one edited by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The table it is in.
    pub table: &'static str,
    /// What is wrong with it. Text from the row is escaped and cut: it is safe to log.
    pub reason: String,
}
