//! The programs that are shown and measured.

use std::path::PathBuf;

use crate::run::Run;
use crate::toolchain;
use crate::{Failure, plugins, workspace};

/// Which daemon and plugins to use, as it is typed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Choice {
    /// Cargo profile of the daemon
    #[arg(long, default_value = "release")]
    profile: String,
    /// Use this daemon instead of building one
    #[arg(long, value_name = "FILE", requires = "plugins")]
    daemon: Option<PathBuf>,
    /// Use the plugins in this folder instead of building them
    #[arg(long, value_name = "DIR", requires = "daemon")]
    plugins: Option<PathBuf>,
}

/// What there is to run.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) daemon: PathBuf,
    /// Folder with `NAME.wasm`.
    pub(crate) plugins: PathBuf,
    /// Folder on a real disk for what is kept during the run.
    pub(crate) scratch: PathBuf,
}

impl Choice {
    /// What these arguments name, built where they name nothing; `tell` is told what is done.
    pub(crate) fn built(&self, tell: fn(std::fmt::Arguments<'_>)) -> Result<Built, Failure> {
        let built = self.built_daemon(tell)?;
        if self.given()?.is_none() {
            tell(format_args!("building the stock plugins"));
            for line in plugins::build(None, toolchain::Choice::Auto)? {
                tell(format_args!("{line}"));
            }
        }
        Ok(built)
    }

    /// The same without building plugins.
    pub(crate) fn built_daemon(&self, tell: fn(std::fmt::Arguments<'_>)) -> Result<Built, Failure> {
        if let Some(built) = self.given()? {
            return Ok(built);
        }
        tell(format_args!(
            "building the daemon ({} profile)",
            self.profile
        ));
        self.cargo_build().arg("--package=stockade").succeed()?;
        let target = workspace::target_dir()?;
        // Cargo's one profile whose folder has another name.
        let folder = if self.profile == "dev" {
            "debug"
        } else {
            &self.profile
        };
        Ok(Built {
            daemon: target.join(folder).join("stockade"),
            plugins: target.join("plugins"),
            scratch: target,
        })
    }

    /// A `cargo build` for what runs on this machine.
    pub(crate) fn cargo_build(&self) -> Run {
        Run::cargo()
            .args(["build", "--profile", &self.profile])
            .in_dir(workspace::root())
    }

    /// What these arguments name.
    pub(crate) fn given(&self) -> Result<Option<Built>, Failure> {
        let (Some(daemon), Some(plugins)) = (&self.daemon, &self.plugins) else {
            return Ok(None);
        };
        let absolute = |path: &PathBuf| {
            path.canonicalize()
                .map_err(|cause| format!("cannot find '{}': {cause}", path.display()))
        };
        Ok(Some(Built {
            daemon: absolute(daemon)?,
            plugins: absolute(plugins)?,
            scratch: std::env::temp_dir(),
        }))
    }
}
