//! Random histories against a naive model, and what must hold whatever happens.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets nothing fails as it should"
)]

mod reference;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use stockade_core::{
    Attempts, Ban, BanFormula, BanTime, BanTimeIncrement, Decider, EarlierBans, Effect, Event,
    Factor, Failure, FailureId, Failures, Growth, IgnoreSet, JailName, JailPolicy, Limits,
    Safeguards, Span, Timestamp, UnbanReason, Widest,
};

use reference::Reference;

/// Who appears in the histories: neighbours, own and ignored ones, networks that hold them.
const IDS: [&str; 16] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "192.0.2.0/24",
    "198.51.100.7",
    "198.51.100.0/24",
    "203.0.113.5",
    "127.0.0.1",
    "0.0.0.0/0",
    "2001:db8:0:1::1",
    "2001:db8:0:1::2",
    "2001:db8:0:1::/64",
    "2001:db8:0:2::1",
    "2001:db8:0:2::9",
    "alice",
    "root",
];

/// How long earlier bans count when they say nothing any more.
const REMEMBER: Duration = Duration::from_secs(500);

/// The model knows what it means.
const FORMULA: &str = "ban.Time + 10 * ban.Count";

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Ids by number, and how many seconds ago each failed; below zero is in the future.
    Failures(usize, Vec<(usize, i64)>),
    Ban(usize, usize),
    Unban(Option<usize>, usize),
    UnbanAll(Option<usize>),
    Reload(usize),
    OwnAddresses(usize),
    Forward(u32),
    Back(u32),
    Restart,
}

fn id(number: usize) -> FailureId {
    FailureId::parse(IDS[number % IDS.len()])
}

fn jail(number: usize) -> JailName {
    JailName::try_new(["sshd", "web"][number % 2]).unwrap()
}

fn ignore(ids: &[&str]) -> IgnoreSet {
    IgnoreSet::from_ids(ids.iter().map(|text| FailureId::parse(text)))
}

/// What the configuration says: the jails, with who is ignored in each as text for the model.
fn configuration(number: usize) -> Vec<(JailPolicy, Vec<&'static str>)> {
    let jail = |number, maxretry, secs, ignored: &[&'static str]| {
        let policy = JailPolicy {
            name: jail(number),
            maxretry: NonZeroU32::new(maxretry).unwrap(),
            findtime: Duration::from_secs(300),
            bantime: BanTime::For(Duration::from_secs(secs)).into(),
            remember: REMEMBER,
            ipv6_prefix: 64,
            maxmatches: maxretry,
            ignore: ignore(ignored),
            ignoreself: number == 0,
        };
        (policy, ignored.to_vec())
    };
    let everyone = ["203.0.113.5", "root"];
    let mut jails = match number % 4 {
        0 => vec![jail(0, 3, 400, &everyone), jail(1, 2, 100, &[])],
        1 => vec![jail(0, 2, 900, &everyone)],
        2 => vec![
            jail(0, 5, 0, &["192.0.2.3"]),
            jail(1, 1, 50, &["2001:db8:0:1::2"]),
        ],
        _ => vec![
            jail(0, 4, 400, &everyone),
            jail(1, 3, 60, &["198.51.100.0/24"]),
        ],
    };
    for (place, (policy, _)) in jails.iter_mut().enumerate() {
        policy.bantime.increment = increment(number % 4, place);
    }
    if number.is_multiple_of(3)
        && let Some((policy, _)) = jails.last_mut()
    {
        policy.bantime.bantime = BanTime::Forever;
    }
    jails
}

/// How bans grow in the jail at `place` of a configuration.
fn increment(number: usize, place: usize) -> Option<BanTimeIncrement> {
    let growing = |growth| BanTimeIncrement {
        growth,
        ..BanTimeIncrement::default()
    };
    let formula = || BanFormula::parse(FORMULA).unwrap();
    match (number, place) {
        (0, 0) => Some(BanTimeIncrement {
            factor: Factor::from(2),
            maxtime: Some(Duration::from_secs(2000)),
            ..growing(Growth::Doubling)
        }),
        (0, _) => Some(BanTimeIncrement {
            overalljails: true,
            ..growing(Growth::Multipliers([1, 3, 0, 7].map(Factor::from).into()))
        }),
        (2, 0) => Some(growing(Growth::Formula(formula()))),
        (2, _) => Some(BanTimeIncrement {
            overalljails: true,
            maxtime: Some(Duration::from_secs(700)),
            ..growing(Growth::Doubling)
        }),
        _ => None,
    }
}

fn policies(number: usize) -> Vec<JailPolicy> {
    configuration(number)
        .into_iter()
        .map(|(policy, _)| policy)
        .collect()
}

