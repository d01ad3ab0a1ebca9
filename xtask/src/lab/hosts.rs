//! Hosts beside this one: network namespaces that are joined to ours by veth pairs.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::Process;
use crate::Failure;
use crate::run::Run;

/// Another host. It ends with this value.
#[derive(Debug)]
pub(crate) struct Host {
    /// Keeps the namespace: `cat`, which ends with its input.
    holder: Process,
    _input: std::process::ChildStdin,
}

/// The addresses of a link, each with its prefix length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    /// Of the device on our side, at most 15 characters (`IFNAMSIZ`).
    pub(crate) name: &'a str,
    pub(crate) ours: &'a [&'a str],
    pub(crate) theirs: &'a [&'a str],
}

impl Host {
    /// A host that reaches us by `link`. All its interfaces are up.
    pub(crate) fn join(link: &Link<'_>) -> Result<Self, Failure> {
        let mut holder = Process::start(Run::new("unshare").args(["--net", "--", "cat"]))?;
        let mut input = holder.take_stdin()?;
        // Once `cat` answers, `unshare` has done its part and is gone.
        input.write_all(b"ready\n")?;
        let mut answer = String::new();
        BufReader::new(holder.take_stdout()?).read_line(&mut answer)?;
        if answer != "ready\n" {
            return Err("cannot make a network namespace for another host".into());
        }
        let host = Self {
            holder,
            _input: input,
        };
        host.connect(link)?;
        Ok(host)
    }

    fn connect(&self, link: &Link<'_>) -> Result<(), Failure> {
        let name = link.name;
        let pid = self.holder.id().to_string();
        let pair = [
            "link", "add", name, "type", "veth", "peer", "name", "uplink0",
        ];
        Run::new("ip").args(pair).args(["netns", &pid]).succeed()?;
        for address in link.ours {
            Run::new("ip").args(address_of(address, name)).succeed()?;
        }
        for address in link.theirs {
            self.run("ip")
                .args(address_of(address, "uplink0"))
                .succeed()?;
        }
        self.run("ip").args(["link", "set", "lo", "up"]).succeed()?;
        self.run("ip")
            .args(["link", "set", "uplink0", "up"])
            .succeed()?;
        Run::new("ip").args(["link", "set", name, "up"]).succeed()
    }

    /// A program on that host.
    pub(crate) fn run(&self, program: &str) -> Run {
        Run::new("nsenter")
            .arg(format!("--net={}", self.namespace()))
            .args(["--", program])
    }

    /// Lets `work` run on a thread that is on that host: the sockets it makes are that host's.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<std::thread::JoinHandle<Result<T, Failure>>, Failure> {
        let namespace = File::open(self.namespace())?;
        Ok(std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        }))
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }
}

/// Arguments of `ip` that give `device` an address. Nobody else can have it, so an IPv6 address need
/// not be tried out first (`nodad`).
fn address_of<'a>(address: &'a str, device: &'a str) -> Vec<&'a str> {
    let mut args = vec!["address", "add", address, "dev", device];
    if address.contains(':') {
        args.push("nodad");
    }
    args
}
