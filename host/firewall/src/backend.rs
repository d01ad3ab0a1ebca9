//! Which backends there are, and which is the best on this machine.

use std::time::Duration;

use crate::contract::Firewall;
use crate::{Exec, FirewallError, NoFirewall, Pf, PfOptions};

/// A kind of firewall with what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// nftables by netlink.
    Nftables(NftablesOptions),
    /// pf of FreeBSD by pfctl.
    Pf(PfOptions),
    /// iptables with ipset, by their programs.
    Iptables(IptablesOptions),
    /// The same beside ufw, with the iptables that ufw calls.
    Ufw,
    /// Routes that lead nowhere, for hosts without a packet filter.
    Route(RouteOptions),
    /// Programs of the operator's own.
    Exec(ExecOptions),
    /// None: record what would be done (`--dry-run`).
    Nothing,
}

/// What may be chosen of the nftables backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NftablesOptions {
    /// Priority of our base chain (`nft(8)`, "CHAINS"): those with a smaller one see a packet first.
    pub priority: i32,
}

impl Default for NftablesOptions {
    /// Before the usual filter (`NF_IP_PRI_FILTER`, 0), so that an `accept` there does not let banned
    /// addresses in and other tables are spared their packets; after connection tracking.
    fn default() -> Self {
        Self { priority: -10 }
    }
}

/// What may be chosen of the route backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteOptions {
    /// Number of the routing table that holds the bans, ours alone.
    pub table: u32,
    /// Priority of the rule that leads into it (`ip-rule(8)`).
    pub priority: u32,
    /// Protocol number that marks our routes and rules as ours (`rtm_protocol`, rtnetlink(7)).
    pub protocol: u8,
}

impl Default for RouteOptions {
    /// Numbers that iproute2, routing daemons and VPNs do not use: the table is "ST" in ASCII, the
    /// protocol "S". The rule comes after that of the table `local` (0), so that this host always reaches
    /// itself, and before those of VRFs (1000), VPNs and the main table.
    fn default() -> Self {
        Self {
            table: 0x5354,
            priority: 100,
            protocol: 0x53,
        }
    }
}

/// Programs that enforce, as `[firewall.exec.NAME]` names them.
///
/// Each is a program by its absolute path and its arguments, never through a shell. In the arguments of
/// `ban` and `unban` these tags are replaced: `<ip>` (an address, or a network), `<jail>`, `<family>`
/// (`inet4` or `inet6`) and `<timeout>` (seconds that are left, or `-1`). The same is in the environment
/// (`STOCKADE_IP`, ...) and, as one JSON object, on standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOptions {
    /// The operator's name for it.
    pub name: String,
    /// Bans. Has to succeed for what is banned already.
    pub ban: Vec<String>,
    /// Ends a ban. Has to succeed for what is not banned.
    pub unban: Vec<String>,
    /// Prints what is banned: on each line a jail and an address or network.
    pub list: Option<Vec<String>>,
    /// Whether all is in place: exit code 0.
    pub check: Option<Vec<String>>,
    /// Sets up, and gets the jails with their rules; run at every start and whenever they change.
    pub start: Option<Vec<String>>,
    /// Takes all away, bans included. Where there is none, every ban is ended by `unban`.
    pub stop: Option<Vec<String>>,
    /// How long one call may take.
    pub timeout: Duration,
    /// Whether `ban` and `unban` are called once for many, which come on standard input only.
    pub batch: bool,
}

/// What may be chosen of the iptables backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IptablesOptions {
    /// Which of the two iptables; `None` for the one that is in use.
    pub variant: Option<IptablesVariant>,
    /// How many networks one set takes at most (ipset's `maxelem`). Sets that are there keep theirs.
    pub bans_max: u32,
}

impl Default for IptablesOptions {
    /// A set takes memory for what it holds, not for what it may hold, so this only bounds what an attacker
    /// with a botnet can make the kernel keep: about 100 MB.
    fn default() -> Self {
        Self {
            variant: None,
            bans_max: 1 << 20,
        }
    }
}

/// One of the two iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IptablesVariant {
    /// `iptables-nft`: its tables are those that `nft list ruleset` shows.
    Nft,
    /// `iptables-legacy`: tables of x_tables, guarded by `/run/xtables.lock`.
    Legacy,
}