fn own_addresses(number: usize) -> Vec<IpAddr> {
    let texts: &[&str] = match number % 3 {
        0 => &[],
        1 => &["192.0.2.2", "2001:db8:0:2::9"],
        _ => &["2001:db8:0:2::9"],
    };
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn step(back: std::ops::Range<u32>) -> impl Strategy<Value = Step> {
    let who = 0..IDS.len();
    let failed = prop::collection::vec((who.clone(), -100_i64..500), 1..8);
    let recent = prop::collection::vec((who.clone(), 0_i64..20), 1..8);
    prop_oneof![
        6 => (0..2_usize, recent).prop_map(|(jail, items)| Step::Failures(jail, items)),
        3 => (0..2_usize, failed).prop_map(|(jail, items)| Step::Failures(jail, items)),
        2 => (0..2_usize, who.clone()).prop_map(|(jail, id)| Step::Ban(jail, id)),
        1 => (prop::option::of(0..2_usize), who).prop_map(|(jail, id)| Step::Unban(jail, id)),
        1 => prop::option::of(0..2_usize).prop_map(Step::UnbanAll),
        1 => (0..12_usize).prop_map(Step::Reload),
        1 => (0..3_usize).prop_map(Step::OwnAddresses),
        4 => (0_u32..200).prop_map(Step::Forward),
        1 => back.prop_map(Step::Back),
        1 => Just(Step::Restart),
    ]
}

/// The machine as the daemon runs it, with its store.
struct World {
    decider: Decider,
    limits: Limits,
    now: Timestamp,
    configuration: usize,
    own: usize,
    attempts: BTreeMap<(JailName, FailureId), Vec<Timestamp>>,
    earlier: BTreeMap<(JailName, FailureId), Ban>,
}

/// Bans whatever is asked for: bounds on that have tests of their own.
fn unbounded(limits: Limits) -> Decider {
    let mut decider = Decider::new(limits);
    let safeguards = Safeguards {
        widest: Widest { ipv4: 0, ipv6: 0 },
        bans_per_minute: None,
    };
    assert_eq!(decider.set_safeguards(safeguards, Timestamp::EPOCH), []);
    decider
}

impl World {
    fn new(limits: Limits) -> Self {
        let now = Timestamp::from_secs(1_000_000);
        let mut decider = unbounded(limits);
        assert_eq!(decider.reload(policies(0), now), []);
        let (attempts, earlier) = Default::default();
        Self {
            decider,
            limits,
            now,
            configuration: 0,
            own: 0,
            attempts,
            earlier,
        }
    }

    /// Takes one step, and tells the store what has changed.
    fn step(&mut self, step: &Step) -> Vec<Effect> {
        let now = self.now;
        let effects = match step {
            Step::Failures(number, items) => self.decider.handle(batch(*number, items, now), now),
            Step::Ban(number, who) => self.decider.handle(
                Event::Ban {
                    jail: jail(*number),
                    ids: vec![id(*who)],
                },
                now,
            ),
            Step::Unban(number, who) => {
                let event = Event::Unban {
                    jail: number.map(jail),
                    ids: vec![id(*who)],
                    wider: false,
                };
                self.decider.handle(event, now)
            }
            Step::UnbanAll(number) => self.decider.handle(
                Event::UnbanAll {
                    jail: number.map(jail),
                },
                now,
            ),
            Step::Reload(number) => {
                self.configuration = *number;
                self.decider.reload(policies(*number), now)
            }
            Step::OwnAddresses(number) => {
                self.own = *number;
                self.decider.set_own_addresses(&own_addresses(*number), now)
            }
            Step::Forward(secs) => {
                self.now = now.saturating_add(Duration::from_secs(u64::from(*secs)));
                self.decider.handle(Event::Timer, self.now)
            }
            Step::Back(secs) => {
                self.now = now.saturating_sub(Duration::from_secs(u64::from(*secs)));
                self.decider.handle(Event::Timer, self.now)
            }
            Step::Restart => self.restart(),
        };
        self.store(&effects);
        effects
    }

    fn restart(&mut self) -> Vec<Effect> {
        let bans: Vec<Ban> = self.decider.bans().cloned().collect();
        let attempts = self.attempts.clone().into_iter();
        let attempts = attempts
            .map(|((jail, id), times)| Attempts { jail, id, times })
            .collect();
        let earlier = self.earlier.values().cloned().map(EarlierBans::from);
        let earlier = earlier.collect();
        self.decider = unbounded(self.limits);
        let mut effects = self.decider.reload(policies(self.configuration), self.now);
        effects.extend(
            self.decider
                .set_own_addresses(&own_addresses(self.own), self.now),
        );
        effects.extend(self.decider.restore(bans, attempts, earlier, self.now));
        effects
    }

    fn store(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Ban { ban, .. } | Effect::Prolong { ban } => {
                    self.earlier
                        .insert((ban.jail.clone(), ban.id.clone()), ban.clone());
                }
                Effect::Unban {
                    ban,
                    reason: UnbanReason::Manual,
                } => {
                    self.earlier.remove(&(ban.jail.clone(), ban.id.clone()));
                }
                _ => {}
            }
        }
        let now = self.now;
        self.earlier.retain(|_, ban| reference::counts(ban, now));
        for Attempts { jail, id, times } in self.decider.take_changed_attempts() {
            if times.is_empty() {
                assert!(
                    self.attempts.remove(&(jail, id)).is_some(),
                    "told to forget the unknown"
                );
            } else {
                self.attempts.insert((jail, id), times);
            }
        }
    }

    fn bans(&self) -> Vec<Ban> {
        let mut bans: Vec<Ban> = self.decider.bans().cloned().collect();
        bans.sort_by(|a, b| (&a.jail, &a.id).cmp(&(&b.jail, &b.id)));
        bans
    }
}

