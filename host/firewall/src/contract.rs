//! What every backend promises, and the values that go in and come out.

use std::fmt;
use std::time::Duration;

use stockade_core::{IpNet, JailName};

use crate::rules::JailRules;
use crate::{FirewallError, Watch};

/// Longest timeout that is handed to the kernel: 100 years.
///
/// nf_tables refuses more than `u64::MAX` nanoseconds (584 years), and a ban of a century is a ban
/// for ever. Longer timeouts are shortened to this.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Shortest timeout that is handed to the kernel.
///
/// The kernel counts in ticks of up to 10 ms, and a timeout that rounds to no tick would mean
/// "never"; a ban that is about to end lasts this second instead.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Shortest IPv4 prefix that can be banned: nobody holds more than a /8 (IANA's own unit), so a
/// wider one is a slip that locks out the world, the operator first.
pub const PREFIX_LEN_MIN_V4: u8 = 8;

/// Shortest IPv6 prefix that can be banned: IANA gives registries /12 at most.
pub const PREFIX_LEN_MIN_V6: u8 = 12;

/// A way to make the kernel drop what comes from banned addresses.
///
/// All calls block, but only for as long as the kernel works. All are idempotent.
pub trait Firewall: fmt::Debug + Send {
    /// Name of the backend, as written in configuration and shown to the user.
    fn name(&self) -> &str;

    /// Who ends a ban when its time is over.
    fn timeouts(&self) -> Timeouts;

    /// Makes the rules be exactly these, in one transaction.
    ///
    /// Bans that an earlier run left for these jails stay, with their timeouts. Rules and bans of
    /// jails that are not listed go away. There is no moment without enforcement.
    ///
    /// # Errors
    /// Where the rules make no sense, or the kernel refuses; then nothing has changed.
    fn configure(&mut self, rules: &[JailRules]) -> Result<(), FirewallError>;

    /// Bans and unbans.
    ///
    /// Banning what is banned gives it the new timeout; unbanning what is not banned is no error.
    /// Of several changes for one jail and network the last counts. One call is one transaction as
    /// far as the kernel takes so much at once, else a few, each of them whole.
    ///
    /// Answers with the changes that were refused and why, such as a network that is too wide
    /// ([`check_net`]) or a jail that is not configured; all others are applied.
    ///
    /// # Errors
    /// Where it is not known what was applied. [`FirewallError::Gone`] where somebody deleted our rules:
    /// [`Firewall::configure`] and reconcile.
    fn apply(&mut self, changes: &[Change]) -> Result<Vec<Refusal>, FirewallError>;

    /// What is banned at this moment, of all jails, asked from the kernel.
    ///
    /// # Errors
    /// Where the kernel cannot be asked. Missing rules are no error: nothing is banned then.
    fn list(&mut self) -> Result<Vec<Element>, FirewallError>;

    /// Asks the kernel whether everything that [`Firewall::configure`] made is still there.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    fn probe(&mut self) -> Result<Health, FirewallError>;

    /// Removes all that this backend made, bans included, and nothing else.
    ///
    /// # Errors
    /// Where the kernel refuses. That there is nothing to remove is no error.
    fn teardown(&mut self) -> Result<(), FirewallError>;

    /// Something to wait on for changes by others, or `None` where nobody else can interfere.
    ///
    /// # Errors
    /// Where the kernel does not let us listen.
    fn watch(&self) -> Result<Option<Box<dyn Watch>>, FirewallError>;

    /// Whether connections within this machine, over its loopback, meet the rules as others do, so that a
    /// test from there says something.
    fn sees_loopback(&self) -> bool {
        true
    }

    /// Ends connections that these networks have at this moment, so that a ban also holds for who is in
    /// already; how many there were. Nothing where the backend knows no connections.
    ///
    /// # Errors
    /// Where the kernel cannot be asked or refuses.
    fn end_connections(&mut self, nets: &[IpNet]) -> Result<usize, FirewallError> {
        let _ = nets;
        Ok(0)
    }

