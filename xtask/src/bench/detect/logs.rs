//! The logs that everybody reads: made up, the same ones every time but for their dates.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Zoned};

use super::super::corpus::{self, MAXRETRY, Random};
use super::filters::{APPS, app_failure};

/// A kind of log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// sshd under attack: 77 % of the lines are failures.
    Hits,
    /// sshd on a quiet day: its own lines, and none is a failure.
    Noise,
    /// nginx's access log, in which one line of a thousand asks for what only a probe asks for.
    Web,
    /// What a whole host writes to one file: 2 % of the lines are failures at its sshd.
    Syslog,
    /// Lines of 10,000 characters; in a tenth of them a name that long fails to log in.
    Long,
}

pub(super) const KINDS: [Kind; 5] = [Kind::Hits, Kind::Noise, Kind::Web, Kind::Syslog, Kind::Long];

/// Bytes of a long line, about.
const LONG: usize = 10_000;
/// The lines are spread over so many seconds before now.
const SPREAD_S: u64 = 300;
/// Different attackers.
const ATTACKERS: u64 = 2_000;

/// A log that was written.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) path: PathBuf,
    pub(super) lines: u64,
    pub(super) bytes: u64,
    /// How many lines are failures by the filter of the kind, all that count.
    pub(super) failures: u64,
}

impl Kind {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Hits => "sshd-hits",
            Self::Noise => "sshd-noise",
            Self::Web => "nginx",
            Self::Syslog => "syslog",
            Self::Long => "long-lines",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Hits => "sshd, 77 % hits",
            Self::Noise => "sshd, no hits",
            Self::Web => "nginx, 0.1 % hits",
            Self::Syslog => "mixed syslog",
            Self::Long => "10,000-character lines",
        }
    }

    /// Writes its first `lines` lines, and failures of [`corpus::LAST`] behind them.
    pub(super) fn write(self, path: &Path, lines: u64) -> io::Result<Log> {
        let mut writer = Writer {
            file: BufWriter::with_capacity(1 << 20, File::create(path)?),
            kind: self,
            random: Random::new(),
            filler: filler(),
            date: String::new(),
            failures: 0,
            bytes: 0,
        };
        writer.lines(lines)?;
        let more = writer.last()?;
        writer.file.flush()?;
        Ok(Log {
            path: path.to_owned(),
            lines: lines + more,
            bytes: writer.bytes,
            failures: writer.failures,
        })
    }
}

/// What long lines are made of.
fn filler() -> String {
    "abcdefghijklmnopqrstuvwxyz0123456789-_"
        .chars()
        .cycle()
        .take(LONG)
        .collect()
}

struct Writer {
    file: BufWriter<File>,
    kind: Kind,
    random: Random,
    filler: String,
    date: String,
    failures: u64,
    bytes: u64,
}

impl Writer {
    fn lines(&mut self, lines: u64) -> io::Result<()> {
        let now = Zoned::now();
        let mut line = String::new();
        for index in 0..lines {
            // Each prefix of a log is the same whatever its length: some lines for each second.
            if index % 1_000 == 0 {
                let ahead = (index / 1_000).min(SPREAD_S);
                self.date = self.date_of(&now, SPREAD_S - ahead);
            }
            line.clear();
            let fails = self.line(index, &mut line);
            self.failures += u64::from(fails);
            self.put(&line)?;
        }
        Ok(())
    }

    fn put(&mut self, line: &str) -> io::Result<()> {
        self.bytes += u64::try_from(line.len()).unwrap_or(0);
        self.file.write_all(line.as_bytes())
    }

