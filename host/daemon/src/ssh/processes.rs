//! What proc(5) tells of processes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A process's number.
pub(crate) type Pid = u32;

/// Where a process stands among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) parent: Pid,
    /// Whether it has a controlling terminal.
    pub(crate) has_terminal: bool,
}

/// Longest chain of ancestors that is followed; sessions have a dozen.
const ANCESTORS_MAX: usize = 256;

/// How much is read of one file: the list of connections is the longest, 150 MB on a host with a million.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How much is read of an environment, which may be megabytes of what a user wrote: more than a login has.
const ENVIRON_BYTES_MAX: u64 = 64 * 1024;

/// All processes of this moment.
#[derive(Debug)]
pub(crate) struct Processes(BTreeMap<Pid, Process>);

impl Processes {
    /// Lists them. Those that end meanwhile are left out.
    pub(crate) fn list() -> io::Result<Self> {
        let mut processes = BTreeMap::new();
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Ok(stat) = read(pid, "stat")
                && let Some(process) = process(&String::from_utf8_lossy(&stat))
            {
                processes.insert(pid, process);
            }
        }
        Ok(Self(processes))
    }

    /// Whether others than those of this user can be seen: the first process always runs.
    pub(crate) fn are_visible(&self) -> bool {
        self.0.contains_key(&1)
    }

    /// Those with a controlling terminal.
    pub(crate) fn on_terminals(&self) -> impl Iterator<Item = Pid> {
        let on_terminal = self.0.iter().filter(|(_, process)| process.has_terminal);
        on_terminal.map(|(pid, _)| *pid)
    }

    /// Pairs of a process and its parent, from `pid` up.
    pub(crate) fn lineage(&self, pid: Pid) -> impl Iterator<Item = (Pid, Pid)> {
        let parent = |child: Pid| Some((child, self.0.get(&child)?.parent));
        std::iter::successors(parent(pid), move |(_, above)| parent(*above)).take(ANCESTORS_MAX)
    }
}

fn path(pid: Pid, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

/// The beginning of the environment that a process was started with.
///
/// # Errors
/// Where it has ended, or is another user's.
pub(crate) fn environ(pid: Pid) -> io::Result<Vec<u8>> {
    read_at_most(&path(pid, "environ"), ENVIRON_BYTES_MAX)
}

/// The bytes of another file of a process.
fn read(pid: Pid, file: &str) -> io::Result<Vec<u8>> {
    read_file(&path(pid, file))
}

/// The bytes of a file, up to a length that no sound one has.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, BYTES_MAX)
}

fn read_at_most(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The one user that a process is: `None` where its real, effective, saved and file system user differ, as
/// in a program that borrows another's rights.
pub(crate) fn user(pid: Pid) -> Option<u32> {
    let status = read(pid, "status").ok()?;
    one_user(&String::from_utf8_lossy(&status))
}

/// The name of the program file that a process runs.
pub(crate) fn program(pid: Pid) -> Option<String> {
    let path = std::fs::read_link(path(pid, "exe")).ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// Whether a process holds this socket open.
pub(crate) fn holds(pid: Pid, socket: u64) -> bool {
    let wanted = PathBuf::from(format!("socket:[{socket}]"));
    let Ok(files) = std::fs::read_dir(path(pid, "fd")) else {
        return false;
    };
    let mut files = files.filter_map(Result::ok);
    files.any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == wanted))
}

/// Reads proc_pid_stat(5). The name in parentheses is the process's own choice, and may hold some.
fn process(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    // State, parent, process group, session, terminal.
    let parent = fields.nth(1)?.parse().ok()?;
    let terminal: i64 = fields.nth(2)?.parse().ok()?;
    Some(Process {
        parent,
        has_terminal: terminal != 0,
    })
}

/// Reads the line `Uid:` of proc_pid_status(5).
fn one_user(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uids: Vec<u32> = line
        .split_ascii_whitespace()
        .map(|uid| uid.parse().ok())
        .collect::<Option<_>>()?;
    match uids.as_slice() {
        [first, rest @ ..] if rest.len() == 3 && rest.iter().all(|uid| uid == first) => {
            Some(*first)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_cannot_forge_its_parent() {
        let stat = "812 (sh) S 1 1 1 34816) S 700 812 812 0 -1 4194560 1 2";
        let expected = Process {
            parent: 700,
            has_terminal: false,
        };
        assert_eq!(process(stat), Some(expected));
        let stat = "812 (bash) S 700 812 812 34816 812 4194560 1 2";
        assert!(process(stat).unwrap().has_terminal);
        for wrong in [
            "",
            "812 (bash) S",
            "812 (bash) S x 1 1 1",
            "812 bash S 1 1 1 1",
        ] {
            assert_eq!(process(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn who_borrows_rights_is_nobody() {
        let user = |line: &str| one_user(&format!("Name:\tsu\n{line}\nGid:\t0\t0\t0\t0\n"));
        assert_eq!(user("Uid:\t1000\t1000\t1000\t1000"), Some(1000));
        assert_eq!(user("Uid:\t1000\t0\t0\t0"), None);
        assert_eq!(user("Uid:\t0\t0\t1000\t0"), None);
        assert_eq!(user("Uid:\t0\t0\t0"), None);
        assert_eq!(user("Uid:\t0\t0\t0\t-1"), None);
        assert_eq!(user("Uid"), None);
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let process = |parent| Process {
            parent,
            has_terminal: true,
        };
        let processes = Processes(BTreeMap::from([
            (1, process(2)),
            (2, process(1)),
            (3, process(0)),
        ]));
        assert_eq!(processes.lineage(1).count(), ANCESTORS_MAX);
        assert_eq!(processes.lineage(3).collect::<Vec<_>>(), [(3, 0)]);
    }
}
