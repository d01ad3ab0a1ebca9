//! What nft(8) says of stockade's table, which is what packets meet.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::namespace::run;

const TABLE: [&str; 2] = ["inet", "stockade"];

/// Who is banned in the kernel for a jail: addresses, and networks with their prefix length.
///
/// # Panics
/// Where nft's answer cannot be read.
#[must_use]
pub fn banned(jail: &str) -> BTreeSet<String> {
    let Some(listing) = listing() else {
        return BTreeSet::new();
    };
    let objects = listing["nftables"].as_array().unwrap();
    let sets = objects.iter().filter_map(|object| object.get("set"));
    sets.filter_map(|set| Some((prefix_len(set["name"].as_str()?, jail)?, set.get("elem")?)))
        .flat_map(|(len, elements)| {
            elements
                .as_array()
                .unwrap()
                .iter()
                .map(move |element| network(element, len))
        })
        .collect()
}

/// With which time a ban of a jail was put into the kernel, in seconds; `None` where it has none.
///
/// # Panics
/// Where nft's answer cannot be read.
#[must_use]
pub fn ban_timeout(jail: &str, address: &str) -> Option<u64> {
    let listing = listing()?;
    let objects = listing["nftables"].as_array().unwrap();
    let sets = objects.iter().filter_map(|object| object.get("set"));
    let elements = sets
        .filter(|set| prefix_len(set["name"].as_str().unwrap_or_default(), jail).is_some())
        .filter_map(|set| set.get("elem")?.as_array())
        .flatten();
    let mut elements = elements.filter_map(|element| element.get("elem"));
    elements.find(|element| element["val"] == address)?["timeout"].as_u64()
}

/// Addresses and networks that routes lead nowhere for.
///
/// # Panics
/// Where ip's answer cannot be read.
#[must_use]
pub fn blackholes() -> BTreeSet<String> {
    let listing = run(&[
        "ip",
        "-json",
        "route",
        "show",
        "table",
        "all",
        "type",
        "blackhole",
    ]);
    let routes: Vec<Value> = serde_json::from_str(&listing).unwrap_or_default();
    let dst = |route: &Value| route["dst"].as_str().unwrap().to_owned();
    routes.iter().map(dst).collect()
}

/// Has nft(8) do something.
///
/// # Panics
/// Where it refuses.
pub fn nft(command: &str) {
    run(&["nft", command]);
}

/// Whether the kernel has the table.
#[must_use]
pub fn has_table() -> bool {
    listing().is_some()
}

/// Removes the whole table where there is one, as `nft flush ruleset` in somebody's script does.
pub fn remove_table() {
    if has_table() {
        run(&["nft", "delete", "table", TABLE[0], TABLE[1]]);
    }
}

fn listing() -> Option<Value> {
    let output = Command::new("nft")
        .args(["-j", "list", "table"])
        .args(TABLE)
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// `ban4-32-sshd` holds networks of 32 bits of the jail sshd.
fn prefix_len(set: &str, jail: &str) -> Option<u8> {
    let rest = set
        .strip_prefix("ban4-")
        .or_else(|| set.strip_prefix("ban6-"))?;
    rest.strip_suffix(jail)?.strip_suffix('-')?.parse().ok()
}

fn network(element: &Value, len: u8) -> String {
    // With a timeout the element is an object, for ever it is the bare address.
    let value = element
        .get("elem")
        .map_or(element, |element| &element["val"]);
    let address = value
        .as_str()
        .unwrap_or_else(|| panic!("nft lists {element}"));
    let single = if address.contains(':') { 128 } else { 32 };
    if len == single {
        address.to_owned()
    } else {
        format!("{address}/{len}")
    }
}
