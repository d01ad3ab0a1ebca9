//! Actions: those that fill a firewall are the firewall's work here; a command that needs no shell
//! becomes a program of its own; the rest is reported.

use std::collections::BTreeMap;

use super::super::{ResolvedAction, ResolvedJail};
use super::report::Scribe;
use super::toml::Body;
use crate::words::is_name;

/// What the actions of a jail ask of the firewall, and the programs that are told.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Ports, as fail2ban names them; `None` for all.
    pub(super) ports: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) reject: bool,
    /// Whether any action fills a firewall.
    pub(super) firewall: bool,
    pub(super) programs: Vec<String>,
}

/// Actions whose work is the firewall's, by the beginnings of their names.
const FIREWALLS: [&str; 9] = [
    "iptables",
    "nftables",
    "firewallcmd",
    "ufw",
    "shorewall",
    "apf",
    "csf",
    "route",
    "symbiosis",
];
/// Firewalls of systems that are not Linux.
const FOREIGN: [&str; 7] = [
    "pf",
    "ipfw",
    "bsd-ipfw",
    "npf",
    "ipfilter",
    "osx-afctl",
    "osx-ipfw",
];
/// The commands that are more than telling of a ban and its end.
const MORE: [&str; 8] = [
    "actionstart",
    "actionstop",
    "actioncheck",
    "actionflush",
    "actionreload",
    "actionrepair",
    "actionprolong",
    "actionreban",
];

pub(super) fn translate(
    jail: &ResolvedJail,
    programs: &mut BTreeMap<String, Body>,
    scribe: &mut Scribe<'_>,
) -> Asked {
    let mut asked = Asked::default();
    for action in &jail.actions {
        let at = Some(action.origin);
        let what = format!("action {}", action.name);
        let file = action.file.as_str();
        if FOREIGN.contains(&file) {
            scribe.left(&what, at, "this firewall is not supported yet");
        } else if FIREWALLS.iter().any(|known| file.starts_with(known)) {
            firewall(action, &mut asked);
            let why = "the firewall of stockade does it (nftables, in its own table)";
            scribe.different(&what, at, why);
            chain(action, scribe);
        } else {
            match program(action) {
                Ok(body) => {
                    let name = format!("{}-{}", jail.name, action.name);
                    let name = if is_name(&name) {
                        name
                    } else {
                        action.name.clone()
                    };
                    scribe.different(&what, at, format!("[exec.{name}] runs it without a shell"));
                    left_commands(action, scribe);
                    programs.insert(name.clone(), body);
                    asked.programs.push(name);
                }
                Err(why) => scribe.left(&what, at, why),
            }
        }
    }
    asked
}

fn parameter<'a>(action: &'a ResolvedAction, name: &str) -> Option<&'a str> {
    let value = action.parameters.get(name)?;
    Some(value.value.as_str().trim())
}

fn firewall(action: &ResolvedAction, asked: &mut Asked) {
    let all = action.file.contains("allports") || parameter(action, "type") == Some("allports");
    let ports = parameter(action, "port").filter(|ports| !all && !ports.is_empty());
    // Several actions of one jail close what any of them closes.
    asked.ports = match (asked.firewall, asked.ports.take(), ports) {
        (false, _, ports) => ports.map(str::to_owned),
        (true, Some(before), Some(ports)) if before != ports => Some(format!("{before},{ports}")),
        (true, Some(before), Some(_)) => Some(before),
        (true, ..) => None,
    };
    asked.protocol = match (asked.firewall, parameter(action, "protocol")) {
        (false, protocol) => protocol.map(str::to_owned),
        (true, protocol) if asked.protocol.as_deref() == protocol => asked.protocol.take(),
        (true, _) => Some("all".to_owned()),
    };
    asked.reject |= parameter(action, "blocktype")
        .is_none_or(|block| block.to_ascii_lowercase().contains("reject"));
    asked.firewall = true;
}

