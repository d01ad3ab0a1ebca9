//! Finds the first packet that the firewall drops or rejects.
//!
//! A host connects by TCP again and again. While it is not banned, the kernel answers at once; the
//! first connection that gets no answer was dropped, and the time when it was begun is the result. It
//! is late by the pace at most, never early.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::clock;
use crate::Failure;

/// A connection that is not answered for so long was dropped. The kernel tries again after 1 s
/// (RFC 6298, 2.1), so an answer until then is one to the first packet.
const UNANSWERED: Duration = Duration::from_millis(300);

/// Connects from `from` to `to`, one connection each `pace`, and returns when the first one was
/// begun that got no answer. `answered` is called once the first one was answered.
pub(crate) fn first_dropped(
    from: Option<SocketAddr>,
    to: SocketAddr,
    pace: Duration,
    limit: Duration,
    answered: impl FnOnce(),
) -> Result<Instant, Failure> {
    let end = clock::now() + limit;
    let mut answered = Some(answered);
    while clock::now() < end {
        let begun = clock::now();
        if connects(from, to)? {
            if let Some(answered) = answered.take() {
                answered();
            }
        } else if answered.is_some() {
            return Err(format!("{to} did not answer before anybody was banned").into());
        } else {
            return Ok(begun);
        }
        clock::pause(pace);
    }
    Err(format!("no packet was dropped within {limit:?}").into())
}

/// Whether `to` takes a connection.
fn connects(from: Option<SocketAddr>, to: SocketAddr) -> io::Result<bool> {
    let socket = open(from, to)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) => return Ok(true),
        Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let mut wanted = [PollFd::new(&socket, PollFlags::OUT)];
    let timeout = Timespec::try_from(UNANSWERED).map_err(io::Error::other)?;
    if poll(&mut wanted, Some(&timeout))? == 0 {
        return Ok(false);
    }
    match sockopt::socket_error(socket.as_fd())? {
        Ok(()) => Ok(true),
        // A firewall that rejects has answered in the server's name.
        Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::ACCESS) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn open(from: Option<SocketAddr>, to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Closed by a reset, a connection leaves nothing behind: thousands of ports stay free.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    if let Some(from) = from {
        rustix::net::bind(&socket, &from)?;
    }
    Ok(socket)
}

/// Answers connections at `at`, on a thread that ends with the process.
pub(crate) fn answer(at: SocketAddr) -> Result<(), Failure> {
    let listener =
        TcpListener::bind(at).map_err(|cause| format!("cannot listen at {at}: {cause}"))?;
    std::thread::spawn(move || listener.incoming().for_each(drop));
    Ok(())
}
