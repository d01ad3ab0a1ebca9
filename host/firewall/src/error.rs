//! What can go wrong, in words for the person who must act.

use std::io;

use stockade_core::{IpNet, JailName};

/// Why the firewall could not be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// The process lacks `CAP_NET_ADMIN` in its network namespace.
    #[error("not permitted to use nftables")]
    NotPermitted {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel has no nf_tables, or not for the family `inet`.
    #[error("this kernel has no nftables")]
    NoNftables {
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no backend for this operating system.
    #[error("there is no firewall backend for this operating system")]
    NoBackend,
    /// Our table, or part of it, is not in the kernel (any more).
    #[error("cannot {act}: the table 'inet stockade' is gone or was altered by somebody else")]
    Gone {
        /// What was tried.
        act: String,
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
            Self::NoNftables { .. } => Some(
                "load the kernel module nf_tables (`modprobe nf_tables`), or use a kernel with \
                 CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET",
            ),
            _ => None,
        }
    }
}

fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    }
}
