//! Why a plugin cannot be loaded, in words for the operator.

use std::io;
use std::path::PathBuf;

use crate::compile::CompileError;
use crate::inspect::NotAComponent;
use crate::role::Role;
use stockade_core::PluginName;

/// A plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("plugin '{plugin}' {reason}")]
pub struct LoadError {
    /// Which one.
    pub plugin: PluginName,
    /// Why not; its text is part of this one's, causes included.
    pub reason: LoadReason,
}

/// Why a plugin cannot be loaded; continues a sentence that begins with the plugin's name.
#[derive(Debug, thiserror::Error)]
pub enum LoadReason {
    /// Its file cannot be read.
    #[error("cannot be read from '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its file is something else.
    #[error("is no component: {0}")]
    NotAComponent(NotAComponent),
    /// It is a component, but not of this role.
    #[error("is no {role}: a {role} exports {}, this one exports {}", role.interface(), list(exports))]
    WrongRole {
        /// What it was to be.
        role: Role,
        /// What it exports.
        exports: Vec<String>,
    },
    /// It was built for another version of the contract.
    #[error("was built for {found}; this stockade has {offered}; rebuild the plugin with SDK 0.1")]
    OtherVersion {
        /// The interface and version that it has.
        found: String,
        /// The version of it that is here.
        offered: &'static str,
    },
    /// It wants something that is not granted.
    #[error(
        "wants {interface}, which is not granted; write `{grant}` under [plugins.{plugin}.grant]"
    )]
    NotGranted {
        /// Which plugin.
        plugin: PluginName,
        /// What it wants.
        interface: &'static str,
        /// What grants it.
        grant: &'static str,
    },
    /// It wants something that no plugin gets.
    #[error("wants {import}, which stockade does not have{hint}")]
    UnknownImport {
        /// What it wants.
        import: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// It cannot be compiled.
    #[error("cannot be compiled: {0}")]
    Compile(CompileError),
    /// Its functions are not those of the contract.
    #[error("does not fit the contract: {0}; rebuild it with SDK 0.1")]
    Link(String),
    /// It failed when it was started.
    #[error("failed at start: {0}")]
    Start(String),
    /// It refused its settings, or to start, by itself.
    #[error("refuses to start: {0}")]
    Refused(String),
    /// It asks for more lines than a plan can describe.
    #[error("has a plan that breaks the contract: {0}")]
    Plan(String),
    /// The settings for it break the contract.
    #[error("has more than 256 settings or 64 KiB of them")]
    Settings,
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".into()
    } else {
        names.join(", ")
    }
}
