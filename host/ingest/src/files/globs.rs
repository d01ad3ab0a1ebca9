//! Finding the files that match, and the directories in which more may appear.
//!
//! A glob is matched component by component: `*` and `?` never match a `/` nor a leading dot, and
//! `**` means no more than `*`, as in fail2ban. A literal part that does not exist yet is waited
//! for in the deepest directory that does.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};

#[derive(Debug)]
enum Component {
    Literal(OsString),
    Pattern(Pattern),
}

impl Component {
    fn matches(&self, name: &OsStr) -> bool {
        match self {
            Self::Literal(literal) => literal == name,
            Self::Pattern(pattern) => name.to_str().is_some_and(|name| {
                let options = MatchOptions {
                    require_literal_leading_dot: true,
                    ..MatchOptions::new()
                };
                pattern.matches_with(name, options)
            }),
        }
    }
}

/// Whether `glob` finds a file of this path; a malformed one finds none.
#[must_use]
pub fn is_matched(glob: &str, path: &Path) -> bool {
    Glob::new(glob).is_ok_and(|glob| glob.matches(path))
}

/// A glob, taken apart.
#[derive(Debug)]
pub(super) struct Glob {
    root: PathBuf,
    components: Vec<Component>,
}

/// In a directory, the component of this number of this glob is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interest {
    pub(super) spec: usize,
    pub(super) depth: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Paths that match, with the specs that they match; sorted.
    pub(super) files: BTreeMap<PathBuf, Vec<usize>>,
    /// Directories to watch.
    pub(super) dirs: BTreeMap<PathBuf, Vec<Interest>>,
    /// Directories that cannot be listed.
    pub(super) errors: Vec<(PathBuf, io::Error)>,
}

impl Glob {
    pub(super) fn new(glob: &str) -> Result<Self, PatternError> {
        let root = if glob.starts_with('/') { "/" } else { "." };
        let mut components = Vec::new();
        for part in glob.split('/').filter(|part| !matches!(*part, "" | ".")) {
            components.push(if part.contains(['*', '?', '[']) {
                Component::Pattern(Pattern::new(part)?)
            } else {
                Component::Literal(part.into())
            });
        }
        Ok(Self {
            root: root.into(),
            components,
        })
    }

    /// Whether a file of this path would be found.
    fn matches(&self, path: &Path) -> bool {
        let Ok(rest) = path.strip_prefix(&self.root) else {
            return false;
        };
        let parts: Vec<&OsStr> = rest.iter().collect();
        parts.len() == self.components.len()
            && self
                .components
                .iter()
                .zip(parts)
                .all(|(component, part)| component.matches(part))
    }

    /// Finds everything from the root.
    pub(super) fn find(&self, spec: usize, found: &mut Found, watch: &mut dyn FnMut(&Path)) {
        self.find_in(&self.root, Interest { spec, depth: 0 }, found, watch);
    }

    /// Finds what lies in `dir` and below. `watch` is called for each directory before it is
    /// listed, so that nothing appears unseen in between.
    fn find_in(&self, dir: &Path, at: Interest, found: &mut Found, watch: &mut dyn FnMut(&Path)) {
        let Some(component) = self.components.get(at.depth) else {
            return;
        };
        let is_last = at.depth + 1 == self.components.len();
        if let Component::Literal(literal) = component {
            let path = dir.join(literal);
            // Only the deepest existing directory of a literal beginning is watched: watching
            // `/` and `/var` would wake us for everybody else's files.
            if !is_last && path.is_dir() {
                return self.find_at(path, at, found, watch);
            }
            found.watch(dir, at, watch);
            return self.find_at(path, at, found, watch);
        }
        found.watch(dir, at, watch);
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    found.errors.push((dir.to_owned(), error));
                }
                return;
            }
        };
        for entry in entries.flatten() {
            if component.matches(&entry.file_name()) {
                self.find_at(dir.join(entry.file_name()), at, found, watch);
            }
        }
    }

    /// `path` matches the component `at`: a file, or a directory to go on in.
    fn find_at(
        &self,
        path: PathBuf,
        at: Interest,
        found: &mut Found,
        watch: &mut dyn FnMut(&Path),
    ) {
        if at.depth + 1 < self.components.len() {
            if path.is_dir() {
                let deeper = Interest {
                    depth: at.depth + 1,
                    ..at
                };
                self.find_in(&path, deeper, found, watch);
            }
        } else if path.symlink_metadata().is_ok() {
            let specs = found.files.entry(path).or_default();
            if !specs.contains(&at.spec) {
                specs.push(at.spec);
            }
        }
    }

    /// Something called `name` has appeared in `dir`.
    pub(super) fn appeared(
        &self,
        dir: &Path,
        name: &OsStr,
        at: Interest,
        found: &mut Found,
        watch: &mut dyn FnMut(&Path),
    ) {
        if self
            .components
            .get(at.depth)
            .is_some_and(|component| component.matches(name))
        {
            self.find_at(dir.join(name), at, found, watch);
        }
    }
}

