//! Others change rules: ours are healed, theirs stay as they are.

use std::collections::BTreeSet;
use std::time::Duration;

use stockade_core::Timestamp;
use stockade_firewall::{
    Backend, BlockType, Firewall, FirewallError, Health, Hook, IptablesOptions, IptablesVariant,
    Protocol, Seen, Wanted, difference,
};

use crate::namespace::{command, run, run_with_input};
use crate::{
    Subject, apply, assert_expires, ban, banned, destroy, for_each_subject, jail, missing, net,
    rules, sshd,
};

/// Longer than any of these waits takes; a change ends them at once.
const LONG: Duration = Duration::from_secs(30);

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

for_each_subject!(
    harm_by_others_is_told_and_healed,
    rules_chains_and_sets_that_are_gone_come_back,
    what_others_put_into_our_sets_is_corrected,
    rules_of_others_stay_byte_for_byte,
    a_set_of_our_name_and_another_type_is_replaced,
    a_set_of_our_name_that_somebody_else_needs_is_told,
    rules_for_forwarding_stand_where_docker_lets_others_stand,
    jails_move_between_hooks_and_leave_nothing_behind,
    teardown_leaves_nothing_and_may_be_repeated,
);

fn heal(firewall: &mut dyn Firewall) {
    let wanted = [Wanted {
        jail: jail("sshd"),
        net: net("192.0.2.1/32"),
        until: Some(NOW.saturating_add(Duration::from_secs(600))),
    }];
    firewall.configure(&[sshd()]).unwrap();
    let changes = difference(&wanted, &firewall.list().unwrap(), firewall.timeouts(), NOW);
    apply(firewall, &changes);
    let elements = firewall.list().unwrap();
    assert_eq!(elements.len(), 1);
    assert_expires(&elements, "192.0.2.1/32", Some(600));
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
}

fn harm_by_others_is_told_and_healed(subject: Subject) {
    let mut firewall = subject.open();
    heal(&mut *firewall);
    let mut watch = firewall.watch().unwrap();
    assert_eq!(watch.is_none(), subject == Subject::Legacy);
    let called = "iptables: the rule of 'INPUT' that calls 'stockade-input'";
    for (harm, told) in [
        (
            "{4} -F",
            "iptables: chain 'stockade-input' has other rules than it should",
        ),
        (
            "{6} -F",
            "ip6tables: chain 'stockade-input' has other rules than it should",
        ),
        ("{4} -D INPUT -j stockade-input", called),
        ("{4} -F INPUT", called),
        (
            "{4} -I INPUT -s 192.0.2.0/24 -j ACCEPT",
            "iptables: chain 'INPUT' has the rule '-s 192.0.2.0/24 -j ACCEPT' in front of ours",
        ),
        (
            "{4} -I stockade-input -j RETURN",
            "iptables: chain 'stockade-input' has other rules than it should",
        ),
        (
            "{4} -R stockade-input 1 -m set --match-set stk4-sshd src -j ACCEPT",
            "iptables: chain 'stockade-input' has other rules than it should",
        ),
        (
            "{6} -R INPUT 1 -p icmp -j stockade-input",
            "ip6tables: chain 'INPUT' has the rule '-p icmp -j stockade-input' in front of ours",
        ),
    ] {
        let program = subject.program();
        let harm = harm
            .replace("{4}", program)
            .replace("{6}", &program.replace("ip", "ip6"));
        if let Some(watch) = &mut watch {
            // Ours, from healing.
            let _ours = watch.wait(Duration::ZERO).unwrap();
        }
        run(&harm);
        if let Some(watch) = &mut watch {
            assert_eq!(watch.wait(LONG).unwrap(), Seen::Changed, "{harm}");
        }
        let what = missing(&mut *firewall);
        assert!(what.contains(told), "{harm}: {what}");
        heal(&mut *firewall);
    }
}

fn rules_chains_and_sets_that_are_gone_come_back(subject: Subject) {
    let mut firewall = subject.open();
    heal(&mut *firewall);
    let program = subject.program();
    if subject != Subject::Legacy {
        run("nft flush ruleset");
        let what = missing(&mut *firewall);
        assert!(
            what.contains("chain 'stockade-input' of table 'filter'"),
            "{what}"
        );
        heal(&mut *firewall);
    }
    run(&format!("{program} -F"));
    run(&format!("{program} -X stockade-input"));
    destroy("stk4-sshd");
    let what = missing(&mut *firewall);
    assert!(
        what.contains("iptables: chain 'stockade-input' of table 'filter'"),
        "{what}"
    );
    assert!(what.contains("ipset 'stk4-sshd'"), "{what}");
    heal(&mut *firewall);
}

