//! The default gateways: the routers that packets to elsewhere go to.

#[cfg(target_os = "linux")]
pub use self::linux::DefaultGateways;

/// The default gateways. On this system there is no way to ask for them yet: the list is empty and
/// never changes, so they have to be listed in `ignoreip`.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub struct DefaultGateways;

#[cfg(not(target_os = "linux"))]
impl DefaultGateways {
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
    use std::io;
    use std::net::IpAddr;
    use std::time::Duration;

    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};

    use crate::netlink::Frame;
    use crate::rtnetlink::{Rtnetlink, decode};

    /// `RTNLGRP_IPV4_ROUTE` and `RTNLGRP_IPV6_ROUTE` (`linux/rtnetlink.h`).
    const GROUPS: [u32; 2] = [7, 11];

    /// `RTM_NEWROUTE` and `RTM_DELROUTE` (`linux/rtnetlink.h`).
    const ROUTE_KINDS: [u16; 2] = [24, 25];

    /// The default gateways of this network namespace, by rtnetlink(7).
    #[derive(Debug)]
    pub struct DefaultGateways(Rtnetlink);

    impl DefaultGateways {
        /// Opens the sockets. No privilege is needed.
        ///
        /// Changes are noticed from here on: whoever calls [`Self::current`] after this and then
        /// [`Self::wait_change`] misses none.
        ///
        /// # Errors
        /// Where the sockets cannot be opened.
        pub fn open() -> io::Result<Self> {
            Rtnetlink::open(&GROUPS).map(Self)
        }

        /// The next hops of all default routes in all tables, IPv4 and IPv6, link-local ones included,
        /// sorted. A default route without a next hop, such as that of a tunnel, has none.
        ///
        /// # Errors
        /// Where the kernel cannot be asked.
        pub fn current(&mut self) -> io::Result<Vec<IpAddr>> {
            let question = RouteNetlinkMessage::GetRoute(RouteMessage::default());
            self.0.list(&question, |frame| Ok(next_hops(frame)))
        }

        /// Waits until a default route came or went, or until `timeout` is over: `true` where
        /// [`Self::current`] may have changed since the last call. May return earlier than asked.
        ///
        /// Other routes, of which a router has a million, are passed over.
        ///
        /// # Errors
        /// Where the socket fails.
        pub fn wait_change(&mut self, timeout: Duration) -> io::Result<bool> {
            self.0.wait_change(timeout, is_default_route)
        }
    }

    /// Whether a message is about a unicast route to everywhere; looked at before anything is decoded.
    fn is_default_route(frame: &Frame<'_>) -> bool {
        /// `RTN_UNICAST` (`linux/rtnetlink.h`).
        const UNICAST: u8 = 1;
        // `struct rtmsg`: family, dst_len, src_len, tos, table, protocol, scope, type.
        let (prefix_len, kind) = (frame.payload.get(1), frame.payload.get(7));
        ROUTE_KINDS.contains(&frame.kind) && prefix_len == Some(&0) && kind == Some(&UNICAST)
    }

    /// A route that cannot be decoded, such as one through a kind of tunnel that the library does not
    /// know, does not hide the others.
    fn next_hops(frame: &Frame<'_>) -> Vec<IpAddr> {
        if !is_default_route(frame) {
            return Vec::new();
        }
        match decode(frame) {
            Ok(Some(RouteNetlinkMessage::NewRoute(route))) => gateways_in(&route.attributes),
            _ => Vec::new(),
        }
    }

    fn gateways_in(attributes: &[RouteAttribute]) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for attribute in attributes {
            match attribute {
                RouteAttribute::Gateway(RouteAddress::Inet(addr))
                | RouteAttribute::Via(RouteVia::Inet(addr)) => found.push(IpAddr::V4(*addr)),
                RouteAttribute::Gateway(RouteAddress::Inet6(addr))
                | RouteAttribute::Via(RouteVia::Inet6(addr)) => found.push(IpAddr::V6(*addr)),
                RouteAttribute::MultiPath(hops) => {
                    found.extend(hops.iter().flat_map(|hop| gateways_in(&hop.attributes)));
                }
                _ => {}
            }
        }
        found
    }
}
