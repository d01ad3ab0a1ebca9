//! Entries of `ignoreip` that change by themselves: host names, looked up again and again, and files,
//! read again when they change. So who gets another address or is written down stays safe.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use stockade_config::IgnoreEntry;
use stockade_core::{Escaped, FailureId, IgnoreSet, JailName};
use tokio::sync::mpsc::Sender;

use super::Event;
use crate::clock;
use crate::setup::ReadyJail;

/// fail2ban keeps what it has looked up for five minutes, and people count on that.
const LOOK_UP_EVERY: Duration = Duration::from_secs(300);
/// How often files are looked at, which costs a stat(2) each. fail2ban's value.
const LOOK_AT_FILES_EVERY: Duration = Duration::from_secs(1);
/// The largest file that is read: as large as a file of the configuration may be.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The addresses that names had when they were last looked up, which outlive a reload.
pub(super) type KnownNames = Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>;

/// The changing entries of all jails that have some.
#[derive(Debug)]
pub(super) struct ChangingIgnores {
    jails: Vec<OfJail>,
    known: KnownNames,
}

/// The changing entries of one jail.
#[derive(Debug)]
struct OfJail {
    jail: JailName,
    names: Vec<String>,
    files: Vec<WatchedFile>,
}

/// A file with entries.
#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    entries: Vec<IgnoreEntry>,
    /// What was wrong with it when it was last looked at, so that it is told once.
    trouble: Option<String>,
}

/// What changes when a file is written or replaced: its inode, its size and when it was changed, in
/// seconds and nanoseconds (`st_ctime` of stat(2)).
type Stamp = (u64, u64, i64, i64);

impl ChangingIgnores {
    /// Those of these jails. Files are read now.
    pub(super) fn of(jails: &[ReadyJail], known: KnownNames) -> Self {
        let jails = jails.iter().map(OfJail::new);
        let jails = jails.filter(|of| !of.names.is_empty() || !of.files.is_empty());
        Self {
            jails: jails.collect(),
            known,
        }
    }

    /// Who is ignored because of them, as far as it is known without waiting.
    pub(super) fn sets(&self) -> Vec<(JailName, IgnoreSet)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = self.jails.iter();
        sets.map(|of| (of.jail.clone(), of.set(&known))).collect()
    }

    /// Starts a thread that tells what changes; none where nothing can.
    pub(super) fn watch(mut self, events: Sender<Event>) -> io::Result<Option<IgnoreWatcher>> {
        if self.jails.is_empty() {
            return Ok(None);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("ignoreip".into())
            .spawn(move || {
                let mut look_up_at = clock::instant();
                while !stopped.load(Ordering::Acquire) {
                    let look_up = look_up_at <= clock::instant();
                    for (jail, set) in self.changes(look_up) {
                        drop(events.blocking_send(Event::Ignored(jail, set)));
                    }
                    if look_up {
                        look_up_at = clock::instant() + LOOK_UP_EVERY;
                    }
                    std::thread::park_timeout(self.pause(look_up_at));
                }
            })?;
        Ok(Some(IgnoreWatcher {
            stop,
            thread: thread.thread().clone(),
        }))
    }

    fn pause(&self, look_up_at: Instant) -> Duration {
        if self.jails.iter().any(|of| !of.files.is_empty()) {
            LOOK_AT_FILES_EVERY
        } else {
            look_up_at.saturating_duration_since(clock::instant())
        }
    }

    /// Looks at all files and, if asked, looks all names up; the jails for which that may have changed
    /// something, with all of their entries.
    fn changes(&mut self, look_up: bool) -> Vec<(JailName, IgnoreSet)> {
        let mut changed = Vec::new();
        for of in &mut self.jails {
            let mut files_changed = false;
            for file in &mut of.files {
                files_changed |= file.look();
            }
            if !look_up && !files_changed {
                continue;
            }
            let names: Vec<String> = of.all_names().map(str::to_owned).collect();
            for name in names {
                look_up_name(&of.jail, &name, &self.known, look_up);
            }
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            changed.push((of.jail.clone(), of.set(&known)));
        }
        changed
    }
}

impl OfJail {
    fn new(jail: &ReadyJail) -> Self {
        let mut of = Self {
            jail: jail.settings.name.clone(),
            names: Vec::new(),
            files: Vec::new(),
        };
        for entry in &jail.settings.rules.ignoreip {
            match entry {
                IgnoreEntry::Name(name) => of.names.push(name.clone()),
                IgnoreEntry::File(path) => of.files.push(WatchedFile::new(path.into())),
                IgnoreEntry::Net(_) | IgnoreEntry::Text(_) => {}
            }
        }
        of
    }

    fn entries(&self) -> impl Iterator<Item = &IgnoreEntry> {
        self.files.iter().flat_map(|file| &file.entries)
    }

    fn all_names(&self) -> impl Iterator<Item = &str> {
        let in_files = self.entries().filter_map(|entry| match entry {
            IgnoreEntry::Name(name) => Some(name.as_str()),
            _ => None,
        });
        self.names.iter().map(String::as_str).chain(in_files)
    }

