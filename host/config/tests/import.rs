//! Debian's complete fail2ban configuration, with every jail enabled, translated and loaded.
#![cfg(test)]

use std::fs;
use std::path::Path;

use stockade_config::fail2ban::{Tree, Verdict, import};
use stockade_config::{Diagnostic, load};

const DEBIAN: &str = "/etc/fail2ban";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Debian's tree with all jails on, or nothing where it is not installed and need not be.
fn debian() -> Option<(tempfile::TempDir, Tree)> {
    if !Path::new(DEBIAN).join("jail.conf").exists() {
        let must = std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_some();
        assert!(!must, "install Debian's fail2ban");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    copy(Path::new(DEBIAN), dir.path());
    fs::write(dir.path().join("jail.local"), "[DEFAULT]\nenabled = true\n").unwrap();
    let tree = Tree::read(dir.path());
    Some((dir, tree))
}

#[test]
fn all_jails_of_debian_are_translated_and_load() {
    let Some((_dir, tree)) = debian() else { return };
    let import = import(&tree);
    assert!(import.jails.len() > 80, "{:?}", import.jails.keys());
    let services = fs::read_to_string("/etc/services").unwrap_or_default();
    let loaded = load(&import.files("/imported", services));
    let told: String = loaded.diagnostics.iter().map(Diagnostic::render).collect();
    let Some(settings) = loaded.settings else {
        panic!("{told}");
    };
    assert_eq!(settings.jails.len(), import.jails.len(), "{told}");
}

#[test]
fn nothing_of_debians_jails_is_dropped_in_silence() {
    let Some((_dir, tree)) = debian() else { return };
    let import = import(&tree);
    let found = tree.jails(stockade_config::fail2ban::Selection::Enabled);
    for jail in &found.jails {
        let notes: Vec<_> = import
            .report
            .notes
            .iter()
            .filter(|note| note.jail == jail.name)
            .collect();
        let told = |what: &str| {
            notes
                .iter()
                .any(|note| note.what == what || note.what == "the jail")
        };
        for option in jail.written.keys() {
            let has_value = jail
                .written
                .get(option)
                .is_some_and(|value| !value.as_str().trim().is_empty());
            let implied = [
                "enabled",
                "action",
                "filter",
                "failregex",
                "ignoreregex",
                "prefregex",
                "datepattern",
                "maxlines",
            ];
            if has_value && !implied.contains(&option.as_str()) {
                assert!(
                    told(option) || option == "logpath",
                    "[{}] {option}",
                    jail.name
                );
            }
        }
        for action in &jail.actions {
            assert!(
                told(&format!("action {}", action.name)),
                "[{}] {}",
                jail.name,
                action.name
            );
        }
    }
    assert!(
        import
            .report
            .notes
            .iter()
            .any(|note| note.verdict == Verdict::Left)
    );
}
