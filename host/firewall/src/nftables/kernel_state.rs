//! What the kernel has of our table, apart from the elements of sets.

use std::collections::BTreeMap;
use std::time::Duration;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook as ChainHook, NfTablesMessage, RuleAttribute, RuleMessage,
    SetAttribute, SetDescription, SetElementList, SetElementMessage, SetFlags, SetMessage,
    TableAttribute, TableFlags, TableMessage,
};
use stockade_core::IpNet;

use super::conversation::{Conversation, NETFILTER_HEADER_LEN};
use super::names::{SetId, TABLE};
use super::ruleset::{self, label_of};
use crate::FirewallError;
use crate::netlink::{attribute, attributes};
use crate::rules::Hook;

/// `NFTA_SET_ELEM_LIST_ELEMENTS`, `NFTA_SET_ELEM_KEY`, `NFTA_DATA_VALUE` and
/// `NFTA_SET_ELEM_EXPIRATION` (`linux/netfilter/nf_tables.h`).
const ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const DATA_VALUE: u16 = 1;
const ELEMENT_EXPIRATION: u16 = 5;

/// `NFTA_RULE_CHAIN`, `NFTA_RULE_EXPRESSIONS`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`, and of the data of a
/// counter `NFTA_COUNTER_BYTES` and `NFTA_COUNTER_PACKETS`.
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;

/// Our table as it is.
#[derive(Debug, Default)]
pub(super) struct KernelState {
    /// Whether the table exists and is awake.
    pub(super) table: TableState,
    pub(super) chains: Vec<KernelChain>,
    pub(super) sets: Vec<KernelSet>,
    pub(super) rules: Vec<KernelRule>,
}

/// Whether there is a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TableState {
    #[default]
    Missing,
    /// There, but switched off (`flags dormant`).
    Dormant,
    Present,
}

#[derive(Debug)]
pub(super) struct KernelChain {
    pub(super) name: String,
    pub(super) shape: ChainShape,
}

/// What a chain is hooked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainShape {
    /// To nothing: rules jump to it.
    Plain,
    /// Exactly where our base chain of this hook belongs.
    Base(Hook),
    /// To something else.
    Foreign,
}

#[derive(Debug)]
pub(super) struct KernelSet {
    pub(super) name: String,
    /// Which of ours it is; `None` where it is not ours or not made as ours are.
    pub(super) id: Option<SetId>,
}

#[derive(Debug)]
pub(super) struct KernelRule {
    pub(super) chain: String,
    /// The comment, by which we know our rules.
    pub(super) label: Option<String>,
}

impl KernelState {
    /// Asks the kernel; our base chain is to have this priority.
    pub(super) fn read(kernel: &mut Conversation, priority: i32) -> Result<Self, FirewallError> {
        Ok(Self {
            table: read_table(kernel)?,
            chains: read_chains(kernel, priority)?,
            sets: read_sets(kernel)?,
            rules: read_rules(kernel)?,
        })
    }

    /// Our sets that are there.
    pub(super) fn set_ids(&self) -> impl Iterator<Item = &SetId> {
        self.sets.iter().filter_map(|set| set.id.as_ref())
    }

    /// The shape of the chain called `name`, if it is there.
    pub(super) fn chain(&self, name: &str) -> Option<ChainShape> {
        let chain = self.chains.iter().find(|chain| chain.name == name)?;
        Some(chain.shape)
    }
}

/// Asks whether the table is there; also the cheapest way to learn whether we may ask.
pub(super) fn read_table(kernel: &mut Conversation) -> Result<TableState, FirewallError> {
    let request = NfTablesMessage::GetTable(TableMessage { attributes: vec![] });
    let mut state = TableState::Missing;
    for message in kernel.dump("list nftables tables", &request)? {
        let NfTablesMessage::NewTable(TableMessage { attributes }) = message else {
            continue;
        };
        let dormant = attributes.iter().any(|attribute| {
            matches!(attribute, TableAttribute::Flags(flags) if flags.contains(TableFlags::Dormant))
        });
        state = if dormant {
            TableState::Dormant
        } else {
            TableState::Present
        };
    }
    Ok(state)
}

