//! `fail2ban.conf`: what concerns the daemon itself.

use super::super::{GlobalOptions, Written};
use super::report::Scribe;
use super::toml::Body;

/// What stockade has in a way of its own.
const OWN: [(&str, &str); 6] = [
    (
        "socket",
        "stockade has a control socket of its own: 'socket' in [daemon]",
    ),
    (
        "pidfile",
        "there is none: the control socket says whether the daemon runs",
    ),
    (
        "dbfile",
        "stockade keeps bans in a database of its own, always: 'state_dir' in [daemon]",
    ),
    (
        "logtarget",
        "stockade writes to standard error, which systemd puts into the journal: 'log_target' in [daemon]",
    ),
    (
        "syslogsocket",
        "stockade does not write to syslog: 'log_target' in [daemon]",
    ),
    (
        "dbmaxmatches",
        "as many lines of a ban are stored as 'maxmatches' of its jail says",
    ),
];

/// The keys of `[daemon]`.
pub(super) fn translate(globals: &GlobalOptions, scribe: &mut Scribe<'_>) -> Body {
    let written = globals.written.iter();
    let parts = written.map(|(name, value)| (name.clone(), Some(value.origin())));
    scribe.begin("", parts.collect());
    let mut daemon = Body::default();
    if let Some(level) = &globals.loglevel {
        let ours = log_level(&level.value);
        daemon.text("log_level", ours);
        if level.value.eq_ignore_ascii_case(ours) {
            scribe.translated("loglevel");
        } else {
            let why = format!("it is '{ours}' here; bans are told at every level down to 'info'");
            scribe.different("loglevel", Some(level.origin), why);
        }
    }
    if let Some(age) = &globals.dbpurgeage {
        daemon.time("db_purge_age", age.value);
        scribe.translated("dbpurgeage");
    }
    for (name, why) in OWN {
        if let Some(at) = globals.written.get(name).map(Written::origin) {
            scribe.different(name, Some(at), why);
        }
    }
    if let Some(ipv6) = &globals.allowipv6 {
        match ipv6.value.to_ascii_lowercase().as_str() {
            "no" | "false" | "0" | "off" => {
                let why = "IPv6 is always understood";
                scribe.left("allowipv6", Some(ipv6.origin), why);
            }
            _ => scribe.translated("allowipv6"),
        }
    }
    if let Some(size) = &globals.stacksize {
        let why = "threads take what they need";
        scribe.left("stacksize", Some(size.origin), why);
    }
    scribe.end();
    daemon
}

fn log_level(level: &str) -> &'static str {
    match level.to_ascii_lowercase().as_str() {
        "critical" | "fatal" | "error" => "error",
        "warning" | "warn" => "warn",
        "debug" => "debug",
        "tracedebug" | "heavydebug" | "notset" => "trace",
        _ => "info",
    }
}