impl Backend {
    /// Name, as written in configuration and shown to the user.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Nftables(_) => "nftables",
            Self::Pf(_) => "pf",
            Self::Iptables(_) => "iptables",
            Self::Ufw => "ufw",
            Self::Route(_) => "route",
            Self::Exec(options) => &options.name,
            Self::Nothing => "none",
        }
    }

    /// Opens it and checks that it may be used.
    ///
    /// Changes nothing: rules appear with [`Firewall::configure`].
    ///
    /// # Errors
    /// [`FirewallError::NotPermitted`] without `CAP_NET_ADMIN`, [`FirewallError::Unavailable`] where
    /// this machine lacks what the backend needs.
    pub fn open(&self) -> Result<Box<dyn Firewall>, FirewallError> {
        match self {
            Self::Nothing => Ok(Box::new(NoFirewall::new())),
            Self::Exec(options) => Ok(Box::new(Exec::open(options.clone())?)),
            Self::Pf(options) => Ok(Box::new(Pf::open(options)?)),
            #[cfg(target_os = "linux")]
            Self::Nftables(options) => Ok(Box::new(crate::Nftables::open(*options)?)),
            #[cfg(not(target_os = "linux"))]
            Self::Nftables(_) => Err(not_for_this_system("nftables")),
            #[cfg(target_os = "linux")]
            Self::Iptables(options) => Ok(Box::new(crate::Iptables::open(*options)?)),
            #[cfg(target_os = "linux")]
            Self::Ufw => Ok(Box::new(crate::Ufw::open()?)),
            #[cfg(not(target_os = "linux"))]
            Self::Iptables(_) | Self::Ufw => Err(not_for_this_system("iptables")),
            #[cfg(target_os = "linux")]
            Self::Route(options) => Ok(Box::new(crate::Route::open(*options)?)),
            #[cfg(not(target_os = "linux"))]
            Self::Route(_) => Err(not_for_this_system("route")),
        }
    }
}

/// The backend that was chosen by itself (`backend = "auto"`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The best one that this machine has.
    pub backend: Backend,
    /// Why, in words for the log and for `stockade status`.
    pub because: String,
}

/// Finds the best backend of this machine by asking each in turn, best first.
///
/// # Errors
/// [`FirewallError::NotPermitted`] without the right to change any firewall, and
/// [`FirewallError::NoBackend`] with what is missing for each where none can work.
pub fn choose() -> Result<Choice, FirewallError> {
    let mut missing = Vec::new();
    for (backend, because) in candidates() {
        match open_with_reason(&backend) {
            Ok(reason) => {
                let because = match reason {
                    Some(reason) => format!("{because}; {reason}"),
                    None => because.to_owned(),
                };
                return Ok(Choice { backend, because });
            }
            Err(error @ FirewallError::NotPermitted { .. }) => return Err(error),
            Err(error) => missing.push(format!("{}: {error}", backend.name())),
        }
    }
    Err(FirewallError::NoBackend { missing })
}

/// Opens a backend to see whether that works; what it chose by itself.
fn open_with_reason(backend: &Backend) -> Result<Option<String>, FirewallError> {
    match backend {
        #[cfg(target_os = "linux")]
        Backend::Iptables(options) => Ok(Some(crate::Iptables::open(*options)?.choice())),
        other => other.open().map(|_| None),
    }
}

/// Best first, each with what speaks for it.
fn candidates() -> Vec<(Backend, &'static str)> {
    if cfg!(target_os = "linux") {
        vec![
            (
                Backend::Nftables(NftablesOptions::default()),
                "the kernel has nf_tables; a table of our own works beside firewalld, ufw, iptables and docker",
            ),
            (
                Backend::Iptables(IptablesOptions::default()),
                "the kernel has no nf_tables that we may use, but iptables and ipset work",
            ),
            (
                Backend::Route(RouteOptions::default()),
                "no packet filter works here; routes that lead nowhere cut banned addresses off altogether",
            ),
        ]
    } else if cfg!(target_os = "freebsd") {
        vec![(
            Backend::Pf(PfOptions::default()),
            "pf asks an anchor of our own, which leaves the rules of others alone",
        )]
    } else {
        Vec::new()
    }
}

#[cfg(not(target_os = "linux"))]
fn not_for_this_system(backend: &'static str) -> FirewallError {
    FirewallError::Unavailable {
        backend,
        what: format!("it does not exist on {}", std::env::consts::OS),
        hint: None,
    }
}
