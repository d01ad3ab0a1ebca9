//! Routes that lead nowhere, by netlink: for hosts without a packet filter.
//!
//! Bans are routes of our own protocol number in a table of our own, which a rule has every packet look
//! into before the main table. Replies to banned addresses have no way out, so no connection comes about;
//! packets from them are dropped as well where the kernel checks the way back (`rp_filter`, IPv4 only).

mod conversation;
mod lifelines;
mod messages;
mod metrics;
mod watch;

use std::collections::BTreeMap;

use rustix::io::Errno;
use stockade_core::{IpNet, JailName};

use self::conversation::{Conversation, Request, refused};
use self::lifelines::Lifelines;
use self::messages::{BanRoute, Family, OurRule, RouteKind, list_routes, list_rules};
use self::metrics::Metrics;
use self::watch::RouteWatch;
use crate::contract::{Change, Element, Firewall, Health, Refusal, Timeouts, check_change};
use crate::rules::{BlockType, JailRules, Ports, check_rules};
use crate::{FirewallError, RouteOptions, Watch, connections};

/// Name of the backend.
const NAME: &str = "route";

/// The route backend.
#[derive(Debug)]
pub struct Route {
    kernel: Conversation,
    options: RouteOptions,
    /// The families that this kernel routes; IPv4 at least.
    families: Vec<Family>,
    /// What was configured last.
    rules: Vec<JailRules>,
    metrics: Metrics,
    configured: bool,
}

impl Route {
    /// Opens a netlink socket and checks that routes may be changed.
    ///
    /// # Errors
    /// [`FirewallError::NotPermitted`], [`FirewallError::Unavailable`], or that the socket fails.
    pub fn open(options: RouteOptions) -> Result<Self, FirewallError> {
        let mut route = Self {
            kernel: Conversation::open()?,
            options,
            families: Vec::new(),
            rules: Vec::new(),
            metrics: Metrics::default(),
            configured: false,
        };
        for family in Family::ALL {
            if route.read_rules(family)?.is_some() {
                route.families.push(family);
            }
        }
        if !route.families.contains(&Family::V4) {
            return Err(FirewallError::Unavailable {
                backend: NAME,
                what: "this kernel has no rules of routing".to_owned(),
                hint: Some("use a kernel with CONFIG_IP_MULTIPLE_TABLES"),
            });
        }
        route.check_permission()?;
        Ok(route)
    }

    /// Everybody may read routes, so this deletes one that is never there: of the whole internet.
    fn check_permission(&mut self) -> Result<(), FirewallError> {
        let everybody = IpNet::V4(ipnet::Ipv4Net::default());
        let request = self.options.remove(everybody, u32::MAX);
        let answers = self.kernel.carry_out("try to change routes", &[request])?;
        match answers.first() {
            Some(Err(errno @ Errno::PERM)) => Err(refused(String::new(), *errno)),
            _ => Ok(()),
        }
    }

    /// The rules that lead into our table; `None` where the kernel lacks the family.
    fn read_rules(&mut self, family: Family) -> Result<Option<Vec<OurRule>>, FirewallError> {
        let options = self.options;
        self.kernel
            .dump("list rules of routing", &list_rules(family), |frame| {
                options.read_rule(frame.payload)
            })
    }

    /// Our routes: the bans that there are.
    fn read_bans(&mut self) -> Result<Vec<BanRoute>, FirewallError> {
        let options = self.options;
        let mut found = Vec::new();
        for &family in &self.families {
            let request = list_routes(family, options.table);
            let routes = self.kernel.dump("list routes", &request, |frame| {
                options.read_route(frame.payload)
            })?;
            found.extend(routes.into_iter().flatten());
        }
        Ok(found)
    }

    fn is_right(&self, rule: &OurRule) -> bool {
        rule.for_all && rule.priority == self.options.priority
    }

    /// The families whose rule is not there.
    fn without_rule(&mut self) -> Result<Vec<Family>, FirewallError> {
        let mut missing = Vec::new();
        for family in self.families.clone() {
            let rules = self.read_rules(family)?.unwrap_or_default();
            if !rules.iter().any(|rule| self.is_right(rule)) {
                missing.push(family);
            }
        }
        Ok(missing)
    }

