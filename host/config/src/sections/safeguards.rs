//! What of `[firewall]` keeps a ban from hitting whom it must not, or too many.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use stockade_core::{Safeguards, Widest};

use crate::diagnostic::quoted;
use crate::reading::{self, Found, Keys, Reading};
use crate::settings::{Admin, NeverBan};
use crate::tree::Node;

/// A host with more administrators than this gives them a group.
const ADMINS_MAX: usize = 100;

/// Prefix lengths of networks that may be banned at all: the firewall refuses what is wider, since IANA
/// gives nobody more.
const WIDEST_IPV4: std::ops::RangeInclusive<u8> = 8..=32;
const WIDEST_IPV6: std::ops::RangeInclusive<u8> = 12..=128;

/// The time of each ban of the last minute is remembered, 8 bytes.
const BANS_PER_MINUTE_MAX: u32 = 100_000;

/// Every kind of address by the word for it.
const KINDS: [(&str, NeverBan); 3] = [
    ("gateway", NeverBan::Gateway),
    ("resolvers", NeverBan::Resolvers),
    ("ssh_sessions", NeverBan::SshSessions),
];

/// Where nothing is configured: all kinds.
pub(super) fn all_kinds() -> BTreeSet<NeverBan> {
    KINDS.iter().map(|(_, kind)| *kind).collect()
}

/// Where nothing is configured: the users and groups that administer most systems.
pub(super) fn usual_admins() -> Vec<Admin> {
    vec![
        Admin::User("root".to_owned()),
        Admin::Group("sudo".to_owned()),
        Admin::Group("wheel".to_owned()),
    ]
}

pub(super) fn safeguards(keys: &mut Keys<'_>) -> Safeguards {
    let default = Safeguards::default();
    let widest = Widest {
        ipv4: keys
            .get("widest_ipv4", |reading, found| {
                reading::number(reading, found, WIDEST_IPV4)
            })
            .unwrap_or(default.widest.ipv4),
        ipv6: keys
            .get("widest_ipv6", |reading, found| {
                reading::number(reading, found, WIDEST_IPV6)
            })
            .unwrap_or(default.widest.ipv6),
    };
    let bans_per_minute = keys
        .get("bans_per_minute", |reading, found| {
            reading::number(reading, found, 0..=BANS_PER_MINUTE_MAX)
        })
        .map_or(default.bans_per_minute, NonZeroU32::new);
    Safeguards {
        widest,
        bans_per_minute,
    }
}

/// Reads `never_ban`.
pub(super) fn never_ban(reading: &mut Reading, found: &Found) -> Option<BTreeSet<NeverBan>> {
    let kinds = reading::list(reading, found, KINDS.len(), |reading, node| {
        reading::one_of(reading, "never_ban", node, &KINDS)
    })?;
    Some(kinds.into_iter().collect())
}

/// Reads `admins`.
pub(super) fn admins(reading: &mut Reading, found: &Found) -> Option<Vec<Admin>> {
    reading::list(reading, found, ADMINS_MAX, admin)
}

fn admin(reading: &mut Reading, node: &Node) -> Option<Admin> {
    let text = reading::word_of(reading, "admins", node)?.value;
    let (name, group) = match text.strip_prefix('@') {
        Some(group) => (group, true),
        None => (text.as_str(), false),
    };
    // passwd(5) and group(5): fields end at a colon, lists at a comma.
    if name.is_empty() || name.contains(|c: char| c == ':' || c == ',' || c.is_whitespace()) {
        let message = format!("'admins' has no user or @group in {}", quoted(&text));
        reading.error(node.origin, message, None);
        return None;
    }
    let name = name.to_owned();
    Some(if group {
        Admin::Group(name)
    } else {
        Admin::User(name)
    })
}
