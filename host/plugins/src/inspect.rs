//! What a file says about itself, read without running or compiling it.

use sha2::{Digest as _, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use crate::escape::{escaped, hex};
use crate::grants::Capability;
use crate::limits::COMPONENT_BYTES_MAX;
use crate::role::Role;

/// Longest name of an import or export that is shown, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// Bytes in a page of linear memory.
const PAGE_BYTES: u64 = 64 << 10;

/// What a component is, wants and offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Size of the file in bytes.
    pub size: usize,
    /// The roles it can be used in by this version.
    pub roles: Vec<Role>,
    /// Names of what it exports, escaped, as written.
    pub exports: Vec<String>,
    /// Names of what it imports, escaped, as written.
    pub imports: Vec<String>,
    /// The abilities it wants granted.
    pub wants: Vec<Capability>,
    /// Imports that this version does not have.
    pub unknown: Vec<String>,
    /// What its memories take at the start, in bytes.
    pub memory_bytes_min: u64,
    /// The SDK it was built with, where it says so (the `producers` section).
    pub sdk: Option<String>,
}

/// Why a file is not a component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAComponent {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// Larger than [`COMPONENT_BYTES_MAX`].
    #[error("the file is larger than {} MiB", COMPONENT_BYTES_MAX >> 20)]
    TooLarge,
    /// WebAssembly, but a plain module.
    #[error(
        "it is a core WebAssembly module; make a component of it with `wasm-tools component new`, or build it for the target wasm32-wasip2"
    )]
    CoreModule,
    /// WebAssembly in text form.
    #[error("it is WebAssembly text; plugins are loaded in binary form only")]
    Text,
    /// Does not begin as WebAssembly does.
    #[error("it is no WebAssembly: it begins with {begin}")]
    OtherFile {
        /// The first bytes, escaped.
        begin: String,
    },
    /// Ends in the middle.
    #[error("it is cut off after {size} bytes")]
    Truncated {
        /// Size of the file in bytes.
        size: usize,
    },
    /// Not well-formed.
    #[error("it is damaged at byte {offset}: {reason}")]
    Malformed {
        /// Where, in bytes from the begin.
        offset: usize,
        /// What the parser says, escaped.
        reason: String,
    },
}

/// Reads what `bytes` says about itself.
///
/// # Errors
/// Where it is not a component.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, NotAComponent> {
    check_kind(bytes)?;
    let mut found = Inspection {
        sha256: hex(&Sha256::digest(bytes)),
        size: bytes.len(),
        roles: Vec::new(),
        exports: Vec::new(),
        imports: Vec::new(),
        wants: Vec::new(),
        unknown: Vec::new(),
        memory_bytes_min: 0,
        sdk: None,
    };
    walk(bytes, &mut found).map_err(|error| {
        if error.message().contains("unexpected end") {
            NotAComponent::Truncated { size: bytes.len() }
        } else {
            let reason = escaped(error.message().as_bytes(), NAME_BYTES_MAX);
            NotAComponent::Malformed {
                offset: error.offset(),
                reason,
            }
        }
    })?;
    let same = |name: &str, wanted: &str| track(name) == track(wanted);
    found.roles = Role::ALL
        .into_iter()
        .filter(|role| any(&found.exports, |e| same(e, role.interface())))
        .collect();
    found.wants = Capability::ALL
        .into_iter()
        .filter(|wanted| any(&found.imports, |import| same(import, wanted.interface())))
        .collect();
    let known = |import: &&String| {
        same(import, TYPES) || Capability::ALL.iter().any(|c| same(import, c.interface()))
    };
    found.unknown = found
        .imports
        .iter()
        .filter(|import| !known(import))
        .cloned()
        .collect();
    Ok(found)
}

/// The shared types: an import of it asks for nothing.
const TYPES: &str = "stockade:types/types@0.1.0";

fn any(names: &[String], wanted: impl Fn(&str) -> bool) -> bool {
    names.iter().any(|name| wanted(name))
}

