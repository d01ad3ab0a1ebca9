//! Noticing that somebody else changed our table, or those of iptables that are kept by nf_tables.

use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;
use rustix::net::sockopt;

use super::conversation::table_of;
use super::names::TABLE;
use crate::netlink::{Frame, Netlink};
use crate::{FirewallError, Seen, Watch};

/// `NFNLGRP_NFTABLES` (`linux/netfilter/nfnetlink.h`).
const GROUP: u32 = 7;
/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 10;

/// Tables to listen for: the family, which is the first byte of the netfilter header, and the name.
pub(crate) type Tables = &'static [(u8, &'static str)];

/// `NFPROTO_INET`, `NFPROTO_IPV4` and `NFPROTO_IPV6` (`linux/netfilter.h`).
const INET: u8 = 1;
const V4: u8 = 2;
const V6: u8 = 10;

/// Our own table.
pub(super) const OURS: Tables = &[(INET, TABLE)];
/// Those tables of iptables that we have chains in.
pub(crate) const IPTABLES: Tables = &[(V4, "filter"), (V4, "raw"), (V6, "filter"), (V6, "raw")];

/// Receive buffer that is asked for. What does not fit is lost and counts as a change, so this
/// only saves needless looks at the rules while others load theirs.
const RECEIVE_BUFFER_BYTES: usize = 1024 * 1024;

/// Waits for changes that others make to our rules.
///
/// Has a socket of its own, so it may wait on another thread than the one that makes changes.
#[derive(Debug)]
pub(crate) struct TableWatch {
    netlink: Netlink,
    tables: Tables,
    /// Whose changes are our own.
    ours: Option<u32>,
}

impl TableWatch {
    /// Begins to listen; changes made by the netlink port `ours` are ignored.
    pub(crate) fn open(tables: Tables, ours: Option<u32>) -> Result<Self, FirewallError> {
        let netlink = subscribe().map_err(|source| FirewallError::Netlink {
            act: "listen to changes of nftables".to_owned(),
            source,
        })?;
        Ok(Self {
            netlink,
            tables,
            ours,
        })
    }

    fn drain(&mut self, timeout: Duration) -> io::Result<Seen> {
        let mut seen = Seen::Quiet;
        let mut timeout = timeout;
        while self.netlink.readable(timeout)? {
            timeout = Duration::ZERO;
            let (tables, ours) = (self.tables, self.ours);
            match self.netlink.receive() {
                Ok(mut frames) => {
                    if frames.any(|frame| concerns_us(&frame, tables, ours)) {
                        seen = Seen::Changed;
                    }
                }
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                    seen = Seen::Changed;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }
}

impl Watch for TableWatch {
    /// Waits until somebody else changes one of the tables, or until `timeout` is over.
    ///
    /// Changes that have come in since the last call are reported at once, all of them by one
    /// [`Seen::Changed`]; so are notifications that were lost because there were too many, which
    /// happens after some thousand bans at once, our own included.
    ///
    /// # Errors
    /// Where the socket fails.
    fn wait(&mut self, timeout: Duration) -> Result<Seen, FirewallError> {
        self.drain(timeout)
            .map_err(|source| FirewallError::Netlink {
                act: "read changes of nftables".to_owned(),
                source,
            })
    }
}

fn subscribe() -> io::Result<Netlink> {
    let mut netlink = Netlink::open(NETLINK_NETFILTER)?;
    let socket = netlink.socket();
    if sockopt::set_socket_recv_buffer_size_force(&*socket, RECEIVE_BUFFER_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(&*socket, RECEIVE_BUFFER_BYTES)?;
    }
    socket.add_membership(GROUP)?;
    Ok(netlink)
}

/// The kernel puts the port of whoever made the change into the header.
fn concerns_us(frame: &Frame<'_>, tables: Tables, ours: Option<u32>) -> bool {
    frame.kind >> 8 == SUBSYSTEM
        && Some(frame.port) != ours
        && tables.iter().any(|(family, table)| {
            frame.payload.first() == Some(family)
                && table_of(frame.payload) == Some(table.as_bytes())
        })
}