/// A chain for forwarded packets is out of reach of the input hook.
fn chain(action: &ResolvedAction, scribe: &mut Scribe<'_>) {
    let Some(chain) = parameter(action, "chain") else {
        return;
    };
    if !["INPUT", "input", "f2b-chain", "INPUT_direct"].contains(&chain) && !chain.is_empty() {
        let what = format!("chain of action {}", action.name);
        let why = format!("'{chain}': packets to this host are dropped, others are not");
        scribe.different(&what, Some(action.origin), why);
    }
}

fn left_commands(action: &ResolvedAction, scribe: &mut Scribe<'_>) {
    for name in MORE {
        let command = action.commands.get(name);
        if let Some(command) = command.filter(|command| !command.as_str().trim().is_empty()) {
            let what = format!("{name} of action {}", action.name);
            scribe.left(
                &what,
                Some(command.origin()),
                "only a ban and its end are told",
            );
        }
    }
}

/// The action as a program, or why it is none.
fn program(action: &ResolvedAction) -> Result<Body, String> {
    if action.is_python() {
        return Err("it is a program in Python for fail2ban's own server".to_owned());
    }
    let command = |name: &str| {
        let command = action.commands.get(name)?.as_str().trim();
        (!command.is_empty()).then_some(command)
    };
    let ban = command("actionban").ok_or("it does nothing for a ban")?;
    let mut body = Body::default();
    body.list("ban", &argv(ban)?);
    if let Some(unban) = command("actionunban") {
        body.list("unban", &argv(unban)?);
    }
    if let Some(norestored) = action.parameters.get("norestored") {
        let value = norestored.value.as_str().trim();
        body.truth("restored", !matches!(value, "1" | "true" | "yes"));
    }
    Ok(body)
}

/// The words of a command that means the same without a shell.
fn argv(command: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ' ' | '\t') => words.push(String::new()),
            (None | Some('"'), '$' | '`' | '\\')
            | (None, '|' | '&' | ';' | '(' | ')' | '*' | '?' | '~' | '#' | '\n') => {
                return Err(format!(
                    "it needs a shell, for {}",
                    crate::diagnostic::quoted(&c.to_string())
                ));
            }
            (_, c) => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    let words: Vec<String> = words
        .iter()
        .map(|word| word.replace("<name>", "<jail>"))
        .collect();
    for word in &words {
        check(word)?;
    }
    match words.first() {
        Some(program) if program.starts_with('/') => Ok(words),
        Some(program) => Err(format!(
            "'{program}' is no absolute path, and the path is not searched"
        )),
        None => Err("it does nothing for a ban".to_owned()),
    }
}

/// Whether the only marks of a word are tags that programs are given.
fn check(word: &str) -> Result<(), String> {
    let mut rest = word;
    while let Some(at) = rest.find(['<', '>']) {
        let (_, from) = rest.split_at(at);
        let tag = from.strip_prefix('<').and_then(|tag| tag.split_once('>'));
        match tag {
            Some((tag, after)) if crate::settings::EXEC_TAGS.contains(&tag) => rest = after,
            Some((tag, _)) if !tag.is_empty() && !tag.contains(' ') => {
                return Err(format!(
                    "the tag <{tag}> is not given to programs as an argument"
                ));
            }
            _ => return Err("it needs a shell, for a redirection".to_owned()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_without_a_shell_become_words() {
        let words = argv("/usr/bin/page --ip <ip> 'in <name>' \"a b\"").unwrap();
        assert_eq!(words, ["/usr/bin/page", "--ip", "<ip>", "in <jail>", "a b"]);
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused_with_the_reason() {
        for (command, reason) in [
            ("/bin/a | /bin/b", "needs a shell"),
            ("/bin/a > /tmp/x", "redirection"),
            ("/bin/a \"$x\"", "needs a shell"),
            ("/bin/a <matches>", "<matches>"),
            ("page <ip>", "absolute path"),
            ("", "does nothing"),
        ] {
            let why = argv(command).unwrap_err();
            assert!(why.contains(reason), "{command}: {why}");
        }
    }
}
