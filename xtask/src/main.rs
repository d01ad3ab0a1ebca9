//! Chores of the project: `cargo xtask COMMAND`.

#[cfg(target_os = "linux")]
mod bench;
mod component;
#[cfg(target_os = "linux")]
mod conformance;
#[cfg(target_os = "linux")]
mod demo;
#[cfg(target_os = "linux")]
mod freebsd;
#[cfg(target_os = "linux")]
mod lab;
mod plugins;
mod run;
#[cfg(target_os = "linux")]
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Why a chore did not do what was asked, for whoever started it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of the project", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the stock plugins as components
    Plugins(plugins::Args),
    /// Make a component of a core module that was built for wasm32-unknown-unknown
    Component(component::Args),
    /// Run all tests, and install what they need
    #[cfg(target_os = "linux")]
    Test(test::Args),
    /// Build the native crates for FreeBSD
    #[cfg(target_os = "linux")]
    Freebsd(freebsd::Args),
    /// Judge fail2ban's own samples by its filters, and compare with what they say
    #[cfg(target_os = "linux")]
    Conformance(conformance::Args),
    /// Show a real attacker being banned, in namespaces of its own
    #[cfg(target_os = "linux")]
    Demo(demo::Args),
    /// Measure the daemon against Debian's fail2ban, in namespaces of their own
    #[cfg(target_os = "linux")]
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Plugins(args) => plugins::run(&args),
        Command::Component(args) => component::run(&args),
        #[cfg(target_os = "linux")]
        Command::Test(args) => test::run(&args),
        #[cfg(target_os = "linux")]
        Command::Freebsd(args) => freebsd::run(&args),
        #[cfg(target_os = "linux")]
        Command::Conformance(args) => conformance::run(&args),
        #[cfg(target_os = "linux")]
        Command::Demo(args) => demo::run(&args),
        #[cfg(target_os = "linux")]
        Command::Bench(args) => bench::run(&args),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    complain(failure.as_ref());
    ExitCode::FAILURE
}

/// Shows a failure and what caused it.
#[expect(clippy::print_stderr, reason = "this is a command line tool")]
fn complain(failure: &dyn std::error::Error) {
    eprintln!("xtask: {failure}");
    let mut cause = failure.source();
    while let Some(inner) = cause {
        eprintln!("  caused by: {inner}");
        cause = inner.source();
    }
}

/// Shows one line of what a chore does or found.
#[expect(clippy::print_stdout, reason = "this is a command line tool")]
fn say(line: impl std::fmt::Display) {
    println!("{line}");
}
