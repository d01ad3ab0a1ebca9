//! FreeBSD: getifaddrs(3), and the messages of route(4).

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily as Family, SockaddrLike, SockaddrStorage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::route_message::tells_of_addresses;

/// Room for one message. Those about addresses have a header and at most eight socket addresses
/// (`RTAX_MAX`), far less than this; what a message is, stands in its first bytes.
const MESSAGE_BYTES_MAX: usize = 2048;

/// The addresses of the machine's interfaces, in this network stack (a jail has one of its own, or sees
/// the addresses that it was given).
#[derive(Debug)]
pub struct OwnAddresses {
    changes: OwnedFd,
}

impl OwnAddresses {
    /// Opens the socket. No privilege is needed.
    ///
    /// Changes are noticed from here on: whoever calls [`Self::current`] after this and then
    /// [`Self::wait_change`] misses none.
    ///
    /// # Errors
    /// Where the socket cannot be opened.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let changes = socket_with(AddressFamily::ROUTE, SocketType::RAW, flags, None)?;
        Ok(Self { changes })
    }

    /// All addresses of all interfaces, IPv4 and IPv6, loopback and link-local included, sorted.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    pub fn current(&mut self) -> io::Result<Vec<IpAddr>> {
        let found: BTreeSet<IpAddr> = getifaddrs()?
            .filter_map(|interface| ip(&interface.address?))
            .collect();
        Ok(found.into_iter().collect())
    }

    /// Waits until an address came or went, or until `timeout` is over: `true` where
    /// [`Self::current`] may have changed since the last call. May return earlier than asked.
    ///
    /// # Errors
    /// Where the socket fails.
    pub fn wait_change(&mut self, timeout: Duration) -> io::Result<bool> {
        let mut changed = false;
        let mut timeout = timeout;
        while self.readable(timeout)? {
            timeout = Duration::ZERO;
            let mut message = [0; MESSAGE_BYTES_MAX];
            match rustix::io::read(&self.changes, &mut message) {
                // A socket that has ended would be readable for ever.
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Ok(len) => {
                    changed |= tells_of_addresses(message.get(..len).unwrap_or(&message));
                }
                // Some were lost because there were too many: a change for all we know.
                Err(Errno::NOBUFS) => changed = true,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(changed)
    }

    /// Waits until there is something to read; `false` when the time is over, or on a signal.
    fn readable(&self, timeout: Duration) -> io::Result<bool> {
        // What is too long for the system's clock is as good as no limit.
        let timeout = Timespec::try_from(timeout).ok();
        let mut fds = [PollFd::new(&self.changes, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The IP address of an interface's address, which may also be one of its link.
fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    match address.family()? {
        Family::Inet => address.as_sockaddr_in().map(|addr| addr.ip().into()),
        Family::Inet6 => address.as_sockaddr_in6().map(|addr| addr.ip().into()),
        _ => None,
    }
}
