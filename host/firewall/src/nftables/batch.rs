//! One transaction as bytes, and what each of its messages is about.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use stockade_core::IpNet;

/// `NFNL_SUBSYS_NFTABLES`: whose transaction this is (`linux/netfilter/nfnetlink.h`).
const SUBSYSTEM: u16 = 10;

/// Where the flags are in a netlink header (`struct nlmsghdr`).
const FLAGS: std::ops::Range<usize> = 6..8;

/// What one message is about, to name it in an error.
#[derive(Debug)]
pub(super) struct Subject {
    /// Such as `add table 'inet stockade'`, or for elements the act: `add` or `remove`.
    pub(super) act: String,
    /// For set elements: which, in order, each with where it ends in the message.
    pub(super) elements: Vec<(usize, IpNet)>,
    /// For set elements: the name of the set.
    pub(super) set: String,
}

impl Subject {
    pub(super) fn new(act: impl Into<String>) -> Self {
        Self {
            act: act.into(),
            elements: Vec::new(),
            set: String::new(),
        }
    }

    /// In words, where the kernel blames the byte at `offset` of the message.
    pub(super) fn describe(&self, offset: Option<usize>) -> String {
        let act = &self.act;
        let Some((_, first)) = self.elements.first() else {
            return act.clone();
        };
        let set = &self.set;
        let blamed = offset.and_then(|at| self.elements.iter().find(|(end, _)| at < *end));
        match (blamed, self.elements.len()) {
            (Some((_, net)), _) => format!("{act} {net} (set '{set}')"),
            (None, 1) => format!("{act} {first} (set '{set}')"),
            (None, count) => format!("{act} one of {count} networks from {first} on (set '{set}')"),
        }
    }
}

/// A transaction in the making.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    seq_first: u32,
    subjects: Vec<Subject>,
    last_start: usize,
}

impl Batch {
    /// Begins one whose messages count from `seq_first`.
    pub(super) fn begin(seq_first: u32) -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            seq_first,
            subjects: Vec::new(),
            last_start: 0,
        };
        batch.control(ControlMessage::BatchBegin);
        batch
    }

    /// Adds a message.
    pub(super) fn push(&mut self, flags: u16, subject: Subject, message: NfTablesMessage) {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
        self.subjects.push(subject);
        self.last_start = self.bytes.len();
        self.emit(flags, NetfilterMessage::new(header, message));
    }

    /// Ends it: the bytes to send, the last message asking for an answer.
    pub(super) fn end(mut self) -> Ended {
        let flags = self
            .bytes
            .get_mut(self.last_start..)
            .and_then(|message| message.get_mut(FLAGS)?.first_chunk_mut::<2>());
        if let Some(flags) = flags {
            *flags = (u16::from_ne_bytes(*flags) | NLM_F_ACK).to_ne_bytes();
        }
        let seq_last = self.seq();
        self.control(ControlMessage::BatchEnd);
        Ended {
            bytes: self.bytes,
            seq_first: self.seq_first,
            seq_last,
            subjects: self.subjects,
        }
    }

    fn control(&mut self, message: ControlMessage) {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM);
        // The end is the only message after the last subject.
        let end = matches!(message, ControlMessage::BatchEnd);
        let seq = self.seq().wrapping_add(u32::from(end));
        self.emit_with(0, seq, NetfilterMessage::new(header, message));
    }

    /// Sequence number of the message pushed last; of the beginning where there is none.
    fn seq(&self) -> u32 {
        let count = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
        self.seq_first.wrapping_add(count)
    }

    fn emit(&mut self, flags: u16, message: NetfilterMessage) {
        self.emit_with(flags, self.seq(), message);
    }

    fn emit_with(&mut self, flags: u16, seq: u32, message: NetfilterMessage) {
        let message = encode(flags, seq, message);
        self.bytes.extend_from_slice(&message);
    }
}

/// A transaction that can be sent.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) bytes: Vec<u8>,
    seq_first: u32,
    seq_last: u32,
    subjects: Vec<Subject>,
}

impl Ended {
    /// Whether `seq` is of one of our messages, the beginning and the end included.
    pub(super) fn contains(&self, seq: u32) -> bool {
        seq.wrapping_sub(self.seq_first) <= self.seq_last.wrapping_sub(self.seq_first) + 1
    }

    /// Whether `seq` is of the message that asks for an answer.
    pub(super) fn is_last(&self, seq: u32) -> bool {
        seq == self.seq_last
    }

    /// What the message `seq` is about; `None` for the beginning and the end.
    pub(super) fn subject(&self, seq: u32) -> Option<&Subject> {
        let index = seq.wrapping_sub(self.seq_first).checked_sub(1)?;
        self.subjects.get(usize::try_from(index).ok()?)
    }

    /// What the transaction is about, in words.
    pub(super) fn describe(&self) -> String {
        let first = self.subjects.first().map(|subject| subject.describe(None));
        first.unwrap_or_default()
    }

    /// The sequence number that the next transaction may begin with.
    pub(super) fn next_seq(&self) -> u32 {
        self.seq_last.wrapping_add(2)
    }
}

/// One message as bytes.
pub(super) fn encode(flags: u16, seq: u32, message: NetfilterMessage) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_element_that_the_kernel_blames() {
        let net = |text: &str| text.parse().unwrap();
        let subject = Subject {
            act: "add".to_owned(),
            set: "ban4-32-sshd".to_owned(),
            elements: vec![(100, net("192.0.2.1/32")), (128, net("192.0.2.2/32"))],
        };
        assert_eq!(
            subject.describe(Some(104)),
            "add 192.0.2.2/32 (set 'ban4-32-sshd')"
        );
        assert_eq!(
            subject.describe(None),
            "add one of 2 networks from 192.0.2.1/32 on (set 'ban4-32-sshd')"
        );
        assert_eq!(Subject::new("add table").describe(Some(4)), "add table");
    }

    #[test]
    fn the_last_message_of_a_batch_asks_for_an_answer_and_is_found_by_its_number() {
        let mut batch = Batch::begin(u32::MAX);
        for act in ["one", "two"] {
            let table = netlink_packet_netfilter::nftables::TableMessage { attributes: vec![] };
            batch.push(0, Subject::new(act), NfTablesMessage::NewTable(table));
        }
        let ended = batch.end();
        assert_eq!(ended.subject(0).unwrap().act, "one");
        assert_eq!(ended.subject(1).unwrap().act, "two");
        assert!(ended.is_last(1) && ended.contains(2) && !ended.contains(3));
        assert!(ended.subject(u32::MAX).is_none() && ended.subject(2).is_none());
        // Four headers of 16 bytes, each with 4 bytes of netfilter header.
        assert_eq!(ended.bytes.len(), 4 * 20);
        assert_eq!(
            ended.bytes[46..48],
            (NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes()
        );
        assert_eq!(ended.bytes[26..28], NLM_F_REQUEST.to_ne_bytes());
    }
}
