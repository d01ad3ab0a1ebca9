//! A directory that belongs to us alone. Everything in it is reached through its open descriptor, so
//! that nobody can exchange the directory under us.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, renameat, unlinkat};

/// The directory, open.
#[derive(Debug)]
pub(super) struct PrivateDir(OwnedFd);

/// Why a directory or a file in it is not trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Owned by somebody else.
    #[error("it belongs to uid {uid} and not to us")]
    Owner {
        /// Who owns it.
        uid: u32,
    },
    /// Others may read or write it.
    #[error("its mode is {mode:o}; others may not have any access")]
    Mode {
        /// The permission bits.
        mode: rustix::fs::RawMode,
    },
    /// Not of the kind that we made.
    #[error("it is no regular file of ours")]
    Kind,
}

impl From<rustix::io::Errno> for DirError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl PrivateDir {
    /// Opens the directory, and makes it where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, DirError> {
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        is_ours(&fstat(&dir)?)?;
        Ok(Self(dir))
    }

    /// A regular file of ours, whole, if it has at most `bytes_max` bytes.
    pub(super) fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, DirError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        is_ours(&stat)?;
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size > bytes_max {
            return Err(DirError::Kind);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        File::from(file).take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Makes or replaces a file: whole, or not at all, also if the machine stops in between.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> Result<(), DirError> {
        let temporary = format!("{name}.{}.new", std::process::id());
        self.remove(&temporary)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(
            &self.0,
            &*temporary,
            flags,
            Mode::RUSR | Mode::WUSR,
        )?);
        let written = parts
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| file.sync_all());
        let renamed = written.and_then(|()| Ok(renameat(&self.0, &*temporary, &self.0, name)?));
        if let Err(error) = renamed {
            // The first error is the one that matters; what is left is removed when pruning.
            self.remove(&temporary)?;
            return Err(error.into());
        }
        rustix::fs::fsync(&self.0)?;
        Ok(())
    }

    /// Removes a file; a success where there is none.
    pub(super) fn remove(&self, name: &str) -> Result<(), DirError> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Names of all files, with the second in which each was last changed.
    pub(super) fn list(&self) -> Result<Vec<(i64, String)>, DirError> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if let Ok(stat) = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)
                && FileType::from_raw_mode(stat.st_mode) != FileType::Directory
            {
                files.push((stat.st_mtime, name.to_owned()));
            }
        }
        Ok(files)
    }
}

fn is_ours(stat: &Stat) -> Result<(), DirError> {
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(DirError::Owner { uid: stat.st_uid });
    }
    let mode = Mode::from_raw_mode(stat.st_mode).as_raw_mode();
    if mode & 0o077 != 0 {
        return Err(DirError::Mode { mode });
    }
    Ok(())
}
