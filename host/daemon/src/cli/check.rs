//! `stockade check`: is the configuration right, and if not, everything that is wrong with it.

use stockade_config::{AbsentJail, Diagnostic, Severity};
use stockade_control::ExitCode;

use super::args::{CheckArgs, GlobalArgs};
use super::{Failure, print, print_json};
use crate::setup;

/// Checks the configuration; exit code 78 where it cannot be used.
pub(super) fn check(global: &GlobalArgs, args: &CheckArgs) -> Result<ExitCode, Failure> {
    if let Some(names) = &args.injection {
        return super::injection::check(global, args, names);
    }
    let mut absent = Vec::new();
    let (found, jails) = match setup::read(&global.configuration()) {
        Ok(setup) if !setup.broken.is_empty() => (
            setup
                .warnings
                .into_iter()
                .chain(setup.broken.into_iter().map(|(_, why)| why))
                .collect(),
            None,
        ),
        Ok(setup) => {
            let names = setup
                .jails
                .iter()
                .map(|jail| jail.settings.name.to_string())
                .collect();
            absent = setup.settings.absent;
            (setup.warnings, Some(names))
        }
        Err(found) => (found, None::<Vec<String>>),
    };
    let wrong = jails.is_none() || found.iter().any(Diagnostic::is_error);
    let jails = jails.filter(|_| !wrong);
    if global.json {
        print_json(&serde_json::json!({
            "ok": !wrong,
            "jails": jails.unwrap_or_default(),
            "absent": absent
                .iter()
                .map(|jail| serde_json::json!({
                    "name": jail.name.as_str(),
                    "message": jail.why,
                    "built_in": jail.built_in,
                }))
                .collect::<Vec<_>>(),
            "diagnostics": wire(&found),
        }));
    } else {
        tell(&found);
        match jails {
            Some(jails) if jails.is_empty() => print("configuration ok, but no jail is enabled\n"),
            Some(jails) => print(&format!(
                "configuration ok, enabled jails: {}\n",
                jails.join(", ")
            )),
            None => {
                let errors = found
                    .iter()
                    .filter(|diagnostic| diagnostic.is_error())
                    .count();
                eprintln!(
                    "stockade: {errors} {} in the configuration",
                    if errors == 1 { "error" } else { "errors" }
                );
            }
        }
        print(&off(&absent));
    }
    Ok(if wrong {
        ExitCode::Config
    } else {
        ExitCode::Ok
    })
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
