//! The decisions again, as plainly as they can be written: lists, and a scan for each question.

use std::time::Duration;

use stockade_core::{
    Ban, BanTime, BanTimeIncrement, Factor, FailureId, Growth, IpNet, JailName, JailPolicy,
    Timestamp,
};

use super::{REMEMBER, Step, configuration, id, jail, own_addresses};

pub(crate) struct Reference {
    jails: Vec<(JailPolicy, Vec<&'static str>)>,
    own: usize,
    now: Timestamp,
    bans: Vec<Ban>,
    attempts: Vec<(JailName, FailureId, Timestamp)>,
    /// The last ban of each id in each jail, as long as it counts.
    earlier: Vec<Ban>,
}

/// Whether a ban that may be over counts for the next one.
pub(crate) fn counts(ban: &Ban, now: Timestamp) -> bool {
    let Some(until) = ban.until else { return true };
    let length = until.as_micros() - ban.at.as_micros();
    let remember = i64::try_from(REMEMBER.as_micros()).unwrap();
    ban.at.as_micros() + 3 * length + remember > now.as_micros()
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
        let (bans, attempts, earlier) = Default::default();
        Self {
            jails: configuration(0),
            own: 0,
            now,
            bans,
            attempts,
            earlier,
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
                self.lift(|ban| of.as_ref().is_none_or(|of| *of == ban.jail));
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
            for ban in self.bans.clone() {
                self.note(&ban);
            }
        }
        self.expire();
    }

    fn expire(&mut self) {
        self.earlier.retain(|ban| counts(ban, self.now));
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
        for _ in 0..self.weight(&policy, &id, at) {
            self.attempts.push((jail.clone(), id.clone(), at));
        }
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

    fn weight(&self, policy: &JailPolicy, id: &FailureId, at: Timestamp) -> u32 {
        let mut known = self.earlier.iter();
        let known = known.find(|ban| ban.jail == policy.name && ban.id == *id);
        match known {
            Some(ban) if policy.bantime.increment.is_some() && at > ban.at => {
                let weight = match ban.bancount {
                    1 => 2,
                    2 => 3,
                    3 => 5,
                    4 => 9,
                    _ => 17,
                };
                weight.min(policy.maxretry.get())
            }
            _ => 1,
        }
    }

    /// How many bans count for the next one.
    fn bancount(&self, jail: &JailName, id: &FailureId) -> u32 {
        let increment = &self.policy(jail).unwrap().bantime.increment;
        let all = increment.as_ref().is_some_and(|i| i.overalljails);
        let known = self
            .earlier
            .iter()
            .filter(|ban| ban.id == *id && (all || ban.jail == *jail));
        known.map(|ban| ban.bancount).sum()
    }

    fn end(&self, jail: &JailName, count: u32) -> Option<Timestamp> {
        let policy = &self.policy(jail).unwrap().bantime;
        let BanTime::For(time) = policy.bantime else {
            return None;
        };
        let mut secs = time.as_secs();
        if let Some(increment) = policy.increment.as_ref().filter(|_| count > 0) {
            secs = grown(increment, secs, count);
        }
        Some(
            self.now
                .saturating_add(Duration::from_secs(secs.clamp(1, 100 * 364 * 86_400))),
        )
    }

    fn note(&mut self, ban: &Ban) {
        self.earlier
            .retain(|other| other.jail != ban.jail || other.id != ban.id);
        self.earlier.push(ban.clone());
    }

    fn ban(&mut self, jail: &JailName, id: &FailureId, failures: u32) {
        self.attempts.retain(|a| a.0 != *jail || a.1 != *id);
        let count = self.bancount(jail, id);
        let ban = Ban {
            jail: jail.clone(),
            id: id.clone(),
            at: self.now,
            until: self.end(jail, count),
            failures,
            bancount: count.saturating_add(1),
        };
        self.note(&ban);
        self.bans.push(ban);
    }

    fn ban_by_operator(&mut self, jail: &JailName, id: &FailureId) {
        if self.is_spared(jail, id) {
            return;
        }
        let same = |ban: &&mut Ban| ban.jail == *jail && ban.id == *id;
        let running = self.bans.iter_mut().find(same).map(|ban| ban.bancount - 1);
        let until = self.end(jail, running.unwrap_or_else(|| self.bancount(jail, id)));
        let far = |until: Option<Timestamp>| until.unwrap_or(Timestamp::MAX);
        let lasts = |ban: &Ban| far(ban.until) >= far(until) && holds(&ban.id, id);
        if self.bans.iter().any(|ban| ban.jail == *jail && lasts(ban)) {
            return;
        }
        match self.bans.iter_mut().find(same) {
            Some(ban) => {
                ban.until = until;
                let ban = ban.clone();
                self.note(&ban);
            }
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
        self.lift(|ban| {
            of.as_ref().is_none_or(|of| *of == ban.jail)
                && (holds(id, &ban.id) || wide.as_ref() == Some(&ban.id))
        });
    }

    /// Lifts and forgets the bans that `picked` picks.
    fn lift(&mut self, picked: impl Fn(&Ban) -> bool) {
        let bans = std::mem::take(&mut self.bans);
        let (lifted, kept) = bans.into_iter().partition::<Vec<Ban>, _>(|ban| picked(ban));
        self.bans = kept;
        let is_lifted = |ban: &Ban| {
            lifted
                .iter()
                .any(|lifted| lifted.jail == ban.jail && lifted.id == ban.id)
        };
        self.earlier.retain(|ban| !is_lifted(ban));
    }
}

/// The growths of the configurations, in whole seconds.
fn grown(increment: &BanTimeIncrement, time: u64, count: u32) -> u64 {
    let factor = if increment.factor == Factor::from(2) {
        2
    } else {
        1
    };
    let grown = match &increment.growth {
        Growth::Doubling => (0..count.min(20)).fold(time, |time, _| time * 2) * factor,
        Growth::Formula(_) => time + 10 * u64::from(count),
        Growth::Multipliers(_) => time * [1, 3, 0, 7][usize::try_from(count).unwrap().min(3)],
    };
    let most = increment.maxtime.map_or(u64::MAX, |max| max.as_secs());
    grown.min(most)
}