fn what_others_put_into_our_sets_is_corrected(subject: Subject) {
    let mut firewall = subject.open();
    heal(&mut *firewall);
    for harm in [
        "ipset flush stk4-sshd",
        "ipset del stk4-sshd 192.0.2.1",
        "ipset add stk4-sshd 192.0.2.9",
        "ipset -exist add stk4-sshd 192.0.2.1 timeout 9",
        "ipset -exist add stk4-sshd 192.0.2.1 timeout 600 nomatch",
    ] {
        run(harm);
        heal(&mut *firewall);
        assert_eq!(run("ipset save stk4-sshd").matches("nomatch").count(), 0);
    }
}

/// The rules of one program without comments and counters of chains, and what becomes of ours taken out.
fn listing(program: &str) -> Vec<String> {
    let text = run(&format!("{program}-save"));
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("stockade-") && !line.is_empty());
    lines.map(str::to_owned).collect()
}

const OTHERS: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:others - [0:0]
-A INPUT -m comment --comment \"quoted \\\"text\\\" and -j stockade-x\" -j others
-A INPUT -i lo -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A others -s 198.51.100.0/24 -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j REJECT --reject-with tcp-reset
COMMIT
";

fn rules_of_others_stay_byte_for_byte(subject: Subject) {
    let program = subject.program();
    run_with_input(&format!("{program}-restore --noflush"), OTHERS);
    let before = listing(program);
    assert!(
        before.iter().any(|line| line.contains("others")),
        "{before:?}"
    );
    let mut firewall = subject.open();
    let mut everywhere = rules("web", &[80], &[Protocol::Tcp], BlockType::Reject);
    everywhere.hooks = Hook::ALL.into();
    firewall.configure(&[sshd(), everywhere]).unwrap();
    let notes = firewall.notes();
    assert!(
        notes[0].contains("jail 'web': iptables cannot reject in prerouting"),
        "{notes:?}"
    );
    apply(&mut *firewall, &[ban("web", "192.0.2.1/32", None)]);
    firewall.configure(&[sshd()]).unwrap();
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
    firewall.teardown().unwrap();
    let mut after = listing(program);
    // A table that came up with ours stays, empty.
    if !before.iter().any(|line| line == "*raw") {
        let raw = after.iter().position(|line| line == "*raw");
        let end = raw.and_then(|raw| {
            let end = after.iter().skip(raw).position(|line| line == "COMMIT");
            end.map(|end| raw..=raw + end)
        });
        if let Some(range) = end {
            let table: Vec<_> = after.drain(range).collect();
            assert!(
                !table.iter().any(|line| line.starts_with("-A")),
                "{table:?}"
            );
        }
    }
    let (mut before, mut after) = (before, after);
    // The order of tables is that of their making.
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(after, before);
}

fn a_set_of_our_name_and_another_type_is_replaced(subject: Subject) {
    for foreign in [
        "create stk4-sshd list:set",
        "create stk4-sshd hash:ip timeout 0",
        "create stk4-sshd hash:net",
        "create stk6-sshd hash:net timeout 0",
    ] {
        run_with_input("ipset restore", &format!("{foreign}\n"));
        let mut firewall = subject.open();
        firewall.configure(&[sshd()]).unwrap();
        let bans = [
            ban("sshd", "192.0.2.1/32", Some(600)),
            ban("sshd", "2001:db8::1/128", Some(600)),
        ];
        apply(&mut *firewall, &bans);
        assert_eq!(firewall.probe().unwrap(), Health::InPlace, "{foreign}");
        // The same while our rules are there.
        run(&format!("{} -F stockade-input", subject.program()));
        destroy("stk4-sshd");
        run_with_input("ipset restore", "create stk4-sshd hash:ip\n");
        let rule = "-m set --match-set stk4-sshd src -j DROP";
        run(&format!("{} -A stockade-input {rule}", subject.program()));
        assert!(missing(&mut *firewall).contains("ipset 'stk4-sshd' is not of the type"));
        firewall.configure(&[sshd()]).unwrap();
        apply(&mut *firewall, &bans);
        assert_eq!(banned(&mut *firewall, "sshd").len(), 2);
        firewall.teardown().unwrap();
        assert_eq!(run("ipset list -name"), "");
    }
}

