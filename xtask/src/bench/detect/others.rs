//! The others read a log.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::corpus::{LAST, MAXRETRY};
use super::super::usage;
use super::filters::Jail;
use super::logs::Kind;
use super::reading::{Case, Place, Reading, append, once};
use crate::Failure;
use crate::lab::clock;
use crate::lab::process::Process;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Makes a fail2ban configuration for these jails and returns where it is.
pub(super) fn configure(
    place: &Place<'_>,
    case: &Case<'_>,
    log: &Path,
) -> Result<PathBuf, Failure> {
    let mut jails = format!(
        "[DEFAULT]\nbackend = auto\nmaxretry = {MAXRETRY}\nfindtime = 1d\nbantime = 1d\n\
         action = nothing\n"
    );
    let mut filters = Vec::new();
    for jail in case.jails {
        jails.push_str(&format!(
            "[{}]\nenabled = true\nfilter = {}\nport = ssh\nlogpath = {}\n",
            jail.name(),
            jail.fail2ban(),
            log.display()
        ));
        filters.extend(jail.fail2ban_file().map(|text| (jail.fail2ban(), text)));
    }
    place.fail2ban()?.configure(place.folder, &jails, &filters)
}

/// fail2ban's daemon, with an action that does nothing.
pub(super) fn fail2ban(place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
    let log = place.empty_log()?;
    let config = configure(place, case, &log)?;
    let last = case.jails.last().ok_or("no jail")?.name();
    let first = case.jails.first().ok_or("no jail")?.name();
    let running = place
        .fail2ban()?
        .start_configured(place.folder, &config, &last)?;
    let banned = format!("] Ban {LAST}");
    let jails = u64::try_from(case.jails.len())?;
    let reading = append(running.id(), case.log, &log, || {
        let cpu_s = usage::cpu_s(running.id())?;
        if running.count_in_log(&banned)? < jails {
            return Ok(None);
        }
        let found = running.count_in_log(&format!("[{first}] Found "))?;
        Ok(Some(Reading {
            cpu_s,
            found: Some(found),
        }))
    })?;
    running.stop();
    Ok(reading)
}

pub(super) fn fail2ban_regex(place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
    let log = place.empty_log()?;
    let config = configure(place, case, &log)?;
    let fail2ban = place.fail2ban()?;
    let filter = case.jails.first().ok_or("no jail")?.fail2ban();
    let found = |output: &str| {
        // `Lines: 2000 lines, 0 ignored, 1540 matched, 460 missed`
        let line = output.lines().find(|line| line.starts_with("Lines: "))?;
        let counts = line
            .split(", ")
            .find_map(|part| part.strip_suffix(" matched"))?;
        counts.parse().ok()
    };
    once(place, case.log, found, |log| {
        let run = fail2ban
            .regex(&config)
            .args(["--no-check-all", "--print-no-missed", "--print-no-ignored"])
            .arg(log)
            .arg(&filter);
        (run, None)
    })
}

/// Makes a configuration for fail2ban-rs and returns where it is.
fn configure_rs(place: &Place<'_>, case: &Case<'_>, log: &Path) -> Result<PathBuf, Failure> {
    let mut text = format!(
        "[global]\nstate_file = \"{folder}/state.bin\"\nsocket_path = \"/run/fail2ban-rs.sock\"\n\n",
        folder = place.folder.display()
    );
    let date = if case.kind == Kind::Web {
        "common"
    } else {
        "syslog"
    };
    for jail in case.jails {
        let patterns = jail.fail2ban_rs()?;
        let patterns: String = patterns
            .iter()
            .map(|text| format!("    '''{text}''',\n"))
            .collect();
        text.push_str(&format!(
            "[jail.{name}]\nenabled = true\nlog_path = \"{log}\"\ndate_format = \"{date}\"\n\
             filter = [\n{patterns}]\nport = [\"22\"]\nprotocol = \"tcp\"\nmax_retry = {MAXRETRY}\n\
             find_time = \"1d\"\nban_time = \"1d\"\nbantime_increment = false\nignoreip = []\n\
             ignoreself = false\n\n[jail.{name}.backend.script]\nban_cmd = \"true\"\n\
             unban_cmd = \"true\"\n\n",
            name = jail.name(),
            log = log.display(),
        ));
    }
    let config = place.folder.join("fail2ban-rs.toml");
    fs::write(&config, text)?;
    Ok(config)
}

fn program(path: Option<&PathBuf>, name: &str) -> Result<PathBuf, Failure> {
    path.cloned()
        .ok_or_else(|| format!("{name} is not there").into())
}

