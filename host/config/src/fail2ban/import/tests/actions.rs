//! What becomes of actions.

use super::*;
use crate::{BlockType, Ports};

#[test]
fn a_jail_that_lets_in_is_left_out_as_a_whole() {
    for given in ["blocktype=RETURN", "blocktype=accept", "returntype=DROP"] {
        let import = imported(&format!("{PLAIN}action = nftables[{given}]\n  page\n"));
        assert!(import.jails.is_empty(), "{given}");
        assert!(!import.main.contains("exec"), "{}", import.main);
        let said = told(&import, "x");
        assert!(
            said.starts_with("  left out    the jail: it lets in who is 'banned' ("),
            "{said}"
        );
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}

#[test]
fn a_jail_whose_actions_fill_no_firewall_does_not_fill_one() {
    for action in ["", "action = page\n", "action = nothing-known\n"] {
        let more = [(
            "action.d/nothing-known.conf",
            "[Definition]\nactionban = a | b\n",
        )];
        let import = imported_with(&format!("{PLAIN}{action}"), &more);
        let settings = loaded(&import);
        assert_eq!(settings.jails[0].rules.enforcement.firewall, []);
        let said = told(&import, "x");
        assert!(
            said.contains("different   firewall: no action of it fills a firewall, and so "),
            "{said}"
        );
    }
}

/// What a jail with these actions closes: its ports, how many protocols, how, and what is told of it.
fn close(actions: &str) -> (String, usize, BlockType, String) {
    let iptables = "[Definition]\nactionban = <iptables> -I <ip>\n[Init]\nport = ssh\nprotocol = tcp\n\
                        blocktype = REJECT\niptables = iptables -w\n";
    let more = [
        ("action.d/iptables-multiport.conf", iptables),
        ("action.d/iptables-allports.conf", iptables),
        ("action.d/my-own.conf", iptables),
        (
            "action.d/route.conf",
            "[Definition]\nactionban = ip route\n[Init]\nblocktype = blackhole\n",
        ),
    ];
    let import = imported_with(&format!("{PLAIN}action = {actions}\n"), &more);
    let jail = loaded(&import).jails.remove(0);
    let ports = match &jail.port {
        Ports::All => "all".to_owned(),
        Ports::Some(ranges) => ranges
            .iter()
            .map(|range| format!("{}-{} ", range.first, range.last))
            .collect(),
    };
    (
        ports,
        jail.protocol.len(),
        jail.rules.enforcement.blocktype,
        told(&import, "x"),
    )
}

#[test]
fn what_actions_close_is_put_together() {
    let (ports, protocols, block, said) = close("iptables-multiport[port=\"22,8000:8010\"]");
    assert_eq!((&*ports, protocols), ("22-22 8000-8010 ", 1));
    assert_eq!(block, BlockType::Reject);
    assert!(
        said.contains("instead of iptables; TCP is answered with a reset, all else with ICMP ("),
        "{said}"
    );
    let both = "iptables-multiport[name=t, port=5060]\n  iptables-multiport[name=u, port=5060, protocol=udp]";
    assert_eq!(close(both).1, 2);
    assert_eq!(close("iptables-multiport[protocol=\"tcp,udp\"]").1, 2);
    let (ports, protocols, ..) = close("iptables-multiport[type=allports, protocol=udp]");
    assert_eq!((&*ports, protocols), ("all", 1));
}

#[test]
fn what_an_action_closes_otherwise_than_it_did_is_told() {
    let (ports, protocols, _, said) = close("iptables-allports[chain=DOCKER-USER, protocol=all]");
    assert_eq!((&*ports, protocols), ("all", 0));
    assert!(
        said.contains("but not those that chain 'DOCKER-USER' sees"),
        "{said}"
    );
    let (ports, _, block, said) = close("route");
    assert_eq!((&*ports, block), ("all", BlockType::Drop));
    assert!(
        said.contains("instead of a route; packets are blocked on arrival"),
        "{said}"
    );
    let (ports, _, _, said) = close("my-own[port=\"25,none-such\", color=red]");
    assert_eq!(ports, "25-25 ");
    assert!(
        said.contains("instead of iptables; it is no action of fail2ban's own"),
        "{said}"
    );
    assert!(
        said.contains("left out    port: there is no port 'none-such'"),
        "{said}"
    );
    assert!(
        said.contains(
            "left out    color of action my-own: the firewall of stockade has no such setting"
        ),
        "{said}"
    );
    let (ports, .., said) = close("iptables-multiport[port=none-such]");
    assert_eq!(ports, "all");
    assert!(
        said.contains("different   port: there is no port 'none-such', so that all are closed"),
        "{said}"
    );
    let (_, protocols, _, said) = close("iptables-multiport[protocol=icmp]");
    assert_eq!(protocols, 0);
    assert!(
        said.contains("protocol 'icmp' cannot be closed alone"),
        "{said}"
    );
    let (.., block, said) = close("iptables-multiport[blocktype=TARPIT]");
    assert_eq!(block, BlockType::Drop);
    assert!(
        said.contains("blocktype 'TARPIT' is not known: packets are dropped"),
        "{said}"
    );
}

#[test]
fn programs_are_shared_by_jails_and_keep_their_options() {
    let page = "[Definition]\nactionban = page \"<name>\" <ip> <level>\nactionunban = page -u <fid>\nnorestored = 1\n\
                [Init]\nlevel = 3\ntimeout = 90\n";
    let jails = "[DEFAULT]\naction = page\nlogpath = /x\nfilter = x\nenabled = true\n[a]\n[b]\n[c]\naction = page[level=5]\n";
    let import = imported_with(jails, &[("action.d/page.conf", page)]);
    let settings = loaded(&import);
    let names: Vec<&str> = settings.exec.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["c-page", "page"]);
    let exec = &settings.exec.values().last().unwrap().value;
    assert_eq!(exec.ban, ["/usr/bin/page", "<jail>", "<ip>", "3"]);
    assert_eq!(
        exec.unban.as_deref().unwrap(),
        ["/usr/bin/page", "-u", "<ip>"]
    );
    assert!(!exec.restored);
    assert_eq!(exec.timeout, Duration::from_secs(90));
    assert!(
        import.main.contains("actions = [\"page\"]"),
        "{}",
        import.main
    );
    assert!(
        import.jails["c"].contains("actions = [\"c-page\"]"),
        "{}",
        import.jails["c"]
    );
    assert!(
        !import.jails["a"].contains("actions"),
        "{}",
        import.jails["a"]
    );
}

