//! How our objects are called in pf.

use stockade_core::JailName;

use crate::rules::{BlockType, PortRange, Protocol};

/// Our anchor: a ruleset of its own, with tables of its own, that the main ruleset calls by this name.
pub(super) const ANCHOR: &str = "stockade";

/// What table names begin with: a name by itself may be a keyword of pf.conf(5) or a number, and jails are
/// called `pass` and `404`.
const TABLE: &str = "ban-";

/// `PF_TABLE_NAME_SIZE` (net/pfvar.h) without its final NUL.
const TABLE_NAME_LEN_MAX: usize = 31;

/// `PF_RULE_LABEL_SIZE` (net/pfvar.h) without its final NUL.
const LABEL_LEN_MAX: usize = 63;

const _: () = assert!(TABLE.len() + JailName::LEN_MAX <= TABLE_NAME_LEN_MAX);
// A jail, the longest of `drop` and `return`, of `udplite`'s number and `tcp`, and two ports.
const _: () = assert!(JailName::LEN_MAX + ":return:136:65535:65535".len() <= LABEL_LEN_MAX);

/// Name of the table with the banned addresses of `jail`, of both families.
pub(super) fn table(jail: &JailName) -> String {
    format!("{TABLE}{jail}")
}

/// Whose table this is; `None` for one that is not ours.
pub(super) fn jail_of_table(name: &str) -> Option<JailName> {
    JailName::try_new(name.strip_prefix(TABLE)?).ok()
}

/// Label of a rule: whose it is and all that it says, so that listing labels shows whether all rules are
/// there as they were made.
pub(super) fn label(
    jail: &JailName,
    block: BlockType,
    protocol: Option<Protocol>,
    port: Option<PortRange>,
) -> String {
    let mut label = format!("{jail}:{}", action(block));
    if let Some(protocol) = protocol {
        label.push(':');
        label.push_str(&protocol_word(protocol));
    }
    if let Some(range) = port {
        label.push(':');
        label.push_str(&ports(range));
    }
    label
}

/// Whose rule has this label. Jails' names have no colon.
pub(super) fn jail_of_label(label: &str) -> Option<JailName> {
    JailName::try_new(label.split_once(':')?.0).ok()
}

/// What follows `block` in a rule. pf cannot let a few packets through, so a tarpit drops.
pub(super) const fn action(block: BlockType) -> &'static str {
    match block {
        BlockType::Drop | BlockType::Tarpit => "drop",
        BlockType::Reject => "return",
    }
}

/// A protocol as in a rule: by its number where `/etc/protocols` may not have its name.
pub(super) fn protocol_word(protocol: Protocol) -> String {
    match protocol {
        Protocol::Tcp | Protocol::Udp => protocol.as_str().to_owned(),
        other => other.number().to_string(),
    }
}

/// Ports as in a rule, both ends included.
pub(super) fn ports(range: PortRange) -> String {
    if range.first == range.last {
        range.first.to_string()
    } else {
        format!("{}:{}", range.first, range.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jail(name: &str) -> JailName {
        JailName::try_new(name).unwrap()
    }

    #[test]
    fn tables_name_their_jail_and_no_other_table_does() {
        for name in ["sshd", "404", "pass", "a23456789012345678901234.6"] {
            let table = table(&jail(name));
            assert!(table.len() <= TABLE_NAME_LEN_MAX);
            assert_eq!(jail_of_table(&table), Some(jail(name)));
        }
        for name in ["sshd", "ban-", "ban--x", "ban-a b", "f2b-sshd"] {
            assert_eq!(jail_of_table(name), None, "{name}");
        }
    }

    #[test]
    fn a_label_says_what_its_rule_does() {
        let range = PortRange {
            first: 65_000,
            last: 65_535,
        };
        let long = jail("a2345678901234567890123456");
        let longest = label(
            &long,
            BlockType::Reject,
            Some(Protocol::UdpLite),
            Some(range),
        );
        assert_eq!(longest, "a2345678901234567890123456:return:136:65000:65535");
        assert!(longest.len() <= LABEL_LEN_MAX);
        assert_eq!(jail_of_label(&longest), Some(long));
        assert_eq!(
            label(&jail("sshd"), BlockType::Drop, None, None),
            "sshd:drop"
        );
        assert_eq!(jail_of_label("sshd:drop"), Some(jail("sshd")));
        assert_eq!(jail_of_label("sshd"), None);
    }
}