fn batch(number: usize, items: &[(usize, i64)], now: Timestamp) -> Event {
    let text: Arc<[u8]> = Arc::from(&b"someone failed\n"[..]);
    let line = Span { start: 0, end: 14 };
    let items = items.iter().map(|(who, ago)| {
        let at = Timestamp::from_micros(now.as_micros() - ago * 1_000_000);
        Failure {
            id: id(*who),
            at,
            line,
            user: None,
        }
    });
    Event::Failures(Failures {
        jail: jail(number),
        text,
        items: items.collect(),
    })
}

/// Histories that once went wrong are kept and run first.
fn seeds() -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct("tests/model/seeds.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(seeds)),
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(seeds())]

    /// Steps back are longer than the machine lets pass, since what a smaller one does to attempts
    /// that are just being forgotten is not promised.
    #[test]
    fn decisions_are_those_of_the_naive_model(
        steps in prop::collection::vec(step(61..10_000), 1..80),
    ) {
        let mut world = World::new(Limits::default());
        let mut model = Reference::new(world.now);
        for step in steps {
            let effects = world.step(&step);
            let counts: Vec<u32> = effects
                .iter()
                .filter_map(|effect| match effect {
                    Effect::Found { count, .. } => Some(*count),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(counts, model.step(&step), "{:?}", step);
            prop_assert_eq!(world.bans(), model.bans(), "{:?}", step);
        }
    }

    #[test]
    fn nobody_is_banned_who_must_not_be_and_limits_hold(
        steps in prop::collection::vec(step(1..200), 1..120),
    ) {
        let limits = Limits {
            tracked_ids_max: 3,
            bans_max: 2,
            prior_bans_max: 2,
            matches_bytes_max: 60,
            held_max: 0,
        };
        let mut world = World::new(limits);
        let mut told: BTreeMap<(JailName, FailureId), Ban> = BTreeMap::new();
        for step in steps {
            if matches!(step, Step::Restart) {
                told.clear();
            }
            let effects = world.step(&step);
            follow(&effects, &mut told, &world);
            for ban in world.bans() {
                prop_assert!(!ban.is_over(world.now), "{:?} is over", ban);
                prop_assert_eq!(told.get(&(ban.jail.clone(), ban.id.clone())), Some(&ban));
                check_harmless(&ban, &world);
            }
            prop_assert_eq!(told.len(), world.bans().len());
            for status in world.decider.status(world.now) {
                prop_assert!(status.currently_banned <= limits.bans_max);
                prop_assert!(status.currently_failing <= limits.tracked_ids_max);
            }
        }
    }
}

/// Carries out effects as a shell does, which must end with the bans that the machine has.
fn follow(effects: &[Effect], told: &mut BTreeMap<(JailName, FailureId), Ban>, world: &World) {
    let key = |ban: &Ban| (ban.jail.clone(), ban.id.clone());
    for effect in effects {
        match effect {
            Effect::Ban { ban, .. } | Effect::Restore(ban) => {
                assert_eq!(told.insert(key(ban), ban.clone()), None, "banned twice");
            }
            Effect::Prolong { ban } => {
                assert!(
                    told.insert(key(ban), ban.clone()).is_some(),
                    "prolonged no ban"
                );
            }
            Effect::Unban { ban, reason } => {
                assert_eq!(
                    told.remove(&key(ban)).as_ref(),
                    Some(ban),
                    "{reason:?} of no ban"
                );
                assert_eq!(*reason == UnbanReason::Expired, ban.is_over(world.now));
            }
            Effect::Found { jail, count, .. } => {
                let policy = world
                    .decider
                    .policies()
                    .find(|policy| policy.name == *jail)
                    .unwrap();
                assert!((1..=policy.maxretry.get()).contains(count));
            }
            _ => {}
        }
    }
}

fn check_harmless(ban: &Ban, world: &World) {
    let jails = configuration(world.configuration);
    let (policy, ignored) = jails
        .iter()
        .find(|(policy, _)| policy.name == ban.jail)
        .unwrap();
    let own = own_addresses(world.own)
        .into_iter()
        .map(|addr| addr.to_string());
    let mut spared: Vec<String> = ignored.iter().map(ToString::to_string).collect();
    if policy.ignoreself {
        spared.extend(own.chain(["127.0.0.1".to_owned(), "::1".to_owned()]));
    }
    for text in spared {
        assert!(
            !reference::meet(&ban.id, &FailureId::parse(&text)),
            "{ban:?} hits {text}"
        );
    }
}
