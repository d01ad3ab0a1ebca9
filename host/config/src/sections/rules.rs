//! What `[defaults]` sets for all jails and each jail may set for itself.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use stockade_core::{BanTime, BanTimePolicy, IpNet, TimeWords};

use crate::diagnostic::quoted;
use crate::network::{IgnoreEntry, Protocol, parse_ignore};
use crate::reading::{self, Found, Keys, Reading};
use crate::sections::enforcement::backends;
use crate::sections::ignorecommand::{ignorecache, ignorecommand};
use crate::sections::increment::IncrementRules;
use crate::settings::{Enforcement, FirewallBackend, JailRules, LogBackend, LogZone, UseDns};
use crate::source::Located;
use crate::tree::{Node, Value};
use crate::words::NAME_FORM;
use stockade_core::PluginName;

/// Each id that is counted keeps up to this many times, so this bounds what an attacker can make
/// us remember: 8 KB an id. Nobody has to see a thousand failures to know.
pub(crate) const MAXRETRY_MAX: u32 = 1_000;

/// As many lines as can lead to a ban.
pub(crate) const MAXMATCHES_MAX: u32 = MAXRETRY_MAX;

/// The shortest time that a log line with whole seconds can be told apart in.
pub(crate) const TIME_MIN: Duration = Duration::from_secs(1);

/// A failure of a year ago says nothing about today.
pub(crate) const FINDTIME_MAX: Duration = Duration::from_secs(52 * 7 * 24 * 60 * 60);

/// A century; -1 says "for ever".
const BANTIME_MAX: Duration = BanTimePolicy::LONGEST;

/// The shortest prefix: registries give a /32 to a provider, so a shorter one would ban many.
const IPV6_PREFIX_MIN: u8 = 32;

/// The most entries of `ignoreip`; a list of this length fills a file of the largest size.
const IGNOREIP_MAX: usize = 50_000;

/// The most actions of a jail: each costs a thread and a queue.
pub(crate) const ACTIONS_MAX: usize = 32;

/// The rules as they were written, to be completed by the jail.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) rules: JailRules,
    /// `None`: as many as `maxretry`.
    maxmatches: Option<u32>,
    increment: IncrementRules,
    /// `None`: what fits the ports. Empty: all.
    pub(crate) protocol: Option<Vec<Protocol>>,
    /// Where `actions` names plugins, to be checked against those that are defined.
    pub(crate) actions: Vec<Located<PluginName>>,
    /// What enforces bans, to be checked against the programs that are defined.
    pub(crate) firewall: Vec<Located<FirewallBackend>>,
}

impl Rules {
    /// The rules of a jail without configuration. The numbers are those of fail2ban's jail.conf.
    pub(crate) fn builtin() -> Self {
        let ten_minutes = Duration::from_secs(10 * 60);
        let loopback = ["127.0.0.0/8", "::1/128"];
        let maxretry = NonZeroU32::MIN.saturating_add(4);
        let rules = JailRules {
            maxretry,
            findtime: ten_minutes,
            bantime: BanTime::For(ten_minutes),
            bantime_increment: None,
            maxmatches: maxretry.get(),
            ignoreip: loopback
                .iter()
                .filter_map(|net| net.parse::<IpNet>().ok().map(IgnoreEntry::Net))
                .collect(),
            ignoreself: true,
            ignorecommand: Vec::new(),
            ignorecache: None,
            // One customer mostly holds a /64 (RFC 6177 2).
            ipv6_prefix: 64,
            usedns: UseDns::No,
            logencoding: None,
            logtimezone: LogZone::Local,
            backend: LogBackend::Auto,
            enforcement: Enforcement::builtin(),
            actions: Vec::new(),
        };
        Self {
            rules,
            maxmatches: None,
            increment: IncrementRules::default(),
            protocol: None,
            actions: Vec::new(),
            firewall: Vec::new(),
        }
    }

