//! One daemon per state folder.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::open::open_private;

/// Name of the file in the state folder.
const LOCK_FILE: &str = "lock";
/// A process number has at most ten digits; nothing longer is read from the file.
const PID_BYTES_MAX: u64 = 16;

/// The right to use a state folder; given back when dropped, and by the kernel when the process dies
/// in whatever way.
#[derive(Debug)]
pub struct StateLock {
    path: PathBuf,
    _file: File,
}

impl StateLock {
    /// Takes the lock of `folder`, which is made (mode 0700) where it is missing. Does not wait.
    ///
    /// The lock is flock(2) on a file that is never deleted: deleting it would let two processes
    /// each hold a lock on a file of that name.
    ///
    /// # Errors
    /// Where another process holds it, or the file cannot be made.
    pub fn acquire(folder: &Path) -> Result<Self, StateLockError> {
        let path = folder.join(LOCK_FILE);
        let failed = |source| StateLockError::Open {
            path: path.clone(),
            source,
        };
        if !folder.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(failed)?;
        }
        let mut file = open_private(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_pid(&mut file);
                return Err(StateLockError::InUse {
                    folder: folder.to_path_buf(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // The number only makes the other daemon's message better: on a full disk we go on.
        let told = write_pid(&mut file);
        drop(told);
        Ok(Self { path, _file: file })
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateLockError {
    /// Another stockade runs on it.
    #[error("state folder '{}' is in use by another stockade{}", folder.display(), process(*pid))]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Its process, where it could be read.
        pid: Option<u32>,
    },
    /// The lock file cannot be made or locked.
    #[error("cannot lock '{}'", path.display())]
    Open {
        /// The lock file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let first = StateLock::acquire(&state).unwrap();
        let error = StateLock::acquire(&state).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "state folder '{}' is in use by another stockade (process {})",
                state.display(),
                std::process::id()
            )
        );
        drop(first);
        assert!(StateLock::acquire(&state).is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), b"").unwrap();
        let error = StateLock::acquire(&folder.path().join("file/state")).unwrap_err();
        assert!(matches!(error, StateLockError::Open { .. }), "{error:?}");
    }
}
