//! What hostile lines cost: `cargo xtask bench hostile` runs it.
//!
//! Every filter of ours that has patterns, and every one of an installed fail2ban in all its modes,
//! judges lines of many lengths that were made to be a burden: its own samples with a long run of some
//! text at some of their words, and repetitions of them. Told is the CPU time of the dearest line.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};
use stockade_config::fail2ban::{ResolvedFilter, Tree, Written};
use stockade_config::{Located, load_filter, read_filter_file};
use stockade_conformance::{NOW, PACKAGE};
use stockade_detect::{DatePattern, Dialect, Filter, FilterSource, LINE_LEN_MAX, Outcome};

/// What a hostile line may cost.
const BUDGET_MS: f64 = 10.0;
/// Samples of each filter that are made hostile, evenly taken.
const SAMPLES_MAX: usize = 6;
/// Places in each of them where something is repeated.
const PLACES_MAX: usize = 6;
/// How long the lines are; what a pattern may do depends on it, so the limits themselves are tried.
const LENGTHS: [usize; 6] = [256, 1024, 4096, 8191, 16_383, LINE_LEN_MAX - 1];
/// What is repeated.
const FILLERS: [&str; 12] = [
    " ", "a", "0", "\"", "\\", "a ", "from ", "1.2.3.4 ", "::", "a=b, ", "[x] ", "é",
];
/// Modes of fail2ban's filters.
const MODES: [&str; 9] = [
    "",
    "normal",
    "ddos",
    "extra",
    "aggressive",
    "more",
    "rbl",
    "auth",
    "errors",
];

/// Measures what hostile lines cost the filters of ours and of an installed fail2ban
#[derive(Debug, Parser)]
#[command(name = "hostile")]
struct Args {
    /// The configuration folder of fail2ban, with filter.d in it
    #[arg(long, value_name = "DIR", default_value = "/etc/fail2ban")]
    fail2ban: PathBuf,
    /// The folder with our own filters, and that with their samples
    #[arg(long, value_names = ["DIR", "DIR"], num_args = 2)]
    ours: Option<Vec<PathBuf>>,
    /// Only these filters
    #[arg(value_name = "FILTER")]
    only: Vec<String>,
}

/// A filter and honest lines of its log.
struct Subject {
    name: String,
    filter: Filter,
    samples: Vec<Vec<u8>>,
}

