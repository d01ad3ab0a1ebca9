//! What the tools themselves need for a prepared file, and fail2ban for its own bans.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use crate::ours::address;
use crate::{Outcome, now};

/// As many as fail2ban takes in bearable time.
const FAIL2BAN_BANS: u32 = 2_000;
/// How long it may take for them.
const FAIL2BAN_WITHIN: Duration = Duration::from_secs(300);
/// How many addresses one call of fail2ban-client gets.
const FAIL2BAN_AT_ONCE: usize = 500;
/// Without the host's root, `nft` cannot have a send buffer for all at once.
const NFT_PIECE: u32 = 2_500;

pub(crate) fn nft(count: u32) -> Outcome<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bans.nft");
    let table = "table inet bulk_speed";
    std::fs::write(
        &file,
        format!(
            "{table}\ndelete {table}\n{table} {{\nset bans {{ type ipv4_addr; flags timeout; }}\n}}\n"
        ),
    )?;
    seconds(&["nft", "-f", text(&file)?])?;
    let elements = |first: u32, count: u32| {
        let mut elements = String::from("add element inet bulk_speed bans {");
        for index in first..first + count {
            write!(elements, "{} timeout 3600s,", address(index))?;
        }
        Ok::<_, std::fmt::Error>(elements + "}\n")
    };
    std::fs::write(&file, elements(0, count)?)?;
    let mut took = seconds(&["nft", "-f", text(&file)?]);
    if took.is_err() {
        took = Ok(0.0);
        for first in (0..count).step_by(usize::try_from(NFT_PIECE)?) {
            std::fs::write(&file, elements(first, NFT_PIECE.min(count - first))?)?;
            took = Ok(took? + seconds(&["nft", "-f", text(&file)?])?);
        }
    }
    seconds(&["nft", "delete", "table", "inet", "bulk_speed"])?;
    took
}

pub(crate) fn ipset(count: u32) -> Outcome<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bans.ipset");
    let mut lines = String::from("create bulk-speed hash:ip timeout 0 maxelem 1000000\n");
    for index in 0..count {
        writeln!(lines, "add bulk-speed {} timeout 3600", address(index))?;
    }
    std::fs::write(&file, lines)?;
    let took = seconds(&["ipset", "restore", "-file", text(&file)?])?;
    seconds(&["ipset", "destroy", "bulk-speed"])?;
    Ok(took)
}

/// How long Debian's fail2ban takes for its bans, in words.
pub(crate) fn fail2ban() -> Outcome<String> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let addresses: Vec<String> = (0..FAIL2BAN_BANS)
        .map(|index| address(index).to_string())
        .collect();
    let begin = now();
    for some in addresses.chunks(FAIL2BAN_AT_ONCE) {
        let mut command = server.client();
        command.args(["set", "bulk", "banip"]).args(some);
        succeed(command)?;
    }
    wait(FAIL2BAN_WITHIN, || Ok(elements()? >= addresses.len()))?;
    let took = begin.elapsed().as_secs_f64();
    drop(server);
    Ok(format!(
        "Debian's fail2ban, action `nftables`: {FAIL2BAN_BANS} bans in {took:.1} s, {:.0} bans a second.",
        f64::from(FAIL2BAN_BANS) / took
    ))
}

/// A fail2ban with one jail that reads nothing.
struct Server {
    folder: std::path::PathBuf,
    process: Child,
}

impl Server {
    fn start(folder: &Path) -> Outcome<Self> {
        let config = folder.join("config");
        let mut copy = command("cp");
        copy.args(["-r", "/etc/fail2ban"]).arg(&config);
        succeed(copy)?;
        drop(std::fs::remove_dir_all(config.join("jail.d")));
        let log = folder.join("empty.log");
        std::fs::write(&log, "")?;
        std::fs::write(
            config.join("jail.local"),
            format!(
                "[DEFAULT]\nbanaction = nftables\n[sshd]\nenabled = false\n[bulk]\nenabled = true\n\
                 filter = sshd\nbackend = polling\nport = ssh\nlogpath = {}\n",
                log.display()
            ),
        )?;
        std::fs::write(
            config.join("fail2ban.local"),
            "[Definition]\nlogtarget = /dev/null\ndbfile = None\n",
        )?;
        let mut server = command("fail2ban-server");
        server.arg("-c").arg(&config).arg("-f");
        server.arg("-s").arg(folder.join("socket"));
        server.arg("-p").arg(folder.join("pid")).arg("start");
        let quiet = || std::process::Stdio::null();
        let process = server.stdout(quiet()).stderr(quiet()).spawn()?;
        let server = Self {
            folder: folder.to_owned(),
            process,
        };
        wait(Duration::from_secs(60), || {
            let mut client = server.client();
            Ok(client.args(["status", "bulk"]).output()?.status.success())
        })?;
        Ok(server)
    }

    fn client(&self) -> Command {
        let mut client = command("fail2ban-client");
        client.arg("-c").arg(self.folder.join("config"));
        client.arg("-s").arg(self.folder.join("socket"));
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// How many addresses fail2ban's set in the kernel has.
fn elements() -> Outcome<usize> {
    let mut nft = command("nft");
    let output = nft.args(["list", "ruleset"]).output()?;
    let listing = String::from_utf8_lossy(&output.stdout);
    let sets = listing.split("elements = {").skip(1);
    let counts = sets.map(|set| {
        let elements = set.split('}').next().unwrap_or_default();
        elements
            .split(',')
            .filter(|one| !one.trim().is_empty())
            .count()
    });
    Ok(counts.sum())
}

fn wait(limit: Duration, condition: impl Fn() -> Outcome<bool>) -> Outcome<()> {
    let begin = now();
    while begin.elapsed() < limit {
        if condition()? {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Err(format!("it has not done it within {} s", limit.as_secs()).into())
}

fn seconds(words: &[&str]) -> Outcome<f64> {
    let (program, arguments) = words.split_first().ok_or("no program")?;
    let mut command = command(program);
    command.args(arguments);
    let begin = now();
    succeed(command)?;
    Ok(begin.elapsed().as_secs_f64())
}

fn succeed(mut command: Command) -> Outcome<()> {
    let output = command.output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

fn command(program: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "these programs are what we measure against"
    )]
    Command::new(program)
}

fn text(path: &Path) -> Outcome<&str> {
    Ok(path.to_str().ok_or("the path is no text")?)
}
