//! What iptables-save(8) tells, as far as it concerns us. Pure.

use std::collections::BTreeMap;

use super::names::{chain, is_our_chain, table};
use crate::rules::Hook;

/// The tables of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    tables: BTreeMap<String, Table>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Names, in the order of the listing.
    pub(super) chains: Vec<String>,
    /// All rules; those of one chain in their order.
    pub(super) rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The chain it is in.
    pub(super) chain: String,
    /// What follows the chain's name, as `iptables-restore` reads it.
    pub(super) spec: String,
    /// What it has matched.
    pub(super) packets: u64,
    /// The same in bytes.
    pub(super) bytes: u64,
}

impl Rule {
    /// Whether it leads into the chain `target`, under whatever conditions.
    pub(super) fn leads_to(&self, target: impl Fn(&str) -> bool) -> bool {
        let mut words = self.spec.split(' ').rev();
        let last = words.next();
        let jump = words.next();
        matches!(jump, Some("-j" | "-g")) && last.is_some_and(target)
    }

    /// The name of the set that it asks for the sender.
    pub(super) fn set(&self) -> Option<&str> {
        let (_, after) = self.spec.split_once("--match-set ")?;
        after.split(' ').next()
    }
}

impl Saved {
    /// Reads a listing with counters (`-c`); lines that say something else are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        let mut current: Option<&str> = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                current = Some(name);
                tables.entry(name.to_owned()).or_default();
                continue;
            }
            let Some(table) = current.and_then(|name| tables.get_mut(name)) else {
                continue;
            };
            if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap_or_default();
                table.chains.push(name.to_owned());
            } else if let Some(rule) = rule(line) {
                table.rules.push(rule);
            }
        }
        Self { tables }
    }

    /// A table, where it is in use.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// Whether somebody has rules here, in whatever table.
    pub(super) fn has_rules(&self) -> bool {
        self.tables.values().any(|table| !table.rules.is_empty())
    }

    /// Whether both have the same chains and rules; counters do not matter.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        fn shape(saved: &Saved) -> impl Iterator<Item = (&str, &[String], Vec<(&str, &str)>)> {
            saved.tables.iter().map(|(name, table)| {
                let rules = table.rules.iter();
                let rules = rules.map(|rule| (rule.chain.as_str(), rule.spec.as_str()));
                (name.as_str(), table.chains.as_slice(), rules.collect())
            })
        }
        shape(self).eq(shape(other))
    }

    /// Every rule of ours.
    pub(super) fn our_rules(&self) -> impl Iterator<Item = &Rule> {
        let rules = self.tables.values().flat_map(|table| &table.rules);
        rules.filter(|rule| is_our_chain(&rule.chain))
    }

    /// Whether there is a chain of this name in the table.
    pub(super) fn has_chain(&self, table: &str, name: &str) -> bool {
        let table = self.table(table);
        table.is_some_and(|table| table.chains.iter().any(|chain| chain == name))
    }

    /// The rules of one chain.
    pub(super) fn rules_of<'a>(
        &'a self,
        table: &str,
        chain: &'a str,
    ) -> impl Iterator<Item = &'a Rule> {
        let rules = self.table(table).map(|table| &table.rules);
        let rules = rules.into_iter().flatten();
        rules.filter(move |rule| rule.chain == chain)
    }

    /// The chain that ours is called from. docker puts the call of its chain `DOCKER-USER` in front of all
    /// rules for passing on whenever it starts, and leaves what is inside to others; so we are inside.
    pub(super) fn calling_chain(&self, hook: Hook) -> &'static str {
        match hook {
            Hook::Input => "INPUT",
            Hook::Prerouting => "PREROUTING",
            Hook::Forward => {
                let mut others = self
                    .rules_of("filter", "FORWARD")
                    .filter(|rule| !rule.leads_to(is_our_chain));
                match others.next() {
                    Some(rule) if rule.spec == format!("-j {DOCKER_USER}") => DOCKER_USER,
                    _ => "FORWARD",
                }
            }
        }
    }

    /// Whether the first rule of the chain that has to call ours does so, whatever comes.
    pub(super) fn is_called(&self, hook: Hook) -> bool {
        let call = format!("-j {}", chain(hook));
        let from = self.calling_chain(hook);
        let first = self.rules_of(table(hook), from).next();
        first.is_some_and(|rule| rule.spec == call)
    }

    /// The rules of others' chains that lead into ours.
    pub(super) fn calls(&self, hook: Hook) -> Vec<&Rule> {
        let ours = chain(hook);
        let rules = self.table(table(hook)).map(|table| &table.rules);
        let rules = rules.into_iter().flatten();
        rules
            .filter(|rule| !is_our_chain(&rule.chain) && rule.leads_to(|target| target == ours))
            .collect()
    }
}

