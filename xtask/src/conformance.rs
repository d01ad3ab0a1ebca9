//! Holds stockade to the samples of an installed fail2ban: `cargo xtask conformance`.

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
    /// Let fail2ban itself judge, to see that its samples are read as it reads them
    #[arg(long)]
    oracle: bool,
    /// Only these filters
    #[arg(value_name = "FILTER")]
    only: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // Flags name another tree; its filters and samples are enough then.
    if args.filters.is_none() || args.samples.is_none() || args.oracle {
        packages::ensure(&[FAIL2BAN])?;
    }
    let mut run = Run::cargo()
        .args(["run", "--quiet", "--package=stockade-conformance", "--"])
        .in_dir(workspace::root());
    let from = std::env::current_dir()?;
    for (flag, dir) in [("--filters", &args.filters), ("--samples", &args.samples)] {
        if let Some(dir) = dir {
            run = run.arg(flag).arg(from.join(dir));
        }
    }
    if args.oracle {
        run = run.arg("--oracle");
    }
    run.args(&args.only).succeed()
}
