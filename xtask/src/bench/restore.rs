//! How long the kernel takes to get back 100,000 bans: `host/firewall/examples/restore_speed.rs`.

use std::time::Duration;

use serde_json::Value;

use super::Lab;
use super::report::{Better, Measured, Report, Row, progress};
use crate::Failure;
use crate::lab::build;
use crate::lab::process::Process;
use crate::run::Run;

const RUN_WITHIN: Duration = Duration::from_secs(300);

const ROW: Row = Row {
    key: "restore",
    what: "100,000 bans into the kernel",
    unit: "s",
    better: Better::Less,
    with: "nft -f",
};

/// Builds the example.
pub(super) fn build(choice: &build::Choice) -> Result<(), Failure> {
    choice
        .cargo_build()
        .args(["--package=stockade-firewall", "--example=restore_speed"])
        .succeed()
}

pub(super) fn measure(lab: &Lab<'_>, report: &mut Report) {
    progress("restoring 100,000 bans");
    match run(lab) {
        Err(why) => report.add(ROW, Err(why.to_string().into()), Err("see there".into())),
        Ok(found) => {
            let seconds = |key: &str| -> Measured {
                let value = found.get(key).and_then(Value::as_f64);
                value.ok_or_else(|| format!("the example says nothing of '{key}'").into())
            };
            report.add(ROW, seconds("ours_s"), seconds("nft_s"));
        }
    }
}

fn run(lab: &Lab<'_>) -> Result<Value, Failure> {
    // Beside the daemon, where cargo puts both.
    let program = lab
        .built
        .daemon
        .with_file_name("examples")
        .join("restore_speed");
    let output = Process::start(Run::new(program))?
        .finish(RUN_WITHIN)?
        .output("restore_speed")?;
    Ok(serde_json::from_str(&output)?)
}
