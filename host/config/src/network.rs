//! Ports, addresses, host names and HTTP origins as they are written in the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stockade_core::{FailureId, IpNet};

/// The ports that are closed to who is banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every port, and packets of protocols that have no ports.
    All,
    /// These only, in ascending order, without overlap, at least one.
    Some(Vec<PortRange>),
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// Never 0.
    pub first: u16,
    /// Never less than `first`.
    pub last: u16,
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// Who is never banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IgnoreEntry {
    /// An address or a network, host bits cleared.
    Net(IpNet),
    /// A host name; its addresses count.
    Name(String),
    /// A failure-ID that is a text, written `id:TEXT`.
    Text(String),
    /// More of them, an entry in each line of this file; absolute.
    File(String),
}

impl IgnoreEntry {
    /// Reads an entry of `ignoreip`; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_ignore(text).map(|(entry, _)| entry)
    }
}

impl fmt::Display for IgnoreEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "{}", net.addr())
            }
            Self::Net(net) => write!(f, "{net}"),
            Self::Name(name) => f.write_str(name),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Text(text) => write!(f, "id:{text}"),
        }
    }
}

/// Services that people name in jails, for hosts without `/etc/services`. Numbers are IANA's.
const SERVICES: &[(&str, u16)] = &[
    ("ftp", 21),
    ("ftp-data", 20),
    ("ftps", 990),
    ("ftps-data", 989),
    ("domain", 53),
    ("http", 80),
    ("https", 443),
    ("imap", 143),
    ("imap2", 143),
    ("imaps", 993),
    ("ldap", 389),
    ("ldaps", 636),
    ("mysql", 3306),
    ("ntp", 123),
    ("openvpn", 1194),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgresql", 5432),
    ("rsync", 873),
    ("sieve", 4190),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("smtp", 25),
    ("smtps", 465),
    ("socks", 1080),
    ("ssh", 22),
    ("submission", 587),
    ("submissions", 465),
    ("telnet", 23),
    ("xmpp-client", 5222),
    ("xmpp-server", 5269),
];

/// Reads `ssh`, `2222`, `8000-8010` or fail2ban's `8000:8010`. Names are looked up in `services`,
/// the text of `/etc/services` (services(5)), then among the well-known ones.
pub(crate) fn parse_ports(text: &str, services: &str) -> Result<PortRange, PortError> {
    let text = text.trim();
    if let Some((first, last)) = text.split_once(['-', ':'])
        && let (Some(first), Some(last)) = (number(first), number(last))
    {
        let (first, last) = (port(first)?, port(last)?);
        return if first <= last {
            Ok(PortRange { first, last })
        } else {
            Err(PortError::Reversed)
        };
    }
    let found = match number(text) {
        Some(number) => port(number)?,
        None => service(text, services).ok_or(PortError::Unknown)?,
    };
    Ok(PortRange {
        first: found,
        last: found,
    })
}

/// Why a text is no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortError {
    OutOfRange,
    Reversed,
    Unknown,
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    text.parse().ok()
}

fn port(number: u64) -> Result<u16, PortError> {
    match u16::try_from(number) {
        Ok(0) | Err(_) => Err(PortError::OutOfRange),
        Ok(port) => Ok(port),
    }
}

fn service(name: &str, services: &str) -> Option<u16> {
    let listed = services.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let service = words.next()?;
        let (port, _protocol) = words.next()?.split_once('/')?;
        let named = service == name || words.any(|alias| alias == name);
        named
            .then(|| port.parse().ok().filter(|port| *port > 0))
            .flatten()
    });
    let known = || {
        SERVICES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, port)| *port)
    };
    listed.or_else(known)
}

/// The names that can be suggested for a mistyped port.
pub(crate) fn service_names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|(name, _)| *name)
}