    /// Makes the rules be there, then takes away those of ours that are not right.
    fn mend_rules(&mut self) -> Result<(), FirewallError> {
        for family in self.families.clone() {
            let rules = self.read_rules(family)?.unwrap_or_default();
            let mut requests = Vec::new();
            if !rules.iter().any(|rule| self.is_right(rule)) {
                requests.push(self.options.add_rule(family));
            }
            let wrong = rules
                .iter()
                .filter(|rule| rule.ours && !self.is_right(rule));
            requests.extend(wrong.map(|rule| self.options.remove_rule(family, rule.priority)));
            let act = format!("set up the {} rule of routing", family.as_str());
            self.carry_out(&act, &requests)?;
        }
        Ok(())
    }

    /// Has all of `requests` done; what is there already, or gone already, is right.
    fn carry_out(&mut self, act: &str, requests: &[Request]) -> Result<(), FirewallError> {
        for answer in self.kernel.carry_out(act, requests)? {
            match answer {
                Ok(()) | Err(Errno::EXIST | Errno::SRCH | Errno::NOENT) => {}
                Err(errno) => return Err(refused(act.to_owned(), errno)),
            }
        }
        Ok(())
    }

    /// Refuses what cannot be banned by a route.
    fn check(&self, change: &Change, lifelines: &Lifelines) -> Result<(), FirewallError> {
        check_change(change, &self.rules)?;
        if let Change::Ban { net, .. } = change {
            lifelines.check(*net)?;
            let family = Family::of(*net);
            if !self.families.contains(&family) {
                return Err(FirewallError::Unavailable {
                    backend: NAME,
                    what: format!("this kernel does not route {}", family.as_str()),
                    hint: None,
                });
            }
        }
        Ok(())
    }

    fn request(&self, change: &Change) -> Option<Request> {
        let metric = self.metrics.metric(change.jail())?;
        let net = change.net().trunc();
        Some(match change {
            Change::Unban { .. } => self.options.remove(net, metric),
            Change::Ban { jail, .. } => {
                let rule = self.rules.iter().find(|rule| rule.jail == *jail)?;
                self.options.add(net, metric, kind(rule.block))
            }
        })
    }
}

impl Firewall for Route {
    fn name(&self) -> &str {
        NAME
    }

    /// The kernel ends routes of IPv6 only (`RTA_EXPIRES`).
    fn timeouts(&self) -> Timeouts {
        Timeouts::Ours
    }

