//! Programs of the operator's own that enforce bans: whatever can be told by a program can be a firewall.

mod answers;
mod calls;

use std::collections::{BTreeMap, BTreeSet};

use stockade_core::{IpNet, JailName};

use self::calls::{Act, Item, call};
use crate::contract::{Change, Element, Firewall, Health, Refusal, Timeouts, check_change};
use crate::program::{Ended, ProgramError};
use crate::rules::{JailRules, check_rules};
use crate::{ExecOptions, FirewallError, Watch};

/// The exec backend.
#[derive(Debug)]
pub struct Exec {
    options: ExecOptions,
    rules: Vec<JailRules>,
    configured: bool,
    /// What the programs were told to ban, for those that cannot be asked.
    told: BTreeSet<(JailName, IpNet)>,
}

impl Exec {
    /// Checks that the options make sense and that the programs are there.
    ///
    /// # Errors
    /// [`FirewallError::Failed`] with what is wrong.
    pub fn open(options: ExecOptions) -> Result<Self, FirewallError> {
        calls::check(&options)?;
        Ok(Self {
            options,
            rules: Vec::new(),
            configured: false,
            told: BTreeSet::new(),
        })
    }

    fn run(&self, argv: &[String], act: &Act<'_>) -> Result<Ended, ProgramError> {
        call(&self.options, argv, act)
    }

    /// Runs a program that has to succeed.
    fn succeed(&self, argv: &[String], act: &Act<'_>) -> Result<Ended, FirewallError> {
        let ended = self.run(argv, act);
        let program = argv.first().cloned().unwrap_or_default();
        ended
            .and_then(|ended| ended.success(program))
            .map_err(|error| self.failed(act, &error))
    }

    fn failed(&self, act: &Act<'_>, error: &ProgramError) -> FirewallError {
        FirewallError::Failed {
            act: format!("{act} by '{}'", self.options.name),
            reason: calls::reason(error),
        }
    }

    /// Carries out changes of one kind, one by one or all at once.
    fn carry_out(&mut self, is_ban: bool, changes: &[&Change]) -> Vec<Refusal> {
        let at_once = if self.options.batch {
            changes.len().max(1)
        } else {
            1
        };
        let mut refusals = Vec::new();
        let mut calls = changes.chunks(at_once);
        while let Some(chunk) = calls.next() {
            let items: Vec<Item<'_>> = chunk.iter().map(|change| Item::of(change)).collect();
            let act = match (is_ban, self.options.batch) {
                (true, true) => Act::BanAll(&items),
                (false, true) => Act::UnbanAll(&items),
                (true, false) => Act::Ban(items.first()),
                (false, false) => Act::Unban(items.first()),
            };
            let argv = if is_ban {
                &self.options.ban
            } else {
                &self.options.unban
            };
            let program = argv.first().cloned().unwrap_or_default();
            let ended = self
                .run(argv, &act)
                .and_then(|ended| ended.success(program));
            let Err(error) = ended else {
                self.remember(is_ban, chunk);
                continue;
            };
            let refused = self.failed(&act, &error);
            refusals.push(refusal(chunk, refused));
            if matches!(
                error,
                ProgramError::TimedOut { .. } | ProgramError::Start { .. }
            ) {
                // The next one would wait as long, or be missing as well.
                let rest: Vec<&Change> = calls.flatten().copied().collect();
                if !rest.is_empty() {
                    let refused = FirewallError::Failed {
                        act: format!(
                            "{} by '{}'",
                            if is_ban { "ban" } else { "unban" },
                            self.options.name
                        ),
                        reason: format!("not tried, after {}", calls::reason(&error)),
                    };
                    refusals.push(refusal(&rest, refused));
                }
                break;
            }
        }
        refusals
    }

    fn remember(&mut self, is_ban: bool, changes: &[&Change]) {
        for change in changes {
            let key = (change.jail().clone(), change.net().trunc());
            if is_ban {
                self.told.insert(key);
            } else {
                self.told.remove(&key);
            }
        }
    }