fn read_chains(
    kernel: &mut Conversation,
    priority: i32,
) -> Result<Vec<KernelChain>, FirewallError> {
    let request = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
    let mut chains = Vec::new();
    for message in kernel.dump("list nftables chains", &request)? {
        let NfTablesMessage::NewChain(ChainMessage { attributes }) = message else {
            continue;
        };
        let name = attributes.iter().find_map(|attribute| match attribute {
            ChainAttribute::Name(name) => Some(name.clone()),
            _ => None,
        });
        let shape = chain_shape(&attributes, priority);
        chains.extend(name.map(|name| KernelChain { name, shape }));
    }
    Ok(chains)
}

fn chain_shape(attributes: &[ChainAttribute], priority: i32) -> ChainShape {
    let mut hooks: &[ChainHook] = &[];
    let mut policy = None;
    let mut kind = "";
    for attribute in attributes {
        match attribute {
            ChainAttribute::Hook(found) => hooks = found,
            ChainAttribute::Policy(found) => policy = Some(*found),
            ChainAttribute::Type(found) => kind = found,
            _ => {}
        }
    }
    if hooks.is_empty() {
        return ChainShape::Plain;
    }
    let right = kind == ruleset::BASE_TYPE && policy == Some(ruleset::POLICY_ACCEPT);
    let is_at = |hook: &Hook| {
        let expected = ruleset::hooked(*hook, priority);
        expected.iter().all(|part| hooks.contains(part))
    };
    match Hook::ALL.into_iter().find(is_at) {
        Some(hook) if right => ChainShape::Base(hook),
        _ => ChainShape::Foreign,
    }
}

/// The sets of our table, ours and others.
pub(super) fn read_sets(kernel: &mut Conversation) -> Result<Vec<KernelSet>, FirewallError> {
    let attributes = vec![SetAttribute::Table(TABLE.to_owned())];
    let request = NfTablesMessage::GetSet(SetMessage { attributes });
    let mut sets = Vec::new();
    for message in kernel.dump("list nftables sets", &request)? {
        let NfTablesMessage::NewSet(SetMessage { attributes }) = message else {
            continue;
        };
        let mut name = String::new();
        let mut flags = SetFlags::empty();
        let mut key_len = 0;
        let mut limited = false;
        for attribute in attributes {
            match attribute {
                SetAttribute::Name(found) => name = found,
                SetAttribute::Flags(found) => flags = found,
                SetAttribute::KeyLen(found) => key_len = found,
                // A set that can be full would refuse bans.
                SetAttribute::Description(found) => {
                    limited = found.iter().any(|d| matches!(d, SetDescription::Size(1..)));
                }
                _ => {}
            }
        }
        let id = SetId::parse(&name)
            .filter(|id| flags == SetFlags::Timeout && key_len == id.family.bytes() && !limited);
        sets.push(KernelSet { name, id });
    }
    Ok(sets)
}

fn read_rules(kernel: &mut Conversation) -> Result<Vec<KernelRule>, FirewallError> {
    let attributes = vec![RuleAttribute::Table(TABLE.to_owned())];
    let request = NfTablesMessage::GetRule(RuleMessage { attributes });
    let mut rules = Vec::new();
    for message in kernel.dump("list nftables rules", &request)? {
        let NfTablesMessage::NewRule(RuleMessage { attributes }) = message else {
            continue;
        };
        let mut chain = String::new();
        let mut label = None;
        for attribute in attributes {
            match attribute {
                RuleAttribute::Chain(found) => chain = found,
                RuleAttribute::UserData(bytes) => label = label_of(&bytes),
                _ => {}
            }
        }
        rules.push(KernelRule { chain, label });
    }
    Ok(rules)
}

