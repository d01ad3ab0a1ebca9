//! What a plugin does.

use std::fmt;

/// What a plugin does for stockade; each is one interface that a component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Recognises failures in log lines.
    Filter,
    /// Carries bans to something that is not the local firewall.
    Action,
}

impl Role {
    /// All roles that this version offers.
    pub const ALL: [Self; 2] = [Self::Filter, Self::Action];

    /// The interface that a component of this role exports.
    #[must_use]
    pub fn interface(self) -> &'static str {
        match self {
            Self::Filter => "stockade:filter/filter@0.1.0",
            Self::Action => "stockade:action/action@0.1.0",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filter => "filter",
            Self::Action => "action",
        })
    }
}
