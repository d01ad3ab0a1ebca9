//! What this host has, for jails with `enabled = "auto"`.

use std::path::Path;

use stockade_config::Presence;

/// The disk of this host.
#[derive(Debug)]
pub(crate) struct ThisHost;

/// Where systemd looks for units (systemd.unit(5)), generated ones aside: those are not installed by
/// anybody.
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

impl Presence for ThisHost {
    fn file(&self, glob: &str) -> bool {
        stockade_ingest::any_file(glob)
    }

    fn unit(&self, name: &str) -> bool {
        unit_in(&UNIT_FOLDERS.map(Path::new), name)
    }
}

/// Whether the unit, or the template that it is an instance of, is installed and can be started.
fn unit_in(folders: &[&Path], name: &str) -> bool {
    // A name with a slash would be looked for elsewhere.
    if name.is_empty() || name.contains('/') {
        return false;
    }
    let template = name.split_once('@').and_then(|(stem, instance)| {
        let (_, kind) = instance.rsplit_once('.')?;
        Some(format!("{stem}@.{kind}"))
    });
    let names = std::iter::once(name).chain(template.as_deref());
    // The first folder that has the name decides; there a link to /dev/null masks the unit, which
    // then cannot run.
    names
        .map(|name| folders.iter().map(move |folder| folder.join(name)))
        .any(|mut paths| {
            paths
                .find(|path| path.symlink_metadata().is_ok())
                .is_some_and(|path| path.is_file())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_there_by_its_file_or_its_template() {
        let folder = tempfile::tempdir().unwrap();
        let has = |name: &str| unit_in(&[folder.path()], name);
        std::fs::write(folder.path().join("web.service"), "").unwrap();
        std::fs::write(folder.path().join("db@.service"), "").unwrap();
        assert!(has("web.service"));
        assert!(has("db@main.service"));
        assert!(!has("db.service"));
        assert!(!has("other.service"));
        assert!(!has("../web.service"));
        assert!(!has(""));
    }

    #[cfg(unix)]
    #[test]
    fn a_masked_unit_is_not_there() {
        let (own, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(system.path().join("web.service"), "").unwrap();
        let folders = [own.path(), system.path()];
        assert!(unit_in(&folders, "web.service"));
        std::os::unix::fs::symlink("/dev/null", own.path().join("web.service")).unwrap();
        assert!(!unit_in(&folders, "web.service"));
    }
}
