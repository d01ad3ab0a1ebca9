//! Which filters of ours are for the services that fail2ban's are for.

use std::collections::BTreeMap;

use crate::stock;

/// fail2ban's name of a filter, and ours where it is another one.
const OTHER_NAMES: [(&str, &str); 4] = [
    ("mysqld-auth", "mysql"),
    ("nginx-botsearch", "nginx-probes"),
    ("pam-generic", "pam"),
    ("traefik-auth", "traefik"),
];

/// Jails by the filter of ours that could take the place of theirs. `jails` are names of jails and of
/// fail2ban's filters.
pub(super) fn of<'j>(
    jails: impl Iterator<Item = (&'j str, &'j str)>,
) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (jail, theirs) in jails {
        let other = OTHER_NAMES.iter().find(|(name, _)| *name == theirs);
        let ours = other.map_or(theirs, |(_, ours)| ours);
        if stock::FILTERS.iter().any(|(name, _)| *name == ours) {
            found
                .entry(ours.to_owned())
                .or_default()
                .push(jail.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_name_is_one_of_ours() {
        for (_, ours) in OTHER_NAMES {
            assert!(
                stock::FILTERS.iter().any(|(name, _)| *name == ours),
                "{ours}"
            );
        }
    }

    #[test]
    fn only_filters_that_there_are_are_named() {
        let jails = [("ssh", "sshd"), ("sshd", "sshd"), ("x", "no-such-filter")];
        let expected = ["ssh", "sshd"].map(str::to_owned).to_vec();
        assert_eq!(
            of(jails.into_iter()),
            [("sshd".to_owned(), expected)].into()
        );
    }
}
