//! What of the configuration before stays in force where the new one is wrong: nobody loses
//! protection by a slip of the pen.

use stockade_config::{BrokenJail, Diagnostic, FilterChoice};
use stockade_core::PluginName;

use super::{ReadyJail, Setup};

impl Setup {
    /// Takes over from `before` what is broken here and ran there.
    pub(crate) fn keep_from(&mut self, before: &Self) {
        let broken = self.broken.iter().map(|jail| jail.name.clone());
        for name in broken.collect::<Vec<_>>() {
            self.keep_jail(&name, before);
        }
        for (plugin, why) in std::mem::take(&mut self.broken_plugins) {
            if !self.retreat(&plugin, &why, before) {
                self.broken_plugins.push((plugin, why));
            }
        }
    }

    /// Goes back to `before` with a plugin that cannot be used or, where it is new, with the jails
    /// whose filter it is. False where there is nothing to go back to.
    pub(crate) fn retreat(&mut self, plugin: &PluginName, why: &Diagnostic, before: &Self) -> bool {
        let component = before.components.get(plugin);
        let known = before.settings.plugins.get(plugin).zip(component);
        if let Some((settings, component)) = known {
            let now = self.settings.plugins.get(plugin);
            if now != Some(settings) || self.components.get(plugin) != Some(component) {
                let settings = settings.clone();
                self.settings.plugins.insert(plugin.clone(), settings);
                self.components.insert(plugin.clone(), component.clone());
                return true;
            }
        }
        let jails = self.jails.iter();
        let names = jails
            .filter(|jail| is_filter(jail, plugin))
            .map(|jail| jail.settings.name.to_string());
        let mut kept = false;
        for name in names.collect::<Vec<_>>() {
            let was = before.jail(&name);
            if was.is_some_and(|was| !is_filter(was, plugin)) && self.keep_jail(&name, before) {
                let why = why.clone();
                self.broken.push(BrokenJail { name, why });
                kept = true;
            }
        }
        kept
    }

    fn jail(&self, name: &str) -> Option<&ReadyJail> {
        let mut jails = self.jails.iter();
        jails.find(|jail| jail.settings.name.as_str() == name)
    }

    /// Puts a jail in as it was, with what it refers to where that has no new definition.
    fn keep_jail(&mut self, name: &str, before: &Self) -> bool {
        let Some(jail) = before.jail(name) else {
            return false;
        };
        let filter = match &jail.settings.filter {
            FilterChoice::Plugin(plugin) => Some(plugin),
            FilterChoice::Plain(_) => None,
        };
        for used in filter.into_iter().chain(&jail.settings.rules.actions) {
            self.keep_plugin(used, before);
        }
        self.jails
            .retain(|other| other.settings.name.as_str() != name);
        self.jails.push(jail.clone());
        self.jails
            .sort_by(|a, b| a.settings.name.cmp(&b.settings.name));
        let jails = self.jails.iter().map(|jail| jail.settings.clone());
        self.settings.jails = jails.collect();
        true
    }

    fn keep_plugin(&mut self, name: &PluginName, before: &Self) {
        let settings = &mut self.settings;
        let is_program = settings.exec.contains_key(name);
        let is_plugin = settings.plugins.contains_key(name) && self.components.contains_key(name);
        if is_program || is_plugin {
            return;
        }
        if let Some(program) = before.settings.exec.get(name) {
            settings.plugins.remove(name);
            settings.exec.insert(name.clone(), program.clone());
        }
        if let Some(plugin) = before.settings.plugins.get(name) {
            settings.plugins.insert(name.clone(), plugin.clone());
        }
        if let Some(component) = before.components.get(name) {
            self.components.insert(name.clone(), component.clone());
        }
    }
}

fn is_filter(jail: &ReadyJail, plugin: &PluginName) -> bool {
    matches!(&jail.settings.filter, FilterChoice::Plugin(name) if name == plugin)
}
