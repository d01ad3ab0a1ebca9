//! Debian's fail2ban beside us: installed, or unpacked into a folder where it touches nothing.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::corpus::MAXRETRY;
use crate::Failure;
use crate::lab::process::Process;
use crate::lab::{clock, packages};
use crate::run::Run;

/// What is unpacked: it, and what lets it wait for changes of files instead of polling.
const PACKAGES: [&str; 2] = ["fail2ban", "python3-pyinotify"];
const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// An action that does nothing.
const NO_ACTION: &str = "[Definition]\n\
    actionstart =\nactionstop =\nactioncheck =\nactionban =\nactionunban =\n";

/// A fail2ban that can be started.
#[derive(Debug)]
pub(super) struct Fail2ban {
    /// `/` where it is installed.
    root: PathBuf,
}

/// The folder that fail2ban's files are under, `/` where it is installed; else it is fetched into
/// `folder`.
pub(super) fn find_or_fetch(folder: &Path) -> Result<PathBuf, Failure> {
    packages::find("python3").ok_or("fail2ban needs python3")?;
    if packages::find("fail2ban-server").is_some() {
        return Ok("/".into());
    }
    let unpacked = folder.join("unpacked");
    if !unpacked.join("usr/bin/fail2ban-server").exists() {
        fs::create_dir_all(folder)?;
        Run::new("apt-get")
            .arg("--quiet=2")
            .arg("download")
            .args(PACKAGES)
            .in_dir(folder)
            .read()?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                Run::new("dpkg").arg("-x").arg(path).arg(&unpacked).read()?;
            }
        }
    }
    Ok(unpacked)
}

impl Fail2ban {
    pub(super) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Which one it is.
    pub(super) fn version(&self) -> Option<String> {
        self.server().arg("--version").read().ok()
    }

    fn server(&self) -> Run {
        Run::new("python3")
            .arg(self.root.join("usr/bin/fail2ban-server"))
            .env(
                "PYTHONPATH",
                self.root.join("usr/lib/python3/dist-packages"),
            )
    }

    /// Starts it with one sshd jail that reads `log`, and waits until that is ready.
    pub(super) fn start(
        &self,
        folder: &Path,
        log: &Path,
        firewall: bool,
    ) -> Result<Running, Failure> {
        let action = if firewall { "" } else { "action = nothing\n" };
        let jails = format!(
            "[DEFAULT]\nbackend = auto\nusedns = no\nbanaction = nftables\n\
             maxretry = {MAXRETRY}\nfindtime = 1d\nbantime = 1d\n\n\
             [sshd]\nenabled = true\nport = ssh\nlogpath = {}\n{action}",
            log.display()
        );
        let config = self.configure(folder, &jails, &[])?;
        self.start_configured(folder, &config, "sshd")
    }

    /// Makes a copy of its configuration in `folder`, with these jails alone and these filters besides
    /// its own, and returns where it is.
    pub(super) fn configure(
        &self,
        folder: &Path,
        jails: &str,
        filters: &[(String, String)],
    ) -> Result<PathBuf, Failure> {
        let config = folder.join("etc");
        Run::new("cp")
            .arg("-r")
            .arg(self.root.join("etc/fail2ban"))
            .arg(&config)
            .succeed()?;
        // What is installed here may have jails of its own.
        fs::remove_dir_all(config.join("jail.d"))?;
        fs::write(config.join("action.d/nothing.conf"), NO_ACTION)?;
        for (name, text) in filters {
            fs::write(
                config.join("filter.d").join(name).with_extension("conf"),
                text,
            )?;
        }
        fs::write(
            config.join("fail2ban.local"),
            format!(
                "[Definition]\nlogtarget = {}\ndbfile = {}\n",
                own_log(folder).display(),
                folder.join("fail2ban.sqlite3").display()
            ),
        )?;
        fs::write(config.join("jail.local"), jails)?;
        Ok(config)
    }

    /// Starts it with a configuration made by [`Fail2ban::configure`] and waits until `jail`, which is
    /// its last one, is ready.
    pub(super) fn start_configured(
        &self,
        folder: &Path,
        config: &Path,
        jail: &str,
    ) -> Result<Running, Failure> {
        let run = self.server().arg("-f").arg("-c").arg(config);
        // In the hidden folder, since the path of a socket must be short.
        let run = run.args([
            "-s",
            "/run/fail2ban.sock",
            "-p",
            "/run/fail2ban.pid",
            "start",
        ]);
        let running = Running {
            process: Process::start(run)?,
            log: own_log(folder),
        };
        running.wait_for_log(&format!("Jail '{jail}' started"), START_WITHIN)?;
        Ok(running)
    }

    /// Its `fail2ban-regex`.
    pub(super) fn regex(&self, config: &Path) -> Run {
        Run::new("python3")
            .arg(self.root.join("usr/bin/fail2ban-regex"))
            .env(
                "PYTHONPATH",
                self.root.join("usr/lib/python3/dist-packages"),
            )
            .arg("--config")
            .arg(config)
    }
}

fn own_log(folder: &Path) -> PathBuf {
    folder.join("fail2ban.log")
}

/// A fail2ban that runs.
#[derive(Debug)]
pub(super) struct Running {
    process: Process,
    log: PathBuf,
}

impl Running {
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until its log says `text`.
    pub(super) fn wait_for_log(&self, text: &str, limit: Duration) -> Result<(), Failure> {
        if clock::wait_for(limit, || {
            tail(&self.log).is_ok_and(|tail| tail.contains(text))
        }) {
            return Ok(());
        }
        let tail = tail(&self.log).unwrap_or_default();
        let last = tail.lines().next_back().unwrap_or_default().to_owned();
        Err(format!("fail2ban did not say \"{text}\" within {limit:?}, but: {last}").into())
    }

    /// In how many lines its log says `text`.
    pub(super) fn count_in_log(&self, text: &str) -> Result<u64, Failure> {
        let log = fs::read_to_string(&self.log)?;
        Ok(log
            .lines()
            .filter(|line| line.contains(text))
            .count()
            .try_into()?)
    }

    pub(super) fn stop(self) {
        self.process.stop(STOP_WITHIN);
    }
}

/// The end of a file.
fn tail(path: &Path) -> Result<String, Failure> {
    const LEN: u64 = 16 * 1024;
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LEN)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
