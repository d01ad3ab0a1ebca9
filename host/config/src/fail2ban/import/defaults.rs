//! `[defaults]`: what fail2ban's `[DEFAULT]` says, so that each jail says only what is its own.

use std::collections::BTreeMap;

use super::toml::Body;
use crate::reference::{KEYS, Section};
use crate::stock;

/// What every jail says of its ports decides about its protocols.
const OF_JAILS: [&str; 1] = ["protocol"];

/// Moves what jails have in common out of them, and returns it.
///
/// The value of `from`, which stands for a jail that says nothing itself, is what holds for all;
/// where there is none, the value that most jails have. What is built in is not written at all.
pub(super) fn factored(jails: &mut BTreeMap<String, Body>, from: &Body) -> Body {
    let mut defaults = Body::default();
    let built_in = as_many_as_maxretry(from);
    if built_in {
        drop_where(jails, "maxmatches", as_many_as_maxretry);
    }
    for key in KEYS.iter().filter(|key| key.section == Section::Defaults) {
        let name = key.name;
        let kept = OF_JAILS.contains(&name) || name == "maxmatches" && built_in;
        if jails.is_empty() || kept {
            continue;
        }
        let Some(source) = common(name, jails, from) else {
            continue;
        };
        let Some(value) = source.get(name).map(str::to_owned) else {
            continue;
        };
        if value != key.default {
            defaults.copy(name, &source);
        }
        drop_where(jails, name, |body| body.get(name) == Some(&*value));
    }
    drop_where(jails, "protocol", is_protocol_implied);
    defaults
}

/// Who has the value that holds for all; `None` where each jail has to say it itself.
fn common(name: &str, jails: &BTreeMap<String, Body>, from: &Body) -> Option<Body> {
    // What a jail does not say it would take from [defaults].
    if jails.values().any(|body| body.get(name).is_none()) {
        return None;
    }
    let source = match from.get(name) {
        Some(_) => from,
        None => most_common(name, jails)?,
    };
    let value = source.get(name)?;
    // A table of a jail takes from that of [defaults] what it does not name.
    let inherited = value.starts_with('{')
        && jails.values().any(|body| {
            let own = body.get(name);
            own != Some(value) && own != Some("false")
        });
    (!inherited).then(|| source.clone())
}

/// A jail with the value that most have; the first of several.
fn most_common<'b>(name: &str, jails: &'b BTreeMap<String, Body>) -> Option<&'b Body> {
    let count = |value: Option<&str>| {
        let same = jails.values().filter(|body| body.get(name) == value);
        same.count()
    };
    let counted = jails.values().map(|body| (count(body.get(name)), body));
    let best = counted.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, body)| body)
}

fn as_many_as_maxretry(body: &Body) -> bool {
    body.get("maxmatches").is_some() && body.get("maxmatches") == body.get("maxretry")
}

/// TCP where there are ports, and all where there are none.
fn is_protocol_implied(body: &Body) -> bool {
    match body.get("port") {
        Some("\"all\"") | None => body.get("protocol") == Some("\"all\""),
        Some(_) => body.get("protocol") == Some("[\"tcp\"]"),
    }
}

/// Removes a key where it says nothing new. A built-in jail of the name that has the key would win
/// otherwise.
fn drop_where(jails: &mut BTreeMap<String, Body>, key: &str, says_nothing: impl Fn(&Body) -> bool) {
    for (name, body) in jails {
        if says_nothing(body) && !is_built_in(name, key) {
            body.remove(key);
        }
    }
}

fn is_built_in(jail: &str, key: &str) -> bool {
    let stock = stock::JAILS.iter().find(|(name, _)| *name == jail);
    let keys = stock.into_iter().flat_map(|(_, text)| text.lines());
    let mut keys = keys.filter_map(|line| line.split_once('='));
    keys.any(|(name, _)| name.trim() == key)
}
