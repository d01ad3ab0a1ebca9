//! What is refused before it ever runs, and in which words.

use std::fs;
use std::time::Duration;

use stockade_plugins::{
    Capability, ComponentSource, Grants, HostOptions, Inspection, PluginHost, Role, inspect,
};

use crate::component;
use crate::fixture::{Fixture, spec};

fn refusal(component: Vec<u8>) -> String {
    let error = Fixture::new()
        .host
        .load_filter(spec(Role::Filter, component))
        .unwrap_err();
    error.to_string()
}

#[test]
fn files_that_are_no_component_are_named_for_what_they_are() {
    let check = |bytes: &[u8], expected: &str| {
        let text = refusal(bytes.to_vec());
        assert!(text.starts_with("plugin 'x' is no component: "), "{text}");
        assert!(text.contains(expected), "{text}");
    };
    check(b"", "the file is empty");
    check(
        &wat::parse_str("(module)").unwrap(),
        "core WebAssembly module",
    );
    check(b"(component)", "WebAssembly text");
    check(b"#!/bin/sh\nrm", "it begins with \"#!/bin/sh\\nrm\"");
    let component = component::filter();
    check(&component[..component.len() / 2], "it is cut off after");
    let mut damaged = component.clone();
    damaged[component.len() / 2..].fill(0xff);
    assert!(refusal(damaged).starts_with("plugin 'x' "));
}

#[test]
fn no_cut_and_no_flipped_byte_of_a_component_panics() {
    let component = component::filter();
    for end in 0..component.len() {
        // A cut between two sections leaves a component; what counts is that it returns.
        let _inspected = inspect(&component[..end]);
    }
    for place in 0..component.len() {
        let mut damaged = component.clone();
        damaged[place] ^= 0xff;
        let _inspected = inspect(&damaged);
    }
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let mut spec = spec(Role::Filter, Vec::new());
    spec.component = ComponentSource::File("/nowhere/x.wasm".into());
    let error = Fixture::new().host.load_filter(spec).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin 'x' cannot be read from '/nowhere/x.wasm': No such file or directory (os error 2)"
    );
}

#[test]
fn a_component_of_another_role_says_what_it_offers() {
    assert_eq!(
        refusal(component::action()),
        "plugin 'x' is no filter: a filter exports stockade:filter/filter@0.1.0, this one exports \
         stockade:action/action@0.1.0"
    );
    assert!(refusal(component::empty()).ends_with("this one exports nothing"));
}

#[test]
fn a_component_of_another_version_says_to_rebuild_it() {
    assert_eq!(
        refusal(component::filter_of_the_future()),
        "plugin 'x' was built for stockade:filter/filter@0.2.0; this stockade has \
         stockade:filter/filter@0.1.0; rebuild the plugin with SDK 0.1"
    );
}

#[test]
fn a_missing_grant_says_what_to_write() {
    assert_eq!(
        refusal(component::filter_that_logs()),
        "plugin 'x' wants stockade:log/log@0.1.0, which is not granted; write `log = true` under \
         [plugins.x.grant]"
    );
    let http = spec(Role::Action, component::action_that_requests());
    let error = Fixture::new().host.load_action(http).unwrap_err();
    assert!(
        error.to_string().contains("write `http = [\"https://…\"]`"),
        "{error}"
    );
}

#[test]
fn wasi_does_not_exist_here() {
    assert_eq!(
        refusal(component::filter_that_wants_wasi()),
        "plugin 'x' wants wasi:cli/environment@0.2.0, which stockade does not have; build it without \
         WASI, for the target wasm32-unknown-unknown"
    );
}

#[test]
fn a_start_that_never_ends_and_a_start_that_is_too_large_are_refused() {
    let text = refusal(component::filter_that_loops_at_start());
    assert_eq!(
        text,
        "plugin 'x' failed at start: used more than 100 ms of CPU time"
    );
    let text = refusal(component::filter_of_40_mib());
    assert_eq!(
        text,
        "plugin 'x' failed at start: wanted more than 32768 KiB of memory"
    );
}

#[test]
fn a_plugin_that_refuses_its_settings_says_why() {
    let setting = |key: &str| (key.to_owned(), "value".to_owned());
    let fixture = Fixture::new();
    let load = |settings: Vec<(String, String)>| {
        let mut spec = spec(Role::Filter, component::filter());
        spec.settings = settings;
        fixture
            .host
            .load_filter(spec)
            .map_err(|error| error.to_string())
    };
    assert!(load(vec![setting("a")]).is_ok());
    let refused = load(vec![setting("a"), setting("b")]).unwrap_err();
    assert_eq!(
        refused,
        "plugin 'x' refuses to start: two settings are too many"
    );
    let many = load(vec![setting("a"); 257]).unwrap_err();
    assert_eq!(
        many,
        "plugin 'x' has more than 256 settings or 64 KiB of them"
    );
}

#[test]
fn an_inspection_tells_what_a_component_is_and_wants() {
    let Inspection {
        sha256,
        roles,
        wants,
        exports,
        imports,
        unknown,
        memory_bytes_min,
        ..
    } = inspect(&component::action_that_requests()).unwrap();
    assert_eq!(sha256.len(), 64);
    assert_eq!(roles, [Role::Action]);
    assert_eq!(wants, [Capability::Http]);
    assert_eq!(exports, ["stockade:action/action@0.1.0"]);
    assert!(
        imports.contains(&"stockade:http/http@0.1.0".to_owned()),
        "{imports:?}"
    );
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(memory_bytes_min, 2 << 16);
    let wasi = inspect(&component::filter_that_wants_wasi()).unwrap();
    assert_eq!(wasi.unknown, ["wasi:cli/environment@0.2.0"]);
}

#[test]
fn compiled_code_is_kept_and_a_damaged_file_only_costs_time() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("code");
    let load = || {
        let options = HostOptions {
            cache_dir: Some(dir.clone()),
            ..HostOptions::default()
        };
        let host = PluginHost::new(options).unwrap();
        let mut filter = host
            .load_filter(spec(Role::Filter, component::filter()))
            .unwrap();
        filter
            .evaluate(&crate::fixture::batch(["F"]))
            .findings
            .len()
    };
    assert_eq!(load(), 1);
    let kept = || {
        let mut files: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.retain(|path| path.extension().is_some());
        files
    };
    let files = kept();
    assert_eq!(files.len(), 1);
    let good = fs::read(&files[0]).unwrap();
    assert_eq!(load(), 1);
    fs::write(&files[0], b"damaged").unwrap();
    assert_eq!(load(), 1);
    // The same code under the same key, up to how the compiler lays it out.
    assert_eq!(fs::read(&files[0]).unwrap().len(), good.len());
    assert_eq!(kept(), files);
}

#[test]
fn a_cache_that_cannot_be_used_is_not_used() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, b"").unwrap();
    let options = HostOptions {
        cache_dir: Some(file),
        ..HostOptions::default()
    };
    let host = PluginHost::new(options).unwrap();
    assert!(
        host.load_filter(spec(Role::Filter, component::filter()))
            .is_ok()
    );
}

#[test]
fn grants_beyond_what_a_plugin_wants_do_no_harm() {
    let mut spec = spec(Role::Filter, component::filter());
    spec.grants = Grants {
        log: true,
        clock: true,
        ..Grants::default()
    };
    spec.limits.call.wall = Duration::from_secs(1);
    assert!(Fixture::new().host.load_filter(spec).is_ok());
}
