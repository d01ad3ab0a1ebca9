//! Starts this xtask again in namespaces of its own, where it may do as root does and nobody else
//! notices: a network, mounts and, where possible, processes that all end with the first one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::process;
use crate::Failure;
use crate::run::Run;

/// What must work inside: mounts, veth pairs, and nftables.
const PROBE: &str = "mount -t tmpfs tmpfs /run && ip link add probe0 type veth peer name probe1";

const AS_USER: [&str; 2] = ["--user", "--map-root-user"];
const NETWORK_AND_MOUNTS: [&str; 2] = ["--net", "--mount"];
/// With the first process all others end, whatever becomes of us.
const PROCESSES: [&str; 4] = ["--pid", "--fork", "--kill-child", "--mount-proc"];

/// Runs this program again with `args`, inside. Its input is a pipe that ends when we do.
/// Returns whether it exited with 0; it has said itself what went wrong.
pub(crate) fn enter(args: &[&std::ffi::OsStr]) -> Result<bool, Failure> {
    let user: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &AS_USER
    };
    let base = [user, &NETWORK_AND_MOUNTS].concat();
    let with_processes = [&base[..], &PROCESSES].concat();
    let flags = match (probe(&with_processes), probe(&base)) {
        (Ok(()), _) => with_processes,
        (Err(_), Ok(())) => base,
        (Err(_), Err(cause)) => return Err(not_allowed(user.is_empty(), cause.as_ref()).into()),
    };
    let program = std::env::current_exe()?;
    Run::new("unshare")
        .args(flags)
        .arg("--")
        .arg(program)
        .args(args)
        .succeed_apart()
}

fn probe(flags: &[&str]) -> Result<(), Failure> {
    let run = Run::new("unshare")
        .args(flags)
        .args(["--", "sh", "-c", PROBE]);
    run.read().map(drop)
}

fn not_allowed(root: bool, cause: &dyn std::error::Error) -> String {
    if root {
        return format!(
            "this machine does not let root make namespaces; in a container, start that with \
             '--privileged' ({cause})"
        );
    }
    format!("this machine does not let users make namespaces: run it with sudo ({cause})")
}

/// What runs inside. When it is dropped, all processes are killed that were started, and their folder
/// is removed.
#[derive(Debug)]
pub(crate) struct Inside(PathBuf);

impl Drop for Inside {
    fn drop(&mut self) {
        clear(&self.0);
    }
}

fn clear(work: &Path) {
    process::kill_family();
    // Whoever made it may have been quicker.
    drop(fs::remove_dir_all(work));
}

/// Watches the pipe from the outer xtask: when that is gone, everything is cleared and we end.
pub(crate) fn end_with_outer(work: &Path) -> Result<Inside, Failure> {
    process::adopt_orphans()?;
    let inside = Inside(work.to_owned());
    let work = work.to_owned();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // An error means the same: nobody is there.
        drop(std::io::stdin().read_to_end(&mut rest));
        clear(&work);
        /// As a shell reports a program that Ctrl-C ended.
        const INTERRUPTED: i32 = 130;
        #[expect(clippy::exit, reason = "whoever waited for the result is gone")]
        std::process::exit(INTERRUPTED);
    });
    Ok(inside)
}

/// Whether only one user is mapped into our user namespace: nobody can become another one then.
pub(crate) fn only_one_user() -> Result<bool, Failure> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let mut lines = map.lines();
    let only = lines
        .next()
        .is_some_and(|line| line.split_whitespace().nth(2) == Some("1"));
    Ok(only && lines.next().is_none())
}

/// Hides what the host has in these folders, so that programs find them empty and leave the host's
/// alone: sockets and process ids, logs, login records.
pub(crate) fn hide_folders(folders: &[&str]) -> Result<(), Failure> {
    for folder in folders {
        Run::new("mount")
            .args(["-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder])
            .succeed()?;
    }
    Ok(())
}
