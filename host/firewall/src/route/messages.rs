//! Routes and rules as messages: those we send, and what we read of those that the kernel tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use stockade_core::IpNet;

use super::RouteOptions;
use super::conversation::Request;
use crate::netlink::{attribute, attributes};

/// Length of `struct rtmsg` and of `struct fib_rule_hdr`, in front of the attributes.
const HEADER_LEN: usize = 12;
/// `FR_ACT_TO_TBL` (`linux/fib_rules.h`).
const ACTION_TO_TABLE: u8 = 1;

/// Kinds of attributes of a route (`linux/rtnetlink.h`).
mod rta {
    pub(super) const DST: u16 = 1;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const MULTIPATH: u16 = 9;
    pub(super) const TABLE: u16 = 15;
    pub(super) const VIA: u16 = 18;
}

/// Kinds of attributes of a rule (`linux/fib_rules.h`).
mod fra {
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const SUPPRESS_PREFIXLEN: u16 = 14;
    pub(super) const TABLE: u16 = 15;
    pub(super) const PROTOCOL: u16 = 21;
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn of(net: IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    const fn number(self) -> AddressFamily {
        match self {
            Self::V4 => AddressFamily::Inet,
            Self::V6 => AddressFamily::Inet6,
        }
    }

    /// An address of this family; absent bytes are zero, as in a prefix.
    fn addr(self, bytes: &[u8]) -> Option<IpAddr> {
        Some(match self {
            Self::V4 => Ipv4Addr::from(*bytes.first_chunk::<4>()?).into(),
            Self::V6 => Ipv6Addr::from(*bytes.first_chunk::<16>()?).into(),
        })
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let number = *payload.first()?;
        Self::ALL
            .into_iter()
            .find(|family| u8::from(family.number()) == number)
    }
}

/// What becomes of a packet to a banned address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteKind {
    /// It vanishes.
    Blackhole,
    /// Its sender, here or behind this router, is told "host unreachable".
    Unreachable,
}

impl RouteKind {
    const fn number(self) -> RouteType {
        match self {
            Self::Blackhole => RouteType::BlackHole,
            Self::Unreachable => RouteType::Unreachable,
        }
    }
}

/// A route of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BanRoute {
    pub(super) net: IpNet,
    /// Says whose ban it is.
    pub(super) metric: u32,
    /// `None` where it is no kind of ours any more.
    pub(super) kind: Option<RouteKind>,
}

impl RouteOptions {
    /// Makes a ban, or changes its kind.
    pub(super) fn add(&self, net: IpNet, metric: u32, kind: RouteKind) -> Request {
        let message = self.route(net, metric, RouteScope::Universe, kind.number());
        Request {
            flags: NLM_F_CREATE | NLM_F_REPLACE,
            message: RouteNetlinkMessage::NewRoute(message),
        }
    }

    /// Ends a ban, of whatever kind.
    pub(super) fn remove(&self, net: IpNet, metric: u32) -> Request {
        // For the kernel "nowhere" and "unspec" mean any here (`fib_table_delete`).
        let message = self.route(net, metric, RouteScope::NoWhere, RouteType::Unspec);
        Request {
            flags: 0,
            message: RouteNetlinkMessage::DelRoute(message),
        }
    }