    fn set(&self, known: &BTreeMap<String, Vec<IpAddr>>) -> IgnoreSet {
        let addrs = self.all_names().filter_map(|name| known.get(name));
        let addrs = addrs.flatten().map(|addr| FailureId::Addr(*addr));
        let written = self.entries().filter_map(|entry| match entry {
            IgnoreEntry::Net(net) => Some(FailureId::from_net(*net)),
            IgnoreEntry::Text(text) => Some(FailureId::Text(text.as_str().into())),
            IgnoreEntry::Name(_) | IgnoreEntry::File(_) => None,
        });
        IgnoreSet::from_ids(addrs.chain(written))
    }
}

impl WatchedFile {
    fn new(path: PathBuf) -> Self {
        let mut file = Self {
            path,
            stamp: None,
            entries: Vec::new(),
            trouble: None,
        };
        file.look();
        file
    }

    /// Reads the file if it has changed; false where its entries are as before. One that cannot be read
    /// now keeps them: losing one could ban somebody who must not be banned.
    fn look(&mut self) -> bool {
        let path = self.path.display().to_string();
        let trouble = match self.read_if_changed() {
            Ok(None) => None,
            Ok(Some(text)) => {
                let before = std::mem::take(&mut self.entries);
                let bad = self.take(&text);
                for (number, line) in bad {
                    let line = Escaped(line.as_bytes());
                    tracing::warn!("{path}:{number}: '{line}' is no address, network or host name");
                }
                self.trouble = None;
                return before != self.entries;
            }
            Err(error) => {
                self.stamp = None;
                Some(error.to_string())
            }
        };
        if let Some(trouble) = &trouble
            && self.trouble.as_ref() != Some(trouble)
        {
            tracing::warn!("cannot read '{path}' of ignoreip, so nothing of it changes: {trouble}");
        }
        self.trouble = trouble;
        false
    }

    fn read_if_changed(&mut self) -> io::Result<Option<String>> {
        let metadata = std::fs::metadata(&self.path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let stamp = stamp(&metadata);
        if self.stamp == Some(stamp) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let file = File::open(&self.path)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
            return Err(io::Error::other("it is larger than 1024 KiB"));
        }
        self.stamp = Some(stamp);
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Takes the entries of `text`, and gives back the lines that are none, with their numbers.
    fn take<'t>(&mut self, text: &'t str) -> Vec<(usize, &'t str)> {
        let mut bad = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            match IgnoreEntry::parse(entry) {
                Some(IgnoreEntry::File(_)) | None => bad.push((index + 1, entry)),
                Some(entry) => self.entries.push(entry),
            }
        }
        bad
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.ino(), metadata.len(), changed.0, changed.1)
}

/// A name that cannot be looked up now keeps the addresses that it had. With `again` false only one
/// that is new is looked up.
fn look_up_name(jail: &JailName, name: &str, known: &KnownNames, again: bool) {
    let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
    if !again && lock().contains_key(name) {
        return;
    }
    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let addrs = found.map(|found| found.ip()).collect();
            lock().insert(name.to_owned(), addrs);
        }
        Err(error) => tracing::warn!("[{jail}] cannot look up '{name}' of ignoreip: {error}"),
    }
}

/// The thread that watches; ends when dropped.
#[derive(Debug)]
pub(super) struct IgnoreWatcher {
    stop: Arc<AtomicBool>,
    thread: Thread,
}

impl Drop for IgnoreWatcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touches(file: &WatchedFile, id: &str) -> bool {
        let of = OfJail {
            jail: JailName::try_new("j").unwrap(),
            names: Vec::new(),
            files: vec![WatchedFile {
                path: file.path.clone(),
                stamp: None,
                entries: file.entries.clone(),
                trouble: None,
            }],
        };
        of.set(&BTreeMap::new()).touches(&FailureId::parse(id))
    }

    #[test]
    fn a_file_has_an_entry_in_each_line_and_comments() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("friends");
        let text =
            "# who is welcome\n192.0.2.0/24 # the office\n\n  2001:db8::1\nid:alice\nno name\n";
        std::fs::write(&path, text).unwrap();
        let mut file = WatchedFile::new(path);
        for id in ["192.0.2.9", "2001:db8::1", "alice"] {
            assert!(touches(&file, id), "{id}");
        }
        assert!(!touches(&file, "192.0.3.1"));
        file.entries.clear();
        assert_eq!(file.take(text), [(6, "no name")]);
        assert_eq!(file.take("file:/etc/passwd"), [(1, "file:/etc/passwd")]);
    }

    #[test]
    fn a_file_that_vanishes_or_grows_too_large_keeps_who_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("friends");
        let mut file = WatchedFile::new(path.clone());
        assert!(file.trouble.is_some());
        std::fs::write(&path, "192.0.2.1\n").unwrap();
        assert!(file.look());
        assert_eq!(file.trouble, None);
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        assert!(!file.look());
        assert!(touches(&file, "192.0.2.1"));
        std::fs::remove_file(&path).unwrap();
        assert!(!file.look());
        assert!(touches(&file, "192.0.2.1"));
        std::fs::write(&path, "192.0.2.2\n").unwrap();
        assert!(file.look());
        assert!(!touches(&file, "192.0.2.1") && touches(&file, "192.0.2.2"));
    }
}
