//! Measures how fast lines are judged, by us and by the others: `cargo xtask bench detect`.
//!
//! All read the same logs in one run, some of them only the beginning, because they need that long.
//! What counts is processor time, of all threads and the kernel's included, so that other load on the
//! machine hardly matters. Whoever finds other failures than the log has is named.

mod filters;
mod logs;
mod others;
mod ours;
mod reading;
mod table;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use super::report::progress;
use crate::Failure;
use crate::lab::build::{self, Built};
use crate::lab::namespaces;
use crate::run::Run;
use filters::jails;
use logs::{KINDS, Kind, Log};
use reading::{Case, Place, Reading};
use table::{Figure, Table};
use tools::{Programs, TOOLS, Tool};

/// Jails that watch one log.
const JAILS: [usize; 3] = [1, 10, 100];
/// Who is measured with several jails.
const WITH_JAILS: [Tool; 5] = [
    Tool::Stockade,
    Tool::Imported,
    Tool::Fail2ban,
    Tool::Fail2banRs,
    Tool::Rg,
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Only these logs: sshd-hits, sshd-noise, nginx, syslog, long-lines, jails
    #[arg(long, value_name = "LOG", num_args = 1..)]
    logs: Vec<String>,
    /// Only these tools, by the words of --json
    #[arg(long, value_name = "TOOL", num_args = 1..)]
    tools: Vec<String>,
    /// Where the others' programs lie; set by the outer part
    #[arg(long, value_name = "DIR", hide = true)]
    programs: Option<PathBuf>,
}

/// What the bench itself is told besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common<'a> {
    pub(super) quick: bool,
    pub(super) json: bool,
    pub(super) build: &'a build::Choice,
    pub(super) inside: Option<&'a Path>,
}

pub(super) fn run(args: &Args, common: &Common<'_>) -> Result<(), Failure> {
    match (common.inside, common.build.given()?, &args.programs) {
        (Some(folder), Some(built), Some(programs)) => {
            inside(args, common, folder, &built, programs)
        }
        _ => outside(args, common),
    }
}

fn outside(args: &Args, common: &Common<'_>) -> Result<(), Failure> {
    let built = common.build.built_daemon(|line| progress(line))?;
    let programs = built.scratch.join("bench-programs");
    Programs::fetch(&programs, &chosen(&args.tools));
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&built.scratch)?;
    let plugins = folder.path();
    let runs = args.runs.to_string();
    let mut inner: Vec<&std::ffi::OsStr> = vec![
        "bench".as_ref(),
        "--daemon".as_ref(),
        built.daemon.as_ref(),
        "--plugins".as_ref(),
        plugins.as_ref(),
        "--inside".as_ref(),
        folder.path().as_ref(),
    ];
    inner.extend(common.quick.then_some(std::ffi::OsStr::new("--quick")));
    inner.extend(common.json.then_some(std::ffi::OsStr::new("--json")));
    inner.extend(["detect", "--runs", &runs, "--programs"].map(std::ffi::OsStr::new));
    inner.push(programs.as_ref());
    for (flag, words) in [("--logs", &args.logs), ("--tools", &args.tools)] {
        for word in words {
            inner.extend([flag, word].map(std::ffi::OsStr::new));
        }
    }
    if namespaces::enter(&inner)? {
        Ok(())
    } else {
        Err("not everything was measured".into())
    }
}

fn inside(
    args: &Args,
    common: &Common<'_>,
    folder: &Path,
    built: &Built,
    programs: &Path,
) -> Result<(), Failure> {
    let _inside = namespaces::end_with_outer(folder)?;
    // Of the stock jails none is to find a log of the machine.
    namespaces::hide_folders(&["/run", "/var/log"])?;
    Run::new("ip").args(["link", "set", "lo", "up"]).succeed()?;
    let programs = Programs::in_folder(programs);
    let bench = Bench {
        daemon: &built.daemon,
        programs: &programs,
        folder,
        quick: common.quick,
        runs: if common.quick { 1 } else { args.runs.max(1) },
        tools: chosen(&args.tools),
    };
    let mut table = Table::new(programs.versions(), bench.runs);
    let wanted = |key: &str| args.logs.is_empty() || args.logs.iter().any(|log| log == key);
    for kind in KINDS.into_iter().filter(|kind| wanted(kind.key())) {
        bench.measure(kind, &[1], &bench.tools, &mut table)?;
    }
    if wanted("jails") {
        let with_jails: Vec<Tool> = WITH_JAILS
            .into_iter()
            .filter(|tool| bench.tools.contains(tool))
            .collect();
        bench.measure(Kind::Hits, &JAILS, &with_jails, &mut table)?;
    }
    table.print(common.json);
    table.check()
}

fn chosen(words: &[String]) -> Vec<Tool> {
    let wanted = |tool: &Tool| words.is_empty() || words.iter().any(|word| word == tool.key());
    TOOLS.into_iter().filter(wanted).collect()
}

