//! Calls of iptables-save(8), iptables-restore(8) and ipset(8): lists of arguments, a bounded time and a
//! bounded answer, and what their complaints mean.

use std::io;
use std::path::Path;
use std::time::Duration;

use stockade_core::Escaped;

use super::names::{Family, SetId};
use super::saved::Saved;
use super::sets::{self, Header};
use super::variant::Programs;
use crate::FirewallError;
use crate::program::{Call, ProgramError};

/// How long one call may take. A full batch takes the kernel a second; who takes longer waits for something
/// that will not come.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long iptables waits for its lock (`-w`). Others hold it for milliseconds.
const LOCK_WAIT_SECONDS: &str = "5";

/// How much of an answer is read: a million bans are listed in 50 MiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How often a set that was just left by its last rule is destroyed anew: nf_tables lets go of what a
/// removed rule held a moment after it said that the rule is gone. One try takes milliseconds.
const DESTROY_ATTEMPTS_MAX: usize = 100;

/// The programs, for one backend.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    pub(super) backend: &'static str,
    pub(super) programs: Programs,
    families: Vec<Family>,
}

impl Tools {
    pub(super) fn new(backend: &'static str, programs: Programs) -> Self {
        // A kernel without IPv6 has no such packets, and ip6tables fails there.
        let has_v6 = Path::new("/proc/sys/net/ipv6").exists();
        let families = Family::ALL.into_iter();
        Self {
            backend,
            programs,
            families: families
                .filter(|family| *family == Family::V4 || has_v6)
                .collect(),
        }
    }

    /// Checks that rules which ask a set can be made, by one that asks a set which cannot be there.
    pub(super) fn check(&self) -> Result<(), FirewallError> {
        /// No jail's name begins with a dot.
        const SCRIPT: &str = "*filter\n-A INPUT -m set --match-set stk4-. src -j DROP\nCOMMIT\n";
        self.headers()?;
        self.saved()?;
        let act = "try a rule of iptables";
        for family in &self.families {
            let program = self.programs.restore(*family);
            let argv = [&program, "--noflush", "--test", "-w", LOCK_WAIT_SECONDS];
            let Err(said) = start(self.backend, act, &argv, SCRIPT)? else {
                continue;
            };
            match failure(self.backend, act, &said) {
                _ if said.contains("doesn't exist") => {}
                // Later it will not be busy any more.
                FirewallError::Busy { .. } => {}
                error => return Err(error),
            }
        }
        Ok(())
    }

    /// The rules of all tables of both families.
    pub(super) fn saved(&self) -> Result<Vec<(Family, Saved)>, FirewallError> {
        let families = self.families.iter();
        families
            .map(|&family| {
                let program = self.programs.save(family);
                let act = format!("list the rules of {}", family.program());
                let text = run(self.backend, &act, &[&program, "-c"], "")?;
                Ok((family, Saved::parse(&text)))
            })
            .collect()
    }

    /// Runs a script that leaves the rules of others; each of its tables is one transaction.
    pub(super) fn restore(&self, family: Family, script: &str) -> Result<(), FirewallError> {
        if script.is_empty() {
            return Ok(());
        }
        let program = self.programs.restore(family);
        let argv = [&program, "--noflush", "-w", LOCK_WAIT_SECONDS];
        let act = format!("change the rules of {}", family.program());
        run(self.backend, &act, &argv, script)?;
        Ok(())
    }

    /// All sets of ours, without what they hold.
    pub(super) fn headers(&self) -> Result<Vec<Header>, FirewallError> {
        let argv = ["ipset", "list", "-terse"];
        let text = run(self.backend, "list the sets of ipset", &argv, "")?;
        Ok(sets::headers(&text))
    }

    /// What a set holds; `None` where it is not there.
    pub(super) fn entries(&self, set: &SetId) -> Result<Option<String>, FirewallError> {
        let name = set.to_string();
        let act = format!("list ipset '{name}'");
        match start(self.backend, &act, &["ipset", "save", &name], "")? {
            Ok(text) => Ok(Some(text)),
            Err(said) if sets::is_missing(&said) => Ok(None),
            Err(said) => Err(failure(self.backend, &act, &said)),
        }
    }

    /// Runs a script for sets, in which what is there already is no error; what ipset said where it failed.
    pub(super) fn change_sets(
        &self,
        act: &str,
        script: &str,
    ) -> Result<Result<(), String>, FirewallError> {
        let argv = ["ipset", "restore", "-exist"];
        Ok(start(self.backend, act, &argv, script)?.map(drop))
    }

    /// Removes a set; that it is gone already is no error.
    pub(super) fn destroy(&self, set: &SetId) -> Result<(), FirewallError> {
        let name = set.to_string();
        let act = format!("remove ipset '{name}'");
        let mut attempts = 1;
        loop {
            match start(self.backend, &act, &["ipset", "destroy", &name], "")? {
                Ok(_) => return Ok(()),
                Err(said) if sets::is_missing(&said) => return Ok(()),
                Err(said) if sets::is_in_use(&said) => {
                    if attempts >= DESTROY_ATTEMPTS_MAX {
                        let what = "a rule or a set of somebody else refers to it".to_owned();
                        return Err(FirewallError::Busy { act, what });
                    }
                    attempts += 1;
                }
                Err(said) => return Err(failure(self.backend, &act, &said)),
            }
        }
    }
}

