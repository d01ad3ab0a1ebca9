//! A stockade that runs with the stock configuration and one file laid over it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::clock;
use super::process::Process;
use crate::run::Run;
use crate::{Failure, workspace};

/// How long a command of it may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to start; compiling plugins takes the most of it.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Where it keeps what, and what it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) program: &'a Path,
    /// A folder of its own: configuration and state.
    pub(crate) folder: &'a Path,
    /// The configuration, in `folder`; where there is none, the stock one is put there.
    pub(crate) config: Option<&'a Path>,
    /// The file that is laid over it.
    pub(crate) dropin: &'a str,
}

/// A running one.
#[derive(Debug)]
pub(crate) struct Stockade {
    process: Process,
    program: PathBuf,
    config: PathBuf,
}

impl Stockade {
    /// Starts it and waits until all its parts work. Each line of its log goes to `log`.
    pub(crate) fn start(
        settings: &Settings<'_>,
        mut log: impl FnMut(String) + Send + 'static,
    ) -> Result<Self, Failure> {
        let config = match settings.config {
            Some(config) => config.to_owned(),
            None => {
                let config = settings.folder.join("stockade.toml");
                fs::copy(workspace::root().join("config/stockade.toml"), &config)?;
                config
            }
        };
        let dropins = config.with_file_name("stockade.d");
        fs::create_dir_all(&dropins)?;
        fs::write(dropins.join("lab.toml"), settings.dropin)?;
        let run = Run::new(settings.program)
            .args(["run", "--config"])
            .arg(&config)
            .arg("--state-dir")
            .arg(settings.folder.join("state"));
        let mut process = Process::start(run)?;
        let stderr = BufReader::new(process.take_stderr()?);
        std::thread::spawn(move || {
            stderr.split(b'\n').map_while(Result::ok).for_each(|line| {
                log(String::from_utf8_lossy(&line).into_owned());
            });
        });
        let program = settings.program.to_owned();
        let mut stockade = Self {
            process,
            program,
            config,
        };
        stockade.wait_until_ready()?;
        Ok(stockade)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let mut last = Value::Null;
        let ready = clock::wait_for(READY_WITHIN, || {
            last = self.status().unwrap_or_default();
            all_are_well(&last) || !self.process.runs()
        });
        if !self.process.runs() {
            return Err("stockade ended while it started".into());
        }
        if ready {
            return Ok(());
        }
        Err(format!("stockade was not ready after {READY_WITHIN:?}: {last}").into())
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What `stockade ARGS` prints.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<String, Failure> {
        let run = Run::new(&self.program)
            .args(args)
            .arg("--config")
            .arg(&self.config);
        let ended = Process::start(run)?.finish(ANSWER_WITHIN)?;
        ended.output(&format!("stockade {}", args.join(" ")))
    }

    /// What `stockade ARGS --json` prints.
    pub(crate) fn ask_json(&self, args: &[&str]) -> Result<Value, Failure> {
        let text = self.ask(&[args, &["--json"]].concat())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// How it is.
    pub(crate) fn status(&self) -> Result<Value, Failure> {
        self.ask_json(&["status"])
    }

    /// Waits for its end after it was told to stop; whether it ended well.
    pub(crate) fn ends(&mut self) -> bool {
        self.process
            .wait(STOP_WITHIN)
            .is_some_and(|status| status.success())
    }

    /// Stops it.
    pub(crate) fn stop(self) {
        self.process.stop(STOP_WITHIN);
    }
}

/// Whether every part of a status is in the state that it should be in.
fn all_are_well(status: &Value) -> bool {
    let states = |part: &str| {
        let entries = status.get(part).and_then(Value::as_array)?;
        let state = |entry: &Value| {
            entry
                .get("state")
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        entries.iter().map(state).collect::<Option<Vec<_>>>()
    };
    let all =
        |part, wanted| states(part).is_some_and(|found| found.iter().all(|state| state == wanted));
    // The stock jail names the log files of several systems, and only one of them is there.
    let sources = states("sources").unwrap_or_default();
    let reads = sources.iter().any(|state| state == "ok")
        && sources
            .iter()
            .all(|state| matches!(state.as_str(), "ok" | "waiting"));
    // A stock jail that is on where its log exists waits for that.
    let jails = states("jails").unwrap_or_default();
    let protects = jails.iter().any(|state| state == "ok")
        && jails
            .iter()
            .all(|state| matches!(state.as_str(), "ok" | "waiting"));
    protects && reads && all("plugins", "running")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_ready_when_it_reads_something_and_nothing_has_failed() {
        let status = |source: &str| {
            json!({
                "jails": [{"state": "ok"}, {"state": "waiting"}],
                "sources": [{"state": "waiting"}, {"state": source}],
                "plugins": [{"state": "running"}],
            })
        };
        assert!(all_are_well(&status("ok")));
        assert!(!all_are_well(&status("waiting")));
        assert!(!all_are_well(&status("failed")));
        assert!(!all_are_well(&Value::Null));
    }
}
