//! Bans and unbans as transactions on set elements.
//!
//! A transaction fails as a whole when an element to add is there already (we ask for that: older
//! kernels would silently keep the old timeout) or one to delete is not. So each goes out twice at
//! most: first in the form that is right if the kernel is as expected, which is nearly always, and
//! if that was refused, in a form that is right whatever there is: *add, delete, add* for a ban,
//! *add, delete* for an unban. Both work on every kernel, need no listing, and cannot race with an
//! element that runs out in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use netlink_packet_core::{Emitable, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList,
    SetElementMessage,
};
use rustix::io::Errno;
use stockade_core::IpNet;

use super::batch::{Batch, Subject};
use super::conversation::{CommitError, Conversation};
use super::names::{SetId, TABLE, key};
use super::ruleset::{rule_message, set_message, set_rule};
use crate::FirewallError;
use crate::contract::{Change, TIMEOUT_MAX, TIMEOUT_MIN};
use crate::rules::BlockType;

/// Elements are one attribute of a message, and an attribute has at most 64 KiB; one element has
/// at most 40 bytes.
const ELEMENTS_PER_MESSAGE: usize = 1024;

/// Bytes that the bytes of one element can grow to: add, delete, add of an IPv6 network is
/// 28 + 28 + 40.
const ELEMENT_BYTES_MAX: usize = 96;

/// Bytes of the messages that make a set and its rule, generously.
const SET_BYTES_MAX: usize = 1536;

/// What should become of a network in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// In it, with this timeout in milliseconds; `None` for no end.
    Banned(Option<u64>),
    /// Not in it.
    Gone,
}

/// The last change for each network, by set.
pub(super) type Targets = BTreeMap<SetId, BTreeMap<IpNet, Target>>;

/// Enters a change.
pub(super) fn enter(targets: &mut Targets, change: &Change) {
    let net = change.net().trunc();
    let target = match change {
        Change::Ban { timeout, .. } => Target::Banned(timeout.map(timeout_ms)),
        Change::Unban { .. } => Target::Gone,
    };
    targets
        .entry(SetId::of(change.jail(), net))
        .or_default()
        .insert(net, target);
}

/// Whole milliseconds, rounded up, within what the kernel takes.
fn timeout_ms(timeout: Duration) -> u64 {
    let micros = timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX).as_micros();
    u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX)
}

/// A part of the changes that the kernel takes in one transaction.
pub(super) struct Piece<'a> {
    /// Sets that have to be made first, with what their rule does.
    new_sets: Vec<(&'a SetId, BlockType)>,
    changes: Vec<(&'a SetId, IpNet, Target)>,
}

/// Cuts `targets` into pieces of at most `bytes_max` bytes each.
///
/// `block` tells what a jail's rules do; sets not in `known` are made where something is banned in
/// them.
pub(super) fn cut<'a>(
    targets: &'a Targets,
    known: &BTreeSet<SetId>,
    block: impl Fn(&SetId) -> BlockType,
    bytes_max: usize,
) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut piece = Piece {
        new_sets: Vec::new(),
        changes: Vec::new(),
    };
    let mut bytes = 0;
    for (set, nets) in targets {
        let mut exists = known.contains(set);
        for (net, target) in nets {
            if *target == Target::Gone && !exists {
                continue;
            }
            let cost = ELEMENT_BYTES_MAX + if exists { 0 } else { SET_BYTES_MAX };
            if bytes + cost > bytes_max && !piece.changes.is_empty() {
                let full = Piece {
                    new_sets: std::mem::take(&mut piece.new_sets),
                    changes: std::mem::take(&mut piece.changes),
                };
                pieces.push(full);
                bytes = 0;
            }
            bytes += cost;
            if !exists {
                piece.new_sets.push((set, block(set)));
                exists = true;
            }
            piece.changes.push((set, *net, *target));
        }
    }
    if !piece.changes.is_empty() {
        pieces.push(piece);
    }
    pieces
}

