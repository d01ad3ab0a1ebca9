//! Holds the dependency arrows of ARCHITECTURE.md, from what cargo itself says.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "asks cargo")]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Our crates and what each may depend on, of ours.
const ARROWS: &[(&str, &[&str])] = &[
    ("stockade-core", &[]),
    ("stockade-detect", &["stockade-core"]),
    ("stockade-config", &["stockade-core"]),
    ("stockade-ingest", &["stockade-core"]),
    ("stockade-plugins", &["stockade-core"]),
    ("stockade-firewall", &["stockade-core"]),
    ("stockade-store", &["stockade-core"]),
    ("stockade-control", &["stockade-core"]),
    (
        "stockade",
        &[
            "stockade-config",
            "stockade-control",
            "stockade-core",
            "stockade-detect",
            "stockade-firewall",
            "stockade-ingest",
            "stockade-plugins",
            "stockade-store",
        ],
    ),
    ("stockade-sdk", &[]),
    ("stockade-plugin-sshd", &["stockade-sdk"]),
    ("stockade-plugin-webhook", &["stockade-sdk"]),
    (
        "stockade-conformance",
        &["stockade-config", "stockade-core", "stockade-detect"],
    ),
    ("xtask", &[]),
];

/// What `core` must never have, however indirectly: serialisation, async, wasm, I/O.
const NOT_IN_CORE: &[&str] = &[
    "serde", "tokio", "wasmtime", "tracing", "libc", "rustix", "jiff",
];

#[test]
fn crates_depend_on_each_other_only_as_the_map_says() {
    let packages = packages(&["--no-deps"]);
    for (name, allowed) in ARROWS {
        let package = packages
            .get(*name)
            .unwrap_or_else(|| panic!("there is no crate {name}"));
        for dependency in ours(package) {
            assert!(
                allowed.contains(&&*dependency),
                "{name} must not depend on {dependency}"
            );
        }
    }
    for name in packages.keys().filter(|name| *name != "stockade-tests") {
        assert!(
            ARROWS.iter().any(|(known, _)| known == name),
            "{name} is missing in the map"
        );
    }
}

#[test]
fn core_reaches_no_io_no_async_and_no_serde() {
    let tree = cargo(&[
        "tree",
        "--package",
        "stockade-core",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ]);
    for line in tree.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        assert!(!NOT_IN_CORE.contains(&name), "stockade-core reaches {name}");
    }
    assert!(tree.contains("ipnet"), "the tree was not read: {tree}");
}

#[test]
fn a_plain_build_leaves_the_plugins_out() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let defaults = metadata["workspace_default_members"].as_array().unwrap();
    assert!(defaults.len() >= 9);
    for member in defaults {
        assert!(
            !member.as_str().unwrap().contains("plugin-"),
            "{member} is built by a plain cargo build"
        );
    }
}

/// Names of our crates that a package depends on outside tests.
fn ours(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().unwrap();
    let normal = dependencies
        .iter()
        .filter(|dependency| dependency["kind"] != "dev");
    let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("stockade")).collect()
}

fn packages(arguments: &[&str]) -> BTreeMap<String, Value> {
    let all = [&["metadata", "--format-version", "1"], arguments].concat();
    let metadata: Value = serde_json::from_str(&cargo(&all)).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|p| (p["name"].as_str().unwrap().to_owned(), p.clone()))
        .collect()
}

fn cargo(arguments: &[&str]) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
