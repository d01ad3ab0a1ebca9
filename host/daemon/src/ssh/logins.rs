//! Past logins, as wtmp(5) keeps them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stockade_core::canonical;

/// Where logins are kept. Systems that keep them elsewhere by now have no such file.
pub(crate) const LOGINS: &str = "/var/log/wtmp";

/// The newest records that are looked through: some years of an ordinary host, 4 MB.
const RECORDS_MAX: usize = 10_000;

/// How many addresses somebody has who has forgotten from which one he was banned.
const ADDRESSES_MAX: usize = 5;

/// `USER_PROCESS` (utmp(5)): somebody has logged in.
const LOGGED_IN: [u8; 2] = 7_i16.to_ne_bytes();

/// Where the fields of a record stand (utmp(5), `struct utmp` of glibc and musl). The time behind the
/// session is of 64 bits on 64-bit ARM, elsewhere of 32.
#[derive(Clone, Copy, Debug)]
struct Layout {
    address: usize,
    size: usize,
}

const USER: std::ops::Range<usize> = 44..76;

const LAYOUT: Layout = if cfg!(target_arch = "aarch64") {
    Layout {
        address: 360,
        size: 400,
    }
} else {
    Layout {
        address: 348,
        size: 384,
    }
};

/// The addresses from which a user has logged in, the newest first, each once; none where there is no
/// such file.
pub(crate) fn logins(user: &str) -> Vec<IpAddr> {
    let bytes = newest_records(LAYOUT.size).unwrap_or_default();
    addresses(&bytes, user, LAYOUT)
}

fn newest_records(size: usize) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(LOGINS)?;
    let len = file.metadata()?.len();
    let size = u64::try_from(size).unwrap_or(u64::MAX);
    let wanted = size.saturating_mul(u64::try_from(RECORDS_MAX).unwrap_or(u64::MAX));
    // Whole records: what is behind the last of them is being written.
    let whole = len - len % size;
    let begin = whole.saturating_sub(wanted);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(whole - begin).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn addresses(records: &[u8], user: &str, layout: Layout) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for record in records.chunks_exact(layout.size).rev() {
        let of_user = record.get(..2) == Some(&LOGGED_IN) && text(record, USER) == user.as_bytes();
        if let Some(addr) = address(record, layout).filter(|_| of_user)
            && !found.contains(&addr)
        {
            found.push(addr);
        }
        if found.len() == ADDRESSES_MAX {
            break;
        }
    }
    found
}

/// A field that ends at its first NUL, or is full.
fn text(record: &[u8], field: std::ops::Range<usize>) -> &[u8] {
    let field = record.get(field).unwrap_or_default();
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Where somebody came from: `None` at the console. An IPv4 address is in the first of four words.
fn address(record: &[u8], layout: Layout) -> Option<IpAddr> {
    let bytes: [u8; 16] = record.get(layout.address..)?.first_chunk().copied()?;
    let [a, b, c, d, rest @ ..] = bytes;
    let addr = if rest == [0; 12] {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        canonical(IpAddr::V6(Ipv6Addr::from(bytes)))
    };
    (!addr.is_unspecified() && !addr.is_loopback()).then_some(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i16, user: &str, addr: &str, layout: Layout) -> Vec<u8> {
        let mut record = vec![0; layout.size];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        let at = layout.address;
        match addr.parse().unwrap() {
            IpAddr::V4(addr) => record[at..at + 4].copy_from_slice(&addr.octets()),
            IpAddr::V6(addr) => record[at..at + 16].copy_from_slice(&addr.octets()),
        }
        record
    }

    #[test]
    fn the_newest_addresses_of_a_user_come_first_and_once() {
        for layout in [
            LAYOUT,
            Layout {
                address: 360,
                size: 400,
            },
        ] {
            let records = [
                record(7, "alice", "192.0.2.1", layout),
                record(7, "alice", "2001:db8::1", layout),
                record(7, "bob", "192.0.2.7", layout),
                record(7, "alice2", "192.0.2.8", layout),
                record(8, "alice", "192.0.2.9", layout),
                record(7, "alice", "0.0.0.0", layout),
                record(7, "alice", "192.0.2.1", layout),
            ];
            let mut bytes = records.concat();
            bytes.extend([7, 0, 0]);
            let found = addresses(&bytes, "alice", layout);
            let found: Vec<String> = found.iter().map(IpAddr::to_string).collect();
            assert_eq!(found, ["192.0.2.1", "2001:db8::1"]);
            assert!(addresses(&bytes, "nobody", layout).is_empty());
        }
    }

    #[test]
    fn so_many_addresses_are_enough() {
        let records: Vec<_> = (1..20)
            .map(|n| record(7, "alice", &format!("192.0.2.{n}"), LAYOUT))
            .collect();
        let found = addresses(&records.concat(), "alice", LAYOUT);
        assert_eq!(found.len(), ADDRESSES_MAX);
        assert_eq!(found[0].to_string(), "192.0.2.19");
    }
}