impl Found {
    fn watch(&mut self, dir: &Path, at: Interest, watch: &mut dyn FnMut(&Path)) {
        let interests = self.dirs.entry(dir.to_owned()).or_default();
        if !interests.contains(&at) {
            interests.push(at);
        }
        watch(dir);
    }
}

/// Whether any file matches `glob` now. A malformed glob matches none; [`Files::open`] reports it.
///
/// [`Files::open`]: super::Files::open
#[must_use]
pub fn any_file(glob: &str) -> bool {
    let mut found = Found::default();
    if let Ok(glob) = Glob::new(glob) {
        glob.find(0, &mut found, &mut |_| {});
    }
    !found.files.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(glob: &str, files: &[&str], expected: &[&str], watched: &[&str]) {
        let temp = tempfile::tempdir().unwrap();
        for file in files {
            let path = temp.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let glob = Glob::new(&format!("{}/{glob}", temp.path().display())).unwrap();
        let mut found = Found::default();
        glob.find(0, &mut found, &mut |_| {});
        let strip = |path: &PathBuf| {
            let inner = path.strip_prefix(temp.path()).unwrap();
            inner.to_str().unwrap().to_owned()
        };
        let paths: Vec<_> = found.files.keys().map(strip).collect();
        assert_eq!(paths, expected);
        let dirs: Vec<_> = found.dirs.keys().map(strip).collect();
        assert_eq!(dirs, watched);
    }

    #[test]
    fn a_file_is_there_where_the_glob_that_would_be_read_finds_it() {
        let temp = tempfile::tempdir().unwrap();
        let glob = |rest: &str| format!("{}/{rest}", temp.path().display());
        assert!(!any_file(&glob("*.log")));
        std::fs::write(temp.path().join("a.log"), "").unwrap();
        assert!(any_file(&glob("*.log")));
        assert!(any_file(&glob("a.log")));
        assert!(!any_file(&glob("*.txt")));
        assert!(!any_file(&glob("[")));
    }

    #[test]
    fn a_plain_path_is_watched_for_in_its_directory() {
        check("log/a.log", &["log/a.log"], &["log/a.log"], &["log"]);
        check("log/a.log", &["log/b.log"], &[], &["log"]);
    }

    #[test]
    fn a_missing_directory_is_waited_for_where_it_would_appear() {
        check("log/app/a.log", &["log/x"], &[], &["log"]);
    }

    #[test]
    fn directories_can_be_matched_too() {
        check(
            "log/*/access.log",
            &[
                "log/a/access.log",
                "log/b/access.log",
                "log/c/other",
                "log/f",
            ],
            &["log/a/access.log", "log/b/access.log"],
            &["log", "log/a", "log/b", "log/c"],
        );
    }

    #[test]
    fn a_star_matches_no_hidden_file_and_no_slash() {
        check("*.log", &[".a.log", "b.log", "d/c.log"], &["b.log"], &[""]);
    }
}
