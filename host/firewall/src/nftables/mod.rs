//! nftables by netlink: a table of our own, and nothing outside of it.

mod batch;
mod conversation;
mod elements;
mod kernel_state;
mod names;
mod ruleset;
mod watch;

use std::collections::BTreeSet;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use rustix::io::Errno;
use stockade_core::IpNet;
use stockade_core::JailName;

use self::batch::{Batch, Subject};
use self::conversation::{CommitError, Conversation};
use self::elements::Targets;
use self::kernel_state::{
    ChainShape, KernelState, TableState, read_counters, read_elements, read_sets, read_table,
};
use self::names::{Family, SetId, TABLE, jail_chain};
use self::watch::OURS;
pub(crate) use self::watch::{IPTABLES, TableWatch};
use crate::contract::{
    Change, Counter, Element, Firewall, Health, Refusal, TIMEOUT_MAX, Timeouts, check_change,
};
use crate::rules::{BlockType, Hook, JailRules, check_rules};
use crate::{FirewallError, NftablesOptions, Watch, connections};

/// Name of the backend.
const NAME: &str = "nftables";

/// How often setting up is begun again when somebody deletes our things at the same moment.
const CONFIGURE_ATTEMPTS_MAX: usize = 5;

/// The nftables backend.
#[derive(Debug)]
pub struct Nftables {
    kernel: Conversation,
    options: NftablesOptions,
    /// What was configured last.
    rules: Vec<JailRules>,
    /// The sets that are there as far as we know; what is wrong with it heals by `configure`.
    sets: BTreeSet<SetId>,
    configured: bool,
}

impl Nftables {
    /// Opens a netlink socket and checks that nf_tables is there and may be used.
    ///
    /// # Errors
    /// [`FirewallError::NotPermitted`], [`FirewallError::Unavailable`], or that the socket fails.
    pub fn open(options: NftablesOptions) -> Result<Self, FirewallError> {
        let mut kernel = Conversation::open()?;
        read_table(&mut kernel)?;
        Ok(Self {
            kernel,
            options,
            rules: Vec::new(),
            sets: BTreeSet::new(),
            configured: false,
        })
    }

    fn block(&self, set: &SetId) -> BlockType {
        let rule = self.rules.iter().find(|rule| rule.jail == set.jail);
        rule.map_or_else(BlockType::default, |rule| rule.block)
    }

    /// The changes that can be applied, and why the others cannot.
    fn accept(&self, changes: &[Change]) -> (Targets, Vec<Refusal>) {
        let mut targets = Targets::new();
        let mut refused = Vec::new();
        for change in changes {
            match check_change(change, &self.rules) {
                Ok(()) => elements::enter(&mut targets, change),
                Err(error) => refused.push(Refusal {
                    changes: vec![change.clone()],
                    error,
                }),
            }
        }
        (targets, refused)
    }
}

