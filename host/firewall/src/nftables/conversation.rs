//! Speaking to nf_tables: asking for what there is, and committing transactions.

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;
use rustix::net::sockopt;

use super::NAME;
use super::batch::{Batch, Ended, encode};
use super::names::TABLE;
use crate::FirewallError;
use crate::netlink::{Frame, Netlink, attribute, failure};

/// Send buffer that is asked for. A transaction is one datagram and must fit into it; the kernel
/// doubles the number, and 8 MiB hold the bans of 80,000 networks at once.
const SEND_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Receive buffer that is asked for: room for thousands of refusals of one transaction.
const RECEIVE_BUFFER_BYTES: usize = 1024 * 1024;

/// What netlink takes off the send buffer (`netlink_sendmsg`: 32 bytes), with a margin for the
/// messages around the elements.
const SEND_BUFFER_RESERVE: usize = 4 * 1024;

/// How long the kernel may think about one datagram of a dump. It answers from memory; that it
/// does not answer at all must not hang the daemon.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a listing is begun again when rules change while it is read. Each change by anybody
/// to any table interrupts; a machine that changes its rules ten times in a row within
/// milliseconds has other troubles.
const DUMP_ATTEMPTS_MAX: usize = 10;

/// `struct nfgenmsg`, in front of the attributes of every message.
pub(super) const NETFILTER_HEADER_LEN: usize = 4;

/// In the payload of `NLMSG_ERROR`: 4 bytes of error code, then the 16 bytes of the header of the
/// message in question, then (with `NETLINK_CAP_ACK`) attributes.
const ERROR_ATTRIBUTES_AT: usize = 20;
/// `NLMSGERR_ATTR_OFFS`: where in the message the trouble is (`linux/netlink.h`).
const ERROR_ATTRIBUTE_OFFSET: u16 = 2;

/// One message that the kernel refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) errno: Errno,
    /// What was refused, in words.
    pub(super) act: String,
    /// Whether it was about elements of a set.
    pub(super) about_elements: bool,
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// Never empty.
    Refused(Vec<Refusal>),
    Other(FirewallError),
}

impl From<CommitError> for FirewallError {
    fn from(error: CommitError) -> Self {
        let refusals = match error {
            CommitError::Refused(refusals) => refusals,
            CommitError::Other(error) => return error,
        };
        let more = refusals.len().saturating_sub(1);
        let Some(Refusal { errno, act, .. }) = refusals.into_iter().next() else {
            return Self::Malformed {
                act: "commit".to_owned(),
                reason: "refused without a reason".to_owned(),
            };
        };
        match errno {
            Errno::PERM => Self::NotPermitted {
                backend: NAME,
                source: errno.into(),
            },
            Errno::NOENT => Self::Gone {
                act,
                what: "the table 'inet stockade'",
            },
            _ => Self::Refused {
                act,
                more,
                source: errno.into(),
            },
        }
    }
}

/// A socket to nf_tables.
#[derive(Debug)]
pub(super) struct Conversation {
    netlink: Netlink,
    seq: u32,
    send_bytes_max: usize,
}

impl Conversation {
    pub(super) fn open() -> Result<Self, FirewallError> {
        let netlink =
            Netlink::open(NETLINK_NETFILTER).map_err(|source| {
                match Errno::from_io_error(&source) {
                    Some(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT) => no_nftables(),
                    _ => netlink_error("open a netlink socket", source),
                }
            })?;
        let mut conversation = Self {
            netlink,
            seq: 1,
            send_bytes_max: 0,
        };
        conversation
            .set_options()
            .map_err(|source| netlink_error("set up a netlink socket", source))?;
        Ok(conversation)
    }

