//! `stockade metrics`: what `status` tells, for Prometheus.
//!
//! The text exposition format, version 0.0.4: samples of one name stand together below their `HELP`
//! and `TYPE`, and no two have the same labels.

use std::collections::BTreeMap;
use std::fmt;

use stockade_control::{
    HeldStatus, JailStatus, PluginRole, PluginState, PluginStatus, SourceKind, State, StatusReply,
};

/// A status as metrics.
pub(super) fn metrics(status: &StatusReply) -> String {
    let mut text = Metrics::default();
    daemon(status, &mut text);
    sources(status, &mut text);
    for (name, kind, help, value) in OF_JAIL {
        text.family(name, kind, help);
        for jail in &status.jails {
            text.sample(name, &[("jail", &jail.name)], value(jail));
        }
    }
    states(&status.jails, &mut text);
    plugins(&status.plugins, &mut text);
    text.0
}

/// Whether a number can fall.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        })
    }
}

type OfJail = (&'static str, Kind, &'static str, fn(&JailStatus) -> u64);

/// What is told of each jail. Counters begin with the daemon.
const OF_JAIL: [OfJail; 12] = [
    (
        "stockade_jail_failing",
        Kind::Gauge,
        "Ids with at least one failure within findtime.",
        |jail| jail.currently_failing,
    ),
    (
        "stockade_jail_failures_total",
        Kind::Counter,
        "Failures counted.",
        |jail| jail.total_failed,
    ),
    (
        "stockade_jail_banned",
        Kind::Gauge,
        "Bans in force.",
        |jail| jail.currently_banned,
    ),
    (
        "stockade_jail_banned_again",
        Kind::Gauge,
        "Bans in force that are not the first of their id.",
        |jail| jail.banned_again,
    ),
    (
        "stockade_jail_remembered",
        Kind::Gauge,
        "Ids whose earlier bans are remembered.",
        |jail| jail.remembered,
    ),
    (
        "stockade_jail_bans_total",
        Kind::Counter,
        "Bans made.",
        |jail| jail.total_banned,
    ),
    (
        "stockade_jail_ignored_total",
        Kind::Counter,
        "Failures not counted because their id is never banned.",
        |jail| jail.total_ignored,
    ),
    (
        "stockade_jail_too_old_total",
        Kind::Counter,
        "Failures not counted because they were too old.",
        |jail| jail.total_too_old,
    ),
    (
        "stockade_jail_while_banned_total",
        Kind::Counter,
        "Failures of ids that were banned at that time.",
        |jail| jail.total_while_banned,
    ),
    (
        "stockade_jail_forgotten_total",
        Kind::Counter,
        "Ids forgotten because too many failed at once.",
        |jail| jail.forgotten,
    ),
    (
        "stockade_jail_ambiguous_lines_total",
        Kind::Counter,
        "Lines not counted because they can be read with different addresses.",
        |jail| jail.total_ambiguous,
    ),
    (
        "stockade_jail_gave_up_lines_total",
        Kind::Counter,
        "Lines of which it took too many steps to tell whether a pattern matches.",
        |jail| jail.total_gave_up,
    ),
];

fn daemon(status: &StatusReply, text: &mut Metrics) {
    text.family("stockade_info", Kind::Gauge, "The version that runs.");
    text.sample("stockade_info", &[("version", &status.version)], 1);
    let started = status.started_at.timestamp().as_secs();
    text.single(
        "stockade_start_time_seconds",
        "When the daemon began, in seconds since 1970.",
        started,
    );
    let firewall = &status.firewall;
    let name = "stockade_firewall_up";
    text.family(
        name,
        Kind::Gauge,
        "Whether the firewall enforces what is wanted.",
    );
    for backend in &firewall.backends {
        let labels = [("backend", backend.name.as_str())];
        text.sample(name, &labels, u8::from(backend.state == State::Ok));
    }
    let name = "stockade_firewall_bans";
    text.family(
        name,
        Kind::Gauge,
        "Bans that the firewall has, as the kernel says.",
    );
    for backend in &firewall.backends {
        if let Some(bans) = backend.bans {
            text.sample(name, &[("backend", backend.name.as_str())], bans);
        }
    }
    stopped(status, text);
    held(&status.held, text);
    text.single(
        "stockade_dry_run",
        "Whether the firewall is left as it is.",
        u8::from(firewall.dry_run),
    );
    text.single(
        "stockade_store_up",
        "Whether bans can be stored, so that they survive a crash.",
        u8::from(status.store.state == State::Ok),
    );
}

