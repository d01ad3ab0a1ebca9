//! What links for FreeBSD without a FreeBSD: zig has its C library's symbols, cargo-zigbuild tells cargo
//! to link with it. Both come from PyPI as they are, so that nothing has to be compiled.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::lab::packages;
use crate::run::Run;
use crate::{Failure, say};

/// Pinned, so that a build fails for a change of ours and not of theirs.
const REQUIREMENTS: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"];

/// Says which requirements were installed. Written last: without it everything is installed anew.
const STAMP: &str = "installed";

/// Has Python, and the modules that make environments: Debian keeps those apart.
const PYTHON: &str = "python3-venv";

/// The programs, in a Python environment in cargo's target directory.
#[derive(Debug)]
pub(super) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Finds the programs, or installs them.
    pub(super) fn ensure(target_dir: &Path) -> Result<Self, Failure> {
        let tools = Self {
            folder: target_dir.join("freebsd-tools"),
        };
        let wanted = REQUIREMENTS.join("\n");
        let stamp = tools.folder.join(STAMP);
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(tools);
        }
        say(format_args!("installing {}", REQUIREMENTS.join(" ")));
        tools.install()?;
        fs::write(&stamp, wanted)
            .map_err(|cause| format!("cannot write '{}': {cause}", stamp.display()))?;
        Ok(tools)
    }

    /// Where the programs lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command of cargo that links with zig. `first` is looked into for programs before all others.
    pub(super) fn zig_cargo(&self, command: &str, first: &Path) -> Run {
        let bin = self.folder.join("bin");
        let known = std::env::var_os("PATH").unwrap_or_default();
        let folders = [first.to_owned(), bin.clone()]
            .into_iter()
            .chain(std::env::split_paths(&known));
        // Ours cannot have a separator in them: cargo's target directory would not work either.
        let path = std::env::join_paths(folders).unwrap_or_else(|_| OsString::from(&bin));
        Run::new(bin.join("cargo-zigbuild"))
            .arg(command)
            .env("PATH", path)
            // Both have caches of their own, which would lie in the user's home.
            .env(
                "CARGO_ZIGBUILD_CACHE_DIR",
                self.folder.join("cargo-zigbuild"),
            )
            .env("ZIG_GLOBAL_CACHE_DIR", self.folder.join("zig"))
    }

    fn install(&self) -> Result<(), Failure> {
        let has_modules = Run::new("python3").args(["-c", "import ensurepip, venv"]);
        if has_modules.read().is_err() {
            packages::install(&[PYTHON])?;
        }
        // An unfinished environment of an interrupted run is replaced.
        Run::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&self.folder)
            .read()?;
        let pip = Run::new(self.folder.join("bin").join("pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(REQUIREMENTS)
            .read();
        pip.map(drop).map_err(|failure| {
            format!(
                "the tools that link for FreeBSD are not here and cannot be had from PyPI; \
                 'cargo xtask test --skip freebsd' goes on without: {failure}"
            )
            .into()
        })
    }
}
