//! What syslog puts before a message.

use stockade_sdk::filter::LogText;

use crate::tail::is_number;

/// The programs whose messages count: the listener, and since OpenSSH 9.8 and 10.0 the processes that
/// serve one connection.
const PROGRAMS: [&str; 3] = ["sshd", "sshd-session", "sshd-auth"];

/// The message of a line of sshd's, without date: `[HOST ]sshd[PID]: MESSAGE`.
///
/// Only the first two words can name the program. Further on, the text is that of some program, which
/// may quote an attacker who wrote `sshd[1]: Failed password …` there.
pub(crate) fn message(line: &[u8]) -> Option<&[u8]> {
    // A date that was cut out leaves the space that stood behind it.
    let (first, rest) = line.trim_ascii_start().split_around(" ")?;
    if is_sshd(first) {
        return Some(rest);
    }
    let (second, rest) = rest.split_around(" ")?;
    is_sshd(second).then_some(rest)
}

/// `sshd:`, `sshd[123]:`, and the same of the other programs.
fn is_sshd(word: &[u8]) -> bool {
    let Some(tag) = word.before_suffix(":") else {
        return false;
    };
    PROGRAMS.iter().any(|program| {
        tag.after_prefix(program).is_some_and(|pid| {
            pid.is_empty()
                || pid
                    .after_prefix("[")
                    .and_then(|pid| pid.before_suffix("]"))
                    .is_some_and(is_number)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_follows_the_programs_name() {
        for line in [
            "sshd[1]: m",
            " host sshd[12]: m",
            "host sshd-session[12]: m",
            "host sshd-auth[1]: m",
            "sshd: m",
        ] {
            assert_eq!(message(line.as_bytes()), Some(&b"m"[..]), "{line}");
        }
    }

    #[test]
    fn another_programs_text_is_not_sshds() {
        for line in [
            "host app[1]: sshd[1]: m",
            "host app sshd[1]: m",
            "host  sshd[1]: m",
            "host sshdx[1]: m",
            "host sshd[x]: m",
            "host sshd[]: m",
            "host sshd[1] m",
            "sshd[1]:",
            "",
        ] {
            assert_eq!(message(line.as_bytes()), None, "{line}");
        }
    }
}
