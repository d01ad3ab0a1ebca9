//! What can go wrong in a call.

use std::fmt;

use wasmtime::{Trap, WasmBacktrace};

use crate::budget::Overrun;
use crate::escape::escaped;
use crate::limits::ResourceOverrun;

/// Longest message of a fault that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 512;

/// A call into a plugin did not end as the contract says. Its instance is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which bound or rule was broken.
    pub kind: FaultKind,
    /// One escaped line for the operator and the plugin's author.
    pub message: String,
}

/// Which bound or rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The plugin's code trapped, by a panic or an access out of bounds.
    Trap,
    /// It took more time than it has.
    Deadline,
    /// It wanted more memory or table elements than it has.
    Memory,
    /// It recursed deeper than its stack.
    Stack,
    /// It answered with more than the host copies.
    TooLarge,
    /// Its answer breaks the contract.
    Answer,
    /// It could not be started again, or not as before.
    Restart,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Fault {
    /// An answer that breaks the contract; `message` says how.
    pub(crate) fn answer(message: String) -> Self {
        Self {
            kind: FaultKind::Answer,
            message,
        }
    }
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        if let Some(overrun) = error.downcast_ref::<Overrun>() {
            return Self {
                kind: FaultKind::Deadline,
                message: overrun.to_string(),
            };
        }
        if let Some(overrun) = error.downcast_ref::<ResourceOverrun>() {
            return Self {
                kind: FaultKind::Memory,
                message: overrun.to_string(),
            };
        }
        // The cause, and not the stack that wasmtime puts around it.
        let text = error.root_cause().to_string();
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => FaultKind::Stack,
            // wasmtime has no type for this one; the text only decides how the fault is called.
            None if text.contains("fuel allocated for hostcalls") => FaultKind::TooLarge,
            _ => FaultKind::Trap,
        };
        let function = error.downcast_ref::<WasmBacktrace>().and_then(|stack| {
            let innermost = stack.frames().first()?;
            innermost.func_name().map(|name| format!(" in {name}"))
        });
        let text = text + &function.unwrap_or_default();
        Self {
            kind,
            message: escaped(text.as_bytes(), MESSAGE_BYTES_MAX),
        }
    }
}
