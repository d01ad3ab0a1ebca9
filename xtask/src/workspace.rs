//! Where the workspace and what is built of it lie.

use std::path::{Path, PathBuf};

use crate::Failure;
use crate::run::Run;

/// The root of the workspace that this xtask was built of.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Where cargo puts what it builds, configuration and environment considered.
pub(crate) fn target_dir() -> Result<PathBuf, Failure> {
    let metadata = Run::cargo()
        .args(["metadata", "--no-deps", "--format-version=1"])
        .in_dir(root())
        .read()?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let dir = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str)
        .ok_or("cargo metadata names no target directory")?;
    Ok(dir.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_the_contract_and_the_plugins() {
        assert!(root().join("wit").is_dir());
        assert!(root().join("plugins").is_dir());
        assert!(target_dir().unwrap().is_absolute());
    }
}