/// docker's chain for the rules of others.
const DOCKER_USER: &str = "DOCKER-USER";

/// Reads `[1:60] -A INPUT -p tcp -j DROP`.
fn rule(line: &str) -> Option<Rule> {
    let (counters, rest) = match line.strip_prefix('[') {
        Some(rest) => {
            let (counters, rest) = rest.split_once("] ")?;
            (counters.split_once(':')?, rest)
        }
        None => (("0", "0"), line),
    };
    // A rule of nft's own that iptables cannot show has a chain only.
    let rest = rest.strip_prefix("-A ")?;
    let (chain, spec) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(Rule {
        chain: chain.to_owned(),
        spec: spec.trim_end().to_owned(),
        packets: counters.0.parse().ok()?,
        bytes: counters.1.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LISTING: &str = "\
# Generated by iptables-nft-save v1.8.9 (nf_tables) on Fri Nov 27 19:13:43 2026
*raw
:PREROUTING ACCEPT [0:0]
COMMIT
*filter
:INPUT DROP [3:180]
:FORWARD ACCEPT [0:0]
:DOCKER-USER - [0:0]
:stockade-input - [0:0]
[7:420] -A INPUT -j stockade-input
[0:0] -A INPUT -m comment --comment \"let :all in\" -j ACCEPT
[0:0] -A FORWARD -j DOCKER-USER
[2:120] -A stockade-input -p tcp -m set --match-set stk4-sshd src -j DROP
COMMIT
";

    #[test]
    fn chains_rules_and_counters_are_read() {
        let saved = Saved::parse(LISTING);
        assert!(saved.has_rules());
        assert!(saved.has_chain("filter", "stockade-input"));
        assert!(!saved.has_chain("raw", "stockade-input"));
        let ours: Vec<_> = saved.our_rules().collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0].set(), Some("stk4-sshd"));
        assert_eq!((ours[0].packets, ours[0].bytes), (2, 120));
        assert!(saved.is_called(Hook::Input));
        assert!(!saved.is_called(Hook::Forward));
        assert!(!Saved::parse("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n").has_rules());
    }

    #[test]
    fn we_are_called_from_dockers_chain_only_while_it_is_the_first_that_is_asked() {
        let at = |forward: &str| {
            let text = format!("*filter\n:FORWARD ACCEPT [0:0]\n{forward}COMMIT\n");
            Saved::parse(&text).calling_chain(Hook::Forward)
        };
        assert_eq!(at(""), "FORWARD");
        assert_eq!(at("-A FORWARD -j DOCKER-USER\n"), "DOCKER-USER");
        let after_us = "-A FORWARD -j stockade-forward\n-A FORWARD -j DOCKER-USER\n";
        assert_eq!(at(after_us), "DOCKER-USER");
        let after_all = "-A FORWARD -j ACCEPT\n-A FORWARD -j DOCKER-USER\n";
        assert_eq!(at(after_all), "FORWARD");
        assert_eq!(at("-A FORWARD -i eth0 -j DOCKER-USER\n"), "FORWARD");
    }

    #[test]
    fn a_call_behind_another_rule_or_under_a_condition_does_not_count() {
        for first in [
            "-A INPUT -j ACCEPT\n-A INPUT -j stockade-input\n",
            "[0:0] -A INPUT\n-A INPUT -j stockade-input\n",
            "-A INPUT -i eth0 -j stockade-input\n",
            "-A INPUT -j stockade-inputs\n",
            "",
        ] {
            let text = format!("*filter\n:INPUT ACCEPT [0:0]\n{first}COMMIT\n");
            let called = Saved::parse(&text).is_called(Hook::Input);
            assert!(!called, "{first}");
        }
    }

    proptest! {
        #[test]
        fn no_listing_however_odd_stops_the_reader(text in "\\PC*|([*:\\[\\]A-Za-z0-9 \n-]{0,80})*") {
            let saved = Saved::parse(&text);
            let _ = saved.our_rules().filter_map(Rule::set).count();
            let _ = saved.is_called(Hook::Forward);
        }
    }
}
