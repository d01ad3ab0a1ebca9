//! What the rest of pf has to be like for our anchor to matter: pf is on, and the main ruleset asks our
//! anchor before anything lets packets in for good.

use crate::pf::names::ANCHOR;

/// Beginning of what is wrong where the main ruleset does not ask us.
const NO_ANCHOR: &str = "pf's main ruleset does not ask anchor";

/// What of pf's configuration decides whether bans hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PfSurroundings {
    /// Whether pf is on.
    pub enabled: bool,
    /// Whether the main ruleset asks our anchor about packets that come in.
    pub asks_anchor: bool,
    /// Rules that let everything in before our anchor is asked; no ban holds then. As pfctl shows them.
    pub lets_all_in: Vec<String>,
    /// Rules that let some packets of anybody in before our anchor is asked: no ban holds for those. They
    /// may be meant so. As pfctl shows them.
    pub lets_some_in: Vec<String>,
    /// Interfaces, other than loopback, that pf does not look at (`set skip on`): no ban holds there.
    pub skipped: Vec<String>,
}

impl PfSurroundings {
    /// Reads the answers to `pfctl -s info` (whether pf is on), `-s rules` and `-s nat`.
    pub(super) fn read(enabled: bool, main_rules: &str, translations: &str) -> Self {
        let mut found = Self {
            enabled,
            asks_anchor: false,
            lets_all_in: Vec::new(),
            lets_some_in: Vec::new(),
            skipped: Vec::new(),
        };
        // Rules of an inline anchor are indented below it; what is in braces holds under its conditions.
        let top_level = |line: &&str| !line.starts_with([' ', '\t', '}']);
        for rule in main_rules.lines().filter(top_level) {
            let words: Vec<&str> = rule.split_ascii_whitespace().collect();
            if is_our_anchor(&words) {
                found.asks_anchor = true;
                break;
            }
            match lets_in(&words) {
                None => {}
                Some(Width::All) => found.lets_all_in.push(rule.trim_end().to_owned()),
                Some(Width::Some) => found.lets_some_in.push(rule.trim_end().to_owned()),
            }
        }
        let passes = |line: &&str| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            words.starts_with(&["rdr", "pass"]) && is_from_anybody(&words)
        };
        let rdr = translations.lines().filter(top_level).filter(passes);
        found
            .lets_some_in
            .extend(rdr.map(|rule| rule.trim_end().to_owned()));
        found
    }

    /// Why no ban holds, each in words for the log; empty where bans hold.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.enabled {
            problems.push("pf is disabled: 'service pf start' enables it".to_owned());
        }
        if !self.asks_anchor {
            problems.push(format!(
                "{NO_ANCHOR} '{ANCHOR}': pf.conf needs a line 'anchor \"{ANCHOR}\"' ('stockade firewall setup')"
            ));
        }
        for rule in &self.lets_all_in {
            problems.push(format!(
                "'{rule}' lets everything in before anchor '{ANCHOR}' is asked: move the anchor before it"
            ));
        }
        problems
    }
}

/// The lines that pf.conf needs, and how they are put into force.
///
/// Nobody but the administrator writes into pf.conf: where the line has to stand depends on what else is in
/// it.
#[must_use]
pub fn setup_lines() -> String {
    format!(
        "\
# In /etc/pf.conf, after options, scrub, nat and rdr, and before the first rule with 'pass ... quick'.
# stockade fills this anchor with rules that block banned addresses.
anchor \"{ANCHOR}\"

# Then, as root:
#   pfctl -nf /etc/pf.conf && service pf reload
#   pfctl -s rules | grep anchor
"
    )
}

/// How much a rule lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    All,
    Some,
}

/// `anchor "stockade" all`, not for outgoing packets only. `anchor "stockade/*"` asks the anchors below it,
/// not itself.
fn is_our_anchor(words: &[&str]) -> bool {
    let ["anchor", name, rest @ ..] = words else {
        return false;
    };
    let name = name.trim_matches('"');
    name.strip_prefix('/').unwrap_or(name) == ANCHOR && rest.first() != Some(&"out")
}

/// Whether a rule lets packets of anybody in without asking the rules after it.
fn lets_in(words: &[&str]) -> Option<Width> {
    let ["pass", rest @ ..] = words else {
        return None;
    };
    let has = |word: &str| rest.contains(&word);
    if !has("quick") || rest.first() == Some(&"out") || !is_from_anybody(rest) {
        return None;
    }
    let on = rest.iter().position(|word| *word == "on");
    let interface = on.and_then(|at| rest.get(at + 1)).copied();
    // Nobody from outside comes in there.
    if interface.is_some_and(is_loopback) {
        return None;
    }
    let conditions = [
        "on",
        "proto",
        "port",
        "inet",
        "inet6",
        "tagged",
        "user",
        "group",
        "probability",
    ];
    let narrow = conditions.into_iter().any(has) || !to_anybody(rest);
    Some(if narrow { Width::Some } else { Width::All })
}

