//! Lists of what the kernel knows about addresses and routes, by rtnetlink(7), and notice of changes.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;

use crate::netlink::{Frame, Netlink, failure};

/// How long the kernel may think about one datagram of its answer; it answers from memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a list is begun again when it changes while it is read.
const DUMP_ATTEMPTS_MAX: usize = 10;

/// A socket for questions, and one that hears of changes.
#[derive(Debug)]
pub(crate) struct Rtnetlink {
    questions: Netlink,
    changes: Netlink,
    seq: u32,
}

impl Rtnetlink {
    /// Opens the sockets, and hears of changes in these groups from here on. No privilege is needed.
    pub(crate) fn open(groups: &[u32]) -> io::Result<Self> {
        let mut changes = Netlink::open(NETLINK_ROUTE)?;
        for group in groups {
            changes.socket().add_membership(*group)?;
        }
        Ok(Self {
            questions: Netlink::open(NETLINK_ROUTE)?,
            changes,
            seq: 0,
        })
    }

    /// All that `read` finds in the answer to `question`, sorted.
    pub(crate) fn list<T: Ord>(
        &mut self,
        question: &RouteNetlinkMessage,
        read: impl Fn(&Frame<'_>) -> io::Result<Vec<T>>,
    ) -> io::Result<Vec<T>> {
        for _ in 0..DUMP_ATTEMPTS_MAX {
            if let Some(found) = self.dump(question, &read)? {
                return Ok(found.into_iter().collect());
            }
        }
        Err(io::Error::from(io::ErrorKind::Interrupted))
    }

    /// Waits until something came that `concerns` us, or until `timeout` is over. May return earlier than
    /// asked.
    pub(crate) fn wait_change(
        &mut self,
        timeout: Duration,
        concerns: impl Fn(&Frame<'_>) -> bool,
    ) -> io::Result<bool> {
        let mut changed = false;
        let mut timeout = timeout;
        while self.changes.readable(timeout)? {
            timeout = Duration::ZERO;
            match self.changes.receive() {
                Ok(mut frames) => changed |= frames.any(|frame| concerns(&frame)),
                // Some were lost because there were too many: a change for sure.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                    changed = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    /// `None` where something changed while the kernel was telling.
    fn dump<T: Ord>(
        &mut self,
        question: &RouteNetlinkMessage,
        read: impl Fn(&Frame<'_>) -> io::Result<Vec<T>>,
    ) -> io::Result<Option<BTreeSet<T>>> {
        self.seq = self.seq.wrapping_add(1);
        self.questions.send(&request(question.clone(), self.seq))?;
        let mut found = BTreeSet::new();
        let mut interrupted = false;
        loop {
            if !self.questions.readable(ANSWER_TIMEOUT)? {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            for frame in self.questions.receive()? {
                if frame.seq != self.seq {
                    continue;
                }
                interrupted |= frame.flags & NLM_F_DUMP_INTR != 0;
                if !matches!(frame.kind, NLMSG_DONE | NLMSG_ERROR) {
                    found.extend(read(&frame)?);
                    continue;
                }
                return match failure(frame.payload) {
                    None => Ok((!interrupted).then_some(found)),
                    Some(errno) => Err(errno.into()),
                };
            }
        }
    }
}

fn request(question: RouteNetlinkMessage, seq: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = seq;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What stands in a message; `None` for one that is about something else.
pub(crate) fn decode(frame: &Frame<'_>) -> io::Result<Option<RouteNetlinkMessage>> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(frame.bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(match message.payload {
        NetlinkPayload::InnerMessage(message) => Some(message),
        _ => None,
    })
}
