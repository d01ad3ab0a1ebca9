//! What is behind a path: the same file as before, another one, one that had another name, or
//! nothing.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::Instant;

use stockade_core::FileCheckpoint;

use super::tail::{FileKey, Tail, first_position, open_file};
use super::watch::Watched;
use super::{Files, Sink, Start, TrackId, rotated};
use crate::fingerprint::{continues, fingerprint, read_head};
use crate::notice::{NotALog, Notice};

/// What to do with a file that was not open yet.
enum Begin {
    At(u64),
    /// Not now: it is a copy of a file that is being read.
    Hold,
}

fn not_a_log(meta: &Metadata) -> Option<NotALog> {
    let kind = meta.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some(NotALog::Directory)
    } else if kind.is_fifo() {
        Some(NotALog::Fifo)
    } else if kind.is_socket() {
        Some(NotALog::Socket)
    } else {
        Some(NotALog::Device)
    }
}

impl Files {
    /// Looks at what is behind the path of a track now.
    pub(super) fn check(&mut self, id: TrackId, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else {
            return;
        };
        if rotated::is_compressed(&track.path) {
            if track.path.symlink_metadata().is_err() {
                self.drop_track(id);
            }
            return;
        }
        match std::fs::metadata(&track.path) {
            Ok(meta) => self.check_found(id, &meta, now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.gone(id),
            Err(error) => self.complain(id, error),
        }
        self.note_settling(id);
    }

    fn check_found(&mut self, id: TrackId, meta: &Metadata, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else {
            return;
        };
        if let Some(kind) = not_a_log(meta) {
            let text = format!("{kind:?}");
            if track.complaint.as_ref() != Some(&text) {
                track.complaint = Some(text);
                let path = track.path.clone();
                self.notices.push(Notice::NotALog { path, kind });
            }
            return;
        }
        let key = FileKey::of(meta);
        if let Some(newest) = track.newest().filter(|newest| newest.key == key) {
            let unread = meta.size() != newest.position();
            // Truncated and grown to the size it had: only its time and its beginning tell.
            let modified = (meta.mtime(), meta.mtime_nsec());
            let touched = track.modified.replace(modified) != Some(modified);
            track.missing = false;
            if unread || touched || track.tails.len() > 1 {
                self.enqueue(id);
            }
            return;
        }
        if let Err(error) = self.adopt(id, key, now) {
            self.complain(id, error);
        }
    }

    /// Makes the file `key`, which the path leads to now, the current file of the track.
    fn adopt(&mut self, id: TrackId, key: FileKey, now: Instant) -> io::Result<()> {
        if let Some(owner) = self.by_key.get(&key) {
            let owner = *owner;
            if owner != id && self.leads_to(owner, key) {
                self.share(owner, id);
                return Ok(());
            }
            self.take_over(owner, id, key, now);
            return Ok(());
        }
        let Some(track) = self.tracks.get(&id) else {
            return Ok(());
        };
        let path = track.path.clone();
        let file = open_file(&path)?;
        let meta = file.metadata()?;
        if not_a_log(&meta).is_some() || FileKey::of(&meta) != key {
            // It changed between two looks; the change is reported too, or seen by the next scan.
            return Ok(());
        }
        let old = track.newest().map(|tail| tail.checkpoint(&path));
        let Begin::At(position) = self.begin(id, key, &file, now)? else {
            self.looked_at.insert(id);
            return Ok(());
        };
        if let Some(old) = old {
            self.notices.push(Notice::Rotated { path: path.clone() });
            // There may have been more than one rotation since we looked.
            self.queue_predecessors(id, &old, key, now);
        }
        let tail = Tail::new(file, position, now)?;
        self.notices.push(Notice::Opened { path, position });
        self.attach(id, tail, now);
        Ok(())
    }

    /// Where to begin with a file that was not open yet.
    fn begin(&mut self, id: TrackId, key: FileKey, file: &File, now: Instant) -> io::Result<Begin> {
        let Some(track) = self.tracks.get(&id) else {
            return Ok(Begin::Hold);
        };
        let path = track.path.clone();
        let line_len_max = self.options.line_len_max;
        if let Some(position) = self.seen.position_of(key, file)? {
            return Ok(Begin::At(position));
        }
        // A new file with the text of the old one, which an editor or a backup has left.
        if let Some(old) = track.newest().map(|tail| tail.checkpoint(&path))
            && old.fingerprint.len > 0
            && continues(file, &old)?
        {
            self.drop_tails(id);
            return Ok(Begin::At(old.position));
        }
        if let Some(old) = self.seen.take(&path) {
            if old.fingerprint.len > 0 && continues(file, &old)? {
                return Ok(Begin::At(old.position));
            }
            self.queue_predecessors(id, &old, key, now);
            return Ok(Begin::At(0));
        }
        if let Some(begin) = self.begin_rotated(id, file)? {
            return Ok(begin);
        }
        let is_tail = |spec: &usize| self.specs.get(*spec).map(|s| s.start) == Some(Start::Tail);
        let specs = self.tracks.get(&id).map(|track| &track.specs);
        let start = match specs {
            Some(specs) if self.initial && specs.iter().all(is_tail) => Start::Tail,
            _ => Start::Head,
        };
        first_position(file, start, line_len_max).map(Begin::At)
    }

    /// A file whose name is that of a followed log with something appended (`a.log.1`) may be a
    /// copy that is made before the log is truncated. While the log still begins the same, the
    /// copy holds nothing but what is read from the log.
    fn begin_rotated(&mut self, id: TrackId, file: &File) -> io::Result<Option<Begin>> {
        let Some(base) = self.log_of_rotated(id) else {
            return Ok(None);
        };
        let initial = self.initial;
        let Some(track) = self.tracks.get_mut(&id) else {
            return Ok(None);
        };
        // At first it is empty and tells nothing.
        if !initial && !std::mem::replace(&mut track.held, true) {
            return Ok(Some(Begin::Hold));
        }
        let Some(base) = self.tracks.get(&base) else {
            return Ok(None);
        };
        let begins_like = |old: &FileCheckpoint| -> io::Result<bool> {
            let len = usize::try_from(old.fingerprint.len).unwrap_or(usize::MAX);
            Ok(len > 0 && fingerprint(&read_head(file, len)?) == old.fingerprint)
        };
        if let Some(log) = base.newest().map(|tail| tail.checkpoint(&base.path))
            && begins_like(&log)?
        {
            return Ok(Some(Begin::Hold));
        }
        if let Some(before) = &base.before
            && begins_like(before)?
        {
            let end = first_position(file, Start::Tail, self.options.line_len_max)?;
            return Ok(Some(Begin::At(end.min(before.position))));
        }
        Ok(None)
    }

    /// The track of the log that `id` is a rotated file of, by its name.
    fn log_of_rotated(&self, id: TrackId) -> Option<TrackId> {
        let path = &self.tracks.get(&id)?.path;
        let name = path.file_name()?.as_bytes();
        let ends = name.iter().enumerate().rev();
        ends.filter(|(_, b)| matches!(b, b'.' | b'-' | b'_'))
            .filter_map(|(end, _)| name.get(..end))
            .filter(|base| !base.is_empty())
            .find_map(|base| {
                let base = path.with_file_name(OsStr::from_bytes(base));
                self.by_path.get(&base).copied()
            })
    }

    /// Puts the files before the file `current` that were rotated while nobody looked.
    fn queue_predecessors(
        &mut self,
        id: TrackId,
        old: &FileCheckpoint,
        current: FileKey,
        now: Instant,
    ) {
        let found = match rotated::find(old, current) {
            Ok(found) => found,
            Err(error) => return self.complain(id, error),
        };
        let path = old.path.clone();
        let is_open = self.by_key.contains_key(&FileKey::of_checkpoint(old));
        if found.rest.is_none() && old.position > 0 && !is_open {
            self.notices.push(Notice::RestLost {
                path: path.clone(),
                compressed: found.compressed,
            });
        }
        // Where the old file is open, it is read on, and a copy found if it turns out rewritten.
        let rest = found.rest.filter(|_| !is_open);
        let rest = rest.map(|(from, file)| (from, file, old.position));
        let unseen = found.unseen.into_iter().map(|(from, file)| (from, file, 0));
        for (from, file, position) in rest.into_iter().chain(unseen) {
            match self.predecessor(file, position, now) {
                Ok(Some(tail)) => {
                    self.notices.push(Notice::RotatedMeanwhile {
                        path: path.clone(),
                        rest: from,
                    });
                    self.attach(id, tail, now);
                }
                Ok(None) => {}
                Err(error) => self.complain(id, error),
            }
        }
    }

    /// A tail for a rotated file, unless it is open already; it may have been read further under
    /// its new name.
    fn predecessor(&self, file: File, position: u64, now: Instant) -> io::Result<Option<Tail>> {
        let key = FileKey::of(&file.metadata()?);
        if self.by_key.contains_key(&key) {
            return Ok(None);
        }
        let position = self.seen.position_of(key, &file)?.unwrap_or(position);
        Tail::new(file, position, now).map(Some)
    }

    /// A file was rewritten: reads it anew, after the rest of a copy if there is one.
    pub(super) fn begin_anew(&mut self, id: TrackId, old: FileCheckpoint, now: Instant) {
        let path = old.path.clone();
        self.notices.push(Notice::Truncated { path });
        let copy = rotated::find(&old, FileKey::of_checkpoint(&old))
            .ok()
            .and_then(|found| found.rest);
        let copy = copy.and_then(|(_, file)| self.predecessor(file, old.position, now).ok()?);
        let Some(track) = self.tracks.get_mut(&id) else {
            return;
        };
        if let Some(copy) = &copy {
            self.by_key.insert(copy.key, id);
        }
        track.restart(old, copy, now);
        self.enqueue(id);
    }

    /// Does the path of `id` lead to the file `key`?
    fn leads_to(&self, id: TrackId, key: FileKey) -> bool {
        let path = self.tracks.get(&id).map(|track| &track.path);
        path.and_then(|path| std::fs::metadata(path).ok())
            .is_some_and(|meta| FileKey::of(&meta) == key)
    }

    /// `other` is one more name of a file that `owner` reads: it is read once for both.
    fn share(&mut self, owner: TrackId, other: TrackId) {
        let specs = self.tracks.get(&other).map(|track| track.specs.clone());
        if let (Some(owner), Some(specs)) = (self.tracks.get_mut(&owner), specs)
            && let Some(tail) = owner.tails.back_mut()
        {
            tail.add_specs(&specs);
        }
        self.looked_at.insert(other);
    }

    /// A file of `from` was renamed to the path of `to`, which goes on with it where it stands.
    fn take_over(&mut self, from: TrackId, to: TrackId, key: FileKey, now: Instant) {
        let Some(owner) = self.tracks.get_mut(&from) else {
            return;
        };
        let from_path = owner.path.clone();
        let at = owner.tails.iter().position(|tail| tail.key == key);
        let Some(mut tail) = at.and_then(|at| owner.tails.remove(at)) else {
            return;
        };
        tail.copy = false;
        owner.missing |= owner.tails.is_empty();
        if let Some(track) = self.tracks.get_mut(&to) {
            self.by_key.insert(key, to);
            self.seen.take(&track.path);
            track.announce |= from != to;
            if let Some(wd) = tail.watch {
                self.files_by_wd.insert(wd, to);
            }
            if from != to {
                let to = track.path.clone();
                let from = from_path;
                self.notices.push(Notice::Renamed { from, to });
            }
            track.push(tail, now);
            track.skip_to_newest(now);
        }
        // Before anything is read from `from`: its next checkpoint forgets this file.
        self.enqueue_first(to);
        self.note_settling(to);
        self.enqueue(from);
        self.note_settling(from);
    }

    /// Adds a newly opened file to a track as its current one.
    fn attach(&mut self, id: TrackId, mut tail: Tail, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else {
            return;
        };
        if let Some(watcher) = &self.watcher {
            match watcher.watch_file(&track.path, tail.file().as_fd()) {
                Watched::Yes(wd) => {
                    tail.watch = Some(wd);
                    self.files_by_wd.insert(wd, id);
                    // A link stands still while what it leads to is replaced in a directory
                    // that is not watched.
                    if track.path.is_symlink() {
                        self.looked_at.insert(id);
                    } else {
                        self.looked_at.remove(&id);
                    }
                }
                Watched::No(reason) => {
                    if self.looked_at.insert(id) {
                        self.notices.push(Notice::Polled {
                            path: track.path.clone(),
                            every: self.options.poll_interval,
                            reason,
                        });
                    }
                }
            }
        }
        self.by_key.insert(tail.key, id);
        let known = self.seen.take(&track.path);
        let place = tail.checkpoint(&track.path);
        track.announce |= place.position > 0 && known.as_ref() != Some(&place);
        track.complaint = None;
        track.push(tail, now);
        self.enqueue(id);
        self.note_settling(id);
    }

    /// The path leads nowhere.
    fn gone(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else {
            return;
        };
        if track.tails.is_empty() {
            return self.drop_track(id);
        }
        if !std::mem::replace(&mut track.missing, true) {
            let path = track.path.clone();
            self.notices.push(Notice::Vanished { path });
        }
        self.enqueue(id);
    }

    fn drop_track(&mut self, id: TrackId) {
        if let Some(track) = self.tracks.remove(&id) {
            self.by_path.remove(&track.path);
            self.looked_at.remove(&id);
            self.settling.remove(&id);
        }
    }

    fn drop_tails(&mut self, id: TrackId) {
        let tails = self
            .tracks
            .get_mut(&id)
            .map(|t| std::mem::take(&mut t.tails));
        for tail in tails.unwrap_or_default() {
            self.forget_tail(id, &tail);
        }
    }

    /// A file of the track is closed.
    pub(super) fn forget_tail(&mut self, id: TrackId, tail: &Tail) {
        self.by_key.remove(&tail.key);
        if let Some(wd) = tail.watch {
            self.files_by_wd.remove(&wd);
            if let Some(watcher) = &self.watcher {
                watcher.unwatch(wd);
            }
        }
        if let Some(track) = self.tracks.get(&id) {
            self.seen.add(&tail.checkpoint(&track.path));
        }
    }

    pub(super) fn note_settling(&mut self, id: TrackId) {
        match self.tracks.get(&id) {
            Some(track) if track.is_settling() => {
                self.settling.insert(id);
            }
            _ => {
                self.settling.remove(&id);
            }
        }
    }

    fn complain(&mut self, id: TrackId, error: io::Error) {
        if let Some(track) = self.tracks.get_mut(&id) {
            let mut sink = Sink {
                chunk: &mut |_, _| {},
                notices: &mut self.notices,
            };
            track.complain(error, &mut sink);
        }
    }
}
