//! iptables with ipset: chains of our own that are called first, and a set for each jail and family.
//!
//! For kernels without nf_tables, and for whoever wants all rules in one place. Rules are changed by
//! iptables-restore(8), bans by ipset(8), which ends them by timeouts; what is said and answered is the work
//! of pure code (`ruleset`, `script`, `saved`, `sets`).

mod chains;
mod names;
mod ruleset;
mod saved;
mod script;
mod sets;
mod setup;
mod tools;
mod variant;

use std::collections::{BTreeMap, BTreeSet};

use stockade_core::{IpNet, JailName};

use self::chains::Shown;
use self::names::{Family, SetId};
use self::sets::Targets;
use self::tools::{Tools, failure};
use self::variant::Programs;
use crate::contract::{
    Change, Counter, Element, Firewall, Health, Refusal, Timeouts, check_change,
};
use crate::nftables::{IPTABLES, TableWatch};
use crate::rules::{JailRules, check_rules};
use crate::{FirewallError, IptablesOptions, IptablesVariant, Watch, connections};

/// Name of the backend.
const NAME: &str = "iptables";

/// How often setting up is begun again when somebody changes the rules at the same moment.
const CONFIGURE_ATTEMPTS_MAX: usize = 5;

/// More changes than this that ipset refuses one by one, each for a reason of its own, mean that something
/// is wrong with all of them.
const REFUSED_SINGLY_MAX: usize = 16;

/// The iptables backend.
#[derive(Debug)]
pub struct Iptables {
    tools: Tools,
    because: String,
    bans_max: u32,
    /// What was configured last.
    rules: Vec<JailRules>,
    shown: Shown,
    configured: bool,
}

impl Iptables {
    /// Chooses the variant and checks that iptables and ipset can be used. Changes nothing.
    ///
    /// # Errors
    /// [`FirewallError::NotPermitted`], and [`FirewallError::Unavailable`] where a program is missing.
    pub fn open(options: IptablesOptions) -> Result<Self, FirewallError> {
        let (programs, because) = variant::find(NAME, options.variant)?;
        Self::with(NAME, programs, because, options.bans_max)
    }

    /// The same with what `iptables` stands for, which is what ufw calls.
    pub(crate) fn open_alternative(backend: &'static str) -> Result<Self, FirewallError> {
        let programs = variant::alternative(backend)?;
        let bans_max = IptablesOptions::default().bans_max;
        Self::with(
            backend,
            programs,
            "ufw calls 'iptables'".to_owned(),
            bans_max,
        )
    }

    fn with(
        backend: &'static str,
        programs: Programs,
        because: String,
        bans_max: u32,
    ) -> Result<Self, FirewallError> {
        let tools = Tools::new(backend, programs);
        tools.check()?;
        Ok(Self {
            tools,
            because,
            bans_max,
            rules: Vec::new(),
            shown: Shown::new(),
            configured: false,
        })
    }

    /// Which iptables is used and why, in words for the log.
    #[must_use]
    pub fn choice(&self) -> String {
        format!("{} is used: {}", self.tools.programs.name(), self.because)
    }

    /// Whether a chain of this name is there for IPv4.
    pub(crate) fn has_chain(&self, name: &str) -> Result<bool, FirewallError> {
        let saved = self.tools.saved()?;
        Ok(saved
            .iter()
            .any(|(family, saved)| *family == Family::V4 && saved.has_chain("filter", name)))
    }

