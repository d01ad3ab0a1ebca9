//! A real sshd on port 22, and the syslog that it writes to, which is us.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::story::{Event, Reporter};
use crate::Failure;
use crate::lab::process::Process;
use crate::lab::{clock, packages};
use crate::run::Run;

/// Who may log in. The account exists in these namespaces only.
pub(super) const USER: &str = "alice";
const USER_ID: &str = "1000";

/// How long sshd may take to listen.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Where sshd finds its things, and where the log goes.
#[derive(Clone, Debug)]
pub(super) struct Settings<'a> {
    /// A folder that only its owner can write to.
    pub(super) folder: &'a Path,
    pub(super) log: &'a Path,
    pub(super) addresses: &'a [&'a str],
    /// Nobody can become another user here, so sshd has to run as [`USER`].
    pub(super) as_user: bool,
}

/// Starts it. Its lines go to the log and to `reporter`.
pub(super) fn start(settings: &Settings<'_>, reporter: Reporter) -> Result<Process, Failure> {
    let folder = settings.folder;
    make_accounts(folder)?;
    make_key(&folder.join("host_key"))?;
    make_key(&user_key(folder))?;
    fs::copy(
        user_key(folder).with_extension("pub"),
        folder.join("authorized_keys"),
    )?;
    let config = folder.join("sshd_config");
    fs::write(&config, configuration(settings))?;
    fs::create_dir_all("/run/sshd")?;
    let program = packages::find("sshd").ok_or("there is no sshd")?;
    let mut process = Process::start(command(settings.as_user, &program, &config)?)?;
    let lines = BufReader::new(process.take_stderr()?);
    let mut syslog = Syslog {
        log: File::options()
            .create(true)
            .append(true)
            .open(settings.log)?,
        pid: process.id(),
        reporter,
    };
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if line.starts_with("Server listening on ") {
                drop(ready.send(line.clone()));
            }
            syslog.write(&line);
        }
    });
    for address in settings.addresses {
        is_ready
            .recv_timeout(READY_WITHIN)
            .map_err(|_| format!("sshd does not listen at {address}"))?;
    }
    Ok(process)
}

/// The key that [`USER`] logs in with.
pub(super) fn user_key(folder: &Path) -> PathBuf {
    folder.join("user_key")
}

/// Other accounts than the host's, seen by us alone.
fn make_accounts(folder: &Path) -> Result<(), Failure> {
    let home = folder.join("home");
    fs::create_dir_all(&home)?;
    let accounts = format!(
        "root:x:0:0:root:{home}:/bin/sh\n\
         sshd:x:101:65534:sshd:/run/sshd:/usr/sbin/nologin\n\
         {USER}:x:{USER_ID}:{USER_ID}:{USER}:{home}:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        home = home.display(),
    );
    let file = folder.join("passwd");
    fs::write(&file, accounts)?;
    Run::new("mount")
        .arg("--bind")
        .arg(&file)
        .arg("/etc/passwd")
        .succeed()
}

fn make_key(file: &Path) -> Result<(), Failure> {
    Run::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f"])
        .arg(file)
        .succeed()
}

fn configuration(settings: &Settings<'_>) -> String {
    let folder = settings.folder.display();
    let addresses: String = settings
        .addresses
        .iter()
        .map(|address| format!("ListenAddress {address}\n"))
        .collect();
    format!(
        "Port 22\n{addresses}\
         HostKey {folder}/host_key\n\
         AuthorizedKeysFile {folder}/authorized_keys\n\
         PidFile none\n\
         UsePAM no\n\
         StrictModes no\n\
         PermitRootLogin no\n\
         PasswordAuthentication yes\n\
         KbdInteractiveAuthentication no\n\
         PrintLastLog no\n\
         PrintMotd no\n"
    )
}

fn command(as_user: bool, program: &Path, config: &Path) -> Result<Run, Failure> {
    let plain = |run: Run| run.arg("-D").arg("-e").arg("-f").arg(config);
    // From OpenSSH 9.8 on sshd itself turns clients away who fail often. Here the firewall shall.
    let patient = ["-o", "PerSourcePenalties=no"];
    let knows_penalties = Run::new(program)
        .args(["-t", "-f"])
        .arg(config)
        .args(patient)
        .read()
        .is_ok();
    let run = if as_user {
        // sshd may bind port 22 without any right in this network.
        fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
        let mapped = ["--user", &format!("--map-user={USER_ID}")].map(str::to_owned);
        plain(Run::new("unshare").args(mapped).arg("--").arg(program))
    } else {
        plain(Run::new(program))
    };
    Ok(if knows_penalties {
        run.args(patient)
    } else {
        run
    })
}

/// Appends lines to the log as syslogd does.
#[derive(Debug)]
struct Syslog {
    log: File,
    pid: u32,
    reporter: Reporter,
}

impl Syslog {
    fn write(&mut self, message: &str) {
        let line = format!(
            "{} server sshd[{}]: {message}",
            clock::syslog_time(),
            self.pid
        );
        let at = clock::now();
        // A lost line is seen by what does not happen.
        drop(self.log.write_all(format!("{line}\n").as_bytes()));
        self.reporter.report_at(at, Event::Logged(line));
    }
}
