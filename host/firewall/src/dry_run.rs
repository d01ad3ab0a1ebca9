//! No firewall at all: records what would be done.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stockade_core::{IpNet, JailName};

use crate::contract::{Change, Element, Firewall, Health, Refusal, Timeouts, check_change};
use crate::rules::{JailRules, check_rules};
use crate::{FirewallError, Watch};

/// The backend of `--dry-run`: takes and lists bans as a firewall would, and blocks nobody.
///
/// Bans that ran out vanish from the list, as they would in the kernel.
#[derive(Debug, Default)]
pub struct NoFirewall {
    rules: Vec<JailRules>,
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
    fn name(&self) -> &str {
        "none"
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::Kept { max: Duration::MAX }
    }

    fn sees_loopback(&self) -> bool {
        false
    }

    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError> {
        check_rules(rules)?;
        self.rules = rules.to_vec();
        self.held
            .retain(|(jail, _), _| rules.iter().any(|rule| rule.jail == *jail));
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError> {
        let now = now();
        let mut refused = Vec::new();
        for change in changes {
            if let Err(error) = check_change(change, &self.rules) {
                refused.push(Refusal {
                    changes: vec![change.clone()],
                    error,
                });
                continue;
            }
            let key = (change.jail().clone(), change.net().trunc());
            match change {
                Change::Unban { .. } => self.held.remove(&key),
                // An end beyond what the clock can hold is no end.
                Change::Ban { timeout, .. } => {
                    let end = timeout.and_then(|timeout| now.checked_add(timeout));
                    self.held.insert(key, end)
                }
            };
        }
        Ok(refused)
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
        self.rules.clear();
        Ok(())
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, FirewallError> {
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
    use std::collections::BTreeSet;

    use crate::rules::{BlockType, Hook, Ports};

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
                hooks: BTreeSet::from([Hook::Input]),
            }])
            .unwrap();
        let refused = firewall
            .apply(&[ban(&other, None), ban(&sshd, None)])
            .unwrap();
        assert!(matches!(
            refused.as_slice(),
            [Refusal { changes, error: FirewallError::UnknownJail { .. } }]
                if *changes == [ban(&other, None)]
        ));
        assert_eq!(
            firewall.list().unwrap(),
            [Element {
                jail: sshd.clone(),
                net,
                expires: None
            }]
        );
        let over = ban(&sshd, Some(Duration::ZERO));
        assert!(firewall.apply(&[over]).unwrap().is_empty());
        assert_eq!(firewall.list().unwrap(), []);
        let unban = Change::Unban { jail: sshd, net };
        assert!(firewall.apply(&[unban]).unwrap().is_empty());
        assert_eq!(firewall.probe().unwrap(), Health::InPlace);
    }
}