    fn date_of(&self, now: &Zoned, seconds: u64) -> String {
        let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0));
        let format = match self.kind {
            Kind::Web => "%d/%b/%Y:%H:%M:%S %z",
            _ => "%b %e %H:%M:%S",
        };
        now.saturating_sub(seconds).strftime(format).to_string()
    }

    /// Writes a line to `out`; whether it is a failure.
    fn line(&mut self, index: u64, out: &mut String) -> bool {
        // A step that has no factor in common with a thousand: hits are spread evenly.
        let lot = index * 2_654_435_761 % 1_000;
        let fails = match self.kind {
            Kind::Hits => lot < 770,
            Kind::Noise => false,
            Kind::Web => lot < 1,
            Kind::Syslog => lot < 20,
            Kind::Long => lot < 100,
        };
        let (date, random) = (self.date.as_str(), &mut self.random);
        let pid = corpus::pid(index);
        let from = corpus::attacker(u32::try_from(random.below(ATTACKERS)).unwrap_or(0));
        match (self.kind, fails) {
            (Kind::Hits | Kind::Syslog, true) => {
                out.push_str(&corpus::failure(date, pid, from, random));
            }
            (Kind::Hits, false) => out.push_str(&corpus::success(date, pid, random)),
            (Kind::Noise, _) => noise(out, date, pid, from, random),
            (Kind::Web, true) => web(out, date, from, probe(random), 404, random),
            (Kind::Web, false) => request(out, date, random),
            (Kind::Syslog, false) => daemon_line(out, date, pid, random),
            (Kind::Long, _) => {
                out.push_str(&format!("{date} server sshd[{pid}]: "));
                long(out, fails, from, &self.filler, random);
            }
        }
        fails
    }

    /// Failures of [`corpus::LAST`], of every application where some jails watch for these.
    fn last(&mut self) -> io::Result<u64> {
        let (now, mut lines) = (Zoned::now(), 0);
        self.date = self.date_of(&now, 0);
        for _ in 0..MAXRETRY {
            let line = match self.kind {
                Kind::Web => format!(
                    "{} - - [{}] \"GET /phpmyadmin/index.php HTTP/1.1\" 404 153 \"-\" \"-\"\n",
                    corpus::LAST,
                    self.date
                ),
                _ => format!(
                    "{} server sshd[4711]: Failed password for root from {} port 40001 ssh2\n",
                    self.date,
                    corpus::LAST
                ),
            };
            self.put(&line)?;
            (lines, self.failures) = (lines + 1, self.failures + 1);
        }
        if self.kind == Kind::Hits {
            for app in 0..APPS {
                for _ in 0..MAXRETRY {
                    let line = app_failure(app, &self.date, corpus::LAST);
                    self.put(&line)?;
                    lines += 1;
                }
            }
        }
        Ok(lines)
    }
}

/// One of `texts`.
fn one_of<'t>(texts: &[&'t str], random: &mut Random) -> &'t str {
    let index = random.index(texts.len());
    texts.get(index).copied().unwrap_or_default()
}

/// sshd at work: nothing that anybody would be banned for.
fn noise(out: &mut String, date: &str, pid: u64, from: Ipv4Addr, random: &mut Random) {
    let port = random.below(28_000) + 32_768;
    let message = match random.below(5) {
        0 => format!(
            "Accepted publickey for deploy from {from} port {port} ssh2: ED25519 SHA256:mVPwvezndPv/ARoIadVY98vAC0g+P/5633yTC4d/wXE"
        ),
        1 => "pam_unix(sshd:session): session opened for user deploy(uid=1000) by (uid=0)".into(),
        2 => "pam_unix(sshd:session): session closed for user deploy".into(),
        3 => format!("Received disconnect from {from} port {port}:11: disconnected by user"),
        _ => format!("Disconnected from user deploy {from} port {port}"),
    };
    out.push_str(&format!("{date} server sshd[{pid}]: {message}\n"));
}

/// What the other programs of a host write.
fn daemon_line(out: &mut String, date: &str, pid: u64, random: &mut Random) {
    let number = random.below(1_000_000);
    let message = match random.below(8) {
        0 => format!(
            "CRON[{pid}]: (root) CMD (   cd / && run-parts --report /etc/cron.hourly) {number}"
        ),
        1 => format!(
            "kernel: [{number}.123456] audit: type=1400 audit(1732341253.123:{number}): apparmor=\"ALLOWED\" operation=\"open\" profile=\"/usr/sbin/ntpd\" pid={pid}"
        ),
        2 => format!(
            "postfix/smtpd[{pid}]: connect from mail-{number}.example.com[192.0.2.{}]",
            number % 250
        ),
        3 => format!(
            "postfix/qmgr[812]: {number:X}: from=<user{number}@example.com>, size={number}, nrcpt=1 (queue active)"
        ),
        4 => format!("systemd[1]: Started Session {number} of User deploy."),
        5 => format!(
            "dovecot: imap-login: Login: user=<user{number}>, method=PLAIN, rip=192.0.2.{}, lip=192.0.2.1, mpid={pid}, TLS",
            number % 250
        ),
        6 => format!("dhclient[622]: DHCPREQUEST for 192.0.2.17 on eth0 to 192.0.2.1 port {pid}"),
        _ => "pam_unix(sshd:session): session closed for user deploy".to_owned(),
    };
    out.push_str(&format!("{date} server {message}\n"));
}

