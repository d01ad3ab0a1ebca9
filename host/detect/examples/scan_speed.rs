//! How fast detection alone is: `cargo run --release -p stockade-detect --example scan_speed`.
//!
//! Generates logs in memory, scans them in chunks as ingestion would, and prints lines per
//! CPU-second (user and system time of this process, so that other load on the machine hardly counts).
//! With arguments, a log file and filters (`scan_speed LOG FILTER.toml...`), it scans that log by each
//! of these filters, and by all of them at once.

#![expect(clippy::print_stdout, reason = "the numbers are the purpose")]
#![expect(clippy::unwrap_used, reason = "a benchmark may stop where it stands")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads a clock")]
#![expect(clippy::cast_precision_loss, reason = "numbers for people")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;
use serde::Deserialize;
use stockade_core::{Checkpoint, Chunk, JailName, LineTimes, SourceName, Timestamp};
use stockade_detect::{
    DatePattern, Detector, Dialect, Filter, FilterSource, HostNames, Matcher, PlanFilter,
};

/// Lines of each log.
const LINES: usize = 500_000;
/// How often each log is scanned; the mean is printed.
const ROUNDS: u32 = 8;
/// Bytes of one chunk, about what ingestion reads at once.
const CHUNK_LEN: usize = 256 * 1024;
/// 2026-11-23 12:00 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_795_435_200);

#[derive(Deserialize)]
struct Stock {
    dialect: Option<String>,
    prefregex: Option<String>,
    failregex: Vec<String>,
    #[serde(default)]
    ignoreregex: Vec<String>,
    datepattern: Option<Vec<String>>,
}

fn stock() -> FilterSource {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/filters/sshd.toml");
    filter(&path)
}

fn filter(path: &Path) -> FilterSource {
    let stock: Stock = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let fail2ban = stock.dialect.as_deref() == Some("fail2ban");
    FilterSource {
        prefregex: stock.prefregex,
        failregex: stock.failregex,
        ignoreregex: stock.ignoreregex,
        datepattern: match (stock.datepattern, fail2ban) {
            (Some(templates), _) => DatePattern::Templates(templates),
            (None, true) => DatePattern::Templates(Vec::new()),
            (None, false) => DatePattern::Default,
        },
        dialect: if fail2ban {
            Dialect::Fail2ban
        } else {
            Dialect::Native
        },
        // As `usedns = warn`, which fail2ban has by default.
        host_names: if fail2ban {
            HostNames::Resolve
        } else {
            HostNames::Refuse
        },
        ..FilterSource::default()
    }
}

/// A small generator (xorshift) so that every run scans the same log.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn sshd_log(hits: u64, zoned: bool) -> String {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut log = String::new();
    for i in 0..LINES {
        let second = i / 20;
        let (h, m, s) = (second / 3600 % 24, second / 60 % 60, second % 60);
        let date = if zoned {
            format!(
                "2026-11-23T{h:02}:{m:02}:{s:02}.{:06}+00:00",
                dice.roll(1_000_000)
            )
        } else {
            format!("Nov 23 {h:02}:{m:02}:{s:02}")
        };
        let pid = 1000 + dice.roll(60_000);
        let ip = format!(
            "{}.{}.{}.{}",
            1 + dice.roll(220),
            dice.roll(256),
            dice.roll(256),
            dice.roll(256)
        );
        let port = 1024 + dice.roll(60_000);
        let message = if dice.roll(100) < hits {
            let user = dice.roll(5000);
            match dice.roll(5) {
                0 => format!("Invalid user u{user} from {ip} port {port}"),
                1 => format!("Failed password for invalid user u{user} from {ip} port {port} ssh2"),
                2 => format!(
                    "Connection closed by authenticating user root {ip} port {port} [preauth]"
                ),
                _ => format!("Failed password for root from {ip} port {port} ssh2"),
            }
        } else {
            match dice.roll(4) {
                0 => "pam_unix(sshd:auth): check pass; user unknown".to_owned(),
                1 => format!(
                    "Accepted publickey for alice from {ip} port {port} ssh2: ED25519 SHA256:7f1rzVnqcdk9vCv8AQk2YX5LZ0jYlJx2yqgYyDFX3pA"
                ),
                2 => format!("Received disconnect from {ip} port {port}:11: Bye Bye [preauth]"),
                _ => format!(
                    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={ip}  user=root"
                ),
            }
        };
        log.push_str(&format!("{date} bastion sshd[{pid}]: {message}\n"));
    }
    log
}

fn web_log() -> String {
    let mut dice = Dice(7);
    (0..LINES)
        .map(|_| {
            format!(
                "{}.{}.{}.{} - - [23/Nov/2026:05:54:13 +0000] \"GET /item/{} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"\n",
                dice.roll(220), dice.roll(256), dice.roll(256), dice.roll(256), dice.roll(100_000), dice.roll(50_000)
            )
        })
        .collect()
}

