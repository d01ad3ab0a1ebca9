use std::time::Duration;

use stockade_core::{Factor, Growth};

use super::*;
use crate::load::load;

fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(name, text)| ConfigFile {
        path: format!("/etc/fail2ban/{name}"),
        bytes: text.as_bytes().to_vec(),
    });
    Tree::from_files("/etc/fail2ban", files.collect(), Vec::new())
}

const FILTER: &str = "[Definition]\nfailregex = ^bad <HOST>$\n  ^worse <F-USER>\\S+</F-USER> <HOST>$\n\
                      journalmatch = _SYSTEMD_UNIT=x.service + _COMM=x\n";
const NFTABLES: &str = "[Definition]\nactionban = nft add <ip>\n[Init]\nport = ssh\nprotocol = tcp\n\
                        blocktype = drop\n";
const JAIL: &str = "[x]\nenabled = true\nfilter = x\nlogpath = /var/log/x.log\n\
                    action = nftables[port=\"22,80\"]\n  page\nbantime = 1h\nignoreip = 192.0.2.0/24\n\
                    ignorecommand = /bin/x\n[off]\nfilter = x\n";
const PAGE: &str = "[Definition]\nactionstart = echo\nactionban = /bin/page <ip> <name>\n";

fn imported(jail: &str) -> Import {
    import(&tree(&[
        ("jail.conf", jail),
        ("filter.d/x.conf", FILTER),
        ("action.d/nftables.conf", NFTABLES),
        ("action.d/page.conf", PAGE),
    ]))
}

#[test]
fn what_is_written_is_what_loads() {
    let import = imported(JAIL);
    let loaded = load(&import.files("/imported", String::new()));
    let told: Vec<String> = loaded.diagnostics.iter().map(Diagnostic::render).collect();
    let settings = loaded.settings.unwrap_or_else(|| panic!("{told:#?}"));
    let [jail] = settings.jails.as_slice() else {
        panic!("{:?}", settings.jails);
    };
    assert_eq!(jail.name.as_str(), "x");
    assert_eq!(jail.logpath[0].value, "/var/log/x.log");
    assert_eq!(jail.rules.maxretry.get(), 3);
    assert_eq!(jail.rules.ipv6_prefix, 128);
    assert_eq!(settings.exec.len(), 1);
}

#[test]
fn growing_bans_are_translated_option_by_option() {
    let of = |lines: &str| {
        let import = imported(&JAIL.replace("[off]", &format!("{lines}[off]")));
        let loaded = load(&import.files("/imported", String::new()));
        let settings = loaded.settings.unwrap();
        (
            settings.jails[0].rules.bantime_increment.clone(),
            import.report.to_string(),
        )
    };
    let (growing, report) = of(
        "bantime.increment = true\nbantime.factor = 2.0 / 2.885385\n\
        bantime.formula = ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)\n\
        bantime.maxtime = 5w\nbantime.rndtime = 8m\nbantime.overalljails = yes\n",
    );
    let growing = growing.unwrap();
    assert_eq!(growing.factor.get(), 2.0 / 2.885385);
    assert!(matches!(growing.growth, Growth::Formula(_)), "{growing:?}");
    assert_eq!(growing.maxtime, Some(Duration::from_secs(5 * 7 * 86_400)));
    assert_eq!(growing.rndtime, Duration::from_secs(480));
    assert!(growing.overalljails);
    for name in [
        "increment",
        "factor",
        "formula",
        "maxtime",
        "rndtime",
        "overalljails",
    ] {
        let told = format!("bantime.{name}");
        assert!(!report.contains(&format!("{told}:")), "{report}");
        assert!(report.contains(&told), "{told}\n{report}");
    }

    let (growing, report) = of("bantime.increment = true\nbantime.multipliers = 1 5 30\n\
        bantime.formula = ban.Time\nbantime.maxtime = 0\n");
    let growing = growing.unwrap();
    let expected = [1, 5, 30].map(Factor::from).to_vec();
    assert_eq!(growing.growth, Growth::Multipliers(expected));
    assert_eq!(growing.maxtime, Some(Duration::from_secs(1)));
    let left = "left out    bantime.formula: the multipliers count, also for fail2ban";
    assert!(report.contains(left), "{report}");

    let (growing, report) = of("bantime.maxtime = 5w\n");
    assert_eq!(growing, None);
    let left = "left out    bantime.maxtime: bantime.increment is off";
    assert!(report.contains(left), "{report}");
}

#[test]
fn the_report_tells_what_became_of_everything() {
    let report = imported(JAIL).report.to_string();
    for line in [
        "  translated  filter, logpath,",
        "  different   action page: [exec.x-page] runs it without a shell (/etc/fail2ban/jail.conf:6)",
        "  left out    actionstart of action page: only a ban and its end are told",
        "  left out    ignorecommand: no program is asked before a ban (/etc/fail2ban/jail.conf:9)",
        "Not enabled, and so not translated:\n  off",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn a_broken_jail_is_named_and_the_others_are_translated() {
    let import = imported(&format!(
        "{JAIL}[broken]\nenabled = true\nfilter = nothing\n"
    ));
    assert_eq!(import.jails.keys().collect::<Vec<_>>(), ["x"]);
    let report = import.report.to_string();
    assert!(
        report.contains("[broken]\n  left out    the jail"),
        "{report}"
    );
    assert!(report.contains("there is no filter 'nothing'"), "{report}");
}

#[test]
fn jails_with_other_patterns_have_filters_of_their_own() {
    let jails =
        format!("{JAIL}[y]\nenabled = true\nfilter = x\nfailregex = ^y <HOST>$\nlogpath = /y\n");
    let import = imported(&jails);
    assert_eq!(import.filters.keys().collect::<Vec<_>>(), ["x", "x-y"]);
    assert!(
        import.jails["y"].contains("filter = \"x-y\""),
        "{}",
        import.jails["y"]
    );
}
