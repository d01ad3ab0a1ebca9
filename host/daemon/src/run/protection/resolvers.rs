//! The name servers that this host asks.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;

use crate::ssh::without_zone;

/// resolv.conf(5), and what systemd-resolved asks where that names only its own stub
/// (systemd-resolved.service(8), "/ETC/RESOLV.CONF").
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// A longer file is no resolv.conf.
const BYTES_MAX: u64 = 64 * 1024;

/// The name servers in the files that there are, sorted. They are small, so reading them is as cheap as
/// asking whether they have changed.
pub(super) fn look() -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    for path in FILES {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
        if read.is_ok() {
            found.extend(name_servers(&String::from_utf8_lossy(&text)));
        }
    }
    found.into_iter().collect()
}

/// The addresses behind `nameserver`, without the interface that may follow a link-local one. Loopback and
/// unspecified ones mean this host and are left out.
fn name_servers(text: &str) -> impl Iterator<Item = IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next().filter(|word| *word == "nameserver")?;
        let (addr, _) = words.next().map(without_zone)?;
        addr.parse::<IpAddr>().ok()
    });
    servers.filter(|addr| !addr.is_loopback() && !addr.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_found_between_other_lines() {
        let text = "# nameserver 192.0.2.9\n; nameserver 192.0.2.8\nsearch example.com\n\
                    nameserver 192.0.2.1\n  nameserver\t2001:db8::53  \nnameserver fe80::1%eth0\n\
                    nameserver 127.0.0.53\nnameserver 0.0.0.0\nnameserver\nnameserver example\n\
                    nameservers 192.0.2.7\noptions ndots:1";
        let found: Vec<String> = name_servers(text).map(|addr| addr.to_string()).collect();
        assert_eq!(found, ["192.0.2.1", "2001:db8::53", "fe80::1"]);
    }
}
