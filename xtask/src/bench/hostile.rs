//! What hostile lines cost: `cargo xtask bench hostile`.

use crate::lab::packages::{self, Needed};
use crate::run::Run;
use crate::{Failure, workspace};

/// Has the filters and their samples.
const FAIL2BAN: Needed = Needed {
    program: "fail2ban-client",
    package: "fail2ban",
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these filters
    #[arg(value_name = "FILTER")]
    only: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    packages::ensure(&[FAIL2BAN])?;
    Run::cargo()
        .args([
            "run",
            "--quiet",
            "--release",
            "--package=stockade-conformance",
        ])
        .args(["--bin=hostile", "--", "--ours", "config/filters"])
        .arg("tests/conformance/samples")
        .args((!args.only.is_empty()).then_some("--"))
        .args(&args.only)
        .in_dir(workspace::root())
        .succeed()
}
