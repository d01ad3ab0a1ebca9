//! Bounds on what a slip or a flood may ban.

use std::num::NonZeroU32;

use ipnet::IpNet;

use crate::FailureId;

/// What no jail does, whoever wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safeguards {
    /// How wide a network may be that is banned.
    pub widest: Widest,
    /// How many bans a minute are made because of failures before further ones are held until an
    /// operator confirms them; `None` for any number. Bans by an operator, and such of an earlier run,
    /// are not counted.
    pub bans_per_minute: Option<NonZeroU32>,
}

impl Safeguards {
    /// More than any host is attacked by on an ordinary day, and a thousandth of a percent of what
    /// there is: what a broken filter or a forged log bans within the minute in which it is noticed.
    pub const BANS_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);
}

impl Default for Safeguards {
    fn default() -> Self {
        Self {
            widest: Widest::default(),
            bans_per_minute: Some(Self::BANS_PER_MINUTE),
        }
    }
}

/// The shortest prefixes of networks that may be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widest {
    /// Leading bits that the addresses of an IPv4 network must share, at least.
    pub ipv4: u8,
    /// The same for IPv6.
    pub ipv6: u8,
}

impl Default for Widest {
    /// The largest blocks that one owner usually holds: a /16 has 65,536 addresses, a /32 is what a
    /// provider gets (RIPE-738 5.1).
    fn default() -> Self {
        Self { ipv4: 16, ipv6: 32 }
    }
}

impl Widest {
    /// The shortest prefix in the family of `net`.
    #[must_use]
    pub fn of(self, net: &IpNet) -> u8 {
        match net {
            IpNet::V4(_) => self.ipv4,
            IpNet::V6(_) => self.ipv6,
        }
    }

    /// The shortest prefix that `id` would have to have, where its own is shorter.
    pub(crate) fn exceeded_by(self, id: &FailureId) -> Option<u8> {
        let FailureId::Subnet(net) = id else {
            return None;
        };
        let widest = self.of(net);
        (net.prefix_len() < widest).then_some(widest)
    }
}
