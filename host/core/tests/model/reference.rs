//! The decisions again, as plainly as they can be written: lists, and a scan for each question.

use std::time::Duration;

use stockade_core::{
    Ban, BanTime, BanTimePolicy, FailureId, IpNet, JailName, JailPolicy, Timestamp,
};

use super::{Step, configuration, id, jail, own_addresses};

pub(crate) struct Reference {
    jails: Vec<(JailPolicy, Vec<&'static str>)>,
    own: usize,
    now: Timestamp,
    bans: Vec<Ban>,
    attempts: Vec<(JailName, FailureId, Timestamp)>,
    /// One for each ban that was made.
    prior: Vec<(JailName, FailureId)>,
}

/// Whether two ids have something in common.
pub(crate) fn meet(one: &FailureId, other: &FailureId) -> bool {
    match (one.network(), other.network()) {
        (Some(one), Some(other)) => one.contains(&other) || other.contains(&one),
        _ => one == other,
    }
}

fn holds(one: &FailureId, other: &FailureId) -> bool {
    match (one.network(), other.network()) {
        (Some(one), Some(other)) => one.contains(&other),
        _ => one == other,
    }
}

impl Reference {
    pub(crate) fn new(now: Timestamp) -> Self {
        let (bans, attempts, prior) = Default::default();
        Self {
            jails: configuration(0),
            own: 0,
            now,
            bans,
            attempts,
            prior,
        }
    }

    pub(crate) fn bans(&self) -> Vec<Ban> {
        let mut bans = self.bans.clone();
        bans.sort_by(|a, b| (&a.jail, &a.id).cmp(&(&b.jail, &b.id)));
        bans
    }

    /// Takes one step; answers the counts of the failures that counted.
    pub(crate) fn step(&mut self, step: &Step) -> Vec<u32> {
        match step {
            Step::Forward(secs) => self.move_clock(i64::from(*secs)),
            Step::Back(secs) => self.move_clock(-i64::from(*secs)),
            _ => self.expire(),
        }
        match step {
            Step::Failures(number, items) => {
                return items
                    .iter()
                    .filter_map(|(who, ago)| self.fail(*number, *who, *ago))
                    .collect();
            }
            Step::Ban(number, who) => self.ban_by_operator(&jail(*number), &id(*who)),
            Step::Unban(number, who) => self.unban(number.map(jail), &id(*who)),
            Step::UnbanAll(number) => {
                let of = number.map(jail);
                self.bans
                    .retain(|ban| of.as_ref().is_some_and(|of| *of != ban.jail));
            }
            Step::Reload(number) => {
                self.jails = configuration(*number);
                self.spare();
                for (jail, id, _) in self.attempts.clone() {
                    self.trim(&jail, &id);
                }
            }
            Step::OwnAddresses(number) => {
                self.own = *number;
                self.spare();
            }
            Step::Forward(_) | Step::Back(_) | Step::Restart => {}
        }
        Vec::new()
    }

    fn move_clock(&mut self, secs: i64) {
        let shift = |at: &mut Timestamp| {
            *at = Timestamp::from_micros(at.as_micros() + secs * 1_000_000);
        };
        shift(&mut self.now);
        if secs < 0 {
            self.attempts.iter_mut().for_each(|(_, _, at)| shift(at));
            for ban in &mut self.bans {
                shift(&mut ban.at);
                ban.until.iter_mut().for_each(shift);
            }
        }
        self.expire();
    }

    fn expire(&mut self) {
        self.bans
            .retain(|ban| ban.until.is_none_or(|until| until > self.now));
    }

    fn policy(&self, jail: &JailName) -> Option<&JailPolicy> {
        self.jails
            .iter()
            .map(|(policy, _)| policy)
            .find(|policy| policy.name == *jail)
    }

    fn is_spared(&self, jail: &JailName, id: &FailureId) -> bool {
        let Some((policy, ignored)) = self.jails.iter().find(|(policy, _)| policy.name == *jail)
        else {
            return true;
        };
        let own = own_addresses(self.own)
            .into_iter()
            .map(FailureId::from_addr);
        let own = own.chain(["127.0.0.0/8", "::1"].map(FailureId::parse));
        ignored.iter().any(|text| meet(&FailureId::parse(text), id))
            || policy.ignoreself && own.into_iter().any(|own| meet(&own, id))
    }

