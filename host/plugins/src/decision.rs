//! A ban as an action sees it.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use stockade_core::{Ban, FailureId, IpNet, JailName, Timestamp};

use crate::bindings::exports::stockade::action::action as wit;
use crate::bindings::stockade::types::types::{IpAddress, Network};
use crate::escape::hex;

/// Bytes of a key; see `wit/action`.
const KEY_BYTES_MAX: usize = 384;

/// One ban, named for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    key: String,
    jail: JailName,
    subject: FailureId,
    at: Timestamp,
    until: Option<Timestamp>,
    failures: u32,
    bancount: u32,
    matches: Vec<String>,
}

impl Decision {
    /// The decision about `ban`, with the lines that led to it, newest last. What is not UTF-8 in them
    /// is replaced by U+FFFD.
    #[must_use]
    pub fn new<'a>(ban: &Ban, matches: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            key: key(ban),
            jail: ban.jail.clone(),
            subject: ban.id.clone(),
            at: ban.at,
            until: ban.until,
            failures: ban.failures,
            bancount: ban.bancount,
            matches: matches
                .into_iter()
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect(),
        }
    }

    /// Names the ban: the same in every call about it, and after a restart.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The jail that bans.
    #[must_use]
    pub fn jail(&self) -> &JailName {
        &self.jail
    }

    /// Who is banned.
    #[must_use]
    pub fn subject(&self) -> &FailureId {
        &self.subject
    }

    /// When the ban began.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// When it ends; `None` for never.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// How many failures led to it.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Which ban of this id it is; the first is 1.
    #[must_use]
    pub fn bancount(&self) -> u32 {
        self.bancount
    }

    /// The lines that led to it, newest last.
    #[must_use]
    pub fn matches(&self) -> &[String] {
        &self.matches
    }

    pub(crate) fn to_wit(&self) -> wit::Decision {
        wit::Decision {
            key: self.key.clone(),
            jail: self.jail.to_string(),
            subject: subject(&self.subject),
            at: micros(self.at),
            until: self.until.map(micros),
            failures: self.failures,
            bancount: self.bancount,
            matches: self.matches.clone(),
        }
    }
}

/// Jail, id and begin: a jail does not ban an id twice at once.
fn key(ban: &Ban) -> String {
    let Ban { jail, id, at, .. } = ban;
    let key = format!("{jail}/{id}/{}", at.as_micros());
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let digest = hex(&Sha256::digest(id.to_string()));
    format!("{jail}/sha256:{digest}/{}", at.as_micros())
}

fn micros(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(0)
}

fn subject(id: &FailureId) -> wit::Subject {
    match id {
        FailureId::Addr(addr) => wit::Subject::Network(network(IpNet::from(*addr))),
        FailureId::Subnet(net) => wit::Subject::Network(network(*net)),
        FailureId::Text(text) => wit::Subject::Text(text.to_string()),
    }
}

fn network(net: IpNet) -> Network {
    let address = match net.network() {
        IpAddr::V4(addr) => IpAddress::Ipv4(addr.to_bits()),
        IpAddr::V6(addr) => {
            let [high, low] = halves(addr.to_bits());
            IpAddress::Ipv6((high, low))
        }
    };
    Network {
        address,
        prefix: net.prefix_len(),
    }
}

/// The upper and the lower 64 bits.
fn halves(bits: u128) -> [u64; 2] {
    [bits >> 64, bits & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(id: &str) -> Ban {
        Ban {
            jail: JailName::try_new("sshd").unwrap(),
            id: FailureId::parse(id),
            at: Timestamp::from_secs(1),
            until: None,
            failures: 5,
            bancount: 1,
        }
    }

    #[test]
    fn a_key_is_stable_and_never_too_long() {
        let key = |id: &str| Decision::new(&ban(id), []).key().to_owned();
        assert_eq!(key("192.0.2.1"), "sshd/192.0.2.1/1000000");
        let long = key(&"x".repeat(1000));
        assert!(
            long.starts_with("sshd/sha256:") && long.len() <= KEY_BYTES_MAX,
            "{long}"
        );
    }

    #[test]
    fn networks_keep_their_prefix_and_lines_become_text() {
        let decision = Decision::new(&ban("2001:db8::/64"), [b"a\xffb".as_slice()]).to_wit();
        assert_eq!(decision.matches, ["a\u{fffd}b"]);
        let wit::Subject::Network(network) = decision.subject else {
            panic!("no network")
        };
        assert_eq!(network.prefix, 64);
        let IpAddress::Ipv6((high, low)) = network.address else {
            panic!("no IPv6")
        };
        assert_eq!((high, low), (0x2001_0db8_0000_0000, 0));
    }
}
