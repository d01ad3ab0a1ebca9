//! `stockade check`: is the configuration right, and if not, everything that is wrong with it.

use stockade_config::{AbsentJail, Diagnostic, Severity};
use stockade_control::ExitCode;
use stockade_core::Escaped;

use super::args::{CheckArgs, GlobalArgs};
use super::{Failure, print, print_json};
use crate::setup;

/// Checks the configuration; exit code 78 where it cannot be used.
pub(super) fn check(global: &GlobalArgs, args: &CheckArgs) -> Result<ExitCode, Failure> {
    if let Some(names) = &args.injection {
        return super::injection::check(global, args, names);
    }
    let read = setup::read(&global.configuration());
    let wrong = read.as_ref().map_or(true, setup::Setup::has_errors);
    if global.json {
        print_json(&as_json(&read, wrong));
    } else {
        as_text(&read, wrong);
    }
    Ok(if wrong {
        ExitCode::Config
    } else {
        ExitCode::Ok
    })
}

/// What was read, or all that is wrong where nothing can run.
type Read = Result<setup::Setup, Vec<Diagnostic>>;

fn found(read: &Read) -> &[Diagnostic] {
    match read {
        Ok(setup) => &setup.found,
        Err(found) => found,
    }
}

/// The jails that can run.
fn names(setup: &setup::Setup) -> Vec<&str> {
    let jails = setup.jails.iter();
    jails.map(|jail| jail.settings.name.as_str()).collect()
}

fn as_json(read: &Read, wrong: bool) -> serde_json::Value {
    let setup = read.as_ref().ok();
    let absent = setup.map_or(&[][..], |setup| &setup.settings.absent);
    let broken = setup.map_or(&[][..], |setup| &setup.broken);
    serde_json::json!({
        "ok": !wrong,
        "jails": setup.map(names).unwrap_or_default(),
        "absent": absent
            .iter()
            .map(|jail| serde_json::json!({
                "name": jail.name.as_str(),
                "message": jail.why,
                "built_in": jail.built_in,
            }))
            .collect::<Vec<_>>(),
        "broken": broken
            .iter()
            .map(|jail| serde_json::json!({
                "name": Escaped(jail.name.as_bytes()).to_string(),
                "message": jail.why.to_string(),
            }))
            .collect::<Vec<_>>(),
        "diagnostics": wire(found(read)),
    })
}

fn as_text(read: &Read, wrong: bool) {
    tell(found(read));
    if wrong {
        let errors = found(read).iter().filter(|found| found.is_error()).count();
        eprintln!(
            "stockade: {errors} {} in the configuration",
            if errors == 1 { "error" } else { "errors" }
        );
    }
    let Ok(setup) = read else {
        eprintln!("no jail can run: an error concerns all of them");
        return;
    };
    for jail in &setup.broken {
        eprintln!("broken: {}", Escaped(jail.name.as_bytes()));
    }
    let jails = match names(setup).as_slice() {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    match (wrong, jails.as_str()) {
        (false, "none") => print("configuration ok, but no jail is enabled\n"),
        (false, jails) => print(&format!("configuration ok, enabled jails: {jails}\n")),
        (true, jails) => eprintln!("jails that can run nevertheless: {jails}"),
    }
    print(&off(&setup.settings.absent));
}

/// The jails that are off because this host has nothing for them, with the reason where its own
/// files name them.
fn off(absent: &[AbsentJail]) -> String {
    let (built_in, own): (Vec<_>, Vec<_>) = absent.iter().partition(|jail| jail.built_in);
    let mut text: String = own
        .iter()
        .map(|jail| {
            format!(
                "off, as this host has nothing for it: {} ({})\n",
                jail.name, jail.why
            )
        })
        .collect();
    let names: Vec<_> = built_in.iter().map(|jail| jail.name.as_str()).collect();
    if !names.is_empty() {
        text.push_str(&format!(
            "built in and off, as this host has nothing for them: {}\n",
            names.join(", ")
        ));
    }
    text
}

/// Diagnostics on standard error.
pub(crate) fn tell(found: &[Diagnostic]) {
    for diagnostic in found {
        eprintln!("{}", diagnostic.render());
    }
}

/// Diagnostics as they go over the control socket.
pub(crate) fn wire(found: &[Diagnostic]) -> Vec<stockade_control::Diagnostic> {
    let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let one = |diagnostic: &Diagnostic| stockade_control::Diagnostic {
        severity: match diagnostic.severity {
            Severity::Error => stockade_control::Severity::Error,
            Severity::Warning => stockade_control::Severity::Warning,
        },
        path: diagnostic.path.clone(),
        line: diagnostic.position.map(|position| wide(position.line)),
        column: diagnostic.position.map(|position| wide(position.col)),
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone(),
        excerpt: diagnostic
            .excerpt
            .as_ref()
            .map(|excerpt| stockade_control::Excerpt {
                text: excerpt.text.clone(),
                mark_start: wide(excerpt.mark_start),
                mark_len: wide(excerpt.mark_len),
            }),
    };
    found.iter().map(one).collect()
}
