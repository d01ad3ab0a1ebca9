//! From where administrators work on this host by ssh.
//!
//! An attacker who is about to guess a password has a connection to sshd too, and a local user may write
//! into his environment what he likes. So a session counts only where all of this is so:
//!
//! - a process with a controlling terminal has `SSH_CONNECTION` in its environment;
//! - the kernel lists that connection as established;
//! - its socket is held by a process above, which is root alone and runs sshd or dropbear: nobody else can
//!   make such a one hold a connection that it did not accept;
//! - the process right below that one is wholly one user, and he is an administrator: it is who logged in,
//!   whatever was started from there with other rights.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use stockade_config::Admin;

use super::accounts::admin_uids;
use super::connections::{Connection, established, ssh_connection};
use super::processes::{self, Pid, Processes};
use super::text;

/// How the files of ssh servers are called that are known to hold the connection and to set
/// `SSH_CONNECTION`: `sshd`, `sshd-session` (OpenSSH since 9.8) and `dropbear`.
const SERVERS: [&str; 2] = ["sshd", "dropbear"];

const ROOT: u32 = 0;

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The other ends of sessions, sorted.
    pub(crate) peers: Vec<IpAddr>,
    /// Why sessions cannot be seen.
    pub(crate) blind: Option<String>,
}

/// A process on a terminal that says that it came by this connection.
struct Claim {
    pid: Pid,
    connection: Connection,
}

/// Looks at all processes of this moment.
pub(crate) fn look(admins: &[Admin]) -> Found {
    if !cfg!(target_os = "linux") {
        return Found {
            peers: Vec::new(),
            blind: Some("they cannot be seen on this system".to_owned()),
        };
    }
    let processes = match Processes::list() {
        Ok(processes) => processes,
        Err(error) => return blind(&error),
    };
    if !processes.are_visible() {
        return blind(&io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let (claims, hidden) = claims(&processes);
    let mut found = hidden.as_ref().map_or_else(Found::default, blind);
    if claims.is_empty() {
        return found;
    }
    let listed = connections();
    let mut judge = Judge {
        processes: &processes,
        admins: admin_uids(admins, &text("/etc/passwd"), &text("/etc/group")),
        servers: BTreeMap::new(),
        holders: BTreeMap::new(),
    };
    let mut peers = BTreeSet::new();
    for claim in claims {
        let socket = listed.get(&claim.connection);
        if socket.is_some_and(|socket| judge.is_of_admin(claim.pid, *socket)) {
            peers.insert(claim.connection.peer.ip());
        }
    }
    found.peers = peers.into_iter().collect();
    found
}

fn blind(error: &io::Error) -> Found {
    let hint = if error.kind() == io::ErrorKind::PermissionDenied {
        "; it takes CAP_SYS_PTRACE to see whose connection a process came by"
    } else {
        ""
    };
    Found {
        peers: Vec::new(),
        blind: Some(format!("cannot look at processes: {error}{hint}")),
    }
}

/// The processes on terminals that came by ssh, and why others could not be asked.
fn claims(processes: &Processes) -> (Vec<Claim>, Option<io::Error>) {
    let (mut claims, mut hidden) = (Vec::new(), None);
    for pid in processes.on_terminals() {
        match processes::environ(pid) {
            Ok(environ) => {
                claims.extend(ssh_connection(&environ).map(|connection| Claim { pid, connection }))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden = Some(error),
            // It has ended.
            Err(_) => {}
        }
    }
    (claims, hidden)
}

/// The established connections of this network namespace.
fn connections() -> BTreeMap<Connection, u64> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(text);
    tables.iter().flat_map(|table| established(table)).collect()
}

/// Judges claims. What was found out about a process is remembered for as long as one look takes: a user
/// may have thousands of processes, each below all others, that claim something.
struct Judge<'a> {
    processes: &'a Processes,
    admins: BTreeSet<u32>,
    servers: BTreeMap<Pid, bool>,
    holders: BTreeMap<(Pid, u64), bool>,
}

impl Judge<'_> {
    /// Whether a process descends from a session that an administrator has by this socket.
    fn is_of_admin(&mut self, pid: Pid, socket: u64) -> bool {
        let mut lineage = self.processes.lineage(pid);
        let session = lineage.find(|(_, above)| self.is_server_of(*above, socket));
        let user = session.and_then(|(below, _)| processes::user(below));
        user.is_some_and(|user| self.admins.contains(&user))
    }

    fn is_server_of(&mut self, pid: Pid, socket: u64) -> bool {
        let is_server = *self.servers.entry(pid).or_insert_with(|| is_server(pid));
        let holds = || processes::holds(pid, socket);
        is_server && *self.holders.entry((pid, socket)).or_insert_with(holds)
    }
}

/// Whether a process is an ssh server that is root, and not a user's own or what a user has called with
/// root's rights.
fn is_server(pid: Pid) -> bool {
    processes::user(pid) == Some(ROOT)
        && processes::program(pid).is_some_and(|name| {
            let mut servers = SERVERS.iter();
            servers.any(|server| name.starts_with(server))
        })
}