/// Bans that wait for the operator.
fn held(held: &HeldStatus, text: &mut Metrics) {
    text.single(
        "stockade_held_bans",
        "Bans that wait for 'stockade confirm'.",
        held.waiting,
    );
    let name = "stockade_held_bans_total";
    let help = "Bans that were held, because there were too many within a minute.";
    text.family(name, Kind::Counter, help);
    text.sample(name, &[], held.total);
    let name = "stockade_held_bans_dropped_total";
    let help = "Of these, the ones that were not kept, because too many waited.";
    text.family(name, Kind::Counter, help);
    text.sample(name, &[], held.dropped);
}

/// What the rules of jails have stopped, where that is counted.
fn stopped(status: &StatusReply, text: &mut Metrics) {
    let counted = || {
        let jails = status.jails.iter();
        jails.filter_map(|jail| Some((jail.name.as_str(), jail.stopped?)))
    };
    let packets = "stockade_jail_stopped_packets_total";
    let what = "Packets of banned addresses that were stopped.";
    text.family(packets, Kind::Counter, what);
    for (jail, stopped) in counted() {
        text.sample(packets, &[("jail", jail)], stopped.packets);
    }
    let bytes = "stockade_jail_stopped_bytes_total";
    text.family(bytes, Kind::Counter, "Their bytes.");
    for (jail, stopped) in counted() {
        text.sample(bytes, &[("jail", jail)], stopped.bytes);
    }
}

/// Lines and overlong lines of a source, and whether it is well.
#[derive(Default)]
struct OfSource {
    lines: u64,
    overlong: u64,
    failed: bool,
}

/// A log that several readers read is told once: each of them reads all of its lines.
fn sources(status: &StatusReply, text: &mut Metrics) {
    let mut known: BTreeMap<(&str, &str), OfSource> = BTreeMap::new();
    for source in &status.sources {
        let kind = match source.kind {
            SourceKind::File => "file",
            SourceKind::Journal => "journal",
            SourceKind::Stdin => "stdin",
            SourceKind::Unknown => "unknown",
        };
        let of = known.entry((kind, &source.name)).or_default();
        of.lines = of.lines.max(source.lines);
        of.overlong = of.overlong.max(source.overlong);
        of.failed |= source.state == State::Failed;
    }
    type Value = fn(&OfSource) -> u64;
    let families: [(&str, Kind, &str, Value); 3] = [
        (
            "stockade_source_up",
            Kind::Gauge,
            "Whether the source can be read; one that does not exist yet can.",
            |of| u64::from(!of.failed),
        ),
        (
            "stockade_source_lines_total",
            Kind::Counter,
            "Lines read.",
            |of| of.lines,
        ),
        (
            "stockade_source_overlong_lines_total",
            Kind::Counter,
            "Lines skipped because they were too long.",
            |of| of.overlong,
        ),
    ];
    for (name, kind, help, value) in families {
        text.family(name, kind, help);
        for ((kind, source), of) in &known {
            text.sample(name, &[("source", source), ("kind", kind)], value(of));
        }
    }
}

fn states(jails: &[JailStatus], text: &mut Metrics) {
    let name = "stockade_jail_state";
    text.family(name, Kind::Gauge, "1 for the state that the jail is in.");
    let states = [
        ("ok", State::Ok),
        ("waiting", State::Waiting),
        ("degraded", State::Degraded),
        ("failed", State::Failed),
        ("broken", State::Broken),
    ];
    for jail in jails {
        for (word, state) in states {
            let labels = [("jail", jail.name.as_str()), ("state", word)];
            text.sample(name, &labels, u8::from(jail.state == state));
        }
    }
}

