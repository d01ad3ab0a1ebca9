//! What pfctl(8) is asked, as argument lists.
//!
//! Only addresses are given, and `-P` shows ports as numbers: no name is looked up.

use stockade_core::IpNet;

use crate::pf::names::ANCHOR;

/// Addresses given to one call. pf takes no more than `net.pf.request_maxcount` (65,535 by default) of them
/// at once, and each is some bytes of the kernel's memory while it works.
pub(super) const ADDRESSES_PER_CALL_MAX: usize = 8192;

/// What is read from standard input.
const STDIN: [&str; 2] = ["-f", "-"];

/// One call of pfctl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Arguments, without the name of the program.
    pub(super) args: Vec<String>,
    /// What is written to its standard input.
    pub(super) stdin: String,
    /// What it is for, in words that follow "cannot".
    pub(super) act: String,
}

impl Command {
    fn new(act: impl Into<String>, args: &[&str]) -> Self {
        Self {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            stdin: String::new(),
            act: act.into(),
        }
    }

    /// Concerns our anchor only.
    fn in_anchor(act: impl Into<String>, args: &[&str]) -> Self {
        Self::new(act, &[&["-a", ANCHOR], args].concat())
    }

    fn with(mut self, stdin: String) -> Self {
        self.stdin = stdin;
        self
    }
}

/// Whether pf is on.
pub(super) fn info() -> Command {
    Command::new("ask whether pf is enabled", &["-s", "info"])
}

/// The main ruleset.
pub(super) fn main_rules() -> Command {
    Command::new("list pf's main ruleset", &["-P", "-s", "rules"])
}

/// The rules that translate addresses.
pub(super) fn translations() -> Command {
    Command::new("list pf's translation rules", &["-P", "-s", "nat"])
}

/// The interfaces that pf knows, with those marked that it does not look at.
pub(super) fn interfaces() -> Command {
    Command::new("list the interfaces of pf", &["-v", "-s", "Interfaces"])
}

/// The labels and counters of our rules.
pub(super) fn labels() -> Command {
    Command::in_anchor(
        format!("list the rules of anchor '{ANCHOR}'"),
        &["-s", "labels"],
    )
}

/// The names of our tables.
pub(super) fn tables() -> Command {
    Command::in_anchor(
        format!("list the tables of anchor '{ANCHOR}'"),
        &["-s", "Tables"],
    )
}

/// Makes the rules and tables of our anchor be these, in one transaction.
pub(super) fn load(ruleset: String) -> Command {
    let act = format!("load the rules of anchor '{ANCHOR}'");
    Command::in_anchor(act, &STDIN).with(ruleset)
}

/// The addresses of a table.
pub(super) fn show(table: &str) -> Command {
    on_table(table, "show", format!("list table '{table}'"))
}

/// Adds to a table; one transaction.
pub(super) fn add(table: &str, nets: &[IpNet]) -> Command {
    change(table, "add", nets, format!("add {} to", counted(nets)))
}

/// Deletes from a table; one transaction.
pub(super) fn delete(table: &str, nets: &[IpNet]) -> Command {
    change(
        table,
        "delete",
        nets,
        format!("delete {} from", counted(nets)),
    )
}

/// Removes a table. Rules that refer to it match nobody from then on.
pub(super) fn kill_table(table: &str) -> Command {
    on_table(table, "kill", format!("remove table '{table}'"))
}

/// Removes our rules.
pub(super) fn flush_rules() -> Command {
    let act = format!("flush the rules of anchor '{ANCHOR}'");
    Command::in_anchor(act, &["-F", "rules"])
}

/// Removes our tables.
pub(super) fn flush_tables() -> Command {
    let act = format!("flush the tables of anchor '{ANCHOR}'");
    Command::in_anchor(act, &["-F", "Tables"])
}

/// All connections that pf keeps.
pub(super) fn states() -> Command {
    Command::new("list pf's states", &["-s", "states"])
}

/// Ends connections: those that came from `net`, and those that were made to it.
pub(super) fn kill_states(net: IpNet) -> [Command; 2] {
    let anybody = match net {
        IpNet::V4(_) => "0.0.0.0/0",
        IpNet::V6(_) => "::/0",
    };
    let host = address(net);
    let act = format!("end the connections of {host}");
    [
        Command::new(act.as_str(), &["-k", &host]),
        Command::new(act, &["-k", anybody, "-k", &host]),
    ]
}

fn on_table(table: &str, command: &str, act: String) -> Command {
    Command::in_anchor(act, &["-t", table, "-T", command])
}

fn change(table: &str, command: &str, nets: &[IpNet], act: String) -> Command {
    let mut listed = String::with_capacity(nets.len().saturating_mul(16));
    for net in nets {
        listed.push_str(&address(*net));
        listed.push('\n');
    }
    let mut change = on_table(table, command, format!("{act} table '{table}'")).with(listed);
    change.args.extend(STDIN.map(str::to_owned));
    change
}

/// As pfctl writes it itself: one address without its prefix length.
fn address(net: IpNet) -> String {
    let net = net.trunc();
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

fn counted(nets: &[IpNet]) -> String {
    match nets {
        [net] => net.to_string(),
        nets => format!("{} addresses", nets.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(given: &[&str]) -> Vec<IpNet> {
        given.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn every_call_is_one_of_pfctl_8() {
        let two = nets(&["192.0.2.1/32", "2001:db8::7/64"]);
        let [from, to] = kill_states(two[1]);
        let [from4, to4] = kill_states(two[0]);
        for (command, args, stdin) in [
            (info(), "-s info", ""),
            (main_rules(), "-P -s rules", ""),
            (translations(), "-P -s nat", ""),
            (interfaces(), "-v -s Interfaces", ""),
            (labels(), "-a stockade -s labels", ""),
            (tables(), "-a stockade -s Tables", ""),
            (load("x\n".to_owned()), "-a stockade -f -", "x\n"),
            (show("ban-sshd"), "-a stockade -t ban-sshd -T show", ""),
            (
                add("ban-sshd", &two),
                "-a stockade -t ban-sshd -T add -f -",
                "192.0.2.1\n2001:db8::/64\n",
            ),
            (
                delete("ban-sshd", &two[..1]),
                "-a stockade -t ban-sshd -T delete -f -",
                "192.0.2.1\n",
            ),
            (kill_table("ban-x"), "-a stockade -t ban-x -T kill", ""),
            (flush_rules(), "-a stockade -F rules", ""),
            (flush_tables(), "-a stockade -F Tables", ""),
            (states(), "-s states", ""),
            (from, "-k 2001:db8::/64", ""),
            (to, "-k ::/0 -k 2001:db8::/64", ""),
            (from4, "-k 192.0.2.1", ""),
            (to4, "-k 0.0.0.0/0 -k 192.0.2.1", ""),
        ] {
            assert_eq!(command.args.join(" "), args);
            assert_eq!(command.stdin, stdin, "{args}");
        }
    }
}
