//! What only shows when everything is known: what does not fit together, and who suffers from it.

use stockade_core::{JailName, PluginName};

use crate::diagnostic::{Diagnostic, Severity};
use crate::load::ConfigFiles;
use crate::reading::{Part, Reading};
use crate::settings::{BrokenJail, FilterChoice, JailSettings, Settings};
use crate::suggest;

/// Checks the settings as a whole, and takes out the jails that use something faulty.
pub(crate) fn check(settings: &mut Settings, files: &ConfigFiles, reading: &mut Reading) {
    check_roles(settings, reading);
    set_aside(settings, reading);
    // What nobody uses would be told wrongly while jails are missing.
    if !reading.diagnostics.failed() {
        warn(settings, files, reading);
    }
}

fn acts(jail: &JailSettings, name: &PluginName) -> bool {
    jail.rules.actions.contains(name)
}

fn filters(jail: &JailSettings, name: &PluginName) -> bool {
    matches!(&jail.filter, FilterChoice::Plugin(plugin) if plugin == name)
}

/// Reports plugins that are to be a filter here and an action there.
fn check_roles(settings: &Settings, reading: &mut Reading) {
    let jail = |is: fn(&JailSettings, &PluginName) -> bool, name: &PluginName| {
        settings.jails.iter().find(|jail| is(jail, name))
    };
    for (name, plugin) in &settings.plugins {
        let (Some(acts), Some(filters)) = (jail(acts, name), jail(filters, name)) else {
            continue;
        };
        let message = format!(
            "plugin '{name}' is the filter of jail '{}' and an action of jail '{}'",
            filters.name, acts.name
        );
        let hint = "a component is one of the two; define a plugin for each".to_owned();
        reading.of(Part::Plugin(name.to_string()), |reading| {
            reading.error(plugin.origin, message, Some(hint));
        });
    }
}

/// Takes out the jails that use a plugin or program which cannot be used.
fn set_aside(settings: &mut Settings, reading: &Reading) {
    let faulty = |jail: &JailSettings| {
        let filter = match &jail.filter {
            FilterChoice::Plugin(name) => Some(name),
            FilterChoice::Plain(_) => None,
        };
        let mut used = filter.into_iter().chain(&jail.rules.actions);
        used.find_map(|name| reading.fault(&Part::Plugin(name.to_string())))
    };
    for jail in std::mem::take(&mut settings.jails) {
        match faulty(&jail) {
            Some(why) => settings.broken.push(BrokenJail {
                name: jail.name.to_string(),
                why: why.clone(),
            }),
            None => settings.jails.push(jail),
        }
    }
    settings.broken.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Warns of what nobody uses, and of names that look alike.
fn warn(settings: &Settings, files: &ConfigFiles, reading: &mut Reading) {
    for (name, plugin) in &settings.plugins {
        let mut jails = settings.jails.iter();
        if !jails.any(|jail| acts(jail, name) || filters(jail, name)) {
            let message = format!("plugin '{name}' is used by no jail that is enabled");
            reading.warn(plugin.origin, message, None);
        }
    }
    for (name, program) in &settings.exec {
        let mut jails = settings.jails.iter();
        if !jails.any(|jail| jail.rules.actions.contains(name)) {
            let message = format!("[exec.{name}] is an action of no jail that is enabled");
            reading.warn(program.origin, message, None);
        }
    }
    if settings.jails.is_empty() {
        let message = "no jail is enabled: nothing is protected".to_owned();
        let path = files
            .main
            .as_ref()
            .map_or("stockade.toml", |main| &main.path);
        let found = Diagnostic::of_file(Severity::Warning, path, message);
        reading.diagnostics.push(None, found);
    }
    warn_of_near_names(settings, reading);
}

/// Warns of a disabled jail and an enabled one whose names differ in case only: the override was
/// probably meant for the other.
fn warn_of_near_names(settings: &Settings, reading: &mut Reading) {
    for (index, jail) in settings.jails.iter().enumerate() {
        let others = settings
            .jails
            .iter()
            .take(index)
            .map(|other| other.name.as_str());
        let same = others
            .chain(settings.disabled.iter().map(JailName::as_str))
            .chain(settings.absent.iter().map(|absent| absent.name.as_str()))
            .find(|other| other.eq_ignore_ascii_case(jail.name.as_str()));
        if let Some(other) = same {
            let message = format!("jails '{other}' and '{}' differ in case only", jail.name);
            let hint = suggest::hint(jail.name.as_str(), [other]);
            reading.warn(jail.origin, message, hint);
        }
    }
}