fn plugins(plugins: &[PluginStatus], text: &mut Metrics) {
    type Value = fn(&PluginStatus) -> u64;
    let families: [(&str, Kind, &str, Value); 4] = [
        (
            "stockade_plugin_up",
            Kind::Gauge,
            "Whether the plugin or program is called; not while it is quarantined.",
            |plugin| u64::from(plugin.state == PluginState::Running),
        ),
        (
            "stockade_plugin_faults_total",
            Kind::Counter,
            "Faults of the plugin.",
            |plugin| plugin.faults,
        ),
        (
            "stockade_plugin_skipped_lines_total",
            Kind::Counter,
            "Lines that the plugin could not judge.",
            |plugin| plugin.skipped_lines,
        ),
        (
            "stockade_plugin_queue",
            Kind::Gauge,
            "Batches or bans that wait for the plugin.",
            |plugin| plugin.queue,
        ),
    ];
    for (name, kind, help, value) in families {
        text.family(name, kind, help);
        for plugin in plugins {
            let role = match plugin.role {
                PluginRole::Filter => "filter",
                PluginRole::Action => "action",
                PluginRole::Unknown => "unknown",
            };
            // A filter plugin runs once for each of its jails.
            let jails = plugin.jails.join(",");
            let labels = [
                ("plugin", plugin.name.as_str()),
                ("role", role),
                ("jails", &jails),
            ];
            text.sample(name, &labels, value(plugin));
        }
    }
}

/// Metrics as they are written.
#[derive(Default)]
struct Metrics(String);

impl Metrics {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.0
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            self.0.push_str(&format!("{open}{label}=\""));
            escape(text, &mut self.0);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.0.push_str(&format!(" {value}\n"));
    }

    /// A gauge without labels.
    fn single(&mut self, name: &str, help: &str, value: impl fmt::Display) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], value);
    }
}

/// Escapes a label's value as the format wants it: a backslash, a quote and a line end.
fn escape(text: &str, to: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            c => to.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use stockade_control::SourceStatus;

    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let source = SourceStatus {
            name: "/var/log/a\"b\\c\nd".into(),
            kind: SourceKind::File,
            state: State::Ok,
            lines: 7,
            ..SourceStatus::default()
        };
        let text = metrics(&StatusReply {
            sources: vec![source],
            ..StatusReply::default()
        });
        let line =
            "stockade_source_lines_total{source=\"/var/log/a\\\"b\\\\c\\nd\",kind=\"file\"} 7\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_log_that_two_readers_read_is_one_sample() {
        let source = |lines| SourceStatus {
            name: "/var/log/a".into(),
            kind: SourceKind::File,
            state: State::Ok,
            lines,
            ..SourceStatus::default()
        };
        let text = metrics(&StatusReply {
            sources: vec![source(5), source(4)],
            ..StatusReply::default()
        });
        let lines = text.lines();
        let lines: Vec<_> = lines
            .filter(|line| line.starts_with("stockade_source_lines_total{"))
            .collect();
        let expected = "stockade_source_lines_total{source=\"/var/log/a\",kind=\"file\"} 5";
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn every_sample_stands_below_the_type_of_its_name_and_no_two_are_alike() {
        let jail = |name: &str, state| JailStatus {
            name: name.into(),
            state,
            total_gave_up: 3,
            ..JailStatus::default()
        };
        let text = metrics(&StatusReply {
            jails: vec![jail("a", State::Ok), jail("b", State::Broken)],
            plugins: vec![PluginStatus::default()],
            ..StatusReply::default()
        });
        let mut family = "";
        let mut families = std::collections::BTreeSet::new();
        let mut samples = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} stands twice");
            } else if !line.starts_with('#') {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(sample.split('{').next(), Some(family));
                assert!(samples.insert(sample), "{sample} stands twice");
                value.parse::<f64>().unwrap();
            }
        }
        assert!(text.contains("stockade_jail_gave_up_lines_total{jail=\"a\"} 3\n"));
        assert!(text.contains("stockade_jail_state{jail=\"b\",state=\"broken\"} 1\n"));
    }
}
