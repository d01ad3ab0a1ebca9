//! The one place where bytes become code without being checked by wasmtime.

#![expect(
    unsafe_code,
    reason = "wasmtime cannot check compiled code; see the SAFETY note"
)]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code that this process, its compiling child, or an earlier run of either has made. Only
/// [`crate::compile`] and [`crate::cache`] make one: the first from what it compiled, the second from
/// a file whose authentication code it has verified.
#[derive(Debug)]
pub(crate) struct OwnCode(Vec<u8>);

impl OwnCode {
    /// The caller vouches that `code` is what `Engine::precompile_component` returned, to us.
    pub(crate) fn vouch(code: Vec<u8>) -> Self {
        Self(code)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The component that this code is of.
    ///
    /// # Errors
    /// Where the code is of another version or configuration of wasmtime; that is checked.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` needs bytes that `precompile_component` returned, unchanged. They are
        // such bytes by the construction of `OwnCode`. They are in memory of this process, copied by
        // wasmtime into its own mapping, so nobody can change them between the check and the use, as
        // somebody could with a mapped file (`deserialize_file`).
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
