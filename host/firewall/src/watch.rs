//! Noticing that somebody else changed our rules.

use std::fmt;
use std::time::Duration;

use crate::FirewallError;

/// Waits for changes that others make to our rules; on another thread than the one that makes changes.
pub trait Watch: fmt::Debug + Send {
    /// Waits until somebody else changes our rules, or until `timeout` is over.
    ///
    /// Changes that have come in since the last call are reported at once, all of them by one
    /// [`Seen::Changed`].
    ///
    /// # Errors
    /// Where nothing can be heard any more; reconciling on a timer still finds changes.
    fn wait(&mut self, timeout: Duration) -> Result<Seen, FirewallError>;
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Seen {
    /// Somebody else changed our rules, or may have: look with [`crate::Firewall::probe`] and
    /// reconcile.
    Changed,
    /// Nothing of concern so far. The wait may have been shorter than asked for.
    Quiet,
}
