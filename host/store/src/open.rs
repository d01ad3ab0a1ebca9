//! Opening a database: made if missing, refused if it is not for us, kept aside if it is damaged.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, ffi};
use stockade_core::Timestamp;

use crate::StoreError;
use crate::schema::Schema;

/// Only the daemon's user reads what attackers tried and whom we ban.
const FILE_MODE: u32 = 0o600;
/// See [`FILE_MODE`].
const FOLDER_MODE: u32 = 0o700;
/// Longer than any transaction of ours, and short enough that an operator who left a transaction
/// open in sqlite3(1) does not stop the daemon: the batch is tried again later.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// What a write-ahead log is cut down to once it has been written back. SQLite writes it back at
/// 1,000 pages of 4 KiB, so in quiet times it is never larger than this.
const JOURNAL_BYTES_MAX: i64 = 4 * 1024 * 1024;
/// Files kept aside in one second. More than one is already odd; the number only ends the search.
const KEPT_ASIDE_MAX: u32 = 1_000;
/// The smallest page that SQLite knows (sqlite.org/fileformat2.html 1.3.2).
const PAGE_BYTES_MIN: u64 = 512;
/// SQLite's companions of a database file, and the file itself.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// What was found where the database was to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a damaged file must be reported"]
pub enum Opened {
    /// Nothing, or an empty file: a new database was begun.
    Created,
    /// A sound database.
    Existing,
    /// A damaged file. It and its companions were renamed, and a new database was begun.
    CorruptKeptAside {
        /// Where the damaged file is now.
        path: PathBuf,
    },
}

/// How carefully an existing file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// `quick_check`: the structure of every page, in time proportional to the size of the file.
    Quick,
    /// None: it is known to be damaged.
    KnownCorrupt,
}

/// Opens the database at `path`, which is made, brought to the newest version or replaced as needed.
pub(crate) fn open(
    path: &Path,
    schema: &Schema,
    check: Check,
    now: Timestamp,
) -> Result<(Connection, Opened), StoreError> {
    make_folder(path)?;
    make_file(path)?;
    if check == Check::Quick {
        match open_sound(path, schema) {
            Err(StoreError::Corrupt { .. }) => {}
            sound => return sound,
        }
    }
    let aside = keep_aside(path, now)?;
    make_file(path)?;
    let (connection, _) = open_sound(path, schema)?;
    Ok((connection, Opened::CorruptKeptAside { path: aside }))
}

/// The folder of `path`, made for us alone where it is missing. One that is there keeps its mode:
/// it may be `/var/lib`, which is not ours to close.
fn make_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) else {
        return Ok(());
    };
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(failed("create folder", folder))
}

/// Makes the file before SQLite does, which would give it the mode that the umask allows. The
/// companions get the mode of the file.
fn make_file(path: &Path) -> Result<(), StoreError> {
    let existed = path.exists();
    let file = open_private(path).map_err(failed("open", path))?;
    if !existed {
        file.sync_all().map_err(failed("write", path))?;
        sync_folder(path)?;
    }
    Ok(())
}

/// Opens a file, or makes one that only our user can read.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
}

/// Closes a file of ours that somebody opened to others.
fn restrict(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o777 == FILE_MODE {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(FILE_MODE))
}

/// Makes names in the folder of `path` durable: a file that was synced can still lose its name.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync folder", folder))
}

/// What tells a file from another one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Of the file that is at `path` now, where there is one.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Open { act, path, source }
}

fn open_sound(path: &Path, schema: &Schema) -> Result<(Connection, Opened), StoreError> {
    check_length(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|e| StoreError::of("open", path, e))?;
    let opened = prepare(&mut connection, path, schema)?;
    Ok((connection, opened))
}

/// SQLite takes a file shorter than a page for a new one, and deletes the log beside an empty one.
fn check_length(path: &Path) -> Result<(), StoreError> {
    let len = fs::metadata(path).map_err(failed("open", path))?.len();
    let log = fs::metadata(with_suffix(path, "-wal")).map_or(0, |wal| wal.len());
    let why = match len {
        0 if log > 0 => "the file is empty, its log is not",
        1..PAGE_BYTES_MIN => "the file is shorter than a page",
        _ => return Ok(()),
    };
    Err(StoreError::of("open", path, corrupt(why.to_owned())))
}