    fn sees_loopback(&self) -> bool {
        false
    }

    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError> {
        check_rules(rules)?;
        let metrics = Metrics::of(rules.iter().map(|rule| &rule.jail));
        let mut requests = Vec::new();
        for route in self.read_bans()? {
            let jail = metrics.jail(route.metric);
            let Some(rule) = rules.iter().find(|rule| Some(&rule.jail) == jail) else {
                requests.push(self.options.remove(route.net, route.metric));
                continue;
            };
            let kind = kind(rule.block);
            if route.kind != Some(kind) {
                requests.push(self.options.add(route.net, route.metric, kind));
            }
        }
        self.carry_out("set up the routes of bans", &requests)?;
        self.mend_rules()?;
        self.rules = rules.to_vec();
        self.metrics = metrics;
        self.configured = true;
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError> {
        let mut lifelines = Lifelines::default();
        if changes
            .iter()
            .any(|change| matches!(change, Change::Ban { .. }))
        {
            if self.configured && !self.without_rule()?.is_empty() {
                return Err(FirewallError::Gone {
                    act: "ban".to_owned(),
                    what: "the rule that leads to the routes of bans",
                });
            }
            lifelines = Lifelines::read(&mut self.kernel, self.options.table)?;
        }
        let mut refusals = Vec::new();
        let mut last: BTreeMap<(&JailName, IpNet), &Change> = BTreeMap::new();
        for change in changes {
            match self.check(change, &lifelines) {
                Ok(()) => {
                    last.insert((change.jail(), change.net().trunc()), change);
                }
                Err(error) => refusals.push(refusal(change, error)),
            }
        }
        let (accepted, requests): (Vec<&Change>, Vec<Request>) = last
            .into_values()
            .filter_map(|change| Some((change, self.request(change)?)))
            .unzip();
        let answers = self.kernel.carry_out("change routes of bans", &requests)?;
        if accepted
            .iter()
            .any(|change| matches!(change.net(), IpNet::V6(_)))
        {
            let requests = self.options.forget_lookups_v6();
            self.carry_out("have routes of IPv6 looked up again", &requests)?;
        }
        for (change, answer) in accepted.into_iter().zip(answers) {
            match (change, answer) {
                (_, Ok(())) | (Change::Unban { .. }, Err(Errno::SRCH | Errno::NOENT)) => {}
                (_, Err(errno)) => match refused(describe(change), errno) {
                    error @ FirewallError::NotPermitted { .. } => return Err(error),
                    error => refusals.push(refusal(change, error)),
                },
            }
        }
        Ok(refusals)
    }

    fn list(&mut self) -> Result<Vec<Element>, FirewallError> {
        let routes = self.read_bans()?.into_iter();
        Ok(routes
            .filter(|route| route.kind.is_some())
            .filter_map(|route| {
                Some(Element {
                    jail: self.metrics.jail(route.metric)?.clone(),
                    net: route.net,
                    expires: None,
                })
            })
            .collect())
    }

    fn probe(&mut self) -> Result<Health, FirewallError> {
        let mut what = Vec::new();
        if !self.configured {
            what.push("rules: none were configured yet".to_owned());
        }
        let (priority, table) = (self.options.priority, self.options.table);
        for family in self.without_rule()? {
            let family = family.as_str();
            what.push(format!(
                "the {family} rule of routing '{priority}: from all lookup {table}'"
            ));
        }
        Ok(if what.is_empty() {
            Health::InPlace
        } else {
            Health::Missing { what }
        })
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        for family in self.families.clone() {
            let rules = self.read_rules(family)?.unwrap_or_default();
            let ours = rules.iter().filter(|rule| rule.ours);
            let requests: Vec<_> = ours
                .map(|rule| self.options.remove_rule(family, rule.priority))
                .collect();
            self.carry_out("remove the rule of routing", &requests)?;
        }
        let bans = self.read_bans()?.into_iter();
        let requests: Vec<_> = bans
            .map(|route| self.options.remove(route.net, route.metric))
            .collect();
        self.carry_out("remove the routes of bans", &requests)?;
        self.rules.clear();
        self.metrics = Metrics::default();
        self.configured = false;
        Ok(())
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, FirewallError> {
        let watch = RouteWatch::open(self.kernel.port(), self.options)?;
        Ok(Some(Box::new(watch)))
    }

    fn end_connections(&mut self, nets: &[IpNet]) -> Result<usize, FirewallError> {
        connections::end_connections(nets)
    }

    fn notes(&self) -> Vec<String> {
        self.rules.iter().filter_map(note).collect()
    }
}

/// What a route does otherwise than the rules of a jail say.
fn note(rules: &JailRules) -> Option<String> {
    let mut differences = Vec::new();
    if rules.ports != Ports::All || !rules.protocols.is_empty() {
        differences.push("a banned address is cut off from every port, as routes know none");
    }
    match rules.block {
        BlockType::Drop => {}
        BlockType::Reject => differences.push("who is banned is told nothing, as with 'drop'"),
        BlockType::Tarpit => differences.push("nothing gets through, as with 'drop'"),
    }
    let jail = &rules.jail;
    (!differences.is_empty()).then(|| format!("jail '{jail}': {}", differences.join("; ")))
}

fn kind(block: BlockType) -> RouteKind {
    match block {
        BlockType::Drop | BlockType::Tarpit => RouteKind::Blackhole,
        BlockType::Reject => RouteKind::Unreachable,
    }
}

fn refusal(change: &Change, error: FirewallError) -> Refusal {
    Refusal {
        changes: vec![change.clone()],
        error,
    }
}

fn describe(change: &Change) -> String {
    let (net, jail) = (change.net(), change.jail());
    match change {
        Change::Ban { .. } => format!("add a route for {net} (jail '{jail}')"),
        Change::Unban { .. } => format!("remove the route for {net} (jail '{jail}')"),
    }
}
