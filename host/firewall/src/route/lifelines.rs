//! What this host cannot do without: its own addresses, and the routers that it is reached over.

use std::collections::BTreeSet;
use std::net::IpAddr;

use stockade_core::IpNet;

use super::conversation::{Conversation, netlink_error};
use super::messages::{Family, gateways, list_routes, list_rules, table_of_route, table_of_rule};
use crate::{FirewallError, OwnAddresses};

/// `RT_TABLE_LOCAL` (`linux/rtnetlink.h`): the kernel's own, which knows no routers.
const TABLE_LOCAL: u32 = 255;

/// Addresses that must not be cut off.
#[derive(Debug, Default)]
pub(super) struct Lifelines {
    own: BTreeSet<IpAddr>,
    routers: BTreeSet<IpAddr>,
}

impl Lifelines {
    /// Asks the kernel for the addresses of this host, and for the routers in all tables that rules lead
    /// into, but for ours, `except`, which may be long.
    pub(super) fn read(kernel: &mut Conversation, except: u32) -> Result<Self, FirewallError> {
        let act = "list the addresses of this host";
        let own = OwnAddresses::open().and_then(|mut own| own.current());
        let own = own.map_err(|source| netlink_error(act, source))?;
        let mut routers = BTreeSet::new();
        for family in Family::ALL {
            for table in tables(kernel, family, except)? {
                let request = list_routes(family, table);
                let found = kernel.dump("list routes", &request, |frame| {
                    let in_table = table_of_route(frame.payload) == Some(table);
                    in_table.then(|| gateways(frame.payload))
                })?;
                routers.extend(found.into_iter().flatten().flatten());
            }
        }
        Ok(Self {
            own: own.into_iter().collect(),
            routers,
        })
    }

    /// Refuses a network that holds one of them.
    pub(super) fn check(&self, net: IpNet) -> Result<(), FirewallError> {
        let held =
            |addrs: &BTreeSet<IpAddr>| addrs.range(net.network()..=net.broadcast()).next().copied();
        let what = match (held(&self.own), held(&self.routers)) {
            (Some(addr), _) => format!("{addr}, an address of this host"),
            (None, Some(addr)) => format!("{addr}, a router that this host is reached over"),
            (None, None) => return Ok(()),
        };
        Err(FirewallError::CutsOff { net, what })
    }
}

fn tables(
    kernel: &mut Conversation,
    family: Family,
    except: u32,
) -> Result<BTreeSet<u32>, FirewallError> {
    let request = list_rules(family);
    let tables = kernel.dump("list rules of routing", &request, |frame| {
        table_of_rule(frame.payload)
    })?;
    let mut tables: BTreeSet<u32> = tables.into_iter().flatten().collect();
    tables.remove(&except);
    tables.remove(&TABLE_LOCAL);
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_holds_a_router_or_an_own_address_is_refused() {
        let lifelines = Lifelines {
            own: ["192.0.2.10", "2001:db8::10"]
                .map(|addr| addr.parse().unwrap())
                .into(),
            routers: ["192.0.2.1", "fe80::1"]
                .map(|addr| addr.parse().unwrap())
                .into(),
        };
        let told = |net: &str| {
            let checked = lifelines.check(net.parse().unwrap());
            checked.map_err(|error: FirewallError| error.to_string())
        };
        for net in ["192.0.2.8/30", "2001:db8::/64", "2001:db8::10/128"] {
            let error = told(net).unwrap_err();
            assert!(error.contains("an address of this host"), "{error}");
        }
        for net in ["192.0.2.1/32", "192.0.2.0/30", "fe80::1/128"] {
            let error = told(net).unwrap_err();
            assert!(error.contains("a router"), "{error}");
        }
        for net in [
            "192.0.2.12/30",
            "192.0.2.2/32",
            "2001:db8::11/128",
            "10.0.0.0/8",
        ] {
            assert_eq!(told(net), Ok(()), "{net}");
        }
    }
}
