//! Noticing that somebody else changed our routes or our rules.

use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;
use rustix::net::sockopt;

use super::RouteOptions;
use super::conversation::netlink_error;
use crate::netlink::{Frame, Netlink};
use crate::{FirewallError, Seen, Watch};

/// `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV4_RULE`, `RTNLGRP_IPV6_ROUTE` and `RTNLGRP_IPV6_RULE`
/// (`linux/rtnetlink.h`).
const GROUPS: [u32; 4] = [7, 8, 11, 19];

/// `RTM_NEWROUTE`, `RTM_DELROUTE`, `RTM_NEWRULE` and `RTM_DELRULE`.
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
const NEW_RULE: u16 = 32;
const DEL_RULE: u16 = 33;

/// Receive buffer that is asked for. What does not fit is lost and counts as a change, so this only
/// saves needless looks where others change many routes.
const RECEIVE_BUFFER_BYTES: usize = 1024 * 1024;

/// Waits for changes that others make to our table and to the rules that lead into it.
#[derive(Debug)]
pub(super) struct RouteWatch {
    netlink: Netlink,
    /// Whose changes are our own.
    ours: u32,
    options: RouteOptions,
}

impl RouteWatch {
    /// Begins to listen; changes made by the netlink port `ours` are ignored.
    pub(super) fn open(ours: u32, options: RouteOptions) -> Result<Self, FirewallError> {
        let netlink =
            subscribe().map_err(|source| netlink_error("listen to changes of routes", source))?;
        Ok(Self {
            netlink,
            ours,
            options,
        })
    }

    fn drain(&mut self, timeout: Duration) -> io::Result<Seen> {
        let mut seen = Seen::Quiet;
        let mut timeout = timeout;
        while self.netlink.readable(timeout)? {
            timeout = Duration::ZERO;
            let (ours, options) = (self.ours, self.options);
            match self.netlink.receive() {
                Ok(mut frames) => {
                    if frames.any(|frame| frame.port != ours && concerns(&frame, &options)) {
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

impl Watch for RouteWatch {
    fn wait(&mut self, timeout: Duration) -> Result<Seen, FirewallError> {
        let drained = self.drain(timeout);
        drained.map_err(|source| netlink_error("read changes of routes", source))
    }
}

fn subscribe() -> io::Result<Netlink> {
    let mut netlink = Netlink::open(NETLINK_ROUTE)?;
    let socket = netlink.socket();
    if sockopt::set_socket_recv_buffer_size_force(&*socket, RECEIVE_BUFFER_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(&*socket, RECEIVE_BUFFER_BYTES)?;
    }
    for group in GROUPS {
        socket.add_membership(group)?;
    }
    Ok(netlink)
}

fn concerns(frame: &Frame<'_>, options: &RouteOptions) -> bool {
    match frame.kind {
        NEW_ROUTE | DEL_ROUTE => options.read_route(frame.payload).is_some(),
        NEW_RULE | DEL_RULE => options.read_rule(frame.payload).is_some(),
        _ => false,
    }
}
