//! Debian's fail2ban: its configuration, and its server beside ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::namespace::MUST_RUN;

/// Debian's own configuration.
const CONFIGURATION: &str = "/etc/fail2ban";
const CLIENT: &str = "/usr/bin/fail2ban-client";

/// A copy of Debian's configuration in `to`; `false` where it is not installed.
///
/// # Panics
/// Where it must be installed and is not, or cannot be copied.
#[must_use]
pub fn copy_fail2ban(to: &Path) -> bool {
    let installed = Path::new(CLIENT).exists();
    let must = std::env::var_os(MUST_RUN).is_some();
    assert!(installed || !must, "install Debian's fail2ban");
    if installed {
        copy(Path::new(CONFIGURATION), to);
    }
    installed
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A running server of Debian's, with files of its own; stopped with this value.
#[derive(Debug)]
pub struct Fail2ban {
    dir: PathBuf,
}

impl Fail2ban {
    /// Starts a server with the configuration in `dir`. Its log is `dir/log`.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(dir: PathBuf) -> Self {
        let shown = dir.display();
        let own = format!(
            "[Definition]\nloglevel = INFO\nlogtarget = {shown}/log\nsocket = {shown}/socket\n\
             pidfile = {shown}/pid\ndbfile = {shown}/db\n"
        );
        std::fs::write(dir.join("fail2ban.local"), own).unwrap();
        let server = Self { dir };
        let started = server.client(&["start"]);
        assert!(started.status.success(), "{started:?}");
        server
    }

    /// Asks it as a script would.
    ///
    /// # Panics
    /// Where its client cannot be run.
    pub fn client(&self, words: &[&str]) -> Output {
        let at = |name: &str| self.dir.join(name);
        let mut command = Command::new(CLIENT);
        command.arg("-c").arg(&self.dir);
        command.arg("-s").arg(at("socket")).arg("-p").arg(at("pid"));
        command.args(words).output().unwrap()
    }
}

impl Drop for Fail2ban {
    fn drop(&mut self) {
        self.client(&["stop"]);
    }
}
