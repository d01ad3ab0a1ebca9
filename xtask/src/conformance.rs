//! Holds stockade to the samples of an installed fail2ban, and to fail2ban itself: `cargo xtask
//! conformance`.

use std::path::PathBuf;

use crate::lab::packages::{self, Needed};
use crate::run::Run;
use crate::{Failure, workspace};

/// Has the filters, their samples and the program that judges them.
const FAIL2BAN: Needed = Needed {
    program: "fail2ban-client",
    package: "fail2ban",
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration folder of another fail2ban, with filter.d in it
    #[arg(long, value_name = "DIR")]
    filters: Option<PathBuf>,
    /// The folder with its sample files (tests/files/logs)
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
    /// The folder with another fail2ban's Python package 'fail2ban' in it
    #[arg(long, value_name = "DIR")]
    fail2ban: Option<PathBuf>,
    /// Let fail2ban itself judge, to see that its samples are read as it reads them
    #[arg(long)]
    oracle: bool,
    /// Compare with fail2ban itself, over damaged samples and lines that its patterns describe
    #[arg(long)]
    differential: bool,
    /// How many lines are compared [default: 100000]
    #[arg(long, value_name = "N")]
    lines: Option<usize>,
    /// What decides about the lines [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only these filters
    #[arg(value_name = "FILTER")]
    only: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // Flags name another tree; its filters and samples are enough then.
    let asks = (args.oracle || args.differential) && args.fail2ban.is_none();
    if args.filters.is_none() || args.samples.is_none() || asks {
        packages::ensure(&[FAIL2BAN])?;
    }
    let mut run = Run::cargo()
        .args(["run", "--quiet", "--package=stockade-conformance", "--"])
        .in_dir(workspace::root());
    let from = std::env::current_dir()?;
    for (flag, dir) in [
        ("--filters", &args.filters),
        ("--samples", &args.samples),
        ("--fail2ban", &args.fail2ban),
    ] {
        if let Some(dir) = dir {
            run = run.arg(flag).arg(from.join(dir));
        }
    }
    for (flag, given) in [
        ("--oracle", args.oracle),
        ("--differential", args.differential),
    ] {
        if given {
            run = run.arg(flag);
        }
    }
    let numbers = [
        ("--lines", args.lines.map(|lines| lines.to_string())),
        ("--seed", args.seed.map(|seed| seed.to_string())),
    ];
    for (flag, number) in numbers {
        if let Some(number) = number {
            run = run.arg(flag).arg(number);
        }
    }
    run.args(&args.only).succeed()
}
