//! Holds stockade to fail2ban's own samples. `cargo xtask conformance` runs it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use stockade_conformance::{
    Differential, NOW, Oracle, Ours, PACKAGE, Report, Setup, Subjects, ZONE, check, zone,
};

/// Judges the annotated sample lines of an installed fail2ban by its filters
#[derive(Debug, Parser)]
#[command(name = "stockade-conformance")]
struct Args {
    /// The configuration folder of fail2ban, with filter.d in it
    #[arg(long, value_name = "DIR", default_value = "/etc/fail2ban")]
    filters: PathBuf,
    /// The folder with a sample file for each filter
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
    /// The folder with another fail2ban's Python package 'fail2ban' in it
    #[arg(long, value_name = "DIR")]
    fail2ban: Option<PathBuf>,
    /// Let fail2ban itself judge, to see that the samples are read as it reads them
    #[arg(long, conflicts_with = "differential")]
    oracle: bool,
    /// Compare with fail2ban itself, over damaged samples and lines that its patterns describe
    #[arg(long)]
    differential: bool,
    /// How many lines are compared
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100_000,
        requires = "differential"
    )]
    lines: usize,
    /// What decides about the lines
    #[arg(long, value_name = "S", default_value_t = 1, requires = "differential")]
    seed: u64,
    /// Only these filters
    #[arg(value_name = "FILTER")]
    only: Vec<String>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            tell_failure(failure.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, Failure> {
    // Folders that are given as filter.d itself are meant as well.
    let filters = match args.filters.file_name() {
        Some(name) if name == "filter.d" => args.filters.parent().unwrap_or(&args.filters),
        _ => &args.filters,
    };
    let packaged = || PathBuf::from(PACKAGE).join("tests/files/logs");
    let samples = args.samples.clone().unwrap_or_else(packaged);
    let mut subjects = Subjects::find(filters, &samples).map_err(|cause| {
        format!(
            "cannot read the filters in '{}': {cause}",
            filters.display()
        )
    })?;
    if !args.only.is_empty() {
        let only = &args.only;
        subjects.list.retain(|subject| only.contains(&subject.name));
    }
    if subjects.list.is_empty() {
        return Err(format!("there are no filters in '{}'", filters.display()).into());
    }
    let place = filters.display();
    tell(format_args!("{} filters in '{place}'", subjects.list.len()));
    if args.differential {
        return differential(args, subjects, samples);
    }
    let mut report = Report::default();
    if args.oracle {
        let mut oracle = oracle(args)?;
        for subject in &subjects.list {
            check(&mut oracle, subject, &samples, &mut report);
        }
    } else {
        let mut ours = Ours::new(NOW, zone());
        for subject in &subjects.list {
            check(&mut ours, subject, &samples, &mut report);
        }
    }
    tell(&report);
    Ok(report.failures.is_empty())
}

fn differential(args: &Args, subjects: Subjects, samples: PathBuf) -> Result<bool, Failure> {
    let (version, seed) = (oracle(args)?.version().to_owned(), args.seed);
    tell(format_args!("fail2ban {version}, seed {seed}"));
    let differential = Differential {
        subjects: subjects.list.clone(),
        samples,
        lines: args.lines,
        seed,
        now: NOW.as_micros() / 1_000_000,
    };
    let comparison = differential.run(&setup(args), &zone())?;
    tell(&comparison);
    Ok(comparison.is_clean())
}

fn oracle(args: &Args) -> Result<Oracle, Failure> {
    Ok(Oracle::start(&setup(args))?)
}

fn setup(args: &Args) -> Setup {
    Setup {
        now: NOW,
        zone: ZONE.to_owned(),
        tree: args.fail2ban.clone(),
    }
}

#[expect(clippy::print_stdout, reason = "this is a command line tool")]
fn tell(text: impl std::fmt::Display) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "this is a command line tool")]
fn tell_failure(failure: &dyn std::error::Error) {
    eprintln!("stockade-conformance: {failure}");
    let mut cause = failure.source();
    while let Some(inner) = cause {
        eprintln!("  caused by: {inner}");
        cause = inner.source();
    }
}