    fn set_options(&mut self) -> io::Result<()> {
        let socket = self.netlink.socket();
        // Answers name the place in the message, and do not carry the message back.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        // Only the host's root may go beyond the system's limit; others get what there is.
        if sockopt::set_socket_send_buffer_size_force(&*socket, SEND_BUFFER_BYTES).is_err() {
            sockopt::set_socket_send_buffer_size(&*socket, SEND_BUFFER_BYTES)?;
        }
        if sockopt::set_socket_recv_buffer_size_force(&*socket, RECEIVE_BUFFER_BYTES).is_err() {
            sockopt::set_socket_recv_buffer_size(&*socket, RECEIVE_BUFFER_BYTES)?;
        }
        let size = sockopt::socket_send_buffer_size(&*socket)?;
        self.send_bytes_max = size.saturating_sub(SEND_BUFFER_RESERVE);
        Ok(())
    }

    /// Port number of the socket, by which others recognise our changes.
    pub(super) fn port(&self) -> u32 {
        self.netlink.port()
    }

    /// How many bytes of messages one transaction may have.
    pub(super) fn send_bytes_max(&self) -> usize {
        self.send_bytes_max
    }

    /// Begins a transaction.
    pub(super) fn batch(&self) -> Batch {
        Batch::begin(self.seq)
    }

    /// Has the kernel carry out a transaction: all of it or nothing.
    pub(super) fn commit(&mut self, batch: Batch) -> Result<(), CommitError> {
        let batch = batch.end();
        self.seq = batch.next_seq();
        let failed = |source| CommitError::Other(netlink_error(&batch.describe(), source));
        self.netlink.send(&batch.bytes).map_err(failed)?;
        let mut refusals = Vec::new();
        let mut acknowledged = false;
        // The kernel works on what is sent before `send` returns: all answers are here.
        while self.netlink.readable(Duration::ZERO).map_err(failed)? {
            for frame in self.netlink.receive().map_err(failed)? {
                if frame.kind != NLMSG_ERROR || !batch.contains(frame.seq) {
                    continue;
                }
                match failure(frame.payload) {
                    None => acknowledged |= batch.is_last(frame.seq),
                    Some(errno) => refusals.push(refusal(&batch, &frame, errno)),
                }
            }
        }
        match (refusals.is_empty(), acknowledged) {
            (false, _) => Err(CommitError::Refused(refusals)),
            (true, true) => Ok(()),
            (true, false) => Err(CommitError::Other(FirewallError::Malformed {
                act: batch.describe(),
                reason: "there was none".to_owned(),
            })),
        }
    }

    /// All objects of our table that `request` asks for; empty where there is no such table.
    pub(super) fn dump(
        &mut self,
        act: &str,
        request: &NfTablesMessage,
    ) -> Result<Vec<NfTablesMessage>, FirewallError> {
        self.dump_as(act, request, |frame, found| {
            found.extend(decode(act, frame)?);
            Ok(())
        })
    }

