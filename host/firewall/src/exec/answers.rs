//! What a program tells of the bans that it holds.

use std::net::IpAddr;
use std::str;

use stockade_core::{Escaped, IpNet, JailName};

use crate::contract::Element;
use crate::program::Ended;

/// How much of a line that is not understood is shown.
const SHOWN_BYTES_MAX: usize = 100;

/// Reads the answer of `list`: on each line a jail and an address or a network, with space between.
pub(super) fn elements(ended: &Ended) -> Result<Vec<Element>, String> {
    if ended.is_cut {
        let mib = ended.answer.len() / (1024 * 1024);
        return Err(format!("its answer is longer than {mib} MiB"));
    }
    let lines = ended.answer.split(|byte| *byte == b'\n');
    let mut elements = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        elements.push(element(line).ok_or_else(|| {
            let shown = Escaped(line.get(..SHOWN_BYTES_MAX).unwrap_or(line));
            format!("line {number} of its answer is not a jail and an address: '{shown}'")
        })?);
    }
    Ok(elements)
}

fn element(line: &[u8]) -> Option<Element> {
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let (jail, ip) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let net = ip
        .parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| ip.parse::<IpNet>())
        .ok()?;
    Some(Element {
        jail: JailName::try_new(jail).ok()?,
        net: net.trunc(),
        expires: None,
    })
}