    /// The changes that can be applied, and why the others cannot.
    fn accept<'a>(&self, changes: &'a [Change]) -> (Targets<'a>, Vec<Refusal>) {
        let mut targets = Targets::new();
        let mut refused = Vec::new();
        for change in changes {
            match check_change(change, &self.rules) {
                Ok(()) => {
                    let set = SetId::of(change.jail(), change.net());
                    targets.insert((set, change.net().trunc()), change);
                }
                Err(error) => refused.push(Refusal {
                    changes: vec![change.clone()],
                    error,
                }),
            }
        }
        // Who has no rules has no set.
        targets.retain(|(set, _), _| self.rules.iter().any(|rule| rule.jail == set.jail));
        (targets, refused)
    }

    /// The networks of one set.
    fn nets(&self, set: &SetId) -> Result<Vec<Element>, FirewallError> {
        let text = self.tools.entries(set)?.unwrap_or_default();
        let elements = text.lines().filter_map(|line| {
            let (net, expires) = sets::element(line, set.family)?;
            Some(Element {
                jail: set.jail.clone(),
                net,
                expires,
            })
        });
        Ok(elements.collect())
    }

    /// Splits off the bans that a full set has no room for: those that are not renewals.
    fn without_room<'a>(
        &self,
        set: &SetId,
        lines: Vec<Line<'a>>,
    ) -> Result<(Vec<Line<'a>>, Vec<Change>), FirewallError> {
        let held: BTreeSet<IpNet> = self.nets(set)?.into_iter().map(|held| held.net).collect();
        let (without, with): (Vec<_>, Vec<_>) = lines.into_iter().partition(|(of, change, _)| {
            of == set
                && matches!(change, Change::Ban { .. })
                && !held.contains(&change.net().trunc())
        });
        let without = without.into_iter().map(|(_, change, _)| change.clone());
        Ok((with, without.collect()))
    }

    /// What is missing or altered.
    fn trouble(&self) -> Result<Vec<String>, FirewallError> {
        let mut trouble = Vec::new();
        for (family, saved) in self.tools.saved()? {
            for hook in ruleset::hooks(&self.rules) {
                let wanted = self.shown.get(&(family, hook));
                trouble.extend(chains::trouble(family, hook, &saved, wanted));
            }
        }
        let headers = self.tools.headers()?;
        for set in self
            .rules
            .iter()
            .flat_map(|rule| SetId::of_jail(&rule.jail))
        {
            match headers.iter().find(|header| header.id == set) {
                None => trouble.push(format!("ipset '{set}'")),
                Some(header) if !header.fits => {
                    trouble.push(format!(
                        "ipset '{set}' is not of the type that it should be"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(trouble)
    }
}

/// One line of a script for ipset.
type Line<'a> = (SetId, &'a Change, String);

impl Firewall for Iptables {
    fn name(&self) -> &str {
        self.tools.backend
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::Kept {
            max: sets::TIMEOUT_MAX,
        }
    }

    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError> {
        check_rules(rules)?;
        let mut before = self.tools.saved()?;
        let mut attempts = 1;
        let shown = loop {
            let error = match setup::set_up(&self.tools, self.bans_max, rules, &before) {
                Ok(shown) => break shown,
                Err(error) => error,
            };
            let now = self.tools.saved()?;
            let same = now.iter().zip(&before);
            let is_same = same
                .into_iter()
                .all(|((_, now), (_, before))| now.is_like(before));
            if is_same || attempts >= CONFIGURE_ATTEMPTS_MAX {
                return Err(error);
            }
            before = now;
            attempts += 1;
        };
        self.rules = rules.to_vec();
        self.shown = shown;
        self.configured = true;
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError> {
        let (targets, mut refused) = self.accept(changes);
        let mut lines = sets::lines(&targets);
        let (act, mut singly) = ("change the sets of ipset", 0);
        while !lines.is_empty() {
            let Err(said) = self.tools.change_sets(act, &sets::script(&lines))? else {
                break;
            };
            let Some((number, reason)) = sets::failed_line(&said) else {
                return Err(failure(self.tools.backend, act, &said));
            };
            if sets::is_missing(reason) {
                return Err(FirewallError::Gone {
                    act: act.to_owned(),
                    what: "a set of ours",
                });
            }
            // All that stands before it was done.
            let mut rest = lines.split_off(number.min(lines.len()));
            if rest.is_empty() {
                return Err(failure(self.tools.backend, act, &said));
            }
            let (set, change, _) = rest.remove(0);
            let mut changes = vec![change.clone()];
            let error = if sets::is_full(reason) {
                let (with, without) = self.without_room(&set, rest)?;
                rest = with;
                changes.extend(without);
                FirewallError::Full {
                    act: format!("ban {}", change.net()),
                    what: format!("ipset '{set}'"),
                }
            } else {
                singly += 1;
                failure(self.tools.backend, &format!("change ipset '{set}'"), reason)
            };
            if singly > REFUSED_SINGLY_MAX {
                return Err(error);
            }
            refused.push(Refusal { changes, error });
            lines = rest;
        }
        Ok(refused)
    }

    fn list(&mut self) -> Result<Vec<Element>, FirewallError> {
        let mut elements = Vec::new();
        let headers = self.tools.headers()?;
        for header in headers
            .iter()
            .filter(|header| header.fits && !header.is_empty)
        {
            elements.extend(self.nets(&header.id)?);
        }
        Ok(elements)
    }

    fn probe(&mut self) -> Result<Health, FirewallError> {
        let mut what = Vec::new();
        if !self.configured {
            what.push("rules: none were configured yet".to_owned());
        }
        what.extend(self.trouble()?);
        Ok(if what.is_empty() {
            Health::InPlace
        } else {
            Health::Missing { what }
        })
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        for (family, saved) in self.tools.saved()? {
            self.tools.restore(family, &script::remove(&saved))?;
        }
        for header in self.tools.headers()? {
            self.tools.destroy(&header.id)?;
        }
        self.rules.clear();
        self.shown.clear();
        self.configured = false;
        Ok(())
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, FirewallError> {
        Ok(match self.tools.programs.variant {
            IptablesVariant::Nft => Some(Box::new(TableWatch::open(IPTABLES, None)?)),
            // x_tables tells nobody.
            IptablesVariant::Legacy => None,
        })
    }

    fn end_connections(&mut self, nets: &[IpNet]) -> Result<usize, FirewallError> {
        connections::end_connections(nets)
    }

    fn notes(&self) -> Vec<String> {
        ruleset::notes(&self.rules)
    }

    fn counters(&mut self) -> Result<Vec<Counter>, FirewallError> {
        let saved = self.tools.saved()?;
        let mut counters: BTreeMap<JailName, (u64, u64)> = self
            .rules
            .iter()
            .map(|rule| (rule.jail.clone(), (0, 0)))
            .collect();
        for rule in saved.iter().flat_map(|(_, saved)| saved.our_rules()) {
            let set = rule.set().and_then(SetId::parse);
            if let Some((packets, bytes)) = set.and_then(|set| counters.get_mut(&set.jail)) {
                *packets = packets.saturating_add(rule.packets);
                *bytes = bytes.saturating_add(rule.bytes);
            }
        }
        let counter = |(jail, (packets, bytes))| Counter {
            jail,
            packets,
            bytes,
        };
        Ok(counters.into_iter().map(counter).collect())
    }
}
