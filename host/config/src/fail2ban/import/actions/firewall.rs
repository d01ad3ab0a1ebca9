//! Actions whose work is the firewall's: what they close, and what of them differs here.

use std::collections::BTreeSet;

use super::super::super::ResolvedAction;
use super::parameter;

/// How an action says what it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closes {
    /// `port` and `protocol`.
    Ports,
    /// Every port of `protocol`.
    Protocol,
    /// Everything.
    All,
    /// `type`: `oneport`, `multiport` or `allports`.
    ByType,
    /// `actiontype`: `<multiport>` or `<allports>`.
    ByActionType,
}

/// An action that fills a firewall.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Its file, without `.conf`.
    file: &'static str,
    /// What it bans by, for people.
    tool: &'static str,
    closes: Closes,
    /// The parameter that says what happens to packets; empty where there is none.
    block: &'static str,
    /// What else differs here; empty for nothing.
    differs: &'static str,
}

const fn known(
    file: &'static str,
    tool: &'static str,
    closes: Closes,
    block: &'static str,
    differs: &'static str,
) -> Known {
    Known {
        file,
        tool,
        closes,
        block,
        differs,
    }
}

const OPEN_TOO: &str = "packets of open connections are blocked as well, not only new connections";
const NOT_LOGGED: &str = "packets of who is banned are counted, but not logged";
const TABLE: &str = "who is banned is blocked here, and not where other rules look the table up";

/// The actions of fail2ban's releases that ban by a firewall, or by something of the host that does
/// the same.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    known("iptables", "iptables", Closes::ByType, "blocktype", ""),
    known("iptables-multiport", "iptables", Closes::ByType, "blocktype", ""),
    known("iptables-allports", "iptables", Closes::ByType, "blocktype", ""),
    known("iptables-new", "iptables", Closes::ByType, "blocktype", OPEN_TOO),
    known("iptables-multiport-log", "iptables", Closes::Ports, "blocktype", NOT_LOGGED),
    known("iptables-ipset", "iptables and ipset", Closes::ByType, "blocktype", ""),
    known("iptables-ipset-proto4", "iptables and ipset", Closes::ByType, "blocktype", ""),
    known("iptables-ipset-proto6", "iptables and ipset", Closes::ByType, "blocktype", ""),
    known("iptables-ipset-proto6-allports", "iptables and ipset", Closes::ByType, "blocktype", ""),
    known("iptables-xt_recent-echo", "iptables and xt_recent", Closes::All, "blocktype", ""),
    known("symbiosis-blacklist-allports", "symbiosis and iptables", Closes::All, "blocktype", TABLE),
    known("nftables", "fail2ban's nftables table", Closes::ByType, "blocktype", ""),
    known("nftables-multiport", "fail2ban's nftables table", Closes::ByType, "blocktype", ""),
    known("nftables-allports", "fail2ban's nftables table", Closes::ByType, "blocktype", ""),
    known("firewallcmd-allports", "firewalld", Closes::All, "blocktype", ""),
    known("firewallcmd-multiport", "firewalld", Closes::Ports, "blocktype", OPEN_TOO),
    known("firewallcmd-new", "firewalld", Closes::Ports, "blocktype", OPEN_TOO),
    known("firewallcmd-ipset", "firewalld", Closes::ByActionType, "blocktype", ""),
    known("firewallcmd-rich-rules", "firewalld", Closes::Ports, "rich-blocktype", ""),
    known("firewallcmd-rich-logging", "firewalld", Closes::Ports, "rich-blocktype", NOT_LOGGED),
    known("ufw", "ufw", Closes::All, "blocktype", ""),
    known("shorewall", "Shorewall", Closes::All, "blocktype", ""),
    known("shorewall-ipset-proto6", "Shorewall and ipset", Closes::All, "", TABLE),
    known("apf", "APF", Closes::All, "", ""),
    known("csf", "CSF", Closes::All, "", ""),
    known("route", "a route", Closes::All, "blocktype", "packets are blocked on arrival, where a route only keeps answers back"),
    known("hostsdeny", "hosts.deny", Closes::All, "", "packets are dropped, where programs with TCP wrappers refuse connections"),
    known("pf", "pf", Closes::ByActionType, "block", ""),
    known("ipfw", "ipfw", Closes::Ports, "blocktype", ""),
    known("bsd-ipfw", "ipfw", Closes::All, "blocktype", ""),
    known("osx-ipfw", "ipfw", Closes::All, "blocktype", ""),
    known("npf", "npf", Closes::All, "", TABLE),
    known("ipfilter", "ipfilter", Closes::All, "blocktype", ""),
    known("osx-afctl", "afctl", Closes::All, "", ""),
];

/// Programs that fill a firewall, for actions that somebody wrote.
const TOOLS: [&str; 13] = [
    "iptables",
    "ip6tables",
    "ipset",
    "nft",
    "firewall-cmd",
    "ufw",
    "shorewall",
    "apf",
    "csf",
    "pfctl",
    "ipfw",
    "npfctl",
    "ebtables",
];

