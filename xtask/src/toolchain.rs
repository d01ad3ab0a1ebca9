//! Finds or installs a Rust that can build for [`TARGET`].
//!
//! Rustup's own target comes first. Where it cannot be had (no network to its server, or a Rust that
//! is not rustup's), Debian's packages serve: its compiler builds the standard library from source.

use std::path::Path;

use crate::run::Run;
use crate::{Failure, say, workspace};

/// Components are encoded from modules of this target: unlike those for wasm32-wasip2, they import
/// nothing that their own code does not call.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// `rustc-web` is Debian's compiler new enough for browsers, and for us; the others are the sources of
/// its standard library and the linker that it knows by this name.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "lld-19"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";

/// Which toolchain builds components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The active one if it has the target or rustup can add it, else Debian's.
    #[default]
    Auto,
    /// The active one; rustup adds the target where it is missing.
    Rustup,
    /// Debian's packages; installed where they are missing and we are root.
    Debian,
}

/// A toolchain that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    Active,
    Debian,
}

impl Toolchain {
    /// The toolchain of this choice, installed where that is needed and possible.
    pub(crate) fn find(choice: Choice) -> Result<Self, Failure> {
        match choice {
            Choice::Rustup => active(),
            Choice::Debian => debian(),
            Choice::Auto => active().or_else(|first| {
                say(format_args!("{first}; trying Debian's packages"));
                debian().map_err(|second| format!("{second} (before that: {first})").into())
            }),
        }
    }

    /// A `cargo build` for [`TARGET`] in the workspace, to which packages and a profile are to be
    /// added.
    pub(crate) fn build(self) -> Run {
        let build = Run::cargo()
            .args(["build", "--target", TARGET])
            .in_dir(workspace::root());
        match self {
            Self::Active => build,
            Self::Debian => build
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", DEBIAN_RUSTC)
                // Building the standard library is not stable; a stable compiler needs to be told.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER),
        }
    }
}

/// The active toolchain with the target, added by rustup where it is missing.
fn active() -> Result<Toolchain, Failure> {
    add_target(TARGET)?;
    Ok(Toolchain::Active)
}

/// Makes sure that the active toolchain has the standard library of `target`, by rustup.
pub(crate) fn add_target(target: &str) -> Result<(), Failure> {
    let sysroot = Run::new("rustc")
        .args(["--print", "sysroot"])
        .in_dir(workspace::root())
        .read()?;
    if Path::new(&sysroot)
        .join("lib/rustlib")
        .join(target)
        .is_dir()
    {
        return Ok(());
    }
    Run::new("rustup")
        .args(["target", "add", target])
        .in_dir(workspace::root())
        .succeed()
}

/// Debian's packages, installed where they are missing and we may.
fn debian() -> Result<Toolchain, Failure> {
    if debian_is_complete() {
        return Ok(Toolchain::Debian);
    }
    let packages = DEBIAN_PACKAGES.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(
            format!("there is no Rust for {TARGET}: run 'rustup target add {TARGET}'").into(),
        );
    }
    if Run::new("id").arg("-u").read()? != "0" {
        return Err(format!(
            "there is no Rust for {TARGET}: run 'rustup target add {TARGET}', \
             or as root 'apt-get install {packages}'"
        )
        .into());
    }
    let apt_get = || Run::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    apt_get().arg("update").succeed()?;
    apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(DEBIAN_PACKAGES)
        .succeed()?;
    if !debian_is_complete() {
        return Err(format!("'{packages}' are installed, but {DEBIAN_RUSTC} or its sources are not where they should be").into());
    }
    Ok(Toolchain::Debian)
}

fn debian_is_complete() -> bool {
    let sources = || {
        let sysroot = Run::new(DEBIAN_RUSTC)
            .args(["--print", "sysroot"])
            .read()
            .ok()?;
        Some(
            Path::new(&sysroot)
                .join("lib/rustlib/src/rust/library/std")
                .is_dir(),
        )
    };
    Path::new(DEBIAN_LINKER).exists() && sources().unwrap_or(false)
}
