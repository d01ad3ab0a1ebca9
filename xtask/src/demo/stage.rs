//! Sets up everything that the demo plays with.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::sshd;
use super::story::{Event, Reporter, Story};
use crate::lab::build::Built;
use crate::lab::hosts::{Host, Link};
use crate::lab::process::Process;
use crate::lab::stockade::{Settings, Stockade};
use crate::lab::{namespaces, packets, webhook};
use crate::run::Run;
use crate::{Failure, say};

// All addresses are those that RFC 5737 and RFC 3849 keep for documentation.
const TO_ATTACKER: Link<'static> = Link {
    name: "to-attacker",
    ours: &["203.0.113.1/24", "203.0.113.2/24", "2001:db8:66::1/64"],
    theirs: &["203.0.113.66/24", "2001:db8:66::66/64"],
};
const TO_GOOD_HOST: Link<'static> = Link {
    name: "to-good-host",
    ours: &["198.51.100.1/24", "2001:db8:23::1/64"],
    theirs: &["198.51.100.23/24", "2001:db8:23::23/64"],
};

/// The attacker.
pub(super) const ATTACKER: &str = "203.0.113.66";
/// Somebody who may log in.
pub(super) const GOOD_HOST: &str = "198.51.100.23";
/// Our sshd, as the attacker sees it.
pub(super) const SERVER_FOR_ATTACKER: &str = "203.0.113.1";
/// Our sshd, as the good host sees it.
pub(super) const SERVER_FOR_GOOD_HOST: &str = "198.51.100.1";
/// Packets to port 22 of this address meet the same rules, but no sshd that would log them.
pub(super) const MEASURED: &str = "203.0.113.2";
/// Where ssh is.
pub(super) const PORT: u16 = 22;

/// Where the stock configuration looks for Debian's log. The folder is ours alone, as is that of
/// pids and sockets.
const LOG: &str = "/var/log/auth.log";
const HIDDEN: [&str; 2] = ["/run", "/var/log"];
/// For what only the demo needs; a short path, because that of a socket is short.
const THINGS: &str = "/run/demo";

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) attacker: Host,
    pub(super) good: Host,
    pub(super) stockade: Stockade,
    pub(super) things: PathBuf,
    pub(super) reporter: Reporter,
    _sshd: Process,
}

impl Stage {
    /// Sets it up in our namespaces; `folder` is on a real disk and keeps stockade's state.
    pub(super) fn set(folder: &Path, built: &Built) -> Result<(Self, Story), Failure> {
        let as_user = namespaces::only_one_user()?;
        namespaces::hide_folders(&HIDDEN)?;
        let things = PathBuf::from(THINGS);
        fs::create_dir_all(&things)?;
        Run::new("ip").args(["link", "set", "lo", "up"]).succeed()?;
        let attacker = Host::join(&TO_ATTACKER)?;
        let good = Host::join(&TO_GOOD_HOST)?;
        packets::answer(address(MEASURED)?)?;

        let (mut story, reporter) = Story::new();
        let sshd = sshd::start(
            &sshd::Settings {
                folder: &things,
                log: Path::new(LOG),
                addresses: &[SERVER_FOR_ATTACKER, SERVER_FOR_GOOD_HOST],
                as_user,
            },
            reporter.clone(),
        )?;
        let told = reporter.clone();
        let webhook = webhook::listen(move |document| told.report(Event::Told(document)))?;
        let dropin = dropin(built, webhook);
        describe(as_user, &dropin);
        let log = reporter.clone();
        let settings = Settings {
            program: &built.daemon,
            folder,
            config: None,
            dropin: &dropin,
        };
        let started = Stockade::start(&settings, move |line| log.report(Event::Said(line)));
        let stockade = started.inspect_err(|_| {
            story.wait(std::time::Duration::ZERO, |_| true);
            story.show_logs();
        })?;
        story.begin();
        Ok((
            Self {
                attacker,
                good,
                stockade,
                things,
                reporter,
                _sshd: sshd,
            },
            story,
        ))
    }
}

/// Port 22 of one of our addresses.
pub(super) fn address(ip: &str) -> Result<SocketAddr, Failure> {
    Ok(SocketAddr::new(ip.parse::<IpAddr>()?, PORT))
}

/// All that differs from the stock configuration.
fn dropin(built: &Built, webhook: SocketAddr) -> String {
    let plugins = built.plugins.display();
    format!(
        r#"[daemon]
plugin_dir = "{plugins}"

[jails.sshd]
filter = {{ plugin = "sshd" }}       # a WebAssembly component instead of the stock patterns
actions = ["webhook"]              # another one, told of each ban
backend = "file"                   # the sshd of this demo logs to a file

[plugins.sshd]
path = "sshd.wasm"                 # nothing is granted: it can only look at lines

[plugins.webhook]
path = "webhook.wasm"
settings = {{ url = "http://{webhook}/ban" }}
grant = {{ log = true, http = [{{ origin = "http://{webhook}", private = true }}] }}
"#
    )
}

fn describe(as_user: bool, dropin: &str) {
    let rights = if as_user {
        "an ordinary user, in a user namespace"
    } else {
        "root"
    };
    say(format_args!("
In namespaces of their own, as {rights}:
  server     {SERVER_FOR_ATTACKER} and {SERVER_FOR_GOOD_HOST}, a real sshd on port {PORT}, and stockade
  attacker   {ATTACKER}, tries passwords with the real ssh
  good host  {GOOD_HOST}, logs in with a key

stockade has its stock configuration and this file stockade.d/lab.toml:
"));
    for line in dropin.lines() {
        say(format_args!("  {line}"));
    }
    say("");
}
