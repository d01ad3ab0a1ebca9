//! The backend for pf(4) of FreeBSD, by pfctl(8).
//!
//! Everything of ours is in the anchor `stockade`: a table for each jail with its banned addresses, and
//! rules that block what comes from them. Who administers pf writes one line into pf.conf that asks this
//! anchor ([`setup_lines`]); without it no ban holds, and this backend says so instead of claiming that
//! somebody is banned.
//!
//! Tables of pf have no timeouts, so bans are ended by us. pf tells nobody of changes either: they are found
//! by [`Firewall::probe`] and [`Firewall::list`]. What is asked and answered is said by pure code
//! (`commands`, `ruleset`, `answers`, `surroundings`), which needs no FreeBSD.

mod answers;
mod commands;
mod failure;
mod names;
mod pfctl;
mod ruleset;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use stockade_core::{IpNet, JailName};

use self::answers::Label;
use self::commands::{ADDRESSES_PER_CALL_MAX, Command};
use self::pfctl::Pfctl;
pub use self::surroundings::{PfSurroundings, setup_lines};
use crate::contract::{
    Change, Counter, Element, Firewall, Health, Refusal, Timeouts, check_change,
};
use crate::rules::{JailRules, check_rules};
use crate::{FirewallError, Watch};

/// Name of the backend.
const NAME: &str = "pf";

/// What an administrator has to do where pf is not set up for us.
const HINT: &str =
    "'stockade firewall setup' prints the line for /etc/pf.conf; then 'service pf reload'";

/// More networks than this are not asked for one by one whether they have connections: all connections are
/// listed once, and only those are ended that there are. Few are the usual case, and a busy host has a
/// hundred thousand connections to list.
const KILLED_UNSEEN_MAX: usize = 8;

/// What may be chosen of the pf backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PfOptions {
    /// The program that speaks to pf.
    pub pfctl: PathBuf,
}

impl Default for PfOptions {
    /// Where FreeBSD has it.
    fn default() -> Self {
        Self {
            pfctl: PathBuf::from("/sbin/pfctl"),
        }
    }
}

/// pf, by pfctl.
#[derive(Debug)]
pub struct Pf {
    pfctl: Pfctl,
    rules: Vec<JailRules>,
}

/// What pf has of our anchor.
struct Loaded {
    labels: Vec<Label>,
    tables: BTreeSet<String>,
}

impl Pf {
    /// Checks that pf can be used and that its main ruleset asks our anchor. Changes nothing.
    ///
    /// # Errors
    /// [`FirewallError::NotPermitted`] where we are not root, [`FirewallError::Unavailable`] without pf, and
    /// where no ban would hold.
    pub fn open(options: &PfOptions) -> Result<Self, FirewallError> {
        let pf = Self {
            pfctl: Pfctl::new(options.pfctl.clone()),
            rules: Vec::new(),
        };
        pf.check_surroundings()?;
        Ok(pf)
    }

    /// What of pf's configuration decides whether bans hold, for who sets it up.
    ///
    /// # Errors
    /// Where pf cannot be asked.
    pub fn surroundings(options: &PfOptions) -> Result<PfSurroundings, FirewallError> {
        let pfctl = Pfctl::new(options.pfctl.clone());
        let mut found = surroundings(&pfctl)?;
        let interfaces = pfctl.ask(&commands::interfaces())?;
        found.skipped = surroundings::skipped(&interfaces.stdout);
        Ok(found)
    }

    /// An error where no ban would hold, whatever we do.
    fn check_surroundings(&self) -> Result<(), FirewallError> {
        let problems = surroundings(&self.pfctl)?.problems();
        if problems.is_empty() {
            return Ok(());
        }
        Err(FirewallError::Unavailable {
            backend: NAME,
            what: problems.join("; "),
            hint: Some(HINT),
        })
    }

    fn loaded(&self) -> Result<Loaded, FirewallError> {
        let labels = self.pfctl.ask_about(&commands::labels())?;
        Ok(Loaded {
            labels: labels.map_or_else(Vec::new, |answer| answers::labels(&answer.stdout)),
            tables: self.tables()?,
        })
    }

    fn tables(&self) -> Result<BTreeSet<String>, FirewallError> {
        let answer = self.pfctl.ask_about(&commands::tables())?;
        Ok(answer.map_or_else(BTreeSet::new, |answer| answers::tables(&answer.stdout)))
    }

    /// Bans or unbans some networks of one jail; with an error that concerns only these, they are refused.
    fn change(&self, command: &Command) -> Result<Option<FirewallError>, FirewallError> {
        match self.pfctl.ask(command) {
            Ok(answer) if answers::made_table(&answer.stderr) => Err(FirewallError::Gone {
                act: command.act.clone(),
                what: "a table of ours",
            }),
            Ok(_) => Ok(None),
            Err(error @ FirewallError::Full { .. }) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }
}

impl Firewall for Pf {
    fn name(&self) -> &str {
        NAME
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::Ours
    }

