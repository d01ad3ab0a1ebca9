//! Measures a filter: `cargo run --release -p stockade-plugins --example evaluate_speed -- FILE.wasm LOG`
//! prints how long loading takes, cold and from the cache, and the CPU time that judging a line of LOG
//! costs. The
//! lines are handed over as they are, without the host's own matching before.

#![expect(clippy::print_stdout, reason = "a program for people")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use stockade_core::PluginName;
use stockade_core::Timestamp;
use stockade_plugins::{
    ComponentSource, FilterBatch, FilterPlugin, Grants, HostOptions, Limits, PluginHost,
    PluginSpec, Pushed, Role,
};

/// Long enough that the clock and the caches do not matter.
const MEASURED: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(plugin), Some(log)) = (args.next(), args.next()) else {
        return Err("give a component and a log".into());
    };
    let cache = std::env::temp_dir().join(format!("evaluate-speed-{}", std::process::id()));
    let (_, cold) = load(&plugin, &cache)?;
    let (mut filter, warm) = load(&plugin, &cache)?;
    std::fs::remove_dir_all(&cache)?;
    println!("load: {cold:.2?} cold, {warm:.2?} from the cache");
    let batches = batches(&std::fs::read(log)?);
    let lines: usize = batches.iter().map(FilterBatch::len).sum();
    let begin = cpu();
    let (mut rounds, mut findings) = (0_u32, 0);
    while cpu().saturating_sub(begin) < MEASURED {
        findings = batches
            .iter()
            .map(|batch| filter.evaluate(batch).findings.len())
            .sum();
        rounds = rounds.saturating_add(1);
    }
    let each = cpu()
        .saturating_sub(begin)
        .checked_div(rounds)
        .unwrap_or_default();
    let nanos = each
        .as_nanos()
        .checked_div(u128::try_from(lines)?)
        .unwrap_or_default();
    println!("evaluate: {nanos} ns a line ({lines} lines, {findings} findings, {rounds} rounds)");
    Ok(())
}

/// CPU time of this thread: on a busy machine wall time would say little.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(secs, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn load(plugin: &str, cache: &Path) -> Result<(FilterPlugin, Duration), Box<dyn Error>> {
    let options = HostOptions {
        cache_dir: Some(cache.to_owned()),
        ..HostOptions::default()
    };
    let host = PluginHost::new(options)?;
    let spec = PluginSpec {
        name: PluginName::try_new("measured")?,
        component: ComponentSource::File(plugin.into()),
        grants: Grants {
            log: true,
            clock: true,
            ..Grants::default()
        },
        limits: Limits::of(Role::Filter),
        settings: Vec::new(),
    };
    let begin = Instant::now();
    let filter = host.load_filter(spec)?;
    Ok((filter, begin.elapsed()))
}

fn batches(log: &[u8]) -> Vec<FilterBatch> {
    let mut batches = Vec::new();
    let mut batch = FilterBatch::new();
    for line in log
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        if batch.push(line, Timestamp::EPOCH, 0) == Pushed::Full {
            batches.push(std::mem::take(&mut batch));
            // An empty batch takes any line.
            let _pushed = batch.push(line, Timestamp::EPOCH, 0);
        }
    }
    batches.push(batch);
    batches
}