/// What happens to packets of who is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Block {
    Drop,
    Reject,
}

/// What an action closes for who is banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Closure {
    /// As fail2ban names them; `None` for all.
    pub(in super::super) ports: Option<Vec<String>>,
    /// `tcp` and `udp`; `None` for all.
    pub(in super::super) protocols: Option<BTreeSet<&'static str>>,
    pub(in super::super) block: Block,
    /// What it bans by, for people.
    pub(super) tool: String,
    /// What differs here, each as a sentence without its end.
    pub(super) differs: Vec<String>,
}

/// What an action is for the firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fills {
    /// It closes something for who is banned.
    Closes(Closure),
    /// It lets in who is "banned"; what says so.
    LetsIn(String),
    /// It does something else.
    Nothing,
}

/// What an action is for the firewall.
pub(super) fn of(action: &ResolvedAction) -> Fills {
    match KNOWN.iter().find(|known| known.file == action.file) {
        Some(known) => closed_by(action, known),
        None => match tool_of(action) {
            Some(tool) => closed_by_own(action, tool),
            None => Fills::Nothing,
        },
    }
}

fn closed_by(action: &ResolvedAction, known: &Known) -> Fills {
    let mut differs = Vec::new();
    differs.extend((!known.differs.is_empty()).then(|| known.differs.to_owned()));
    let block = match block(action, known, &mut differs) {
        Ok(block) => block,
        Err(lets_in) => return Fills::LetsIn(lets_in),
    };
    let (ports, protocols) = closes(action, known.closes, &mut differs);
    where_else(action, &mut differs);
    Fills::Closes(Closure {
        ports,
        protocols,
        block,
        tool: known.tool.to_owned(),
        differs,
    })
}

/// An action of the operator's that calls the program of a firewall: what it does exactly is not
/// known, and all that is known of what it closes are its parameters.
fn closed_by_own(action: &ResolvedAction, tool: &str) -> Fills {
    let mut differs = vec![format!(
        "it is no action of fail2ban's own: its ban is done here, and nothing else that its commands do"
    )];
    let (ports, protocols) = closes(action, Closes::Ports, &mut differs);
    if parameter(action, "port").is_none_or(str::is_empty) {
        differs.push("it has no 'port', so that all ports are closed".to_owned());
    }
    Fills::Closes(Closure {
        ports,
        protocols,
        block: Block::Drop,
        tool: tool.to_owned(),
        differs,
    })
}

/// The firewall's program that `actionban` begins with.
fn tool_of(action: &ResolvedAction) -> Option<&'static str> {
    let ban = action.commands.get("actionban")?.as_str();
    let mut words = ban.split_whitespace();
    let first = words.next()?;
    let tag = first.strip_prefix('<').and_then(|it| it.strip_suffix('>'));
    let named = tag.and_then(|tag| parameter(action, tag)).unwrap_or(first);
    let program = named.split_whitespace().next()?;
    let program = program.rsplit('/').next()?;
    let route = program == "ip" && words.next() == Some("route");
    let known = TOOLS.iter().find(|tool| **tool == program).copied();
    known.or_else(|| route.then_some("a route"))
}

/// Ports and protocols; `None` for all.
type Closed = (Option<Vec<String>>, Option<BTreeSet<&'static str>>);

fn closes(action: &ResolvedAction, closes: Closes, differs: &mut Vec<String>) -> Closed {
    let by_type = || match parameter(action, "type") {
        Some("allports") => Closes::Protocol,
        None if action.file.contains("allports") => Closes::Protocol,
        _ => Closes::Ports,
    };
    let closes = match closes {
        Closes::ByType => by_type(),
        Closes::ByActionType => match parameter(action, "actiontype") {
            Some(text) if !text.contains("port ") && !text.contains("ports ") => Closes::Protocol,
            _ => Closes::Ports,
        },
        closes => closes,
    };
    if closes == Closes::Ports && parameter(action, "type") == Some("custom") {
        differs.push("the condition of type 'custom' is not looked at: 'port' counts".to_owned());
    }
    let ports = match closes {
        Closes::Ports => ports(parameter(action, "port").unwrap_or_default()),
        _ => None,
    };
    let protocols = match closes {
        Closes::All => None,
        _ => protocols(action, differs),
    };
    (ports, protocols)
}

/// The ports of a list with commas or spaces, in its order; `None` for all.
fn ports(list: &str) -> Option<Vec<String>> {
    let mut ports: Vec<String> = Vec::new();
    let each = list.split([',', ' ', '\t', '\n', '{', '}']);
    for port in each.filter(|port| !port.is_empty()) {
        if ports.iter().all(|known| known != port) {
            ports.push(port.to_owned());
        }
    }
    let all = |port: &str| {
        matches!(
            port,
            "0:65535" | "1:65535" | "0-65535" | "1-65535" | "any" | "all"
        )
    };
    (!ports.is_empty() && !ports.iter().any(|port| all(port))).then_some(ports)
}

fn protocols(action: &ResolvedAction, differs: &mut Vec<String>) -> Option<BTreeSet<&'static str>> {
    let list = parameter(action, "protocol").unwrap_or("tcp");
    let mut protocols = BTreeSet::new();
    for name in list.split([',', ' ']).filter(|name| !name.is_empty()) {
        match name {
            "tcp" => protocols.insert("tcp"),
            "udp" => protocols.insert("udp"),
            "all" | "any" | "0" => return None,
            other => {
                differs.push(format!(
                    "protocol '{other}' cannot be closed alone, so that all protocols are closed"
                ));
                return None;
            }
        };
    }
    (!protocols.is_empty()).then_some(protocols)
}

