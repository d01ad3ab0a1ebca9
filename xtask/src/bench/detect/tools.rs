//! Who is measured, and where their programs come from. Nothing is installed on the machine: Debian's
//! packages are unpacked into a folder of ours, and crates are built into one.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::fail2ban;
use super::super::report::progress;
use crate::Failure;
use crate::lab::packages;
use crate::run::Run;

/// The version that is measured; another one may have other options.
const FAIL2BAN_RS: &str = "1.5.4";

/// Who reads the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tool {
    /// The whole daemon with our own filters.
    Stockade,
    /// The whole daemon with fail2ban's filters.
    Imported,
    StockadeRegex,
    Fail2ban,
    Fail2banRegex,
    Fail2banRs,
    Fail2banRsDryRun,
    Sshguard,
    /// With what our filter matches, each pattern by itself.
    Rg,
    /// With a few patterns as somebody would type them.
    RgTyped,
}

pub(super) const TOOLS: [Tool; 10] = [
    Tool::Stockade,
    Tool::Imported,
    Tool::StockadeRegex,
    Tool::Fail2ban,
    Tool::Fail2banRegex,
    Tool::Fail2banRs,
    Tool::Fail2banRsDryRun,
    Tool::Sshguard,
    Tool::Rg,
    Tool::RgTyped,
];

impl Tool {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Stockade => "stockade",
            Self::Imported => "stockade-imported",
            Self::StockadeRegex => "stockade-regex",
            Self::Fail2ban => "fail2ban",
            Self::Fail2banRegex => "fail2ban-regex",
            Self::Fail2banRs => "fail2ban-rs",
            Self::Fail2banRsDryRun => "fail2ban-rs-dry-run",
            Self::Sshguard => "sshguard",
            Self::Rg => "rg",
            Self::RgTyped => "rg-typed",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Stockade => "**stockade**, the daemon",
            Self::Imported => "**stockade**, the daemon with fail2ban's filter",
            Self::StockadeRegex => "`stockade regex`",
            Self::Fail2ban => "fail2ban, the daemon",
            Self::Fail2banRegex => "`fail2ban-regex`",
            Self::Fail2banRs => "fail2ban-rs, the daemon",
            Self::Fail2banRsDryRun => "`fail2ban-rs dry-run`",
            Self::Sshguard => "sshguard, its parser alone",
            Self::Rg => "`rg -c`, the same patterns",
            Self::RgTyped => "`rg -c`, four short patterns",
        }
    }
}

/// Where the programs of the others lie; `None` for what cannot be had.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs {
    /// The folder that fail2ban's files are under.
    pub(super) fail2ban: Option<PathBuf>,
    pub(super) fail2ban_rs: Option<PathBuf>,
    pub(super) sshg_parser: Option<PathBuf>,
    pub(super) rg: Option<PathBuf>,
}

impl Programs {
    /// Fetches what these tools need and is not there yet into `folder`.
    pub(super) fn fetch(folder: &Path, tools: &[Tool]) {
        let needs = |users: &[Tool]| tools.iter().any(|tool| users.contains(tool));
        let missing = |what, result: Result<(), Failure>| {
            if let Err(why) = result {
                progress(format_args!("without {what}: {why}"));
            }
        };
        // Its filters are what we import.
        if needs(&[Tool::Imported, Tool::Fail2ban, Tool::Fail2banRegex]) {
            let found = fail2ban::find_or_fetch(&folder.join("fail2ban"));
            missing("fail2ban", found.map(drop));
        }
        if needs(&[Tool::Sshguard]) {
            missing("sshguard", unpack(&folder.join("sshguard"), "sshguard"));
        }
        if needs(&[Tool::Rg, Tool::RgTyped]) && packages::find("rg").is_none() {
            missing("rg", unpack(&folder.join("ripgrep"), "ripgrep"));
        }
        if needs(&[Tool::Fail2banRs, Tool::Fail2banRsDryRun]) {
            missing("fail2ban-rs", install(&folder.join("fail2ban-rs")));
        }
    }

    /// What [`Programs::fetch`] has found.
    pub(super) fn in_folder(folder: &Path) -> Self {
        let there = |path: PathBuf| path.exists().then_some(path);
        let fail2ban = match packages::find("fail2ban-server") {
            Some(_) => Some(PathBuf::from("/")),
            None => there(folder.join("fail2ban/unpacked")),
        };
        Self {
            fail2ban,
            fail2ban_rs: there(folder.join("fail2ban-rs/bin/fail2ban-rs")),
            sshg_parser: there(folder.join("sshguard/usr/libexec/sshguard/sshg-parser")),
            rg: packages::find("rg").or_else(|| there(folder.join("ripgrep/usr/bin/rg"))),
        }
    }

    /// Whose figures these are.
    pub(super) fn versions(&self) -> Vec<(&'static str, String)> {
        let first = |run: Run| {
            let text = run.read().ok()?;
            text.lines().next().map(str::to_owned)
        };
        let rs = self.fail2ban_rs.as_ref();
        let rg = self.rg.as_ref();
        let fail2ban = self.fail2ban.as_ref();
        let found = [
            (
                "fail2ban",
                fail2ban.and_then(|root| fail2ban::Fail2ban::at(root).version()),
            ),
            (
                "fail2ban-rs",
                rs.and_then(|rs| first(Run::new(rs).arg("--version"))),
            ),
            (
                "sshguard",
                self.sshg_parser.as_ref().map(|_| "Debian's".to_owned()),
            ),
            ("rg", rg.and_then(|rg| first(Run::new(rg).arg("--version")))),
        ];
        found
            .into_iter()
            .filter_map(|(name, version)| Some((name, version?)))
            .collect()
    }
}

/// Unpacks a package of Debian into `folder`, where that is not done yet.
fn unpack(folder: &Path, package: &str) -> Result<(), Failure> {
    if folder.join("usr").exists() {
        return Ok(());
    }
    packages::find("apt-get").ok_or("it is fetched from Debian, and there is no apt-get")?;
    fs::create_dir_all(folder)?;
    Run::new("apt-get")
        .args(["--quiet=2", "download", package])
        .in_dir(folder)
        .read()?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            Run::new("dpkg").arg("-x").arg(path).arg(folder).read()?;
        }
    }
    Ok(())
}

fn install(root: &Path) -> Result<(), Failure> {
    if root.join("bin/fail2ban-rs").exists() {
        return Ok(());
    }
    progress("building fail2ban-rs");
    Run::cargo()
        .args(["install", "--quiet", "--locked", "fail2ban-rs"])
        .args(["--version", FAIL2BAN_RS, "--root"])
        .arg(root)
        // Apart from our own build, whose lock others may hold.
        .env("CARGO_TARGET_DIR", root.join("target"))
        .read()
        .map(drop)
}
