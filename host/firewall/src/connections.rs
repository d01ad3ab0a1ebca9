//! Ending connections that are open already, by the kernel's connection tracking (ctnetlink).
//!
//! For every backend on Linux whose bans let through what is established: [`crate::Firewall`]'s method
//! of this name hands its networks to [`end_connections`] and its answer back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;
use stockade_core::{IgnoreSet, IpNet};

use crate::FirewallError;
use crate::netlink::{ANSWER_TIMEOUT, Netlink, REQUESTS_AT_ONCE, attribute, attributes, failure};

/// Length of `struct nfgenmsg`, in front of the attributes.
const HEADER_LEN: usize = 4;

/// Kinds of attributes (`linux/netfilter/nfnetlink_conntrack.h`).
mod cta {
    pub(super) const TUPLE_ORIG: u16 = 1;
    pub(super) const TUPLE_REPLY: u16 = 2;
    pub(super) const ID: u16 = 12;
    pub(super) const ZONE: u16 = 18;
    /// Within a tuple.
    pub(super) const TUPLE_IP: u16 = 1;
}

/// Takes all connections of `nets` out of the kernel's connection tracking, so that a rule that lets pass
/// what is established does so no more; how many there were.
///
/// A connection is theirs if either end of it, before or after the translation of addresses, lies in one
/// of the networks. Bans have to be in place before, or the next packet opens the connection anew. The
/// cost is one listing of all connections and one request for each that ends.
///
/// Where the kernel tracks no connections there are none: 0.
///
/// # Errors
/// [`FirewallError::NotPermitted`] without `CAP_NET_ADMIN`, or that the kernel cannot be asked.
pub(crate) fn end_connections(nets: &[IpNet]) -> Result<usize, FirewallError> {
    if nets.is_empty() {
        return Ok(0);
    }
    // Core's set of networks: a binary search for each address.
    let nets = IgnoreSet::new(nets.to_vec(), Vec::new());
    let ended = list(&nets).and_then(|found| match found {
        Some((mut netlink, connections)) => delete(&mut netlink, &connections),
        None => Ok(0),
    });
    ended.map_err(|source| match Errno::from_io_error(&source) {
        Some(Errno::PERM) => FirewallError::NotPermitted {
            backend: "connection tracking",
            source,
        },
        _ => FirewallError::Netlink {
            act: "end connections".to_owned(),
            source,
        },
    })
}

/// A connection by the attributes that the kernel knows it by, as it told them.
struct Connection {
    family: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// The connections of `nets`; `None` where the kernel tracks none.
fn list(nets: &IgnoreSet) -> io::Result<Option<(Netlink, Vec<Connection>)>> {
    let mut netlink = match Netlink::open(NETLINK_NETFILTER) {
        Ok(netlink) => netlink,
        Err(error) if is_missing(Errno::from_io_error(&error)) => return Ok(None),
        Err(error) => return Err(error),
    };
    netlink.socket().set_cap_ack(true)?;
    netlink.send(&encode(NLM_F_DUMP, 0, 0, ConntrackMessage::Get(Vec::new())))?;
    let mut found = Vec::new();
    loop {
        if !netlink.readable(ANSWER_TIMEOUT)? {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        let mut ended = None;
        for frame in netlink.receive()? {
            if matches!(frame.kind, NLMSG_DONE | NLMSG_ERROR) {
                ended = Some(failure(frame.payload));
            } else {
                found.extend(theirs(frame.payload, nets));
            }
        }
        match ended {
            None => {}
            Some(None) => return Ok(Some((netlink, found))),
            Some(errno) if is_missing(errno) => return Ok(None),
            Some(Some(errno)) => return Err(errno.into()),
        }
    }
}

/// What the kernel answers where netfilter, or its connection tracking, is not there
/// (`nfnetlink_rcv_msg`).
fn is_missing(errno: Option<Errno>) -> bool {
    matches!(
        errno,
        Some(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::INVAL | Errno::OPNOTSUPP)
    )
}

/// The connection that a message tells of, if it is one of `nets`.
fn theirs(payload: &[u8], nets: &IgnoreSet) -> Option<Connection> {
    let family = *payload.first()?;
    let list = payload.get(HEADER_LEN..)?;
    let original = attribute(list, cta::TUPLE_ORIG)?;
    let tuples = [Some(original), attribute(list, cta::TUPLE_REPLY)];
    let mut addrs = tuples.into_iter().flatten().flat_map(addrs);
    if !addrs.any(|addr| nets.contains(addr)) {
        return None;
    }
    // The number tells it from a later connection of the same ports.
    let known_by = [cta::TUPLE_ORIG, cta::ZONE, cta::ID];
    let attributes = known_by.into_iter().filter_map(|kind| {
        let value = attribute(list, kind)?;
        Some((kind, value.to_vec()))
    });
    Some(Connection {
        family,
        attributes: attributes.collect(),
    })
}

/// The addresses of a tuple: source and destination (`CTA_IP_V4_SRC` to `CTA_IP_V6_DST`).
fn addrs(tuple: &[u8]) -> impl Iterator<Item = IpAddr> {
    let ends = attribute(tuple, cta::TUPLE_IP).unwrap_or_default();
    attributes(ends).filter_map(|(_, addr)| match addr.len() {
        4 => Some(Ipv4Addr::from(*addr.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*addr.first_chunk::<16>()?).into()),
        _ => None,
    })
}

/// Ends them; how many were still there.
fn delete(netlink: &mut Netlink, connections: &[Connection]) -> io::Result<usize> {
    let mut ended = 0;
    let mut seq = 1;
    for chunk in connections.chunks(REQUESTS_AT_ONCE) {
        let first = seq;
        let mut bytes = Vec::new();
        for connection in chunk {
            let attributes = connection.attributes.iter();
            let attributes = attributes
                .map(|(kind, value)| DefaultNla::new(*kind, value.clone()))
                .map(ConntrackAttribute::Other);
            let message = ConntrackMessage::Delete(attributes.collect());
            bytes.extend(encode(NLM_F_ACK, seq, connection.family, message));
            seq = seq.wrapping_add(1);
        }
        for answer in netlink.exchange(&bytes, first, chunk.len())? {
            match answer {
                Ok(()) => ended += 1,
                // It ended by itself.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(ended)
}

fn encode(flags: u16, seq: u32, family: u8, message: ConntrackMessage) -> Vec<u8> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::from(family), 0, 0);
    let message = NetfilterMessage::new(header, message);
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = seq;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    // Every attribute is padded to the alignment, so the message is too.
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}
