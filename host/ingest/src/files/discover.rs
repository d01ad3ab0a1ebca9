//! Directories: watching them, and what the kernel reports about them and the files in them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::globs::{Found, Interest};
use super::rotated::is_compressed;
use super::track::Track;
use super::watch::{Change, Watched, Watcher, Wd};
use super::{Files, LogBackend};
use crate::notice::{NotALog, Notice};

/// A directory in which files may appear.
#[derive(Debug, Default)]
pub(super) struct Dir {
    wd: Option<Wd>,
    interests: Vec<Interest>,
    /// The last complaint about it, so that it is made once.
    complaint: Option<String>,
}

impl Files {
    pub(super) fn start_watcher(&mut self) {
        if self.options.backend == LogBackend::Polling {
            return;
        }
        match Watcher::new() {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => self.notices.push(Notice::Polled {
                path: "/".into(),
                every: self.options.poll_interval,
                reason: format!("cannot be told about changes: {error}"),
            }),
        }
    }

    pub(super) fn report_globs_without_files(&mut self) {
        let with_files: BTreeSet<usize> = self
            .tracks
            .values()
            .flat_map(|track| track.specs.iter().copied())
            .collect();
        for (index, spec) in self.specs.iter().enumerate() {
            if !with_files.contains(&index) {
                let glob = spec.glob.clone();
                self.notices.push(Notice::NoFileYet { glob });
            }
        }
    }

