//! Shows the main job with real programs: `cargo xtask demo`.
//!
//! The outer part builds and makes namespaces; the inner part, which is this program again, plays in
//! them: [`stage`] sets everything up, [`play`] is what happens, [`story`] is what is told of it.

mod logins;
mod play;
mod sshd;
mod stage;
mod story;

use std::path::{Path, PathBuf};

use crate::lab::build::{self, Built};
use crate::lab::namespaces;
use crate::lab::packages::{self, Needed};
use crate::{Failure, say};

const PROGRAMS: [Needed; 6] = [
    Needed {
        program: "sshd",
        package: "openssh-server",
    },
    Needed {
        program: "ssh",
        package: "openssh-client",
    },
    Needed {
        program: "sshpass",
        package: "sshpass",
    },
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
    #[command(flatten)]
    build: build::Choice,
    /// Play in this folder; set where this program starts itself again in namespaces
    #[arg(long, value_name = "DIR", hide = true, requires = "daemon")]
    inside: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match (&args.inside, args.build.given()?) {
        (Some(folder), Some(built)) => inside(folder, &built),
        _ => outside(&args.build),
    }
}

fn outside(build: &build::Choice) -> Result<(), Failure> {
    packages::ensure(&PROGRAMS)?;
    let built = build.built(|line| say(line))?;
    let folder = tempfile::Builder::new()
        .prefix("demo-")
        .tempdir_in(&built.scratch)?;
    let succeeded = namespaces::enter(&[
        "demo".as_ref(),
        "--daemon".as_ref(),
        built.daemon.as_ref(),
        "--plugins".as_ref(),
        built.plugins.as_ref(),
        "--inside".as_ref(),
        folder.path().as_ref(),
    ])?;
    if succeeded {
        Ok(())
    } else {
        Err("the demo failed, see above".into())
    }
}

fn inside(folder: &Path, built: &Built) -> Result<(), Failure> {
    let _inside = namespaces::end_with_outer(folder)?;
    let (stage, mut story) = stage::Stage::set(folder, built)?;
    let checks = play::play(stage, &mut story);
    say("");
    for check in &checks {
        match &check.missed {
            None => say(format_args!("  observed      {}", check.what)),
            Some(why) => say(format_args!("  NOT OBSERVED  {}: {why}", check.what)),
        }
    }
    let missed = checks.iter().filter(|check| check.missed.is_some()).count();
    if missed == 0 {
        return Ok(());
    }
    story.show_logs();
    Err(format!("{missed} of {} were not observed", checks.len()).into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn what_can_be_typed_fits_together() {
        crate::Cli::command().debug_assert();
    }
}
