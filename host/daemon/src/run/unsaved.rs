//! What has changed since the last transaction.

use std::collections::BTreeMap;

use stockade_core::{
    Attempts, Ban, Checkpoint, FailureId, JailName, SourceName, Timestamp, UnbanReason,
};
use stockade_store::{BanChange, Batch};

/// Changes of one id that are kept while the store cannot be written to. Older ones only matter to the
/// history, and an attacker must not fill the memory through a full disk.
const CHANGES_OF_ONE_ID_MAX: usize = 4;

/// Changes that wait for the store: no more than there is to remember, however long they wait.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    bans: BTreeMap<(JailName, FailureId), Vec<BanChange>>,
    attempts: BTreeMap<(JailName, FailureId), Vec<Timestamp>>,
    checkpoints: BTreeMap<SourceName, Checkpoint>,
}

impl Unsaved {
    /// A ban that began or got a new end.
    pub(super) fn ban(&mut self, ban: &Ban) {
        self.change(ban, BanChange::Ban(ban.clone()));
    }

    /// A ban that ended.
    pub(super) fn unban(&mut self, ban: &Ban, reason: UnbanReason, at: Timestamp) {
        let (jail, id) = (ban.jail.clone(), ban.id.clone());
        self.change(
            ban,
            BanChange::Unban {
                jail,
                id,
                reason,
                at,
            },
        );
    }

    fn change(&mut self, of: &Ban, change: BanChange) {
        let changes = self
            .bans
            .entry((of.jail.clone(), of.id.clone()))
            .or_default();
        if changes.len() == CHANGES_OF_ONE_ID_MAX {
            changes.remove(0);
        }
        changes.push(change);
    }

    /// Attempts as they stand now.
    pub(super) fn attempts(&mut self, changed: Vec<Attempts>) {
        for Attempts { jail, id, times } in changed {
            self.attempts.insert((jail, id), times);
        }
    }

    /// How far a source has been judged.
    pub(super) fn checkpoint(&mut self, source: SourceName, checkpoint: Checkpoint) {
        self.checkpoints.insert(source, checkpoint);
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.bans.is_empty() && self.attempts.is_empty() && self.checkpoints.is_empty()
    }

    /// Everything as one transaction.
    pub(super) fn batch(&self) -> Batch {
        let attempts = self.attempts.iter().map(|((jail, id), times)| Attempts {
            jail: jail.clone(),
            id: id.clone(),
            times: times.clone(),
        });
        Batch {
            changes: self.bans.values().flatten().cloned().collect(),
            attempts: attempts.collect(),
            checkpoints: self
                .checkpoints
                .iter()
                .map(|(s, c)| (s.clone(), c.clone()))
                .collect(),
        }
    }

    /// Forgets what the store has now.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
