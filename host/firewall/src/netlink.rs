//! A netlink socket: datagrams to and from the kernel, cut into messages.

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLA_HEADER_SIZE, NLMSG_ALIGNTO, NLMSG_ERROR, NetlinkBuffer, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Size of the receive buffer. A dump comes in datagrams of at most 32 KiB (`NLMSG_GOODSIZE` and
/// `netlink_dump` in the kernel), a notification holds one message of at most 64 KiB.
const DATAGRAM_BYTES_MAX: usize = 128 * 1024;

/// How many requests that are answered one by one go out in one datagram. The answers wait in the
/// receive buffer (208 KiB by default, `net.core.rmem_default`), and one takes less than 1.5 KiB of it.
pub(crate) const REQUESTS_AT_ONCE: usize = 128;

/// How long the kernel may think about one datagram of its answer. It answers from memory; that it does
/// not answer at all must not hang the daemon.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The kernel's own address.
const KERNEL_PORT: u32 = 0;

/// A bound netlink socket.
pub(crate) struct Netlink {
    socket: Socket,
    buffer: Vec<u8>,
    port: u32,
}

impl Netlink {
    /// Opens a socket for `protocol` with a port number of its own.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        let port = socket.bind_auto()?.port_number();
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(DATAGRAM_BYTES_MAX),
            port,
        })
    }

    /// The number by which the kernel knows this socket, and names it in notifications.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// For options of the socket.
    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Sends one datagram to the kernel, which works on it before this returns.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self
            .socket
            .send_to(bytes, &SocketAddr::new(KERNEL_PORT, 0), 0)?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::WriteZero))
        }
    }

    /// Waits until there is something to receive; `false` when the time is over, or on a signal.
    pub(crate) fn readable(&self, timeout: Duration) -> io::Result<bool> {
        // What is too long for the system's clock is as good as any long time.
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec {
            tv_sec: i64::from(u32::MAX),
            tv_nsec: 0,
        });
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives one datagram; empty where it does not come from the kernel.
    pub(crate) fn receive(&mut self) -> io::Result<Frames<'_>> {
        self.buffer.clear();
        // `recv_from` fills the spare capacity of the vector, so that is the limit.
        self.buffer.reserve(DATAGRAM_BYTES_MAX);
        let (len, sender) = self.socket.recv_from(&mut self.buffer, 0)?;
        if sender.port_number() != KERNEL_PORT {
            self.buffer.clear();
        }
        if len > self.buffer.len() && !self.buffer.is_empty() {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(Frames { rest: &self.buffer })
    }

    /// Sends `count` requests with `NLM_F_ACK`, numbered from `first` on; the kernel's answers, in their
    /// order. At most [`REQUESTS_AT_ONCE`].
    pub(crate) fn exchange(
        &mut self,
        bytes: &[u8],
        first: u32,
        count: usize,
    ) -> io::Result<Vec<Result<(), Errno>>> {
        self.send(bytes)?;
        let mut answers = vec![None; count];
        while answers.iter().any(Option::is_none) {
            if !self.readable(ANSWER_TIMEOUT)? {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            for frame in self.receive()? {
                let index = usize::try_from(frame.seq.wrapping_sub(first)).unwrap_or(usize::MAX);
                if frame.kind == NLMSG_ERROR
                    && let Some(answer) = answers.get_mut(index)
                {
                    *answer = Some(failure(frame.payload).map_or(Ok(()), Err));
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// The messages of one datagram.
pub(crate) struct Frames<'a> {
    rest: &'a [u8],
}

/// One message: its header's fields and its bytes.
pub(crate) struct Frame<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) port: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
    /// The whole message.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let buffer = NetlinkBuffer::new_checked(self.rest).ok()?;
        let len = usize::try_from(buffer.length()).ok()?;
        let bytes = self.rest.get(..len)?;
        let aligned = len.next_multiple_of(usize::from(NLMSG_ALIGNTO));
        self.rest = self.rest.get(aligned..).unwrap_or_default();
        Some(Frame {
            kind: buffer.message_type(),
            flags: buffer.flags(),
            seq: buffer.sequence_number(),
            port: buffer.port_number(),
            payload: buffer.payload(),
            bytes,
        })
    }
}

/// The attributes that `bytes` consists of, each with its kind and its value; ends at a broken one.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(|attribute| {
        let attribute = attribute.ok()?;
        let len = usize::from(attribute.length());
        let value = attribute.into_inner().get(NLA_HEADER_SIZE..len)?;
        Some((attribute.kind(), value))
    })
}

/// The value of the first attribute of this kind.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    let (_, value) = attributes(bytes).find(|(found, _)| *found == kind)?;
    Some(value)
}

/// What `NLMSG_ERROR` or `NLMSG_DONE` tells: `None` for success.
pub(crate) fn failure(payload: &[u8]) -> Option<Errno> {
    /// Errors are within a page's size of zero (`MAX_ERRNO` in the kernel).
    const ERRNO_MAX: i32 = 4095;
    let code = payload
        .first_chunk()
        .map(|bytes| i32::from_ne_bytes(*bytes));
    match code.map_or(0, i32::wrapping_neg) {
        0 => None,
        code @ 1..=ERRNO_MAX => Some(Errno::from_raw_os_error(code)),
        _ => Some(Errno::PROTO),
    }
}
