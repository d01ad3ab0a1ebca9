//! Beside ufw: the chains and sets of the iptables backend, with the iptables that ufw calls.
//!
//! ufw's own rules and files stay as they are. A reload of ufw leaves our chains alone; with
//! `MANAGE_BUILTINS=yes` it flushes everything, which is noticed and healed as any flush is.

use stockade_core::IpNet;

use crate::contract::{Change, Counter, Element, Firewall, Health, Refusal, Timeouts};
use crate::iptables::Iptables;
use crate::rules::JailRules;
use crate::{FirewallError, Watch};

/// Name of the backend.
const NAME: &str = "ufw";

/// Where the package puts what ufw starts with.
const SETTINGS: &str = "/etc/ufw/ufw.conf";

/// The chain with the rules of ufw's users, which is there while ufw is active.
const USER_CHAIN: &str = "ufw-user-input";

/// The ufw backend.
#[derive(Debug)]
pub struct Ufw {
    iptables: Iptables,
    is_active: bool,
}

impl Ufw {
    /// Checks that ufw is installed and that iptables and ipset can be used. Changes nothing.
    ///
    /// # Errors
    /// [`FirewallError::NotPermitted`], and [`FirewallError::Unavailable`] where a program or ufw is missing.
    pub fn open() -> Result<Self, FirewallError> {
        if !std::path::Path::new(SETTINGS).exists() {
            return Err(FirewallError::Unavailable {
                backend: NAME,
                what: format!("ufw is not installed: there is no {SETTINGS}"),
                hint: Some("install the package 'ufw', or use the backend 'iptables'"),
            });
        }
        let iptables = Iptables::open_alternative(NAME)?;
        let is_active = iptables.has_chain(USER_CHAIN)?;
        Ok(Self {
            iptables,
            is_active,
        })
    }

    /// Which iptables is used and why, in words for the log.
    #[must_use]
    pub fn choice(&self) -> String {
        self.iptables.choice()
    }
}

impl Firewall for Ufw {
    fn name(&self) -> &str {
        NAME
    }

    fn timeouts(&self) -> Timeouts {
        self.iptables.timeouts()
    }

    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError> {
        self.is_active = self.iptables.has_chain(USER_CHAIN)?;
        self.iptables.configure(rules)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError> {
        self.iptables.apply(changes)
    }

    fn list(&mut self) -> Result<Vec<Element>, FirewallError> {
        self.iptables.list()
    }

    fn probe(&mut self) -> Result<Health, FirewallError> {
        self.iptables.probe()
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        self.iptables.teardown()
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, FirewallError> {
        self.iptables.watch()
    }

    fn end_connections(&mut self, nets: &[IpNet]) -> Result<usize, FirewallError> {
        self.iptables.end_connections(nets)
    }

    /// That ufw is switched off is said here: bans hold all the same.
    fn notes(&self) -> Vec<String> {
        let mut notes = self.iptables.notes();
        if !self.is_active {
            notes.push(
                "ufw is installed but not active: bans are enforced, ufw's own rules are not; 'ufw enable' \
                 switches it on"
                    .to_owned(),
            );
        }
        notes
    }

    fn counters(&mut self) -> Result<Vec<Counter>, FirewallError> {
        self.iptables.counters()
    }
}
