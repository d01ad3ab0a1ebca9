//! Who is never banned because this host or its administrators need them: found out by looking, and
//! handed to the decider.

mod resolvers;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use stockade_config::{Admin, FirewallSettings, NeverBan};
use stockade_control::ProtectedStatus;
use stockade_core::{IgnoreSet, Protected};

use crate::{clock, ssh};

/// How often is looked while nothing happens: a ban of somebody who has logged in from the banned address
/// meanwhile is lifted so soon. A look reads a few hundred small files of the kernel, some milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How old the last look may be when a ban is about to be made: so many times as long as it took, so that
/// looking costs at most a twentieth of the time in a flood of bans,
const FRESH_TIMES: u32 = 20;

/// but never longer than this, which is shorter than it takes to log in and then to fail often enough.
const FRESH_MAX: Duration = Duration::from_millis(500);

/// What is known of whom this host and its administrators need.
#[derive(Debug)]
pub(super) struct Protection {
    kinds: BTreeSet<NeverBan>,
    admins: Vec<Admin>,
    gateways: Vec<IpAddr>,
    resolvers: Vec<IpAddr>,
    ssh_sessions: Vec<IpAddr>,
    looked: Option<Instant>,
    /// How long the last look took.
    took: Duration,
    /// Why sessions cannot be seen.
    blind: Option<String>,
}

impl Protection {
    /// Knows nobody yet.
    pub(super) fn new(settings: &FirewallSettings) -> Self {
        Self {
            kinds: settings.never_ban.clone(),
            admins: settings.admins.clone(),
            gateways: Vec::new(),
            resolvers: Vec::new(),
            ssh_sessions: Vec::new(),
            looked: None,
            took: Duration::ZERO,
            blind: None,
        }
    }

    /// Goes over to other settings; to be followed by a look.
    pub(super) fn configure(&mut self, settings: &FirewallSettings) {
        self.kinds.clone_from(&settings.never_ban);
        self.admins.clone_from(&settings.admins);
        self.looked = None;
    }

    /// Takes in the default gateways; to be followed by [`Protection::protected`].
    pub(super) fn set_gateways(&mut self, gateways: Vec<IpAddr>) {
        self.gateways = gateways;
    }

    /// Whether the last look is too old to ban by.
    pub(super) fn is_stale(&self) -> bool {
        let fresh = self.took.saturating_mul(FRESH_TIMES).min(FRESH_MAX);
        self.age().is_none_or(|age| age > fresh)
    }

    /// How long until the next look is due.
    pub(super) fn next_look(&self) -> Duration {
        self.age()
            .map_or(Duration::ZERO, |age| LOOK_EVERY.saturating_sub(age))
    }

    fn age(&self) -> Option<Duration> {
        let now = clock::instant();
        self.looked.map(|at| now.saturating_duration_since(at))
    }

    /// Looks for resolvers and sessions, and tells the log what has changed.
    pub(super) fn look(&mut self) {
        let begin = clock::instant();
        self.find();
        let end = clock::instant();
        self.took = end.saturating_duration_since(begin);
        self.looked = Some(end);
        tracing::trace!("looked who is protected, in {} us", self.took.as_micros());
    }

    fn find(&mut self) {
        let resolvers = self.wants(NeverBan::Resolvers, resolvers::look);
        if resolvers != self.resolvers {
            tracing::info!("never banned as name servers: {}", listed(&resolvers));
            self.resolvers = resolvers;
        }
        let admins = &self.admins;
        let found = self.wants(NeverBan::SshSessions, || ssh::look(admins));
        if found.blind != self.blind {
            if let Some(why) = &found.blind {
                tracing::warn!("ssh sessions of administrators are not protected: {why}");
            }
            self.blind = found.blind;
        }
        if found.peers != self.ssh_sessions {
            let peers = listed(&found.peers);
            tracing::info!("never banned while administrators work from there by ssh: {peers}");
            self.ssh_sessions = found.peers;
        }
    }

    fn wants<T: Default>(&self, kind: NeverBan, look: impl FnOnce() -> T) -> T {
        if self.kinds.contains(&kind) {
            look()
        } else {
            T::default()
        }
    }

    /// The default gateways, where they are wanted.
    fn gateways(&self) -> Vec<IpAddr> {
        self.wants(NeverBan::Gateway, || self.gateways.clone())
    }

    /// For the decider.
    pub(super) fn protected(&self) -> Protected {
        let set = |addrs: &[IpAddr]| IgnoreSet::from_addrs(addrs.iter().copied());
        Protected {
            gateways: set(&self.gateways()),
            resolvers: set(&self.resolvers),
            ssh_sessions: set(&self.ssh_sessions),
        }
    }

    /// For the operator.
    pub(super) fn status(&self) -> ProtectedStatus {
        let texts = |addrs: &[IpAddr]| addrs.iter().map(IpAddr::to_string).collect();
        ProtectedStatus {
            gateways: texts(&self.gateways()),
            resolvers: texts(&self.resolvers),
            ssh_sessions: texts(&self.ssh_sessions),
            message: self
                .blind
                .as_ref()
                .map(|why| format!("ssh sessions of administrators are not protected: {why}")),
        }
    }
}

/// Addresses one behind the other; `nobody` where there is none.
pub(super) fn listed(addrs: &[IpAddr]) -> String {
    if addrs.is_empty() {
        return "nobody".to_owned();
    }
    let texts: Vec<String> = addrs.iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}
