//! Builds the stock plugins: `cargo xtask plugins`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::toolchain::{Choice, TARGET, Toolchain};
use crate::{Failure, component, say, workspace};

/// The folders of `plugins/`; the package of each is `stockade-plugin-NAME`.
const PLUGINS: [&str; 2] = ["sshd", "webhook"];

/// The cargo profile of components, in the root `Cargo.toml`.
const PROFILE: &str = "plugin";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the components are written [default: `plugins` in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Which Rust builds them
    #[arg(long, value_enum, default_value_t)]
    toolchain: Choice,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    for line in build(args.out.as_deref(), args.toolchain)? {
        say(line);
    }
    Ok(())
}

/// Builds all stock plugins into `out` and returns one line about each.
pub(crate) fn build(out: Option<&Path>, choice: Choice) -> Result<Vec<String>, Failure> {
    let target_dir = workspace::target_dir()?;
    let out = out.map_or_else(|| target_dir.join("plugins"), Path::to_owned);
    fs::create_dir_all(&out)
        .map_err(|cause| format!("cannot make the folder '{}': {cause}", out.display()))?;

    let packages = PLUGINS.map(|name| format!("--package=stockade-plugin-{name}"));
    Toolchain::find(choice)?
        .build()
        .args(["--profile", PROFILE])
        .args(packages)
        .succeed()?;

    let built = target_dir.join(TARGET).join(PROFILE);
    PLUGINS
        .iter()
        .map(|name| {
            let core = built.join(format!("stockade_plugin_{name}.wasm"));
            let output = out.join(format!("{name}.wasm"));
            Ok(component::make(&core, &output)?.shown(&output))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_of_plugins_is_built() {
        let folders = fs::read_dir(workspace::root().join("plugins")).unwrap();
        let mut names: Vec<String> = folders
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, PLUGINS);
    }
}