/// What happens to packets; an error where who is "banned" is let in, and what says so.
fn block(
    action: &ResolvedAction,
    known: &Known,
    differs: &mut Vec<String>,
) -> Result<Block, String> {
    if let Some(other) = parameter(action, "returntype")
        && !other.eq_ignore_ascii_case("return")
    {
        return Err(format!("returntype = {other}"));
    }
    let Some(text) = parameter(action, known.block).filter(|text| !text.is_empty()) else {
        return Ok(Block::Drop);
    };
    let first = one_block(known, text, differs)?;
    let inet6 = format!("{}?family=inet6", known.block);
    if let Some(text) = parameter(action, &inet6)
        && one_block(known, text, &mut Vec::new())? != first
    {
        differs.push(format!(
            "IPv6 is treated as IPv4, where '{text}' would be asked for"
        ));
    }
    Ok(first)
}

fn one_block(known: &Known, text: &str, differs: &mut Vec<String>) -> Result<Block, String> {
    let lower = text.trim_matches(['"', '\'']).to_ascii_lowercase();
    let mut words = lower.split([' ', '(']);
    let mut first = words.next().unwrap_or_default();
    if first == "block" {
        // pf's: `block quick`, `block return quick`.
        first = words
            .find(|word| word.starts_with("return"))
            .map_or("drop", |_| "reject");
    }
    match first {
        "return" | "accept" | "allow" | "permit" | "pass" => {
            Err(format!("{} = {text}", known.block))
        }
        "drop" | "deny" | "blackhole" | "unreachable" | "prohibit" | "throw" => Ok(Block::Drop),
        "reject" | "unreach" | "reset" | "return-icmp" | "return-rst" => {
            if !lower.contains("tcp-reset") && !lower.contains("tcp reset") && first != "reset" {
                differs.push("TCP is answered with a reset, all else with ICMP".to_owned());
            }
            Ok(Block::Reject)
        }
        _ => {
            differs.push(format!(
                "{} '{text}' is not known: packets are dropped",
                known.block
            ));
            Ok(Block::Drop)
        }
    }
}

/// Where packets are looked at, if not where they come in for this host.
fn where_else(action: &ResolvedAction, differs: &mut Vec<String>) {
    let usual = [
        "input",
        "f2b-chain",
        "input_direct",
        "blacklist",
        "<known/chain>",
        "",
    ];
    let is_usual = |chain: &str| usual.contains(&chain.to_ascii_lowercase().as_str());
    if let Some(chain) = parameter(action, "chain").filter(|chain| !is_usual(chain)) {
        differs.push(format!(
            "packets to this host are blocked, but not those that chain '{chain}' sees and that go \
             on to others, such as containers"
        ));
    }
    let hook = parameter(action, "chain_hook");
    if let Some(hook) = hook.filter(|hook| *hook != "input") {
        differs.push(format!(
            "packets to this host are blocked, but not those at hook '{hook}'"
        ));
    }
    if let Some(app) = parameter(action, "application").filter(|app| !app.is_empty()) {
        differs.push(format!(
            "all ports are closed, not those of the application '{app}' only"
        ));
    }
    let to = parameter(action, "destination").filter(|to| !["", "any"].contains(to));
    if let Some(to) = to {
        differs.push(format!(
            "all addresses of this host are closed, not '{to}' only"
        ));
    }
    if let Some(list) = parameter(action, "daemon_list").filter(|list| *list != "ALL") {
        differs.push(format!("all services are closed, not '{list}' only"));
    }
}

/// Parameters of which something is made or told, or which are names and ways of fail2ban's own.
pub(super) fn is_understood(action: &ResolvedAction, name: &str) -> bool {
    let plain = name.split('?').next().unwrap_or(name);
    const FOR_ALL: [&str; 13] = [
        "port",
        "protocol",
        "chain",
        "name",
        "actname",
        "type",
        "actiontype",
        "returntype",
        "block",
        "application",
        "destination",
        "daemon_list",
        "chain_hook",
    ];
    let known = KNOWN.iter().find(|known| known.file == action.file);
    FOR_ALL.contains(&plain)
        || plain == "blocktype"
        || known.is_some_and(|known| known.block == plain)
}
