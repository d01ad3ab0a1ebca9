//! The shape of our table: which chains, sets and rules belong in it.
//!
//! ```text
//! table inet stockade {
//!   set ban4-32-sshd  { type ipv4_addr; flags timeout; }     one per prefix length in use
//!   set ban6-64-sshd  { type ipv6_addr; flags timeout; }
//!   chain input {                                             one per hook in use
//!     type filter hook input priority -10; policy accept;
//!     tcp dport 22 jump jail-sshd                             one per protocol and port range
//!   }
//!   chain jail-sshd {
//!     ip saddr @ban4-32-sshd counter drop                     one per set
//!     ip6 saddr & ffff:ffff:ffff:ffff:: @ban6-64-sshd counter drop
//!   }
//! }
//! ```
//!
//! Prefixes are not kept in interval sets: there, a /64 inside a banned /56 is refused, ends of
//! intervals are elements of their own, and renewing needs to know what overlaps what. With one
//! hash set per prefix length, looked up with the masked address, every ban is one element with a
//! timeout of its own, whatever else is banned. The price is one lookup per length in use, and
//! lengths in use are few; their sets appear with the first ban that needs them.

use std::collections::BTreeSet;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions,
    Hook as ChainHook, Immediate, InetHookNumber, ListAttribute, Lookup, Meta, MetaKey,
    NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage, SetAttribute,
    SetFlags, SetMessage, TableAttribute, TableFlags, TableMessage, Verdict, VerdictAttribute,
};

use super::names::{CHAIN_REJECT, Family, SetId, TABLE, jail_chain, mask};
use crate::rules::{
    BlockType, Hook, JailRules, PortRange, Ports, Protocol, TARPIT_PACKETS_PER_MINUTE,
};

