//! What of a jail's rules is about the firewall: `firewall`, `hooks` and `blocktype`.

use std::collections::BTreeSet;

use crate::reading::{self, Found, Keys, Reading};
use crate::sections::rules::plugin_name;
use crate::settings::{BlockType, Enforcement, FirewallBackend, Hook};
use crate::source::Located;
use crate::tree::{Node, Value};

/// Each costs a thread, and there are not so many kinds.
const BACKENDS_MAX: usize = 8;

/// What is meant by a jail without any of it.
const NO_FIREWALL: &str = "write firewall = \"none\" for a jail that only tells its actions";

/// Every backend by the word for it.
static BACKENDS: [(&str, FirewallBackend); 8] = [
    ("auto", FirewallBackend::Auto),
    ("nftables", FirewallBackend::Nftables),
    ("iptables", FirewallBackend::Iptables),
    ("iptables-nft", FirewallBackend::IptablesNft),
    ("iptables-legacy", FirewallBackend::IptablesLegacy),
    ("ufw", FirewallBackend::Ufw),
    ("pf", FirewallBackend::Pf),
    ("route", FirewallBackend::Route),
];

impl Enforcement {
    /// That of a jail without configuration.
    pub(crate) fn builtin() -> Self {
        Self {
            firewall: vec![FirewallBackend::Auto],
            hooks: BTreeSet::from([Hook::Input]),
            blocktype: BlockType::Drop,
            end_connections: false,
        }
    }

    /// Reads what is in `keys` beside `firewall`; what is not given is taken from `self`.
    pub(crate) fn read(
        &self,
        keys: &mut Keys<'_>,
        firewall: Option<&[Located<FirewallBackend>]>,
    ) -> Self {
        let values = |named: &[Located<FirewallBackend>]| {
            let values = named.iter().map(|backend| backend.value.clone());
            values.collect()
        };
        Self {
            firewall: firewall.map_or_else(|| self.firewall.clone(), values),
            hooks: keys
                .get("hooks", hooks)
                .unwrap_or_else(|| self.hooks.clone()),
            blocktype: keys.get("blocktype", blocktype).unwrap_or(self.blocktype),
            end_connections: keys
                .get("end_connections", reading::boolean)
                .unwrap_or(self.end_connections),
        }
    }
}

/// The words for backends of stockade's own, `none` left out.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    BACKENDS.iter().map(|(word, _)| *word)
}

/// Whether this word is taken by stockade.
pub(crate) fn is_builtin(word: &str) -> bool {
    word == "none" || words().any(|known| known == word)
}

/// Reads `firewall`: one or several backends, or `none`.
pub(crate) fn backends(
    reading: &mut Reading,
    found: &Found,
) -> Option<Vec<Located<FirewallBackend>>> {
    if matches!(&found.node.value, Value::Text(text) if text == "none") {
        return Some(Vec::new());
    }
    if is_empty(reading, found) {
        return None;
    }
    let backends = reading::list(reading, found, BACKENDS_MAX, backend)?;
    let mut unique: Vec<Located<FirewallBackend>> = Vec::new();
    for backend in backends {
        if unique.iter().all(|other| other.value != backend.value) {
            unique.push(backend);
        }
    }
    let is_auto = |backend: &Located<_>| backend.value == FirewallBackend::Auto;
    if unique.len() > 1 && unique.iter().any(is_auto) {
        let message = "'firewall' is \"auto\" or a list of backends by name";
        reading.error(found.at(), message, None);
        return None;
    }
    (!unique.is_empty()).then_some(unique)
}

fn backend(reading: &mut Reading, node: &Node) -> Option<Located<FirewallBackend>> {
    let word = reading::word_of(reading, "firewall", node)?;
    if word.value == "none" {
        // Alone it was read above.
        let message = "'firewall' is \"none\" or a list of backends by name";
        reading.error(node.origin, message, None);
        return None;
    }
    let mut builtin = BACKENDS.iter();
    let value = match builtin.find(|(known, _)| *known == word.value) {
        Some((_, backend)) => backend.clone(),
        None => FirewallBackend::Exec(plugin_name(reading, "firewall", node)?.value),
    };
    Some(Located {
        value,
        origin: node.origin,
    })
}

/// Reads `hooks`.
fn hooks(reading: &mut Reading, found: &Found) -> Option<BTreeSet<Hook>> {
    let words = [
        ("input", Hook::Input),
        ("forward", Hook::Forward),
        ("prerouting", Hook::Prerouting),
    ];
    if is_empty(reading, found) {
        return None;
    }
    let hooks = reading::list(reading, found, words.len(), |reading, node| {
        reading::one_of(reading, "hooks", node, &words)
    })?;
    (!hooks.is_empty()).then(|| hooks.into_iter().collect())
}

/// Whether it is an empty list, which is reported.
fn is_empty(reading: &mut Reading, found: &Found) -> bool {
    let empty = reading::items(found).is_empty();
    if empty {
        let message = format!("'{}' is an empty list", found.name);
        reading.error(found.at(), message, Some(NO_FIREWALL.to_owned()));
    }
    empty
}

/// Reads `blocktype`.
fn blocktype(reading: &mut Reading, found: &Found) -> Option<BlockType> {
    let words = [
        ("drop", BlockType::Drop),
        ("reject", BlockType::Reject),
        ("tarpit", BlockType::Tarpit),
    ];
    if matches!(&found.node.value, Value::Text(text) if text == "none") {
        let message = "'blocktype' has no 'none'";
        reading.error(found.at(), message, Some(NO_FIREWALL.to_owned()));
        return None;
    }
    reading::one_of(reading, found.name, &found.node, &words)
}