/// Somebody reads a page.
fn request(out: &mut String, date: &str, random: &mut Random) {
    const PATHS: [&str; 6] = [
        "/",
        "/item/",
        "/static/app.js?v=",
        "/api/v1/orders/",
        "/images/photo-",
        "/search?q=word",
    ];
    let path = format!("{}{}", one_of(&PATHS, random), random.below(1_000_000));
    let from = Ipv4Addr::from_bits(0x0a00_0000 | u32::try_from(random.below(1 << 24)).unwrap_or(0));
    let status = if random.below(100) == 0 { 404 } else { 200 };
    web(out, date, from, &path, status, random);
}

/// What only a probe asks for.
fn probe(random: &mut Random) -> &'static str {
    one_of(
        &[
            "/phpmyadmin/index.php",
            "/wp-login.php",
            "/cgi-bin/test.cgi",
            "/pma/index.php",
        ],
        random,
    )
}

fn web(out: &mut String, date: &str, from: Ipv4Addr, path: &str, status: u16, random: &mut Random) {
    const AGENTS: [&str; 4] = [
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "curl/8.5.0",
    ];
    let (size, agent) = (random.below(60_000), one_of(&AGENTS, random));
    // Who follows a link has a referrer, who probes has none.
    let referrer = if status == 200 {
        "https://www.example.com/"
    } else {
        "-"
    };
    out.push_str(&format!(
        "{from} - - [{date}] \"GET {path} HTTP/1.1\" {status} {size} \"{referrer}\" \"{agent}\"\n"
    ));
}

/// The message of a long line.
fn long(out: &mut String, fails: bool, from: Ipv4Addr, filler: &str, random: &mut Random) {
    let port = random.below(28_000) + 32_768;
    out.push_str(&if fails {
        format!("Invalid user {filler} from {from} port {port}\n")
    } else if random.below(2) == 0 {
        format!("userauth_pubkey: key type {filler} not in PubkeyAcceptedAlgorithms\n")
    } else {
        format!("debug1: kex: algorithms {filler}, from {from} port {port}\n")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, lines: u64) -> (Log, String) {
        let folder = tempfile::tempdir().unwrap();
        let log = kind.write(&folder.path().join("log"), lines).unwrap();
        let text = std::fs::read_to_string(&log.path).unwrap();
        (log, text)
    }

    #[test]
    fn lines_bytes_and_failures_are_as_told() {
        for (kind, expected) in [
            (Kind::Hits, 1_540),
            (Kind::Noise, 0),
            (Kind::Web, 2),
            (Kind::Syslog, 40),
            (Kind::Long, 200),
        ] {
            let (log, text) = written(kind, 2_000);
            assert_eq!(log.lines, u64::try_from(text.lines().count()).unwrap());
            assert_eq!(log.bytes, u64::try_from(text.len()).unwrap());
            assert_eq!(log.failures, expected + u64::from(MAXRETRY), "{kind:?}");
        }
    }

    #[test]
    fn a_shorter_log_is_the_beginning_of_a_longer_one() {
        for kind in KINDS {
            let ((_, short), (_, long)) = (written(kind, 300), written(kind, 500));
            // A second may have gone by between the two.
            let undated = |text: &str| -> Vec<String> {
                let lines = text.lines().take(300);
                lines
                    .map(|line| line.replace(|c: char| c.is_ascii_digit(), ""))
                    .collect()
            };
            assert_eq!(undated(&short), undated(&long), "{kind:?}");
        }
    }
}