/// What a program answered; where it failed, the error that its complaint stands for.
pub(super) fn run(
    backend: &'static str,
    act: &str,
    argv: &[&str],
    input: &str,
) -> Result<String, FirewallError> {
    start(backend, act, argv, input)?.map_err(|said| failure(backend, act, &said))
}

/// What a program answered, or what it said when it failed.
fn start(
    backend: &'static str,
    act: &str,
    argv: &[&str],
    input: &str,
) -> Result<Result<String, String>, FirewallError> {
    let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
    let call = Call {
        argv: &argv,
        environment: &[("LC_ALL", "C".to_owned())],
        input: input.as_bytes(),
        timeout: CALL_TIMEOUT,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    let failed = |error: &dyn std::error::Error| {
        let cause = error.source().map(|cause| format!(": {cause}"));
        FirewallError::Failed {
            act: act.to_owned(),
            reason: format!("{error}{}", cause.unwrap_or_default()),
        }
    };
    let ended = call.run().map_err(|error| match &error {
        ProgramError::Start { program, source } if source.kind() == io::ErrorKind::NotFound => {
            missing(backend, program)
        }
        _ => failed(&error),
    })?;
    if ended.is_cut {
        return Err(FirewallError::Failed {
            act: act.to_owned(),
            reason: format!("'{}' answers with too much", call.program()),
        });
    }
    match ended.success(call.program()) {
        Ok(ended) => Ok(Ok(String::from_utf8_lossy(&ended.answer).into_owned())),
        Err(ProgramError::Failed {
            said,
            status,
            program,
        }) => Ok(Err(if said.is_empty() {
            format!("'{program}' ended with {status}")
        } else {
            String::from_utf8_lossy(&said).into_owned()
        })),
        Err(error) => Err(failed(&error)),
    }
}

fn missing(backend: &'static str, program: &str) -> FirewallError {
    FirewallError::Unavailable {
        backend,
        what: format!("there is no program '{program}'"),
        hint: Some(match program {
            "ipset" => "install the package 'ipset'",
            "ufw" => "install the package 'ufw', or use the backend 'iptables'",
            _ => "install the package 'iptables'",
        }),
    }
}

/// What a complaint means for whoever has to act.
pub(super) fn failure(backend: &'static str, act: &str, said: &str) -> FirewallError {
    let says = |text: &str| said.contains(text);
    if says("xtables lock") {
        return FirewallError::Busy {
            act: act.to_owned(),
            what: format!(
                "another program has held the lock of iptables for {LOCK_WAIT_SECONDS} seconds"
            ),
        };
    }
    if says("Operation not permitted") || says("Permission denied") || says("must be root") {
        return FirewallError::NotPermitted {
            backend,
            source: io::Error::other(one_line(said)),
        };
    }
    if says("Can't open socket to ipset") || says("unable to initialize table") {
        return FirewallError::Unavailable {
            backend,
            what: one_line(said),
            hint: Some(
                "iptables needs CAP_NET_RAW beside CAP_NET_ADMIN, and its modules loaded; \
                 docs/firewall/iptables.md has the lines for the unit file",
            ),
        };
    }
    FirewallError::Failed {
        act: act.to_owned(),
        reason: one_line(said),
    }
}

/// What was said, escaped, without the advice that follows.
fn one_line(said: &str) -> String {
    let lines = said.lines().map(str::trim);
    let lines: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("Try `") && !line.starts_with('#'))
        .collect();
    Escaped(lines.join("; ").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_says_what_is_to_be_done() {
        for (said, shown) in [
            (
                "Another app is currently holding the xtables lock; still 3s 0us time ahead\n",
                "cannot ban: another program has held the lock of iptables for 5 seconds",
            ),
            (
                "ipset v7.17: Kernel error received: Operation not permitted\n",
                "not permitted to use iptables",
            ),
            (
                "iptables-restore v1.8.9 (legacy): Set x doesn't exist.\n\nError occurred at line: 7\n\
                 Try `iptables-restore -h' or 'iptables-restore --help' for more information.\n",
                "cannot ban: iptables-restore v1.8.9 (legacy): Set x doesn't exist.; Error occurred at line: 7",
            ),
        ] {
            assert_eq!(failure("iptables", "ban", said).to_string(), shown);
        }
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let error = run("iptables", "look", &["ipset-that-is-not-there"], "").unwrap_err();
        assert!(
            matches!(error, FirewallError::Unavailable { .. }),
            "{error}"
        );
        let ipset = missing("iptables", "ipset");
        assert_eq!(
            ipset.to_string(),
            "cannot use iptables: there is no program 'ipset'"
        );
        assert_eq!(ipset.hint(), Some("install the package 'ipset'"));
    }
}
