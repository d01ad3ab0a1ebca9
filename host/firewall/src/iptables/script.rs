//! Scripts for iptables-restore(8) with `--noflush`. Pure.
//!
//! Each table between `*NAME` and `COMMIT` is one transaction. A script names only our own chains and the
//! rules that call them; what others have stays as it is.

use std::collections::BTreeSet;

use super::names::{Family, chain, is_our_chain, table};
use super::ruleset;
use super::saved::Saved;
use crate::rules::{Hook, JailRules};

/// What makes the rules of one family be as wanted; empty where nothing is to be done.
pub(super) fn configure(family: Family, saved: &Saved, jails: &[JailRules]) -> String {
    let hooks = ruleset::hooks(jails);
    let rules = |hook| ruleset::rules(family, hook, jails);
    let mut script = String::new();
    let early = chain(Hook::Prerouting);
    if hooks.contains(&Hook::Prerouting) {
        if saved.has_chain("raw", &early) {
            // A jail that moves between the tables is at no moment in neither: `raw` gets what is new, then
            // `filter` loses what is old, then `raw` does.
            script.push_str("*raw\n");
            append(&mut script, &early, &rules(Hook::Prerouting));
            script.push_str("COMMIT\n");
        } else {
            set_up(&mut script, "raw", saved, &hooks, rules);
        }
    }
    set_up(&mut script, "filter", saved, &hooks, rules);
    if saved.has_chain("raw", &early) {
        set_up(&mut script, "raw", saved, &hooks, rules);
    }
    script
}

/// What removes all of ours in one family; empty where nothing is there.
pub(super) fn remove(saved: &Saved) -> String {
    let mut script = String::new();
    for name in ["filter", "raw"] {
        set_up(&mut script, name, saved, &BTreeSet::new(), |_| Vec::new());
    }
    script
}

/// Makes our part of one table anew.
fn set_up(
    script: &mut String,
    name: &str,
    saved: &Saved,
    hooks: &BTreeSet<Hook>,
    rules: impl Fn(Hook) -> Vec<String>,
) {
    let mut body = String::new();
    let here: Vec<Hook> = hooks
        .iter()
        .copied()
        .filter(|hook| table(*hook) == name)
        .collect();
    for hook in &here {
        // Makes it, or empties it.
        line(&mut body, format_args!(":{} - [0:0]", chain(*hook)));
    }
    for hook in Hook::ALL.into_iter().filter(|hook| table(*hook) == name) {
        call(&mut body, saved, hook, here.contains(&hook));
    }
    for hook in &here {
        append(&mut body, &chain(*hook), &rules(*hook));
    }
    let stale: Vec<&String> = saved.table(name).map_or_else(Vec::new, |table| {
        let ours = table.chains.iter().filter(|chain| is_our_chain(chain));
        ours.filter(|&ours| !here.iter().any(|hook| chain(*hook) == *ours))
            .collect()
    });
    // All are emptied before the first goes, since they may call each other.
    for step in ["-F", "-X"] {
        for chain in &stale {
            line(&mut body, format_args!("{step} {chain}"));
        }
    }
    if !body.is_empty() {
        line(script, format_args!("*{name}\n{body}COMMIT"));
    }
}

/// Sees to it that our chain is called first and once, or not at all; what is right already is left alone.
fn call(body: &mut String, saved: &Saved, hook: Hook, wanted: bool) {
    let calls = saved.calls(hook);
    if wanted && calls.len() == 1 && saved.is_called(hook) {
        return;
    }
    for call in calls {
        line(body, format_args!("-D {} {}", call.chain, call.spec));
    }
    if wanted {
        let from = saved.calling_chain(hook);
        line(body, format_args!("-I {from} 1 -j {}", chain(hook)));
    }
}

fn append(body: &mut String, chain: &str, rules: &[String]) {
    for rule in rules {
        line(body, format_args!("-A {chain} {rule}"));
    }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.push_str(&what.to_string());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use stockade_core::JailName;

    use super::*;
    use crate::rules::{BlockType, Ports};

    fn all(name: &str, hooks: &[Hook]) -> JailRules {
        JailRules {
            jail: JailName::try_new(name).unwrap(),
            ports: Ports::All,
            protocols: Vec::new(),
            block: BlockType::Drop,
            hooks: hooks.iter().copied().collect(),
        }
    }

    fn saved(rules: &str) -> Saved {
        Saved::parse(rules)
    }

    #[test]
    fn an_empty_machine_gets_a_chain_that_is_called_first() {
        assert_eq!(
            configure(Family::V4, &Saved::default(), &[all("a", &[Hook::Input])]),
            "*filter\n:stockade-input - [0:0]\n-I INPUT 1 -j stockade-input\n\
             -A stockade-input -m set --match-set stk4-a src -j DROP\nCOMMIT\n"
        );
        assert_eq!(configure(Family::V4, &Saved::default(), &[]), "");
        assert_eq!(remove(&Saved::default()), "");
    }

    #[test]
    fn a_call_that_is_right_stays_and_one_that_is_not_is_made_anew() {
        let script = |rules: &str| {
            let text =
                format!("*filter\n:INPUT ACCEPT [0:0]\n:stockade-input - [0:0]\n{rules}COMMIT\n");
            configure(Family::V4, &saved(&text), &[all("a", &[Hook::Input])])
        };
        let right = script("-A INPUT -j stockade-input\n-A INPUT -j ACCEPT\n");
        assert!(!right.contains(" INPUT "), "{right}");
        let late = script("-A INPUT -j ACCEPT\n-A INPUT -i eth0 -j stockade-input\n");
        assert!(
            late.contains("-D INPUT -i eth0 -j stockade-input\n-I INPUT 1 -j stockade-input\n"),
            "{late}"
        );
        let twice = script("-A INPUT -j stockade-input\n-A INPUT -j stockade-input\n");
        assert_eq!(twice.matches("-D INPUT").count(), 2, "{twice}");
        assert!(!late.contains("ACCEPT"), "{late}");
    }

    #[test]
    fn what_is_no_longer_wanted_goes_and_everything_of_others_stays() {
        let text = "*filter\n:INPUT ACCEPT [0:0]\n:stockade-input - [0:0]\n:stockade-old - [0:0]\n\
                    -A INPUT -j stockade-input\n-A INPUT -j f2b-sshd\n-A stockade-input -j stockade-old\nCOMMIT\n";
        assert_eq!(
            remove(&saved(text)),
            "*filter\n-D INPUT -j stockade-input\n-F stockade-input\n-F stockade-old\n\
             -X stockade-input\n-X stockade-old\nCOMMIT\n"
        );
    }

    #[test]
    fn a_jail_that_moves_to_another_table_is_at_no_moment_in_neither() {
        let text = "*raw\n:PREROUTING ACCEPT [0:0]\n:stockade-prerouting - [0:0]\n\
                    -A PREROUTING -j stockade-prerouting\n\
                    -A stockade-prerouting -m set --match-set stk4-b src -j DROP\nCOMMIT\n\
                    *filter\n:stockade-input - [0:0]\n-A INPUT -j stockade-input\nCOMMIT\n";
        let moved = [all("a", &[Hook::Prerouting]), all("b", &[Hook::Input])];
        let script = configure(Family::V4, &saved(text), &moved);
        let parts: Vec<&str> = script.split("COMMIT\n").collect();
        assert!(
            parts[0].starts_with("*raw\n-A stockade-prerouting"),
            "{script}"
        );
        assert!(parts[1].starts_with("*filter\n:stockade-input"), "{script}");
        assert!(
            parts[2].starts_with("*raw\n:stockade-prerouting"),
            "{script}"
        );
    }
}