    /// Reads the rules in `keys`; what is not given there is taken from `self`.
    pub(crate) fn read(&self, keys: &mut Keys<'_>) -> Self {
        let from = &self.rules;
        let maxretry = keys.get("maxretry", maxretry).unwrap_or(from.maxretry);
        let maxmatches = keys.get("maxmatches", |reading, found| {
            reading::number(reading, found, 0..=MAXMATCHES_MAX)
        });
        let maxmatches = maxmatches.or(self.maxmatches);
        let increment = keys
            .get("bantime_increment", |reading, found| {
                self.increment.read(reading, found)
            })
            .unwrap_or_else(|| self.increment.clone());
        let actions = keys
            .get("actions", actions)
            .unwrap_or_else(|| self.actions.clone());
        let firewall = keys.get("firewall", backends);
        let rules = JailRules {
            maxretry,
            findtime: keys
                .get("findtime", |reading, found| {
                    reading::duration(reading, found, TIME_MIN..=FINDTIME_MAX)
                })
                .unwrap_or(from.findtime),
            bantime: keys
                .get("bantime", |reading, found| {
                    reading::bantime(reading, found, TIME_MIN..=BANTIME_MAX)
                })
                .unwrap_or(from.bantime),
            bantime_increment: increment.chosen(),
            maxmatches: maxmatches.unwrap_or(maxretry.get()),
            ignoreip: keys
                .get("ignoreip", ignoreip)
                .unwrap_or_else(|| from.ignoreip.clone()),
            ignoreself: keys
                .get("ignoreself", reading::boolean)
                .unwrap_or(from.ignoreself),
            ignorecommand: keys
                .get("ignorecommand", ignorecommand)
                .unwrap_or_else(|| from.ignorecommand.clone()),
            ignorecache: keys
                .get("ignorecache", ignorecache)
                .unwrap_or_else(|| from.ignorecache.clone()),
            ipv6_prefix: keys
                .get("ipv6_prefix", |reading, found| {
                    reading::number(reading, found, IPV6_PREFIX_MIN..=128)
                })
                .unwrap_or(from.ipv6_prefix),
            usedns: keys.get("usedns", usedns).unwrap_or(from.usedns),
            logencoding: keys
                .get("logencoding", encoding)
                .unwrap_or_else(|| from.logencoding.clone()),
            logtimezone: keys
                .get("logtimezone", zone)
                .unwrap_or_else(|| from.logtimezone.clone()),
            backend: keys.get("backend", backend).unwrap_or(from.backend),
            enforcement: from.enforcement.read(keys, firewall.as_deref()),
            actions: actions.iter().map(|action| action.value.clone()).collect(),
        };
        let protocol = keys
            .get("protocol", protocol)
            .or_else(|| self.protocol.clone());
        warn_of_short_maxtime(keys.reading, &rules, &increment);
        Self {
            rules,
            maxmatches,
            increment,
            protocol,
            actions,
            firewall: firewall.unwrap_or_else(|| self.firewall.clone()),
        }
    }
}

/// A `maxtime` below `bantime` makes who comes again be banned for less than who comes first.
fn warn_of_short_maxtime(reading: &mut Reading, rules: &JailRules, increment: &IncrementRules) {
    let maxtime = rules
        .bantime_increment
        .as_ref()
        .and_then(|growing| growing.maxtime);
    if let (Some(maxtime), Some(at)) = (maxtime, increment.maxtime_at)
        && let BanTime::For(bantime) = rules.bantime
        && maxtime < bantime
    {
        let message = format!(
            "'maxtime' is shorter than 'bantime', which is {}: further bans are shorter than the first",
            TimeWords(bantime)
        );
        reading.warn(at, message, None);
    }
}

fn maxretry(reading: &mut Reading, found: &Found) -> Option<NonZeroU32> {
    if let Value::Integer(Some(0)) = found.node.value {
        let hint = "1 bans at the first failure; to ban nobody, set enabled = false";
        let message = "'maxretry' must be at least 1, found 0";
        reading.error(found.at(), message, Some(hint.to_owned()));
        return None;
    }
    reading::number(reading, found, 1..=MAXRETRY_MAX).and_then(NonZeroU32::new)
}

fn ignoreip(reading: &mut Reading, found: &Found) -> Option<Vec<IgnoreEntry>> {
    reading::list(reading, found, IGNOREIP_MAX, |reading, node| {
        let text = reading::word_of(reading, "ignoreip", node)?;
        let Some((entry, odd)) = parse_ignore(&text.value) else {
            let message = format!(
                "{} is no address, network or host name",
                quoted(&text.value)
            );
            let hint = if text.value.trim().contains([' ', ',']) {
                "write each entry in quotes of its own: [\"192.0.2.1\", \"192.0.2.2\"]".to_owned()
            } else if text.value.starts_with("file:") {
                "the path of a file with more entries is absolute: \"file:/etc/friends\"".to_owned()
            } else {
                "an id that is a text is written \"id:TEXT\"".to_owned()
            };
            reading.error(node.origin, message, Some(hint));
            return None;
        };
        if let Some(odd) = odd {
            reading.warn(node.origin, format!("{}: {odd}", quoted(&text.value)), None);
        }
        Some(entry)
    })
}

fn usedns(reading: &mut Reading, found: &Found) -> Option<UseDns> {
    let words = [
        ("no", UseDns::No),
        ("warn", UseDns::Warn),
        ("yes", UseDns::Yes),
        ("raw", UseDns::Raw),
    ];
    reading::one_of(reading, found.name, &found.node, &words)
}

