//! No firewall at all: records what would be done.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stockade_core::{IpNet, JailName};

use crate::contract::{Change, Element, Firewall, Health, JailRules, check_net, check_rules};
use crate::{FirewallError, Watch};

/// The backend of `--dry-run`: takes and lists bans as a firewall would, and blocks nobody.
///
/// Bans that ran out vanish from the list, as they would in the kernel.
#[derive(Debug, Default)]
pub struct NoFirewall {
    jails: Vec<JailName>,
    held: BTreeMap<(JailName, IpNet), Option<Instant>>,
}

impl NoFirewall {
    /// One that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Firewall for NoFirewall {
    fn name(&self) -> &'static str {
        "none"
    }

    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError> {
        check_rules(rules)?;
        self.jails = rules.iter().map(|rule| rule.jail.clone()).collect();
        let jails = &self.jails;
        self.held.retain(|(jail, _), _| jails.contains(jail));
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        let now = now();
        let mut refused = Ok(());
        for change in changes {
            let key = (change.jail().clone(), change.net().trunc());
            let timeout = match change {
                Change::Unban { .. } => {
                    self.held.remove(&key);
                    continue;
                }
                Change::Ban { timeout, .. } => *timeout,
            };
            if let Err(error) = check_net(change.net()) {
                refused = Err(error);
            } else if !self.jails.contains(change.jail()) {
                let (jail, net) = key;
                refused = Err(FirewallError::UnknownJail { jail, net });
            } else {
                // An end beyond what the clock can hold is no end.
                let end = timeout.and_then(|timeout| now.checked_add(timeout));
                self.held.insert(key, end);
            }
        }
        refused
    }

    fn list(&mut self) -> Result<Vec<Element>, FirewallError> {
        let now = now();
        self.held.retain(|_, end| end.is_none_or(|end| end > now));
        let elements = self.held.iter().map(|((jail, net), end)| Element {
            jail: jail.clone(),
            net: *net,
            expires: end.map(|end| left(end, now)),
        });
        Ok(elements.collect())
    }

    fn probe(&mut self) -> Result<Health, FirewallError> {
        Ok(Health::InPlace)
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        self.held.clear();
        self.jails.clear();
        Ok(())
    }

    fn watch(&self) -> Result<Option<Watch>, FirewallError> {
        Ok(None)
    }
}

fn left(end: Instant, now: Instant) -> Duration {
    end.saturating_duration_since(now)
}

fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "stands in for the kernel, whose clock ends bans without being told"
    )]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{BlockType, Ports};

    #[test]
    fn bans_are_recorded_per_configured_jail() {
        let sshd = JailName::try_new("sshd").unwrap();
        let other = JailName::try_new("other").unwrap();
        let net: IpNet = "192.0.2.1/32".parse().unwrap();
        let ban = |jail: &JailName, timeout| Change::Ban {
            jail: jail.clone(),
            net,
            timeout,
        };
        let mut firewall = NoFirewall::new();
        firewall
            .configure(&[JailRules {
                jail: sshd.clone(),
                ports: Ports::All,
                protocols: vec![],
                block: BlockType::Drop,
            }])
            .unwrap();
        let refused = firewall
            .apply(&[ban(&other, None), ban(&sshd, None)])
            .unwrap_err();
        assert!(matches!(refused, FirewallError::UnknownJail { .. }));
        assert_eq!(
            firewall.list().unwrap(),
            [Element {
                jail: sshd.clone(),
                net,
                expires: None
            }]
        );
        firewall.apply(&[ban(&sshd, Some(Duration::ZERO))]).unwrap();
        assert_eq!(firewall.list().unwrap(), []);
        firewall
            .apply(&[Change::Unban { jail: sshd, net }])
            .unwrap();
        assert_eq!(firewall.probe().unwrap(), Health::InPlace);
    }
}
