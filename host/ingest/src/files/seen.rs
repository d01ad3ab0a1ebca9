//! What an earlier run has read.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use stockade_core::FileCheckpoint;

use super::tail::FileKey;
use crate::fingerprint::continues;

/// Checkpoints by the file and by the path they were made for.
#[derive(Debug, Default)]
pub(super) struct Seen {
    by_key: HashMap<FileKey, FileCheckpoint>,
    by_path: HashMap<PathBuf, FileCheckpoint>,
}

impl Seen {
    pub(super) fn new(checkpoints: Vec<FileCheckpoint>) -> Self {
        let mut seen = Self::default();
        for checkpoint in checkpoints {
            seen.add(&checkpoint);
            seen.by_path.insert(checkpoint.path.clone(), checkpoint);
        }
        seen
    }

    /// Remembers where a file stood that is closed now, in case it turns up again.
    pub(super) fn add(&mut self, checkpoint: &FileCheckpoint) {
        let key = FileKey::of_checkpoint(checkpoint);
        let known = self.by_key.get(&key);
        // A file that was renamed may have a checkpoint under each name: the later one counts.
        if known.is_none_or(|known| {
            known.position <= checkpoint.position || known.path == checkpoint.path
        }) {
            self.by_key.insert(key, checkpoint.clone());
        }
    }

    /// Where `file` was left, under whatever name; none if it is another file by now.
    pub(super) fn position_of(&self, key: FileKey, file: &File) -> io::Result<Option<u64>> {
        match self.by_key.get(&key) {
            Some(checkpoint) if continues(file, checkpoint)? => Ok(Some(checkpoint.position)),
            _ => Ok(None),
        }
    }

    /// The checkpoint of `path`, which is used up by this.
    pub(super) fn take(&mut self, path: &Path) -> Option<FileCheckpoint> {
        self.by_path.remove(path)
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.by_path.contains_key(path)
    }

    /// Checkpoints that were never used: their paths have not appeared yet. In no order.
    pub(super) fn unused(&self) -> impl Iterator<Item = &FileCheckpoint> {
        self.by_path.values()
    }
}
