//! `fail2ban.conf`: what concerns the daemon itself.

use std::time::Duration;

use super::fault::Fault;
use super::interpolate::Scope;
use super::merged::{Merged, Options};
use super::values::{self, Faults};
use super::written::Written;
use crate::diagnostic::quoted;
use crate::source::{Located, Origin};
use crate::suggest;

const DEFINITION: &str = "Definition";
const THREAD: &str = "Thread";

/// The options of `[Definition]`.
const OPTIONS: &[&str] = &[
    "loglevel",
    "logtarget",
    "syslogsocket",
    "socket",
    "pidfile",
    "allowipv6",
    "dbfile",
    "dbpurgeage",
    "dbmaxmatches",
];

/// The levels of fail2ban's log, and Python's names for some of them.
const LOG_LEVELS: &[&str] = &[
    "critical",
    "fatal",
    "error",
    "warning",
    "warn",
    "notice",
    "msg",
    "info",
    "debug",
    "tracedebug",
    "heavydebug",
    "notset",
];

/// The options of `fail2ban.conf`; `None` where nobody wrote one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GlobalOptions {
    /// How much is logged; without it `INFO`.
    pub loglevel: Option<Located<String>>,
    /// Where: `STDOUT`, `STDERR`, `SYSOUT`, `SYSLOG`, `SYSTEMD-JOURNAL` or a file, with options in
    /// brackets; without it `/var/log/fail2ban.log`.
    pub logtarget: Option<Located<String>>,
    /// The socket of syslog(3), or `auto`.
    pub syslogsocket: Option<Located<String>>,
    /// The control socket; without it `/var/run/fail2ban/fail2ban.sock`.
    pub socket: Option<Located<String>>,
    /// The file with the process id.
    pub pidfile: Option<Located<String>>,
    /// Whether IPv6 is used: `auto`, or yes or no.
    pub allowipv6: Option<Located<String>>,
    /// The database: a path, `:memory:`, or `None` for none.
    pub dbfile: Option<Located<String>>,
    /// How long a ban that is over is remembered; without it a day.
    pub dbpurgeage: Option<Located<Duration>>,
    /// How many matched lines are kept for each id; without it 10.
    pub dbmaxmatches: Option<Located<u32>>,
    /// The stack of each thread in KiB, zero for the host's own.
    pub stacksize: Option<Located<u32>>,
    /// The options as text, by name.
    pub written: Options,
}

/// Reads what the files say, laid over each other.
pub(crate) fn read(merged: &Merged, faults: &mut Faults) -> GlobalOptions {
    faults.list.extend(merged.faults(|_| true).cloned());
    let mut written = Options::new();
    for (section, options) in [(DEFINITION, OPTIONS), (THREAD, &["stacksize"])] {
        for option in options {
            let value = value(merged, section, option, faults);
            written.extend(value.map(|value| ((*option).to_owned(), value)));
        }
    }
    check_unknown(merged, faults);
    let text = |option: &str| written.get(option).map(Written::located);
    let globals = GlobalOptions {
        loglevel: text("loglevel"),
        logtarget: text("logtarget"),
        syslogsocket: text("syslogsocket"),
        socket: text("socket"),
        pidfile: text("pidfile"),
        allowipv6: text("allowipv6"),
        dbfile: text("dbfile"),
        dbpurgeage: written
            .get("dbpurgeage")
            .and_then(|value| faults.take(values::duration(value, "dbpurgeage"))),
        dbmaxmatches: written
            .get("dbmaxmatches")
            .and_then(|value| faults.take(values::whole_number(value, "dbmaxmatches", 0))),
        stacksize: written
            .get("stacksize")
            .and_then(|value| faults.take(values::whole_number(value, "stacksize", 0))),
        written: Options::new(),
    };
    check_log_level(&globals, faults);
    GlobalOptions { written, ..globals }
}

fn value(merged: &Merged, section: &str, option: &str, faults: &mut Faults) -> Option<Written> {
    // Where the section is not there, fail2ban does not look at what all sections have.
    merged.own(section)?;
    let none = Options::new();
    let scope = Scope {
        merged,
        section,
        given: &none,
        over: &none,
    };
    faults.take(scope.get(option)).flatten()
}

fn check_log_level(globals: &GlobalOptions, faults: &mut Faults) {
    let Some(level) = &globals.loglevel else {
        return;
    };
    let lowered = level.value.to_lowercase();
    let number = lowered.chars().all(|c| c.is_ascii_digit()) && !lowered.is_empty();
    if !number && !LOG_LEVELS.contains(&lowered.as_str()) {
        let message = format!("there is no log level {}", quoted(&level.value));
        let mut fault = Fault::error(level.origin, message);
        fault.hint = suggest::hint(&lowered, LOG_LEVELS.iter().copied());
        faults.push(fault);
    }
}

fn check_unknown(merged: &Merged, faults: &mut Faults) {
    let referenced = merged.referenced();
    for (section, known) in [(DEFINITION, OPTIONS), (THREAD, &["stacksize"])] {
        for option in merged.own(section).into_iter().flat_map(Options::keys) {
            if known.contains(&option.as_str()) || referenced.contains(option) {
                continue;
            }
            let message = format!("unknown option {}", quoted(option));
            let place = merged.key_origin(section, option);
            let mut fault = Fault::warning(place.unwrap_or(Origin::NOWHERE), message);
            fault.hint = suggest::hint(option, known.iter().copied());
            faults.push(fault);
        }
    }
}
