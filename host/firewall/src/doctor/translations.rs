//! Rules that send connections to this machine elsewhere: what they translate never comes to hook
//! `input`, so a ban there does not stop it. Container engines publish ports in this way.

use std::collections::BTreeSet;
use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;

use super::Translation;
use crate::FirewallError;
use crate::netlink::{ANSWER_TIMEOUT, Netlink, attribute, attributes, failure};

/// `NFNL_SUBSYS_NFTABLES` in the upper byte, `NFT_MSG_GETRULE` in the lower (`linux/netfilter/nf_tables.h`).
const GET_RULE: u16 = (10 << 8) | 7;
/// A netlink header and netfilter's, of any family.
const REQUEST_LEN: u32 = 20;
/// Length of netfilter's header.
const NETFILTER_HEADER_LEN: usize = 4;
/// `NFTA_RULE_TABLE`, `_CHAIN` and `_EXPRESSIONS`.
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const EXPRESSIONS: u16 = 4;
/// `NFTA_EXPR_NAME` and `NFTA_EXPR_DATA`.
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFTA_NAT_TYPE` and `NFT_NAT_DNAT`.
const NAT_TYPE: u16 = 1;
const NAT_DNAT: u32 = 1;
/// `NFTA_TARGET_NAME`, for rules of iptables.
const TARGET_NAME: u16 = 1;
/// Tables that iptables-legacy has in use, one a line; where there is no such file it is not in use.
const LEGACY_TABLES: &str = "/proc/self/net/ip_tables_names";

/// Asks the kernel for all rules that translate destinations, whoever made them.
///
/// # Errors
/// Where the kernel cannot be asked.
pub fn translations() -> Result<BTreeSet<Translation>, FirewallError> {
    let mut found = nftables().map_err(|source| FirewallError::Netlink {
        act: "list all rules of nftables".to_owned(),
        source,
    })?;
    let legacy = std::fs::read_to_string(LEGACY_TABLES).unwrap_or_default();
    if legacy.lines().any(|table| table == "nat") {
        found.insert(Translation {
            table: "nat of iptables-legacy".to_owned(),
            chain: None,
        });
    }
    Ok(found)
}

fn nftables() -> io::Result<BTreeSet<Translation>> {
    let mut netlink = Netlink::open(NETLINK_NETFILTER)?;
    netlink.send(&request())?;
    let mut found = BTreeSet::new();
    loop {
        if !netlink.readable(ANSWER_TIMEOUT)? {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        let mut ended = None;
        for frame in netlink.receive()? {
            if matches!(frame.kind, NLMSG_DONE | NLMSG_ERROR) {
                ended = Some(failure(frame.payload));
            } else {
                found.extend(translation(frame.payload));
            }
        }
        match ended {
            None => {}
            Some(None) => return Ok(found),
            // No nf_tables, so no rules of it.
            Some(Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::AFNOSUPPORT)) => return Ok(found),
            Some(Some(errno)) => return Err(errno.into()),
        }
    }
}

fn request() -> Vec<u8> {
    let mut bytes = REQUEST_LEN.to_ne_bytes().to_vec();
    bytes.extend(GET_RULE.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // Sequence and port, then a header of netfilter: any family, version 0, no resource.
    bytes.resize(REQUEST_LEN as usize, 0);
    bytes
}

/// What a rule translates, if it does.
fn translation(payload: &[u8]) -> Option<Translation> {
    let rule = payload.get(NETFILTER_HEADER_LEN..)?;
    let expressions = attribute(rule, EXPRESSIONS)?;
    let translates = attributes(expressions).any(|(_, expression)| is_translation(expression));
    translates.then(|| Translation {
        table: text(attribute(rule, TABLE).unwrap_or_default()),
        chain: attribute(rule, CHAIN).map(text),
    })
}

fn is_translation(expression: &[u8]) -> bool {
    let name = attribute(expression, NAME).map(text);
    let data = attribute(expression, DATA).unwrap_or_default();
    match name.as_deref() {
        Some("nat") => {
            let kind = attribute(data, NAT_TYPE).and_then(<[u8]>::first_chunk);
            kind.is_some_and(|kind| u32::from_be_bytes(*kind) == NAT_DNAT)
        }
        Some("target") => attribute(data, TARGET_NAME).is_some_and(|name| text(name) == "DNAT"),
        _ => false,
    }
}

/// A text up to its NUL.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