fn a_set_of_our_name_that_somebody_else_needs_is_told(subject: Subject) {
    run("ipset create stk4-sshd hash:ip");
    let rule = "INPUT -m set --match-set stk4-sshd src -j ACCEPT";
    run(&format!("{} -A {rule}", subject.program()));
    let mut firewall = subject.open();
    let error = firewall.configure(&[sshd()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot remove ipset 'stk4-sshd': a rule or a set of somebody else refers to it"
    );
    // Their rule and their set are as they were.
    run(&format!("{} -C {rule}", subject.program()));
}

fn rules_for_forwarding_stand_where_docker_lets_others_stand(subject: Subject) {
    let program = subject.program();
    let mut forward = sshd();
    forward.hooks = BTreeSet::from([Hook::Forward]);
    let mut firewall = subject.open();
    firewall.configure(&[forward.clone()]).unwrap();
    run(&format!("{program} -C FORWARD -j stockade-forward"));
    // docker starts.
    run(&format!("{program} -N DOCKER-USER"));
    run(&format!("{program} -A DOCKER-USER -j RETURN"));
    run(&format!("{program} -I FORWARD -j DOCKER-USER"));
    let what = missing(&mut *firewall);
    assert!(
        what.contains("the rule of 'DOCKER-USER'") || what.contains("'DOCKER-USER' has the rule"),
        "{what}"
    );
    firewall.configure(&[forward.clone()]).unwrap();
    let listed = run(&format!("{program} -S DOCKER-USER"));
    assert_eq!(
        listed,
        "-N DOCKER-USER\n-A DOCKER-USER -j stockade-forward\n-A DOCKER-USER -j RETURN\n"
    );
    assert!(!run(&format!("{program} -S FORWARD")).contains("stockade"));
    // docker starts again.
    run(&format!("{program} -D FORWARD -j DOCKER-USER"));
    run(&format!("{program} -I FORWARD -j DOCKER-USER"));
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
    // docker goes.
    run(&format!("{program} -D FORWARD -j DOCKER-USER"));
    assert!(missing(&mut *firewall).contains("'FORWARD'"));
    firewall.configure(&[forward]).unwrap();
    run(&format!("{program} -C FORWARD -j stockade-forward"));
    assert!(!run(&format!("{program} -S DOCKER-USER")).contains("stockade"));
}

fn jails_move_between_hooks_and_leave_nothing_behind(subject: Subject) {
    let program = subject.program();
    let mut firewall = subject.open();
    let at = |hooks: &[Hook]| {
        let mut jail = sshd();
        jail.hooks = hooks.iter().copied().collect();
        jail
    };
    for hooks in [
        &[Hook::Prerouting][..],
        &[Hook::Input, Hook::Prerouting],
        &[Hook::Forward],
        &[Hook::Prerouting, Hook::Forward],
        &[Hook::Input],
    ] {
        firewall.configure(&[at(hooks)]).unwrap();
        assert_eq!(firewall.probe().unwrap(), Health::InPlace, "{hooks:?}");
        let text = run(&format!("{program}-save"));
        for hook in Hook::ALL {
            let called = text.matches(&format!("-j stockade-{hook}\n")).count();
            assert_eq!(
                called,
                usize::from(hooks.contains(&hook)),
                "{hooks:?}: {text}"
            );
            let chain = text.contains(&format!(":stockade-{hook} "));
            assert_eq!(chain, hooks.contains(&hook), "{hooks:?}: {text}");
        }
    }
}

fn teardown_leaves_nothing_and_may_be_repeated(subject: Subject) {
    let before = listing(subject.program());
    let mut firewall = subject.open();
    firewall.teardown().unwrap();
    firewall.configure(&[sshd()]).unwrap();
    apply(&mut *firewall, &[ban("sshd", "192.0.2.1/32", None)]);
    run("ipset create others hash:ip");
    firewall.teardown().unwrap();
    firewall.teardown().unwrap();
    assert!(missing(&mut *firewall).contains("none were configured yet"));
    assert_eq!(run("ipset list -name"), "others\n");
    let after = run(&format!("{}-save", subject.program()));
    assert!(!after.contains("stockade"), "{after}");
    if !before.is_empty() {
        assert_eq!(listing(subject.program()), before);
    }
}

#[test]
fn who_holds_the_lock_of_iptables_is_waited_for_and_then_told_of_and_nothing_is_lost() {
    crate::in_namespaces_as_root(
        "others::who_holds_the_lock_of_iptables_is_waited_for_and_then_told_of_and_nothing_is_lost",
        || {
            let options = IptablesOptions {
                variant: Some(IptablesVariant::Legacy),
                ..IptablesOptions::default()
            };
            let mut firewall = Backend::Iptables(options).open().unwrap();
            heal(&mut *firewall);
            let mut holder = command("flock")
                .args(["/run/xtables.lock", "sh", "-c", "echo held; read line"])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut held = [0; 5];
            std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
            let mut other = sshd();
            other.jail = jail("other");
            let error = firewall.configure(&[sshd(), other.clone()]).unwrap_err();
            assert!(matches!(error, FirewallError::Busy { .. }), "{error:?}");
            assert!(
                error.to_string().contains("the lock of iptables"),
                "{error}"
            );
            // What was there is there, and bans need no lock.
            assert_eq!(firewall.probe().unwrap(), Health::InPlace);
            apply(&mut *firewall, &[ban("sshd", "192.0.2.7/32", None)]);
            assert_eq!(banned(&mut *firewall, "sshd").len(), 2);
            drop(holder.stdin.take());
            holder.wait().unwrap();
            firewall.configure(&[sshd(), other]).unwrap();
            assert_eq!(banned(&mut *firewall, "sshd").len(), 2);
        },
    );
}