/// Puts ranges in order and joins those that touch: interval sets refuse overlaps.
pub(crate) fn join_ranges(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut joined: Vec<PortRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// What an entry of `ignoreip` is, and what is odd about it.
pub(crate) fn parse_ignore(text: &str) -> Option<(IgnoreEntry, Option<String>)> {
    let text = text.trim();
    if let Some(id) = text.strip_prefix("id:") {
        let entry = IgnoreEntry::Text(id.to_owned());
        return (!id.is_empty()).then_some((entry, None));
    }
    if let Some(path) = text.strip_prefix("file:") {
        // `file:///path` is fail2ban's other way to write it.
        let path = path.strip_prefix("//").unwrap_or(path);
        let entry = IgnoreEntry::File(path.to_owned());
        return path.starts_with('/').then_some((entry, None));
    }
    if let Some(net) = parse_net(text) {
        let cleared = canonical_net(net);
        let odd = match cleared {
            _ if cleared.prefix_len() == 0 => Some(format!(
                "{cleared} is every address there is: nobody of them is ever banned"
            )),
            _ if net.trunc() != net => Some(format!("this means the whole network {cleared}")),
            _ => None,
        };
        return Some((IgnoreEntry::Net(cleared), odd));
    }
    is_host_name(text).then(|| (IgnoreEntry::Name(text.to_ascii_lowercase()), None))
}

/// Reads an address, a network with a prefix length, or an IPv4 network with a mask.
fn parse_net(text: &str) -> Option<IpNet> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some(IpNet::from(addr));
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(net);
    }
    let (addr, mask) = text.split_once('/')?;
    let mask: IpAddr = mask.parse::<Ipv4Addr>().ok()?.into();
    IpNet::with_netmask(addr.parse::<Ipv4Addr>().ok()?.into(), mask).ok()
}

/// `net` without host bits; a network of IPv4-mapped addresses becomes the IPv4 network.
fn canonical_net(net: IpNet) -> IpNet {
    /// `::ffff:0:0/96` (RFC 4291 2.5.5.2).
    const MAPPED_PREFIX_LEN: u8 = 96;
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(len) = v6.prefix_len().checked_sub(MAPPED_PREFIX_LEN)
        && let Ok(v4) = IpNet::new(v4.into(), len)
    {
        return v4.trunc();
    }
    FailureId::from_net(net).network().unwrap_or(net)
}

/// Whether `text` may be a host name (RFC 1123 2.1): labels of letters, digits and `-`; `_` is
/// let through since names with it exist. A name of digits only is a mistyped address.
pub(crate) fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(label)
        && last.bytes().any(|byte| !byte.is_ascii_digit())
}

/// Scheme, host and port of a URL (RFC 6454 4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpOrigin {
    /// Plain or encrypted.
    pub scheme: Scheme,
    /// A host name in lower case or an address; IPv6 without brackets.
    pub host: String,
    /// The port, also where it is the scheme's own.
    pub port: u16,
}

/// How HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `http`, not encrypted.
    Http,
    /// `https`
    Https,
}

impl HttpOrigin {
    /// Reads `https://host`, `http://192.0.2.1:8080` or `https://[2001:db8::1]:8443`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("an origin begins with https:// or http://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err("an origin begins with https:// or http://"),
        };
        if rest.contains('@') {
            return Err("an origin has no user name or password");
        }
        if rest.contains(['/', '?', '#']) {
            return Err("an origin ends after the host and its port, without a path");
        }
        if rest.contains('*') {
            return Err("an origin has no '*': each host is granted by name");
        }
        let (host, port) = split_port(rest)?;
        let host = match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(inner) => match inner.parse::<Ipv6Addr>() {
                Ok(addr) => IpAddr::V6(addr).to_canonical().to_string(),
                Err(_) => return Err("what stands in brackets is not an IPv6 address"),
            },
            None if host.parse::<Ipv4Addr>().is_ok() || is_host_name(host) => {
                host.trim_end_matches('.').to_ascii_lowercase()
            }
            None => return Err("the host is neither a name nor an address"),
        };
        let port = match (port, scheme) {
            (Some(port), _) => number(port)
                .and_then(|number| self::port(number).ok())
                .ok_or("the port must be from 1 to 65535")?,
            (None, Scheme::Https) => 443,
            (None, Scheme::Http) => 80,
        };
        Ok(Self { scheme, host, port })
    }

    /// Whether the host is written so that it can only be this host or one of a private network.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(addr) => is_private(addr),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}

impl fmt::Display for HttpOrigin {
    /// As it is written in configuration, the port always given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Splits the port off, minding the colons of an IPv6 address.
fn split_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    let after = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let tail = text.get(after..).unwrap_or_default();
    match tail.find(':') {
        None => Ok((text, None)),
        Some(_) if tail.matches(':').count() > 1 => {
            Err("an IPv6 address stands in brackets: https://[2001:db8::1]")
        }
        Some(colon) => {
            let (host, port) = text.split_at(after + colon);
            Ok((host, port.get(1..)))
        }
    }
}

/// Addresses that lead to this host or into its own networks (RFC 6890).
fn is_private(addr: IpAddr) -> bool {
    match addr.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || shared
                || first == 0
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests;
