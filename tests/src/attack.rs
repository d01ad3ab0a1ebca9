//! Writes the logs of a server under attack.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The time as sshd's logging service writes it, which has a clock where tests have none.
#[must_use]
pub fn stamp() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        .to_string()
}

/// The line of a wrong password that came from `address`, written now. Each address has a process of
/// sshd of its own: fail2ban takes the lines of one for a session, which has one address.
#[must_use]
pub fn failure(address: &str) -> String {
    let process = address
        .bytes()
        .fold(811_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 32_768);
    format!(
        "{} bastion sshd[{process}]: Failed password for root from {address} port 40112 ssh2",
        stamp()
    )
}

/// A log that a server appends to.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    pub(crate) fn create(path: &Path) -> Self {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        Self {
            path: path.to_owned(),
            file,
        }
    }

    /// Appends bytes as they are.
    ///
    /// # Panics
    /// Where they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).unwrap();
    }

    /// Appends a line.
    pub fn line(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Appends `count` failures of each address, in turns as they come when all attack at once.
    pub fn failures(&mut self, count: usize, addresses: &[&str]) {
        for _ in 0..count {
            for address in addresses {
                self.line(&failure(address));
            }
        }
    }

    /// Renames the file to its name with `.1` behind, after older ones got the next number, and
    /// begins a new one, as logrotate(8) does.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn rotate(&mut self) {
        let numbered = |number: usize| PathBuf::from(format!("{}.{number}", self.path.display()));
        let count = (1..)
            .take_while(|number| numbered(*number).exists())
            .count();
        for number in (1..=count).rev() {
            std::fs::rename(numbered(number), numbered(number + 1)).unwrap();
        }
        std::fs::rename(&self.path, numbered(1)).unwrap();
        *self = Self::create(&self.path);
    }
}
