//! Whole configurations and exactly what is said about them.
//!
//! `tests/config/{valid,invalid}` at the root of the repository holds files `NAME.toml`, each a
//! main file, and folders `NAME/`, each with `stockade.toml` and what lies beside it. `NAME.err`
//! holds everything that is said and, where something is wrong, which jails run nevertheless; a valid
//! one without it must be without a warning. After a change on purpose, run with `UPDATE_EXPECT=1` and
//! read the difference.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

use std::fs;
use std::path::{Path, PathBuf};

use stockade_config::{ConfigFile, ConfigFiles, Loaded, load};

fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/config")
        .join(kind);
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|name| name == "toml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 2, "no cases in {}", folder.display());
    cases
}

/// A file as it is found below `root`, its path shown without it.
fn file(root: &Path, path: &Path) -> ConfigFile {
    ConfigFile {
        path: path.strip_prefix(root).unwrap().display().to_string(),
        bytes: fs::read(path).unwrap(),
    }
}

fn folder(root: &Path, name: &str) -> Vec<ConfigFile> {
    let mut paths: Vec<_> = fs::read_dir(root.join(name))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| file(root, path)).collect()
}

fn load_case(case: &Path) -> Loaded {
    if !case.is_dir() {
        let main = Some(file(case.parent().unwrap(), case));
        return load(&ConfigFiles {
            main,
            ..ConfigFiles::default()
        });
    }
    let main = case.join("stockade.toml");
    load(&ConfigFiles {
        main: main.exists().then(|| file(case, &main)),
        dropins: folder(case, "stockade.d"),
        jails: folder(case, "jails"),
        filters: folder(case, "filters"),
        ..ConfigFiles::default()
    })
}

/// Which jails run nevertheless, and which do not; nothing where nothing is wrong.
fn outcome(loaded: &Loaded) -> String {
    let Some(settings) = &loaded.settings else {
        return "=> refused\n".to_owned();
    };
    if is_right(loaded) {
        return String::new();
    }
    let run: Vec<_> = settings
        .jails
        .iter()
        .map(|jail| jail.name.as_str())
        .collect();
    let broken = settings.broken.iter();
    let broken: String = broken
        .map(|jail| format!("=> broken: {}: {}\n", jail.name, jail.why))
        .collect();
    format!("{broken}=> run: {}\n", run.join(", "))
}

fn is_right(loaded: &Loaded) -> bool {
    !loaded.diagnostics.iter().any(|found| found.is_error())
}

/// Compares what is said with the file of the same name that ends in `.err`.
fn check(case: &Path, loaded: &Loaded, failures: &mut Vec<String>) {
    let said: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(|found| found.render())
        .collect();
    let said = said.concat() + &outcome(loaded);
    let expected_path = case.with_extension("err");
    let expected = fs::read_to_string(&expected_path).unwrap_or_default();
    if said == expected {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        if said.is_empty() {
            fs::remove_file(&expected_path).unwrap();
        } else {
            fs::write(&expected_path, &said).unwrap();
        }
        return;
    }
    let name = case.file_name().unwrap().display();
    failures.push(format!("{name}: expected\n{expected}\nfound\n{said}"));
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let mut failures = Vec::new();
    for case in cases("invalid") {
        let loaded = load_case(&case);
        if is_right(&loaded) {
            failures.push(format!("{} was accepted", case.display()));
        }
        check(&case, &loaded, &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_is_right_is_accepted() {
    let mut failures = Vec::new();
    for case in cases("valid") {
        let loaded = load_case(&case);
        if !is_right(&loaded) || loaded.settings.is_none() {
            failures.push(format!("{} was refused", case.display()));
        }
        check(&case, &loaded, &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_expectation_has_its_case() {
    for kind in ["valid", "invalid"] {
        let cases = cases(kind);
        let folder = cases[0].parent().unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|name| name == "err") {
                let case = path.with_extension("toml");
                assert!(
                    case.exists() || path.with_extension("").is_dir(),
                    "{}",
                    path.display()
                );
            }
        }
    }
}