/// An interface with what of its version has to be equal: wasmtime links `0.1.2` where `0.1.0` is
/// wanted, as semantic versioning says, and not `0.2.0`.
pub(crate) fn track(name: &str) -> (&str, &str) {
    let Some((interface, version)) = name.split_once('@') else {
        return (name, "");
    };
    let mut dots = version.match_indices('.').map(|(at, _)| at);
    let end = if version.starts_with("0.") {
        dots.nth(1)
    } else {
        dots.next()
    };
    (
        interface,
        end.and_then(|end| version.get(..end)).unwrap_or(version),
    )
}

fn check_kind(bytes: &[u8]) -> Result<(), NotAComponent> {
    if bytes.is_empty() {
        return Err(NotAComponent::Empty);
    }
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(NotAComponent::TooLarge);
    }
    if !bytes.starts_with(b"\0asm") {
        if bytes.len() < 4 && b"\0asm".starts_with(bytes) {
            return Err(NotAComponent::Truncated { size: bytes.len() });
        }
        if bytes.trim_ascii_start().starts_with(b"(") {
            return Err(NotAComponent::Text);
        }
        return Err(NotAComponent::OtherFile {
            begin: format!("\"{}\"", escaped(bytes, 16)),
        });
    }
    if bytes.len() < 8 {
        return Err(NotAComponent::Truncated { size: bytes.len() });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(NotAComponent::CoreModule);
    }
    Ok(())
}

fn walk(bytes: &[u8], found: &mut Inspection) -> wasmparser::Result<()> {
    // 0 in the component itself, more in the modules and components inside it.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth = depth.saturating_add(1);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::Version {
                encoding: Encoding::Component | Encoding::Module,
                ..
            } => {}
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found.imports.push(shown(import?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    found.exports.push(shown(export?.name.name));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let bytes = memory?.initial.saturating_mul(PAGE_BYTES);
                    found.memory_bytes_min = found.memory_bytes_min.saturating_add(bytes);
                }
            }
            Payload::CustomSection(section) => {
                if let wasmparser::KnownCustom::Producers(reader) = section.as_known() {
                    // Only a note: a section that cannot be read says nothing.
                    if let Ok(sdk) = sdk(reader) {
                        found.sdk = found.sdk.take().or(sdk);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The entry of `producers` whose name begins with `stockade`.
fn sdk(reader: wasmparser::ProducersSectionReader<'_>) -> wasmparser::Result<Option<String>> {
    for field in reader {
        for value in field?.values {
            let value = value?;
            if value.name.starts_with("stockade") {
                let text = format!("{} {}", value.name, value.version);
                return Ok(Some(shown(&text)));
            }
        }
    }
    Ok(None)
}

fn shown(name: &str) -> String {
    escaped(name.as_bytes(), NAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_wrong_file_is_named() {
        let why = |bytes: &[u8]| inspect(bytes).unwrap_err();
        assert_eq!(why(b""), NotAComponent::Empty);
        assert_eq!(why(b"\0as"), NotAComponent::Truncated { size: 3 });
        assert_eq!(why(b"\0asm\x01\0\0\0"), NotAComponent::CoreModule);
        assert_eq!(why(b"  (component)"), NotAComponent::Text);
        assert!(matches!(
            why(b"\x7fELF\x02"),
            NotAComponent::OtherFile { .. }
        ));
        let component = wat::parse_str("(component (core module (memory 3)))").unwrap();
        assert_eq!(
            inspect(&component).unwrap().memory_bytes_min,
            3 * PAGE_BYTES
        );
        let cut = component.get(..component.len() - 2).unwrap();
        assert_eq!(why(cut), NotAComponent::Truncated { size: cut.len() });
    }

    #[test]
    fn the_sdk_is_read_from_the_producers_section() {
        let module = r#"(component (core module (@producers (sdk "stockade-sdk" "0.1.0"))))"#;
        let found = inspect(&wat::parse_str(module).unwrap()).unwrap();
        assert_eq!(found.sdk.as_deref(), Some("stockade-sdk 0.1.0"));
    }

    #[test]
    fn versions_of_one_track_are_compatible_and_others_are_not() {
        assert_eq!(track("a:b/c@0.1.0"), track("a:b/c@0.1.7"));
        assert_ne!(track("a:b/c@0.1.0"), track("a:b/c@0.2.0"));
        assert_eq!(track("a:b/c@1.2.0"), track("a:b/c@1.3.4"));
        assert_ne!(track("a:b/c@1.2.0"), track("a:b/d@1.2.0"));
    }
}
