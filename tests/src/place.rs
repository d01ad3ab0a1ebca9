//! A folder with a configuration, logs and state, in which a daemon is run, killed and run again.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

use crate::attack::LogFile;
use crate::binary::stockade;
use crate::daemon::{Daemon, Told};
use crate::wait::wait_until;

/// A configuration of one jail, `sshd`, with the stock filter, that reads `auth.log`.
pub const ONE_JAIL: &str = r#"
    [defaults]
    backend = "file"
    maxretry = 3

    [jails.sshd]
    logpath = "{dir}/auth.log"
"#;

/// The folder. It outlives the daemons that are run in it.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
    /// Programs that the daemon finds before those of the system.
    programs: Option<PathBuf>,
}

impl Place {
    /// A folder with this configuration, in which `{dir}` stands for the folder itself. Paths of the
    /// daemon are set to be in it.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new(configuration: &str) -> Self {
        let place = Self {
            dir: TempDir::with_prefix("stockade-").unwrap(),
            programs: None,
        };
        place.configure(configuration);
        place
    }

    /// A folder with the configuration of this file as it is.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn of(main_file: &Path) -> Self {
        let place = Self::new("");
        place.write("stockade.toml", &std::fs::read(main_file).unwrap());
        place
    }

    /// Writes a new configuration. Built-in jails that it does not name are off, whatever this
    /// machine has installed.
    pub fn configure(&self, configuration: &str) {
        let daemon = r#"
            [daemon]
            state_dir = "{dir}/state"
            socket = "{dir}/control.sock"
            log_target = "{dir}/stockade.log"
            log_level = "debug"
        "#;
        self.write(
            "stockade.toml",
            &format!("{daemon}\n{configuration}\n{}", off(configuration))
                .replace("{dir}", &self.dir()),
        );
    }

    /// Lets daemons find the programs of a folder before those of the system.
    pub fn prefer_programs(&mut self, folder: PathBuf) {
        self.programs = Some(folder);
    }

    /// The folder as text.
    #[must_use]
    pub fn dir(&self) -> String {
        self.dir.path().to_string_lossy().into_owned()
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file; folders of it are made.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self, name: &str, content: &(impl AsRef<[u8]> + ?Sized)) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A log to append to.
    #[must_use]
    pub fn log_file(&self, name: &str) -> LogFile {
        LogFile::create(&self.path(name))
    }

    /// Starts a daemon and waits until it answers.
    ///
    /// # Panics
    /// Where it ends instead.
    #[must_use]
    pub fn start(&self) -> Daemon<'_> {
        self.start_with(&[])
    }

    /// The same with further arguments of `run`.
    ///
    /// # Panics
    /// Where it ends instead.
    #[must_use]
    pub fn start_with(&self, arguments: &[&str]) -> Daemon<'_> {
        let mut daemon = self.spawn(arguments);
        wait_until("the daemon answers", || {
            daemon.assert_runs();
            self.try_ask(r#"{"command":"ping"}"#).is_some()
        });
        daemon
    }

    /// Starts a daemon and does not wait.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Daemon<'_> {
        let errors = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path("stderr"))
            .unwrap();
        let child = self
            .command(stockade())
            .args(["run", "--config", &self.main_file()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        Daemon::new(self, child)
    }

    /// Runs a command of `stockade` to its end.
    pub fn stockade(&self, arguments: &[&str]) -> Told {
        Told::of(
            self.command(stockade())
                .args(["--config", &self.main_file()])
                .args(arguments),
        )
    }

    /// Runs a command of `stockade` to its end, under another program such as setpriv(1).
    pub fn stockade_under(&self, wrapper: &[&str], arguments: &[&str]) -> Told {
        let mut command = self.command(Path::new(wrapper[0]));
        command.args(&wrapper[1..]).arg(stockade());
        Told::of(
            command
                .args(["--config", &self.main_file()])
                .args(arguments),
        )
    }

    fn main_file(&self) -> String {
        format!("{}/stockade.toml", self.dir())
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(programs) = &self.programs {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", programs.display()));
        }
        command
    }

    /// Asks the daemon over its socket.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn ask(&self, request: &str) -> Value {
        self.try_ask(request)
            .unwrap_or_else(|| panic!("no answer to {request}"))
    }

    pub(crate) fn try_ask(&self, request: &str) -> Option<Value> {
        let mut stream = UnixStream::connect(self.path("control.sock")).ok()?;
        writeln!(stream, "{request}").ok()?;
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).ok()?;
        serde_json::from_str(&reply).ok()
    }

    /// What daemons have logged so far.
    #[must_use]
    pub fn logged(&self) -> String {
        let bytes = std::fs::read(self.path("stockade.log")).unwrap_or_default();
        String::from_utf8(bytes)
            .unwrap_or_else(|error| panic!("stockade's own log is not text: {error}"))
    }

    /// How many lines of the daemon's log a pattern matches.
    ///
    /// # Panics
    /// Where the pattern is none.
    #[must_use]
    pub fn count_logged(&self, pattern: &str) -> usize {
        let pattern = Regex::new(pattern).unwrap();
        self.logged()
            .lines()
            .filter(|line| pattern.is_match(line))
            .count()
    }

    /// Waits until a line of the daemon's log matches.
    #[track_caller]
    pub fn wait_logged(&self, pattern: &str) {
        wait_until(&format!("{pattern:?} is logged"), || {
            self.count_logged(pattern) > 0
        });
    }
}

/// Turns the built-in jails off that look for themselves whether they are wanted, but those that
/// `configuration` names.
fn off(configuration: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/jails");
    let jails = std::fs::read_dir(folder).unwrap();
    let mut text = String::new();
    for path in jails.map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_string_lossy();
        let jail = std::fs::read_to_string(&path).unwrap();
        if jail.contains("\nenabled = \"auto\"")
            && !configuration.contains(&format!("jails.{name}"))
        {
            text.push_str(&format!("[jails.{name}]\nenabled = false\n"));
        }
    }
    text
}