    /// What this backend does otherwise than the rules that it was configured with say, because it can do
    /// no better; each in words for the log, with the jail's name. Empty where it does all they say.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What was stopped since the rules were made, for jails where the backend counts it.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    fn counters(&mut self) -> Result<Vec<Counter>, FirewallError> {
        Ok(Vec::new())
    }
}

/// Who ends a ban when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeouts {
    /// The kernel, or a daemon beside it: a ban ends also where stockade does not run. Longer timeouts
    /// than `max` are shortened to it, and renewed in time by [`crate::difference()`].
    Kept {
        /// The longest timeout.
        max: Duration,
    },
    /// We do, by an unban: [`Element::expires`] is always `None`.
    Ours,
}

/// One thing to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Block this network for this jail.
    Ban {
        /// The jail whose rules block it.
        jail: JailName,
        /// Whom to block.
        net: IpNet,
        /// After which time the kernel lets it go by itself, within [`TIMEOUT_MIN`] and
        /// [`TIMEOUT_MAX`]; `None` for never.
        timeout: Option<Duration>,
    },
    /// Block it no more.
    Unban {
        /// The jail whose rules block it.
        jail: JailName,
        /// Whom to let go.
        net: IpNet,
    },
}

impl Change {
    /// The jail this is about.
    #[must_use]
    pub fn jail(&self) -> &JailName {
        match self {
            Self::Ban { jail, .. } | Self::Unban { jail, .. } => jail,
        }
    }

    /// The network this is about.
    #[must_use]
    pub fn net(&self) -> IpNet {
        match self {
            Self::Ban { net, .. } | Self::Unban { net, .. } => *net,
        }
    }
}

/// Changes that were not applied, all for the same reason.
#[derive(Debug)]
pub struct Refusal {
    /// What was asked for; never empty.
    pub changes: Vec<Change>,
    /// Why it was not done.
    pub error: FirewallError,
}

/// Packets that the rules of one jail have stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The jail.
    pub jail: JailName,
    /// Packets.
    pub packets: u64,
    /// Bytes, with their IP headers.
    pub bytes: u64,
}

/// One network that the kernel blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The jail whose rules block it.
    pub jail: JailName,
    /// Who is blocked; host bits are clear.
    pub net: IpNet,
    /// Time until the kernel lets it go, or `None` for never.
    pub expires: Option<Duration>,
}

/// Whether the rules are in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Health {
    /// Everything is there and as it should be.
    InPlace,
    /// Something is missing or altered: bans may not be enforced.
    Missing {
        /// What, each in words for the log; never empty.
        what: Vec<String>,
    },
}

/// Checks that a change can be meant: what is banned is narrow enough, and its jail has rules.
pub(crate) fn check_change(change: &Change, rules: &[JailRules]) -> Result<(), FirewallError> {
    let Change::Ban { jail, net, .. } = change else {
        return Ok(());
    };
    check_net(*net)?;
    if !rules.iter().any(|rule| rule.jail == *jail) {
        return Err(FirewallError::UnknownJail {
            jail: jail.clone(),
            net: *net,
        });
    }
    Ok(())
}

/// Checks that `net` is narrow enough to be banned.
///
/// # Errors
/// [`FirewallError::TooWide`] for less than [`PREFIX_LEN_MIN_V4`] or [`PREFIX_LEN_MIN_V6`] bits.
pub fn check_net(net: IpNet) -> Result<(), FirewallError> {
    let min = match net {
        IpNet::V4(_) => PREFIX_LEN_MIN_V4,
        IpNet::V6(_) => PREFIX_LEN_MIN_V6,
    };
    if net.prefix_len() < min {
        return Err(FirewallError::TooWide { net, min });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_of_the_whole_internet_is_refused() {
        for net in ["0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/7", "::/0", "2000::/3"] {
            let error = check_net(net.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains(net), "{error}");
        }
        for net in ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128"] {
            check_net(net.parse().unwrap()).unwrap();
        }
    }
}
