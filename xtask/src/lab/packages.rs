//! Debian's packages that a chore needs: installed where they are missing and we may.

use std::path::{Path, PathBuf};

use crate::run::Run;
use crate::{Failure, say};

/// Where programs lie; an ordinary user's `PATH` may lack the `sbin` folders.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// A program and the package that it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needed {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// Where `program` lies.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
}

/// Makes sure that all programs are there.
///
/// Fails where one is missing and cannot be installed; the message says what to do.
pub(crate) fn ensure(needed: &[Needed]) -> Result<(), Failure> {
    let missing = || -> Vec<&str> {
        let missing = needed
            .iter()
            .filter(|needed| find(needed.program).is_none());
        missing.map(|needed| needed.package).collect()
    };
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    install(&packages)?;
    match missing().as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!("'{first}' is installed, but its program is not there").into()),
    }
}

/// Installs packages.
///
/// Fails where we may not; the message says what to do.
pub(crate) fn install(packages: &[&str]) -> Result<(), Failure> {
    let shown = packages.join(" ");
    if find("apt-get").is_none() {
        return Err(format!("please install what Debian has as '{shown}'").into());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(format!("please run 'sudo apt-get install {shown}' first").into());
    }
    say(format_args!("installing {shown}"));
    let apt_get = || {
        Run::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--quiet=2")
    };
    apt_get().arg("update").succeed()?;
    apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages)
        .succeed()
}
