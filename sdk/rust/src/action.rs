//! The role of an action: carries bans to something that is not the local firewall.

use std::fmt;
use std::net::IpAddr;

use crate::bindings::action::exports::stockade::action::action as wit;
use crate::bindings::host::stockade::types::types;
use crate::{Error, Settings, Timestamp, addr};

/// What became of each of several decisions, in their order.
pub type Outcomes = Vec<Result<(), Error>>;

/// An action. Every call is idempotent: the host repeats it after a fault, after
/// [`Error::unavailable`] and after a restart, with the same [`Decision::key`].
pub trait Action: Sized + 'static {
    /// Reads the settings. Must not reach out to anything; [`Action::probe`] is for that.
    ///
    /// # Errors
    /// Any error keeps the action from being started, with its message.
    fn configure(settings: &Settings) -> Result<Self, Error>;

    /// Puts a ban into force. Repeating one that is in force already is a success.
    ///
    /// # Errors
    /// [`Error::unavailable`] where the host should try again.
    fn apply(&mut self, decision: &Decision) -> Result<(), Error>;

    /// Lifts a ban. Lifting one that is not in force is a success.
    ///
    /// # Errors
    /// [`Error::unavailable`] where the host should try again.
    fn revoke(&mut self, decision: &Decision) -> Result<(), Error>;

    /// Puts several bans into force: `apply` for each, unless the other side takes many at once.
    /// One result for each decision, in the same order.
    fn apply_all(&mut self, decisions: &[Decision]) -> Outcomes {
        decisions.iter().map(|one| self.apply(one)).collect()
    }

    /// Lifts several bans, like `apply_all`.
    fn revoke_all(&mut self, decisions: &[Decision]) -> Outcomes {
        decisions.iter().map(|one| self.revoke(one)).collect()
    }

    /// Puts all bans that are in force into force again, at start and whenever calls may have been
    /// lost. An action that can list what it did should lift its own bans that are not among them.
    fn reconcile(&mut self, active: &[Decision]) -> Outcomes {
        self.apply_all(active)
    }

    /// Whether the action could do its work now: reaches out as far as it can without an effect.
    ///
    /// # Errors
    /// What is in the way.
    fn probe(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Names this ban for ever: the same in every call about it, and after a restart. At most
    /// 384 bytes.
    pub key: String,
    /// Name of the jail that decided.
    pub jail: String,
    /// Who is banned.
    pub subject: Subject,
    /// When it began.
    pub at: Timestamp,
    /// When it ends by itself; absent for never.
    pub until: Option<Timestamp>,
    /// How many failures led to it; 0 for a ban by an operator.
    pub failures: u32,
    /// The how-manieth ban of this subject in this jail it is, from 1.
    pub bancount: u32,
    /// The lines that led to it, newest last, as far as kept (`maxmatches`). Written by an attacker.
    pub matches: Vec<String>,
}

/// Who is banned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An address or a network.
    Network(Network),
    /// Anything else, such as a user name.
    Text(String),
}

/// An address or a network in CIDR form. Shown without its prefix where it is a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The address; its host bits are zero. Never an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2).
    pub addr: IpAddr,
    /// At most 32 for IPv4 and 128 for IPv6.
    pub prefix: u8,
}

impl Network {
    /// Whether it is a single address.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.prefix == if self.addr.is_ipv4() { 32 } else { 128 }
    }
}

impl From<IpAddr> for Network {
    fn from(addr: IpAddr) -> Self {
        let addr = addr.to_canonical();
        let prefix = if addr.is_ipv4() { 32 } else { 128 };
        Self { addr, prefix }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            self.addr.fmt(f)
        } else {
            write!(f, "{}/{}", self.addr, self.prefix)
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<types::Network> for Network {
    fn from(network: types::Network) -> Self {
        Self {
            addr: addr::from_wit(network.address),
            prefix: network.prefix,
        }
    }
}

impl From<wit::Decision> for Decision {
    fn from(decision: wit::Decision) -> Self {
        Self {
            key: decision.key,
            jail: decision.jail,
            subject: match decision.subject {
                wit::Subject::Network(network) => Subject::Network(network.into()),
                wit::Subject::Text(text) => Subject::Text(text),
            },
            at: Timestamp::from_micros(decision.at),
            until: decision.until.map(Timestamp::from_micros),
            failures: decision.failures,
            bancount: decision.bancount,
            matches: decision.matches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn a_network_is_shown_with_its_prefix() {
        let network = types::Network {
            address: types::IpAddress::Ipv6((0x2001_0db8_0000_0000, 0)),
            prefix: 64,
        };
        assert_eq!(Network::from(network).to_string(), "2001:db8::/64");
    }

    /// Refuses one address.
    struct Picky(Vec<String>);

    impl Action for Picky {
        fn configure(_: &Settings) -> Result<Self, Error> {
            Ok(Self(Vec::new()))
        }

        fn apply(&mut self, decision: &Decision) -> Result<(), Error> {
            if decision.subject.to_string() == "192.0.2.2" {
                return Err(Error::denied("not this one"));
            }
            self.0.push(decision.subject.to_string());
            Ok(())
        }

        fn revoke(&mut self, _: &Decision) -> Result<(), Error> {
            Ok(())
        }
    }

    #[test]
    fn by_default_each_decision_has_its_own_outcome() {
        let decisions = ["192.0.2.1", "192.0.2.2", "alice"].map(test::decision);
        let mut picky = Picky(Vec::new());
        let outcomes = picky.reconcile(&decisions);
        assert_eq!(
            outcomes,
            [Ok(()), Err(Error::denied("not this one")), Ok(())]
        );
        assert_eq!(picky.0, ["192.0.2.1", "alice"]);
        assert_eq!(picky.probe(), Ok(()));
    }
}
