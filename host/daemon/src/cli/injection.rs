//! `stockade check --injection`: can a client who only chooses texts in a log choose who is banned?

use stockade_config::load;
use stockade_control::ExitCode;
use stockade_core::Escaped;
use stockade_detect::injection::{Examination, Trick, Weakness, examine};

use super::args::GlobalArgs;
use super::{Failure, print, print_json};
use crate::setup;

/// Examines the filters with these names, or all; exit code 1 where one can be deceived.
pub(super) fn check(global: &GlobalArgs, names: &[String]) -> Result<ExitCode, Failure> {
    let loaded = load(&global.configuration().files().0);
    if let Some(unknown) = names
        .iter()
        .find(|name| !loaded.filters.contains_key(*name))
    {
        super::tell(&loaded.diagnostics);
        return Err(Failure::text(
            ExitCode::Refused,
            format!("there is no filter '{unknown}'"),
        ));
    }
    let mut examined = Vec::new();
    for (name, filter) in &loaded.filters {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        let compiled = setup::compile(filter, setup::Reads::default()).map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            Failure::text(ExitCode::Config, format!("filter '{name}': {first}"))
                .hint("`stockade check` shows where")
        })?;
        examined.push((name.as_str(), examine(&compiled, &[])));
    }
    if global.json {
        print_json(&wire(&examined));
    } else {
        print(&text(&examined));
    }
    let weak = examined
        .iter()
        .any(|(_, found)| !found.weaknesses.is_empty());
    Ok(if weak {
        ExitCode::Refused
    } else {
        ExitCode::Ok
    })
}

fn text(examined: &[(&str, Examination)]) -> String {
    let mut out = String::new();
    for (name, found) in examined {
        for weakness in &found.weaknesses {
            out.push_str(&format!(
                "{name}: failregex {} bans {}, {}:\n    {}\n",
                weakness.pattern + 1,
                weakness.banned,
                why(weakness),
                Escaped(&weakness.line)
            ));
        }
        if !found.unproved.is_empty() {
            let numbers: Vec<String> = found.unproved.iter().map(|i| (i + 1).to_string()).collect();
            out.push_str(&format!(
                "{name}: not decided for failregex {}\n",
                numbers.join(", ")
            ));
        } else if found.weaknesses.is_empty() {
            out.push_str(&format!("{name}: no line was found that deceives it\n"));
        }
    }
    out
}

fn why(weakness: &Weakness) -> String {
    match &weakness.trick {
        Trick::TwoReadings { pattern, other } => {
            format!(
                "and failregex {} can read {other} in this line",
                pattern + 1
            )
        }
        Trick::ForgedMessage => "whose message stands inside another one".to_owned(),
        Trick::ForgedField => "who is named in a user name".to_owned(),
    }
}

fn wire(examined: &[(&str, Examination)]) -> serde_json::Value {
    let weakness = |weakness: &Weakness| {
        serde_json::json!({
            "pattern": weakness.pattern + 1,
            "line": Escaped(&weakness.line).to_string(),
            "banned": weakness.banned.to_string(),
            "why": why(weakness),
        })
    };
    let filters = examined.iter().map(|(name, found)| {
        serde_json::json!({
            "filter": name,
            "weaknesses": found.weaknesses.iter().map(weakness).collect::<Vec<_>>(),
            "undecided": found.unproved.iter().map(|i| i + 1).collect::<Vec<_>>(),
        })
    });
    serde_json::json!({ "filters": filters.collect::<Vec<_>>() })
}
