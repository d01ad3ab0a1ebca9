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
    use std::io;
    use std::net::IpAddr;
    use std::time::Duration;

    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::address::{AddressAttribute, AddressMessage};

    use crate::netlink::Frame;
    use crate::rtnetlink::{Rtnetlink, decode};

    /// `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR` (`linux/rtnetlink.h`).
    const GROUPS: [u32; 2] = [5, 9];

    /// The addresses of the machine's interfaces, in this network namespace, by rtnetlink(7).
    #[derive(Debug)]
    pub struct OwnAddresses(Rtnetlink);

    impl OwnAddresses {
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

        /// All addresses of all interfaces, IPv4 and IPv6, loopback and link-local included, sorted.
        ///
        /// # Errors
        /// Where the kernel cannot be asked.
        pub fn current(&mut self) -> io::Result<Vec<IpAddr>> {
            let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
            self.0
                .list(&question, |frame| Ok(address(frame)?.into_iter().collect()))
        }

        /// Waits until an address came or went, or until `timeout` is over: `true` where
        /// [`Self::current`] may have changed since the last call. May return earlier than asked.
        ///
        /// # Errors
        /// Where the socket fails.
        pub fn wait_change(&mut self, timeout: Duration) -> io::Result<bool> {
            self.0.wait_change(timeout, |_| true)
        }
    }

    fn address(frame: &Frame<'_>) -> io::Result<Option<IpAddr>> {
        let Some(RouteNetlinkMessage::NewAddress(message)) = decode(frame)? else {
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
