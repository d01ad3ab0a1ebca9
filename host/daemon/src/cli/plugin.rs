//! `stockade plugin`: what a component is, without running it.

use std::path::Path;

use stockade_control::ExitCode;
use stockade_plugins::{Inspection, Role, inspect as look};

use super::args::GlobalArgs;
use super::{Failure, print, print_json};

/// Shows what a component offers and wants.
pub(super) fn inspect(global: &GlobalArgs, file: &Path) -> Result<ExitCode, Failure> {
    let name = file.display();
    let bytes = std::fs::read(file).map_err(|error| {
        Failure::text(ExitCode::Refused, format!("cannot read '{name}': {error}"))
    })?;
    let inspection = look(&bytes)
        .map_err(|error| Failure::text(ExitCode::Refused, format!("'{name}': {error}")))?;
    if global.json {
        print_json(&wire(&inspection));
    } else {
        print(&text(&inspection));
    }
    Ok(if inspection.unknown.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::Refused
    })
}

/// Compiles a component from standard input to standard output, as the daemon's child.
pub(super) fn compile() -> Result<ExitCode, Failure> {
    let code = stockade_plugins::compile_child_main();
    Ok(if code == std::process::ExitCode::SUCCESS {
        ExitCode::Ok
    } else {
        ExitCode::Refused
    })
}

fn roles(inspection: &Inspection) -> Vec<&'static str> {
    let word = |role: &Role| match role {
        Role::Filter => "filter",
        Role::Action => "action",
    };
    inspection.roles.iter().map(word).collect()
}

fn grants(inspection: &Inspection) -> Vec<&'static str> {
    inspection
        .wants
        .iter()
        .map(|wanted| wanted.grant())
        .collect()
}

fn wire(inspection: &Inspection) -> serde_json::Value {
    serde_json::json!({
        "sha256": inspection.sha256,
        "size": inspection.size,
        "roles": roles(inspection),
        "exports": inspection.exports,
        "imports": inspection.imports,
        "grants": grants(inspection),
        "unknown": inspection.unknown,
        "memory_bytes_min": inspection.memory_bytes_min,
        "sdk": inspection.sdk,
    })
}

fn text(inspection: &Inspection) -> String {
    let list = |items: &[String]| {
        if items.is_empty() {
            "none".to_owned()
        } else {
            items.join("\n           ")
        }
    };
    let mut text = format!(
        "roles      {}\nsha256     {}\nsize       {} KiB\nmemory     at least {} KiB\nsdk        {}\n\
         exports    {}\nimports    {}\n",
        roles(inspection).join(", "),
        inspection.sha256,
        inspection.size.div_ceil(1024),
        inspection.memory_bytes_min.div_ceil(1024),
        inspection.sdk.as_deref().unwrap_or("unknown"),
        list(&inspection.exports),
        list(&inspection.imports),
    );
    let grants = grants(inspection);
    if grants.is_empty() {
        text.push_str("\nIt asks for nothing: no grant is needed.\n");
    } else {
        text.push_str("\nIt has to be granted, under [plugins.NAME.grant]:\n");
        for grant in grants {
            text.push_str(&format!("    {grant}\n"));
        }
    }
    for unknown in &inspection.unknown {
        text.push_str(&format!(
            "\nIt cannot be used: stockade does not have '{unknown}'.\n"
        ));
    }
    text
}
