//! Measures the whole daemon against Debian's fail2ban: `cargo xtask bench`; and how fast lines are
//! judged against everybody: [`detect`].
//!
//! Both run in the same namespaces, one after the other, with the same settings. Every figure is of
//! this run; what could not be measured is said.

mod corpus;
mod detect;
mod fail2ban;
mod firewall;
mod hostile;
mod latency;
mod memory;
mod ours;
mod report;
mod restore;
mod throughput;
mod usage;

use std::path::{Path, PathBuf};

use crate::Failure;
use crate::lab::build::{self, Built};
use crate::lab::namespaces;
use crate::lab::packages::{self, Needed};
use crate::run::Run;
use fail2ban::Fail2ban;
use report::{Report, progress};

const PROGRAMS: [Needed; 3] = [
    Needed {
        program: "nft",
        package: "nftables",
    },
    Needed {
        program: "ip",
        package: "iproute2",
    },
    Needed {
        program: "nsenter",
        package: "util-linux",
    },
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure a tenth: quicker, less exact
    #[arg(long, global = true)]
    quick: bool,
    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    only: Option<Only>,
    #[command(flatten)]
    build: build::Choice,
    /// Measure in this folder; set where this program starts itself again in namespaces
    #[arg(long, value_name = "DIR", hide = true, requires = "daemon")]
    inside: Option<PathBuf>,
    /// Where fail2ban was unpacked; set by the outer part
    #[arg(long, value_name = "DIR", hide = true)]
    fail2ban: Option<PathBuf>,
}

/// A part of it by itself, in more detail.
#[derive(Debug, clap::Subcommand)]
enum Only {
    /// Measure how fast lines are judged, and compare with everybody who can be had
    Detect(detect::Args),
    /// Measure how fast many bans come into the firewall, by each backend and by others
    Firewall,
    /// Measure what hostile lines of up to 64 KiB cost each filter; fails where one costs 10 ms
    Hostile(hostile::Args),
}

/// What is measured how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Lines of a log for us.
    lines: u64,
    /// Lines of the same log for fail2ban, which takes longer.
    lines_theirs: u64,
    /// Bans whose latency is measured.
    bans: u32,
    bans_theirs: u32,
}

const FULL: Sizes = Sizes {
    lines: 2_000_000,
    lines_theirs: 100_000,
    bans: 200,
    bans_theirs: 40,
};
const QUICK: Sizes = Sizes {
    lines: 200_000,
    lines_theirs: 10_000,
    bans: 40,
    bans_theirs: 8,
};

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(Only::Detect(detect)) = &args.only {
        let common = detect::Common {
            quick: args.quick,
            json: args.json,
            build: &args.build,
            inside: args.inside.as_deref(),
        };
        return detect::run(detect, &common);
    }
    if let Some(Only::Hostile(hostile)) = &args.only {
        return hostile::run(hostile);
    }
    if let Some(Only::Firewall) = &args.only {
        return firewall::run(args.quick);
    }
    match (&args.inside, args.build.given()?) {
        (Some(folder), Some(built)) => inside(args, folder, &built),
        _ => outside(args),
    }
}

fn outside(args: &Args) -> Result<(), Failure> {
    packages::ensure(&PROGRAMS)?;
    let built = args.build.built(|line| progress(line))?;
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&built.scratch)?;
    if args.build.given()?.is_none() {
        restore::build(&args.build)?;
    }
    let unpacked = fail2ban::find_or_fetch(&built.scratch.join("fail2ban"));
    let unpacked = unpacked.inspect_err(|why| progress(format_args!("without fail2ban: {why}")));
    let mut inner: Vec<&std::ffi::OsStr> = vec![
        "bench".as_ref(),
        "--daemon".as_ref(),
        built.daemon.as_ref(),
        "--plugins".as_ref(),
        built.plugins.as_ref(),
        "--inside".as_ref(),
        folder.path().as_ref(),
    ];
    if let Ok(root) = &unpacked {
        inner.extend([std::ffi::OsStr::new("--fail2ban"), root.as_ref()]);
    }
    inner.extend(args.quick.then_some(std::ffi::OsStr::new("--quick")));
    inner.extend(args.json.then_some(std::ffi::OsStr::new("--json")));
    if namespaces::enter(&inner)? {
        Ok(())
    } else {
        Err("not everything was measured".into())
    }
}

fn inside(args: &Args, folder: &Path, built: &Built) -> Result<(), Failure> {
    let _inside = namespaces::end_with_outer(folder)?;
    namespaces::hide_folders(&["/run"])?;
    Run::new("ip").args(["link", "set", "lo", "up"]).succeed()?;
    let sizes = if args.quick { QUICK } else { FULL };
    let theirs = args.fail2ban.as_deref().map(Fail2ban::at);
    let lab = Lab {
        folder,
        built,
        sizes,
        theirs: theirs.as_ref(),
    };
    let mut report = Report::new(theirs.as_ref().and_then(Fail2ban::version));
    throughput::measure(&lab, &mut report);
    latency::measure(&lab, &mut report);
    memory::measure(&lab, &mut report);
    restore::measure(&lab, &mut report);
    report.print(args.json);
    Ok(())
}

/// What the measurements have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lab<'a> {
    /// On a real disk; emptied when we are done.
    folder: &'a Path,
    built: &'a Built,
    sizes: Sizes,
    theirs: Option<&'a Fail2ban>,
}

impl Lab<'_> {
    /// A new folder in ours.
    fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    fn theirs(&self) -> Result<&Fail2ban, Failure> {
        Ok(self.theirs.ok_or("fail2ban is not there")?)
    }
}
