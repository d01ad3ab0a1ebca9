//! Builds the native crates for FreeBSD, from any Linux that has Rust and Python: `cargo xtask freebsd`.
//!
//! Nothing is run on FreeBSD. What is shown is that everything compiles and links for it, and that the
//! program is one of FreeBSD.

mod elf;
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{Failure, say, toolchain, workspace};
use tools::Tools;

/// The only FreeBSD for which rustup has a standard library.
const TARGET: &str = "x86_64-unknown-freebsd";

/// The cargo profile that builds soonest, in the root `Cargo.toml`.
pub(crate) const PROFILE: &str = "freebsd";

/// Stands in for freebsd-version(1) while we build: build scripts ask it, and some stop at a version newer
/// than they know. Whoever builds on FreeBSD itself must not be stopped so.
const NEWER_FREEBSD: &str = "#!/bin/sh\necho 14.3-RELEASE\n";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Build the program as it is installed, instead of quickly
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let target_dir = workspace::target_dir()?;
    let profile = if args.release { "release" } else { PROFILE };
    say(build(&target_dir, profile)?);
    Ok(())
}

/// Builds everything and looks at what was built; one line about it.
pub(crate) fn build(target_dir: &Path, profile: &str) -> Result<String, Failure> {
    toolchain::add_target(TARGET)?;
    let tools = Tools::ensure(target_dir)?;
    let newer = tools.folder().join("FreeBSD-14.3");
    pretend(&newer, "freebsd-version", NEWER_FREEBSD)?;
    let cargo = |command| {
        tools
            .zig_cargo(command, &newer)
            .args(["--target", TARGET, "--profile", profile])
            .in_dir(workspace::root())
    };
    // Before the build, since it is this that a change breaks. Code that only FreeBSD sees is looked at by
    // no other check, and neither is whether the tests compile there.
    cargo("clippy")
        .arg("--all-targets")
        .args(["--", "--deny=warnings"])
        .succeed()?;
    cargo("zigbuild").succeed()?;
    elf::look_at(&target_dir.join(TARGET).join(profile).join("stockade"))
}

/// Writes a program called `name` into `folder`.
fn pretend(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    let written = fs::create_dir_all(folder).and_then(|()| {
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
    });
    written.map_err(|cause| format!("cannot write '{}': {cause}", path.display()).into())
}
