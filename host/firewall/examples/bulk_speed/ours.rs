//! Our backends.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use stockade_core::{IpNet, JailName, Timestamp};
use stockade_firewall::{
    Backend, BlockType, Change, Firewall, Hook, IptablesOptions, IptablesVariant, JailRules,
    NftablesOptions, PortRange, Ports, Protocol, RouteOptions, Wanted, difference,
};

use crate::{Outcome, Row, now};

/// How often a single ban is measured beside many others; the median counts.
const SINGLE: u32 = 21;

pub(crate) fn backends() -> Vec<(&'static str, Backend)> {
    let iptables = |variant| {
        Backend::Iptables(IptablesOptions {
            variant: Some(variant),
            ..IptablesOptions::default()
        })
    };
    vec![
        ("nftables", Backend::Nftables(NftablesOptions::default())),
        ("iptables-nft with ipset", iptables(IptablesVariant::Nft)),
        (
            "iptables-legacy with ipset",
            iptables(IptablesVariant::Legacy),
        ),
        ("route", Backend::Route(RouteOptions::default())),
    ]
}

pub(crate) fn address(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + index))
}

pub(crate) fn rows(name: &str, backend: &Backend, sizes: &[u32]) -> Vec<Row> {
    let row = |what: &str, measure: Measure| {
        let what = format!("{name}: {what}");
        Row::of(&what, sizes, |count| measure(backend, count))
    };
    vec![
        row("ban", ban),
        row("one more ban beside them", one_more),
        row("hold them to what is wanted after a restart", adopt),
        row("unban", unban),
    ]
}

/// Seconds for so many bans.
type Measure = fn(&Backend, u32) -> Outcome<f64>;

fn jail() -> Outcome<JailName> {
    Ok(JailName::try_new("sshd")?)
}

fn rules() -> Outcome<JailRules> {
    Ok(JailRules {
        jail: jail()?,
        ports: Ports::List(vec![PortRange::single(22)]),
        protocols: vec![Protocol::Tcp],
        block: BlockType::Drop,
        hooks: BTreeSet::from([Hook::Input]),
    })
}

fn bans(first: u32, count: u32) -> Outcome<Vec<Change>> {
    let jail = jail()?;
    let ban = |index| Change::Ban {
        jail: jail.clone(),
        net: IpNet::from(address(index)),
        timeout: Some(Duration::from_secs(3600)),
    };
    Ok((first..first + count).map(ban).collect())
}

fn open(backend: &Backend) -> Outcome<Box<dyn Firewall>> {
    let mut firewall = backend.open()?;
    firewall.teardown()?;
    firewall.configure(&[rules()?])?;
    Ok(firewall)
}

/// Has all of them applied; seconds.
fn apply(firewall: &mut dyn Firewall, changes: &[Change]) -> Outcome<f64> {
    let begin = now();
    let refused = firewall.apply(changes)?;
    let seconds = begin.elapsed().as_secs_f64();
    match refused.into_iter().next() {
        None => Ok(seconds),
        Some(refusal) => Err(refusal.error.into()),
    }
}

/// Ends, and checks that the kernel had them.
fn close(mut firewall: Box<dyn Firewall>, expected: u32) -> Outcome<()> {
    let held = firewall.list()?.len();
    firewall.teardown()?;
    if held == usize::try_from(expected)? {
        Ok(())
    } else {
        Err(format!("{held} of {expected} bans are in the kernel").into())
    }
}

fn ban(backend: &Backend, count: u32) -> Outcome<f64> {
    let mut firewall = open(backend)?;
    let seconds = apply(firewall.as_mut(), &bans(0, count)?)?;
    close(firewall, count)?;
    Ok(seconds)
}

fn one_more(backend: &Backend, count: u32) -> Outcome<f64> {
    let mut firewall = open(backend)?;
    apply(firewall.as_mut(), &bans(0, count)?)?;
    let mut took = Vec::new();
    for index in count..count + SINGLE {
        took.push(apply(firewall.as_mut(), &bans(index, 1)?)?);
    }
    close(firewall, count + SINGLE)?;
    took.sort_by(f64::total_cmp);
    Ok(took.get(took.len() / 2).copied().unwrap_or(f64::NAN))
}

fn adopt(backend: &Backend, count: u32) -> Outcome<f64> {
    let changes = bans(0, count)?;
    apply(open(backend)?.as_mut(), &changes)?;
    let until = Timestamp::EPOCH.saturating_add(Duration::from_secs(3600));
    let wanted: Vec<Wanted> = changes
        .iter()
        .map(|change| Wanted {
            jail: change.jail().clone(),
            net: change.net(),
            until: Some(until),
        })
        .collect();
    let begin = now();
    let mut firewall = backend.open()?;
    firewall.configure(&[rules()?])?;
    let held = firewall.list()?;
    let missing = difference(&wanted, &held, firewall.timeouts(), Timestamp::EPOCH);
    apply(firewall.as_mut(), &missing)?;
    let seconds = begin.elapsed().as_secs_f64();
    close(firewall, count)?;
    Ok(seconds)
}

fn unban(backend: &Backend, count: u32) -> Outcome<f64> {
    let mut firewall = open(backend)?;
    let bans = bans(0, count)?;
    apply(firewall.as_mut(), &bans)?;
    let unbans: Vec<Change> = bans
        .iter()
        .map(|ban| Change::Unban {
            jail: ban.jail().clone(),
            net: ban.net(),
        })
        .collect();
    let seconds = apply(firewall.as_mut(), &unbans)?;
    close(firewall, 0)?;
    Ok(seconds)
}
