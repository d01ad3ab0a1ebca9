//! Numbers that nobody outside can foresee, from a seed that is given.

/// SplitMix64 (Steele, Lea and Flood 2014): one word of state, and every run from one seed is the
/// same. It hides the end of a ban from who is banned; secrets need more than that.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // As many bits as a fraction has room for; 32 are enough for the microseconds of an hour.
        f64::from(u32::try_from(mixed >> 32).unwrap_or(0)) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_between_zero_and_one_and_fill_the_room() {
        let mut chance = Chance::new(7);
        let numbers: Vec<f64> = (0..10_000).map(|_| chance.next()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        for tenth in 0..10 {
            let (low, high) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
            let within = numbers.iter().filter(|n| (low..high).contains(*n)).count();
            assert!((800..1200).contains(&within), "{within} from {low}");
        }
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let three = |seed| {
            let mut chance = Chance::new(seed);
            [chance.next(), chance.next(), chance.next()]
        };
        assert_eq!(three(1), three(1));
        assert_ne!(three(1), three(2));
    }
}
