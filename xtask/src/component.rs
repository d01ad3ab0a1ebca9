//! Makes a component of a core module: `cargo xtask component CORE -o OUT`.

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, DecodedWasm};

use crate::{Failure, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The core module, as `cargo build --target wasm32-unknown-unknown` made it
    core: PathBuf,
    /// Where the component is written
    #[arg(short, long)]
    output: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let made = make(&args.core, &args.output)?;
    say(made.shown(&args.output));
    Ok(())
}

/// What is worth knowing of a component that was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Made {
    bytes: usize,
    imports: Vec<String>,
}

impl Made {
    /// One line: where it is, its size, and what it asks of the host.
    pub(crate) fn shown(&self, path: &Path) -> String {
        let imports = if self.imports.is_empty() {
            "nothing".to_owned()
        } else {
            self.imports.join(", ")
        };
        let kib = self.bytes.div_ceil(1024);
        format!("{}: {kib} KiB, imports {imports}", path.display())
    }
}

/// Encodes the core module at `core` and writes the component to `output` in one step, so that a
/// daemon which watches that file never reads half of it.
pub(crate) fn make(core: &Path, output: &Path) -> Result<Made, Failure> {
    let module =
        fs::read(core).map_err(|cause| format!("cannot read '{}': {cause}", core.display()))?;
    let component = encode(&module)
        .map_err(|cause| format!("cannot make a component of '{}': {cause}", core.display()))?;
    let imports = imports(&component)?;
    let partial = output.with_extension("wasm.partial");
    fs::write(&partial, &component)
        .and_then(|()| fs::rename(&partial, output))
        .map_err(|cause| format!("cannot write '{}': {cause}", output.display()))?;
    Ok(Made {
        bytes: component.len(),
        imports,
    })
}

/// A component that exports what the module's embedded world says, and imports only what it calls.
fn encode(module: &[u8]) -> Result<Vec<u8>, Failure> {
    // `{:#}`: the first line alone says only which step failed.
    let failed = |cause| Failure::from(format!("{cause:#}"));
    ComponentEncoder::default()
        .module(module)
        .map_err(failed)?
        .validate(true)
        .encode()
        .map_err(failed)
}

/// The interfaces with functions that a component imports: what an operator has to grant.
fn imports(component: &[u8]) -> Result<Vec<String>, Failure> {
    let decoded = wit_component::decode(component).map_err(|cause| format!("{cause:#}"))?;
    let DecodedWasm::Component(resolve, world) = &decoded else {
        return Err("what was encoded is not a component".into());
    };
    let world = resolve
        .worlds
        .get(*world)
        .ok_or("the component has no world")?;
    let mut names: Vec<String> = world
        .imports
        .keys()
        .filter(|key| match key {
            wit_parser::WorldKey::Interface(id) => resolve
                .interfaces
                .get(*id)
                .is_some_and(|interface| !interface.functions.is_empty()),
            wit_parser::WorldKey::Name(_) => true,
        })
        .map(|key| resolve.name_world_key(key))
        .collect();
    names.sort();
    Ok(names)
}