fn chunks(log: &str) -> Vec<Chunk> {
    let mut rest = log.as_bytes();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let end = rest
            .get(CHUNK_LEN..)
            .and_then(|tail| memchr::memchr(b'\n', tail))
            .map_or(rest.len(), |at| CHUNK_LEN + at + 1);
        let (head, tail) = rest.split_at(end);
        chunks.push(Chunk {
            source: SourceName::new("bench"),
            text: head.into(),
            times: LineTimes::InText,
            checkpoint: Checkpoint::None,
        });
        rest = tail;
    }
    chunks
}

/// CPU time of this process in seconds, from /proc; elapsed time where there is none.
fn cpu_seconds(start: Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    match stat
        .split(' ')
        .next()
        .and_then(|text| text.parse::<u64>().ok())
    {
        Some(nanos) => nanos as f64 / 1e9,
        None => start.elapsed().as_secs_f64(),
    }
}

/// Resident memory of this process in KiB; 0 where there is no /proc.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

fn measure(name: &str, log: &str, jails: Vec<(JailName, Matcher)>) {
    let chunks = chunks(log);
    let mut detector = Detector::new(jails, TimeZone::UTC);
    let start = Instant::now();
    let before = cpu_seconds(start);
    let mut found = 0;
    for _ in 0..ROUNDS {
        found = 0;
        for chunk in &chunks {
            let scan = detector.scan(chunk, NOW);
            found += scan.failures.iter().map(|f| f.items.len()).sum::<usize>();
            found += scan.survivors.iter().map(|s| s.lines.len()).sum::<usize>();
        }
    }
    let round = (cpu_seconds(start) - before) / f64::from(ROUNDS);
    println!(
        "{name:40} {:6.2} M lines/s  {:6.0} MB/s  {found} found",
        log.lines().count() as f64 / round / 1e6,
        log.len() as f64 / round / 1e6,
    );
}

fn jail(i: usize) -> JailName {
    JailName::try_new(&format!("jail-{i}")).unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((log, filters)) => given(log, filters),
        None => generated(),
    }
}

fn given(log: &str, filters: &[String]) {
    let log = std::fs::read_to_string(log).unwrap();
    let mut all = Vec::new();
    for (i, path) in filters.iter().enumerate() {
        let compiled = Arc::new(Filter::compile(&filter(Path::new(path))).unwrap());
        let matcher = Matcher::Plain(compiled);
        measure(path, &log, vec![(jail(i), matcher.clone())]);
        all.push((jail(i), matcher));
    }
    if all.len() > 1 {
        measure("all of them", &log, all);
    }
}

fn generated() {
    let start = Instant::now();
    let resident = resident_kib();
    let sshd = Arc::new(Filter::compile(&stock()).unwrap());
    println!(
        "the stock filter compiles in {:.1} ms and takes {} KiB",
        start.elapsed().as_secs_f64() * 1e3,
        resident_kib().saturating_sub(resident),
    );
    let one = || vec![(jail(0), Matcher::Plain(Arc::clone(&sshd)))];
    let hits = sshd_log(77, false);
    measure("sshd, 77 % hits, syslog dates", &hits, one());
    measure(
        "sshd, 77 % hits, RFC 3339 dates",
        &sshd_log(77, true),
        one(),
    );
    measure("sshd, no hits", &sshd_log(0, false), one());
    measure("web log, sshd filter, no hits", &web_log(), one());

    let same = (0..100)
        .map(|i| (jail(i), Matcher::Plain(Arc::clone(&sshd))))
        .collect();
    measure("77 % hits, 100 jails, one filter", &hits, same);
    let mut other = one();
    other.extend((1..100).map(|i| {
        let source = FilterSource {
            failregex: vec![
                format!(
                    r"^\s*\S+ app{i}\[\d+\]: login of <F-USER>.*</F-USER> refused, client <ADDR>$"
                ),
                format!(r"^\s*\S+ app{i}\[\d+\]: unknown request of <ADDR>"),
            ],
            ..FilterSource::default()
        };
        (
            jail(i),
            Matcher::Plain(Arc::new(Filter::compile(&source).unwrap())),
        )
    }));
    measure("77 % hits, 100 jails, 100 filters", &hits, other);

    let patterns = [
        "^.* sshd\\[\\d+\\]: Failed ",
        "^.* sshd\\[\\d+\\]: Invalid user ",
        "authenticating user",
    ];
    let patterns: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
    let plan = Arc::new(PlanFilter::compile(&[], &patterns).unwrap());
    measure(
        "77 % hits, a plugin's plan",
        &hits,
        vec![(jail(0), Matcher::Plan(plan))],
    );
    let plan = Arc::new(PlanFilter::compile(&[], &[]).unwrap());
    measure(
        "a plan that wants every line",
        &hits,
        vec![(jail(0), Matcher::Plan(plan))],
    );
}
