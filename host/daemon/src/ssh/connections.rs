//! Connections: as sshd tells them to its sessions, and as the kernel lists them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use stockade_core::canonical;

/// The two ends of a TCP connection, IPv4-mapped addresses as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) here: SocketAddr,
}

impl Connection {
    fn new(peer: (IpAddr, u16), here: (IpAddr, u16)) -> Self {
        let end = |(addr, port)| SocketAddr::new(canonical(addr), port);
        Self {
            peer: end(peer),
            here: end(here),
        }
    }

    /// Reads what sshd says: `192.0.2.1 40112 198.51.100.1 22` (ssh(1), `SSH_CONNECTION`).
    pub(crate) fn of_session(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut end = || -> Option<(IpAddr, u16)> {
            let (addr, _) = words.next().map(without_zone)?;
            Some((addr.parse().ok()?, words.next()?.parse().ok()?))
        };
        let (peer, here) = (end()?, end()?);
        words.next().is_none().then(|| Self::new(peer, here))
    }
}

/// `fe80::1%eth0` as `fe80::1` and `eth0` (RFC 4007 11).
pub(crate) fn without_zone(text: &str) -> (&str, &str) {
    text.split_once('%').unwrap_or((text, ""))
}

/// Where the client of the session is in which a process runs, by its environment: `SSH_CONNECTION`, or
/// `SSH_CLIENT` of old servers, which both begin with it.
pub(crate) fn client(environ: &[u8]) -> Option<IpAddr> {
    let names = [&b"SSH_CONNECTION="[..], b"SSH_CLIENT="];
    names.into_iter().find_map(|name| {
        let mut entries = environ.split(|byte| *byte == 0);
        let value = entries.find_map(|entry| entry.strip_prefix(name))?;
        let first = std::str::from_utf8(value).ok()?.split(' ').next()?;
        let addr: IpAddr = without_zone(first).0.parse().ok()?;
        Some(canonical(addr))
    })
}

/// What a process finds in its environment, of the bytes of proc_pid_environ(5).
pub(crate) fn ssh_connection(environ: &[u8]) -> Option<Connection> {
    let mut entries = environ.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="))?;
    Connection::of_session(std::str::from_utf8(value).ok()?)
}

/// The established connections of a text in the form of `/proc/net/tcp` or `/proc/net/tcp6`
/// (proc_pid_net(5)), each with the number of its socket.
pub(crate) fn established(table: &str) -> impl Iterator<Item = (Connection, u64)> {
    table.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let here = end(fields.next()?)?;
        let peer = end(fields.next()?)?;
        // `TCP_ESTABLISHED` (`linux/tcp.h`).
        fields.next().filter(|state| *state == "01")?;
        // Queues, timer, retransmissions, user, timeout.
        let socket = fields.nth(5)?.parse().ok()?;
        Some((Connection::new(peer, here), socket))
    })
}

/// `0100007F:0016`: words of four bytes in the order of this machine, then the port.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (addr, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |from: usize| -> Option<[u8; 4]> {
        let digits = addr.get(from..from + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let addr = match addr.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((addr, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(peer: &str, here: &str) -> Connection {
        Connection {
            peer: peer.parse().unwrap(),
            here: here.parse().unwrap(),
        }
    }

    #[test]
    fn a_session_knows_its_connection() {
        let found = ssh_connection(
            b"HOME=/root\0SSH_CONNECTION=192.0.2.1 40112 198.51.100.1 22\0SHELL=/bin/sh\0",
        );
        assert_eq!(
            found,
            Some(connection("192.0.2.1:40112", "198.51.100.1:22"))
        );
        let found = Connection::of_session("fe80::1%eth0 40112 ::ffff:198.51.100.1 22");
        assert_eq!(
            found,
            Some(connection("[fe80::1]:40112", "198.51.100.1:22"))
        );
        for text in [
            "",
            "192.0.2.1",
            "192.0.2.1 40112 198.51.100.1",
            "192.0.2.1 1 192.0.2.2 2 3",
            "a 1 b 2",
            "192.0.2.1 99999 192.0.2.2 2",
        ] {
            assert_eq!(Connection::of_session(text), None, "{text}");
        }
        assert_eq!(
            ssh_connection(b"XSSH_CONNECTION=192.0.2.1 1 192.0.2.2 2"),
            None
        );
        assert_eq!(ssh_connection(b"SSH_CONNECTION=\xff"), None);
    }

    #[test]
    fn the_client_of_a_session_is_known_by_either_variable() {
        let client = |environ: &str| client(environ.as_bytes()).map(|addr| addr.to_string());
        let found =
            client("A=1\0SSH_CLIENT=192.0.2.2 4711 22\0SSH_CONNECTION=192.0.2.1 1 192.0.2.9 22\0");
        assert_eq!(found.as_deref(), Some("192.0.2.1"));
        let found = client("SSH_CLIENT=::ffff:192.0.2.2 4711 22");
        assert_eq!(found.as_deref(), Some("192.0.2.2"));
        assert_eq!(client("SSH_CLIENT=\0SSH_CONNECTION=x"), None);
    }

    /// As a little-endian kernel writes it.
    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_lists_tell_established_connections() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0\n\
             \x20  1: 016433C6:0016 010200C0:9CB0 01 00000000:00000000 02:000A7A9F 00000000     0        0 4711 4 0 20 4 30 10 -1\n\
             \x20  2: 016433C6:0016 010200C0:9CB1 06 00000000:00000000 03:00000F00 00000000     0        0 0 3 0\n\
             \x20  3: broken\n";
        let found: Vec<_> = established(table).collect();
        let expected = connection("192.0.2.1:40112", "198.51.100.1:22");
        assert_eq!(found, [(expected, 4711)]);
        let table = "0: B80D0120000000000000000001000000:0016 B80D0120000000000000000002000000:9CB0 01 0:0 0:0 0 0 0 7 1\n\
             1: 0000000000000000FFFF0000016433C6:0016 0000000000000000FFFF0000010200C0:9CB0 01 0:0 0:0 0 0 0 8 1\n";
        let found: Vec<_> = established(table).collect();
        let wide = connection("[2001:db8::2]:40112", "[2001:db8::1]:22");
        assert_eq!(found, [(wide, 7), (expected, 8)]);
    }

    #[test]
    fn a_damaged_list_is_no_panic() {
        let line = "1: 016433C6:0016 010200C0:9CB0 01 0:0 0:0 0 0 0 4711 4";
        for end in 0..line.len() {
            assert!(established(line.get(..end).unwrap()).count() <= 1);
        }
        for wrong in ["é00007F:0016", "016433C6", ":", "0164:1", "+16433C6:0016:1"] {
            assert_eq!(
                established(&line.replace("016433C6:0016", wrong)).count(),
                0
            );
        }
    }
}
