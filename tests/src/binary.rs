//! Finds what is tested: the binary `stockade` and the stock plugins.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The binary to test. Without it cargo builds one.
pub(crate) const BIN: &str = "STOCKADE_BIN";
/// Where the stock plugins lie. Without it `cargo xtask plugins` builds them.
const PLUGIN_DIR: &str = "STOCKADE_PLUGIN_DIR";

/// The binary under test.
///
/// # Panics
/// Where it cannot be built.
pub fn stockade() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        std::env::var_os(BIN).map_or_else(
            || {
                cargo(&["build", "--quiet", "--package", "stockade"]);
                built().join("stockade")
            },
            PathBuf::from,
        )
    })
}

/// A stock plugin as a component, by the name of its folder.
///
/// # Panics
/// Where it cannot be built.
pub fn component(name: &str) -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let dir = FOUND.get_or_init(|| {
        std::env::var_os(PLUGIN_DIR).map_or_else(
            || {
                let dir = built().join("../plugins");
                cargo(&["xtask", "plugins", "--out", &dir.to_string_lossy()]);
                dir
            },
            PathBuf::from,
        )
    });
    let path = dir.join(format!("{name}.wasm"));
    assert!(path.exists(), "there is no plugin '{}'", path.display());
    path
}

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where cargo puts binaries of the profile that this test was built with: the test itself lies in
/// `deps` below it.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}

fn cargo(arguments: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(repository())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
}
