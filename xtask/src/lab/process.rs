//! Processes that end when we do: killed by their id when they are dropped, and all of them when we
//! are told to give up.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, set_child_subreaper,
    waitid, waitpid,
};

use super::clock;
use crate::Failure;
use crate::run::Run;

/// The ids of all processes that run for us.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Kills every process that still runs for us; for the way out that drops nothing.
pub(crate) fn kill_all() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for pid in running.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        kill(pid, Signal::KILL);
    }
}

/// Takes over the children of our children when those end, so that [`kill_family`] finds them.
pub(crate) fn adopt_orphans() -> Result<(), Failure> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Kills all our children, and theirs once they are ours: an sshd leaves its sessions behind.
pub(crate) fn kill_family() {
    /// The kernel needs milliseconds; whatever lasts longer than that hangs in it.
    const GONE_WITHIN: Duration = Duration::from_secs(5);
    kill_all();
    clock::wait_for(GONE_WITHIN, || {
        let children = children();
        for child in &children {
            kill(*child, Signal::KILL);
            reap(*child);
        }
        children.is_empty()
    });
}

/// Whether it was ours to wait for, here rather than by whoever started it.
fn reap(pid: Pid) -> bool {
    waitpid(Some(pid), WaitOptions::NOHANG).is_ok()
}

/// The children of all our threads (proc(5), `task/TID/children`).
fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let ids: Vec<i32> = lists
        .flat_map(|list| list.split(' ').flat_map(str::parse).collect::<Vec<_>>())
        .collect();
    ids.into_iter().filter_map(Pid::from_raw).collect()
}

/// Whether there was such a process; where not, it has ended by itself, which is all that is wanted.
fn kill(pid: Pid, signal: Signal) -> bool {
    kill_process(pid, signal).is_ok()
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
}

/// How a process ended and what it wrote.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    /// How it ended, for messages.
    pub(crate) status: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts it with pipes for all its input and output.
    pub(crate) fn start(run: Run) -> Result<Self, Failure> {
        // Held while it starts, so that `kill_all` misses none.
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let child = run.start()?;
        let raw = i32::try_from(child.id())?;
        let pid = Pid::from_raw(raw).ok_or("a process has the id 0")?;
        running.insert(raw);
        Ok(Self { child, pid })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn take_stdin(&mut self) -> Result<ChildStdin, Failure> {
        Ok(self.child.stdin.take().ok_or("its input was taken")?)
    }

    pub(crate) fn take_stdout(&mut self) -> Result<ChildStdout, Failure> {
        Ok(self.child.stdout.take().ok_or("its output was taken")?)
    }

    pub(crate) fn take_stderr(&mut self) -> Result<ChildStderr, Failure> {
        Ok(self.child.stderr.take().ok_or("its errors were taken")?)
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, for `limit` at most.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        clock::wait_for(limit, || !self.runs());
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end like [`Process::wait`], but leaves it to be looked at: what it has used can
    /// still be read then.
    pub(crate) fn wait_for_last_look(&self, limit: Duration) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        clock::wait_for(limit, || {
            matches!(waitid(WaitId::Pid(self.pid), options), Ok(Some(_)))
        })
    }

    /// Asks it to end (SIGTERM) and waits; it is killed when it does not.
    pub(crate) fn stop(mut self, limit: Duration) {
        kill(self.pid, Signal::TERM);
        self.wait(limit);
    }

    /// Waits for its end, killing it after `limit`, and returns what it wrote.
    pub(crate) fn finish(self, limit: Duration) -> Result<Ended, Failure> {
        self.finish_after(|process| {
            process.wait(limit);
        })
        .map(|(ended, ())| ended)
    }

    /// Closes its input, if nobody has taken that, and returns what it wrote and what `look` returns,
    /// which is to wait for its end; it is killed if it has not ended after that.
    pub(crate) fn finish_after<T>(
        mut self,
        look: impl FnOnce(&mut Self) -> T,
    ) -> Result<(Ended, T), Failure> {
        drop(self.child.stdin.take());
        let stdout = collect(self.take_stdout()?);
        let stderr = collect(self.take_stderr()?);
        let seen = look(&mut self);
        let status = self.wait(Duration::ZERO);
        // Closes the pipes, so that the readers end.
        drop(self);
        let text = |reader: std::thread::JoinHandle<Vec<u8>>| {
            let bytes = reader.join().unwrap_or_default();
            String::from_utf8_lossy(&bytes).trim_end().to_owned()
        };
        let ended = Ended {
            success: status.is_some_and(|status| status.success()),
            status: status.map_or_else(
                || "it took too long".to_owned(),
                |status| status.to_string(),
            ),
            stdout: text(stdout),
            stderr: text(stderr),
        };
        Ok((ended, seen))
    }
}

impl Ended {
    /// What it wrote to standard output, or why it failed.
    pub(crate) fn output(self, what: &str) -> Result<String, Failure> {
        if self.success {
            return Ok(self.stdout);
        }
        Err(format!("{what} failed: {}: {}", self.status, self.stderr).into())
    }
}

/// Reads everything on a thread of its own, so that a full pipe stops nobody.
fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is shown; there is nobody to tell of the error itself.
        drop(from.read_to_end(&mut bytes));
        bytes
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.runs() {
            kill(self.pid, Signal::KILL);
        }
        // Reaps it; the id may be used again only after that.
        drop(self.child.wait());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.pid.as_raw_nonzero().get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_with_its_guard() {
        let process = Process::start(Run::new("cat")).unwrap();
        let stat = format!("/proc/{}/stat", process.id());
        assert!(std::path::Path::new(&stat).exists());
        drop(process);
        assert!(!std::path::Path::new(&stat).exists());
    }

    #[test]
    fn what_it_wrote_and_how_it_ended_is_returned() {
        let run = Run::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]);
        let ended = Process::start(run)
            .unwrap()
            .finish(Duration::from_secs(60))
            .unwrap();
        assert!(!ended.success);
        assert_eq!(ended.status, "exit status: 3");
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("out", "err")
        );
    }

    #[test]
    fn one_that_takes_too_long_is_killed() {
        let ended = Process::start(Run::new("sleep").arg("600"))
            .unwrap()
            .finish(Duration::ZERO)
            .unwrap();
        assert!(!ended.success);
        assert_eq!(ended.status, "it took too long");
    }
}
