//! What can go wrong, in words for the person who must act.

use std::io;

use stockade_core::{IpNet, JailName};

/// Why the firewall could not be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// The process lacks `CAP_NET_ADMIN` in its network namespace, or is not root.
    #[error("not permitted to use {backend}")]
    NotPermitted {
        /// Name of the backend.
        backend: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// This machine lacks what the backend needs.
    #[error("cannot use {backend}: {what}")]
    Unavailable {
        /// Name of the backend.
        backend: &'static str,
        /// What is missing, such as `there is no program 'ipset'`.
        what: String,
        /// What the user can do about it.
        hint: Option<&'static str>,
    },
    /// No backend can work on this machine.
    #[error("no firewall can be used here{}", listed(.missing))]
    NoBackend {
        /// What is missing for each backend.
        missing: Vec<String>,
    },
    /// Our rules, or part of them, are not there (any more).
    #[error("cannot {act}: {what} is gone or was altered by somebody else")]
    Gone {
        /// What was tried.
        act: String,
        /// What is gone, such as `the table 'inet stockade'`.
        what: &'static str,
    },
    /// Somebody else holds what is needed; trying again helps.
    #[error("cannot {act}: {what}")]
    Busy {
        /// What was tried.
        act: String,
        /// Who holds what, such as `another program holds the lock of iptables`.
        what: String,
    },
    /// There is no room for more bans.
    #[error("cannot {act}: {what} is full")]
    Full {
        /// What was tried.
        act: String,
        /// What is full, such as `ipset 'stockade-sshd-4'`.
        what: String,
    },
    /// A program or a service that enforces for us failed.
    #[error("cannot {act}: {reason}")]
    Failed {
        /// What was tried.
        act: String,
        /// What the program said, or how it ended; escaped.
        reason: String,
    },
    /// The kernel refused a change; of its transaction nothing was applied.
    #[error("the kernel refused to {act}{}", and_more(*.more))]
    Refused {
        /// What was tried, such as `add 192.0.2.1/32 to set 'ban4-32-sshd'`.
        act: String,
        /// How many other parts of the same transaction were refused too.
        more: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Speaking to the kernel failed.
    #[error("cannot {act}")]
    Netlink {
        /// What was tried.
        act: String,
        /// The reason.
        source: io::Error,
    },
    /// The kernel's answer cannot be read.
    #[error("cannot {act}: the kernel's answer is not understood: {reason}")]
    Malformed {
        /// What was tried.
        act: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A network too wide to ban.
    #[error("will not ban {net}: prefixes shorter than /{min} hold whole regions of the internet")]
    TooWide {
        /// The network.
        net: IpNet,
        /// The shortest prefix that is accepted.
        min: u8,
    },
    /// A network that this host cannot do without.
    #[error("will not ban {net}: it holds {what}; to lose it would cut this host off")]
    CutsOff {
        /// The network.
        net: IpNet,
        /// What it holds, such as `192.0.2.1, an address of this host`.
        what: String,
    },
    /// A ban for a jail that was not configured.
    #[error("cannot ban {net}: the firewall has no rules for jail '{jail}'")]
    UnknownJail {
        /// The jail.
        jail: JailName,
        /// The network.
        net: IpNet,
    },
    /// Rules that make no sense.
    #[error("cannot set up the firewall for jail '{jail}': {what}")]
    BadRules {
        /// The jail.
        jail: JailName,
        /// What is wrong.
        what: String,
    },
}

impl FirewallError {
    /// What the user can do about it, for a `hint:` line.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotPermitted { .. } => Some("run as root or with CAP_NET_ADMIN"),
            Self::Unavailable { hint, .. } => *hint,
            _ => None,
        }
    }
}

fn listed(missing: &[String]) -> String {
    let mut text = String::new();
    for (index, one) in missing.iter().enumerate() {
        text.push_str(if index == 0 { ": " } else { "; " });
        text.push_str(one);
    }
    text
}

fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    }
}