/// Looks at the file from the outside to the inside, and only then writes to it.
fn prepare(
    connection: &mut Connection,
    path: &Path,
    schema: &Schema,
) -> Result<Opened, StoreError> {
    let failed = |act| move |source| StoreError::of(act, path, source);
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(failed("open"))?;
    // Until the file is known to be sound, closing it must not write to it: what is kept aside
    // stays as it was found.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(failed("open"))?;
    let found = find_version(connection, path, schema)?;
    restrict(path).map_err(self::failed("close to others", path))?;
    quick_check(connection).map_err(failed("check"))?;
    configure(connection, schema).map_err(failed("configure"))?;
    if found < schema.version() {
        upgrade(connection, schema, found).map_err(failed("upgrade"))?;
    }
    probe(connection, schema).map_err(failed("check"))?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(failed("open"))?;
    Ok(if found == 0 {
        Opened::Created
    } else {
        Opened::Existing
    })
}

/// The schema version of the file, 0 for an empty one; an error where it is not for us to use.
fn find_version(connection: &Connection, path: &Path, schema: &Schema) -> Result<i64, StoreError> {
    let failed = |source| StoreError::of("read", path, source);
    let number = |sql: &str| connection.query_one(sql, (), |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version").map_err(failed)?;
    let application = number("PRAGMA application_id").map_err(failed)?;
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(failed)?;
    if version == 0 && application == 0 && tables == 0 {
        return Ok(0);
    }
    if application != i64::from(schema.application_id) {
        return Err(StoreError::NotOurs {
            path: path.to_path_buf(),
        });
    }
    if version > schema.version() {
        return Err(StoreError::NewerSchema {
            path: path.to_path_buf(),
            found: version,
            supported: schema.version(),
        });
    }
    Ok(version)
}

fn quick_check(connection: &Connection) -> rusqlite::Result<()> {
    let verdict: String = connection.query_one("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(corrupt(verdict))
}

fn corrupt(why: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(why))
}

fn configure(connection: &Connection, schema: &Schema) -> rusqlite::Result<()> {
    // Only in an empty file does this have an effect, and only before the first table: purging
    // can then give pages back to the file system.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // Where WAL cannot be had (some network file systems), SQLite keeps its rollback journal, which
    // is as safe and slower.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", schema.synchronous)?;
    connection.pragma_update_and_check(
        None,
        "journal_size_limit",
        JOURNAL_BYTES_MAX,
        |_| Ok(()),
    )?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // No temporary files: they would need a writable /tmp.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Damage is found when a page is read, and a schema that somebody tampered with runs nothing.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Takes the missing steps, all or none.
fn upgrade(connection: &mut Connection, schema: &Schema, found: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(found).unwrap_or(0);
    for step in schema.steps.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", schema.application_id)?;
    transaction.pragma_update(None, "user_version", schema.version())?;
    transaction.commit()
}

/// Compiles what will be asked of the tables; a missing table or column is damage like any other.
fn probe(connection: &Connection, schema: &Schema) -> rusqlite::Result<()> {
    for sql in schema.probes {
        connection.prepare(sql).map_err(|e| match e {
            rusqlite::Error::SqlInputError { msg, .. } => corrupt(msg),
            other if other.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => {
                corrupt(other.to_string())
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Renames the database and its companions to a dated name that nothing has yet.
fn keep_aside(path: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let date = jiff::Timestamp::from_microsecond(now.as_micros())
        .unwrap_or_default()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let taken = |aside: &Path| {
        PARTS
            .iter()
            .any(|part| fs::symlink_metadata(with_suffix(aside, part)).is_ok())
    };
    let aside = (0..KEPT_ASIDE_MAX)
        .map(|n| match n {
            0 => with_suffix(path, &format!(".corrupt-{date}")),
            n => with_suffix(path, &format!(".corrupt-{date}.{n}")),
        })
        .find(|aside| !taken(aside))
        .ok_or_else(|| failed("keep aside", path)(io::Error::from(io::ErrorKind::AlreadyExists)))?;
    // The log first: a new database beside the log of the old one would take it for its own.
    for part in PARTS.iter().rev() {
        match fs::rename(with_suffix(path, part), with_suffix(&aside, part)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(failed("keep aside", path))?,
        }
    }
    sync_folder(path)?;
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Schema = Schema {
        application_id: 7,
        steps: &["CREATE TABLE a (x INTEGER)"],
        probes: &["SELECT x FROM a"],
        synchronous: "FULL",
    };
    const TWO: Schema = Schema {
        steps: &[
            "CREATE TABLE a (x INTEGER)",
            "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 2",
        ],
        probes: &["SELECT x, y FROM a"],
        ..ONE
    };
    const BROKEN_STEP: Schema = Schema {
        steps: &[
            "CREATE TABLE a (x INTEGER)",
            "CREATE TABLE b (x INTEGER); CREATE TABLE a (x INTEGER)",
        ],
        ..ONE
    };

    fn begin(path: &Path, schema: &Schema) -> Result<(Connection, Opened), StoreError> {
        open(path, schema, Check::Quick, Timestamp::EPOCH)
    }

    #[test]
    fn an_older_file_is_brought_forward_and_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let (old, opened) = begin(&path, &ONE).unwrap();
        assert_eq!(opened, Opened::Created);
        old.execute("INSERT INTO a VALUES (1)", ()).unwrap();
        drop(old);
        let (new, opened) = begin(&path, &TWO).unwrap();
        assert_eq!(opened, Opened::Existing);
        let row = new.query_one("SELECT x, y FROM a", (), |r| {
            Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?))
        });
        assert_eq!(row.unwrap(), (1, 2));
        drop(new);
        let error = begin(&path, &ONE).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::NewerSchema {
                    found: 2,
                    supported: 1,
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn an_upgrade_that_fails_leaves_the_old_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        drop(begin(&path, &ONE).unwrap());
        assert!(begin(&path, &BROKEN_STEP).is_err());
        let (connection, opened) = begin(&path, &ONE).unwrap();
        assert_eq!(opened, Opened::Existing);
        let tables = connection.query_one("SELECT count(*) FROM sqlite_schema", (), |r| {
            r.get::<_, i64>(0)
        });
        assert_eq!(tables.unwrap(), 1);
    }

    #[test]
    fn the_file_is_set_up_to_be_durable_and_to_shrink() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/db");
        let (connection, _) = begin(&path, &crate::schema::BANS).unwrap();
        let text = |sql: &str| {
            connection
                .query_one(sql, (), |r| r.get::<_, rusqlite::types::Value>(0))
                .map(|v| format!("{v:?}"))
                .unwrap()
        };
        assert_eq!(text("PRAGMA journal_mode"), "Text(\"wal\")");
        assert_eq!(text("PRAGMA synchronous"), "Integer(2)");
        assert_eq!(text("PRAGMA auto_vacuum"), "Integer(2)");
        assert_eq!(text("PRAGMA foreign_keys"), "Integer(1)");
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&with_suffix(&path, "-wal")), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_file_that_was_open_to_all_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(begin(&path, &ONE).unwrap());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn nothing_that_is_kept_aside_is_ever_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut kept = Vec::new();
        for n in 0..3 {
            fs::write(&path, format!("garbage number {n}").repeat(100)).unwrap();
            let (connection, opened) = begin(&path, &ONE).unwrap();
            drop(connection);
            let Opened::CorruptKeptAside { path } = opened else {
                panic!("{opened:?}")
            };
            kept.push(path);
        }
        for (n, path) in kept.iter().enumerate() {
            let text = fs::read_to_string(path).unwrap();
            assert_eq!(text, format!("garbage number {n}").repeat(100), "{path:?}");
        }
        assert!(kept[0].ends_with("db.corrupt-19700101T000000Z"));
    }
}