/// The name of an encoding; `auto` is none.
#[expect(
    clippy::option_option,
    reason = "the outer one says that it was readable"
)]
fn encoding(reading: &mut Reading, found: &Found) -> Option<Option<Located<String>>> {
    let name = reading::word(reading, found)?;
    Some((name.value != "auto").then_some(name))
}

fn zone(reading: &mut Reading, found: &Found) -> Option<LogZone> {
    let text = reading::word(reading, found)?;
    match parse_zone(&text) {
        Some(zone) => Some(zone),
        None => {
            let message = format!("'logtimezone' is not a time zone: {}", quoted(&text.value));
            let hint = "write \"local\", \"UTC\", an offset such as \"+02:00\" or a name such as \"Europe/Berlin\"";
            reading.error(found.at(), message, Some(hint.to_owned()));
            None
        }
    }
}

fn parse_zone(text: &Located<String>) -> Option<LogZone> {
    /// No zone was ever further from Greenwich (the zone database).
    const OFFSET_HOURS_MAX: i32 = 15;
    let value = text.value.trim();
    match value {
        "local" => return Some(LogZone::Local),
        "UTC" | "utc" | "Z" => return Some(LogZone::Utc),
        _ => {}
    }
    if let Some(offset) = value.strip_prefix(['+', '-']) {
        let (hours, minutes) = match offset.split_once(':') {
            Some(parts) => parts,
            None => offset.split_at_checked(2)?,
        };
        let two = |part: &str| {
            let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse::<i32>().ok()).flatten()
        };
        let (hours, minutes) = (
            two(hours)?,
            if minutes.is_empty() { 0 } else { two(minutes)? },
        );
        let sign = if value.starts_with('-') { -1 } else { 1 };
        let inside = hours <= OFFSET_HOURS_MAX && minutes < 60;
        return inside.then_some(LogZone::Offset(sign * (hours * 3_600 + minutes * 60)));
    }
    // Names of the zone database: parts of letters, digits, '_', '-' and '+', joined by '/'. A
    // name must not climb out of the database's folder, so no part begins with a dot.
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    let named = value.len() <= 64
        && value.starts_with(|first: char| first.is_ascii_alphabetic())
        && value.split('/').all(part);
    named.then(|| LogZone::Named(text.clone()))
}

fn backend(reading: &mut Reading, found: &Found) -> Option<LogBackend> {
    let words = [
        ("auto", LogBackend::Auto),
        ("file", LogBackend::File),
        ("journal", LogBackend::Journal),
        ("stdin", LogBackend::Stdin),
    ];
    if let Value::Text(text) = &found.node.value {
        let ours = match text.as_str() {
            "systemd" => Some("journal"),
            "polling" | "pyinotify" | "inotify" | "gamin" => Some("file"),
            _ => None,
        };
        if let Some(ours) = ours {
            let message = format!("'backend' has no {}", quoted(text));
            reading.error(found.at(), message, Some(format!("write \"{ours}\"")));
            return None;
        }
    }
    reading::one_of(reading, found.name, &found.node, &words)
}

fn protocol(reading: &mut Reading, found: &Found) -> Option<Vec<Protocol>> {
    if matches!(&found.node.value, Value::Text(text) if text == "all") {
        return Some(Vec::new());
    }
    let words = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let mut list = reading::list(reading, found, 64, |reading, node| {
        reading::one_of(reading, "protocol", node, &words)
    })?;
    if reading::items(found).is_empty() {
        let hint = "write \"all\" for all protocols".to_owned();
        reading.error(found.at(), "'protocol' is an empty list", Some(hint));
        return None;
    }
    list.sort_unstable();
    list.dedup();
    Some(list)
}

fn actions(reading: &mut Reading, found: &Found) -> Option<Vec<Located<PluginName>>> {
    let mut seen = BTreeSet::new();
    reading::list(reading, found, ACTIONS_MAX, |reading, node| {
        let name = plugin_name(reading, "actions", node)?;
        if !seen.insert(name.value.clone()) {
            let message = format!("action '{}' is named twice", name.value);
            reading.error(node.origin, message, None);
            return None;
        }
        Some(name)
    })
}

/// Reads the name of a plugin.
pub(crate) fn plugin_name(
    reading: &mut Reading,
    key: &str,
    node: &Node,
) -> Option<Located<PluginName>> {
    let text = reading::word_of(reading, key, node)?;
    let name = PluginName::try_new(&text.value).ok();
    if name.is_none() {
        let message = format!("{} is not a plugin's name", quoted(&text.value));
        reading.error(node.origin, message, Some(format!("a name is {NAME_FORM}")));
    }
    name.map(|value| Located {
        value,
        origin: node.origin,
    })
}
