//! Whom a line is about.

use std::net::IpAddr;

use stockade_core::{FailureId, IpNet};

use super::fields::{CIDR, DNS, FID, IP4, IP6};
use crate::source::HostNames;

/// Whom a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// An address, or a network that is shorter than one.
    Net(IpAddr, Option<u8>),
    /// Any text that the pattern calls the id.
    Text(String),
    /// A host name, which stands for the addresses it has.
    Name(String),
    /// What a tag for addresses matched and is none (`999.1.1.1`): nobody.
    NoAddress(String),
    /// A host name where names count for nothing: nobody.
    Refused,
}

impl Identity {
    /// As fail2ban shows it; `None` where it has no failure.
    pub(crate) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Net(addr, None) => addr.to_string(),
            Self::Net(addr, Some(len)) => format!("{addr}/{len}"),
            Self::Text(text) | Self::Name(text) | Self::NoAddress(text) => text.clone(),
            Self::Refused => return None,
        })
    }

    /// What a failure is counted for, where that is known without asking.
    pub(crate) fn id(&self) -> Option<FailureId> {
        match self {
            Self::Net(addr, None) => Some(FailureId::from_addr(*addr)),
            Self::Net(addr, Some(len)) => IpNet::new(*addr, *len).ok().map(FailureId::from_net),
            Self::Text(text) => match FailureId::parse(text) {
                // The whole net: no line can mean that everybody is to be banned.
                FailureId::Subnet(net) if net.prefix_len() == 0 => None,
                id => Some(id),
            },
            Self::Name(_) | Self::NoAddress(_) | Self::Refused => None,
        }
    }
}

/// Reads the id from the fields that `get` gives; `None` where there is none. The order is
/// fail2ban's: an id that is said to be one, then IPv4, IPv6 and a name.
pub(super) fn identify<'f>(
    get: impl Fn(usize) -> Option<&'f str>,
    host_names: HostNames,
) -> Option<Identity> {
    let fid = get(FID);
    let addr = get(IP4).or_else(|| get(IP6));
    if let Some(text) = addr {
        return Some(match fid {
            Some(fid) if fid != text => free(fid, host_names),
            _ => address(text, get(CIDR)),
        });
    }
    match (get(DNS), fid) {
        (None, fid) => fid.map(|fid| free(fid, host_names)),
        (Some(name), Some(fid)) if host_names == HostNames::Raw && fid != name => {
            Some(free(fid, host_names))
        }
        (Some(name), _) => Some(host(name, host_names)),
    }
}

/// The text of a tag for addresses.
fn address(text: &str, cidr: Option<&str>) -> Identity {
    let Ok(addr) = text.parse::<IpAddr>() else {
        return Identity::NoAddress(text.to_owned());
    };
    let Some(cidr) = cidr.filter(|cidr| !cidr.is_empty()) else {
        return Identity::Net(addr.to_canonical(), None);
    };
    match cidr.parse::<u8>().map(|len| (len, IpNet::new(addr, len))) {
        // The whole net; see `id`.
        Ok((0, _)) => Identity::NoAddress(text.to_owned()),
        Ok((len, Ok(net))) if len < net.max_prefix_len() => {
            Identity::Net(net.trunc().addr(), Some(len))
        }
        _ => Identity::Net(addr, None),
    }
}

/// The text of `<F-ID>`.
fn free(text: &str, host_names: HostNames) -> Identity {
    if host_names == HostNames::Raw {
        return Identity::Text(text.to_owned());
    }
    let inside = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let plain = inside.filter(|inside| !inside.is_empty()).unwrap_or(text);
    match FailureId::parse(plain) {
        FailureId::Addr(addr) => Identity::Net(addr, None),
        FailureId::Subnet(net) if net.prefix_len() > 0 => {
            Identity::Net(net.addr(), Some(net.prefix_len()))
        }
        FailureId::Subnet(_) | FailureId::Text(_) => Identity::Text(text.to_owned()),
    }
}

/// The text of a tag for host names.
fn host(name: &str, host_names: HostNames) -> Identity {
    match (host_names, name.parse::<IpAddr>()) {
        (HostNames::Raw, _) => Identity::Text(name.to_owned()),
        (_, Ok(addr)) => Identity::Net(addr.to_canonical(), None),
        (HostNames::Resolve, Err(_)) => Identity::Name(name.to_owned()),
        (HostNames::Refuse, Err(_)) => Identity::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(usize, &str)], host_names: HostNames, expected: Option<&str>) {
        let get = |place| {
            let found = fields.iter().find(|(own, _)| *own == place);
            found.map(|(_, text)| *text)
        };
        let identity = identify(get, host_names);
        assert_eq!(identity.and_then(|id| id.text()).as_deref(), expected);
    }

    #[test]
    fn an_id_is_preferred_to_addresses_and_these_to_names() {
        use HostNames::{Raw, Refuse, Resolve};
        check(&[(FID, "x"), (IP4, "192.0.2.1")], Refuse, Some("x"));
        check(
            &[(IP6, "2001:DB8::1"), (DNS, "a")],
            Refuse,
            Some("2001:db8::1"),
        );
        check(
            &[(IP4, "192.0.2.1"), (FID, "192.0.2.1")],
            Raw,
            Some("192.0.2.1"),
        );
        check(&[(DNS, "a.example")], Resolve, Some("a.example"));
        check(&[(DNS, "a.example")], Raw, Some("a.example"));
        check(&[(DNS, "a.example")], Refuse, None);
        check(&[(DNS, "a"), (FID, "b")], Raw, Some("b"));
        check(&[(DNS, "a"), (FID, "b")], Resolve, Some("a"));
        check(&[], Raw, None);
    }

    #[test]
    fn a_network_has_its_host_bits_cleared() {
        use HostNames::Refuse;
        check(
            &[(IP4, "192.0.2.77"), (CIDR, "24")],
            Refuse,
            Some("192.0.2.0/24"),
        );
        check(
            &[(IP4, "192.0.2.77"), (CIDR, "32")],
            Refuse,
            Some("192.0.2.77"),
        );
        check(
            &[(IP4, "192.0.2.77"), (CIDR, "999")],
            Refuse,
            Some("192.0.2.77"),
        );
        check(&[(IP6, "::ffff:c000:201")], Refuse, Some("192.0.2.1"));
        check(&[(FID, "[2001:db8::1]")], Refuse, Some("2001:db8::1"));
    }

    #[test]
    fn what_names_nobody_or_everybody_is_no_id() {
        for (place, text, cidr) in [(IP4, "999.1.1.1", ""), (IP4, "192.0.2.1", "0")] {
            let get = |own| match own {
                _ if own == place => Some(text),
                CIDR => Some(cidr),
                _ => None,
            };
            let identity = identify(get, HostNames::Refuse).unwrap();
            assert_eq!(
                (identity.id(), identity.text().as_deref()),
                (None, Some(text))
            );
        }
        let everybody = free("0.0.0.0/0", HostNames::Refuse);
        assert_eq!(everybody.id(), None);
    }
}
