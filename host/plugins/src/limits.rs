//! What a plugin may use at the most.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::budget::CallLimit;
use crate::role::Role;

/// The size of a component; Python's runtime alone needs about this much.
pub const COMPONENT_BYTES_MAX: usize = 32 << 20;

/// Bounds of one plugin. [`Limits::of`] has the defaults; an operator can change them up to the
/// ceilings, where [`Limits::clamped`] puts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories together, in bytes.
    pub memory_bytes_max: usize,
    /// One call of `evaluate`, `apply`, `revoke`, `reconcile` or `probe`.
    pub call: CallLimit,
    /// Making the instance and calling `configure`.
    pub configure: CallLimit,
    /// What the host copies out of the plugin in one call, in bytes ("hostcall fuel").
    pub copied_bytes_max: usize,
}

/// Elements of all tables together: function pointers of a large program, 16 bytes each.
const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Core instances, memories and tables; `wit-component` makes three or four of a plain program.
const CORE_OBJECTS_MAX: usize = 10;
/// 256 lines in 50 ms are 200 µs a line, a thousand times what a filter needs.
const FILTER_CPU: Duration = Duration::from_millis(50);
/// Only a machine without a turn for us for this long, or a waiting host function, gets here.
const FILTER_WALL: Duration = Duration::from_secs(2);
/// Building a request takes microseconds; this leaves room for slow languages.
const ACTION_CPU: Duration = Duration::from_millis(500);
/// Three requests that each time out.
const ACTION_WALL: Duration = Duration::from_secs(30);

impl Limits {
    /// An operator may give this much memory (bytes).
    pub const MEMORY_CEILING: usize = 256 << 20;
    /// Longer than this in one call would hold up lines or bans for good.
    pub const CPU_CEILING: Duration = Duration::from_secs(10);
    /// As for [`Limits::CPU_CEILING`], waiting included.
    pub const WALL_CEILING: Duration = Duration::from_secs(300);
    /// As much as wasmtime allows by default (bytes).
    pub const COPIED_CEILING: usize = 128 << 20;

    /// The defaults for `role`.
    #[must_use]
    pub const fn of(role: Role) -> Self {
        match role {
            Role::Filter => Self {
                memory_bytes_max: 32 << 20,
                call: CallLimit {
                    cpu: FILTER_CPU,
                    wall: FILTER_WALL,
                },
                configure: configure(Duration::from_secs(2)),
                copied_bytes_max: 1 << 20,
            },
            Role::Action => Self {
                memory_bytes_max: 64 << 20,
                call: CallLimit {
                    cpu: ACTION_CPU,
                    wall: ACTION_WALL,
                },
                configure: configure(Duration::from_secs(5)),
                copied_bytes_max: 4 << 20,
            },
        }
    }

    /// These limits, none above its ceiling.
    #[must_use]
    pub fn clamped(self) -> Self {
        let call = |limit: CallLimit| CallLimit {
            cpu: limit.cpu.min(Self::CPU_CEILING),
            wall: limit.wall.min(Self::WALL_CEILING),
        };
        Self {
            memory_bytes_max: self.memory_bytes_max.min(Self::MEMORY_CEILING),
            call: call(self.call),
            configure: call(self.configure),
            copied_bytes_max: self.copied_bytes_max.min(Self::COPIED_CEILING),
        }
    }
}

/// `cpu` for the plugin's code and, on a machine that is busy, ten times that in all.
const fn configure(cpu: Duration) -> CallLimit {
    CallLimit {
        cpu,
        wall: cpu.saturating_mul(10),
    }
}

/// The plugin wanted more than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResourceOverrun {
    /// More linear memory.
    #[error("wanted more than {} KiB of memory", .bytes_max >> 10)]
    Memory {
        /// What it may have.
        bytes_max: usize,
    },
    /// More table elements.
    #[error("wanted more than {TABLE_ELEMENTS_MAX} table elements")]
    Table,
}

/// Counts what the memories and tables of one store hold. Growing past the limit is a trap and not a
/// failed `memory.grow`, since most programs only abort on that, and without a reason.
#[derive(Debug)]
pub(crate) struct Meter {
    bytes_max: usize,
    bytes: usize,
    elements: usize,
}

impl Meter {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            elements: 0,
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.bytes.saturating_add(desired.saturating_sub(current));
        if total > self.bytes_max {
            return Err(ResourceOverrun::Memory {
                bytes_max: self.bytes_max,
            }
            .into());
        }
        self.bytes = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS_MAX {
            return Err(ResourceOverrun::Table.into());
        }
        self.elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_OBJECTS_MAX
    }

    fn tables(&self) -> usize {
        CORE_OBJECTS_MAX
    }

    fn memories(&self) -> usize {
        CORE_OBJECTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together() {
        let mut meter = Meter::new(4 << 16);
        assert!(meter.memory_growing(0, 2 << 16, None).unwrap());
        assert!(meter.memory_growing(0, 1 << 16, None).unwrap());
        assert!(meter.memory_growing(2 << 16, 4 << 16, None).is_err());
        assert!(meter.memory_growing(1 << 16, 2 << 16, None).unwrap());
    }

    #[test]
    fn an_operator_cannot_pass_the_ceilings() {
        let mut limits = Limits::of(Role::Filter);
        limits.memory_bytes_max = usize::MAX;
        limits.call.cpu = Duration::MAX;
        let limits = limits.clamped();
        assert_eq!(limits.memory_bytes_max, Limits::MEMORY_CEILING);
        assert_eq!(limits.call.cpu, Limits::CPU_CEILING);
        assert_eq!(limits.call.wall, FILTER_WALL);
    }
}