/// How much of a log a tool reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Whole,
    Part,
    /// Of those that need a tenth of a millisecond for a line, or more.
    Beginning,
}

impl Share {
    fn of(tool: Tool, jails: usize) -> Self {
        match tool {
            Tool::Stockade | Tool::Rg | Tool::RgTyped => Self::Whole,
            Tool::Fail2ban | Tool::Fail2banRegex => Self::Beginning,
            Tool::Fail2banRs if jails > 10 => Self::Beginning,
            Tool::Imported
            | Tool::StockadeRegex
            | Tool::Fail2banRs
            | Tool::Fail2banRsDryRun
            | Tool::Sshguard => Self::Part,
        }
    }

    /// Lines of a log that `jails` watch.
    fn lines(self, kind: Kind, jails: usize, quick: bool) -> u64 {
        let lines = match (kind, self) {
            // One gigabyte.
            (Kind::Web, Self::Whole) => 5_300_000,
            (_, Self::Beginning) if jails > 10 => 2_000,
            (_, Self::Beginning) if jails > 1 => 10_000,
            (Kind::Long, Self::Whole) => 50_000,
            (Kind::Long, Self::Part) => 10_000,
            (Kind::Long, Self::Beginning) => 1_000,
            (_, Self::Whole) => 2_000_000,
            (_, Self::Part) => 500_000,
            (_, Self::Beginning) => 50_000,
        };
        if quick { lines / 10 } else { lines }
    }
}

/// What the measurements have in common.
#[derive(Debug)]
struct Bench<'a> {
    daemon: &'a Path,
    programs: &'a Programs,
    /// On a real disk; emptied when we are done.
    folder: &'a Path,
    quick: bool,
    runs: usize,
    tools: Vec<Tool>,
}

impl Bench<'_> {
    /// Lets each tool read a log of this kind for each number of jails.
    fn measure(
        &self,
        kind: Kind,
        jail_counts: &[usize],
        tools: &[Tool],
        table: &mut Table,
    ) -> Result<(), Failure> {
        progress(format_args!("writing the log: {}", kind.title()));
        let folder = self.folder.join("logs");
        fs::create_dir(&folder)?;
        let mut logs: Vec<(u64, Log)> = Vec::new();
        for &count in jail_counts {
            for &tool in tools {
                let lines = Share::of(tool, count).lines(kind, count, self.quick);
                if !logs.iter().any(|(own, _)| *own == lines) {
                    let log = kind.write(&folder.join(lines.to_string()), lines)?;
                    logs.push((lines, log));
                }
            }
        }
        for &count in jail_counts {
            let jails = jails(kind, count);
            let mut figures = Vec::new();
            for &tool in tools {
                let lines = Share::of(tool, count).lines(kind, count, self.quick);
                let Some((_, log)) = logs.iter().find(|(own, _)| *own == lines) else {
                    continue;
                };
                let jails = &jails;
                let case = Case { kind, log, jails };
                figures.push((Figure::new(tool, &case, jail_counts.len() > 1), case));
            }
            // Each round has all of them, so that a slow minute of the machine is nobody's alone.
            for _ in 0..self.runs {
                for (figure, case) in &mut figures {
                    self.once(figure, case);
                }
            }
            for (figure, _) in figures {
                table.add(figure);
            }
        }
        Ok(fs::remove_dir_all(folder)?)
    }

    fn once(&self, figure: &mut Figure, case: &Case<'_>) {
        if let Some(why) = figure.tool.left_out(case) {
            figure.leave_out(why.to_owned());
        }
        if figure.is_left_out() {
            return;
        }
        match self.read(figure.tool, case) {
            Ok(reading) => figure.take(reading),
            Err(why) => figure.leave_out(why.to_string()),
        }
    }

    fn read(&self, tool: Tool, case: &Case<'_>) -> Result<Reading, Failure> {
        let folder = self.folder.join("reading");
        fs::create_dir(&folder)?;
        let place = Place {
            daemon: self.daemon,
            programs: self.programs,
            folder: &folder,
        };
        let reading = tool.read(&place, case);
        fs::remove_dir_all(&folder)?;
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_tools_read_less_and_never_nothing() {
        let one = KINDS.map(|kind| (kind, 1));
        let several = JAILS.map(|jails| (Kind::Hits, jails));
        for (kind, jails) in one.into_iter().chain(several) {
            for quick in [false, true] {
                let lines = |share: Share| share.lines(kind, jails, quick);
                assert!(lines(Share::Whole) > lines(Share::Part));
                assert!(lines(Share::Part) > lines(Share::Beginning));
                assert!(lines(Share::Beginning) >= 100);
            }
        }
    }

    #[test]
    fn tools_are_chosen_by_their_words() {
        assert_eq!(chosen(&[]), TOOLS);
        assert_eq!(chosen(&["rg".to_owned()]), [Tool::Rg]);
    }
}
