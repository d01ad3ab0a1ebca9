//! What a jail's settings mean to the firewall and to the decider.

use std::time::Duration;

use stockade_config::{BlockType, Hook, IgnoreEntry, JailSettings, Ports, Protocol};
use stockade_core::{BanTimePolicy, FailureId, IgnoreSet, JailPolicy};
use stockade_firewall::{JailRules, PortRange};

/// The firewall's rules for a jail.
pub(super) fn rules(jail: &JailSettings) -> JailRules {
    let block = match jail.rules.enforcement.blocktype {
        BlockType::Drop => stockade_firewall::BlockType::Drop,
        BlockType::Reject => stockade_firewall::BlockType::Reject,
        BlockType::Tarpit => stockade_firewall::BlockType::Tarpit,
    };
    let hook = |hook: &Hook| match hook {
        Hook::Input => stockade_firewall::Hook::Input,
        Hook::Forward => stockade_firewall::Hook::Forward,
        Hook::Prerouting => stockade_firewall::Hook::Prerouting,
    };
    let range = |range: &stockade_config::PortRange| PortRange {
        first: range.first,
        last: range.last,
    };
    JailRules {
        jail: jail.name.clone(),
        ports: match &jail.port {
            Ports::All => stockade_firewall::Ports::All,
            Ports::Some(ranges) => {
                stockade_firewall::Ports::List(ranges.iter().map(range).collect())
            }
        },
        protocols: jail
            .protocol
            .iter()
            .map(|protocol| match protocol {
                Protocol::Tcp => stockade_firewall::Protocol::Tcp,
                Protocol::Udp => stockade_firewall::Protocol::Udp,
            })
            .collect(),
        block,
        hooks: jail.rules.enforcement.hooks.iter().map(hook).collect(),
    }
}

/// The decider's rules for a jail, which remembers bans for `remember`. Names and files in
/// `ignoreip` are [`super::ignored::ChangingIgnores`].
pub(super) fn policy(jail: &JailSettings, remember: Duration) -> JailPolicy {
    let ids = jail.rules.ignoreip.iter().filter_map(|entry| match entry {
        IgnoreEntry::Net(net) => Some(FailureId::from_net(*net)),
        IgnoreEntry::Text(text) => Some(FailureId::Text(text.as_str().into())),
        IgnoreEntry::Name(_) | IgnoreEntry::File(_) => None,
    });
    JailPolicy {
        name: jail.name.clone(),
        maxretry: jail.rules.maxretry,
        findtime: jail.rules.findtime,
        bantime: BanTimePolicy {
            bantime: jail.rules.bantime,
            increment: jail.rules.bantime_increment.clone(),
        },
        remember,
        ipv6_prefix: jail.rules.ipv6_prefix,
        maxmatches: jail.rules.maxmatches,
        ignore: IgnoreSet::from_ids(ids),
        ignoreself: jail.rules.ignoreself,
    }
}