    fn route(&self, net: IpNet, metric: u32, scope: RouteScope, kind: RouteType) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: Family::of(net).number(),
            destination_prefix_length: net.prefix_len(),
            protocol: RouteProtocol::from(self.protocol),
            scope,
            kind,
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::from(net.network())),
            RouteAttribute::Table(self.table),
            RouteAttribute::Priority(metric),
        ];
        message
    }

    /// Has every packet look into our table, before the main one.
    pub(super) fn add_rule(&self, family: Family) -> Request {
        Request {
            flags: NLM_F_CREATE | NLM_F_EXCL,
            message: RouteNetlinkMessage::NewRule(self.rule(family, self.priority)),
        }
    }

    /// Takes away the rule of ours that has this priority.
    pub(super) fn remove_rule(&self, family: Family, priority: u32) -> Request {
        Request {
            flags: 0,
            message: RouteNetlinkMessage::DelRule(self.rule(family, priority)),
        }
    }

    /// Has the kernel look all routes of IPv6 up again, by a rule that does nothing and goes at once.
    ///
    /// Sockets remember their route. A new route invalidates that for IPv4, but for IPv6 only if it is in
    /// the same table (`fib6_check`); a new rule does for every table (`rt_genid_bump_ipv6`).
    pub(super) fn forget_lookups_v6(&self) -> [Request; 2] {
        let mut rule = self.rule(Family::V6, self.priority);
        rule.header.action = RuleAction::Nop;
        rule.attributes
            .retain(|attribute| !matches!(attribute, RuleAttribute::Table(_)));
        let (flags, new) = (NLM_F_CREATE | NLM_F_EXCL, rule.clone());
        [
            (flags, RouteNetlinkMessage::NewRule(new)),
            (0, RouteNetlinkMessage::DelRule(rule)),
        ]
        .map(|(flags, message)| Request { flags, message })
    }

    fn rule(&self, family: Family, priority: u32) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header = RuleHeader {
            family: family.number(),
            action: RuleAction::ToTable,
            ..RuleHeader::default()
        };
        message.attributes = vec![
            RuleAttribute::Table(self.table),
            RuleAttribute::Priority(priority),
            RuleAttribute::Protocol(RouteProtocol::from(self.protocol)),
        ];
        message
    }

    /// Reads a route of ours; `None` for those of others, wherever they are.
    pub(super) fn read_route(&self, payload: &[u8]) -> Option<BanRoute> {
        let [_, prefix_len, _, _, _, protocol, _, kind, ..] = *payload else {
            return None;
        };
        if table_of(payload, rta::TABLE)? != self.table || protocol != self.protocol {
            return None;
        }
        let family = Family::read(payload)?;
        let list = payload.get(HEADER_LEN..)?;
        let net = attribute(list, rta::DST).map_or(Some(any_addr(family)), |dst| family.addr(dst));
        Some(BanRoute {
            net: IpNet::new(net?, prefix_len).ok()?,
            metric: attribute(list, rta::PRIORITY).map_or(Some(0), number)?,
            kind: [RouteKind::Blackhole, RouteKind::Unreachable]
                .into_iter()
                .find(|known| u8::from(known.number()) == kind),
        })
    }

    /// Reads a rule that leads into our table; `None` for others.
    pub(super) fn read_rule(&self, payload: &[u8]) -> Option<OurRule> {
        let [_, dst_len, src_len, tos, _, _, _, action, flags @ ..] = payload else {
            return None;
        };
        if table_of(payload, fra::TABLE)? != self.table {
            return None;
        }
        let list = payload.get(HEADER_LEN..)?;
        let priority = attribute(list, fra::PRIORITY).map_or(Some(0), number)?;
        let for_all = [*dst_len, *src_len, *tos] == [0; 3]
            && *action == ACTION_TO_TABLE
            && flags.iter().take(4).all(|byte| *byte == 0)
            && attributes(list).all(|(kind, value)| match kind {
                fra::PRIORITY | fra::TABLE | fra::PROTOCOL => true,
                // Always there; -1 for none.
                fra::SUPPRESS_PREFIXLEN => number(value) == Some(u32::MAX),
                _ => false,
            });
        Some(OurRule {
            priority,
            for_all,
            // Kernels before 4.17 do not say.
            ours: attribute(list, fra::PROTOCOL).is_none_or(|found| found == [self.protocol]),
        })
    }
}

/// A rule that leads into our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OurRule {
    pub(super) priority: u32,
    /// Whether it is about every packet.
    pub(super) for_all: bool,
    /// Whether we made it.
    pub(super) ours: bool,
}

/// Asks for the routes of `table`.
pub(super) fn list_routes(family: Family, table: u32) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family.number();
    message.attributes = vec![RouteAttribute::Table(table)];
    RouteNetlinkMessage::GetRoute(message)
}

/// Asks for all rules.
pub(super) fn list_rules(family: Family) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = family.number();
    RouteNetlinkMessage::GetRule(message)
}

/// The table that a rule leads into, if it does.
pub(super) fn table_of_rule(payload: &[u8]) -> Option<u32> {
    let action = *payload.get(7)?;
    let table = table_of(payload, fra::TABLE)?;
    (action == ACTION_TO_TABLE).then_some(table)
}

/// The table that a route is in.
pub(super) fn table_of_route(payload: &[u8]) -> Option<u32> {
    table_of(payload, rta::TABLE)
}

/// The routers that a route leads over.
pub(super) fn gateways(payload: &[u8]) -> Vec<IpAddr> {
    let family = Family::read(payload);
    let list = payload.get(HEADER_LEN..).unwrap_or_default();
    let mut found = Vec::new();
    found.extend(gateway(family, list));
    let mut hops = attribute(list, rta::MULTIPATH).unwrap_or_default();
    // `struct rtnexthop`: its length, flags, weight and interface, then attributes.
    while let Some(len) = hops.first_chunk().map(|len| u16::from_ne_bytes(*len)) {
        let Some(hop) = hops.get(8..usize::from(len)) else {
            break;
        };
        found.extend(gateway(family, hop));
        hops = hops
            .get(usize::from(len).next_multiple_of(4)..)
            .unwrap_or_default();
    }
    found
}

fn gateway(family: Option<Family>, list: &[u8]) -> Option<IpAddr> {
    if let Some(addr) = attribute(list, rta::GATEWAY) {
        return family?.addr(addr);
    }
    // `struct rtvia`: a family of two bytes and an address of it.
    let via = attribute(list, rta::VIA)?;
    let number = u16::from_ne_bytes(*via.first_chunk()?);
    Family::read(&[u8::try_from(number).ok()?])?.addr(via.get(2..)?)
}

/// Numbers above 255 stand in an attribute of their own.
fn table_of(payload: &[u8], kind: u16) -> Option<u32> {
    let list = payload.get(HEADER_LEN..)?;
    attribute(list, kind).map_or_else(|| payload.get(4).copied().map(u32::from), number)
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*value.first_chunk()?))
}

fn any_addr(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}
