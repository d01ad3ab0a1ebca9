//! What the attacker and the good host do with the real `ssh`.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::sshd::USER;
use crate::Failure;
use crate::lab::hosts::Host;
use crate::lab::process::{Ended, Process};
use crate::run::Run;

/// What the attacker tries, one after the other: some accounts exist, others do not.
pub(super) const GUESSES: [(&str, &str); 8] = [
    ("admin", "123456"),
    ("root", "password"),
    ("oracle", "oracle"),
    ("ubuntu", "ubuntu"),
    (USER, "letmein"),
    ("test", "test"),
    ("git", "git"),
    ("postgres", "qwerty"),
];

/// What the good host lets the server say.
const GREETING: &str = "welcome";

/// How long `ssh` tries to connect, in seconds.
const CONNECT_WITHIN_S: u32 = 4;
/// After so long even a slow machine has done a login.
const LOGIN_WITHIN: Duration = Duration::from_secs(20);

/// `ssh` without any configuration of whoever started the demo.
fn ssh(run: Run, home: &Path, user: &str, server: &str) -> Run {
    run.args([
        "-F",
        "none",
        "-o",
        "LogLevel=ERROR",
        "-o",
        "StrictHostKeyChecking=no",
    ])
    .args([
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "GlobalKnownHostsFile=/dev/null",
    ])
    .args(["-o", "NumberOfPasswordPrompts=1", "-o"])
    .arg(format!("ConnectTimeout={CONNECT_WITHIN_S}"))
    .env("HOME", home)
    .env("SSH_AUTH_SOCK", "")
    .arg(format!("{user}@{server}"))
}

/// The attacker begins to try one password.
pub(super) fn guess(
    attacker: &Host,
    home: &Path,
    (user, password): (&str, &str),
    server: &str,
) -> Result<Process, Failure> {
    let run =
        attacker
            .run("sshpass")
            .args(["-p", password, "ssh", "-o", "PubkeyAuthentication=no"]);
    Process::start(ssh(run, home, user, server))
}

/// The attacker tries one password and waits for what comes of it.
pub(super) fn guess_to_the_end(
    attacker: &Host,
    home: &Path,
    guess: (&str, &str),
    server: &str,
) -> Result<Ended, Failure> {
    self::guess(attacker, home, guess, server)?.finish(LOGIN_WITHIN)
}

/// The good host logs in by key; what the server said.
pub(super) fn log_in(
    good: &Host,
    home: &Path,
    key: &Path,
    server: &str,
) -> Result<String, Failure> {
    let run = good
        .run("ssh")
        .args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"])
        .arg(key);
    let run = ssh(run, home, USER, server).args(["echo", GREETING, "$USER"]);
    let said = Process::start(run)?.finish(LOGIN_WITHIN)?.output("ssh")?;
    if said == format!("{GREETING} {USER}") {
        return Ok(said);
    }
    Err(format!("the server said '{}'", said.escape_debug()).into())
}

/// What `server` greets a client with, as seen from `host`.
pub(super) fn banner(host: &Host, server: SocketAddr) -> Result<String, Failure> {
    let read = move || -> std::io::Result<String> {
        let stream = TcpStream::connect_timeout(&server, LOGIN_WITHIN)?;
        stream.set_read_timeout(Some(LOGIN_WITHIN))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let banner = host
        .spawn(read)?
        .join()
        .map_err(|_| "the attacker's thread panicked")???;
    if banner.starts_with("SSH-2.0-") {
        return Ok(banner);
    }
    Err(format!("the server greeted with '{}'", banner.escape_debug()).into())
}
