//! Trees of our own, for what Debian's does not use.
