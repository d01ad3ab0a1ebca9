//! What enforces bans, and whom it must not hit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stockade_core::{PluginName, Safeguards};

/// `[firewall]`: how the backends work that jails name as their `firewall`, and what no jail bans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallSettings {
    /// Priority of nftables' chains (`nft(8)`, "CHAINS"): those with a smaller one see a packet first.
    pub priority: i32,
    /// Which addresses are found out and never banned.
    pub never_ban: BTreeSet<NeverBan>,
    /// Whose ssh sessions [`NeverBan::SshSessions`] means.
    pub admins: Vec<Admin>,
    /// Bounds on what is banned.
    pub safeguards: Safeguards,
    /// `[firewall.exec.NAME]`: programs that jails name as their `firewall`, used or not.
    pub exec: BTreeMap<PluginName, ExecFirewall>,
}

/// Addresses that are never banned, and that the daemon finds out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeverBan {
    /// Of the default gateways.
    Gateway,
    /// Of the name servers that this host asks.
    Resolvers,
    /// From which administrators work by ssh.
    SshSessions,
}

/// Who administers the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// The user of this name or number.
    User(String),
    /// Every member of this group: `@NAME`.
    Group(String),
}

/// `[firewall.exec.NAME]`: programs of the operator's own that enforce bans. Each is an absolute path and
/// arguments, those of `ban` and `unban` with [`EXEC_FIREWALL_TAGS`] unless `batch` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecFirewall {
    /// Bans.
    pub ban: Vec<String>,
    /// Ends a ban.
    pub unban: Vec<String>,
    /// Prints what is banned.
    pub list: Option<Vec<String>>,
    /// Says whether all is in place.
    pub check: Option<Vec<String>>,
    /// Sets up.
    pub start: Option<Vec<String>>,
    /// Takes all away.
    pub stop: Option<Vec<String>>,
    /// How long one call may take.
    pub timeout: Duration,
    /// Whether `ban` and `unban` are called once for many bans.
    pub batch: bool,
}

/// What an argument of [`ExecFirewall::ban`] and `unban` may hold between `<` and `>`.
pub const EXEC_FIREWALL_TAGS: [&str; 4] = ["ip", "family", "jail", "timeout"];

/// How the bans of a jail are enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// By what; empty where no firewall is to know of them.
    pub firewall: Vec<FirewallBackend>,
    /// Where packets are stopped; never empty.
    pub hooks: BTreeSet<Hook>,
    /// What happens to packets of who is banned.
    pub blocktype: BlockType,
    /// Whether a ban ends the connections that there are.
    pub end_connections: bool,
}

/// What enforces the bans of a jail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirewallBackend {
    /// The best one that this host has.
    Auto,
    /// nftables, by netlink.
    Nftables,
    /// iptables and ipset, of the variant that is in use.
    Iptables,
    /// iptables of the variant that fills nf_tables, and ipset.
    IptablesNft,
    /// The older iptables, and ipset.
    IptablesLegacy,
    /// iptables and ipset beside ufw.
    Ufw,
    /// pf of FreeBSD.
    Pf,
    /// Routes that lead nowhere.
    Route,
    /// Programs, one of [`FirewallSettings::exec`].
    Exec(PluginName),
}

/// A place on a packet's way where it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// What is addressed to this host.
    Input,
    /// What this host passes on, with the ports behind the translation of addresses.
    Forward,
    /// Whatever comes in, with the ports that the sender named.
    Prerouting,
}

/// What happens to packets of who is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockType {
    /// They vanish.
    Drop,
    /// They are answered: TCP with a reset, the rest with ICMP "port unreachable".
    Reject,
    /// A few in a minute get through, the rest vanishes.
    Tarpit,
}