    /// What is banned for jails that are not in `rules`.
    fn stale(&mut self, rules: &[JailRules]) -> Result<Vec<Change>, FirewallError> {
        let elements = self.list()?.into_iter();
        Ok(elements
            .filter(|element| rules.iter().all(|rule| rule.jail != element.jail))
            .map(unban)
            .collect())
    }

    fn unban_all(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        let changes: Vec<&Change> = changes.iter().collect();
        let refusals = self.carry_out(false, &changes);
        match refusals.into_iter().next() {
            Some(refusal) => Err(refusal.error),
            None => Ok(()),
        }
    }
}

impl Firewall for Exec {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::Ours
    }

    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError> {
        check_rules(rules)?;
        if let Some(argv) = &self.options.start {
            self.succeed(argv, &Act::Start(rules))?;
        }
        let stale = self.stale(rules)?;
        self.unban_all(&stale)?;
        self.rules = rules.to_vec();
        self.configured = true;
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError> {
        let mut refusals = Vec::new();
        let mut last: BTreeMap<(&JailName, IpNet), &Change> = BTreeMap::new();
        for change in changes {
            match check_change(change, &self.rules) {
                Ok(()) => {
                    last.insert((change.jail(), change.net().trunc()), change);
                }
                Err(error) => refusals.push(refusal(&[change], error)),
            }
        }
        let (bans, unbans): (Vec<&Change>, Vec<&Change>) = last
            .into_values()
            .partition(|change| matches!(change, Change::Ban { .. }));
        refusals.extend(self.carry_out(false, &unbans));
        refusals.extend(self.carry_out(true, &bans));
        Ok(refusals)
    }

    fn list(&mut self) -> Result<Vec<Element>, FirewallError> {
        let Some(argv) = &self.options.list else {
            let told = self.told.iter();
            return Ok(told
                .map(|(jail, net)| Element {
                    jail: jail.clone(),
                    net: *net,
                    expires: None,
                })
                .collect());
        };
        let ended = self.succeed(argv, &Act::List)?;
        answers::elements(&ended).map_err(|reason| FirewallError::Failed {
            act: format!("{} by '{}'", Act::List, self.options.name),
            reason,
        })
    }

    fn probe(&mut self) -> Result<Health, FirewallError> {
        if !self.configured {
            let what = vec!["rules: none were configured yet".to_owned()];
            return Ok(Health::Missing { what });
        }
        let Some(argv) = &self.options.check else {
            return Ok(Health::InPlace);
        };
        let ended = self.run(argv, &Act::Check);
        let program = argv.first().cloned().unwrap_or_default();
        match ended.and_then(|ended| ended.success(program)) {
            Ok(_) => Ok(Health::InPlace),
            Err(error @ ProgramError::Failed { .. }) => {
                // With the rules the bans are gone, for all that we know.
                self.told.clear();
                let what = vec![calls::reason(&error)];
                Ok(Health::Missing { what })
            }
            Err(error) => Err(self.failed(&Act::Check, &error)),
        }
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        if let Some(argv) = &self.options.stop {
            self.succeed(argv, &Act::Stop)?;
        } else {
            let held: Vec<Change> = self.list()?.into_iter().map(unban).collect();
            self.unban_all(&held)?;
        }
        self.told.clear();
        self.rules.clear();
        self.configured = false;
        Ok(())
    }

    /// Nobody tells us of changes by others; reconciling on a timer finds them, with a `list`.
    fn watch(&self) -> Result<Option<Box<dyn Watch>>, FirewallError> {
        Ok(None)
    }

    /// A program may act far from this machine, or for one service of it.
    fn sees_loopback(&self) -> bool {
        false
    }

    fn notes(&self) -> Vec<String> {
        if self.options.list.is_some() {
            return Vec::new();
        }
        vec![format!(
            "'{}' has no 'list': its bans are remembered until a restart, and what others change there is not \
             noticed",
            self.options.name
        )]
    }
}

fn unban(element: Element) -> Change {
    Change::Unban {
        jail: element.jail,
        net: element.net,
    }
}

fn refusal(changes: &[&Change], error: FirewallError) -> Refusal {
    Refusal {
        changes: changes.iter().map(|change| (*change).clone()).collect(),
        error,
    }
}
