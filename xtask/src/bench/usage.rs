//! What a process has used (proc(5)).

use std::fs;
use std::time::Duration;

use crate::Failure;
use crate::lab::clock;

/// Seconds of processor time of a process, all its threads, in its own and the kernel's code.
///
/// The kernel tells it twice: in ticks, of which the last is missing, and exactly, but without threads
/// that have ended. The larger one misses less.
pub(super) fn cpu_s(pid: u32) -> Result<f64, Failure> {
    // utime and stime.
    let in_ticks = ticks(&format!("/proc/{pid}/stat"), [14, 15])?;
    Ok(in_ticks.max(of_living_threads_s(pid).unwrap_or(0.0)))
}

fn of_living_threads_s(pid: u32) -> Result<f64, Failure> {
    let mut used = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let statistics = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanoseconds = statistics.split(' ').next().unwrap_or_default();
        used += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(used.as_secs_f64())
}

/// The same of all processes that we have started and waited for.
pub(super) fn children_cpu_s() -> Result<f64, Failure> {
    // cutime and cstime.
    ticks("/proc/self/stat", [16, 17])
}

fn ticks(file: &str, fields: [usize; 2]) -> Result<f64, Failure> {
    let stat = fs::read_to_string(file)?;
    sum_of(&stat, fields, rustix::param::clock_ticks_per_second())
}

fn sum_of(stat: &str, fields: [usize; 2], per_second: u64) -> Result<f64, Failure> {
    // The second field is the name in brackets, which may hold anything.
    let (_, rest) = stat
        .rsplit_once(") ")
        .ok_or("a process without a name in brackets")?;
    let mut ticks = 0_u32;
    for field in fields {
        // The rest begins with the third field.
        let text = rest
            .split(' ')
            .nth(field - 3)
            .ok_or("a process without times")?;
        ticks += text.parse::<u32>()?;
    }
    let per_second = u32::try_from(per_second)?;
    Ok(f64::from(ticks) / f64::from(per_second))
}

/// Mebibytes of memory: all that is mapped and present, and the same with what is shared counted in
/// parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    pub(super) rss_mib: f64,
    pub(super) pss_mib: f64,
}

/// Memory of a process once it is idle.
pub(super) fn idle_memory(pid: u32) -> Result<Memory, Failure> {
    /// Whoever uses less than that of the processor in this time does nothing.
    const IDLE_FOR: Duration = Duration::from_millis(500);
    const IDLE_USES_S: f64 = 0.01;
    const IDLE_WITHIN: Duration = Duration::from_secs(30);
    let mut last = f64::NEG_INFINITY;
    let idle = clock::wait_for(IDLE_WITHIN, || {
        let used = cpu_s(pid).unwrap_or(f64::INFINITY);
        let same = used - last < IDLE_USES_S;
        last = used;
        clock::pause(IDLE_FOR);
        same
    });
    if !idle {
        return Err("the process does not become idle".into());
    }
    memory_in(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?)
}

fn memory_in(rollup: &str) -> Result<Memory, Failure> {
    let mib = |name: &str| -> Result<f64, Failure> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u32 = kib.ok_or("no memory is told of the process")?.parse()?;
        Ok(f64::from(kib) / 1024.0)
    };
    Ok(Memory {
        rss_mib: mib("Rss:")?,
        pss_mib: mib("Pss:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 3 4 0";
        assert_eq!(sum_of(stat, [14, 15], 100).unwrap(), 2.0);
        assert_eq!(sum_of(stat, [16, 17], 100).unwrap(), 0.07);
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        let rollup =
            "00-ff ---p 00 00:00 0 [rollup]\nRss:   2048 kB\nPss:   1024 kB\nPss_Dirty: 1 kB\n";
        let memory = memory_in(rollup).unwrap();
        assert_eq!(
            memory,
            Memory {
                rss_mib: 2.0,
                pss_mib: 1.0
            }
        );
    }

    #[test]
    fn our_own_process_has_used_some_time_and_memory() {
        let pid = std::process::id();
        assert!(cpu_s(pid).unwrap() >= 0.0);
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        assert!(memory_in(&rollup).unwrap().rss_mib > 0.0);
    }
}
