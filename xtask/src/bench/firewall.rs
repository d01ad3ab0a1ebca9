//! How fast many bans come into the firewall: `cargo xtask bench firewall`, which is
//! `host/firewall/examples/bulk_speed` in a network namespace of its own.

use crate::lab::packages::{self, Needed};
use crate::run::Run;
use crate::{Failure, workspace};

const PROGRAMS: [Needed; 5] = [
    Needed {
        program: "nft",
        package: "nftables",
    },
    Needed {
        program: "iptables",
        package: "iptables",
    },
    Needed {
        program: "ipset",
        package: "ipset",
    },
    Needed {
        program: "unshare",
        package: "util-linux",
    },
    Needed {
        program: "fail2ban-client",
        package: "fail2ban",
    },
];

pub(super) fn run(quick: bool) -> Result<(), Failure> {
    packages::ensure(&PROGRAMS)?;
    Run::cargo()
        .args([
            "build",
            "--quiet",
            "--release",
            "--package=stockade-firewall",
        ])
        .arg("--example=bulk_speed")
        .in_dir(workspace::root())
        .succeed()?;
    let example = workspace::target_dir()?.join("release/examples/bulk_speed");
    // As root of the machine where we are, else as that of a user namespace.
    let is_root = Run::new("unshare")
        .args(["--net", "true"])
        .succeed()
        .is_ok();
    let namespaces: &[&str] = if is_root {
        &["--net"]
    } else {
        &["--user", "--map-root-user", "--net"]
    };
    Run::new("unshare")
        .args(namespaces)
        .arg(example)
        .args(quick.then_some("--quick"))
        .succeed()
}
