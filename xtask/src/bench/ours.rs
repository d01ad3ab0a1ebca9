//! stockade with the settings of the benchmarks.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Lab;
use super::corpus::MAXRETRY;
use crate::Failure;
use crate::lab::stockade::{Settings, Stockade};

/// Which filter recognises the failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// `config/filters/sshd.toml`, matched by the daemon itself.
    Patterns,
    /// `plugins/sshd`, in the sandbox.
    Plugin,
}

/// What differs between the measurements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    /// What is read.
    pub(super) log: &'a Path,
    pub(super) filter: Filter,
    /// Whether bans reach the kernel.
    pub(super) firewall: bool,
    /// More of the configuration.
    pub(super) more: &'a str,
    /// More of the jail.
    pub(super) more_of_jail: &'a str,
}

/// Starts it with `folder` for its things and waits until it is ready.
pub(super) fn start(
    lab: &Lab<'_>,
    folder: &Path,
    setting: &Setting<'_>,
) -> Result<Stockade, Failure> {
    let dropin = dropin(lab, folder, setting);
    let last_words = Arc::new(Mutex::new(String::new()));
    let words = Arc::clone(&last_words);
    let settings = Settings {
        program: &lab.built.daemon,
        folder,
        config: None,
        dropin: &dropin,
    };
    // Its log goes to a file as fail2ban's does; here come only errors at start.
    let started = Stockade::start(&settings, move |line| {
        words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&line);
    });
    started.map_err(|error| {
        let words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{error} {words}").trim_end().into()
    })
}

fn dropin(lab: &Lab<'_>, folder: &Path, setting: &Setting<'_>) -> String {
    let plugins = lab.built.plugins.display();
    let log_target = folder.join("stockade.log");
    let backend = if setting.firewall { "nftables" } else { "none" };
    let (filter, plugin) = match setting.filter {
        Filter::Patterns => ("\"sshd\"", ""),
        Filter::Plugin => (
            "{ plugin = \"sshd\" }",
            "[plugins.sshd]\npath = \"sshd.wasm\"\n",
        ),
    };
    format!(
        r#"[daemon]
plugin_dir = "{plugins}"
log_target = "{log_target}"

[defaults]
firewall = "{backend}"

[firewall]
# What is measured is how fast bans are made, not how many are too many.
bans_per_minute = 0

[jails.sshd]
filter = {filter}
backend = "file"
logpath = ["{log}"]
maxretry = {MAXRETRY}
findtime = "1d"
bantime = "1d"
{more_of_jail}

{plugin}
{more}
"#,
        log_target = log_target.display(),
        log = setting.log.display(),
        more_of_jail = setting.more_of_jail,
        more = setting.more,
    )
}
