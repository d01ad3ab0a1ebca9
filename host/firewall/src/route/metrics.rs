//! Whose ban a route is: the metric says it, and survives us.

use std::collections::BTreeMap;

use stockade_core::JailName;

/// A number for each jail, the same in every run: a hash of its name.
///
/// Two names with one hash are one chance in a million for a hundred jails. The later name then gets the
/// next free number; where jails come and go, bans of such two may be taken for each other's once, and
/// reconciling puts that right.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    by_jail: BTreeMap<JailName, u32>,
    by_metric: BTreeMap<u32, JailName>,
}

impl Metrics {
    pub(super) fn of<'a>(jails: impl IntoIterator<Item = &'a JailName>) -> Self {
        Self::assign(jails, |jail| fnv1a(jail.to_string().as_bytes()))
    }

    fn assign<'a>(
        jails: impl IntoIterator<Item = &'a JailName>,
        hash: impl Fn(&JailName) -> u32,
    ) -> Self {
        let mut metrics = Self::default();
        let mut jails: Vec<_> = jails.into_iter().collect();
        jails.sort_unstable();
        for jail in jails {
            // Zero is no metric: the kernel reads it as its default.
            let mut metric = hash(jail).max(1);
            while metrics.by_metric.contains_key(&metric) {
                metric = metric.wrapping_add(1).max(1);
            }
            metrics.by_metric.insert(metric, jail.clone());
            metrics.by_jail.insert(jail.clone(), metric);
        }
        metrics
    }

    pub(super) fn metric(&self, jail: &JailName) -> Option<u32> {
        self.by_jail.get(jail).copied()
    }

    pub(super) fn jail(&self, metric: u32) -> Option<&JailName> {
        self.by_metric.get(&metric)
    }
}

/// FNV-1a of 32 bits (draft-eastlake-fnv, "FNV-1a"): the same on every machine and in every version,
/// which the hashes of the standard library do not promise.
fn fnv1a(bytes: &[u8]) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jail(name: &str) -> JailName {
        JailName::try_new(name).unwrap()
    }

    #[test]
    fn the_number_of_a_jail_depends_on_its_name_only() {
        let alone = Metrics::of(&[jail("sshd")]);
        let among = Metrics::of(&[jail("nginx"), jail("sshd"), jail("postfix")]);
        // Routes of earlier versions have to be known by later ones.
        assert_eq!(alone.metric(&jail("sshd")), Some(0xb22b_c06f));
        assert_eq!(among.metric(&jail("sshd")), alone.metric(&jail("sshd")));
        assert_eq!(among.jail(0xb22b_c06f), Some(&jail("sshd")));
    }

    #[test]
    fn the_hash_is_that_of_the_draft() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn jails_with_one_hash_get_numbers_of_their_own_and_never_zero() {
        for hash in [0, 7, u32::MAX] {
            let jails = [jail("c"), jail("a"), jail("b")];
            let metrics = Metrics::assign(&jails, |_| hash);
            let mut numbers: Vec<_> = jails.iter().filter_map(|j| metrics.metric(j)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), 3);
            assert!(!numbers.contains(&0), "{numbers:?}");
            assert_eq!(metrics.metric(&jail("a")), Some(hash.max(1)));
        }
    }
}
