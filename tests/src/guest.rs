//! Filter plugins that misbehave, written as text of a core module.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::binary::repository;

/// What a guest does when it is to judge lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never answers.
    Loops,
    /// It traps.
    Traps,
}

/// A component of the role `filter`, which wants every line and has this fault.
///
/// # Panics
/// Where the text or the contract in `wit/` is wrong.
#[must_use]
pub fn guest(fault: Fault) -> Vec<u8> {
    let evaluate = match fault {
        Fault::Loops => "(loop $for_ever (br $for_ever)) unreachable",
        Fault::Traps => "unreachable",
    };
    // The plan lies at 16: `ok` and two empty lists, all of it zero. What the host hands over is put
    // behind 1,024 and never freed: an instance does not live for more than one call.
    let text = format!(
        r#"(module
            (memory (export "memory") 32)
            (global $free (mut i32) (i32.const 1024))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "stockade:filter/filter@0.1.0#configure") (param i32 i32) (result i32)
                (i32.const 16))
            (func (export "stockade:filter/filter@0.1.0#evaluate")
                (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                {evaluate}))"#
    );
    let mut module = wat::parse_str(text).unwrap();
    let mut contract = Resolve::default();
    contract
        .push_dir(repository().join("wit/types@0.1.0"))
        .unwrap();
    let world =
        "package stockade:guest@0.1.0; world guest { export stockade:filter/filter@0.1.0; }";
    for name in ["log", "clock", "kv", "http", "filter"] {
        contract
            .push_dir(repository().join(format!("wit/{name}@0.1.0")))
            .unwrap();
    }
    let package = contract.push_str("guest.wit", world).unwrap();
    let world = contract.select_world(&[package], None).unwrap();
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_components() {
        for fault in [Fault::Loops, Fault::Traps] {
            // Magic number, version 13, layer 1: component-model/design/mvp/Binary.md.
            assert_eq!(guest(fault)[..8], *b"\0asm\x0d\0\x01\0");
        }
    }
}