impl Firewall for Nftables {
    fn name(&self) -> &str {
        NAME
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::Kept { max: TIMEOUT_MAX }
    }

    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError> {
        check_rules(rules)?;
        let mut attempts = 1;
        loop {
            let state = KernelState::read(&mut self.kernel, self.options.priority)?;
            if state.table == TableState::Dormant {
                // The kernel does not take a new base chain together with the waking.
                let batch = add_table(self.kernel.batch());
                self.kernel.commit(batch)?;
            }
            let sets = wanted_sets(rules, &state);
            let batch = setup(
                self.kernel.batch(),
                rules,
                &sets,
                &state,
                self.options.priority,
            );
            match self.kernel.commit(batch) {
                Ok(()) => {
                    self.rules = rules.to_vec();
                    self.sets = sets;
                    self.configured = true;
                    return Ok(());
                }
                Err(error) if attempts < CONFIGURE_ATTEMPTS_MAX && changed_meanwhile(&error) => {
                    attempts += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError> {
        let (targets, mut refused) = self.accept(changes);
        let block = |set: &SetId| self.block(set);
        let pieces = elements::cut(&targets, &self.sets, block, self.kernel.send_bytes_max());
        for piece in pieces {
            match piece.commit(&mut self.kernel) {
                Ok(new) => self.sets.extend(new),
                // One piece that the kernel dislikes must not keep the others out.
                Err(error @ FirewallError::Refused { .. }) => refused.push(Refusal {
                    changes: piece.changes(),
                    error,
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    fn list(&mut self) -> Result<Vec<Element>, FirewallError> {
        let sets = read_sets(&mut self.kernel)?;
        let mut elements = Vec::new();
        for set in sets.iter().filter_map(|set| set.id.as_ref()) {
            let found = read_elements(&mut self.kernel, set)?;
            elements.extend(found.into_iter().map(|(net, expires)| Element {
                jail: set.jail.clone(),
                net,
                expires,
            }));
        }
        Ok(elements)
    }

    fn probe(&mut self) -> Result<Health, FirewallError> {
        let state = KernelState::read(&mut self.kernel, self.options.priority)?;
        let mut what = Vec::new();
        if !self.configured {
            what.push("rules: none were configured yet".to_owned());
        }
        what.extend(trouble(&self.rules, &self.sets, &state));
        Ok(if what.is_empty() {
            Health::InPlace
        } else {
            Health::Missing { what }
        })
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        let mut batch = self.kernel.batch();
        let act = || Subject::new(format!("delete table 'inet {TABLE}'"));
        // Adding first makes deleting right whether or not it is there.
        let table = ruleset::table_message();
        batch.push(NLM_F_CREATE, act(), NfTablesMessage::NewTable(table));
        let table = ruleset::table_message();
        batch.push(0, act(), NfTablesMessage::DeleteTable(table));
        self.kernel.commit(batch)?;
        self.rules.clear();
        self.sets.clear();
        self.configured = false;
        Ok(())
    }

    fn counters(&mut self) -> Result<Vec<Counter>, FirewallError> {
        let counted = read_counters(&mut self.kernel)?;
        let of_jail = |jail: &JailName| {
            let chain = jail_chain(jail);
            let rules = counted.iter().filter(|rule| rule.chain == chain);
            let zero = Counter {
                jail: jail.clone(),
                packets: 0,
                bytes: 0,
            };
            rules.fold(zero, |sum, rule| Counter {
                packets: sum.packets.saturating_add(rule.packets),
                bytes: sum.bytes.saturating_add(rule.bytes),
                ..sum
            })
        };
        Ok(self.rules.iter().map(|rule| of_jail(&rule.jail)).collect())
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, FirewallError> {
        Ok(Some(Box::new(TableWatch::open(
            OURS,
            Some(self.kernel.port()),
        )?)))
    }

    fn end_connections(&mut self, nets: &[IpNet]) -> Result<usize, FirewallError> {
        connections::end_connections(nets)
    }
}

/// Something that was listed is gone, or something came up that was not listed.
fn changed_meanwhile(error: &CommitError) -> bool {
    matches!(error, CommitError::Refused(refusals)
        if refusals.iter().all(|refusal| matches!(refusal.errno, Errno::NOENT | Errno::EXIST)))
}

/// The sets for single addresses of each jail, and those that an earlier run left.
fn wanted_sets(rules: &[JailRules], state: &KernelState) -> BTreeSet<SetId> {
    let single = rules
        .iter()
        .flat_map(|rule| [Family::V4, Family::V6].map(|family| SetId::single(&rule.jail, family)));
    let kept = state
        .set_ids()
        .filter(|set| rules.iter().any(|rule| rule.jail == set.jail))
        .cloned();
    single.chain(kept).collect()
}

/// The transaction that makes the table be as wanted: all rules are made anew, chains and sets
/// that are right stay, all others go.
fn setup(
    batch: Batch,
    rules: &[JailRules],
    sets: &BTreeSet<SetId>,
    state: &KernelState,
    priority: i32,
) -> Batch {
    let mut batch = add_table(batch);
    let act = Subject::new("remove all old rules");
    batch.push(0, act, ruleset::all_rules_message());

    let (bases, chains) = (ruleset::hooks(rules), ruleset::plain_chains(rules));
    let kept = |set: &SetId| sets.contains(set);
    for set in &state.sets {
        if !set.id.as_ref().is_some_and(kept) {
            let act = Subject::new(format!("remove set '{}'", set.name));
            let message = ruleset::set_name_message(&set.name);
            batch.push(0, act, NfTablesMessage::DeleteSet(message));
        }
    }
    for chain in &state.chains {
        if !fits(&bases, &chains, &chain.name, chain.shape) {
            let act = Subject::new(format!("remove chain '{}'", chain.name));
            let message = ruleset::chain_message(&chain.name);
            batch.push(0, act, NfTablesMessage::DeleteChain(message));
        }
    }
    let there = |name: &str| {
        let shape = state.chain(name);
        shape.is_some_and(|shape| fits(&bases, &chains, name, shape))
    };
    for hook in bases.iter().filter(|hook| !there(hook.as_str())) {
        let act = Subject::new(format!("add the base chain '{hook}'"));
        let message = ruleset::base_chain_message(*hook, priority);
        batch.push(NLM_F_CREATE, act, NfTablesMessage::NewChain(message));
    }
    for chain in chains.iter().filter(|chain| !there(chain)) {
        let act = Subject::new(format!("add chain '{chain}'"));
        let message = NfTablesMessage::NewChain(ruleset::chain_message(chain));
        batch.push(NLM_F_CREATE, act, message);
    }
    let existing: BTreeSet<_> = state.set_ids().collect();
    for (id, set) in (1..).zip(sets.iter().filter(|set| !existing.contains(set))) {
        let act = Subject::new(format!("add set '{set}'"));
        batch.push(NLM_F_CREATE, act, ruleset::set_message(set, id));
    }
    for rule in ruleset::plan(rules, sets) {
        let act = Subject::new(format!("add rule '{}'", rule.label));
        let message = ruleset::rule_message(rule);
        batch.push(NLM_F_CREATE | NLM_F_APPEND, act, message);
    }
    batch
}

/// Sees to it that the table is there and awake.
fn add_table(mut batch: Batch) -> Batch {
    let act = Subject::new(format!("add table 'inet {TABLE}'"));
    let table = ruleset::table_message();
    batch.push(NLM_F_CREATE, act, NfTablesMessage::NewTable(table));
    batch
}

/// Whether a chain of this name and shape belongs in the table.
fn fits(bases: &BTreeSet<Hook>, plain: &BTreeSet<String>, name: &str, shape: ChainShape) -> bool {
    match shape {
        ChainShape::Base(hook) => name == hook.as_str() && bases.contains(&hook),
        ChainShape::Plain => plain.contains(name),
        ChainShape::Foreign => false,
    }
}

/// What is missing or altered.
fn trouble(rules: &[JailRules], sets: &BTreeSet<SetId>, state: &KernelState) -> Vec<String> {
    match state.table {
        TableState::Missing => return vec![format!("table 'inet {TABLE}'")],
        TableState::Dormant => return vec![format!("table 'inet {TABLE}' is switched off")],
        TableState::Present => {}
    }
    let mut trouble = Vec::new();
    let bases = ruleset::hooks(rules);
    for hook in &bases {
        match state.chain(hook.as_str()) {
            Some(ChainShape::Base(found)) if found == *hook => {}
            Some(_) => trouble.push(format!("chain '{hook}' is not hooked as it should be")),
            None => trouble.push(format!("chain '{hook}'")),
        }
    }
    let existing: BTreeSet<_> = state.set_ids().collect();
    let missing = sets.iter().filter(|set| !existing.contains(set));
    trouble.extend(missing.map(|set| format!("set '{set}'")));

    let planned = ruleset::plan(rules, sets);
    for rule in &planned {
        let found = state
            .rules
            .iter()
            .any(|found| found.chain == rule.chain && found.label.as_ref() == Some(&rule.label));
        if !found {
            trouble.push(format!("rule '{}' of chain '{}'", rule.label, rule.chain));
        }
    }
    // A rule of somebody else's in front of ours may let everybody in.
    let mut ours = ruleset::plain_chains(rules);
    ours.extend(bases.iter().map(ToString::to_string));
    for rule in state.rules.iter().filter(|rule| ours.contains(&rule.chain)) {
        let known = planned.iter().any(|planned| {
            planned.chain == rule.chain && rule.label.as_ref() == Some(&planned.label)
        });
        if !known {
            trouble.push(format!(
                "chain '{}' has a rule that is not ours",
                rule.chain
            ));
        }
    }
    trouble
}
