//! stockade reads a log: the whole daemon, with firewall and actions that do nothing, and
//! `stockade regex`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::corpus::MAXRETRY;
use super::super::usage;
use super::filters::Jail;
use super::others;
use super::reading::{Case, Place, Reading, append, once};
use crate::lab::stockade::{Settings, Stockade};
use crate::run::Run;
use crate::{Failure, workspace};

/// With our own filters.
pub(super) fn native(place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
    let log = place.empty_log()?;
    write_filters(place.folder, case.jails)?;
    let jails: String = case.jails.iter().map(|jail| section(*jail, &log)).collect();
    let dropin = format!("{}{jails}", daemon(place.folder));
    daemon_reads(place, case, &log, None, &dropin)
}

fn section(jail: Jail, log: &Path) -> String {
    format!(
        "[jails.{name}]\nenabled = true\nfilter = \"{filter}\"\nbackend = \"file\"\n\
         logpath = [\"{log}\"]\nport = [\"22\"]\nmaxretry = {MAXRETRY}\nfindtime = \"1d\"\n\
         bantime = \"1d\"\n\n",
        name = jail.name(),
        filter = filter_name(jail),
        log = log.display(),
    )
}

/// A filter of the bench's own is not to stand for a stock one.
fn filter_name(jail: Jail) -> String {
    match jail {
        Jail::Sshd => "sshd".to_owned(),
        Jail::Web => "nginx-probes".to_owned(),
        Jail::App(_) => format!("bench-{}", jail.name()),
    }
}

fn write_filters(folder: &Path, jails: &[Jail]) -> Result<(), Failure> {
    let filters = folder.join("filters");
    fs::create_dir_all(&filters)?;
    for jail in jails {
        if let Some(text) = jail.native() {
            let file = filters.join(filter_name(*jail)).with_extension("toml");
            fs::write(file, text)?;
        }
    }
    Ok(())
}

fn daemon(folder: &Path) -> String {
    format!(
        "[daemon]\nlog_target = \"{}\"\n\n[defaults]\nfirewall = \"none\"\n\n",
        folder.join("stockade.log").display()
    )
}

/// With a fail2ban configuration, translated.
pub(super) fn imported(place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
    let log = place.empty_log()?;
    let theirs = others::configure(place, case, &log)?;
    let translated = place.folder.join("translated");
    let import = Run::new(place.daemon)
        .arg("import")
        .arg(theirs)
        .arg("--out")
        .arg(&translated);
    import.read()?;
    let config = translated.join("stockade.toml");
    daemon_reads(place, case, &log, Some(&config), &daemon(place.folder))
}

fn daemon_reads(
    place: &Place<'_>,
    case: &Case<'_>,
    log: &Path,
    config: Option<&Path>,
    dropin: &str,
) -> Result<Reading, Failure> {
    let settings = Settings {
        program: place.daemon,
        folder: place.folder,
        config,
        dropin,
    };
    // Its log goes to a file as fail2ban's does.
    let stockade = Stockade::start(&settings, |_| {})?;
    let pid = stockade.id();
    let reading = append(pid, case.log, log, || {
        let status = stockade.status()?;
        let cpu_s = usage::cpu_s(pid)?;
        let read = lines(&status, log).is_some_and(|lines| lines == case.log.lines);
        Ok(read.then(|| Reading {
            cpu_s,
            found: failures(&status, case.jails.first().copied()),
        }))
    })?;
    stockade.stop();
    Ok(reading)
}

/// Lines that every reader of the log has read.
fn lines(status: &Value, log: &Path) -> Option<u64> {
    let sources = status.get("sources")?.as_array()?.iter();
    let ours = sources.filter(|source| source.get("name").and_then(Value::as_str) == log.to_str());
    ours.filter_map(|source| source.get("lines")?.as_u64())
        .min()
}

/// Failures that a jail found, whether they counted or came from somebody who was banned by then.
fn failures(status: &Value, jail: Option<Jail>) -> Option<u64> {
    let name = jail?.name();
    let mut jails = status.get("jails")?.as_array()?.iter();
    let jail = jails.find(|jail| jail.get("name").and_then(Value::as_str) == Some(&name))?;
    let count = |key| jail.get(key).and_then(Value::as_u64);
    Some(count("total_failed")? + count("total_while_banned")?)
}

/// `stockade regex` with our own filter.
pub(super) fn regex(place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
    write_filters(place.folder, case.jails)?;
    let jail = case.jails.first().copied().ok_or("no jail")?;
    let folder: PathBuf = match jail {
        Jail::Sshd | Jail::Web => workspace::root().join("config"),
        Jail::App(_) => place.folder.to_owned(),
    };
    let filter = folder
        .join("filters")
        .join(filter_name(jail))
        .with_extension("toml");
    let found = |output: &str| {
        // `2000 lines: 1540 matched, 460 missed`
        let (_, counts) = output.lines().next_back()?.split_once(" lines: ")?;
        counts.split(' ').next()?.parse().ok()
    };
    once(place, case.log, found, |log| {
        let run = Run::new(place.daemon).arg("regex").arg(&filter).arg(log);
        (run, None)
    })
}
