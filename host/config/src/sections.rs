//! One module for each table of the configuration.

pub(crate) mod daemon;
pub(crate) mod enforcement;
pub(crate) mod exec;
pub(crate) mod filter;
pub(crate) mod firewall;
pub(crate) mod ignorecommand;
pub(crate) mod increment;
pub(crate) mod jail;
pub(crate) mod plugin;
pub(crate) mod rules;
pub(crate) mod safeguards;