    fn spare(&mut self) {
        let bans = std::mem::take(&mut self.bans);
        self.bans = bans
            .into_iter()
            .filter(|b| !self.is_spared(&b.jail, &b.id))
            .collect();
        let attempts = std::mem::take(&mut self.attempts);
        self.attempts = attempts
            .into_iter()
            .filter(|a| !self.is_spared(&a.0, &a.1))
            .collect();
    }

    fn fail(&mut self, number: usize, who: usize, ago: i64) -> Option<u32> {
        let (jail, mut id) = (jail(number), id(who));
        let policy = self.policy(&jail)?.clone();
        let at = Timestamp::from_micros(self.now.as_micros() - ago.max(0) * 1_000_000);
        let banned = self
            .bans
            .iter()
            .any(|ban| ban.jail == jail && holds(&ban.id, &id));
        if self.now.saturating_since(at) > policy.findtime || banned || self.is_spared(&jail, &id) {
            return None;
        }
        if id.network().is_some_and(|net| net.prefix_len() < 16) {
            return None;
        }
        if let FailureId::Addr(addr @ std::net::IpAddr::V6(_)) = id {
            let wide = FailureId::from_net(IpNet::new(addr, policy.ipv6_prefix).unwrap());
            if !self.is_spared(&jail, &wide) {
                id = wide;
            }
        }
        self.attempts.push((jail.clone(), id.clone(), at));
        let count = self.trim(&jail, &id);
        if count == policy.maxretry.get() {
            self.ban(&jail, &id, count);
        }
        Some(count)
    }

    /// Keeps the last `maxretry` attempts within `findtime` of the newest, and counts them.
    fn trim(&mut self, jail: &JailName, id: &FailureId) -> u32 {
        let policy = self.policy(jail).unwrap().clone();
        let mine = |a: &(JailName, FailureId, Timestamp)| a.0 == *jail && a.1 == *id;
        let mut times: Vec<Timestamp> = self
            .attempts
            .iter()
            .filter(|a| mine(a))
            .map(|a| a.2)
            .collect();
        times.sort();
        let newest = times[times.len() - 1];
        times.retain(|at| newest.saturating_since(*at) <= policy.findtime);
        let maxretry = usize::try_from(policy.maxretry.get()).unwrap();
        times.drain(..times.len().saturating_sub(maxretry));
        self.attempts.retain(|a| !mine(a));
        let count = u32::try_from(times.len()).unwrap();
        self.attempts
            .extend(times.into_iter().map(|at| (jail.clone(), id.clone(), at)));
        count
    }

    fn end(&self, jail: &JailName) -> Option<Timestamp> {
        let BanTimePolicy::Fixed(bantime) = self.policy(jail).unwrap().bantime;
        match bantime {
            BanTime::For(length) => {
                Some(self.now.saturating_add(length.max(Duration::from_secs(1))))
            }
            BanTime::Forever => None,
        }
    }

    fn ban(&mut self, jail: &JailName, id: &FailureId, failures: u32) {
        self.attempts.retain(|a| a.0 != *jail || a.1 != *id);
        self.prior.push((jail.clone(), id.clone()));
        let times = self
            .prior
            .iter()
            .filter(|prior| prior.0 == *jail && prior.1 == *id)
            .count();
        self.bans.push(Ban {
            jail: jail.clone(),
            id: id.clone(),
            at: self.now,
            until: self.end(jail),
            failures,
            bancount: u32::try_from(times).unwrap(),
        });
    }

    fn ban_by_operator(&mut self, jail: &JailName, id: &FailureId) {
        if self.is_spared(jail, id) {
            return;
        }
        let until = self.end(jail);
        let far = |until: Option<Timestamp>| until.unwrap_or(Timestamp::MAX);
        let lasts = |ban: &Ban| far(ban.until) >= far(until) && holds(&ban.id, id);
        if self.bans.iter().any(|ban| ban.jail == *jail && lasts(ban)) {
            return;
        }
        match self
            .bans
            .iter_mut()
            .find(|ban| ban.jail == *jail && ban.id == *id)
        {
            Some(ban) => ban.until = until,
            None => self.ban(jail, id, 0),
        }
    }

    fn unban(&mut self, of: Option<JailName>, id: &FailureId) {
        let wide = match id {
            FailureId::Addr(addr) if addr.is_ipv6() => {
                Some(FailureId::from_net(IpNet::new(*addr, 64).unwrap()))
            }
            _ => None,
        };
        self.bans.retain(|ban| {
            of.as_ref().is_some_and(|of| *of != ban.jail)
                || !(holds(id, &ban.id) || wide.as_ref() == Some(&ban.id))
        });
    }
}