impl Piece<'_> {
    /// Has the kernel carry it out; the sets that are new.
    pub(super) fn commit(
        &self,
        kernel: &mut Conversation,
    ) -> Result<impl Iterator<Item = SetId>, FirewallError> {
        let expected = self.batch(kernel.batch(), Form::Expected);
        match kernel.commit(expected) {
            Err(CommitError::Refused(refusals))
                if refusals.iter().all(|refusal| {
                    refusal.about_elements && matches!(refusal.errno, Errno::EXIST | Errno::NOENT)
                }) =>
            {
                let certain = self.batch(kernel.batch(), Form::Certain);
                kernel.commit(certain)?;
            }
            other => other?,
        }
        Ok(self.new_sets.iter().map(|(set, _)| (*set).clone()))
    }

    /// What it was made of.
    pub(super) fn changes(&self) -> Vec<Change> {
        let change = |(set, net, target): &(&SetId, IpNet, Target)| match target {
            Target::Banned(timeout) => Change::Ban {
                jail: set.jail.clone(),
                net: *net,
                timeout: timeout.map(Duration::from_millis),
            },
            Target::Gone => Change::Unban {
                jail: set.jail.clone(),
                net: *net,
            },
        };
        self.changes.iter().map(change).collect()
    }

    fn batch(&self, mut batch: Batch, form: Form) -> Batch {
        for (id, (set, block)) in (1..).zip(&self.new_sets) {
            let act = Subject::new(format!("add set '{set}'"));
            batch.push(NLM_F_CREATE, act, set_message(set, id));
            let act = Subject::new(format!("add the rule for set '{set}'"));
            let rule = rule_message(set_rule(set, *block));
            batch.push(NLM_F_CREATE | NLM_F_APPEND, act, rule);
        }
        let banned = |target| matches!(target, Target::Banned(_));
        match form {
            Form::Expected => {
                self.push(&mut batch, Verb::Remove, |target| !banned(target));
                self.push(&mut batch, Verb::AddNew, banned);
            }
            Form::Certain => {
                self.push(&mut batch, Verb::Touch, |_| true);
                self.push(&mut batch, Verb::Remove, |_| true);
                self.push(&mut batch, Verb::AddNew, banned);
            }
        }
        batch
    }

    /// Adds messages for those changes whose target is `chosen`.
    fn push(&self, batch: &mut Batch, verb: Verb, chosen: impl Fn(Target) -> bool) {
        let same_set =
            |(a, ..): &(&SetId, IpNet, Target), (b, ..): &(&SetId, IpNet, Target)| a == b;
        for run in self.changes.chunk_by(same_set) {
            let Some((set, ..)) = run.first() else {
                continue;
            };
            let chosen: Vec<_> = run
                .iter()
                .filter(|(_, _, target)| chosen(*target))
                .map(|(_, net, target)| (*net, *target))
                .collect();
            for part in chosen.chunks(ELEMENTS_PER_MESSAGE) {
                push_elements(batch, verb, set, part);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Form {
    /// Right if what to ban is not banned and what to unban is.
    Expected,
    /// Always right.
    Certain,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// Adds, and is refused where the element exists.
    AddNew,
    /// Sees to it that the element exists, with whatever timeout.
    Touch,
    /// Deletes, and is refused where there is none.
    Remove,
}

fn push_elements(batch: &mut Batch, verb: Verb, set: &SetId, part: &[(IpNet, Target)]) {
    let name = set.to_string();
    let mut head = vec![
        SetElementList::Table(TABLE.to_owned()),
        SetElementList::Set(name.clone()),
    ];
    // The elements begin after the netlink and netfilter headers, the names of table and set, and
    // the header of their own attribute.
    let mut end = 16 + 4 + head.as_slice().buffer_len() + 4;
    let mut ends = Vec::with_capacity(part.len());
    let mut list = Vec::with_capacity(part.len());
    for (net, target) in part {
        let element = element(*net, *target, verb);
        end += element.buffer_len();
        ends.push((end, *net));
        list.push(element);
    }
    head.push(SetElementList::Elements(list));
    let message = SetElementMessage { attributes: head };
    let subject = Subject {
        act: match verb {
            Verb::AddNew | Verb::Touch => "add".to_owned(),
            Verb::Remove => "remove".to_owned(),
        },
        elements: ends,
        set: name,
    };
    match verb {
        Verb::AddNew => {
            let message = NfTablesMessage::NewSetElement(message);
            batch.push(NLM_F_CREATE | NLM_F_EXCL, subject, message);
        }
        Verb::Touch => {
            let message = NfTablesMessage::NewSetElement(message);
            batch.push(NLM_F_CREATE, subject, message);
        }
        Verb::Remove => batch.push(0, subject, NfTablesMessage::DeleteSetElement(message)),
    }
}

fn element(net: IpNet, target: Target, verb: Verb) -> ListAttribute<SetElementAttribute> {
    let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(key(net)))];
    if let (Verb::AddNew, Target::Banned(Some(ms))) = (verb, target) {
        attributes.push(SetElementAttribute::Timeout(ms));
    }
    ListAttribute::Element(attributes)
}

#[cfg(test)]
mod tests {
    use stockade_core::JailName;

    use super::*;

    fn changes(nets: &[&str]) -> Targets {
        let mut targets = Targets::new();
        for net in nets {
            let change = Change::Ban {
                jail: JailName::try_new("sshd").unwrap(),
                net: net.parse().unwrap(),
                timeout: None,
            };
            enter(&mut targets, &change);
        }
        targets
    }

    #[test]
    fn timeouts_are_whole_milliseconds_within_what_the_kernel_takes() {
        assert_eq!(timeout_ms(Duration::ZERO), 1000);
        assert_eq!(timeout_ms(Duration::from_micros(1_000_001)), 1001);
        assert_eq!(timeout_ms(Duration::MAX), 3_153_600_000_000);
    }

    #[test]
    fn host_bits_do_not_make_another_network() {
        let targets = changes(&["192.0.2.7/24", "192.0.2.9/24"]);
        assert_eq!(targets.values().map(BTreeMap::len).sum::<usize>(), 1);
    }

    #[test]
    fn pieces_hold_everything_once_and_no_more_than_fits() {
        let targets = changes(&[
            "192.0.2.1/32",
            "192.0.2.2/32",
            "192.0.2.3/32",
            "2001:db8::/64",
        ]);
        let known: BTreeSet<_> = targets.keys().take(1).cloned().collect();
        for bytes_max in [0, 200, 2000, 1_000_000] {
            let pieces = cut(&targets, &known, |_| BlockType::Drop, bytes_max);
            let nets: Vec<_> = pieces
                .iter()
                .flat_map(|piece| piece.changes.iter().map(|(_, net, _)| net.to_string()))
                .collect();
            assert_eq!(nets.len(), 4, "{nets:?}");
            let new: usize = pieces.iter().map(|piece| piece.new_sets.len()).sum();
            assert_eq!(new, 1);
            let largest = pieces.iter().map(|piece| piece.changes.len()).max();
            assert!(largest <= Some((bytes_max / ELEMENT_BYTES_MAX).max(1)));
        }
    }

    #[test]
    fn an_unban_makes_no_set() {
        let mut targets = Targets::new();
        let change = Change::Unban {
            jail: JailName::try_new("sshd").unwrap(),
            net: "192.0.2.0/24".parse().unwrap(),
        };
        enter(&mut targets, &change);
        let pieces = cut(&targets, &BTreeSet::new(), |_| BlockType::Drop, 1 << 20);
        assert_eq!(pieces.len(), 0);
    }

    #[test]
    fn a_full_message_fits_into_its_attribute() {
        let net = "2001:db8::1/128".parse().unwrap();
        let element = element(net, Target::Banned(Some(1)), Verb::AddNew);
        assert!(element.buffer_len() * ELEMENTS_PER_MESSAGE <= usize::from(u16::MAX) - 4);
        let bare = 28;
        assert_eq!(element.buffer_len() + 2 * bare, ELEMENT_BYTES_MAX);
    }
}
