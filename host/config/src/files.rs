//! The part that touches the disk: finds the files and reads them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::diagnostic::Severity;
use crate::load::{ConfigFile, ConfigFiles, ReadProblem, ReadWhat};
use crate::tree::FILE_BYTES_MAX;

/// Where the main file lies unless the user names another.
pub const DEFAULT_MAIN: &str = if cfg!(target_os = "freebsd") {
    "/usr/local/etc/stockade/stockade.toml"
} else {
    "/etc/stockade/stockade.toml"
};

/// Names of services and their ports (services(5)).
const SERVICES: &str = "/etc/services";

/// The most files that are read from one folder.
const FILES_MAX: usize = 1_000;

/// Reads the main file and all that lies beside it. `None` is [`DEFAULT_MAIN`], which may be
/// absent; a file that the user named may not.
#[must_use]
pub fn read_files(main: Option<&Path>) -> ConfigFiles {
    let mut files = ConfigFiles::default();
    let path = main.unwrap_or(Path::new(DEFAULT_MAIN));
    match read(path, &mut files.problems) {
        Ok(file) => files.main = Some(file),
        Err(error) if main.is_none() && error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => unreadable(path, ReadWhat::Whole, &error, &mut files.problems),
    }
    let beside = path.parent().unwrap_or(Path::new("."));
    let mut folder = |name: &str, what| {
        let folder = beside.join(name);
        read_folder(&folder, what, &mut files.problems)
    };
    files.dropins = folder("stockade.d", ReadWhat::Whole);
    files.jails = folder("jails", ReadWhat::Jail);
    files.filters = folder("filters", ReadWhat::Filter);
    files.services = read_services();
    files
}

/// The text of `/etc/services`; nothing where it cannot be read, since the well-known names are known
/// without it.
#[must_use]
pub fn read_services() -> String {
    read(Path::new(SERVICES), &mut Vec::new())
        .map(|file| String::from_utf8_lossy(&file.bytes).into_owned())
        .unwrap_or_default()
}

/// Reads one filter file, for [`crate::load_filter`].
///
/// # Errors
/// Where it cannot be read.
pub fn read_filter_file(path: &Path) -> io::Result<ConfigFile> {
    read(path, &mut Vec::new())
}

/// Reads every `*.toml` of a folder, sorted by name; hidden files and editors' leftovers are not
/// configuration. A folder that is not there holds nothing.
fn read_folder(folder: &Path, what: ReadWhat, problems: &mut Vec<ReadProblem>) -> Vec<ConfigFile> {
    let mut paths = match list(folder) {
        Ok(paths) => paths,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                unreadable(folder, ReadWhat::Whole, &error, problems);
            }
            return Vec::new();
        }
    };
    paths.sort();
    if paths.len() > FILES_MAX {
        let message = format!(
            "the folder has {} files, at most {FILES_MAX} are read",
            paths.len()
        );
        problem(folder, ReadWhat::Whole, message, Severity::Error, problems);
        return Vec::new();
    }
    let mut files = Vec::new();
    for path in paths {
        match read(&path, problems) {
            Ok(file) => files.push(file),
            Err(error) => unreadable(&path, what, &error, problems),
        }
    }
    files
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    Ok(paths)
}

