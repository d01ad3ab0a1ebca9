//! What must outlive the process: gathered, written in one transaction, and tried again for as long as
//! it cannot be written. A store that fails never keeps a ban from being enforced.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stockade_core::{Attempts, Ban, Checkpoint, SourceName, Timestamp};
use stockade_store::{Opened, Store, StoreError, Stored};

use super::unsaved::Unsaved;

/// The store, if it can be had, and what it has not taken yet.
#[derive(Debug)]
pub(super) struct Durable {
    /// Absent in a dry run, which keeps nothing.
    file: Option<PathBuf>,
    /// Absent while the file cannot be opened.
    store: Option<Store>,
    pub(super) unsaved: Unsaved,
    /// Whether the last attempt failed; told once, not each time.
    failing: bool,
}

/// What has to happen after an attempt to write.
#[must_use]
pub(super) enum Saved {
    /// Nothing.
    Done,
    /// The file could be opened at last, and this is what it remembers.
    Opened(Box<Stored>),
    /// The file was lost, and everything that is known has to be written to the new one.
    BegunAnew,
}

impl Durable {
    /// Keeps nothing.
    pub(super) fn nothing() -> Self {
        Self {
            file: None,
            store: None,
            unsaved: Unsaved::default(),
            failing: false,
        }
    }

    /// Opens the database and reads what it remembers. On a full or failing disk it is opened later.
    ///
    /// # Errors
    /// Where trying again does not help: no permission, a newer schema, a file that is not ours.
    pub(super) fn open(file: PathBuf, now: Timestamp) -> Result<(Self, Stored), StoreError> {
        let mut durable = Self {
            file: Some(file),
            ..Self::nothing()
        };
        let stored = match durable.open_now(now) {
            Ok(stored) => stored,
            Err(error) if may_pass(&error) => {
                durable.failed(&error);
                Stored::default()
            }
            Err(error) => return Err(error),
        };
        Ok((durable, stored))
    }

    fn open_now(&mut self, now: Timestamp) -> Result<Stored, StoreError> {
        let Some(file) = &self.file else {
            return Ok(Stored::default());
        };
        let (store, opened) = Store::open(file, now)?;
        tell_corrupt(&opened);
        let stored = store.load()?;
        for row in &stored.unreadable {
            tracing::error!("a stored row makes no sense and is left out: {row:?}");
        }
        self.store = Some(store);
        Ok(stored)
    }

    /// Whether there is something to write, or a file to be opened.
    pub(super) fn is_pending(&self) -> bool {
        self.file.is_some() && (!self.unsaved.is_empty() || self.store.is_none())
    }

    /// Whether the store cannot be written to at the moment.
    pub(super) fn is_failing(&self) -> bool {
        self.failing
    }

    /// The database file, if one is kept.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Writes everything that has changed in one transaction. What cannot be written stays.
    pub(super) fn save(&mut self, changed: Vec<Attempts>, now: Timestamp) -> Saved {
        if self.file.is_none() {
            return Saved::Done;
        }
        self.unsaved.attempts(changed);
        let Some(store) = &mut self.store else {
            return match self.open_now(now) {
                Ok(stored) => Saved::Opened(Box::new(stored)),
                Err(error) => {
                    self.failed(&error);
                    Saved::Done
                }
            };
        };
        if self.unsaved.is_empty() {
            return Saved::Done;
        }
        match store.commit(&self.unsaved.batch()) {
            Ok(()) => {
                self.unsaved.clear();
                if std::mem::take(&mut self.failing) {
                    tracing::info!("state is stored again");
                }
                Saved::Done
            }
            Err(error) => self.after(&error, now),
        }
    }

    /// Deletes what has been over for `age`.
    pub(super) fn purge(&mut self, age: Duration, now: Timestamp) -> Saved {
        while let Some(store) = &mut self.store {
            match store.purge(now, age) {
                Ok(purged) if purged.more => {}
                Ok(_) => return Saved::Done,
                Err(error) => return self.after(&error, now),
            }
        }
        Saved::Done
    }

    /// Puts everything that is known among what is to be written.
    pub(super) fn write_all<'a>(
        &mut self,
        bans: impl Iterator<Item = &'a Ban>,
        checkpoints: impl Iterator<Item = (&'a SourceName, &'a Checkpoint)>,
    ) {
        bans.for_each(|ban| self.unsaved.ban(ban));
        for (source, checkpoint) in checkpoints {
            self.unsaved.checkpoint(source.clone(), checkpoint.clone());
        }
    }

    fn failed(&mut self, error: &StoreError) {
        if !self.failing {
            self.failing = true;
            let chain = crate::cli::chain(error);
            tracing::error!(
                "cannot store state, bans are enforced but would not survive a crash: {chain}"
            );
        }
    }

    fn after(&mut self, error: &StoreError, now: Timestamp) -> Saved {
        self.failed(error);
        if !error.needs_reopen() {
            return Saved::Done;
        }
        let Some(store) = self.store.take() else {
            return Saved::Done;
        };
        match store.reopen(now) {
            Ok((store, opened)) => {
                tell_corrupt(&opened);
                self.store = Some(store);
                Saved::BegunAnew
            }
            Err(error) => {
                tracing::error!(
                    "the database cannot be opened anew, trying again: {}",
                    crate::cli::chain(&error)
                );
                Saved::Done
            }
        }
    }
}

/// Says that a database was damaged.
pub(super) fn tell_corrupt(opened: &Opened) {
    if let Opened::CorruptKeptAside { path } = opened {
        tracing::error!(
            "the database is damaged; it is kept as '{}', a new one is begun, and bans are taken over from the firewall",
            path.display()
        );
    }
}

/// Whether room or a mended disk would help, so that protection must not wait for it.
fn may_pass(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Full { .. } | StoreError::Io { .. } | StoreError::Busy { .. }
    ) || is_disk_full(error)
}

/// Whether "no space left on device" is at the bottom of an error.
pub(super) fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::StorageFull)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