    /// Looks at everything: finds new files and directories, and renews all watches.
    pub(super) fn scan(&mut self, now: Instant) {
        self.scan_due = now + self.options.scan_interval;
        self.unwatched_dirs = false;
        let mut found = Found::default();
        let globs = std::mem::take(&mut self.globs);
        for (spec, glob) in globs.iter().enumerate() {
            glob.find(spec, &mut found, &mut |dir| self.watch_dir(dir));
        }
        self.globs = globs;
        let stale: Vec<PathBuf> = self
            .dirs
            .keys()
            .filter(|dir| !found.dirs.contains_key(*dir))
            .cloned()
            .collect();
        for dir in stale {
            self.unwatch_dir(&dir);
        }
        for (path, dir) in &mut self.dirs {
            if let Some(interests) = found.dirs.remove(path) {
                dir.interests = interests;
            }
        }
        let gone: Vec<_> = self
            .tracks
            .iter()
            .filter(|(_, track)| !found.files.contains_key(&track.path))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.check(id, now);
        }
        self.admit(found, now);
    }

    fn watch_dir(&mut self, path: &Path) {
        let dir = self.dirs.entry(path.to_owned()).or_default();
        let Some(watcher) = &self.watcher else {
            return;
        };
        match watcher.watch_dir(path) {
            Watched::Yes(wd) if dir.wd == Some(wd) => {}
            Watched::Yes(wd) => {
                let old = dir.wd.replace(wd);
                self.dirs_by_wd.entry(wd).or_default().push(path.to_owned());
                if let Some(old) = old {
                    self.forget_dir_watch(old, path);
                }
            }
            Watched::No(reason) => {
                self.unwatched_dirs = true;
                if dir.complaint.as_ref() != Some(&reason) {
                    dir.complaint = Some(reason.clone());
                    self.notices.push(Notice::Polled {
                        path: path.to_owned(),
                        every: self.options.poll_interval,
                        reason,
                    });
                }
            }
        }
    }

    fn unwatch_dir(&mut self, path: &Path) {
        if let Some(wd) = self.dirs.remove(path).and_then(|dir| dir.wd) {
            self.forget_dir_watch(wd, path);
        }
    }

    /// `path` is no longer watched by `wd`; two paths may lead to one directory.
    fn forget_dir_watch(&mut self, wd: Wd, path: &Path) {
        let Some(paths) = self.dirs_by_wd.get_mut(&wd) else {
            return;
        };
        paths.retain(|other| other != path);
        if paths.is_empty() {
            self.dirs_by_wd.remove(&wd);
            if let Some(watcher) = &self.watcher {
                watcher.unwatch(wd);
            }
        }
    }

    /// Takes up what was found.
    fn admit(&mut self, found: Found, now: Instant) {
        for (path, error) in found.errors {
            let text = error.to_string();
            let dir = self.dirs.entry(path.clone()).or_default();
            if dir.complaint.as_ref() != Some(&text) {
                dir.complaint = Some(text);
                self.notices.push(Notice::Unreadable {
                    path,
                    source: error,
                });
            }
        }
        for (path, interests) in found.dirs {
            let dir = self.dirs.entry(path).or_default();
            for interest in interests {
                if !dir.interests.contains(&interest) {
                    dir.interests.push(interest);
                }
            }
        }
        // Paths that an earlier run has read come first: the rest of a file that was rotated
        // meanwhile belongs to them, also where its new name matches a glob too.
        let (known, new): (Vec<_>, Vec<_>) = found
            .files
            .into_iter()
            .partition(|(path, _)| self.seen.has(path));
        for (path, specs) in known.into_iter().chain(new) {
            self.admit_file(path, specs, now);
        }
    }

    fn admit_file(&mut self, path: PathBuf, mut specs: Vec<usize>, now: Instant) {
        specs.sort_unstable();
        if let Some(id) = self.by_path.get(&path) {
            let id = *id;
            if let Some(track) = self.tracks.get_mut(&id) {
                specs.retain(|spec| !track.specs.contains(spec));
                track.specs.extend(&specs);
                track.specs.sort_unstable();
                for tail in &mut track.tails {
                    tail.add_specs(&specs);
                }
            }
            self.check(id, now);
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let mut track = Track::new(path.clone(), specs);
        if is_compressed(&path) {
            track.complaint = Some(String::new());
            self.notices.push(Notice::NotALog {
                path: path.clone(),
                kind: NotALog::Compressed,
            });
        }
        self.by_path.insert(path, id);
        self.tracks.insert(id, track);
        self.check(id, now);
    }

    /// Takes up what the kernel has reported.
    pub(super) fn take_changes(&mut self, now: Instant) {
        let changes = self.watcher.as_ref().map(Watcher::changes);
        let mut rescan = false;
        for change in changes.unwrap_or_default() {
            if change.overflow {
                self.notices.push(Notice::ChangesMissed);
                rescan = true;
            } else if let Some(id) = self.files_by_wd.get(&change.wd) {
                let id = *id;
                self.file_changed(id, &change, now);
            } else if let Some(dirs) = self.dirs_by_wd.get(&change.wd) {
                match &change.name {
                    Some(name) => {
                        for dir in dirs.clone() {
                            self.entry_changed(&dir, name, now);
                        }
                    }
                    None => rescan |= change.itself || change.unwatched,
                }
                if change.unwatched {
                    self.lost_dir_watch(change.wd);
                }
            }
        }
        if rescan {
            self.scan(now);
        }
    }

    fn lost_dir_watch(&mut self, wd: Wd) {
        for path in self.dirs_by_wd.remove(&wd).unwrap_or_default() {
            if let Some(dir) = self.dirs.get_mut(&path) {
                dir.wd = None;
            }
        }
    }

    fn file_changed(&mut self, id: u64, change: &Change, now: Instant) {
        if let Some(track) = self.tracks.get_mut(&id) {
            for tail in &mut track.tails {
                if tail.watch == Some(change.wd) {
                    if change.modified {
                        tail.closed = false;
                    }
                    if change.closed {
                        tail.closed = true;
                    }
                    if change.unwatched {
                        tail.watch = None;
                    }
                }
            }
        }
        if change.unwatched {
            self.files_by_wd.remove(&change.wd);
        }
        if change.itself || change.unwatched {
            self.check(id, now);
        }
        self.enqueue(id);
    }

    /// Something called `name` has appeared in `dir`, or gone, or changed its permissions.
    fn entry_changed(&mut self, dir: &Path, name: &OsStr, now: Instant) {
        if let Some(id) = self.by_path.get(&dir.join(name)) {
            let id = *id;
            self.check(id, now);
            return;
        }
        let interests = match self.dirs.get(dir) {
            Some(dir) => dir.interests.clone(),
            None => return,
        };
        let mut found = Found::default();
        let globs = std::mem::take(&mut self.globs);
        for at in interests {
            if let Some(glob) = globs.get(at.spec) {
                glob.appeared(dir, name, at, &mut found, &mut |dir| self.watch_dir(dir));
            }
        }
        self.globs = globs;
        self.admit(found, now);
    }
}