pub(crate) fn read(path: &Path, problems: &mut Vec<ReadProblem>) -> io::Result<ConfigFile> {
    // A pipe would hold us up for ever; open(2) of one waits for a writer.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    warn_of_writers(path, &metadata, problems);
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the excess is noticed when the file is parsed.
    let limit = u64::try_from(FILE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(ConfigFile {
        path: path.display().to_string(),
        bytes,
    })
}

/// Whoever can write the configuration decides what runs with the daemon's rights.
#[cfg(unix)]
fn warn_of_writers(path: &Path, metadata: &fs::Metadata, problems: &mut Vec<ReadProblem>) {
    use std::os::unix::fs::PermissionsExt;
    /// `S_IWOTH` of inode(7).
    const OTHERS_WRITE: u32 = 0o002;
    if metadata.permissions().mode() & OTHERS_WRITE != 0 {
        let message =
            "everybody may write this file, and so decide what the daemon does".to_owned();
        problem(path, ReadWhat::Whole, message, Severity::Warning, problems);
    }
}

#[cfg(not(unix))]
fn warn_of_writers(_path: &Path, _metadata: &fs::Metadata, _problems: &mut Vec<ReadProblem>) {}

pub(crate) fn unreadable(
    path: &Path,
    what: ReadWhat,
    error: &io::Error,
    problems: &mut Vec<ReadProblem>,
) {
    let message = match error.kind() {
        io::ErrorKind::NotFound => "cannot be read: there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "cannot be read: permission denied".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    problem(path, what, message, Severity::Error, problems);
}

fn problem(
    path: &Path,
    what: ReadWhat,
    message: String,
    severity: Severity,
    problems: &mut Vec<ReadProblem>,
) {
    problems.push(ReadProblem {
        path: path.display().to_string(),
        what,
        message,
        severity,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn names(files: &[ConfigFile]) -> Vec<&str> {
        files
            .iter()
            .map(|file| file.path.rsplit('/').next().unwrap())
            .collect()
    }

    #[test]
    fn what_lies_beside_the_main_file_is_found_in_order() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "stockade.toml", "");
        write(root.path(), "stockade.d/20-b.toml", "");
        write(root.path(), "stockade.d/10-a.toml", "");
        write(root.path(), "stockade.d/.hidden.toml", "x");
        write(root.path(), "stockade.d/10-a.toml~", "x");
        write(root.path(), "jails/web.toml", "");
        write(root.path(), "filters/web.toml", "");
        let files = read_files(Some(&root.path().join("stockade.toml")));
        assert_eq!(files.problems, []);
        assert!(files.main.is_some());
        assert_eq!(names(&files.dropins), ["10-a.toml", "20-b.toml"]);
        assert_eq!(names(&files.jails), ["web.toml"]);
        assert_eq!(names(&files.filters), ["web.toml"]);
    }

    #[test]
    fn a_named_file_that_is_absent_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let files = read_files(Some(&root.path().join("none.toml")));
        assert_eq!(files.main, None);
        assert_eq!(files.problems.len(), 1);
        assert_eq!(
            files.problems[0].message,
            "cannot be read: there is no such file"
        );
    }

    #[test]
    fn what_is_no_regular_file_is_an_error_and_the_rest_is_read() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "stockade.toml", "");
        fs::create_dir_all(root.path().join("jails/folder.toml")).unwrap();
        write(root.path(), "jails/web.toml", "");
        let files = read_files(Some(&root.path().join("stockade.toml")));
        assert_eq!(names(&files.jails), ["web.toml"]);
        assert_eq!(
            files.problems[0].message,
            "cannot be read: not a regular file"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_everybody_may_write_is_warned_of() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "stockade.toml", "");
        let main = root.path().join("stockade.toml");
        fs::set_permissions(&main, fs::Permissions::from_mode(0o666)).unwrap();
        let files = read_files(Some(&main));
        assert!(files.main.is_some());
        assert_eq!(files.problems[0].severity, Severity::Warning);
    }

    #[test]
    fn a_huge_file_is_read_only_as_far_as_needed_to_refuse_it() {
        let root = tempfile::tempdir().unwrap();
        let main = root.path().join("stockade.toml");
        File::create(&main).unwrap().set_len(1 << 40).unwrap();
        let files = read_files(Some(&main));
        assert_eq!(files.main.as_ref().unwrap().bytes.len(), FILE_BYTES_MAX + 1);
        let loaded = crate::load(&files);
        assert!(loaded.settings.is_none());
        assert_eq!(
            loaded.diagnostics[0].message,
            "the file is larger than 1024 KiB"
        );
    }
}
