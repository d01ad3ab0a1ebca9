//! How many lines the whole daemon judges in a second of processor time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::corpus::{Corpus, LAST};
use super::ours::{self, Filter, Setting};
use super::report::{Better, Report, Row, progress};
use super::{Lab, usage};
use crate::Failure;
use crate::lab::process::Process;
use crate::lab::{clock, packages};
use crate::run::Run;

/// How long a log may take to be read; fail2ban on a slow machine needs minutes.
const READ_WITHIN: Duration = Duration::from_secs(900);

/// Four patterns of sshd's failures, as somebody would type them.
const RG_PATTERNS: [&str; 4] = [
    r"Failed password for .* from \S+ port \d+",
    r"Invalid user .* from \S+ port \d+",
    r"Connection closed by authenticating user .* \S+ port \d+ \[preauth\]",
    r"maximum authentication attempts exceeded for .* from \S+ port \d+",
];

const fn row(key: &'static str, what: &'static str, with: &'static str) -> Row {
    Row {
        key,
        what,
        unit: "lines per CPU-second",
        better: Better::More,
        with,
    }
}

/// The same corpus, with hits and without.
struct Kind {
    hits: bool,
    name: &'static str,
    rows: [Row; 3],
}

const KINDS: [Kind; 2] = [
    Kind {
        hits: true,
        name: "hits",
        rows: [
            row("hits_patterns", "77 % hits, patterns", "fail2ban"),
            row("hits_plugin", "77 % hits, sshd plugin", "fail2ban"),
            row("hits_rg", "77 % hits, patterns", "rg -c"),
        ],
    },
    Kind {
        hits: false,
        name: "quiet",
        rows: [
            row("quiet_patterns", "no hits, patterns", "fail2ban"),
            row("quiet_plugin", "no hits, sshd plugin", "fail2ban"),
            row("quiet_rg", "no hits, patterns", "rg -c"),
        ],
    },
];

pub(super) fn measure(lab: &Lab<'_>, report: &mut Report) {
    for kind in &KINDS {
        if let Err(why) = measure_kind(lab, kind, report) {
            for row in kind.rows {
                report.add(row, Err(why.to_string().into()), Err("see there".into()));
            }
        }
    }
}

fn measure_kind(lab: &Lab<'_>, kind: &Kind, report: &mut Report) -> Result<(), Failure> {
    let folder = lab.folder(kind.name)?;
    let whole = Corpus {
        lines: lab.sizes.lines,
        hits: kind.hits,
    };
    let part = Corpus {
        lines: lab.sizes.lines_theirs,
        hits: kind.hits,
    };
    let (whole_file, part_file) = (folder.join("whole"), folder.join("part"));
    progress(format_args!(
        "writing a log of {} lines ({})",
        whole.lines, kind.name
    ));
    whole.write(&whole_file)?;
    part.write(&part_file)?;

    let patterns = ours(lab, &folder, whole, &whole_file, Filter::Patterns);
    let plugin = ours(lab, &folder, whole, &whole_file, Filter::Plugin);
    let theirs = theirs(lab, &folder, part, &part_file);
    let rg = rg(whole, &whole_file);
    let again = |measured: &Result<f64, Failure>| -> Result<f64, Failure> {
        measured
            .as_ref()
            .copied()
            .map_err(|why| why.to_string().into())
    };
    let [with_patterns, with_plugin, against_rg] = kind.rows;
    report.add(with_patterns, again(&patterns), again(&theirs));
    report.add(with_plugin, plugin, theirs);
    report.add(against_rg, patterns, rg);
    Ok(fs::remove_dir_all(folder)?)
}

fn ours(
    lab: &Lab<'_>,
    folder: &Path,
    corpus: Corpus,
    source: &Path,
    filter: Filter,
) -> Result<f64, Failure> {
    let folder = folder.join(format!("{filter:?}"));
    fs::create_dir(&folder)?;
    let log = empty_log(&folder)?;
    // fail2ban's action does nothing, so ours has no firewall either.
    let setting = Setting {
        log: &log,
        filter,
        firewall: false,
        more: "",
        more_of_jail: "",
    };
    let stockade = ours::start(lab, &folder, &setting)?;
    let pid = stockade.id();
    let before = usage::cpu_s(pid)?;
    append(source, &log)?;
    let mut last = Value::Null;
    let read = clock::wait_for(READ_WITHIN, || {
        last = stockade.status().unwrap_or_default();
        let count = |pointer: &str| last.pointer(pointer).and_then(Value::as_u64);
        count("/sources/0/lines") == Some(corpus.lines_in_all())
            && count("/jails/0/total_banned") == Some(corpus.bans())
            && failures(&last) == corpus.failures()
    });
    let used = usage::cpu_s(pid)? - before;
    stockade.stop();
    if !read {
        let expected = (corpus.lines_in_all(), corpus.failures(), corpus.bans());
        return Err(format!("expected lines, failures and bans {expected:?}, but: {last}").into());
    }
    per_second(corpus, used)
}

/// Failures found, whether they counted or came from somebody who was banned by then.
fn failures(status: &Value) -> u64 {
    let count = |key: &str| status.pointer(key).and_then(Value::as_u64).unwrap_or(0);
    count("/jails/0/total_failed") + count("/jails/0/total_while_banned")
}

fn theirs(lab: &Lab<'_>, folder: &Path, corpus: Corpus, source: &Path) -> Result<f64, Failure> {
    let folder = folder.join("fail2ban");
    fs::create_dir(&folder)?;
    let log = empty_log(&folder)?;
    let fail2ban = lab.theirs()?.start(&folder, &log, false)?;
    let before = usage::cpu_s(fail2ban.id())?;
    append(source, &log)?;
    fail2ban.wait_for_log(&format!("[sshd] Ban {LAST}"), READ_WITHIN)?;
    let used = usage::cpu_s(fail2ban.id())? - before;
    let found = fail2ban.count_in_log("[sshd] Found ")?;
    fail2ban.stop();
    // It judges a line that is half written, and again when it is whole: a few more are no fault of
    // the measurement.
    if found < corpus.failures() || found > corpus.failures() * 101 / 100 {
        return Err(format!("fail2ban found {found} of {} failures", corpus.failures()).into());
    }
    per_second(corpus, used)
}

fn rg(corpus: Corpus, source: &Path) -> Result<f64, Failure> {
    let program = packages::find("rg").ok_or("there is no rg (Debian's 'ripgrep')")?;
    let patterns = RG_PATTERNS.iter().flat_map(|pattern| ["-e", pattern]);
    let run = Run::new(program)
        .args(["--no-config", "-c"])
        .args(patterns)
        .arg(source);
    let before = usage::children_cpu_s()?;
    Process::start(run)?.finish(READ_WITHIN)?.output("rg")?;
    per_second(corpus, usage::children_cpu_s()? - before)
}

fn per_second(corpus: Corpus, seconds: f64) -> Result<f64, Failure> {
    if seconds <= 0.0 {
        return Err("it took less time than the kernel counts".into());
    }
    Ok(f64::from(u32::try_from(corpus.lines_in_all())?) / seconds)
}

fn empty_log(folder: &Path) -> Result<PathBuf, Failure> {
    let log = folder.join("auth.log");
    File::create(&log)?;
    Ok(log)
}

fn append(source: &Path, log: &Path) -> io::Result<()> {
    let mut log = File::options().append(true).open(log)?;
    io::copy(&mut File::open(source)?, &mut log).map(drop)
}
