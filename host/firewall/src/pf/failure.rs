//! Why pfctl(8) failed, by what it wrote to standard error.

use std::io;

use crate::FirewallError;

/// Written on every system without ALTQ, whatever else happens.
const NOISE: [&str; 2] = [
    "No ALTQ support in kernel",
    "ALTQ related functions disabled",
];

/// So much of what pfctl says goes into an error.
const REASON_LEN_MAX: usize = 400;

/// Whether it says that an anchor or a table is not there. `DIOCGETRULES: Invalid argument` is what older
/// ones say when the rules of an anchor are asked for that nobody has loaded.
pub(super) fn is_missing(stderr: &str) -> bool {
    [
        "does not exist",
        "DIOCGETRULES: Invalid argument",
        "Anchor not found",
    ]
    .iter()
    .any(|text| stderr.contains(text))
}

/// What a failure means for whoever has to act.
pub(super) fn failure(act: &str, how: &str, stderr: &str) -> FirewallError {
    let act = act.to_owned();
    let says = |text: &str| stderr.contains(text);
    if says("/dev/pf: No such file or directory") {
        return FirewallError::Unavailable {
            backend: "pf",
            what: "there is no /dev/pf".to_owned(),
            hint: Some(
                "load pf: 'sysrc pf_enable=YES', then 'service pf start'; in a jail, its devfs ruleset has to \
                 show /dev/pf",
            ),
        };
    }
    if says("/dev/pf: Permission denied") || says("Operation not permitted") {
        return FirewallError::NotPermitted {
            backend: "pf",
            source: io::Error::other(reason(how, stderr)),
        };
    }
    if says("Cannot allocate memory") {
        let what = "pf's room for table entries ('set limit table-entries' in pf.conf)".to_owned();
        return FirewallError::Full { act, what };
    }
    if is_missing(stderr) {
        let what = "a table or the anchor 'stockade' of pf";
        return FirewallError::Gone { act, what };
    }
    if says("Invalid argument") && act.starts_with("list table") {
        let reason =
            "it may hold more addresses than pf lists at once ('sysctl net.pf.request_maxcount')"
                .to_owned();
        return FirewallError::Failed { act, reason };
    }
    if says("busy") {
        let what = "another program is loading rules of pf".to_owned();
        return FirewallError::Busy { act, what };
    }
    FirewallError::Failed {
        act,
        reason: reason(how, stderr),
    }
}

/// What was said, in one line and escaped; how it ended, where nothing was.
fn reason(how: &str, stderr: &str) -> String {
    let said: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !NOISE.contains(line))
        .collect();
    if said.is_empty() {
        return format!("pfctl {how}");
    }
    let said = said.join("; ");
    said.chars()
        .take(REASON_LEN_MAX)
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_says_what_is_to_be_done() {
        for (stderr, shown) in [
            (
                "pfctl: /dev/pf: No such file or directory\n",
                "cannot use pf: there is no /dev/pf",
            ),
            (
                "pfctl: /dev/pf: Permission denied\n",
                "not permitted to use pf",
            ),
            (
                "pfctl: Cannot allocate memory.\n",
                "cannot ban: pf's room for table entries ('set limit table-entries' in pf.conf) is full",
            ),
            (
                "pfctl: Table does not exist.\n",
                "cannot ban: a table or the anchor 'stockade' of pf is gone or was altered by somebody else",
            ),
            (
                "pfctl: DIOCXCOMMIT: Device busy\n",
                "cannot ban: another program is loading rules of pf",
            ),
            (
                "No ALTQ support in kernel\nALTQ related functions disabled\nstdin:3: syntax error\n\x1b[2J\n",
                "cannot ban: stdin:3: syntax error; \\u{1b}[2J",
            ),
            ("", "cannot ban: pfctl ended with 1"),
        ] {
            let error = failure("ban", "ended with 1", stderr);
            assert_eq!(error.to_string(), shown);
        }
        let error = failure("list table 'ban-sshd'", "", "pfctl: Invalid argument.\n").to_string();
        assert!(error.contains("net.pf.request_maxcount"), "{error}");
        let no_device = failure(
            "ban",
            "ended with 1",
            "pfctl: /dev/pf: No such file or directory",
        );
        assert!(no_device.hint().unwrap().contains("service pf start"));
    }
}