/// What one rule has counted.
pub(super) struct Counted {
    pub(super) chain: String,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// What the counters in our rules have come to.
pub(super) fn read_counters(kernel: &mut Conversation) -> Result<Vec<Counted>, FirewallError> {
    let attributes = vec![RuleAttribute::Table(TABLE.to_owned())];
    let request = NfTablesMessage::GetRule(RuleMessage { attributes });
    kernel.dump_as("list nftables rules", &request, |frame, found| {
        found.extend(counted(frame.payload));
        Ok(())
    })
}

fn counted(payload: &[u8]) -> Option<Counted> {
    let rule = payload.get(NETFILTER_HEADER_LEN..)?;
    let chain = attribute(rule, RULE_CHAIN)?
        .split(|byte| *byte == 0)
        .next()?;
    let mut expressions = attributes(attribute(rule, RULE_EXPRESSIONS)?);
    let counter = expressions.find_map(|(_, expression)| {
        let name = attribute(expression, EXPRESSION_NAME)?;
        name.starts_with(b"counter\0").then_some(())?;
        attribute(expression, EXPRESSION_DATA)
    })?;
    let number = |kind| {
        Some(u64::from_be_bytes(
            *attribute(counter, kind)?.first_chunk()?,
        ))
    };
    Some(Counted {
        chain: String::from_utf8_lossy(chain).into_owned(),
        packets: number(COUNTER_PACKETS)?,
        bytes: number(COUNTER_BYTES)?,
    })
}

/// How often a set is listed anew whose table grows while the kernel tells; it grows to the double each
/// time, and in the background after a change.
const LISTINGS_MAX: usize = 20;

/// What `set` holds, each with the time that is left.
///
/// The kernel tells a large set in parts, and begins each by counting how many it has told. While its
/// hash table grows, in the background after many were added, elements change their places: some come
/// twice, and as many not at all. So a listing in which one comes twice is begun again.
pub(super) fn read_elements(
    kernel: &mut Conversation,
    set: &SetId,
) -> Result<Vec<(IpNet, Option<Duration>)>, FirewallError> {
    let mut found = BTreeMap::new();
    for _ in 0..LISTINGS_MAX {
        let mut listing = list_elements(kernel, set)?;
        listing.sort_unstable();
        let comes_twice = listing
            .windows(2)
            .any(|two| matches!(two, [(a, _), (b, _)] if a == b));
        if !comes_twice {
            return Ok(listing);
        }
        found.extend(listing);
    }
    // Nearly all were told at least once by now.
    Ok(found.into_iter().collect())
}

/// There may be hundreds of thousands of elements, so they are read in place: the types of
/// netlink-packet-netfilter 0.4 write every list out as text for an error that nobody sees, and
/// would take a minute for what takes a tenth of a second.
fn list_elements(
    kernel: &mut Conversation,
    set: &SetId,
) -> Result<Vec<(IpNet, Option<Duration>)>, FirewallError> {
    let request = NfTablesMessage::GetSetElement(SetElementMessage {
        attributes: vec![
            SetElementList::Table(TABLE.to_owned()),
            SetElementList::Set(set.to_string()),
        ],
    });
    kernel.dump_as(&format!("list set '{set}'"), &request, |frame, found| {
        let message = frame.payload.get(NETFILTER_HEADER_LEN..);
        let list = message.and_then(|message| attribute(message, ELEMENTS));
        let elements = attributes(list.unwrap_or_default()).map(|(_, element)| element);
        found.extend(elements.filter_map(|element| element_of(set, element)));
        Ok(())
    })
}

fn element_of(set: &SetId, element: &[u8]) -> Option<(IpNet, Option<Duration>)> {
    let key = attribute(attribute(element, ELEMENT_KEY)?, DATA_VALUE)?;
    let left = attribute(element, ELEMENT_EXPIRATION).and_then(<[u8]>::first_chunk);
    let left = left.map(|ms| Duration::from_millis(u64::from_be_bytes(*ms)));
    Some((set.net(key)?, left))
}