/// The dearest line of a filter.
#[derive(Debug, Default)]
struct Cost {
    ms: f64,
    how: String,
    gave_up: usize,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            #[expect(clippy::print_stderr, reason = "this is what a program is for")]
            {
                eprintln!("hostile: {why}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints a table and returns how many filters cost too much.
#[expect(clippy::print_stdout, reason = "this is what a program is for")]
fn run(args: &Args) -> Result<usize, Box<dyn Error>> {
    let mut subjects = theirs(&args.fail2ban)?;
    if let Some([filters, samples]) = args.ours.as_deref() {
        subjects.extend(ours(filters, samples)?);
    }
    if !args.only.is_empty() {
        subjects.retain(|subject| {
            let name = subject.name.split('[').next().unwrap_or_default();
            args.only.iter().any(|only| only == name)
        });
    }
    let mut over = 0;
    for subject in &subjects {
        let cost = cost(subject);
        over += usize::from(cost.ms > BUDGET_MS);
        let mark = if cost.ms > BUDGET_MS { "OVER" } else { "" };
        println!(
            "{:32} {:8.2} ms {:4} gave up {mark:4} {}",
            subject.name, cost.ms, cost.gave_up, cost.how
        );
    }
    println!("{} filters, {over} over {BUDGET_MS} ms", subjects.len());
    Ok(over)
}

fn cost(subject: &Subject) -> Cost {
    let mut worst = Cost::default();
    let lines = LENGTHS.map(|len| hostile_lines(&subject.samples, len));
    for (how, line) in lines.into_iter().flatten() {
        let mut outcome = Outcome::Missed;
        let mut explain = || outcome = subject.filter.explain(&line, NOW, &TimeZone::UTC).outcome;
        let mut ms = milliseconds(&mut explain);
        if ms > worst.ms {
            // What the first line makes for all others does not count.
            ms = ms
                .min(milliseconds(&mut explain))
                .min(milliseconds(explain));
        }
        worst.gave_up += usize::from(matches!(outcome, Outcome::GaveUp { .. }));
        if ms > worst.ms {
            worst.ms = ms;
            worst.how = how;
        }
    }
    worst
}

/// CPU time of this thread: other programs on the machine do not count.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

fn milliseconds(act: impl FnOnce()) -> f64 {
    let before = cpu();
    act();
    cpu().saturating_sub(before).as_secs_f64() * 1e3
}

/// Lines of `len` bytes at most, and what was done to them.
fn hostile_lines(samples: &[Vec<u8>], len: usize) -> Vec<(String, Vec<u8>)> {
    let mut lines = Vec::new();
    let step = samples.len().div_ceil(SAMPLES_MAX).max(1);
    for (i, sample) in samples.iter().enumerate().step_by(step) {
        let room = len.saturating_sub(sample.len());
        let whole = sample.repeat(len / sample.len().max(1));
        lines.push((format!("sample {i} repeated, {len}"), whole));
        let words: Vec<usize> = (1..sample.len())
            .filter(|&at| {
                let word = |at: usize| sample.get(at).is_some_and(u8::is_ascii_alphanumeric);
                word(at - 1) != word(at)
            })
            .collect();
        let step = words.len().div_ceil(PLACES_MAX).max(1);
        for &at in words.iter().step_by(step) {
            for filler in FILLERS {
                let (before, after) = sample.split_at(at);
                let run = filler.as_bytes().repeat(room / filler.len());
                let line = [before, run.as_slice(), after].concat();
                lines.push((format!("{filler:?} at {at} of sample {i}, {len}"), line));
            }
        }
    }
    lines
}

fn lines_of(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read(path).unwrap_or_default();
    let lines = text.split(|&byte| byte == b'\n');
    lines
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(<[u8]>::to_vec)
        .collect()
}

fn names(dir: &Path, ending: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|why| format!("{}: {why}", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(ending).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// fail2ban's filters, each in every mode that makes other patterns of it.
fn theirs(dir: &Path) -> Result<Vec<Subject>, Box<dyn Error>> {
    let tree = Tree::read(dir);
    let mut subjects = Vec::new();
    for name in names(&dir.join("filter.d"), ".conf")? {
        let samples = lines_of(&Path::new(PACKAGE).join("tests/files/logs").join(&name));
        let mut seen = BTreeSet::new();
        for mode in MODES {
            let options = match mode {
                "" => Vec::new(),
                mode => vec![("mode".to_owned(), mode.to_owned())],
            };
            let Ok(resolved) = tree.filter(&name, &options) else {
                continue;
            };
            let source = source(&resolved);
            if source.failregex.is_empty() || !seen.insert(source.failregex.clone()) {
                continue;
            }
            if let Ok(filter) = Filter::compile(&source) {
                subjects.push(Subject {
                    name: format!("{name}[{mode}]"),
                    filter,
                    samples: samples.clone(),
                });
            }
        }
    }
    Ok(subjects)
}

fn source(resolved: &ResolvedFilter) -> FilterSource {
    let texts = |all: &[Written]| all.iter().map(|one| one.as_str().to_owned()).collect();
    let prefregex = resolved.prefregex.as_ref();
    FilterSource {
        prefregex: prefregex.map(|one| one.as_str().to_owned()),
        failregex: texts(&resolved.failregex),
        ignoreregex: texts(&resolved.ignoreregex),
        datepattern: match resolved.datepattern.as_deref() {
            None | Some([]) => DatePattern::Templates(vec!["{DEFAULT}".to_owned()]),
            Some(templates) => DatePattern::Templates(texts(templates)),
        },
        dialect: Dialect::Fail2ban,
        maxlines: match resolved.maxlines {
            Some(Located { value, .. }) => value,
            None => 1,
        },
        ..FilterSource::default()
    }
}

fn ours(filters: &Path, samples: &Path) -> Result<Vec<Subject>, Box<dyn Error>> {
    let mut subjects = Vec::new();
    for name in names(filters, ".toml")? {
        let path = filters.join(format!("{name}.toml"));
        let file = read_filter_file(&path)?;
        let Some(settings) = load_filter(&file).filter else {
            return Err(format!("{} cannot be used", path.display()).into());
        };
        let text = |located: &Located<String>| located.value.clone();
        let source = FilterSource {
            prefregex: settings.prefregex.as_ref().map(text),
            failregex: settings.failregex.iter().map(text).collect(),
            ignoreregex: settings.ignoreregex.iter().map(text).collect(),
            ..FilterSource::default()
        };
        // Of JSON entries a parser reads each byte once; their conditions are no patterns.
        if source.failregex.is_empty() {
            continue;
        }
        if let Ok(filter) = Filter::compile(&source) {
            subjects.push(Subject {
                samples: lines_of(&samples.join(format!("{name}.log"))),
                name,
                filter,
            });
        }
    }
    Ok(subjects)
}
