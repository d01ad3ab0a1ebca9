//! What of a jail's rules is about the firewall: `firewall`, `hooks` and `blocktype`.

use std::collections::BTreeSet;

use crate::reading::{self, Found, Keys, Reading};
use crate::settings::{BlockType, Enforcement, FirewallBackend, Hook};
use crate::tree::{Node, Value};

/// Each costs a thread, and there are not so many kinds.
const BACKENDS_MAX: usize = 8;

/// What is meant by a jail without any of it.
const NO_FIREWALL: &str = "write firewall = \"none\" for a jail that only tells its actions";

/// Every backend by the word for it.
static BACKENDS: [(&str, FirewallBackend); 4] = [
    ("auto", FirewallBackend::Auto),
    ("nftables", FirewallBackend::Nftables),
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

    /// Reads what is in `keys`; what is not given there is taken from `self`.
    pub(crate) fn read(&self, keys: &mut Keys<'_>) -> Self {
        Self {
            firewall: keys
                .get("firewall", backends)
                .unwrap_or_else(|| self.firewall.clone()),
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

/// Reads `firewall`: one or several backends, or `none`.
fn backends(reading: &mut Reading, found: &Found) -> Option<Vec<FirewallBackend>> {
    if matches!(&found.node.value, Value::Text(text) if text == "none") {
        return Some(Vec::new());
    }
    if is_empty(reading, found) {
        return None;
    }
    let backends = reading::list(reading, found, BACKENDS_MAX, backend)?;
    let mut unique = Vec::new();
    for backend in backends {
        if !unique.contains(&backend) {
            unique.push(backend);
        }
    }
    if unique.len() > 1 && unique.contains(&FirewallBackend::Auto) {
        let message = "'firewall' is \"auto\" or a list of backends by name";
        reading.error(found.at(), message, None);
        return None;
    }
    (!unique.is_empty()).then_some(unique)
}

fn backend(reading: &mut Reading, node: &Node) -> Option<FirewallBackend> {
    let known = BACKENDS
        .iter()
        .map(|(word, backend)| (*word, Some(backend)));
    let words: Vec<_> = known.chain([("none", None)]).collect();
    let backend = reading::one_of(reading, "firewall", node, &words)?;
    if backend.is_none() {
        // Alone it was read above.
        let message = "'firewall' is \"none\" or a list of backends by name";
        reading.error(node.origin, message, None);
    }
    backend.cloned()
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
