//! Making sets and rules, in the order that leaves no moment without enforcement: sets that are new, rules,
//! and last the removal of sets that no rule asks any more.

use std::collections::BTreeSet;

use stockade_core::JailName;

use super::chains::{self, Shown};
use super::names::{Family, SetId};
use super::saved::Saved;
use super::script;
use super::sets::{self, Header};
use super::tools::{Tools, failure};
use crate::FirewallError;
use crate::rules::JailRules;

/// Makes sets and rules; rules as iptables shows them then.
pub(super) fn set_up(
    tools: &Tools,
    bans_max: u32,
    rules: &[JailRules],
    before: &[(Family, Saved)],
) -> Result<Shown, FirewallError> {
    let headers = tools.headers()?;
    let wanted: BTreeSet<SetId> = rules
        .iter()
        .flat_map(|rule| SetId::of_jail(&rule.jail))
        .collect();
    replace_misfits(tools, rules, before, &headers)?;
    let there: BTreeSet<&SetId> = headers
        .iter()
        .filter(|header| header.fits)
        .map(|header| &header.id)
        .collect();
    let missing = wanted.iter().filter(|set| !there.contains(set));
    let creation: String = missing.map(|set| sets::create(set, bans_max)).collect();
    if !creation.is_empty() {
        let act = "make the sets of ipset";
        let made = tools.change_sets(act, &creation)?;
        made.map_err(|said| failure(tools.backend, act, &said))?;
    }
    for (family, saved) in before {
        let script = script::configure(*family, saved, rules);
        tools.restore(*family, &script)?;
    }
    let shown = chains::shown(&tools.saved()?, rules)?;
    for header in headers.iter().filter(|header| !wanted.contains(&header.id)) {
        match tools.destroy(&header.id) {
            // A rule of somebody else's needs it; who is in it is no ban of ours any more.
            Ok(()) | Err(FirewallError::Busy { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(shown)
}

/// Removes sets with names of ours that somebody made for something else, and first the rules that
/// refer to them, where there are any.
fn replace_misfits(
    tools: &Tools,
    rules: &[JailRules],
    before: &[(Family, Saved)],
    headers: &[Header],
) -> Result<(), FirewallError> {
    let is_misfit = |jail: &JailName| {
        headers
            .iter()
            .any(|header| !header.fits && header.id.jail == *jail)
    };
    let right: Vec<JailRules> = rules
        .iter()
        .filter(|rule| !is_misfit(&rule.jail))
        .cloned()
        .collect();
    if right.len() == rules.len() {
        return Ok(());
    }
    for (family, saved) in before {
        if saved.our_rules().next().is_some() {
            let script = script::configure(*family, saved, &right);
            tools.restore(*family, &script)?;
        }
    }
    headers
        .iter()
        .filter(|header| !header.fits && rules.iter().any(|rule| rule.jail == header.id.jail))
        .try_for_each(|header| tools.destroy(&header.id))
}
