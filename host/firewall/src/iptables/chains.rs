//! Whether our chains are as they should be, by what iptables-save(8) tells. Pure.

use std::collections::BTreeMap;

use super::names::{Family, chain, table};
use super::ruleset;
use super::saved::Saved;
use crate::FirewallError;
use crate::rules::{Hook, JailRules};

/// The rules of our chains as iptables shows them, which is not always how they were written.
pub(super) type Shown = BTreeMap<(Family, Hook), Vec<String>>;

/// What is wrong with one chain of ours.
pub(super) fn trouble(
    family: Family,
    hook: Hook,
    saved: &Saved,
    wanted: Option<&Vec<String>>,
) -> Option<String> {
    let (ours, program, table) = (chain(hook), family.program(), table(hook));
    if !saved.has_chain(table, &ours) {
        return Some(format!("{program}: chain '{ours}' of table '{table}'"));
    }
    let found = saved.rules_of(table, &ours).map(|rule| &rule.spec);
    if !wanted.is_some_and(|wanted| found.eq(wanted)) {
        return Some(format!(
            "{program}: chain '{ours}' has other rules than it should"
        ));
    }
    if saved.is_called(hook) {
        return None;
    }
    let from = saved.calling_chain(hook);
    Some(match saved.rules_of(table, from).next() {
        Some(first) if !saved.calls(hook).is_empty() => format!(
            "{program}: chain '{from}' has the rule '{}' in front of ours",
            first.spec.escape_debug()
        ),
        _ => format!("{program}: the rule of '{from}' that calls '{ours}'"),
    })
}

/// The rules of our chains as they are shown, where they are those that were just made.
pub(super) fn shown(
    saved: &[(Family, Saved)],
    rules: &[JailRules],
) -> Result<Shown, FirewallError> {
    let mut shown = BTreeMap::new();
    for (family, saved) in saved {
        for hook in ruleset::hooks(rules) {
            let ours = chain(hook);
            let found: Vec<_> = saved.rules_of(table(hook), &ours).collect();
            let wanted = ruleset::rules(*family, hook, rules);
            let is_ours = found.len() == wanted.len()
                && found.iter().zip(&wanted).all(|(found, wanted)| {
                    found
                        .set()
                        .is_some_and(|set| wanted.contains(&format!("--match-set {set} src")))
                });
            if !is_ours || !saved.is_called(hook) {
                return Err(FirewallError::Busy {
                    act: format!("set up the chain '{ours}' of {}", family.program()),
                    what: "another program changes the rules at the same time".to_owned(),
                });
            }
            let specs = found.into_iter().map(|rule| rule.spec.clone()).collect();
            shown.insert((*family, hook), specs);
        }
    }
    Ok(shown)
}
