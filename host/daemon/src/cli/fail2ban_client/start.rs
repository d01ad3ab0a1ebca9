//! `start`, `restart` and `-t`: the daemon itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::options::Options;
use super::{ask, log, say};

/// How long a daemon may take until it answers: restoring 100,000 bans takes seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often one looks whether it answers.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Starts the daemon in the background and waits until it answers.
pub(super) fn start(options: &Options) -> u8 {
    if ask(options, &["ping"]).is_ok() {
        log("Server already running");
        return 255;
    }
    let mut child = match daemon(options).spawn() {
        Ok(child) => child,
        Err(error) => {
            log(&format!("cannot start stockade: {error}"));
            return 255;
        }
    };
    let deadline = crate::clock::instant() + READY_WITHIN;
    while crate::clock::instant() < deadline {
        if ask(options, &["ping"]).is_ok() {
            return say("Server ready");
        }
        if let Ok(Some(status)) = child.try_wait() {
            log(&format!(
                "stockade ended with {status}; 'stockade run' shows why"
            ));
            return 255;
        }
        pause();
    }
    log("stockade was started, but does not answer yet");
    255
}

/// Ends the daemon, waits until it is gone, and starts it.
pub(super) fn restart(options: &Options) -> u8 {
    if let Ok(told) = ask(options, &["stop"]) {
        say(&told);
    }
    let deadline = crate::clock::instant() + READY_WITHIN;
    while ask(options, &["ping"]).is_ok() && crate::clock::instant() < deadline {
        pause();
    }
    start(options)
}

/// Checks the configuration that `start` would run.
pub(super) fn test(options: &Options) -> u8 {
    let mut command = stockade("check");
    if let Some(conf) = &options.conf {
        command.arg("--fail2ban").arg(conf);
    }
    match command.stdout(Stdio::null()).status() {
        Ok(status) if status.success() => say("OK: configuration test is successful"),
        _ => {
            log("test configuration failed");
            255
        }
    }
}

fn daemon(options: &Options) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = stockade("run");
    if let Some(conf) = &options.conf {
        command.arg("--fail2ban").arg(conf);
    }
    if let Some(socket) = &options.socket {
        command.arg("--socket").arg(socket);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0);
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "this program, under its own name"
)]
fn stockade(subcommand: &str) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "stockade".into());
    let mut command = Command::new(program);
    command.arg(subcommand);
    command
}

/// Nothing tells when a daemon begins or ceases to answer, so one looks again.
fn pause() {
    let timeout = rustix::event::Timespec::try_from(LOOK_EVERY).ok();
    let _nothing = rustix::event::poll(&mut [], timeout.as_ref());
}
