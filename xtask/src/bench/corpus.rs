//! Logs of an sshd, made up: the same ones every time, but for their dates.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use jiff::{SignedDuration, Zoned};

/// So many failures lead to a ban; sshd's jail has this by default here and there.
pub(super) const MAXRETRY: u32 = 5;

/// Of 100 lines so many are failures in a log with hits: those of a server that is under attack.
const HITS_PERCENT: u64 = 77;
/// One attacker for so many lines.
const LINES_PER_ATTACKER: u64 = 1_000;
/// So many attackers are at it at the same time.
const AT_ONCE: u64 = 50;
/// The lines are spread over so many seconds before now.
const SPREAD_S: u64 = 300;

/// The network that all attackers are in (RFC 2544 keeps it for benchmarks).
const ATTACKERS: u32 = 0xc613_0000;
/// Fails in the last lines of each log, with hits or without: whoever has banned it has read all.
pub(super) const LAST: &str = "192.0.2.255";

const NAMES: [&str; 8] = [
    "admin", "test", "oracle", "ubuntu", "git", "postgres", "user", "ftp",
];

/// A log to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corpus {
    /// Without those about [`LAST`].
    pub(super) lines: u64,
    pub(super) hits: bool,
}

impl Corpus {
    /// How many lines it has in all.
    pub(super) fn lines_in_all(&self) -> u64 {
        self.lines + u64::from(MAXRETRY)
    }

    /// How many of all lines are failures; `lines` has to be a multiple of 100.
    pub(super) fn failures(&self) -> u64 {
        let hits = if self.hits {
            self.lines * HITS_PERCENT / 100
        } else {
            0
        };
        hits + u64::from(MAXRETRY)
    }

    /// How many are banned, [`LAST`] included.
    pub(super) fn bans(&self) -> u64 {
        1 + if self.hits {
            self.lines / LINES_PER_ATTACKER
        } else {
            0
        }
    }

    /// Writes it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let now = Zoned::now();
        let mut random = Random::new();
        let (mut second, mut date) = (u64::MAX, String::new());
        for index in 0..self.lines {
            let at = index * SPREAD_S / self.lines;
            if at != second {
                second = at;
                date = before(&now, SPREAD_S - at);
            }
            let line = if self.hits && index * 2_654_435_761 % 100 < HITS_PERCENT {
                failure(&date, pid(index), self.attacker(index), &mut random)
            } else {
                success(&date, pid(index), &mut random)
            };
            file.write_all(line.as_bytes())?;
        }
        file.write_all(failures(LAST).as_bytes())?;
        file.flush()
    }

    /// Attackers come and go: those of one time are neighbours in their order.
    fn attacker(&self, index: u64) -> Ipv4Addr {
        let attackers = (self.lines / LINES_PER_ATTACKER).max(1);
        let window = AT_ONCE.min(attackers);
        let first = (attackers - window + 1) * index / self.lines;
        attacker(u32::try_from(first + index % window).unwrap_or(0))
    }
}

/// One of the attackers.
pub(super) fn attacker(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(ATTACKERS + number)
}

/// Lines, with the date of now, that lead to a ban of `id`.
pub(super) fn failures(id: &str) -> String {
    let date = before(&Zoned::now(), 0);
    let mut lines = String::new();
    for port in 40_001..=40_000 + MAXRETRY {
        lines.push_str(&format!(
            "{date} server sshd[4711]: Failed password for root from {id} port {port} ssh2\n"
        ));
    }
    lines
}

fn before(now: &Zoned, seconds: u64) -> String {
    let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0));
    now.saturating_sub(seconds)
        .strftime("%b %e %H:%M:%S")
        .to_string()
}

/// The process that writes a line: each connection has one of its own, which no other has soon.
pub(super) fn pid(line: u64) -> u64 {
    // Linux begins again at 2^22 (proc(5), `pid_max`).
    1_000 + line % 4_000_000
}

pub(super) fn failure(date: &str, pid: u64, from: Ipv4Addr, random: &mut Random) -> String {
    let port = random.below(28_000) + 32_768;
    let name = NAMES
        .get(random.index(NAMES.len()))
        .copied()
        .unwrap_or_default();
    let message = match random.below(4) {
        0 => format!("Invalid user {name} from {from} port {port}"),
        1 => format!("Failed password for invalid user {name} from {from} port {port} ssh2"),
        _ => format!("Failed password for root from {from} port {port} ssh2"),
    };
    format!("{date} server sshd[{pid}]: {message}\n")
}

pub(super) fn success(date: &str, pid: u64, random: &mut Random) -> String {
    let port = random.below(28_000) + 32_768;
    let program = match random.below(4) {
        0 => format!(
            "sshd[{pid}]: Accepted publickey for deploy from 10.20.30.40 port {port} ssh2: ED25519 SHA256:mVPwvezndPv/ARoIadVY98vAC0g+P/5633yTC4d/wXE"
        ),
        1 => format!(
            "sshd[{pid}]: pam_unix(sshd:session): session opened for user deploy(uid=1000) by (uid=0)"
        ),
        2 => format!("CRON[{pid}]: pam_unix(cron:session): session closed for user root"),
        _ => format!("systemd-logind[412]: New session {port} of user deploy."),
    };
    format!("{date} server {program}\n")
}

/// Numbers without a pattern that a cache could learn (xorshift64, Marsaglia 2003).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len.try_into().unwrap_or(1))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn written(corpus: Corpus) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        corpus.write(&path).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_share_of_failures_is_as_said_and_every_attacker_has_enough() {
        let corpus = Corpus {
            lines: 100_000,
            hits: true,
        };
        let text = written(corpus);
        assert_eq!(text.lines().count() as u64, corpus.lines_in_all());
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for (_, from) in text
            .lines()
            .filter_map(|line| line.split_once(" from 198.19."))
        {
            *counts.entry(from.split(' ').next().unwrap()).or_default() += 1;
        }
        let hits: u32 = counts.values().sum();
        assert_eq!(u64::from(hits + MAXRETRY), corpus.failures());
        assert!(
            counts.values().all(|count| *count >= MAXRETRY),
            "{counts:?}"
        );
        assert_eq!(counts.len() as u64 + 1, corpus.bans());
    }

    #[test]
    fn a_log_without_hits_has_only_the_last_failures() {
        let text = written(Corpus {
            lines: 1_000,
            hits: false,
        });
        assert_eq!(text.matches("Failed password").count(), 5);
        assert!(!text.contains("Invalid user"));
        assert!(text.ends_with(&failures(LAST)));
        assert_eq!(
            Corpus {
                lines: 1_000,
                hits: false
            }
            .failures(),
            5
        );
    }
}
