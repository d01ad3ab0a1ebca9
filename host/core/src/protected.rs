//! Who is never banned by any jail, whatever its rules: whom a ban would cut this host off from, or who
//! works on it right now.

use crate::{FailureId, IgnoreReason, IgnoreSet};

/// Addresses that no jail bans. They change by themselves, and the shell hands them in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    /// The routers that packets to elsewhere go to.
    pub gateways: IgnoreSet,
    /// The name servers that this host asks.
    pub resolvers: IgnoreSet,
    /// The other ends of interactive ssh sessions of administrators.
    pub ssh_sessions: IgnoreSet,
}

/// All that holds for every jail about who is never banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NeverBanned {
    /// The addresses of this host, for jails with `ignoreself`.
    pub(crate) own: IgnoreSet,
    pub(crate) protected: Protected,
}

impl Protected {
    /// Why `id` is never banned, if so.
    pub(crate) fn reason(&self, id: &FailureId) -> Option<IgnoreReason> {
        let sets = [
            (&self.ssh_sessions, IgnoreReason::SshSession),
            (&self.gateways, IgnoreReason::Gateway),
            (&self.resolvers, IgnoreReason::Resolver),
        ];
        let hit = sets.into_iter().find(|(set, _)| set.touches(id));
        hit.map(|(_, reason)| reason)
    }
}