/// Before destinations are translated (`NF_IP_PRI_NAT_DST`, -100), so that ports are those that the sender
/// named; after connection tracking (-200).
const PRIORITY_PREROUTING_MAX: i32 = -150;
/// Type of the base chains.
pub(super) const BASE_TYPE: &str = "filter";
/// `NF_ACCEPT`: who is not banned goes on to the other tables.
pub(super) const POLICY_ACCEPT: u32 = 1;
/// `NF_DROP`.
const VERDICT_DROP: u32 = 0;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6` (`linux/netfilter.h`).
const NFPROTO: [u8; 2] = [2, 10];
/// `NFT_PAYLOAD_NETWORK_HEADER` (`linux/netfilter/nf_tables.h`).
const NETWORK_HEADER: u32 = 1;
/// `NFT_PAYLOAD_TRANSPORT_HEADER`.
const TRANSPORT_HEADER: u32 = 2;
/// Source address in the IPv4 (RFC 791) and IPv6 (RFC 8200) header.
const SOURCE_OFFSET: [u32; 2] = [12, 8];
/// Destination port in the header of every protocol that has ports: 2 bytes at 2.
const DPORT_OFFSET: u32 = 2;
const DPORT_LEN: u32 = 2;

/// Key types as `nft` knows them, so that it lists addresses as addresses (nft's `TYPE_IPADDR`
/// and `TYPE_IP6ADDR`).
const KEY_TYPE: [u32; 2] = [7, 8];
/// In a set's user data, for `nft` alone: keys are in network byte order (libnftnl's
/// `NFTNL_UDATA_SET_KEYBYTEORDER`, nft's `BYTEORDER_BIG_ENDIAN`).
const UDATA_KEY_BYTE_ORDER: [u8; 2] = [0, 4];
const BYTE_ORDER_BIG_ENDIAN: u32 = 2;
/// In a rule's user data: a comment follows (libnftnl's `NFTNL_UDATA_RULE_COMMENT`).
const UDATA_COMMENT: u8 = 0;
/// nft shows comments of up to this many bytes, the closing NUL included.
const COMMENT_BYTES_MAX: usize = 128;

/// `NFTA_REJECT_TYPE`, `NFTA_REJECT_ICMP_CODE` and their values (`linux/netfilter/nf_tables.h`).
const REJECT_TYPE: u16 = 1;
const REJECT_CODE: u16 = 2;
const REJECT_TCP_RESET: u32 = 1;
const REJECT_ICMPX: u32 = 2;
const ICMPX_PORT_UNREACHABLE: u8 = 1;

/// `NFTA_LIMIT_RATE`, `_UNIT` (seconds), `_BURST` and `_FLAGS`, and `NFT_LIMIT_F_INV`
/// (`linux/netfilter/nf_tables.h`).
const LIMIT_RATE: u16 = 1;
const LIMIT_UNIT: u16 = 2;
const LIMIT_BURST: u16 = 3;
const LIMIT_FLAGS: u16 = 5;
const LIMIT_INVERTED: u32 = 1;
/// What may come through a tarpit at once: the packets that open a connection.
const TARPIT_BURST: u32 = 5;

type Expression = ListAttribute<ExpressionAttribute>;

/// One rule as it should be.
#[derive(Clone, Debug)]
pub(super) struct PlannedRule {
    pub(super) chain: String,
    /// What it does, as the comment that `nft list` shows; tells it from all other rules.
    pub(super) label: String,
    expressions: Vec<Expression>,
}

/// All chains that belong in the table, apart from the base chain.
pub(super) fn plain_chains(rules: &[JailRules]) -> BTreeSet<String> {
    let mut chains: BTreeSet<_> = rules.iter().map(|rule| jail_chain(&rule.jail)).collect();
    if rules.iter().any(|rule| rule.block == BlockType::Reject) {
        chains.insert(CHAIN_REJECT.to_owned());
    }
    chains
}

/// All rules that belong in the table when it has these sets. Their order does not matter.
pub(super) fn plan(rules: &[JailRules], sets: &BTreeSet<SetId>) -> Vec<PlannedRule> {
    let mut planned = Vec::new();
    for rule in rules {
        let jumps = rule.hooks.iter().flat_map(|hook| jump_rules(rule, *hook));
        planned.extend(jumps);
    }
    for set in sets {
        let jail = rules.iter().find(|rule| rule.jail == set.jail);
        planned.extend(jail.map(|jail| set_rule(set, jail.block)));
    }
    if rules.iter().any(|rule| rule.block == BlockType::Reject) {
        planned.extend(reject_rules());
    }
    planned
}

/// The hooks at which any jail stops packets; our table has a base chain for each.
pub(super) fn hooks(rules: &[JailRules]) -> BTreeSet<Hook> {
    rules.iter().flat_map(|rule| &rule.hooks).copied().collect()
}

/// The rules of a base chain that hand packets to the chain of a jail.
fn jump_rules(rules: &JailRules, hook: Hook) -> Vec<PlannedRule> {
    let jail = &rules.jail;
    let rule = |what: String, mut expressions: Vec<Expression>| {
        expressions.push(verdict(Verdict::Jump, Some(jail_chain(jail))));
        PlannedRule {
            chain: hook.to_string(),
            label: format!("{jail}: {what}"),
            expressions,
        }
    };
    let protocols = match rules.protocols.as_slice() {
        [] => &Protocol::ALL,
        some => some,
    };
    match &rules.ports {
        Ports::All if rules.protocols.is_empty() => vec![rule("everything".to_owned(), vec![])],
        Ports::All => unique(protocols)
            .map(|protocol| rule(format!("{protocol}"), is_protocol(*protocol)))
            .collect(),
        Ports::List(ranges) => unique(protocols)
            .flat_map(|protocol| unique(ranges).map(move |range| (*protocol, *range)))
            .map(|(protocol, range)| {
                let mut expressions = is_protocol(protocol);
                expressions.extend(dport_in(range));
                rule(format!("{protocol} dport {range}"), expressions)
            })
            .collect(),
    }
}

fn unique<T: Ord>(items: &[T]) -> impl Iterator<Item = &T> {
    items.iter().collect::<BTreeSet<_>>().into_iter()
}

/// The rule that blocks what is in a set.
pub(super) fn set_rule(set: &SetId, block: BlockType) -> PlannedRule {
    let mut expressions = source_in(set);
    if block == BlockType::Tarpit {
        expressions.push(over_tarpit_rate());
    }
    expressions.push(named("counter", vec![]));
    expressions.push(match block {
        BlockType::Drop | BlockType::Tarpit => verdict(Verdict::Other(VERDICT_DROP), None),
        BlockType::Reject => verdict(Verdict::Goto, Some(CHAIN_REJECT.to_owned())),
    });
    PlannedRule {
        chain: jail_chain(&set.jail),
        label: format!("{} /{} {}", set.jail, set.len, block.as_str()),
        expressions,
    }
}

/// Matches the packets that are more than a tarpit lets through (`nft_limit`, inverted).
fn over_tarpit_rate() -> Expression {
    let rate = u64::from(TARPIT_PACKETS_PER_MINUTE).to_be_bytes();
    named(
        "limit",
        vec![
            DefaultNla::new(LIMIT_RATE, rate.to_vec()),
            DefaultNla::new(LIMIT_UNIT, 60_u64.to_be_bytes().to_vec()),
            DefaultNla::new(LIMIT_BURST, TARPIT_BURST.to_be_bytes().to_vec()),
            DefaultNla::new(LIMIT_FLAGS, LIMIT_INVERTED.to_be_bytes().to_vec()),
        ],
    )
}

fn reject_rules() -> [PlannedRule; 2] {
    let rule = |label: &str, expressions| PlannedRule {
        chain: CHAIN_REJECT.to_owned(),
        label: label.to_owned(),
        expressions,
    };
    let kind = |kind: u32| DefaultNla::new(REJECT_TYPE, kind.to_be_bytes().to_vec());
    let code = DefaultNla::new(REJECT_CODE, vec![ICMPX_PORT_UNREACHABLE]);
    let tcp = [Protocol::Tcp.number()];
    let protocol_is = |operator| [meta(MetaKey::L4Proto), compare(operator, &tcp)];
    let reset = named("reject", vec![kind(REJECT_TCP_RESET)]);
    let unreachable = named("reject", vec![kind(REJECT_ICMPX), code]);
    let [read, equal] = protocol_is(Operator::Equal);
    let [read_again, different] = protocol_is(Operator::NotEqual);
    [
        rule("tcp: reset", vec![read, equal, reset]),
        rule(
            "others: port unreachable",
            vec![read_again, different, unreachable],
        ),
    ]
}

fn is_protocol(protocol: Protocol) -> Vec<Expression> {
    vec![
        meta(MetaKey::L4Proto),
        compare(Operator::Equal, &[protocol.number()]),
    ]
}

fn dport_in(range: PortRange) -> Vec<Expression> {
    let (first, last) = (range.first.to_be_bytes(), range.last.to_be_bytes());
    let mut expressions = vec![load(TRANSPORT_HEADER, DPORT_OFFSET, DPORT_LEN)];
    if first == last {
        expressions.push(compare(Operator::Equal, &first));
    } else {
        expressions.push(compare(Operator::GreatherThanEqual, &first));
        expressions.push(compare(Operator::LessThanEqual, &last));
    }
    expressions
}

fn source_in(set: &SetId) -> Vec<Expression> {
    let [v4, v6] = NFPROTO;
    let [offset_v4, offset_v6] = SOURCE_OFFSET;
    let (protocol, offset) = match set.family {
        Family::V4 => (v4, offset_v4),
        Family::V6 => (v6, offset_v6),
    };
    let bytes = set.family.bytes();
    let mut expressions = vec![
        meta(MetaKey::Nfproto),
        compare(Operator::Equal, &[protocol]),
        load(NETWORK_HEADER, offset, bytes),
    ];
    if set.len < set.family.bits() {
        let mask = mask(set.family, set.len);
        let zero = vec![0; mask.len()];
        expressions.push(
            Expressions::Bitwise(vec![
                Bitwise::SourceRegister(Register::Reg1),
                Bitwise::DestinationRegister(Register::Reg1),
                Bitwise::Length(bytes),
                Bitwise::Mask(DataAttribute::Value(mask)),
                Bitwise::Xor(DataAttribute::Value(zero)),
            ])
            .into(),
        );
    }
    let lookup = vec![
        Lookup::Set(set.to_string()),
        Lookup::SourceRegister(Register::Reg1),
    ];
    expressions.push(Expressions::Lookup(lookup).into());
    expressions
}

fn meta(key: MetaKey) -> Expression {
    let attributes = vec![Meta::DestinationRegister(Register::Reg1), Meta::Key(key)];
    Expressions::Meta(attributes).into()
}

fn compare(operator: Operator, value: &[u8]) -> Expression {
    let attributes = vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value.to_vec())),
    ];
    Expressions::Cmp(attributes).into()
}

fn load(base: u32, offset: u32, len: u32) -> Expression {
    let attributes = vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(len),
    ];
    Expressions::Payload(attributes).into()
}

fn verdict(code: Verdict, chain: Option<String>) -> Expression {
    let mut attributes = vec![VerdictAttribute::Code(code)];
    attributes.extend(chain.map(VerdictAttribute::Chain));
    let attributes = vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(attributes)),
    ];
    Expressions::Immediate(attributes).into()
}

fn named(name: &str, attributes: Vec<DefaultNla>) -> Expression {
    let expression = Expressions::Other {
        expression_type: name.to_owned(),
        attributes,
    };
    expression.into()
}

/// Our table.
pub(super) fn table_message() -> TableMessage {
    TableMessage {
        attributes: vec![
            TableAttribute::Name(TABLE.to_owned()),
            // Awake; and without an owner, so that bans outlive the daemon.
            TableAttribute::Flags(TableFlags::empty()),
        ],
    }
}

/// A chain, by its name alone.
pub(super) fn chain_message(name: &str) -> ChainMessage {
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.to_owned()),
            ChainAttribute::Name(name.to_owned()),
        ],
    }
}

/// The base chain at a hook, called like it.
pub(super) fn base_chain_message(hook: Hook, priority: i32) -> ChainMessage {
    let mut message = chain_message(hook.as_str());
    message.attributes.extend([
        ChainAttribute::Hook(hooked(hook, priority).to_vec()),
        ChainAttribute::Policy(POLICY_ACCEPT),
        ChainAttribute::Type(BASE_TYPE.to_owned()),
    ]);
    message
}

/// How the kernel describes where the base chain at `hook` is hooked, when ours is to have `priority`.
pub(super) fn hooked(hook: Hook, priority: i32) -> [ChainHook; 2] {
    let (number, priority) = match hook {
        Hook::Input => (InetHookNumber::LocalIn, priority),
        Hook::Forward => (InetHookNumber::Forward, priority),
        Hook::Prerouting => (
            InetHookNumber::PreRouting,
            priority.min(PRIORITY_PREROUTING_MAX),
        ),
    };
    [
        ChainHook::Number(number.into()),
        ChainHook::Priority(priority.cast_unsigned()),
    ]
}

/// A set by its name alone.
pub(super) fn set_name_message(name: &str) -> SetMessage {
    SetMessage {
        attributes: vec![
            SetAttribute::Table(TABLE.to_owned()),
            SetAttribute::Name(name.to_owned()),
        ],
    }
}

/// A set of ours; `id` tells it from others of the same transaction.
pub(super) fn set_message(set: &SetId, id: u32) -> NfTablesMessage {
    let [v4, v6] = KEY_TYPE;
    let mut message = set_name_message(&set.to_string());
    let mut user_data = UDATA_KEY_BYTE_ORDER.to_vec();
    user_data.extend(BYTE_ORDER_BIG_ENDIAN.to_ne_bytes());
    message.attributes.extend([
        SetAttribute::Flags(SetFlags::Timeout),
        SetAttribute::KeyType(match set.family {
            Family::V4 => v4,
            Family::V6 => v6,
        }),
        SetAttribute::KeyLen(set.family.bytes()),
        SetAttribute::Id(id),
        SetAttribute::UserData(user_data),
    ]);
    NfTablesMessage::NewSet(message)
}

/// All rules of the table, for removal.
pub(super) fn all_rules_message() -> NfTablesMessage {
    NfTablesMessage::DeleteRule(RuleMessage {
        attributes: vec![RuleAttribute::Table(TABLE.to_owned())],
    })
}

/// A rule.
pub(super) fn rule_message(rule: PlannedRule) -> NfTablesMessage {
    let mut comment = rule.label.into_bytes();
    comment.truncate(COMMENT_BYTES_MAX - 1);
    comment.push(0);
    let mut user_data = vec![UDATA_COMMENT, u8::try_from(comment.len()).unwrap_or(0)];
    user_data.append(&mut comment);
    NfTablesMessage::NewRule(RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.to_owned()),
            RuleAttribute::Chain(rule.chain),
            RuleAttribute::Expressions(rule.expressions),
            RuleAttribute::UserData(user_data),
        ],
    })
}

/// The comment in a rule's user data.
pub(super) fn label_of(user_data: &[u8]) -> Option<String> {
    let (&[kind, len], rest) = user_data.split_first_chunk()?;
    let comment = rest.get(..usize::from(len).checked_sub(1)?)?;
    (kind == UDATA_COMMENT).then(|| String::from_utf8_lossy(comment).into_owned())
}