    fn sees_loopback(&self) -> bool {
        false
    }

    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError> {
        check_rules(rules)?;
        self.pfctl.ask(&commands::load(ruleset::text(rules)))?;
        self.rules = rules.to_vec();
        let wanted: BTreeSet<String> = rules.iter().map(|rule| names::table(&rule.jail)).collect();
        for (_, stale) in
            answers::of_jails(&self.tables()?).filter(|(_, name)| !wanted.contains(*name))
        {
            self.pfctl.ask_about(&commands::kill_table(stale))?;
        }
        // Last, so that all is there when pf.conf is mended.
        self.check_surroundings()
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError> {
        let mut refused = Vec::new();
        let mut accepted: BTreeMap<(&JailName, IpNet), &Change> = BTreeMap::new();
        for change in changes {
            match check_change(change, &self.rules) {
                Ok(()) => {
                    accepted.insert((change.jail(), change.net().trunc()), change);
                }
                Err(error) => refused.push(Refusal {
                    changes: vec![change.clone()],
                    error,
                }),
            }
        }
        // Who is not ours has no table.
        accepted.retain(|(jail, _), _| self.rules.iter().any(|rule| rule.jail == **jail));
        for (is_ban, jail, part) in batches(&accepted) {
            let table = names::table(jail);
            let nets: Vec<IpNet> = part.iter().map(|change| change.net().trunc()).collect();
            let command = if is_ban {
                commands::add(&table, &nets)
            } else {
                commands::delete(&table, &nets)
            };
            if let Some(error) = self.change(&command)? {
                let changes = part.into_iter().cloned().collect();
                refused.push(Refusal { changes, error });
            }
        }
        Ok(refused)
    }

    fn list(&mut self) -> Result<Vec<Element>, FirewallError> {
        let mut elements = Vec::new();
        for (jail, table) in answers::of_jails(&self.tables()?) {
            let command = commands::show(table);
            // Somebody may have removed it since.
            let Some(answer) = self.pfctl.ask_about(&command)? else {
                continue;
            };
            let nets =
                answers::addresses(&answer.stdout).map_err(|line| FirewallError::Malformed {
                    act: command.act,
                    reason: format!("'{}' is no address", line.escape_debug()),
                })?;
            elements.extend(nets.into_iter().map(|net| Element {
                jail: jail.clone(),
                net,
                expires: None,
            }));
        }
        Ok(elements)
    }

    fn probe(&mut self) -> Result<Health, FirewallError> {
        let mut what = surroundings(&self.pfctl)?.problems();
        let loaded = self.loaded()?;
        let wanted = ruleset::labels(&self.rules);
        if !loaded.labels.iter().map(|label| &label.label).eq(&wanted) {
            what.push(format!(
                "the rules of anchor '{}' are not those that were loaded",
                names::ANCHOR
            ));
        }
        for rule in &self.rules {
            let table = names::table(&rule.jail);
            if !loaded.tables.contains(&table) {
                what.push(format!("table '{table}' is gone"));
            }
        }
        Ok(if what.is_empty() {
            Health::InPlace
        } else {
            Health::Missing { what }
        })
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        self.rules.clear();
        // Rules first: without its tables a rule would match nobody, but the other way round is cleaner to
        // look at while it happens.
        self.pfctl.ask_about(&commands::flush_rules())?;
        self.pfctl.ask_about(&commands::flush_tables())?;
        Ok(())
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, FirewallError> {
        Ok(None)
    }

    fn end_connections(&mut self, nets: &[IpNet]) -> Result<usize, FirewallError> {
        let nets: BTreeSet<IpNet> = nets.iter().map(IpNet::trunc).collect();
        let mut concerned: Vec<IpNet> = nets.into_iter().collect();
        if concerned.len() > KILLED_UNSEEN_MAX {
            let states = self.pfctl.ask(&commands::states())?;
            let connected = answers::addresses_of_states(&states.stdout);
            concerned.retain(|net| {
                let mut inside = connected.range(net.network()..=net.broadcast());
                inside.next().is_some()
            });
        }
        let mut ended = 0_usize;
        for net in concerned {
            for command in commands::kill_states(net) {
                let answer = self.pfctl.ask(&command)?;
                ended = ended.saturating_add(answers::killed(&answer.stderr));
            }
        }
        Ok(ended)
    }

    fn counters(&mut self) -> Result<Vec<Counter>, FirewallError> {
        let answer = self.pfctl.ask_about(&commands::labels())?;
        let labels = answer.map_or_else(Vec::new, |answer| answers::labels(&answer.stdout));
        Ok(answers::counters(&labels))
    }
}

fn surroundings(pfctl: &Pfctl) -> Result<PfSurroundings, FirewallError> {
    let info = pfctl.ask(&commands::info())?;
    let rules = pfctl.ask(&commands::main_rules())?;
    let translations = pfctl.ask(&commands::translations())?;
    let enabled = answers::is_enabled(&info.stdout);
    Ok(PfSurroundings::read(
        enabled,
        &rules.stdout,
        &translations.stdout,
    ))
}

/// Changes of one kind for one jail, no more than one call takes. Unbans of a jail come before its bans,
/// which may need their room.
fn batches<'a>(
    changes: &BTreeMap<(&'a JailName, IpNet), &'a Change>,
) -> Vec<(bool, &'a JailName, Vec<&'a Change>)> {
    let mut sorted: BTreeMap<(bool, &JailName), Vec<&Change>> = BTreeMap::new();
    for ((jail, _), change) in changes {
        let is_ban = matches!(change, Change::Ban { .. });
        sorted.entry((is_ban, jail)).or_default().push(change);
    }
    let mut batches = Vec::new();
    for ((is_ban, jail), changes) in sorted {
        for part in changes.chunks(ADDRESSES_PER_CALL_MAX) {
            batches.push((is_ban, jail, part.to_vec()));
        }
    }
    batches
}