#[test]
fn a_command_that_needs_a_shell_is_told_with_its_place_and_what_can_be_done() {
    let of = |file: &str, text: &str| {
        let path = format!("action.d/{file}");
        let name = file.strip_suffix(".conf").unwrap_or(file);
        let import = imported_with(&format!("{PLAIN}action = {name}\n"), &[(&*path, text)]);
        told(&import, "x")
    };
    let said = of(
        "own.conf",
        "[Definition]\nactionban = /bin/a\nactionunban = /bin/b | /bin/c\n",
    );
    let expected = "left out    action own: actionunban: it needs a shell, for '|' (a pipe), at \
                    /etc/fail2ban/action.d/own.conf:3; put it into a program of yours and name that in \
                    [exec.NAME] (/etc/fail2ban/jail.conf:5)";
    assert!(said.contains(expected), "{said}");
    let said = of(
        "own.conf",
        "[Definition]\nactionban = /bin/a <who>\n[Init]\nwho = 4\n[Init?family=inet6]\nwho = 6\n",
    );
    assert!(
        said.contains("actionban: <who> differs with the family of the address"),
        "{said}"
    );
    let said = of(
        "own.conf",
        "[Definition]\nactionban = /bin/a\n[Init?family=inet6]\nactionban = /bin/b\n",
    );
    let expected = "'actionban?family=inet6' makes its command depend on the family of the address";
    assert!(said.contains(expected), "{said}");
    let said = of("mail.conf", "[Definition]\nactionban = printf x | mail\n");
    assert!(
        said.contains("no mail is sent; a program that sends one can be told by [exec.NAME]"),
        "{said}"
    );
    let said = of("smtp.py", "");
    assert!(
        said.contains(
            "action smtp: it is a program in Python for fail2ban's own server; no mail is sent"
        ),
        "{said}"
    );
}

#[test]
fn what_somebody_changed_in_an_action_of_the_firewall_is_told() {
    let local =
        "[Definition]\nactionban = nft add <ip> and log\n[Init]\nblocktype = reject\nmine = 1\n";
    let import = imported_with(
        &format!("{PLAIN}action = nftables[timeout=5]\n"),
        &[("action.d/nftables.local", local)],
    );
    assert_eq!(
        loaded(&import).jails[0].rules.enforcement.blocktype,
        BlockType::Reject
    );
    let said = told(&import, "x");
    for line in [
        "left out    actionban of action nftables: it was changed here, which counts for nothing: what \
         fail2ban's own file does is done (/etc/fail2ban/action.d/nftables.local:2)",
        "left out    mine of action nftables: it was changed here",
        "left out    timeout of action nftables: the firewall of stockade has no such setting",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}