/// `lo0`, or the group `lo`.
fn is_loopback(interface: &str) -> bool {
    let number = interface.strip_prefix("lo");
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The interfaces, other than loopback, that `-v -s Interfaces` marks: `em0 (skip)`.
pub(super) fn skipped(listed: &str) -> Vec<String> {
    listed
        .lines()
        .filter_map(|line| line.trim().strip_suffix("(skip)"))
        .map(|name| name.trim().to_owned())
        .filter(|name| !is_loopback(name))
        .collect()
}

/// `all` is short for `from any to any`.
fn is_from_anybody(words: &[&str]) -> bool {
    words.contains(&"all") || follows(words, "from", "any")
}

fn to_anybody(words: &[&str]) -> bool {
    words.contains(&"all") || follows(words, "to", "any")
}

fn follows(words: &[&str], first: &str, second: &str) -> bool {
    words.windows(2).any(|pair| pair == [first, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: &str = "\
scrub in all fragment reassemble
block drop in log all
pass out all flags S/SA keep state
pass quick on lo0 all flags S/SA keep state
pass in quick inet from 192.0.2.0/24 to any flags S/SA keep state
anchor \"stockade\" all
pass in quick proto tcp from any to any port = 22 flags S/SA keep state
";

    #[test]
    fn a_ruleset_that_asks_us_first_is_right() {
        let found = PfSurroundings::read(
            true,
            ASKS,
            "nat on em0 inet from 10.0.0.0/8 to any -> 192.0.2.1\n",
        );
        assert_eq!(found.problems(), [""; 0]);
        assert_eq!(found.lets_some_in, [""; 0]);
    }

    #[test]
    fn without_pf_or_our_line_no_ban_holds() {
        let found = PfSurroundings::read(false, "", "");
        let problems = found.problems();
        assert!(problems[0].contains("pf is disabled"), "{problems:?}");
        assert!(problems[1].contains("anchor \"stockade\""), "{problems:?}");
        for line in [
            "anchor \"stockade\" out all",
            "anchor \"stockade/*\" all",
            "anchor \"f2b/*\" all",
            "anchor \"outer\" all {\n  anchor \"stockade\" all\n}",
        ] {
            let found = PfSurroundings::read(true, line, "");
            assert!(!found.asks_anchor, "{line}");
        }
        for line in [
            "anchor \"stockade\" in on em0 all",
            "anchor \"/stockade\" all",
        ] {
            assert!(PfSurroundings::read(true, line, "").asks_anchor, "{line}");
        }
    }

    #[test]
    fn what_lets_everything_in_before_us_is_a_problem() {
        for rule in [
            "pass in quick all flags S/SA keep state",
            "pass quick all no state",
            "pass in log quick from any to any flags S/SA keep state",
        ] {
            let found = PfSurroundings::read(true, &format!("{rule}\n{ASKS}"), "");
            assert_eq!(found.lets_all_in, [rule]);
            assert!(found.problems()[0].contains(rule));
        }
    }

    #[test]
    fn what_lets_something_in_before_us_is_told_but_may_be_meant() {
        for rule in [
            "pass in quick on em1 all flags S/SA keep state",
            "pass in quick proto tcp from any to any port = 443 flags S/SA keep state",
            "pass in quick from any to 192.0.2.80 flags S/SA keep state",
        ] {
            let found = PfSurroundings::read(true, &format!("{rule}\n{ASKS}"), "");
            assert_eq!(found.lets_some_in, [rule]);
            assert_eq!(found.problems(), [""; 0]);
        }
        let rdr = "rdr pass on em0 inet proto tcp from any to any port = 80 -> 10.0.0.5";
        assert_eq!(PfSurroundings::read(true, ASKS, rdr).lets_some_in, [rdr]);
    }

    #[test]
    fn what_lets_nobody_else_in_is_nothing() {
        for rule in [
            "pass out quick all flags S/SA keep state",
            "pass in all flags S/SA keep state",
            "block drop in quick from any to any",
            "pass in quick on lo1 all flags S/SA keep state",
            "pass in quick from <friends> to any flags S/SA keep state",
        ] {
            let found = PfSurroundings::read(
                true,
                &format!("{rule}\n{ASKS}"),
                "rdr on em0 all -> 10.0.0.5",
            );
            assert_eq!(found.problems(), [""; 0], "{rule}");
            assert_eq!(found.lets_some_in, [""; 0], "{rule}");
        }
    }

    #[test]
    fn interfaces_that_pf_does_not_look_at_are_told_but_for_loopback() {
        assert_eq!(
            skipped("all\nem0\nem1 (skip)\nlo\nlo0 (skip)\nlo1 (skip)\n"),
            ["em1"]
        );
    }

    #[test]
    fn the_line_that_setup_names_is_the_one_that_is_looked_for() {
        let lines = setup_lines();
        let line = lines
            .lines()
            .find(|line| line.starts_with("anchor"))
            .unwrap();
        assert!(PfSurroundings::read(true, &format!("{line} all"), "").asks_anchor);
    }
}
