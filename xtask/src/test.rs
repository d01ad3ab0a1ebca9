//! Runs all tests: `cargo xtask test`, which is also what continuous integration runs.
//!
//! Every step is run, also after one that failed, so that one run shows everything. All of them build
//! with the profile `dev` and the features of the whole workspace, so that nothing that we depend on
//! is compiled twice.

mod count;

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::lab::packages::{self, Needed};
use crate::run::Run;
use crate::toolchain::Choice;
use crate::{Failure, freebsd, plugins, say, workspace};
use count::Count;

/// What tests start, beside what every Debian has. The demo asks for its own.
const PROGRAMS: [Needed; 10] = [
    Needed {
        program: "fail2ban-client",
        package: "fail2ban",
    },
    Needed {
        program: "nft",
        package: "nftables",
    },
    Needed {
        program: "iptables",
        package: "iptables",
    },
    Needed {
        program: "ipset",
        package: "ipset",
    },
    Needed {
        program: "ufw",
        package: "ufw",
    },
    Needed {
        program: "ip",
        package: "iproute2",
    },
    Needed {
        program: "ping",
        package: "iputils-ping",
    },
    Needed {
        program: "unshare",
        package: "util-linux",
    },
    Needed {
        program: "journalctl",
        package: "systemd",
    },
    Needed {
        program: "../lib/systemd/systemd-journal-remote",
        package: "systemd-journal-remote",
    },
];

/// Tests fail instead of being skipped where something that they need is missing.
const MUST_RUN: (&str, &str) = ("STOCKADE_TESTS_MUST_RUN", "1");

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave a step out; may be repeated
    #[arg(long, value_enum, value_name = "STEP")]
    skip: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// The code is formatted
    Fmt,
    /// Clippy finds nothing
    Clippy,
    /// The documentation builds without a warning
    Doc,
    /// The stock plugins build as components
    Plugins,
    /// The daemon and all tests build
    Build,
    /// The native crates build for FreeBSD
    Freebsd,
    /// All tests but those in documentation
    Tests,
    /// The examples in documentation
    Doctests,
    /// The demo shows all that it promises
    Demo,
}

/// A step may use what an earlier one built. The tests come last, so that their failures and their
/// summary are what is seen at the end.
const STEPS: [Step; 9] = [
    Step::Fmt,
    Step::Clippy,
    Step::Doc,
    Step::Plugins,
    Step::Build,
    Step::Freebsd,
    Step::Doctests,
    Step::Demo,
    Step::Tests,
];

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    packages::ensure(&PROGRAMS)?;
    let target = workspace::target_dir()?;
    let mut all = Count::default();
    let mut told = Vec::new();
    for step in STEPS.into_iter().filter(|step| !args.skip.contains(step)) {
        let name = step.name();
        say(format_args!("==> {name}"));
        let begin = now();
        let count = step.run(&target).unwrap_or_else(|failure| {
            crate::complain(failure.as_ref());
            Count::FAILED
        });
        let seconds = begin.elapsed().as_secs();
        let word = if count.failed == 0 { "ok" } else { "FAILED" };
        let line = format!("{word:<6} {name:<9} {seconds:>5} s  {count}");
        say(format_args!("==> {line}"));
        told.push(line);
        all += count;
    }
    say("");
    for line in told {
        say(line);
    }
    say(all);
    if all.failed == 0 {
        Ok(())
    } else {
        Err("tests failed, see above".into())
    }
}

impl Step {
    fn name(self) -> String {
        use clap::ValueEnum;
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// A step that is no set of tests counts as one.
    fn run(self, target: &Path) -> Result<Count, Failure> {
        let cargo = |arguments: &[&str]| Run::cargo().args(arguments).in_dir(workspace::root());
        match self {
            Self::Fmt => cargo(&["fmt", "--all", "--check"]).succeed()?,
            Self::Clippy => cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "--deny=warnings",
            ])
            .succeed()?,
            Self::Doc => cargo(&[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ])
            .env("RUSTDOCFLAGS", "--deny=warnings")
            .succeed()?,
            Self::Plugins => plugins::build(None, Choice::Auto)?
                .into_iter()
                .for_each(say),
            // With the tests' features, so that the daemon is not built a second time for them.
            Self::Build => cargo(&["build", "--workspace", "--bins", "--tests"]).succeed()?,
            Self::Freebsd => say(freebsd::build(target, freebsd::PROFILE)?),
            Self::Tests => return tests(target),
            Self::Doctests => {
                return count::cargo_test(cargo(&[
                    "test",
                    "--workspace",
                    "--doc",
                    "--no-fail-fast",
                ]));
            }
            Self::Demo => cargo(&["run", "--quiet", "--package=xtask", "--", "demo"])
                .arg("--daemon")
                .arg(daemon(target))
                .arg("--plugins")
                .arg(target.join("plugins"))
                .succeed()?,
        }
        Ok(Count::PASSED)
    }
}

/// Runs the tests with cargo-nextest, which is faster and whose summary is better to read; with cargo
/// alone where that cannot be had.
fn tests(target: &Path) -> Result<Count, Failure> {
    let with = |run: Run| {
        run.in_dir(workspace::root())
            .env(MUST_RUN.0, MUST_RUN.1)
            .env("STOCKADE_PLUGIN_DIR", target.join("plugins"))
            .env("STOCKADE_BIN", daemon(target))
    };
    if has_nextest() {
        return count::nextest(with(Run::cargo().args([
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
        ])));
    }
    let all = [
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--no-fail-fast",
    ];
    count::cargo_test(with(Run::cargo().args(all)))
}

fn has_nextest() -> bool {
    let there = || Run::cargo().args(["nextest", "--version"]).read().is_ok();
    if there() {
        return true;
    }
    say("installing cargo-nextest");
    let installed = Run::cargo()
        .args(["install", "--locked", "cargo-nextest"])
        .succeed();
    if let Err(failure) = installed {
        say(format_args!("{failure}; going on with 'cargo test'"));
    }
    there()
}

fn daemon(target: &Path) -> PathBuf {
    target.join("debug").join("stockade")
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "tells how long a step took")]
    Instant::now()
}
