//! What is counted and banned.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// What a failure is counted for and what is banned: an address, a network, or another text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureId {
    /// One address, in canonical form (an IPv4-mapped IPv6 address is the IPv4 address).
    Addr(IpAddr),
    /// A network with its host bits cleared, shorter than a single address.
    Subnet(IpNet),
    /// Anything else, such as a user or a session; no firewall can ban it, an action can.
    Text(Arc<str>),
}

impl FailureId {
    /// The id of `addr`, made canonical.
    #[must_use]
    pub fn from_addr(addr: IpAddr) -> Self {
        Self::Addr(canonical(addr))
    }

    /// The id of `net`: its host bits are cleared, a network of one address is that address, and a
    /// network of IPv4-mapped addresses is the IPv4 network.
    #[must_use]
    pub fn from_net(net: IpNet) -> Self {
        let net = canonical_net(net);
        if net.prefix_len() == net.max_prefix_len() {
            Self::from_addr(net.addr())
        } else {
            Self::Subnet(net.trunc())
        }
    }

    /// The id in the form that [`FailureId::from_addr`] and [`FailureId::from_net`] give it.
    #[must_use]
    pub fn canonical(self) -> Self {
        match self {
            Self::Addr(addr) => Self::from_addr(addr),
            Self::Subnet(net) => Self::from_net(net),
            Self::Text(text) => Self::Text(text),
        }
    }

    /// Reads an address, a network or, where it is neither, a text.
    ///
    /// This is the form in which ids are shown, stored and typed by operators.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Ok(addr) = text.parse::<IpAddr>() {
            return Self::from_addr(addr);
        }
        match text.parse::<IpNet>() {
            Ok(net) => Self::from_net(net),
            Err(_) => Self::Text(text.into()),
        }
    }

    /// The network that a firewall has to drop, or `None` for a text.
    #[must_use]
    pub fn network(&self) -> Option<IpNet> {
        match self {
            Self::Addr(addr) => Some(IpNet::from(*addr)),
            Self::Subnet(net) => Some(*net),
            Self::Text(_) => None,
        }
    }
}

impl Hash for FailureId {
    /// Feeds an IPv4 address as one word and all else as a word that begins with its kind: every
    /// failure is looked up several times, and derived code would feed a keyed hasher in small bits.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let head = |kind: u64, len: u8| kind << 40 | u64::from(len) << 32;
        match self {
            Self::Addr(IpAddr::V4(addr)) => state.write_u64(head(0, 0) | u64::from(addr.to_bits())),
            Self::Addr(IpAddr::V6(addr)) => {
                state.write_u64(head(1, 0));
                state.write_u128(addr.to_bits());
            }
            Self::Subnet(IpNet::V4(net)) => {
                state.write_u64(head(2, net.prefix_len()) | u64::from(net.addr().to_bits()));
            }
            Self::Subnet(IpNet::V6(net)) => {
                state.write_u64(head(3, net.prefix_len()));
                state.write_u128(net.addr().to_bits());
            }
            Self::Text(text) => {
                state.write_u64(head(4, 0));
                text.hash(state);
            }
        }
    }
}

impl fmt::Display for FailureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Subnet(net) => net.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// `addr`, or the IPv4 address where it is an IPv4-mapped one (`::ffff:192.0.2.1`, RFC 4291 2.5.5.2).
#[must_use]
pub fn canonical(addr: IpAddr) -> IpAddr {
    addr.to_canonical()
}

/// `net`, or the IPv4 network where all its addresses are IPv4-mapped.
fn canonical_net(net: IpNet) -> IpNet {
    let mapped = match canonical(net.network()) {
        IpAddr::V4(addr) if matches!(net, IpNet::V6(_)) => Some(addr),
        _ => None,
    };
    let len = net.prefix_len().checked_sub(IPV4_MAPPED_PREFIX);
    mapped
        .zip(len)
        .and_then(|(addr, len)| IpNet::new(IpAddr::V4(addr), len).ok())
        .unwrap_or(net)
}

/// Length of the prefix that IPv4-mapped addresses share (RFC 4291 2.5.5.2).
const IPV4_MAPPED_PREFIX: u8 = 96;

/// Reads an address from the bytes of a log line, made canonical.
///
/// # Errors
/// Where the bytes are not an IPv4 or IPv6 address in text form.
pub fn parse_addr(text: &[u8]) -> Result<IpAddr, AddrParseError> {
    let text = std::str::from_utf8(text).map_err(|_| AddrParseError)?;
    text.parse().map(canonical).map_err(|_| AddrParseError)
}

/// The text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address")]
pub struct AddrParseError;

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address() {
        assert_eq!(
            FailureId::parse("::ffff:192.0.2.1"),
            FailureId::parse("192.0.2.1")
        );
        assert_eq!(parse_addr(b"::ffff:192.0.2.1"), parse_addr(b"192.0.2.1"));
    }

    #[test]
    fn a_network_of_ipv4_mapped_addresses_is_the_ipv4_network() {
        for (mapped, plain) in [
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.7/128", "192.0.2.7"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(FailureId::parse(mapped), FailureId::parse(plain));
        }
        assert_eq!(FailureId::parse("::/80").to_string(), "::/80");
    }

    #[test]
    fn a_network_of_one_address_is_that_address() {
        assert_eq!(
            FailureId::parse("192.0.2.1/32"),
            FailureId::parse("192.0.2.1")
        );
        assert_eq!(
            FailureId::parse("2001:db8::1/64").to_string(),
            "2001:db8::/64"
        );
    }

    #[test]
    fn ids_that_differ_in_kind_or_length_alone_hash_differently() {
        let texts = [
            "0.0.0.4",
            "::4",
            "0.0.0.4/31",
            "0.0.0.4/30",
            "::4/127",
            "::4/126",
            "4",
        ];
        let hasher = std::collections::hash_map::RandomState::new();
        let mut hashes = texts
            .map(|text| hasher.hash_one(FailureId::parse(text)))
            .to_vec();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn what_is_no_address_is_a_text() {
        assert_eq!(FailureId::parse("alice").network(), None);
        assert!(parse_addr(b"192.0.2.1 ").is_err());
        assert!(parse_addr(b"\xff").is_err());
    }
}
