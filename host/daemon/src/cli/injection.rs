//! `stockade check --injection`: can a client who only chooses texts in a log choose who is banned?

use std::path::Path;

use stockade_config::fail2ban::{Tree, Written};
use stockade_config::load;
use stockade_control::ExitCode;
use stockade_core::Escaped;
use stockade_detect::injection::{Examination, Trick, Weakness, examine};
use stockade_detect::{DatePattern, Dialect, Filter, FilterSource, PatternError};

use super::args::{CheckArgs, GlobalArgs};
use super::{Failure, print, print_json};
use crate::setup;

/// Examines the filters with these names, or all; exit code 1 where one bans whom a client chooses.
pub(super) fn check(
    global: &GlobalArgs,
    args: &CheckArgs,
    names: &[String],
) -> Result<ExitCode, Failure> {
    let samples = args.samples.as_deref().map_or(Ok(Vec::new()), samples)?;
    let filters = filters(global, names)?;
    let examined: Vec<Examined<'_>> = filters
        .iter()
        .map(|(name, filter)| Examined {
            name,
            word: match filter.source().json {
                Some(_) => "failure",
                None => "failregex",
            },
            found: examine(filter, &samples),
        })
        .collect();
    if global.json {
        print_json(&wire(&examined));
    } else {
        print(&text(&examined));
    }
    let mut found = examined.iter().flat_map(|one| &one.found.weaknesses);
    Ok(if found.any(|weakness| weakness.banned.is_some()) {
        ExitCode::Refused
    } else {
        ExitCode::Ok
    })
}

/// A filter and what is known about it.
struct Examined<'a> {
    name: &'a str,
    /// What the filter's file calls one of its patterns.
    word: &'static str,
    found: Examination,
}

/// The lines of a log, or of a file of annotated samples.
fn samples(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let text = std::fs::read(path).map_err(|error| {
        let message = format!("cannot read '{}': {error}", path.display());
        Failure::text(ExitCode::Refused, message)
    })?;
    let lines = text.split(|&byte| byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(lines
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(<[u8]>::to_vec)
        .collect())
}

/// The filters with these names, or all of the configuration. Of a fail2ban configuration these are
/// the filters of the jails that run; by its name every other one can be had too.
fn filters(global: &GlobalArgs, names: &[String]) -> Result<Vec<(String, Filter)>, Failure> {
    let loaded = load(&global.configuration().files());
    let tree = global.fail2ban.as_deref().map(Tree::read);
    let mut filters = Vec::new();
    for (name, filter) in &loaded.filters {
        if names.is_empty() || names.contains(name) {
            let compiled = setup::compile(filter, setup::Reads::default());
            filters.push((name.clone(), sound(name, compiled)?));
        }
    }
    for name in names {
        if loaded.filters.contains_key(name) {
            continue;
        }
        let Some(tree) = &tree else {
            super::tell(&loaded.diagnostics);
            let message = format!("there is no filter '{name}'");
            return Err(Failure::text(ExitCode::Refused, message));
        };
        let compiled = Filter::compile(&of_tree(tree, name)?);
        filters.push((name.clone(), sound(name, compiled)?));
    }
    Ok(filters)
}

fn sound(name: &str, compiled: Result<Filter, Vec<PatternError>>) -> Result<Filter, Failure> {
    compiled.map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        Failure::text(ExitCode::Config, format!("filter '{name}': {first}"))
            .hint("`stockade check` shows where")
    })
}

/// A filter of fail2ban as it is without the options of a jail.
fn of_tree(tree: &Tree, name: &str) -> Result<FilterSource, Failure> {
    let resolved = tree.filter(name, &[]).map_err(|faults| {
        super::tell(&faults);
        Failure::text(ExitCode::Refused, format!("filter '{name}' cannot be used"))
    })?;
    let texts = |all: &[Written]| all.iter().map(|one| one.as_str().to_owned()).collect();
    let prefregex = resolved.prefregex.as_ref();
    Ok(FilterSource {
        prefregex: prefregex.map(|one| one.as_str().to_owned()),
        failregex: texts(&resolved.failregex),
        ignoreregex: texts(&resolved.ignoreregex),
        datepattern: match resolved.datepattern.as_deref() {
            None | Some([]) => DatePattern::Templates(vec!["{DEFAULT}".to_owned()]),
            Some(templates) => DatePattern::Templates(texts(templates)),
        },
        dialect: Dialect::Fail2ban,
        maxlines: resolved.maxlines.map_or(1, |lines| lines.value),
        ..FilterSource::default()
    })
}

fn text(examined: &[Examined<'_>]) -> String {
    let mut out = String::new();
    for Examined { name, word, found } in examined {
        for weakness in &found.weaknesses {
            out.push_str(&format!(
                "{name}: {word} {} {}, {}:\n    {}\n",
                weakness.pattern + 1,
                verdict(weakness),
                why(weakness, word),
                Escaped(&weakness.line)
            ));
        }
        if !found.unproved.is_empty() {
            let numbers: Vec<String> = found.unproved.iter().map(|i| (i + 1).to_string()).collect();
            out.push_str(&format!(
                "{name}: not decided for {word} {}\n",
                numbers.join(", ")
            ));
        } else if found.weaknesses.is_empty() {
            out.push_str(&format!("{name}: no line was found that deceives it\n"));
        }
    }
    out
}

fn verdict(weakness: &Weakness) -> String {
    match &weakness.banned {
        Some(banned) => format!("bans {banned}"),
        None => "counts for nobody".to_owned(),
    }
}

fn why(weakness: &Weakness, word: &str) -> String {
    match &weakness.trick {
        Trick::TwoReadings { pattern, other } => {
            format!("and {word} {} can read {other} in this line", pattern + 1)
        }
        Trick::ForgedMessage => "as a message stands inside another one".to_owned(),
        Trick::ForgedField { honest } => {
            format!("by what stands in the place of '{}'", Escaped(honest))
        }
        Trick::ClientHeader { field } => {
            let field = Escaped(field.as_bytes());
            format!("since any client can send the header that goes into '{field}'")
        }
    }
}

fn wire(examined: &[Examined<'_>]) -> serde_json::Value {
    let weakness = |weakness: &Weakness, word: &str| {
        serde_json::json!({
            "pattern": weakness.pattern + 1,
            "line": Escaped(&weakness.line).to_string(),
            "banned": weakness.banned.as_ref().map(ToString::to_string),
            "why": why(weakness, word),
        })
    };
    let filters = examined.iter().map(|Examined { name, word, found }| {
        serde_json::json!({
            "filter": name,
            "weaknesses": found.weaknesses.iter().map(|w| weakness(w, word)).collect::<Vec<_>>(),
            "undecided": found.unproved.iter().map(|i| i + 1).collect::<Vec<_>>(),
        })
    });
    serde_json::json!({ "filters": filters.collect::<Vec<_>>() })
}
