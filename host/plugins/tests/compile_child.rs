//! The compiling child: this test is its own child, so it has no test harness, whose output would mix
//! with the compiled code.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it is a test, although without a harness"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use stockade_core::PluginName;
use stockade_plugins::{
    Compile, ComponentSource, Grants, HostOptions, Limits, PluginHost, PluginSpec, Role,
    compile_child_main,
};

const CHILD: &str = "plugin-compile";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(CHILD) {
        return compile_child_main();
    }
    // What cargo-nextest asks of a test program without the standard harness.
    if std::env::args().any(|argument| argument == "--list") {
        if !std::env::args().any(|argument| argument == "--ignored") {
            println!("compile_child: test");
        }
        return ExitCode::SUCCESS;
    }
    what_the_child_compiles_is_what_runs();
    a_component_that_cannot_be_compiled_is_refused_in_the_compilers_words();
    a_child_that_dies_or_does_not_exist_is_an_error();
    println!("compile_child: ok");
    ExitCode::SUCCESS
}

fn load(program: PathBuf, component: &str) -> String {
    let compile = Compile::Child {
        program,
        args: vec![CHILD.into()],
    };
    let host = PluginHost::new(HostOptions {
        compile,
        ..HostOptions::default()
    })
    .unwrap();
    let spec = PluginSpec {
        name: PluginName::try_new("x").unwrap(),
        component: ComponentSource::Bytes(wat::parse_str(component).unwrap()),
        grants: Grants::default(),
        limits: Limits::of(Role::Filter),
        settings: Vec::new(),
    };
    host.load_filter(spec).unwrap_err().to_string()
}

/// Exports the role's name, with nothing in it: it compiles, and is refused only when it is linked.
const HOLLOW: &str =
    r#"(component (instance $none) (export "stockade:filter/filter@0.1.0" (instance $none)))"#;
/// As [`HOLLOW`], with a function in it that returns nothing where it has to return a number.
const INVALID: &str = r#"(component (core module (func (result i32))) (instance $none)
    (export "stockade:filter/filter@0.1.0" (instance $none)))"#;

fn myself() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn what_the_child_compiles_is_what_runs() {
    let error = load(myself(), HOLLOW);
    assert!(
        error.starts_with("plugin 'x' does not fit the contract: "),
        "{error}"
    );
}

fn a_component_that_cannot_be_compiled_is_refused_in_the_compilers_words() {
    let error = load(myself(), INVALID);
    assert!(
        error.starts_with("plugin 'x' cannot be compiled: "),
        "{error}"
    );
    assert!(error.contains("type mismatch"), "{error}");
}

fn a_child_that_dies_or_does_not_exist_is_an_error() {
    let error = load("/bin/false".into(), HOLLOW);
    assert!(
        error.contains("the compiler ended with exit status: 1"),
        "{error}"
    );
    let error = load("/nowhere/stockade".into(), HOLLOW);
    assert!(
        error.contains("cannot run the compiler '/nowhere/stockade': No such file"),
        "{error}"
    );
}
