//! Real programs in namespaces of their own: what the demo and the benchmarks have in common.

pub(crate) mod build;
pub(crate) mod clock;
pub(crate) mod hosts;
pub(crate) mod namespaces;
pub(crate) mod packages;
pub(crate) mod packets;
pub(crate) mod process;
pub(crate) mod stockade;
pub(crate) mod webhook;
