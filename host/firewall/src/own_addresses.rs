//! The machine's own addresses, for `ignoreself`.

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(any(target_os = "freebsd", test))]
mod route_message;

#[cfg(target_os = "freebsd")]
pub use self::freebsd::OwnAddresses;
#[cfg(target_os = "linux")]
pub use self::linux::OwnAddresses;

/// The machine's own addresses. On this system there is no way to ask for them yet: the list is
/// empty and never changes, so they have to be listed in `ignoreip`.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
#[derive(Debug)]
pub struct OwnAddresses;

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
impl OwnAddresses {
    /// Opens nothing.
    ///
    /// # Errors
    /// Never.
    pub fn open() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// No address.
    ///
    /// # Errors
    /// Never.
    pub fn current(&mut self) -> std::io::Result<Vec<std::net::IpAddr>> {
        Ok(Vec::new())
    }

    /// Waits for `timeout`; nothing changes.
    ///
    /// # Errors
    /// Never.
    pub fn wait_change(&mut self, timeout: std::time::Duration) -> std::io::Result<bool> {
        std::thread::park_timeout(timeout);
        Ok(false)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::io;
    use std::net::IpAddr;
    use std::time::Duration;

    use netlink_packet_core::{
        NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkHeader,
        NetlinkMessage, NetlinkPayload,
    };
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::address::{AddressAttribute, AddressMessage};
    use netlink_sys::protocols::NETLINK_ROUTE;
    use rustix::io::Errno;

    use crate::netlink::{Frame, Netlink, failure};

    /// `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR` (`linux/rtnetlink.h`).
    const GROUPS: [u32; 2] = [5, 9];

    /// How long the kernel may think about one datagram of its answer; it answers from memory.
    const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

    /// How often the listing is begun again when addresses change while it is read.
    const DUMP_ATTEMPTS_MAX: usize = 10;

    /// The addresses of the machine's interfaces, in this network namespace, by rtnetlink(7).
    #[derive(Debug)]
    pub struct OwnAddresses {
        questions: Netlink,
        changes: Netlink,
        seq: u32,
    }

    impl OwnAddresses {
        /// Opens the sockets. No privilege is needed.
        ///
        /// Changes are noticed from here on: whoever calls [`Self::current`] after this and then
        /// [`Self::wait_change`] misses none.
        ///
        /// # Errors
        /// Where the sockets cannot be opened.
        pub fn open() -> io::Result<Self> {
            let mut changes = Netlink::open(NETLINK_ROUTE)?;
            for group in GROUPS {
                changes.socket().add_membership(group)?;
            }
            Ok(Self {
                questions: Netlink::open(NETLINK_ROUTE)?,
                changes,
                seq: 0,
            })
        }

        /// All addresses of all interfaces, IPv4 and IPv6, loopback and link-local included, sorted.
        ///
        /// # Errors
        /// Where the kernel cannot be asked.
        pub fn current(&mut self) -> io::Result<Vec<IpAddr>> {
            for _ in 0..DUMP_ATTEMPTS_MAX {
                if let Some(found) = self.dump()? {
                    return Ok(found.into_iter().collect());
                }
            }
            Err(io::Error::from(io::ErrorKind::Interrupted))
        }

        /// Waits until an address came or went, or until `timeout` is over: `true` where
        /// [`Self::current`] may have changed since the last call. May return earlier than asked.
        ///
        /// # Errors
        /// Where the socket fails.
        pub fn wait_change(&mut self, timeout: Duration) -> io::Result<bool> {
            let mut changed = false;
            let mut timeout = timeout;
            while self.changes.readable(timeout)? {
                timeout = Duration::ZERO;
                match self.changes.receive() {
                    Ok(mut frames) => changed |= frames.next().is_some(),
                    // Some were lost because there were too many: a change for sure.
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                        changed = true;
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(changed)
        }

        /// `None` where addresses changed while the kernel was telling.
        fn dump(&mut self) -> io::Result<Option<BTreeSet<IpAddr>>> {
            self.seq = self.seq.wrapping_add(1);
            self.questions.send(&request(self.seq))?;
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
                        found.extend(address(&frame)?);
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

    fn request(seq: u32) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        header.sequence_number = seq;
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn address(frame: &Frame<'_>) -> io::Result<Option<IpAddr>> {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(frame.bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message)) =
            message.payload
        else {
            return Ok(None);
        };
        let mut address = None;
        for attribute in message.attributes {
            match attribute {
                // On a point-to-point link `Address` is the other end, and `Local` is ours.
                AddressAttribute::Local(local) => return Ok(Some(local)),
                AddressAttribute::Address(found) => address = Some(found),
                _ => {}
            }
        }
        Ok(address)
    }
}
