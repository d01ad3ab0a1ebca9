//! How the sources are, as far as readers have told.

use std::collections::BTreeMap;

use stockade_control::{SourceKind, SourceStatus, State};
use stockade_core::Checkpoint;
use stockade_ingest::Notice;

use super::reading::{Input, Judged};

/// The reader and the name of one of its sources: a file that two readers read is in here twice.
type Key = (String, String);

/// State and counts of each source since the start.
#[derive(Debug, Default)]
pub(super) struct Sources {
    now: BTreeMap<Key, SourceStatus>,
    /// Those of the configuration before, whose counts go on where they come again.
    before: BTreeMap<Key, SourceStatus>,
}

impl Sources {
    /// Begins with the sources of a new configuration.
    pub(super) fn renew(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// The sources that a reader will have, as far as they are known by name.
    pub(super) fn expect(&mut self, reader: &str, input: &Input) {
        match input {
            Input::Files(globs) => {
                for path in globs.iter().filter(|glob| !glob.contains(['*', '?', '['])) {
                    let source = self.source(reader, path, SourceKind::File);
                    source.state = State::Waiting;
                }
            }
            Input::Journal { name, .. } => {
                self.source(reader, name, SourceKind::Journal).state = State::Ok
            }
            Input::Stdin => self.source(reader, "stdin", SourceKind::Stdin).state = State::Ok,
        }
    }

    /// Adds the counts of a chunk.
    pub(super) fn count(&mut self, judged: &Judged) {
        let kind = match judged.checkpoint {
            Checkpoint::File(_) => SourceKind::File,
            Checkpoint::Journal { .. } => SourceKind::Journal,
            Checkpoint::None => SourceKind::Stdin,
        };
        let source = self.source(&judged.reader, judged.source.as_str(), kind);
        source.state = State::Ok;
        source.message = None;
        source.lines += judged.counts.lines;
        source.overlong += judged.counts.overlong;
    }

    /// Takes in what a reader has told.
    pub(super) fn notice(&mut self, reader: &str, notice: &Notice) {
        let (name, kind) = match notice {
            Notice::NoFileYet { glob } => (glob.clone(), SourceKind::File),
            Notice::Opened { path, .. }
            | Notice::Vanished { path }
            | Notice::Unreadable { path, .. } => (path.display().to_string(), SourceKind::File),
            Notice::JournalEnded { source, .. } => (source.to_string(), SourceKind::Journal),
            Notice::OverlongLines { source, .. } => (source.to_string(), SourceKind::File),
            Notice::Ended { source, .. } => (source.to_string(), SourceKind::Stdin),
            _ => return,
        };
        let source = self.source(reader, &name, kind);
        match notice {
            Notice::Opened { .. } => {
                source.state = State::Ok;
                source.message = None;
            }
            Notice::OverlongLines { lines, .. } => source.overlong += lines,
            Notice::Unreadable { .. } | Notice::JournalEnded { .. } => {
                source.state = State::Failed;
                source.message = Some(notice.to_string());
            }
            _ => {
                source.state = State::Waiting;
                source.message = Some(notice.to_string());
            }
        }
    }

    fn source(&mut self, reader: &str, name: &str, kind: SourceKind) -> &mut SourceStatus {
        let key = (reader.to_owned(), name.to_owned());
        let before = &mut self.before;
        self.now.entry(key).or_insert_with_key(|key| {
            before.remove(key).unwrap_or_else(|| SourceStatus {
                name: name.to_owned(),
                kind,
                state: State::Ok,
                ..SourceStatus::default()
            })
        })
    }

    /// All sources.
    pub(super) fn status(&self) -> Vec<SourceStatus> {
        self.now.values().cloned().collect()
    }
}
