//! How much memory the daemons take while nothing happens.

use std::fs::File;
use std::path::Path;

use super::Lab;
use super::ours::{self, Filter, Setting};
use super::report::{Better, Report, Row, progress};
use super::usage::{self, Memory};
use crate::Failure;
use crate::lab::webhook;

const fn row(key: &'static str, what: &'static str) -> Row {
    Row {
        key,
        what,
        unit: "MiB",
        better: Better::Less,
        with: "fail2ban",
    }
}
const STOCK: [Row; 2] = [
    row("idle_rss", "idle, one sshd jail, RSS"),
    row("idle_pss", "idle, one sshd jail, PSS"),
];
const PLUGINS: [Row; 2] = [
    row("idle_plugins_rss", "idle, three plugins, RSS"),
    row("idle_plugins_pss", "idle, three plugins, PSS"),
];

pub(super) fn measure(lab: &Lab<'_>, report: &mut Report) {
    progress("idle memory");
    let stock = stock(lab);
    let plugins = with_plugins(lab);
    let theirs = theirs(lab);
    for (rows, ours) in [(STOCK, stock), (PLUGINS, plugins)] {
        let [rss, pss] = rows;
        report.add(
            rss,
            part(&ours, |memory| memory.rss_mib),
            part(&theirs, |memory| memory.rss_mib),
        );
        report.add(
            pss,
            part(&ours, |memory| memory.pss_mib),
            part(&theirs, |memory| memory.pss_mib),
        );
    }
}

fn part(memory: &Result<Memory, Failure>, of: fn(&Memory) -> f64) -> Result<f64, Failure> {
    memory
        .as_ref()
        .map(of)
        .map_err(|why| why.to_string().into())
}

fn stock(lab: &Lab<'_>) -> Result<Memory, Failure> {
    let folder = lab.folder("memory-stock")?;
    ours(lab, &folder, Filter::Patterns, "", "")
}

/// The sshd filter, and the webhook action twice.
fn with_plugins(lab: &Lab<'_>) -> Result<Memory, Failure> {
    let folder = lab.folder("memory-plugins")?;
    let address = webhook::listen(|_| {})?;
    let plugin = |name: &str| {
        format!(
            "[plugins.{name}]\npath = \"webhook.wasm\"\n\
             settings = {{ url = \"http://{address}/{name}\" }}\n\
             grant = {{ log = true, http = [{{ origin = \"http://{address}\", private = true }}] }}\n"
        )
    };
    let plugins = plugin("webhook") + &plugin("webhook2");
    ours(
        lab,
        &folder,
        Filter::Plugin,
        &plugins,
        "actions = [\"webhook\", \"webhook2\"]",
    )
}

fn ours(
    lab: &Lab<'_>,
    folder: &Path,
    filter: Filter,
    more: &str,
    more_of_jail: &str,
) -> Result<Memory, Failure> {
    let log = folder.join("auth.log");
    File::create(&log)?;
    let setting = Setting {
        log: &log,
        filter,
        firewall: true,
        more,
        more_of_jail,
    };
    let stockade = ours::start(lab, folder, &setting)?;
    let memory = usage::idle_memory(stockade.id());
    stockade.stop();
    memory
}

fn theirs(lab: &Lab<'_>) -> Result<Memory, Failure> {
    let folder = lab.folder("memory-fail2ban")?;
    let log = folder.join("auth.log");
    File::create(&log)?;
    let fail2ban = lab.theirs()?.start(&folder, &log, true)?;
    let memory = usage::idle_memory(fail2ban.id());
    fail2ban.stop();
    memory
}
