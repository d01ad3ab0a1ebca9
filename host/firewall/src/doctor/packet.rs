//! A connection from an address that is banned for a moment.
//!
//! The whole of 127.0.0.0/8 is this machine (RFC 1122 3.2.1.3), so an address of it that nobody uses can
//! be banned, and a connection can be made from it that meets the same hooks as one from outside.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use stockade_core::IpNet;

use crate::contract::{Change, Firewall};
use crate::rules::{BlockType, JailRules, Ports, Protocol};
use crate::{FirewallError, Refusal};

/// Whom the test bans: an address of the loopback network that nobody has a use for ("SO" in its middle).
pub const TEST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 83, 79, 1);
/// How long the test's ban lasts where nobody comes to lift it.
const BAN: Duration = Duration::from_secs(60);
/// How long a connection over the loopback may take before it counts as stopped.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many ports of a jail are tried for one that can be listened at.
const PORTS_TRIED_MAX: usize = 64;

/// What became of a connection from a banned address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tested {
    /// It was stopped, and before the ban it was not.
    Stopped,
    /// It came through: bans do not hold.
    Through,
    /// It cannot be told, and why.
    Unknown {
        /// In words for the reader.
        why: String,
    },
}

impl Tested {
    fn unknown(why: &str) -> Self {
        Self::Unknown {
            why: why.to_owned(),
        }
    }
}

/// Bans [`TEST_ADDRESS`] for a jail that `firewall` has rules for, tries to connect from it, and lets it
/// go. Takes up to two seconds.
///
/// # Errors
/// Where the ban cannot be made or lifted.
pub fn test_packet(
    firewall: &mut dyn Firewall,
    rules: &JailRules,
) -> Result<Tested, FirewallError> {
    if !firewall.sees_loopback() {
        let name = firewall.name();
        return Ok(Tested::Unknown {
            why: format!("{name} does not look at connections within this host"),
        });
    }
    if rules.block == BlockType::Tarpit {
        return Ok(Tested::unknown("a tarpit lets the first packets through"));
    }
    if !rules.protocols.is_empty() && !rules.protocols.contains(&Protocol::Tcp) {
        return Ok(Tested::unknown("the jail does not close TCP"));
    }
    let Some(target) = Target::of(&rules.ports) else {
        return Ok(Tested::unknown("none of its ports can be connected to"));
    };
    if !target.lets_in() {
        return Ok(Tested::unknown(
            "nothing gets through to its port even without a ban; another rule stops it",
        ));
    }
    let net = IpNet::from(std::net::IpAddr::V4(TEST_ADDRESS));
    let jail = || rules.jail.clone();
    let ban = Change::Ban {
        jail: jail(),
        net,
        timeout: Some(BAN),
    };
    all(firewall.apply(&[ban])?)?;
    let came_through = target.lets_in();
    all(firewall.apply(&[Change::Unban { jail: jail(), net }])?)?;
    Ok(if came_through {
        Tested::Through
    } else {
        Tested::Stopped
    })
}

fn all(refused: Vec<Refusal>) -> Result<(), FirewallError> {
    match refused.into_iter().next() {
        None => Ok(()),
        Some(refusal) => Err(refusal.error),
    }
}

/// A port to connect to.
struct Target {
    port: u16,
    /// Ours, where nobody listens there.
    _listener: Option<TcpListener>,
}

impl Target {
    /// One of these ports: where nobody listens we do; where we cannot, somebody does.
    fn of(ports: &Ports) -> Option<Self> {
        let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let ranges = match ports {
            Ports::All => {
                let listener = listen(0).ok()?;
                let port = listener.local_addr().ok()?.port();
                return Some(Self {
                    port,
                    _listener: Some(listener),
                });
            }
            Ports::List(ranges) => ranges,
        };
        let all = ranges.iter().flat_map(|range| range.first..=range.last);
        let mut taken = None;
        for port in all.take(PORTS_TRIED_MAX) {
            match listen(port) {
                Ok(listener) => {
                    return Some(Self {
                        port,
                        _listener: Some(listener),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    taken.get_or_insert(port);
                }
                Err(_) => {}
            }
        }
        taken.map(|port| Self {
            port,
            _listener: None,
        })
    }

    /// Whether a connection from the test's address is accepted.
    fn lets_in(&self) -> bool {
        connects(self.port).unwrap_or(false)
    }
}

/// Connects from [`TEST_ADDRESS`] to a port of this host.
fn connects(port: u16) -> rustix::io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket: OwnedFd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrV4::new(TEST_ADDRESS, 0))?;
    match connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) => return Ok(true),
        Err(Errno::INPROGRESS) => {}
        Err(_) => return Ok(false),
    }
    let mut waiting = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::OUT)];
    let patience = Timespec::try_from(PATIENCE).ok();
    let ready = poll(&mut waiting, patience.as_ref())?;
    Ok(ready > 0 && sockopt::socket_error(&socket)?.is_ok())
}
