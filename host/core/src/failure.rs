//! What detection hands to decision.

use std::ops::Range;
use std::sync::Arc;

use crate::{FailureId, JailName, Timestamp};

/// The failures that one jail found in one chunk of a log, in the order of their lines.
#[derive(Clone, Debug)]
pub struct Failures {
    /// The jail whose filter matched.
    pub jail: JailName,
    /// The bytes of the chunk; the spans of the failures point into it.
    pub text: Arc<[u8]>,
    /// At least one; shared by the jails that have the same filter.
    pub items: Arc<[Failure]>,
}

/// One matched line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whom it is counted for.
    pub id: FailureId,
    /// When it happened: the line's own date, or the time it was read where it has none.
    pub at: Timestamp,
    /// The line in the chunk, without its line end.
    pub line: Span,
    /// The user name in the chunk, where the filter found one.
    pub user: Option<Span>,
}

/// A part of a buffer: byte offsets, end not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte; never less than `start`.
    pub end: u32,
}

impl Span {
    /// The bytes of this span in `buffer`; empty where it does not fit.
    #[must_use]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.range()).unwrap_or_default()
    }

    /// The span as a range for indexing.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        // u32 to usize cannot lose anything on the targets that wasmtime supports.
        self.start as usize..self.end as usize
    }
}
