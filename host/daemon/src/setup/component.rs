//! Whether a component can be used as the plugin that it is to be.

use std::sync::Arc;

use stockade_config::PluginSettings;
use stockade_core::PluginName;
use stockade_plugins::{Capability, Inspection, Role, inspect};

/// A message and, where there is one, a hint.
pub(super) type Problem = (String, Option<String>);

/// The component of a plugin, or what keeps it from being used as one.
pub(super) fn read(
    name: &PluginName,
    plugin: &PluginSettings,
    role: Role,
) -> Result<Arc<[u8]>, Vec<Problem>> {
    let path = plugin.path.display();
    let bytes = std::fs::read(&plugin.path).map_err(|error| {
        vec![(
            format!("cannot read plugin '{name}' at '{path}': {error}"),
            None,
        )]
    })?;
    let inspection = inspect(&bytes)
        .map_err(|error| vec![(format!("plugin '{name}' at '{path}': {error}"), None)])?;
    let problems = problems(name, plugin, role, &inspection);
    if problems.is_empty() {
        Ok(bytes.into())
    } else {
        Err(problems)
    }
}

/// What keeps a component from being used as this plugin, each with what to do about it.
fn problems(
    name: &PluginName,
    plugin: &PluginSettings,
    role: Role,
    inspection: &Inspection,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !inspection.roles.contains(&role) {
        let exports = inspection.exports.join(", ");
        let message = format!(
            "plugin '{name}' is used as {}, but exports {exports}",
            a(role)
        );
        problems.push((
            message,
            Some(format!("{} exports {}", a(role), role.interface())),
        ));
    }
    for unknown in &inspection.unknown {
        problems.push((
            format!("plugin '{name}' wants '{unknown}', which stockade does not have"),
            None,
        ));
    }
    for wanted in inspection
        .wants
        .iter()
        .filter(|wanted| !is_granted(plugin, **wanted))
    {
        let message = format!(
            "plugin '{name}' wants {}, which is not granted",
            wanted.interface()
        );
        let hint = format!(
            "if you trust it with that, write `{}` under [plugins.{name}.grant]",
            wanted.grant()
        );
        problems.push((message, Some(hint)));
    }
    problems
}

fn a(role: Role) -> &'static str {
    match role {
        Role::Filter => "a filter",
        Role::Action => "an action",
    }
}

fn is_granted(plugin: &PluginSettings, wanted: Capability) -> bool {
    match wanted {
        Capability::Log => plugin.grant.log,
        Capability::Clock => plugin.grant.clock,
        Capability::Kv => plugin.grant.kv,
        Capability::Http => !plugin.grant.http.is_empty(),
    }
}
