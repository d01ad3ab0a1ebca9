//! Speaking to the kernel's routing tables by rtnetlink(7).

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;

use super::NAME;
use crate::FirewallError;
use crate::netlink::{ANSWER_TIMEOUT, Frame, Netlink, REQUESTS_AT_ONCE, failure};

/// How often a listing is begun again when routes change while it is read.
const DUMP_ATTEMPTS_MAX: usize = 10;

/// Something to change, and with which flags (`NLM_F_CREATE`, ...).
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) flags: u16,
    pub(super) message: RouteNetlinkMessage,
}

/// A socket to the routing tables.
#[derive(Debug)]
pub(super) struct Conversation {
    netlink: Netlink,
    seq: u32,
}

impl Conversation {
    pub(super) fn open() -> Result<Self, FirewallError> {
        let failed = |source| netlink_error("open a netlink socket", source);
        let mut netlink = Netlink::open(NETLINK_ROUTE).map_err(failed)?;
        let socket = netlink.socket();
        // Answers do not carry the request back.
        socket.set_cap_ack(true).map_err(failed)?;
        // Since Linux 4.20 the kernel lists only the table that is asked for. Before, it lists all, and
        // whoever reads has to look at the table anyway.
        let _older = socket.set_netlink_get_strict_chk(true);
        Ok(Self { netlink, seq: 1 })
    }

    /// Number of the socket, by which others recognise our changes.
    pub(super) fn port(&self) -> u32 {
        self.netlink.port()
    }

    /// Has the kernel do all of `requests`, each for itself; its answers, in their order.
    pub(super) fn carry_out(
        &mut self,
        act: &str,
        requests: &[Request],
    ) -> Result<Vec<Result<(), Errno>>, FirewallError> {
        let mut answers = Vec::with_capacity(requests.len());
        for chunk in requests.chunks(REQUESTS_AT_ONCE) {
            let answered = self.carry_out_chunk(chunk);
            answers.extend(answered.map_err(|source| netlink_error(act, source))?);
        }
        Ok(answers)
    }

    fn carry_out_chunk(&mut self, requests: &[Request]) -> io::Result<Vec<Result<(), Errno>>> {
        let first = self.seq;
        let mut bytes = Vec::new();
        for request in requests {
            let flags = request.flags | NLM_F_ACK;
            bytes.extend(encode(flags, self.seq, request.message.clone()));
            self.seq = self.seq.wrapping_add(1);
        }
        self.netlink.exchange(&bytes, first, requests.len())
    }

    /// What `read` takes out of each message of the listing that `request` asks for. `None` where the
    /// kernel knows nothing of the kind, such as routes of a family that it lacks.
    pub(super) fn dump<T>(
        &mut self,
        act: &str,
        request: &RouteNetlinkMessage,
        read: impl Fn(&Frame<'_>) -> Option<T>,
    ) -> Result<Option<Vec<T>>, FirewallError> {
        for _ in 0..DUMP_ATTEMPTS_MAX {
            match self.dump_once(request, &read) {
                Ok(Listed::All(found)) => return Ok(Some(found)),
                Ok(Listed::Interrupted) => {}
                Ok(Listed::Unknown) => return Ok(None),
                Err(source) => return Err(netlink_error(act, source)),
            }
        }
        let source = io::Error::from(io::ErrorKind::Interrupted);
        Err(netlink_error(act, source))
    }

    fn dump_once<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        read: impl Fn(&Frame<'_>) -> Option<T>,
    ) -> io::Result<Listed<T>> {
        let seq = self.seq;
        self.seq = self.seq.wrapping_add(1);
        self.netlink
            .send(&encode(NLM_F_DUMP, seq, request.clone()))?;
        let mut found = Vec::new();
        let mut interrupted = false;
        loop {
            if !self.netlink.readable(ANSWER_TIMEOUT)? {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            for frame in self.netlink.receive()?.filter(|frame| frame.seq == seq) {
                interrupted |= frame.flags & NLM_F_DUMP_INTR != 0;
                if !matches!(frame.kind, NLMSG_DONE | NLMSG_ERROR) {
                    found.extend(read(&frame));
                    continue;
                }
                return match failure(frame.payload) {
                    None if interrupted => Ok(Listed::Interrupted),
                    None => Ok(Listed::All(found)),
                    Some(Errno::INTR) => Ok(Listed::Interrupted),
                    // A table that nobody has put a route into.
                    Some(Errno::NOENT) => Ok(Listed::All(Vec::new())),
                    Some(Errno::OPNOTSUPP | Errno::AFNOSUPPORT) => Ok(Listed::Unknown),
                    Some(errno) => Err(errno.into()),
                };
            }
        }
    }
}

/// How a listing ended.
enum Listed<T> {
    All(Vec<T>),
    /// Something changed while the kernel was telling.
    Interrupted,
    /// The kernel does not know what was asked for.
    Unknown,
}

fn encode(flags: u16, seq: u32, message: RouteNetlinkMessage) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = seq;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    // Every attribute is padded to the alignment, so the message is too.
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

pub(super) fn netlink_error(act: &str, source: io::Error) -> FirewallError {
    FirewallError::Netlink {
        act: act.to_owned(),
        source,
    }
}

/// What the kernel's refusal to do `act` means.
pub(super) fn refused(act: String, errno: Errno) -> FirewallError {
    let source = errno.into();
    match errno {
        Errno::PERM => FirewallError::NotPermitted {
            backend: NAME,
            source,
        },
        _ => FirewallError::Refused {
            act,
            more: 0,
            source,
        },
    }
}
