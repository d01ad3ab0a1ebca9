//! Makes components: WAT text for the core module, our WIT for the types.

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// In the order in which they depend on each other.
const PACKAGES: [&str; 7] = ["types", "log", "clock", "kv", "http", "filter", "action"];

/// Memory, an allocator that only goes forward until a call is over, and what every program here uses.
const RUNTIME: &str = r#"
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (func $reset (param i32) (global.set $next (i32.const 65536)))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get 2))))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (block $fits (loop $grow
      (br_if $fits (i32.le_u (global.get $next) (i32.shl (memory.size) (i32.const 16))))
      (drop (memory.grow (i32.const 1)))
      (br $grow)))
    (local.get $at))
  (func $for_ever (loop $again (br $again)))
  (func $bomb (loop $again (drop (memory.grow (i32.const 16))) (br $again)))
  (func $recurse (param i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
"#;

/// A filter that takes the first byte of a line as an order: `F` is a failure of 192.0.2.1, `U` one of
/// the user "alice" with the first byte as the user's place, `G` logs "hello\n", `E` refuses the batch, `B` answers
/// for line 9999, `X` traps, `L` loops, `M` takes memory, `R` recurses, `H` answers with 30,000
/// findings. `configure` refuses two settings and else asks for lines with "Failed".
const FILTER: &str = r#"
  (data (i32.const 1024) "Failed")
  (data (i32.const 1032) "\00\04\00\00\06\00\00\00")
  (data (i32.const 1040) "two settings are too many")
  (data (i32.const 1072) "not\0atoday")
  (data (i32.const 1088) "alice")
  (data (i32.const 1096) "hello\0a")
  (func (export "stockade:filter/filter@0.1.0#configure") (param i32 i32) (result i32)
    (if (i32.eq (local.get 1) (i32.const 2)) (then
      (i32.store (i32.const 2048) (i32.const 1))
      (i32.store (i32.const 2052) (i32.const 0))
      (i32.store (i32.const 2056) (i32.const 1040))
      (i32.store (i32.const 2060) (i32.const 25))
      (return (i32.const 2048))))
    (i32.store (i32.const 2048) (i32.const 0))
    (i32.store (i32.const 2052) (i32.const 1032))
    (i32.store (i32.const 2056) (i32.const 1))
    (i32.store (i32.const 2060) (i32.const 0))
    (i32.store (i32.const 2064) (i32.const 0))
    (i32.const 2048))
  (func (export "cabi_post_stockade:filter/filter@0.1.0#configure") (param i32) (call $reset (i32.const 0)))
  (func (export "stockade:filter/filter@0.1.0#evaluate")
    (param $text i32) (param $size i32) (param $ends i32) (param $lines i32)
    (param i32 i32 i32 i32) (result i32)
    (local $i i32) (local $start i32) (local $end i32) (local $c i32) (local $to i32) (local $found i32)
    (local.set $to (i32.const 16384))
    (i32.store (i32.const 2048) (i32.const 0))
    (block $done (loop $line
      (br_if $done (i32.ge_u (local.get $i) (local.get $lines)))
      (local.set $end (i32.load (i32.add (local.get $ends) (i32.shl (local.get $i) (i32.const 2)))))
      (local.set $c (i32.const 0))
      (if (i32.lt_u (local.get $start) (local.get $end)) (then
        (local.set $c (i32.load8_u (i32.add (local.get $text) (local.get $start))))))
      (if (i32.eq (local.get $c) (i32.const 0x58)) (then unreachable))
      (if (i32.eq (local.get $c) (i32.const 0x4c)) (then (call $for_ever)))
      (if (i32.eq (local.get $c) (i32.const 0x4d)) (then (call $bomb)))
      (if (i32.eq (local.get $c) (i32.const 0x52)) (then (drop (call $recurse (i32.const 0)))))
      (if (i32.eq (local.get $c) (i32.const 0x47)) (then (call $say (i32.const 1096) (i32.const 6))))
      (if (i32.eq (local.get $c) (i32.const 0x48)) (then
        (drop (memory.grow (i32.const 64)))
        (i32.store (i32.const 2052) (i32.const 65536))
        (i32.store (i32.const 2056) (i32.const 30000))
        (return (i32.const 2048))))
      (if (i32.eq (local.get $c) (i32.const 0x45)) (then
        (i32.store (i32.const 2048) (i32.const 1))
        (i32.store (i32.const 2052) (i32.const 3))
        (i32.store (i32.const 2056) (i32.const 1072))
        (i32.store (i32.const 2060) (i32.const 9))
        (return (i32.const 2048))))
      (if (i32.or (i32.or (i32.eq (local.get $c) (i32.const 0x46)) (i32.eq (local.get $c) (i32.const 0x55)))
                  (i32.eq (local.get $c) (i32.const 0x42))) (then
        (memory.fill (local.get $to) (i32.const 0) (i32.const 56))
        (i32.store (local.get $to) (local.get $i))
        (i32.store offset=24 (local.get $to) (i32.const 0xc0000201))
        (if (i32.eq (local.get $c) (i32.const 0x42)) (then
          (i32.store (local.get $to) (i32.const 9999))))
        (if (i32.eq (local.get $c) (i32.const 0x55)) (then
          (i32.store offset=8 (local.get $to) (i32.const 1))
          (i32.store offset=16 (local.get $to) (i32.const 1088))
          (i32.store offset=20 (local.get $to) (i32.const 5))
          (i32.store offset=40 (local.get $to) (i32.const 1))
          (i32.store offset=44 (local.get $to) (local.get $start))
          (i32.store offset=48 (local.get $to) (i32.add (local.get $start) (i32.const 1)))))
        (local.set $to (i32.add (local.get $to) (i32.const 56)))
        (local.set $found (i32.add (local.get $found) (i32.const 1)))))
      (local.set $start (local.get $end))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $line)))
    (i32.store (i32.const 2052) (i32.const 16384))
    (i32.store (i32.const 2056) (local.get $found))
    (i32.const 2048))
  (func (export "cabi_post_stockade:filter/filter@0.1.0#evaluate") (param i32) (call $reset (i32.const 0)))
"#;

/// An action that takes the first byte of a subject that is a text as an order: `X` traps, `L` loops,
/// `U` is unavailable, `D` is denied, `N` answers one result too few; all else succeeds. The same for
/// `apply`, `revoke` and `reconcile`. `probe` is left to the caller.
const ACTION: &str = r#"
  (data (i32.const 1024) "away")
  (func (export "stockade:action/action@0.1.0#configure") (param $at i32) (param $count i32) (result i32)
    ;; Keeps the first setting's value: a request's URL, in the tests that make one.
    (if (local.get $count) (then
      (global.set $url_size (i32.load offset=12 (local.get $at)))
      (memory.copy (i32.const 4096) (i32.load offset=8 (local.get $at)) (global.get $url_size))))
    (i32.store (i32.const 2048) (i32.const 0))
    (i32.const 2048))
  (global $url_size (mut i32) (i32.const 0))
  (func $act (param $at i32) (param $count i32) (result i32)
    (local $to i32) (local $left i32) (local $c i32) (local $short i32)
    (local.set $to (i32.const 16384))
    (local.set $left (local.get $count))
    (block $done (loop $decision
      (br_if $done (i32.eqz (local.get $left)))
      (memory.fill (local.get $to) (i32.const 0) (i32.const 16))
      (local.set $c (i32.const 0))
      (if (i32.load8_u offset=16 (local.get $at)) (then
        (local.set $c (i32.load8_u (i32.load offset=24 (local.get $at))))))
      (if (i32.eq (local.get $c) (i32.const 0x58)) (then unreachable))
      (if (i32.eq (local.get $c) (i32.const 0x4c)) (then (call $for_ever)))
      (if (i32.eq (local.get $c) (i32.const 0x4e)) (then (local.set $short (i32.const 1))))
      (if (i32.or (i32.eq (local.get $c) (i32.const 0x55)) (i32.eq (local.get $c) (i32.const 0x44))) (then
        (i32.store (local.get $to) (i32.const 1))
        (i32.store offset=4 (local.get $to)
          (select (i32.const 2) (i32.const 1) (i32.eq (local.get $c) (i32.const 0x55))))
        (i32.store offset=8 (local.get $to) (i32.const 1024))
        (i32.store offset=12 (local.get $to) (i32.const 4))))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (local.set $at (i32.add (local.get $at) (i32.const 96)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $decision)))
    (i32.store (i32.const 2048) (i32.const 16384))
    (i32.store (i32.const 2052) (i32.sub (local.get $count) (local.get $short)))
    (call $reset (i32.const 0))
    (i32.const 2048))
  (export "stockade:action/action@0.1.0#apply" (func $act))
  (export "stockade:action/action@0.1.0#revoke" (func $act))
  (export "stockade:action/action@0.1.0#reconcile" (func $act))
"#;

/// Sends `GET` to the first setting's value; fails as `other`, with the response's error case or status
/// as one byte of text, unless that is 200.
const PROBE_BY_REQUEST: &str = r#"
  (data (i32.const 1040) "GET")
  (func (export "stockade:action/action@0.1.0#probe") (result i32)
    (call $send (i32.const 1040) (i32.const 3) (i32.const 4096) (global.get $url_size)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3072))
    (i32.store (i32.const 2048) (i32.const 0))
    (if (i32.load8_u (i32.const 3072)) (then
      (i32.store (i32.const 2048) (i32.const 1))
      (i32.store (i32.const 2052) (i32.const 3))
      (i32.store8 (i32.const 2064) (i32.add (i32.const 0x30) (i32.load8_u (i32.const 3076))))
      (i32.store (i32.const 2056) (i32.const 2064))
      (i32.store (i32.const 2060) (i32.const 1))))
    (i32.const 2048))
"#;

const PROBE_SUCCEEDS: &str = r#"
  (func (export "stockade:action/action@0.1.0#probe") (result i32)
    (i32.store (i32.const 2048) (i32.const 0))
    (i32.const 2048))
"#;

const SAY_TO_NOBODY: &str = "(func $say (param i32 i32))";
const SAY_TO_LOG: &str =
    "(func $say (param i32 i32) (call $log (i32.const 2) (local.get 0) (local.get 1)))";
const IMPORT_LOG: &str =
    r#"(import "stockade:log/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
const IMPORT_HTTP: &str = r#"(import "stockade:http/http@0.1.0" "send"
    (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

/// The filter described above.
pub(crate) fn filter() -> Vec<u8> {
    encode(
        &[SAY_TO_NOBODY, RUNTIME, FILTER],
        "export stockade:filter/filter@0.1.0;",
        "",
    )
}

/// The filter described above, which wants to log.
pub(crate) fn filter_that_logs() -> Vec<u8> {
    let world = "import stockade:log/log@0.1.0; export stockade:filter/filter@0.1.0;";
    encode(&[IMPORT_LOG, SAY_TO_LOG, RUNTIME, FILTER], world, "")
}

/// The filter described above, which loops when it is instantiated.
pub(crate) fn filter_that_loops_at_start() -> Vec<u8> {
    let start = "(start $for_ever)";
    encode(
        &[SAY_TO_NOBODY, RUNTIME, FILTER, start],
        "export stockade:filter/filter@0.1.0;",
        "",
    )
}

/// The filter described above, which wants more memory at the start than it may have.
pub(crate) fn filter_of_40_mib() -> Vec<u8> {
    let runtime = RUNTIME.replace("(export \"memory\") 2)", "(export \"memory\") 640)");
    encode(
        &[SAY_TO_NOBODY, &runtime, FILTER],
        "export stockade:filter/filter@0.1.0;",
        "",
    )
}

/// The filter described above, which reads the environment.
pub(crate) fn filter_that_wants_wasi() -> Vec<u8> {
    let import = r#"(import "wasi:cli/environment@0.2.0" "count" (func $count (result i32)))
        (func $say (param i32 i32) (drop (call $count)))"#;
    let world = "import wasi:cli/environment@0.2.0; export stockade:filter/filter@0.1.0;";
    let wasi = "package wasi:cli@0.2.0; interface environment { count: func() -> u32; }";
    encode(&[import, RUNTIME, FILTER], world, wasi)
}

/// A filter of a contract that does not exist yet.
pub(crate) fn filter_of_the_future() -> Vec<u8> {
    let future = std::fs::read_to_string(wit("filter").join("filter.wit")).unwrap();
    let future = future.replace(
        "package stockade:filter@0.1.0",
        "package stockade:filter@0.2.0",
    );
    let filter = FILTER.replace("filter@0.1.0", "filter@0.2.0");
    let imports = ["log", "clock", "kv", "http"];
    assert!(
        imports.iter().all(|name| future.contains(name)),
        "the world imports all"
    );
    encode(
        &[SAY_TO_NOBODY, RUNTIME, &filter],
        "export stockade:filter/filter@0.2.0;",
        &future,
    )
}

/// The action described above.
pub(crate) fn action() -> Vec<u8> {
    encode(
        &[RUNTIME, ACTION, PROBE_SUCCEEDS],
        "export stockade:action/action@0.1.0;",
        "",
    )
}

/// The action described above, which sends a request to probe.
pub(crate) fn action_that_requests() -> Vec<u8> {
    let world = "import stockade:http/http@0.1.0; export stockade:action/action@0.1.0;";
    encode(&[IMPORT_HTTP, RUNTIME, ACTION, PROBE_BY_REQUEST], world, "")
}

/// A component that offers nothing.
pub(crate) fn empty() -> Vec<u8> {
    wat::parse_str("(component)").unwrap()
}

fn encode(parts: &[&str], world: &str, more: &str) -> Vec<u8> {
    let mut module = wat::parse_str(format!("(module {})", parts.concat())).unwrap();
    let mut resolve = Resolve::default();
    for package in PACKAGES {
        resolve.push_path(wit(package)).unwrap();
    }
    if !more.is_empty() {
        resolve.push_source("more.wit", more).unwrap();
    }
    let source = format!("package test:plugin; world plugin {{ {world} }}");
    let package = resolve.push_source("plugin.wit", &source).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

fn wit(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../wit/{package}@0.1.0"))
}