/// fail2ban-rs's daemon, with a command that does nothing. It does not tell how many failures it found;
/// that it bans whoever fails last is what tells that it has read all.
pub(super) fn fail2ban_rs(place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
    let log = place.empty_log()?;
    let config = configure_rs(place, case, &log)?;
    let rs = program(place.programs.fail2ban_rs.as_ref(), "fail2ban-rs")?;
    let mut process = Process::start(Run::new(rs).arg("--config").arg(config).arg("run"))?;
    let said = Said::collect([
        Box::new(process.take_stdout()?),
        Box::new(process.take_stderr()?),
    ]);
    let jails = case.jails.len();
    if !clock::wait_for(START_WITHIN, || said.count("watcher started", "") >= jails) {
        return Err(format!("fail2ban-rs did not start: {}", said.last()).into());
    }
    let pid = process.id();
    let reading = append(pid, case.log, &log, || {
        let cpu_s = usage::cpu_s(pid)?;
        let banned = said.count("banned", &format!("ip={LAST} "));
        Ok((banned >= jails).then_some(Reading { cpu_s, found: None }))
    });
    let reading = reading.map_err(|why| format!("{why}; it said last: {}", said.last()))?;
    process.stop(STOP_WITHIN);
    Ok(reading)
}

/// What a process says, collected as it comes.
struct Said(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Said {
    fn collect(from: [Box<dyn Read + Send>; 2]) -> Self {
        let said = Self(std::sync::Arc::default());
        for mut from in from {
            let all = std::sync::Arc::clone(&said.0);
            std::thread::spawn(move || {
                let mut buffer = [0; 64 * 1024];
                while let Ok(len @ 1..) = from.read(&mut buffer) {
                    let mut all = all
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    all.extend_from_slice(buffer.get(..len).unwrap_or_default());
                }
            });
        }
        said
    }

    fn text(&self) -> String {
        let all = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&all).into_owned()
    }

    /// In how many lines both texts are.
    fn count(&self, one: &str, other: &str) -> usize {
        let text = self.text();
        let lines = text.lines();
        lines
            .filter(|line| line.contains(one) && line.contains(other))
            .count()
    }

    fn last(&self) -> String {
        self.text()
            .lines()
            .next_back()
            .unwrap_or_default()
            .to_owned()
    }
}

pub(super) fn fail2ban_rs_dry_run(place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
    let rs = program(place.programs.fail2ban_rs.as_ref(), "fail2ban-rs")?;
    let config = configure_rs(place, case, &case.log.path)?;
    let found = |output: &str| {
        let mut lines = output.lines();
        let count = lines.find_map(|line| line.trim().strip_prefix("Matches:"))?;
        count.trim().parse().ok()
    };
    once(place, case.log, found, |log| {
        let run = Run::new(&rs).arg("--config").arg(&config).arg("dry-run");
        let first = case.jails.first().map(|jail| jail.name());
        let run = match (case.jails.len(), first) {
            (1, Some(name)) => run.args(["--jail", &name]),
            _ => run,
        };
        (run.arg(log), None)
    })
}

pub(super) fn sshguard(place: &Place<'_>, case: &Case<'_>) -> Result<Reading, Failure> {
    let parser = program(place.programs.sshg_parser.as_ref(), "sshguard")?;
    // It writes a line for each attack.
    let found = |output: &str| u64::try_from(output.lines().count()).ok();
    once(place, case.log, found, |log| {
        (Run::new(&parser), Some(log.to_owned()))
    })
}

pub(super) fn rg(
    place: &Place<'_>,
    case: &Case<'_>,
    patterns: &[String],
) -> Result<Reading, Failure> {
    let rg = program(place.programs.rg.as_ref(), "rg")?;
    // It says nothing where there is nothing.
    let found = |output: &str| match output.trim() {
        "" => Some(0),
        count => count.parse().ok(),
    };
    once(place, case.log, found, |log| {
        let patterns = patterns.iter().flat_map(|pattern| ["-e", pattern.as_str()]);
        let run = Run::new(&rg)
            .args(["--no-config", "--no-unicode", "-c"])
            .args(patterns)
            .arg(log);
        (run, None)
    })
}

impl Jail {
    /// As fail2ban-rs has it.
    fn fail2ban_rs(self) -> Result<Vec<String>, Failure> {
        if self == Self::Web {
            // It looks for the address by the place of <HOST>, which has to come first.
            let probed = r"(?:phpmyadmin|pma|cgi-bin|wp-login\.php)";
            return Ok(vec![format!(
                r#"^<HOST> - \S+ \[[^\]]*\] "[A-Z]+ /{probed}[^"]*" 404 .*$"#
            )]);
        }
        let host = |text: String| text.replace(super::filters::ADDRESS, "<HOST>");
        Ok(self.plain()?.into_iter().map(host).collect())
    }
}
