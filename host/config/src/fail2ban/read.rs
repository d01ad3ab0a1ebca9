//! The part that touches the disk: finds the files of a fail2ban configuration and reads them.

use std::fs;
use std::io;
use std::path::Path;

use super::tree::Tree;
use crate::diagnostic::Severity;
use crate::files::{read, unreadable};
use crate::load::{ConfigFile, ReadProblem, ReadWhat};

/// The most files that are read; a stock directory has two hundred.
const FILES_MAX: usize = 5_000;

/// How deep folders are looked into: `filter.d/NAME.d/*.conf` lies at two.
const DEPTH_MAX: usize = 3;

/// How often includes of included files are followed outside of the directory.
const ROUNDS_MAX: usize = 16;

impl Tree {
    /// Reads all files of the directory, and those elsewhere that they include.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        let mut found = Found::default();
        found.folder(dir, 0);
        let mut tree = Self::from_files(&dir.display().to_string(), found.files, found.problems);
        for _ in 0..ROUNDS_MAX {
            let mut found = Found::default();
            for path in tree.unread() {
                let path = Path::new(&path);
                if fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
                    found.file(path);
                }
            }
            if found.files.is_empty() {
                break;
            }
            tree.add(found.files, found.problems);
        }
        tree
    }
}

#[derive(Default)]
struct Found {
    files: Vec<ConfigFile>,
    problems: Vec<ReadProblem>,
}

impl Found {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let listed = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut paths: Vec<_> = match listed {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
            Err(error) => return unreadable(folder, ReadWhat::Whole, &error, &mut self.problems),
        };
        paths.sort();
        for path in paths {
            let ending = path.extension().and_then(|ending| ending.to_str());
            let is_folder = path.is_dir();
            match ending {
                _ if is_folder && depth < DEPTH_MAX => self.folder(&path, depth + 1),
                Some("conf" | "local") if !is_folder => self.file(&path),
                Some("py") if !is_folder => self.files.push(ConfigFile {
                    path: path.display().to_string(),
                    bytes: Vec::new(),
                }),
                _ => {}
            }
        }
    }

    fn file(&mut self, path: &Path) {
        if self.files.len() >= FILES_MAX {
            let message = format!("not read: at most {FILES_MAX} files are");
            return self.problems.push(ReadProblem {
                path: path.display().to_string(),
                what: ReadWhat::Whole,
                message,
                severity: Severity::Error,
            });
        }
        match read(path, &mut self.problems) {
            Ok(file) => self.files.push(file),
            Err(error) => unreadable(path, ReadWhat::Whole, &error, &mut self.problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail2ban::Selection;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn files_elsewhere_are_read_where_they_are_included_with_their_local_ones() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        let included = format!("[INCLUDES]\nbefore = {}/a.conf\n", outside.display());
        write(
            root.path(),
            "f2b/jail.conf",
            &format!("{included}[x]\nenabled = 1\n"),
        );
        write(
            root.path(),
            "f2b/filter.d/app.conf",
            "[Definition]\nfailregex = ^<HOST>\n",
        );
        write(root.path(), "f2b/action.d/tell.py", "");
        write(root.path(), "f2b/.hidden/x.txt", "");
        write(
            &outside,
            "a.conf",
            "[INCLUDES]\nafter = b.conf\n[DEFAULT]\nfilter = none\n",
        );
        write(&outside, "a.local", "[DEFAULT]\nfilter = app\n");
        write(&outside, "b.conf", "[DEFAULT]\naction = tell.py\n");
        let tree = Tree::read(&root.path().join("f2b/"));
        let jails = tree.jails(Selection::Enabled);
        assert_eq!(jails.diagnostics, []);
        assert_eq!(jails.jails[0].filter.as_ref().unwrap().name, "app");
        assert!(jails.jails[0].actions[0].is_python());
        assert_eq!(tree.filter_names().collect::<Vec<_>>(), ["app"]);
        assert_eq!(tree.action_names().collect::<Vec<_>>(), ["tell.py"]);
    }

    #[test]
    fn a_directory_that_is_not_there_says_so() {
        let root = tempfile::tempdir().unwrap();
        let jails = Tree::read(&root.path().join("none")).jails(Selection::Enabled);
        let said: Vec<&str> = jails
            .diagnostics
            .iter()
            .map(|it| it.message.as_str())
            .collect();
        assert_eq!(
            said,
            [
                "cannot be read: there is no such file",
                "there is neither jail.conf nor jail.local here"
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_an_error_of_what_needs_it() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "jail.conf", "[x]\nenabled = 1\nfilter = app\n");
        write(
            root.path(),
            "filter.d/app.conf",
            "[Definition]\nfailregex = ^<HOST>\n",
        );
        let device = root.path().join("filter.d/app.local");
        std::os::unix::fs::symlink("/dev/zero", device).unwrap();
        let jails = Tree::read(root.path()).jails(Selection::Enabled);
        assert_eq!(jails.broken[0].name, "x");
        assert_eq!(
            jails.diagnostics[0].message,
            "cannot be read: not a regular file"
        );
    }
}