    /// The same, with `read` taking what it needs out of each message.
    pub(super) fn dump_as<T>(
        &mut self,
        act: &str,
        request: &NfTablesMessage,
        read: impl Fn(&Frame<'_>, &mut Vec<T>) -> Result<(), FirewallError>,
    ) -> Result<Vec<T>, FirewallError> {
        for _ in 0..DUMP_ATTEMPTS_MAX {
            if let Some(found) = self.dump_once(act, request, &read)? {
                return Ok(found);
            }
        }
        let source = io::Error::from(io::ErrorKind::Interrupted);
        Err(netlink_error(act, source))
    }

    /// `None` where something changed while the kernel was telling.
    fn dump_once<T>(
        &mut self,
        act: &str,
        request: &NfTablesMessage,
        read: impl Fn(&Frame<'_>, &mut Vec<T>) -> Result<(), FirewallError>,
    ) -> Result<Option<Vec<T>>, FirewallError> {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
        let request = NetfilterMessage::new(header, request.clone());
        let seq = self.seq;
        self.seq = self.seq.wrapping_add(1);
        let failed = |source| netlink_error(act, source);
        let bytes = encode(NLM_F_DUMP, seq, request);
        self.netlink.send(&bytes).map_err(failed)?;
        let mut found = Vec::new();
        let mut interrupted = false;
        loop {
            if !self.netlink.readable(ANSWER_TIMEOUT).map_err(failed)? {
                return Err(failed(io::Error::from(io::ErrorKind::TimedOut)));
            }
            for frame in self.netlink.receive().map_err(failed)? {
                if frame.seq != seq {
                    continue;
                }
                interrupted |= frame.flags & NLM_F_DUMP_INTR != 0;
                if !matches!(frame.kind, NLMSG_DONE | NLMSG_ERROR) {
                    if table_of(frame.payload) == Some(TABLE.as_bytes()) {
                        read(&frame, &mut found)?;
                    }
                    continue;
                }
                return match failure(frame.payload) {
                    None => Ok((!interrupted).then_some(found)),
                    Some(Errno::INTR) => Ok(None),
                    Some(Errno::NOENT) => Ok(Some(Vec::new())),
                    Some(errno) => Err(dump_error(act, errno)),
                };
            }
        }
    }
}

/// The name of the table that a message of nf_tables is about: the first attribute of every kind
/// of object is the table's name (`NFTA_*_TABLE`, `NFTA_TABLE_NAME`: 1).
pub(crate) fn table_of(payload: &[u8]) -> Option<&[u8]> {
    const TABLE_NAME: u16 = 1;
    let name = attribute(payload.get(NETFILTER_HEADER_LEN..)?, TABLE_NAME)?;
    name.split(|byte| *byte == 0).next()
}

fn decode(act: &str, frame: &Frame<'_>) -> Result<Option<NfTablesMessage>, FirewallError> {
    let message =
        NetlinkMessage::<NetfilterMessage>::deserialize(frame.bytes).map_err(|error| {
            FirewallError::Malformed {
                act: act.to_owned(),
                reason: error.to_string(),
            }
        })?;
    Ok(match message.payload {
        NetlinkPayload::InnerMessage(NetfilterMessage {
            header,
            inner: NetfilterMessageInner::NfTables(message),
            ..
        }) if header.family == NetfilterProtoFamily::Inet => Some(message),
        _ => None,
    })
}

fn refusal(batch: &Ended, frame: &Frame<'_>, errno: Errno) -> Refusal {
    let subject = batch.subject(frame.seq);
    Refusal {
        errno,
        act: subject.map_or_else(|| batch.describe(), |s| s.describe(blamed_offset(frame))),
        about_elements: subject.is_some_and(|subject| !subject.elements.is_empty()),
    }
}

/// Where in our message the kernel sees the trouble, if it says so.
fn blamed_offset(frame: &Frame<'_>) -> Option<usize> {
    let complete = NLM_F_CAPPED | NLM_F_ACK_TLVS;
    if frame.flags & complete != complete {
        return None;
    }
    let attributes = frame.payload.get(ERROR_ATTRIBUTES_AT..)?;
    let offset = attribute(attributes, ERROR_ATTRIBUTE_OFFSET)?;
    usize::try_from(u32::from_ne_bytes(*offset.first_chunk()?)).ok()
}

fn netlink_error(act: &str, source: io::Error) -> FirewallError {
    FirewallError::Netlink {
        act: act.to_owned(),
        source,
    }
}

/// Requests outside of transactions are refused like this where nf_tables is missing altogether
/// (`nfnetlink_rcv_msg`), and dumps are where it lacks the family.
fn dump_error(act: &str, code: Errno) -> FirewallError {
    let source = code.into();
    match code {
        Errno::PERM => FirewallError::NotPermitted {
            backend: NAME,
            source,
        },
        Errno::INVAL | Errno::OPNOTSUPP | Errno::AFNOSUPPORT => no_nftables(),
        _ => netlink_error(act, source),
    }
}

fn no_nftables() -> FirewallError {
    FirewallError::Unavailable {
        backend: NAME,
        what: "this kernel has no nftables".to_owned(),
        hint: Some(
            "load the kernel module nf_tables (`modprobe nf_tables`), or use a kernel with \
             CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET",
        ),
    }
}
