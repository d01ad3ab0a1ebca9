use super::*;

/// The counts for which [`check`] has expected lengths.
const COUNTS: [u32; 7] = [1, 2, 3, 4, 7, 20, 100];

fn factors(numbers: &[u32]) -> Vec<Factor> {
    numbers.iter().copied().map(Factor::from).collect()
}

fn factor(number: f64) -> Factor {
    Factor::try_new(number).unwrap()
}

/// Compares with what fail2ban 1.0.2 computes, in seconds.
#[track_caller]
fn check(bantime: u64, increment: &BanTimeIncrement, expected: [u64; 7]) {
    let length = |count| {
        let bantime = BanTime::For(Duration::from_secs(bantime));
        match increment.length(bantime, count, || 0.0) {
            BanTime::For(length) => length.as_secs(),
            BanTime::Forever => u64::MAX,
        }
    };
    assert_eq!(COUNTS.map(length), expected);
    assert_eq!(length(0), bantime);
}

#[test]
fn by_default_each_ban_is_twice_as_long_up_to_the_twentieth() {
    let doubling = BanTimeIncrement::default();
    check(
        600,
        &doubling,
        [1200, 2400, 4800, 9600, 76_800, 629_145_600, 629_145_600],
    );
    let slower = BanTimeIncrement {
        factor: factor(0.5),
        ..doubling
    };
    check(
        600,
        &slower,
        [600, 1200, 2400, 4800, 38_400, 314_572_800, 314_572_800],
    );
}

#[test]
fn maxtime_cuts_all_but_the_first_ban() {
    let cut = |secs| BanTimeIncrement {
        factor: factor(1.5),
        maxtime: Some(Duration::from_secs(secs)),
        ..BanTimeIncrement::default()
    };
    check(600, &cut(7200), [1800, 3600, 7200, 7200, 7200, 7200, 7200]);
    check(600, &cut(300), [300; 7]);
}

#[test]
fn the_last_multiplier_stands_for_all_that_follow() {
    let multiplied = |numbers: &[u32]| BanTimeIncrement {
        growth: Growth::Multipliers(factors(numbers)),
        ..BanTimeIncrement::default()
    };
    check(
        600,
        &multiplied(&[1, 2, 4, 8, 16, 32, 64]),
        [1200, 2400, 4800, 9600, 38_400, 38_400, 38_400],
    );
    check(
        600,
        &BanTimeIncrement {
            factor: factor(2.0),
            ..multiplied(&[1, 0, 3])
        },
        [0, 3600, 3600, 3600, 3600, 3600, 3600],
    );
    check(
        600,
        &BanTimeIncrement {
            factor: factor(0.1),
            ..multiplied(&[3])
        },
        [180; 7],
    );
}

#[test]
fn a_formula_grows_as_it_says_and_never_below_the_first_ban() {
    let formula = |text: &str| BanTimeIncrement {
        growth: Growth::Formula(BanFormula::parse(text).unwrap()),
        factor: factor(2.0 / 2.885385),
        ..BanTimeIncrement::default()
    };
    let exponential =
        formula("ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)");
    let longest = BanTimePolicy::LONGEST.as_secs();
    check(
        60,
        &exponential,
        [120, 240, 480, 960, 7_680, 62_916_096, longest],
    );
    check(3600, &formula("ban.Time / (ban.Count + 1)"), [3600; 7]);
}

#[test]
fn a_formula_without_a_value_leaves_the_ban_as_long_as_the_first() {
    let increment = BanTimeIncrement {
        growth: Growth::Formula(BanFormula::parse("ban.Time * 60 / (ban.Count - 3)").unwrap()),
        ..BanTimeIncrement::default()
    };
    check(600, &increment, [600, 600, 600, 36_000, 9000, 2117, 600]);
}

#[test]
fn random_time_comes_on_top_of_maxtime_and_not_to_a_first_ban() {
    let increment = BanTimeIncrement {
        maxtime: Some(Duration::from_secs(1000)),
        rndtime: Duration::from_secs(600),
        ..BanTimeIncrement::default()
    };
    let first = BanTime::For(Duration::from_secs(600));
    let half = |count| increment.length(first, count, || 0.5);
    assert_eq!(half(0), first);
    assert_eq!(half(1), BanTime::For(Duration::from_secs(1300)));
    let none = || unreachable!("no random number is drawn for nothing");
    assert_eq!(increment.length(first, 0, none), first);
}

#[test]
fn a_ban_for_ever_stays_one() {
    let increment = BanTimeIncrement {
        maxtime: Some(Duration::from_secs(1000)),
        ..BanTimeIncrement::default()
    };
    let length = increment.length(BanTime::Forever, 5, || 0.5);
    assert_eq!(length, BanTime::Forever);
}

#[test]
fn a_multiplier_of_zero_bans_for_the_shortest_time_and_never_for_ever() {
    let policy = BanTimePolicy {
        bantime: BanTime::For(Duration::from_secs(600)),
        increment: Some(BanTimeIncrement {
            growth: Growth::Multipliers(factors(&[0])),
            ..BanTimeIncrement::default()
        }),
    };
    let shortest = BanTime::For(BanTimePolicy::SHORTEST);
    assert_eq!(policy.length(1, || 0.0), shortest);
}

#[test]
fn failures_of_known_ids_count_more_with_each_ban_up_to_maxretry() {
    let weights = [0, 1, 2, 3, 4, 5, 20, 900].map(|count| BanTimeIncrement::weight(count, 10));
    assert_eq!(weights, [1, 2, 3, 5, 9, 10, 10, 10]);
    assert_eq!(BanTimeIncrement::weight(7, 1), 1);
}

#[test]
fn a_factor_is_finite_and_not_negative() {
    for number in [-0.5, f64::NAN, f64::INFINITY] {
        assert_eq!(Factor::try_new(number), None);
    }
    assert_eq!(Factor::try_new(0.0).map(Factor::get), Some(0.0));
}
