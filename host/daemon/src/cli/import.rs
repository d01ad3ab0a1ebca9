//! `stockade import`: a fail2ban configuration as one of ours, and what became of each part of it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use stockade_config::fail2ban::{Import, Tree, import as translate};
use stockade_control::ExitCode;

use super::args::{GlobalArgs, ImportArgs};
use super::{Failure, print, print_json};
use crate::presence::ThisHost;

/// The name of the report beside the files.
const REPORT: &str = "import-report.txt";

/// Translates, writes where it was asked to, and tells what became of everything.
pub(super) fn import(global: &GlobalArgs, args: &ImportArgs) -> Result<ExitCode, Failure> {
    let import = translate(&Tree::read(&args.dir), &ThisHost);
    if let Some(out) = &args.out {
        write(&import, out).map_err(|error| {
            let message = format!("cannot write to '{}': {error}", out.display());
            Failure::text(ExitCode::Refused, message)
                .hint("nothing that exists is replaced; name a folder that is new or empty")
        })?;
    }
    if global.json {
        print_json(&json(&import));
    } else {
        print(&import.report.to_string());
        if let Some(out) = &args.out {
            let out = out.display();
            print(&format!(
                "\nwritten to '{out}'; try it with 'stockade check --config {out}/stockade.toml'\n"
            ));
        }
    }
    let broken = import
        .diagnostics()
        .iter()
        .any(stockade_config::Diagnostic::is_error);
    Ok(if broken {
        ExitCode::Config
    } else {
        ExitCode::Ok
    })
}

fn write(import: &Import, out: &Path) -> io::Result<()> {
    for folder in ["jails", "filters"] {
        fs::create_dir_all(out.join(folder))?;
    }
    create(&out.join("stockade.toml"), &import.main)?;
    for (folder, texts) in [("jails", &import.jails), ("filters", &import.filters)] {
        for (name, text) in texts {
            create(&out.join(folder).join(format!("{name}.toml")), text)?;
        }
    }
    create(&out.join(REPORT), &import.report.to_string())
}

/// Writes a file that is not there yet.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn json(import: &Import) -> serde_json::Value {
    let notes = import.report.notes.iter().map(|note| {
        serde_json::json!({
            "jail": note.jail,
            "what": note.what,
            "verdict": match note.verdict {
                stockade_config::fail2ban::Verdict::Translated => "translated",
                stockade_config::fail2ban::Verdict::Different => "different",
                stockade_config::fail2ban::Verdict::Left => "left",
            },
            "why": note.why,
            "place": note.place,
        })
    });
    serde_json::json!({
        "jails": import.jails.keys().collect::<Vec<_>>(),
        "disabled": import.report.disabled,
        "suggestions": import.report.suggestions,
        "notes": notes.collect::<Vec<_>>(),
        "diagnostics": super::wire(import.diagnostics()),
    })
}
