//! How long it takes from a log line to the first packet that is dropped.

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::Lab;
use super::corpus::{attacker, failures};
use super::ours::{self, Filter, Setting};
use super::report::{Better, Measured, Report, Row, progress};
use crate::Failure;
use crate::lab::hosts::{Host, Link};
use crate::lab::packets;
use crate::run::Run;

// The networks that RFC 2544 keeps for benchmarks: one for the link, one for the attackers.
const LINK: Link<'static> = Link {
    name: "to-attackers",
    ours: &["198.18.0.1/24"],
    theirs: &["198.18.0.2/24"],
};
const ATTACKERS: &str = "198.19.0.0/16";
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1)), 22);

/// Time between two packets of an attacker: how exact the result is.
const PACE: Duration = Duration::from_micros(200);
/// How long a ban may take.
const BAN_WITHIN: Duration = Duration::from_secs(30);
/// Bans before the measured ones; fail2ban makes its table with the first one.
const WARM_UP: u32 = 2;

const fn row(key: &'static str, what: &'static str) -> Row {
    Row {
        key,
        what,
        unit: "ms",
        better: Better::Less,
        with: "fail2ban",
    }
}
const ROWS: [(u32, Row, Row); 2] = [
    (
        50,
        row("latency_p50", "log line to first dropped packet, p50"),
        row("latency_plugin_p50", "the same with the sshd plugin, p50"),
    ),
    (
        99,
        row("latency_p99", "log line to first dropped packet, p99"),
        row("latency_plugin_p99", "the same with the sshd plugin, p99"),
    ),
];

pub(super) fn measure(lab: &Lab<'_>, report: &mut Report) {
    let attackers = match prepare() {
        Ok(attackers) => attackers,
        Err(why) => {
            for row in ROWS
                .iter()
                .flat_map(|(_, patterns, plugin)| [patterns, plugin])
            {
                report.add(*row, Err(why.to_string().into()), Err("see there".into()));
            }
            return;
        }
    };
    let patterns = ours(lab, &attackers, Filter::Patterns);
    let plugin = ours(lab, &attackers, Filter::Plugin);
    let theirs = theirs(lab, &attackers);
    for (percent, with_patterns, with_plugin) in ROWS {
        let of = |samples: &Result<Vec<Duration>, Failure>| -> Measured {
            match samples {
                Ok(samples) => percentile(samples, percent).ok_or_else(|| "no samples".into()),
                Err(why) => Err(why.to_string().into()),
            }
        };
        report.add(with_patterns, of(&patterns), of(&theirs));
        report.add(with_plugin, of(&plugin), of(&theirs));
    }
    report.note(format!(
        "latency: {} bans of ours, {} of fail2ban, a packet each {PACE:?}",
        lab.sizes.bans, lab.sizes.bans_theirs
    ));
}

/// A host that has all attackers' addresses, and somebody who answers them.
fn prepare() -> Result<Host, Failure> {
    let host = Host::join(&LINK)?;
    host.run("ip")
        .args(["route", "add", "local", ATTACKERS, "dev", "lo"])
        .succeed()?;
    Run::new("ip")
        .args(["route", "add", ATTACKERS, "via", "198.18.0.2"])
        .succeed()?;
    packets::answer(SERVER)?;
    Ok(host)
}

fn ours(lab: &Lab<'_>, attackers: &Host, filter: Filter) -> Result<Vec<Duration>, Failure> {
    progress(format_args!("latency of stockade ({filter:?})"));
    let folder = lab.folder(&format!("latency-{filter:?}"))?;
    let log = folder.join("auth.log");
    let mut writer = File::create(&log)?;
    let setting = Setting {
        log: &log,
        filter,
        firewall: true,
        more: "",
        more_of_jail: "",
    };
    let stockade = ours::start(lab, &folder, &setting)?;
    let samples = samples(attackers, &mut writer, lab.sizes.bans);
    stockade.stop();
    clean_up(&folder)?;
    samples
}

fn theirs(lab: &Lab<'_>, attackers: &Host) -> Result<Vec<Duration>, Failure> {
    progress("latency of fail2ban");
    let folder = lab.folder("latency-fail2ban")?;
    let log = folder.join("auth.log");
    let mut writer = File::create(&log)?;
    let fail2ban = lab.theirs()?.start(&folder, &log, true)?;
    let samples = samples(attackers, &mut writer, lab.sizes.bans_theirs);
    fail2ban.stop();
    clean_up(&folder)?;
    samples
}

/// Bans that were left would drop the next one's packets. The rules are those of our namespace.
fn clean_up(folder: &Path) -> Result<(), Failure> {
    Run::new("nft").args(["flush", "ruleset"]).succeed()?;
    Ok(fs::remove_dir_all(folder)?)
}

fn samples(attackers: &Host, log: &mut File, count: u32) -> Result<Vec<Duration>, Failure> {
    let mut samples = Vec::new();
    for number in 0..WARM_UP + count {
        let sample = sample(attackers, log, attacker(number))?;
        if number >= WARM_UP {
            samples.push(sample);
        }
    }
    samples.sort();
    Ok(samples)
}

/// The time from the line that decides the ban of `from` to its first packet that is dropped.
fn sample(attackers: &Host, log: &mut File, from: Ipv4Addr) -> Result<Duration, Failure> {
    let (sender, answered) = mpsc::channel();
    let source = SocketAddr::new(from.into(), 0);
    let watch = attackers.spawn(move || {
        packets::first_dropped(Some(source), SERVER, PACE, BAN_WITHIN, move || {
            drop(sender.send(source.to_string()));
        })
    })?;
    if answered.recv_timeout(BAN_WITHIN).is_err() {
        let watched = watch
            .join()
            .map_err(|_| "the attackers' thread panicked")??;
        watched?;
        return Err(format!("{from} got no answer").into());
    }
    let lines = failures(&from.to_string());
    let written = crate::lab::clock::now();
    log.write_all(lines.as_bytes())?;
    let dropped = watch
        .join()
        .map_err(|_| "the attackers' thread panicked")???;
    let sample = dropped.checked_duration_since(written);
    Ok(sample.ok_or("a packet was lost before anybody was banned")?)
}

/// Milliseconds that so many percent of the samples, which are sorted, do not exceed (nearest rank).
fn percentile(samples: &[Duration], percent: u32) -> Option<f64> {
    let percent = usize::try_from(percent).ok()?;
    let rank = (samples.len() * percent).div_ceil(100).max(1);
    samples
        .get(rank - 1)
        .map(|sample| sample.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let samples: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 50), Some(100.0));
        assert_eq!(percentile(&samples, 99), Some(198.0));
        assert_eq!(percentile(&samples[..1], 50), Some(1.0));
        assert_eq!(percentile(&[], 50), None);
    }
}
