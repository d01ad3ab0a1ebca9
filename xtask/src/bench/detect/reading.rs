//! One tool reads one log: how much processor time that takes and what it finds.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::fail2ban::Fail2ban;
use super::super::usage;
use super::filters::{self, Jail};
use super::logs::{Kind, Log};
use super::tools::{Programs, Tool};
use super::{others, ours};
use crate::Failure;
use crate::lab::clock;
use crate::lab::process::{Ended, Process};
use crate::run::Run;

/// How long a log may take to be read.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(300);
/// How often a daemon is asked how far it has come. Each answer costs it some microseconds.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What has been measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) cpu_s: f64,
    /// Lines that are failures; `None` where the tool does not tell them apart.
    pub(super) found: Option<u64>,
}

/// Who reads what for which jails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) kind: Kind,
    pub(super) log: &'a Log,
    pub(super) jails: &'a [Jail],
}

/// Where it is done and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) daemon: &'a Path,
    pub(super) programs: &'a Programs,
    /// A folder that is there for one reading.
    pub(super) folder: &'a Path,
}

impl Place<'_> {
    /// An empty log, for a daemon to watch.
    pub(super) fn empty_log(&self) -> io::Result<PathBuf> {
        let log = self.folder.join("watched.log");
        File::create(&log)?;
        Ok(log)
    }

    pub(super) fn fail2ban(&self) -> Result<Fail2ban, Failure> {
        let root = self.programs.fail2ban.as_deref();
        Ok(Fail2ban::at(root.ok_or("fail2ban is not there")?))
    }
}

impl Tool {
    /// Why the tool cannot do this at all.
    pub(super) fn left_out(self, case: &Case<'_>) -> Option<&'static str> {
        let many = case.jails.len() > 1;
        match self {
            Self::Sshguard if case.kind == Kind::Web => {
                Some("its signatures are fixed, and these probes are not among them")
            }
            Self::RgTyped if case.kind == Kind::Web => Some("they are patterns for sshd"),
            Self::StockadeRegex | Self::Fail2banRegex if many => Some("it tries one filter"),
            Self::Sshguard if many => Some("it has no jails"),
            Self::RgTyped if many => Some("they are patterns for one jail"),
            _ => None,
        }
    }

    /// Lets the tool read the log.
    pub(super) fn read(self, place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
        match self {
            Self::Stockade => ours::native(place, case),
            Self::Imported => ours::imported(place, case),
            Self::StockadeRegex => ours::regex(place, case),
            Self::Fail2ban => others::fail2ban(place, case),
            Self::Fail2banRegex => others::fail2ban_regex(place, case),
            Self::Fail2banRs => others::fail2ban_rs(place, case),
            Self::Fail2banRsDryRun => others::fail2ban_rs_dry_run(place, case),
            Self::Sshguard => others::sshguard(place, case),
            Self::Rg => others::rg(place, case, &plain(case.jails)?),
            Self::RgTyped => {
                let patterns = filters::TYPED.map(str::to_owned);
                others::rg(place, case, &patterns)
            }
        }
    }
}

fn plain(jails: &[Jail]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for jail in jails {
        all.extend(jail.plain()?);
    }
    Ok(all)
}

/// Lets a daemon read `source`, which is appended to the `log` that it watches, until `done` returns
/// what it has found.
pub(super) fn append(
    pid: u32,
    source: &Log,
    log: &Path,
    mut done: impl FnMut() -> Result<Option<Reading>, Failure>,
) -> Result<Reading, Failure> {
    let before = usage::cpu_s(pid)?;
    let mut watched = File::options().append(true).open(log)?;
    io::copy(&mut File::open(&source.path)?, &mut watched)?;
    let mut found = Ok(None);
    let ended = clock::wait_for(READ_WITHIN, || {
        found = done();
        let goes_on = matches!(found, Ok(None));
        if goes_on {
            clock::pause(ASK_EVERY);
        }
        !goes_on
    });
    match found? {
        Some(reading) if ended => Ok(Reading {
            cpu_s: reading.cpu_s - before,
            ..reading
        }),
        _ => Err(format!("it has not read the log after {READ_WITHIN:?}").into()),
    }
}

/// Runs a program that reads a log and ends; what it takes with an empty log is taken off, because
/// that is what starting it costs.
pub(super) fn once(
    place: &Place<'_>,
    log: &Log,
    found: impl Fn(&str) -> Option<u64>,
    start: impl Fn(&Path) -> (Run, Option<PathBuf>),
) -> Result<Reading, Failure> {
    let empty = place.folder.join("empty.log");
    fs::write(&empty, "")?;
    let (_, starting_s) = run(start(&empty))?;
    let (ended, cpu_s) = run(start(&log.path))?;
    let Some(found) = found(&ended.stdout) else {
        let tail = ended.stderr.lines().next_back().unwrap_or_default();
        return Err(format!("it did not tell what it found: {}: {tail}", ended.status).into());
    };
    Ok(Reading {
        cpu_s: cpu_s - starting_s,
        found: Some(found),
    })
}

/// Runs it to its end, with a file as its input, through a pipe, where one is named.
fn run((run, input): (Run, Option<PathBuf>)) -> Result<(Ended, f64), Failure> {
    let mut process = Process::start(run)?;
    if let Some(input) = input {
        let (mut file, mut stdin) = (File::open(input)?, process.take_stdin()?);
        // It may end before it has read everything; what it wrote tells then.
        std::thread::spawn(move || drop(io::copy(&mut file, &mut stdin)));
    }
    let (ended, used) = process.finish_after(|process| {
        let has_ended = process.wait_for_last_look(READ_WITHIN);
        (has_ended, usage::cpu_s(process.id()))
    })?;
    let (has_ended, used) = used;
    if !has_ended {
        return Err(format!("it has not ended after {READ_WITHIN:?}").into());
    }
    Ok((ended, used?))
}
